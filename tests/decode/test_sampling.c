/* Filters of sampling, against probabilities worked out by hand and by counting draws. */
#include "model/model_testing.h"

#include "decode/sampling.h"

enum { V = 6 };

/* Probabilities 0.4 0.3 0.15 0.1 0.04 0.01, not in order. */
static const double wanted[V] = {0.1, 0.4, 0.01, 0.3, 0.15, 0.04};

static void logits_of(float logits[V]) {
    for (int i = 0; i < V; i++) logits[i] = (float)log(wanted[i]) + 3;
}

static const ins_sampling plain = {.temperature = 1, .top_p = 1, .repetition_penalty = 1, .max_tokens = 8};

/* Share of draws over an even grid of uniform numbers: exact up to the grid. */
static void shares(const ins_sampling *options, const unsigned char *seen, double share[V]) {
    enum { GRID = 20000 };
    ins_sampler s;
    float logits[V];
    unsigned char none[V] = {0};
    logits_of(logits);
    OK(ins_sampler_init(&s, V, err));
    for (int i = 0; i < V; i++) share[i] = 0;
    for (int i = 0; i < GRID; i++) {
        int32_t id = -1;
        double logprob;
        OK(ins_sampler_draw(&s, options, logits, seen ? seen : none, (i + 0.5) / GRID, &id, &logprob, err));
        assert_in_range(id, 0, V - 1);
        assert_float_equal(logprob, log(wanted[id]), 1e-5);
        share[id] += 1.0 / GRID;
    }
    ins_sampler_clear(&s);
}

static void expect(const ins_sampling *options, const unsigned char *seen, const double probabilities[V]) {
    double share[V], total = 0;
    shares(options, seen, share);
    for (int i = 0; i < V; i++) total += probabilities[i];
    for (int i = 0; i < V; i++) assert_float_equal(share[i], probabilities[i] / total, 2e-4);
}

static void test_plain(void **state) {
    (void)state;
    expect(&plain, NULL, wanted);
}

static void test_temperature(void **state) {
    (void)state;
    ins_sampling o = plain;
    o.temperature = 0.5; /* squares the probabilities */
    double squares[V];
    for (int i = 0; i < V; i++) squares[i] = wanted[i] * wanted[i];
    expect(&o, NULL, squares);
    o.temperature = 0;
    expect(&o, NULL, (const double[V]){0, 1, 0, 0, 0, 0});
}

static void test_top_k(void **state) {
    (void)state;
    ins_sampling o = plain;
    o.top_k = 3;
    expect(&o, NULL, (const double[V]){0, 0.4, 0, 0.3, 0.15, 0});
    o.top_k = 1;
    expect(&o, NULL, (const double[V]){0, 1, 0, 0, 0, 0});
    o.top_k = 100;
    expect(&o, NULL, wanted);
}

static void test_top_p(void **state) {
    (void)state;
    ins_sampling o = plain;
    o.top_p = 0.65; /* 0.4 is not enough, 0.7 is */
    expect(&o, NULL, (const double[V]){0, 0.4, 0, 0.3, 0, 0});
    o.top_p = 0.75;
    expect(&o, NULL, (const double[V]){0, 0.4, 0, 0.3, 0.15, 0});
    o.top_p = 1e-9; /* at least one stays */
    expect(&o, NULL, (const double[V]){0, 1, 0, 0, 0, 0});
    o.top_k = 2; /* top_p then speaks of what top_k leaves: 0.4/0.7 = 0.571 */
    o.top_p = 0.55;
    expect(&o, NULL, (const double[V]){0, 1, 0, 0, 0, 0});
    o.top_p = 0.6;
    expect(&o, NULL, (const double[V]){0, 0.4, 0, 0.3, 0, 0});
}

static void test_min_p(void **state) {
    (void)state;
    ins_sampling o = plain;
    o.min_p = 0.3; /* of 0.4: 0.12 */
    expect(&o, NULL, (const double[V]){0, 0.4, 0, 0.3, 0.15, 0});
    o.min_p = 1;
    expect(&o, NULL, (const double[V]){0, 1, 0, 0, 0, 0});
}

static void test_repetition_penalty(void **state) {
    (void)state;
    ins_sampling o = plain;
    o.repetition_penalty = 2;
    const unsigned char seen[V] = {0, 1, 1, 0, 0, 0};
    double p[V];
    for (int i = 0; i < V; i++) {
        double logit = (float)log(wanted[i]) + 3.0f;
        p[i] = exp(!seen[i] ? logit : logit > 0 ? logit / 2 : logit * 2);
    }
    assert_true(log(wanted[1]) + 3 > 0 && log(wanted[2]) + 3 < 0); /* both branches */
    expect(&o, seen, p);
}

/* Rows past the tokenizer's ids are never drawn, whichever way. */
static void test_fewer_ids(void **state) {
    (void)state;
    ins_sampling o = plain;
    o.n_ids = 3;
    const double three[V] = {0.1, 0.4, 0.01, 0, 0, 0};
    expect(&o, NULL, three);
    o.top_k = 5;
    expect(&o, NULL, three);
    o.top_k = 0;
    o.top_p = 0.5;
    expect(&o, NULL, (const double[V]){0, 1, 0, 0, 0, 0});
    o.top_p = 1;
    o.temperature = 0;
    o.n_ids = 1;
    expect(&o, NULL, (const double[V]){1, 0, 0, 0, 0, 0});
    o.n_ids = V + 100;
    expect(&o, NULL, (const double[V]){0, 1, 0, 0, 0, 0});
}

static void test_not_finite(void **state) {
    (void)state;
    ins_sampler s;
    float logits[V];
    const unsigned char none[V] = {0};
    logits_of(logits);
    logits[4] = NAN;
    OK(ins_sampler_init(&s, V, err));
    int32_t id;
    double logprob;
    ins_error why = {0};
    assert_int_equal(ins_sampler_draw(&s, &plain, logits, none, 0.5, &id, &logprob, &why), INS_NUMERIC);
    assert_non_null(strstr(why.text, "token 4"));
    ins_sampler_clear(&s);
}

static void test_options(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    ins_sampling o;
    ins_diag diag = {0};
    assert_true(ins_opt_table_check(&ins_sampling_table, &diag));
    assert_true(ins_opt_parse(&ins_sampling_table, NULL, &o, arena, NULL, &diag));
    assert_true(o.temperature == 1 && o.top_k == 0 && o.top_p == 1 && o.min_p == 0 && o.repetition_penalty == 1);
    assert_int_equal(o.max_tokens, 128);
    ins_node *node = NULL;
    const char *bad = "{top_p: 0, temperatur: 1}";
    OK(ins_yaml_read_text(bad, strlen(bad), "test", arena, &node, err));
    assert_false(ins_opt_parse(&ins_sampling_table, node, &o, arena, NULL, &diag));
    assert_int_equal(diag.n, 2);
    ins_diag_free(&diag);
    ins_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_temperature), cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_top_p),     cmocka_unit_test(test_min_p),       cmocka_unit_test(test_repetition_penalty),
        cmocka_unit_test(test_fewer_ids), cmocka_unit_test(test_not_finite),  cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
