/* What a model builder reads who gets shapes wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "op/grad_check.h"

#define F32 INS_DTYPE_F32
#define I32 INS_DTYPE_I32

typedef struct bench {
    ins_graph *g;
    ins_value x, w, v, ids, none;
} bench;

static bench start(void) {
    ins_error err = {0};
    bench b = {.none = INS_NO_VALUE};
    grad_must(ins_graph_new(F32, F32, &b.g, &err), &err, "graph");
    b.x = ins_graph_input(b.g, "x", INS_TYPE(F32, 4, 64, 768));
    b.w = ins_graph_param(b.g, "w", INS_TYPE(F32, 10, 512));
    b.v = ins_graph_param(b.g, "v", INS_TYPE(F32, 768));
    b.ids = ins_graph_input(b.g, "ids", INS_TYPE(I32, 4, 64));
    return b;
}

/* The graph holds this message, the builder gave no value, and later builders do nothing. */
static void expect(bench *b, ins_value made, const char *text) {
    ins_error err = {0};
    assert_int_equal(made, INS_NO_VALUE);
    assert_int_equal(ins_graph_status(b->g, &err), INS_USAGE);
    if (!strstr(err.text, text)) fail_msg("'%s' does not contain '%s'", err.text, text);
    int64_t n = ins_graph_n_nodes(b->g);
    assert_int_equal(ins_add(b->g, b->x, b->v), INS_NO_VALUE);
    assert_int_equal(ins_slice(b->g, b->x, 0, 0, 1), INS_NO_VALUE);
    assert_int_equal(ins_graph_n_nodes(b->g), n);
    ins_graph_free(b->g);
}

static void test_products(void **state) {
    (void)state;
    bench b = start();
    expect(&b, ins_linear(b.g, b.x, b.w, b.none, false, F32),
           "linear: x f32[4, 64, 768] has 768 columns but w f32[10, 512] wants 512");
    b = start();
    expect(&b, ins_linear(b.g, b.ids, b.w, b.none, false, INS_DTYPE_BF16), "f32[4, 64] has 64 columns");
    b = start();
    expect(&b, ins_matmul(b.g, b.w, b.w, false, false),
           "matmul: x f32[10, 512] has inner length 512 but y f32[10, 512] has 10");
    b = start();
    expect(&b, ins_matmul(b.g, b.x, b.w, false, true), "matmul: x f32[4, 64, 768] and y f32[10, 512] must be matrices");
}

static void test_elements(void **state) {
    (void)state;
    bench b = start();
    expect(&b, ins_add(b.g, b.x, b.w), "add: x f32[4, 64, 768] and y f32[10, 512] do not go together");
    b = start();
    expect(&b, ins_mul(b.g, b.x, b.ids), "mul: y must be f32, f64 or bf16, not i32[4, 64]");
    b = start();
    expect(&b, ins_gated(b.g, INS_SILU, b.x, b.w),
           "gated: gate f32[4, 64, 768] and up f32[10, 512] must have equal type");
    b = start();
    expect(&b, ins_unary_map(b.g, (ins_unary)99, b.x), "unary: there is no map number 99");
    b = start();
    expect(&b, ins_dropout(b.g, b.x, b.ids, 0.5, 0), "dropout: rng_key must be i32[4], not i32[4, 64]");
}

static void test_model_ops(void **state) {
    (void)state;
    bench b = start();
    expect(&b, ins_embedding(b.g, b.w, b.v), "embedding: ids must be i32, not f32[768]");
    b = start();
    expect(&b, ins_attention(b.g, b.x, b.x, b.x, b.ids, b.ids, 12, 5, 1),
           "attention: 12 heads do not share 5 key/value heads");
    b = start();
    expect(&b, ins_attention(b.g, b.x, b.x, b.x, b.ids, b.v, 12, 12, 1),
           "attention: hi must be i32[4, 64], not f32[768]");
    b = start();
    expect(&b, ins_attention(b.g, b.x, b.x, b.x, b.ids, b.ids, 2, 2, 1), "attention: heads of size 384 are too large");
    b = start();
    expect(&b, ins_rope(b.g, b.x, b.ids, 64, 63, 1e4, false), "rope: 63 rotating channels; an even number");
    b = start();
    expect(&b, ins_rope(b.g, b.x, b.v, 64, 64, 1e4, false), "rope: positions must be i32, not f32[768]");
    b = start();
    expect(&b, ins_layernorm(b.g, b.x, b.w, b.none, 1e-5, F32), "layernorm: weight must be f32[768], not f32[10, 512]");
    b = start();
    expect(&b, ins_linear_xent(b.g, b.x, b.w, false, b.ids, b.v, NULL, NULL), "linear_xent: x must have 2 dimensions");
    b = start();
    expect(&b, ins_lstm(b.g, b.x, b.w, b.w, b.none), "linear: x f32[4, 64, 768] has 768 columns");
}

static void test_shape_ops(void **state) {
    (void)state;
    bench b = start();
    expect(&b, ins_reshape(b.g, b.x, 2, (const int64_t[]){-1, 7}), "reshape: x f32[4, 64, 768] cannot take");
    b = start();
    expect(&b, ins_reshape(b.g, b.x, 2, (const int64_t[]){-1, -1}), "reshape: x f32[4, 64, 768] cannot take");
    b = start();
    expect(&b, ins_reshape(b.g, b.x, 9, (const int64_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1}),
           "reshape: 9 dimensions; at most 6");
    b = start();
    expect(&b, ins_permute(b.g, b.x, (const int[]){0, 1, 1}), "permute: the axes are no permutation");
    b = start();
    expect(&b, ins_slice(b.g, b.x, 1, 60, 5), "slice: start 60 and length 5 leave dimension 1 of x f32[4, 64, 768]");
    b = start();
    expect(&b, ins_slice(b.g, b.x, 3, 0, 1), "slice: axis 3 is outside x f32[4, 64, 768]");
    b = start();
    expect(&b, ins_concat(b.g, (const ins_value[]){b.x, b.w}, 2, 0), "concat: part 2 is f32[10, 512]");
    b = start();
    expect(&b, ins_concat(b.g, NULL, 0, 0), "concat: there are no parts");
    b = start();
    expect(&b, ins_sum_axis(b.g, b.x, -4), "sum_axis: axis -4 is outside x f32[4, 64, 768]");
    b = start();
    expect(&b, ins_broadcast(b.g, b.v, INS_TYPE(F32, 4, 64)), "broadcast: x f32[768] does not extend to f32[4, 64]");
    b = start();
    expect(&b, ins_fill(b.g, INS_TYPE(INS_DTYPE_U8, 4), 1), "fill: cannot make u8[4]");
    b = start();
    expect(&b, ins_cast(b.g, b.x, I32), "cast: cannot turn x f32[4, 64, 768] into i32");
}

/* Missing values do not crash and do not hide the first error. */
static void test_missing_values(void **state) {
    (void)state;
    bench b = start();
    ins_value bad = ins_add(b.g, b.x, b.w);
    ins_value nll, correct;
    ins_value more = ins_linear_xent(b.g, bad, bad, false, bad, bad, &nll, &correct);
    more = ins_lstm(b.g, more, bad, bad, bad);
    more = ins_xent(b.g, more, bad, bad, &nll);
    more = ins_concat(b.g, (const ins_value[]){more, bad}, 2, 0);
    more = ins_mean_axis(b.g, ins_broadcast(b.g, more, INS_TYPE(F32, 4)), 0);
    expect(&b, ins_permute(b.g, ins_cast(b.g, more, F32), (const int[]){0}), "add: x f32[4, 64, 768]");
    assert_int_equal(nll, INS_NO_VALUE);
    assert_int_equal(correct, INS_NO_VALUE);
}

/* A target outside the classes is found when the op runs. */
static void test_bad_ids_at_run(void **state) {
    (void)state;
    ins_error err = {0};
    ins_graph *g = NULL;
    ins_plan *plan = NULL;
    ins_exec *exec = NULL;
    grad_must(ins_graph_new(F32, F32, &g, &err), &err, "graph");
    ins_value table = ins_graph_param(g, "table", INS_TYPE(F32, 3, 2)),
              ids = ins_graph_input(g, "ids", INS_TYPE(I32, 2));
    ins_graph_output(g, ins_embedding(g, table, ids), "rows");
    float numbers[6] = {0};
    int32_t outside[2] = {0, 3};
    grad_must(ins_plan_new(g, NULL, 1, &plan, &err), &err, "plan");
    grad_must(ins_exec_new(plan, NULL, &exec, &err), &err, "executor");
    grad_must(ins_exec_bind(exec, "table", numbers, &err), &err, "bind");
    grad_must(ins_exec_bind(exec, "ids", outside, &err), &err, "bind");
    assert_int_not_equal(ins_exec_run(exec, &err), INS_OK);
    assert_non_null(strstr(err.text, "3"));
    ins_exec_free(exec);
    ins_plan_free(plan);
    ins_graph_free(g);
}

/* Each allocation fails in turn while an LSTM and its gradient are built: INS_NOMEM each time, and nothing is lost. */
static void test_out_of_memory(void **state) {
    (void)state;
    bool done = false;
    uint64_t live = ins_mem_get_stats().live;
    for (uint64_t k = 1; !done; k++) {
        ins_error err = {0};
        ins_graph *g = NULL;
        ins_mem_fail_at(k);
        ins_status status = ins_graph_new(F32, F32, &g, &err);
        if (status == INS_OK) {
            ins_value x = ins_graph_input(g, "x", INS_TYPE(F32, 2, 20, 3)), d_w = INS_NO_VALUE;
            ins_value w_ih = ins_graph_param(g, "w_ih", INS_TYPE(F32, 8, 3));
            ins_value w_hh = ins_graph_param(g, "w_hh", INS_TYPE(F32, 8, 2));
            ins_value loss = ins_sum_all(g, ins_lstm(g, x, w_ih, w_hh, INS_NO_VALUE));
            status = ins_graph_gradients(g, loss, &w_ih, 1, &d_w, &err);
        }
        ins_mem_fail_at(0);
        done = status == INS_OK;
        if (!done && status != INS_NOMEM && status != INS_USAGE) fail_msg("allocation %d: %s", (int)k, err.text);
        ins_graph_free(g);
        assert_int_equal(ins_mem_get_stats().live, live);
        assert_true(k < 100000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),       cmocka_unit_test(test_elements),
        cmocka_unit_test(test_model_ops),      cmocka_unit_test(test_shape_ops),
        cmocka_unit_test(test_missing_values), cmocka_unit_test(test_bad_ids_at_run),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
