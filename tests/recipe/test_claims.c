/* Claims: the expression language, what is refused at load time, intervals and verdicts. */
#include "toy_stages.h"

#include <math.h>

#include "format/json.h"
#include "recipe/claim.h"

#define STAGES                                                                                                         \
    "stages:\n  base: {kind: fit}\n"                                                                                   \
    "  more: {kind: fit, init: base, matrix: {arm: {with: {}, without: {steps: 4}}, seed: [1, 2, 3, 4]}}\n"            \
    "  two: {kind: fit, init: base, matrix: {seed: [3, 4, 5]}}\n"                                                      \
    "  lone: {kind: fit, init: base, matrix: {seed: [9]}}\n"

/* A store of made-up numbers. */
typedef struct entry {
    const char *stage, *name;
    double value, se;
} entry;

static const entry entries[] = {
    {"base", "loss", 2.0, NAN},
    {"base", "noisy", 1.0, 0.1},
    {"base", "five-gram", 7, NAN},
    {"base", "inf", INFINITY, NAN},
    {"base", "a b", 3, NAN},
    {"two[seed=3]", "loss", 1.0, NAN},
    {"two[seed=4]", "loss", 3.0, NAN},
    {"two[seed=5]", "loss", 2.0, NAN},
    {"more[arm=with,seed=1]", "loss", 1.0, NAN},
    {"more[arm=with,seed=2]", "loss", 1.1, NAN},
    {"more[arm=with,seed=3]", "loss", 0.9, NAN},
    {"more[arm=with,seed=4]", "loss", 1.0, NAN},
    {"more[arm=without,seed=1]", "loss", 2.0, NAN},
    {"more[arm=without,seed=2]", "loss", 2.2, NAN},
    {"more[arm=without,seed=3]", "loss", 1.8, NAN},
    {"more[arm=without,seed=4]", "loss", 2.0, NAN},
    {"lone[seed=9]", "loss", 1.0, NAN},
};

static ins_status look(void *arg, const char *stage, const char *name, ins_metric_at at, int64_t step, bool *found,
                       double *value, double *se, char reason[256], ins_error *err) {
    (void)arg;
    (void)err;
    *found = false;
    *se = (double)NAN;
    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++) {
        if (strcmp(entries[i].stage, stage) != 0 || strcmp(entries[i].name, name) != 0) continue;
        *found = true;
        *value = entries[i].value +
                 (at == INS_AT_FIRST ? 100
                  : at == INS_AT_MIN ? -1
                  : at == INS_AT_MAX ? 1
                                     : 0) +
                 (at == INS_AT_STEP ? (double)step : 0);
        *se = entries[i].se;
    }
    if (!*found) snprintf(reason, 256, "no metric '%s' of '%s'", name, stage);
    return INS_OK;
}

typedef struct judged {
    ins_recipe *recipe;
    ins_arena *arena;
    ins_claim_result result;
} judged;

static judged judge(const char *metric, const char *relation, const char *than) {
    char text[2048];
    judged j = {.arena = ins_arena_new(0)};
    ins_claim_result *results = NULL;
    ins_metric_source source = {.look = look};
    snprintf(text, sizeof text, STAGES "claims:\n  - {id: c, metric: '%s', relation: '%s', than: '%s'}\n", metric,
             relation, than);
    j.recipe = toy_load(text);
    assert_int_equal(ins_claims_evaluate(j.recipe, &source, j.arena, &results, NULL), INS_OK);
    j.result = results[0];
    ins_str json = {0};
    ins_claims_to_json(results, 1, &json);
    json_t *parsed = json_loads(json.data, 0, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    ins_str_free(&json);
    return j;
}

static void done(judged *j) {
    ins_recipe_free(j->recipe);
    ins_arena_free(j->arena);
}

static void equals(const char *metric, double want) {
    judged j = judge(metric, "<", "1000");
    if (!j.result.has_value) print_error("%s: %s\n", metric, j.result.reason);
    assert_true(j.result.has_value);
    if (fabs(j.result.value - want) > 1e-12) print_error("%s = %.17g, not %.17g\n", metric, j.result.value, want);
    assert_true(fabs(j.result.value - want) <= 1e-12);
    done(&j);
}

static void test_values(void **state) {
    (void)state;
    equals("base:loss", 2);
    equals("1 + 2 * 3 - 4 / 2", 5);
    equals("(1 + 2) * -3", -9);
    equals("1e-3*2", 0.002);
    equals("10 - 3 - 2", 5);
    equals("min(3, 1, 2) + max(3, 1) + mean(1, 2, 6) + abs(0 - 4)", 1 + 3 + 3 + 4);
    equals("base:loss@first - base:loss@last", 100);
    equals("base:loss@max - base:loss@min", 2);
    equals("base:loss@40", 42);
    equals("base:five-gram - 1", 6);
    equals("base:\"a b\"@first", 103);
    equals("two:loss", 2);
    equals("two[seed=4]:loss", 3);
    equals("more[arm=without]:loss / more[arm=with]:loss", 2);
    equals("base:loss / base:loss", 1);
}

static void test_seeds_are_paired(void **state) {
    (void)state;
    judged j = judge("more[arm=with]:loss - two:loss", "<", "0"); /* seeds 3 and 4 are common */
    assert_int_equal(j.result.n_seeds, 2);
    assert_string_equal(j.result.seeds[0], "3");
    assert_true(fabs(j.result.per_seed[0] - (0.9 - 1.0)) < 1e-12);
    assert_true(fabs(j.result.per_seed[1] - (1.0 - 3.0)) < 1e-12);
    done(&j);
}

static ins_verdict verdict_of(const char *metric, const char *relation, const char *than) {
    judged j = judge(metric, relation, than);
    ins_verdict verdict = j.result.verdict;
    done(&j);
    return verdict;
}

static void test_verdicts(void **state) {
    (void)state;
    assert_int_equal(verdict_of("more[arm=with]:loss", "<", "more[arm=without]:loss"), INS_SHOWN);
    assert_int_equal(verdict_of("more[arm=with]:loss", ">", "more[arm=without]:loss"), INS_NOT_SHOWN);
    assert_int_equal(verdict_of("more[arm=with]:loss", "<", "1.01"), INS_WEAK); /* only the mean */
    assert_int_equal(verdict_of("more[arm=with]:loss", "<=", "1.1"), INS_SHOWN);
    assert_int_equal(verdict_of("base:loss", "<", "3"), INS_WEAK); /* one value, no interval */
    assert_int_equal(verdict_of("base:loss", ">", "3"), INS_NOT_SHOWN);
    assert_int_equal(verdict_of("lone:loss", "<", "3"), INS_WEAK);
    assert_int_equal(verdict_of("base:noisy", "<", "1.5"), INS_SHOWN);                /* 5 standard errors */
    assert_int_equal(verdict_of("base:noisy", "<", "1.05"), INS_WEAK);                /* half of one */
    assert_int_equal(verdict_of("base:noisy - base:noisy", "<", "0.001"), INS_SHOWN); /* the same measurement cancels */
    assert_int_equal(verdict_of("base:missing", "<", "3"), INS_NOT_SHOWN);
    assert_int_equal(verdict_of("base:inf", ">", "3"), INS_NOT_SHOWN);
    assert_int_equal(verdict_of("base:loss / 0", ">", "3"), INS_NOT_SHOWN);
    assert_int_equal(verdict_of("more[arm=with]:loss", "==", "1.5"), INS_NOT_SHOWN);
}

static void test_interval(void **state) {
    (void)state;
    judged j = judge("base:noisy", "<", "2");
    assert_true(j.result.has_interval); /* 1 +- 1.96 * 0.1 up to the 2,000 draws */
    assert_true(fabs(j.result.low - 0.804) < 0.03);
    assert_true(fabs(j.result.high - 1.196) < 0.03);
    double low = j.result.low;
    done(&j);
    j = judge("base:noisy", "<", "2"); /* the draws are a function of the recipe's seed */
    assert_true(low == j.result.low);
    done(&j);
    j = judge("more[arm=with]:loss", "<", "2");
    assert_true(j.result.low >= 0.9 && j.result.high <= 1.1 && j.result.low < 1.0 && j.result.high > 1.0);
    done(&j);
}

static void refuse(const char *claim, const char *part) {
    char text[2048];
    snprintf(text, sizeof text, STAGES "claims:\n  - {%s}\n", claim);
    toy_expect_problem(text, part, "toy.yaml:");
}

static void test_refused(void **state) {
    (void)state;
    refuse("id: c, metric: 'bose:loss', relation: '<', than: 1",
           "names the stage 'bose', which the recipe does not have (did you mean 'base'?)");
    refuse("id: c, metric: 'base:loss', relation: '<', than: 'bose:loss'", "which the recipe does not have");
    refuse("id: c, metric: 'more:loss', relation: '<', than: 1",
           "must pin the axis 'arm' of 'more': write more[arm=with]:loss");
    refuse("id: c, metric: 'more[arm=wit]:loss', relation: '<', than: 1", "has no value 'wit' (did you mean 'with'?)");
    refuse("id: c, metric: 'base[arm=with]:loss', relation: '<', than: 1", "has no axis 'arm'");
    refuse("id: c, metric: 'lone:loss - two:loss', relation: '<', than: 1", "no seed in common");
    refuse("id: c, metric: 'base:loss', relation: '<>', than: 1", "is not one of: < <= > >= ==");
    refuse("id: c, metric: 'base:loss', relation: '<'", "the claim needs 'than'");
    refuse("id: c, metrik: 'base:loss', relation: '<', than: 1, metric: '1'",
           "unknown key 'metrik' of a claim (did you mean 'metric'?)");
    refuse("id: c, metric: 'base:loss +', relation: '<', than: 1", "an expression is missing at the end");
    refuse("id: c, metric: '(base:loss', relation: '<', than: 1", "a ')' is missing");
    refuse("id: c, metric: 'base:loss base:loss', relation: '<', than: 1", "an operator is missing");
    refuse("id: c, metric: 'base', relation: '<', than: 1", "a metric is written STAGE:NAME");
    refuse("id: c, metric: 'base:loss@often', relation: '<', than: 1", "after '@' stands");
    refuse("id: c, metric: 'sqrt(2)', relation: '<', than: 1", "unknown function");
    refuse("id: c, metric: 'abs(1, 2)', relation: '<', than: 1", "abs takes one argument");
    refuse("id: c, metric: '1.2.3', relation: '<', than: 1", "no number");
    refuse("id: c, metric: 'base:', relation: '<', than: 1", "the name of a metric is missing");
    refuse("id: c, metric: 1, relation: '<', than: 1, tolerance: 1", "belongs to the relation ==");
    toy_expect_problem(
        STAGES
        "claims:\n  - {id: c, metric: 1, relation: '<', than: 1}\n  - {id: c, metric: 1, relation: '<', than: 1}\n",
        "two claims have the id 'c'", "toy.yaml:8:");
    toy_expect_problem(STAGES "claims: 3\n", "'claims' must be a list", NULL);
}

/* Nothing the parser is given may crash it. */
static void test_garbage(void **state) {
    (void)state;
    static const char letters[] = "ab:[]=,@()+-*/ .19\"_";
    for (unsigned i = 0; i < 3000; i++) {
        char expr[24], text[2048];
        unsigned n = 1 + i % 20, x = i * 2654435761u;
        for (unsigned k = 0; k < n; k++) {
            x = x * 1664525u + 1013904223u;
            expr[k] = letters[(x >> 16) % (sizeof letters - 1)];
        }
        expr[n] = '\0';
        snprintf(text, sizeof text,
                 "stages:\n  a: {kind: fit}\nclaims:\n  - {id: c, metric: '%s', relation: '<', than: 1}\n", expr);
        ins_diag diag = {0};
        ins_recipe *recipe = toy_load_with(text, NULL, 0, &diag);
        ins_recipe_free(recipe);
        ins_diag_free(&diag);
    }
    refuse("id: c, metric: '((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1', relation: "
           "'<', than: 1",
           "nested too deep");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_seeds_are_paired), cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_interval), cmocka_unit_test(test_refused),          cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
