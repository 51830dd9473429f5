/* Evaluating claims: values per seed, bootstrap over seeds and stored standard errors, verdict. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "recipe/claim_internal.h"

#define RESAMPLES 2000

typedef struct leaf_value {
    double value, se; /* se NaN = none */
} leaf_value;

typedef struct evaluation {
    const ins_recipe *recipe;
    const ins_claim *claim;
    claim_leaves leaves;
    leaf_value *values; /* [n_rows, leaves.n]; a leaf without a free seed has the same in every row */
    int64_t n_rows;     /* seeds, or 1 */
    bool noisy;         /* some leaf has a standard error */
} evaluation;

static void collect_leaves(const ins_claim_expr *expr, claim_leaves *leaves) {
    if (!expr) return;
    if (expr->op == CLAIM_METRIC && expr->leaf >= leaves->n) leaves->n = expr->leaf + 1;
    if (expr->op == CLAIM_METRIC) leaves->items[expr->leaf] = (ins_claim_expr *)(uintptr_t)expr;
    for (int i = 0; i < expr->n_args; i++) collect_leaves(expr->args[i], leaves);
}

/* Value of an expression for given values of its leaves. */
static double compute(const ins_claim_expr *expr, const double *leaves) {
    double first = expr->n_args > 0 ? compute(expr->args[0], leaves) : 0;
    double second = expr->n_args > 1 && expr->op < CLAIM_MIN ? compute(expr->args[1], leaves) : 0;
    switch (expr->op) {
    case CLAIM_NUMBER:
        return expr->number;
    case CLAIM_METRIC:
        return leaves[expr->leaf];
    case CLAIM_NEGATE:
        return -first;
    case CLAIM_ADD:
        return first + second;
    case CLAIM_SUBTRACT:
        return first - second;
    case CLAIM_MULTIPLY:
        return first * second;
    case CLAIM_DIVIDE:
        return first / second;
    case CLAIM_ABS:
        return fabs(first);
    case CLAIM_MIN:
    case CLAIM_MAX:
    case CLAIM_MEAN:
        break;
    }
    double total = first;
    for (int i = 1; i < expr->n_args; i++) {
        double value = compute(expr->args[i], leaves);
        if (expr->op == CLAIM_MEAN)
            total += value;
        else if (expr->op == CLAIM_MIN ? value < total : value > total)
            total = value;
    }
    return expr->op == CLAIM_MEAN ? total / expr->n_args : total;
}

/* The instance that a leaf means at one seed. */
static const ins_instance *leaf_instance(const evaluation *e, const ins_claim_expr *leaf, const char *seed) {
    const ins_definition *target = &e->recipe->definitions[leaf->definition];
    for (int64_t i = 0; i < target->n_instances; i++) {
        const ins_instance *candidate = &e->recipe->instances[target->first_instance + i];
        bool same = true;
        for (int64_t k = 0; k < target->n_axes && same; k++) {
            const char *wanted = seed;
            for (int64_t j = 0; j < leaf->stage.n_pins; j++)
                if (strcmp(leaf->stage.pins[j].axis, target->axes[k].name) == 0) wanted = leaf->stage.pins[j].value;
            same = wanted && strcmp(candidate->values[k], wanted) == 0;
        }
        if (same) return candidate;
    }
    return NULL;
}

/* A stage that was left out (--only) says nothing, whatever an earlier attempt at it recorded. */
static ins_status check_stage(const ins_metric_source *source, const ins_instance *instance, ins_claim_result *result,
                              ins_error *err) {
    bool complete = true;
    if (source->is_complete) INS_TRY(source->is_complete(source->arg, instance->name, &complete, err));
    result->not_run = !complete;
    if (!complete) snprintf(result->reason, sizeof result->reason, "stage %.200s was not run", instance->name);
    return INS_OK;
}

/* Fills the values; *complete false with a reason when one is missing or not finite. */
static ins_status read_values(evaluation *e, const ins_metric_source *source, ins_claim_result *result, bool *complete,
                              ins_error *err) {
    char *reason = result->reason;
    *complete = false;
    for (int64_t row = 0; row < e->n_rows; row++)
        for (int64_t k = 0; k < e->leaves.n; k++) {
            const ins_claim_expr *leaf = e->leaves.items[k];
            leaf_value *value = &e->values[row * e->leaves.n + k];
            const ins_instance *instance = leaf_instance(e, leaf, e->claim->n_seeds ? e->claim->seeds[row] : NULL);
            bool found = false;
            if (!instance)
                return INS_FAIL(err, INS_BUG, "the claim '%s' names an instance that does not exist", e->claim->id);
            INS_TRY(check_stage(source, instance, result, err));
            if (result->not_run) return INS_OK;
            INS_TRY(source->look(source->arg, instance->name, leaf->metric, leaf->at, leaf->step, &found, &value->value,
                                 &value->se, reason, err));
            if (found && !isfinite(value->value)) {
                snprintf(reason, sizeof result->reason, "'%.80s' of '%.80s' is not a finite number", leaf->metric,
                         instance->name);
                found = false;
            }
            if (!found) return INS_OK;
            if (isfinite(value->se) && value->se > 0) e->noisy = true;
        }
    *complete = true;
    return INS_OK;
}

static double noise(const evaluation *e, int64_t row, int64_t leaf, int64_t resample) {
    char stream[96];
    snprintf(stream, sizeof stream, "claim-noise:%lld:%lld", (long long)leaf,
             (long long)(e->leaves.items[leaf]->per_seed ? row : 0));
    ins_rng rng = ins_rng_start(ins_rng_derive(e->recipe->seed, stream, 0), (uint64_t)resample);
    return ins_rng_normal(&rng);
}

/* Both sides at one seed; resample < 0 = without noise. */
static void row_sides(const evaluation *e, int64_t row, int64_t resample, double *metric, double *than) {
    double leaves[CLAIM_MAX_LEAVES];
    for (int64_t k = 0; k < e->leaves.n; k++) {
        const leaf_value *value = &e->values[row * e->leaves.n + k];
        bool moved = resample >= 0 && isfinite(value->se) && value->se > 0;
        leaves[k] = value->value + (moved ? value->se * noise(e, row, k, resample) : 0);
    }
    *metric = compute(e->claim->metric, leaves);
    *than = compute(e->claim->than, leaves);
}

static int compare_double(const void *left, const void *right) {
    double x = *(const double *)left, y = *(const double *)right;
    return x < y ? -1 : x > y;
}

/* q-quantile of sorted values, linear between neighbours. */
static double quantile(const double *sorted, int64_t n, double q) {
    double place = q * (double)(n - 1);
    int64_t below = (int64_t)place;
    if (below >= n - 1) return sorted[n - 1];
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

/* 95 % interval of the mean difference. false when some resample is not finite. */
static bool bootstrap(const evaluation *e, ins_arena *arena, double *low, double *high) {
    double *differences = ins_arena_alloc(arena, RESAMPLES * sizeof *differences);
    if (!differences) return false;
    ins_rng_key key = ins_rng_derive(e->recipe->seed, "claim-seeds", 0);
    for (int64_t i = 0; i < RESAMPLES; i++) {
        ins_rng rng = ins_rng_start(key, (uint64_t)i);
        double total = 0;
        for (int64_t k = 0; k < e->n_rows; k++) {
            double metric, than;
            int64_t row = e->n_rows > 1 ? (int64_t)ins_rng_below(&rng, (uint64_t)e->n_rows) : 0;
            row_sides(e, row, e->noisy ? i : -1, &metric, &than);
            total += metric - than;
        }
        differences[i] = total / (double)e->n_rows;
        if (!isfinite(differences[i])) return false;
    }
    qsort(differences, RESAMPLES, sizeof *differences, compare_double);
    *low = quantile(differences, RESAMPLES, 0.025);
    *high = quantile(differences, RESAMPLES, 0.975);
    return true;
}

static bool holds(const ins_claim *claim, double difference) {
    switch (claim->relation) {
    case INS_REL_LT:
        return difference < 0;
    case INS_REL_LE:
        return difference <= 0;
    case INS_REL_GT:
        return difference > 0;
    case INS_REL_GE:
        return difference >= 0;
    case INS_REL_EQ:
        return fabs(difference) <= claim->tolerance;
    }
    return false;
}

static ins_status judge(evaluation *e, ins_arena *arena, ins_claim_result *result, ins_error *err) {
    double low = 0, high = 0, metric_total = 0, than_total = 0;
    result->per_seed = ins_arena_alloc(arena, (size_t)e->n_rows * sizeof *result->per_seed);
    if (!result->per_seed) return INS_FAIL(err, INS_NOMEM, "out of memory while evaluating claims");
    for (int64_t row = 0; row < e->n_rows; row++) {
        double metric, than;
        row_sides(e, row, -1, &metric, &than);
        result->per_seed[row] = metric;
        metric_total += metric;
        than_total += than;
    }
    result->value = metric_total / (double)e->n_rows;
    result->target = than_total / (double)e->n_rows;
    if (!isfinite(result->value) || !isfinite(result->target)) {
        snprintf(result->reason, sizeof result->reason, "the expression has no finite value");
        return INS_OK;
    }
    result->has_value = true;
    if ((e->n_rows > 1 || e->noisy) && bootstrap(e, arena, &low, &high)) {
        result->has_interval = true;
        result->low = result->target + low;
        result->high = result->target + high;
    }
    bool mean_holds = holds(e->claim, result->value - result->target);
    bool all_holds = result->has_interval && holds(e->claim, low) && holds(e->claim, high);
    result->verdict = all_holds ? INS_SHOWN : mean_holds ? INS_WEAK : INS_NOT_SHOWN;
    return INS_OK;
}

static ins_status evaluate_one(const ins_recipe *recipe, const ins_claim *claim, const ins_metric_source *source,
                               ins_arena *arena, ins_claim_result *result, ins_error *err) {
    evaluation e = {.recipe = recipe, .claim = claim, .n_rows = claim->n_seeds ? claim->n_seeds : 1};
    *result = (ins_claim_result){.claim = claim, .n_seeds = claim->n_seeds, .seeds = claim->seeds};
    collect_leaves(claim->metric, &e.leaves);
    collect_leaves(claim->than, &e.leaves);
    e.values = ins_arena_alloc(arena, (size_t)(e.n_rows * (e.leaves.n + 1)) * sizeof *e.values);
    if (!e.values) return INS_FAIL(err, INS_NOMEM, "out of memory while evaluating claims");
    bool complete = false;
    INS_TRY(read_values(&e, source, result, &complete, err));
    return complete ? judge(&e, arena, result, err) : INS_OK;
}

ins_status ins_claims_evaluate(const ins_recipe *recipe, const ins_metric_source *source, ins_arena *arena,
                               ins_claim_result **out, ins_error *err) {
    ins_claim_result *results = ins_arena_alloc(arena, (size_t)(recipe->n_claims + 1) * sizeof *results);
    if (!results) return INS_FAIL(err, INS_NOMEM, "out of memory while evaluating claims");
    for (int64_t i = 0; i < recipe->n_claims; i++)
        INS_TRY(evaluate_one(recipe, &recipe->claims[i], source, arena, &results[i], err));
    *out = results;
    return INS_OK;
}

static void put_string(ins_str *out, const char *key, const char *text) {
    ins_str_printf(out, "\"%s\":\"", key);
    ins_str_json_escape(out, text, strlen(text));
    ins_str_puts(out, "\",");
}

static void put_number(ins_str *out, const char *key, bool known, double value) {
    char text[32];
    ins_str_printf(out, "\"%s\":%s,", key, known && isfinite(value) ? ins_double_format(value, text) : "null");
}

void ins_claims_to_json(const ins_claim_result *results, int64_t n, ins_str *out) {
    char text[32];
    ins_str_putc(out, '[');
    for (int64_t i = 0; i < n; i++) {
        const ins_claim_result *r = &results[i];
        ins_str_puts(out, i ? ",{" : "{");
        put_string(out, "id", r->claim->id);
        put_string(out, "text", r->claim->text);
        put_string(out, "metric", r->claim->metric_text);
        put_string(out, "relation", ins_relation_word(r->claim->relation));
        put_number(out, "target", r->has_value, r->target);
        put_string(out, "than", r->claim->than_text);
        put_number(out, "value", r->has_value, r->value);
        put_number(out, "low", r->has_interval, r->low);
        put_number(out, "high", r->has_interval, r->high);
        ins_str_puts(out, "\"seeds\":[");
        for (int64_t k = 0; k < r->n_seeds; k++) ins_str_printf(out, "%s%s", k ? "," : "", r->seeds[k]);
        ins_str_puts(out, "],\"per_seed\":[");
        for (int64_t k = 0; r->has_value && k < (r->n_seeds ? r->n_seeds : 1); k++)
            ins_str_printf(out, "%s%s", k ? "," : "",
                           isfinite(r->per_seed[k]) ? ins_double_format(r->per_seed[k], text) : "null");
        ins_str_puts(out, "],");
        if (r->reason[0]) put_string(out, "reason", r->reason);
        ins_str_printf(out, "\"verdict\":\"%s\"}", ins_verdict_word(r->verdict));
    }
    ins_str_putc(out, ']');
}
