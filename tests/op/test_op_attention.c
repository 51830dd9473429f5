/* Packed attention against attention of slices: values, gradients of first and second order, threads, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "op/op_run.h"

enum { BATCH = 2, TIME = 70, HEADS = 4, KV_HEADS = 2, SIZE = 6, COLS = (HEADS + 2 * KV_HEADS) * SIZE };

typedef struct bounds {
    int32_t lo[BATCH * TIME], hi[BATCH * TIME], positions[BATCH * TIME];
} bounds;

/* Causal inside of documents of 23 tokens; one row sees nothing. */
static void fill_bounds(bounds *b, int64_t n_rows) {
    for (int64_t i = 0; i < BATCH * n_rows; i++) {
        int32_t row = (int32_t)(i % n_rows);
        b->lo[i] = row / 23 * 23, b->hi[i] = i == 3 ? 0 : row + 1, b->positions[i] = row;
    }
}

typedef struct inputs {
    ins_value qkv, lo, hi, positions;
} inputs;

static inputs leaves(op_run *r, bounds *b, int64_t n_rows) {
    fill_bounds(b, n_rows);
    return (inputs){.qkv = run_normal(r, INS_TYPE(INS_DTYPE_F64, BATCH, n_rows, COLS)),
                    .lo = run_leaf(r, INS_TYPE(INS_DTYPE_I32, BATCH, n_rows), b->lo),
                    .hi = run_leaf(r, INS_TYPE(INS_DTYPE_I32, BATCH, n_rows), b->hi),
                    .positions = run_leaf(r, INS_TYPE(INS_DTYPE_I32, BATCH, n_rows), b->positions)};
}

/* Rotated queries and keys, attention; packed, or through slices. */
static ins_value attend(ins_graph *g, const inputs *in, bool packed) {
    const double scale = 0.4;
    if (packed) {
        ins_value all = ins_rope_first(g, in->qkv, in->positions, HEADS + KV_HEADS, SIZE, 4, 100, false);
        return ins_attention_packed(g, all, in->lo, in->hi, HEADS, KV_HEADS, scale);
    }
    int64_t n_q = HEADS * SIZE, n_kv = KV_HEADS * SIZE;
    ins_value q = ins_slice(g, in->qkv, 2, 0, n_q), k = ins_slice(g, in->qkv, 2, n_q, n_kv);
    q = ins_rope(g, q, in->positions, SIZE, 4, 100, false), k = ins_rope(g, k, in->positions, SIZE, 4, 100, false);
    return ins_attention(g, q, k, ins_slice(g, in->qkv, 2, n_q + n_kv, n_kv), in->lo, in->hi, HEADS, KV_HEADS, scale);
}

static ins_value square_sum(ins_graph *g, ins_value x) {
    return ins_sum_all(g, ins_unary_map(g, INS_SQUARE, x));
}

/* o, d qkv and d^2 qkv of one form, as outputs. */
static void build(op_run *r, const inputs *in, bool packed) {
    ins_error err = {0};
    ins_value o = attend(r->g, in, packed), d = INS_NO_VALUE, dd = INS_NO_VALUE;
    grad_must(ins_graph_gradients(r->g, square_sum(r->g, o), &in->qkv, 1, &d, &err), &err, "gradient");
    grad_must(ins_graph_gradients(r->g, square_sum(r->g, d), &in->qkv, 1, &dd, &err), &err, "second gradient");
    ins_graph_output(r->g, o, packed ? "o" : "o sliced");
    ins_graph_output(r->g, d, packed ? "d" : "d sliced");
    ins_graph_output(r->g, dd, packed ? "dd" : "dd sliced");
}

static void test_packed_equals_sliced(void **state) {
    (void)state;
    static bounds b;
    op_run r = run_start(INS_DTYPE_F64, INS_DTYPE_F64);
    inputs in = leaves(&r, &b, 9);
    build(&r, &in, true), build(&r, &in, false);
    run_go(&r, 1, NULL);
    int64_t n = BATCH * 9 * COLS;
    assert_near("o", run_out(&r, "o"), run_out(&r, "o sliced"), BATCH * 9 * HEADS * SIZE, 1e-12);
    assert_near("gradient", run_out(&r, "d"), run_out(&r, "d sliced"), n, 1e-12);
    assert_near("second gradient", run_out(&r, "dd"), run_out(&r, "dd sliced"), n, 1e-11);
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(run_out(&r, "dd")[i]));
    assert_true(largest > 0.1);
    run_end(&r);
}

static void test_central_differences(void **state) {
    (void)state;
    static bounds b;
    op_run r = run_start(INS_DTYPE_F64, INS_DTYPE_F64);
    inputs in = leaves(&r, &b, 7);
    grad_leaf all[4] = {{.value = in.qkv, .n_check = -1}, {.value = in.lo}, {.value = in.hi}, {.value = in.positions}};
    for (int i = 0; i < 4; i++) all[i].data = r.data[i];
    grad_report report = grad_check(r.g, square_sum(r.g, attend(r.g, &in, true)), all, 4);
    if (report.worst > GRAD_TOLERANCE) fail_msg("error %.3g, %s", report.worst, report.where);
    run_end(&r);
}

/* Equal numbers; padding with zeros turns -0 into 0. */
static void assert_equal(const float *have, const float *want, int64_t n) {
    for (int64_t i = 0; i < n; i++) assert_true(have[i] == want[i]);
}

/* In the dtypes of the fast kernels: the same numbers as through slices, the same bits with two threads. */
static void check_bits(ins_dtype dtype, ins_pool *pool) {
    static bounds b;
    int64_t sizes[2] = {BATCH * TIME * HEADS * SIZE, BATCH * TIME * COLS};
    float *saved[2] = {NULL, NULL};
    for (int turn = 0; turn < 3; turn++) {
        op_run r = run_start(INS_DTYPE_F32, dtype);
        ins_error err = {0};
        fill_bounds(&b, TIME);
        static float data[BATCH * TIME * COLS];
        for (int64_t i = 0; i < BATCH * TIME * COLS; i++) data[i] = (float)((i * 37 + 11) % 61) / 20.0f - 1.5f;
        ins_value x = run_leaf(&r, INS_TYPE(INS_DTYPE_F32, BATCH, TIME, COLS), data), d = INS_NO_VALUE;
        inputs in = {.qkv = ins_cast(r.g, x, dtype),
                     .lo = run_leaf(&r, INS_TYPE(INS_DTYPE_I32, BATCH, TIME), b.lo),
                     .hi = run_leaf(&r, INS_TYPE(INS_DTYPE_I32, BATCH, TIME), b.hi),
                     .positions = run_leaf(&r, INS_TYPE(INS_DTYPE_I32, BATCH, TIME), b.positions)};
        ins_value o = ins_cast(r.g, attend(r.g, &in, turn > 0), INS_DTYPE_F32);
        grad_must(ins_graph_gradients(r.g, square_sum(r.g, o), &x, 1, &d, &err), &err, "gradient");
        ins_graph_output(r.g, o, "o");
        ins_graph_output(r.g, ins_cast(r.g, d, INS_DTYPE_F32), "d");
        run_go(&r, 2, turn == 2 ? pool : NULL);
        const void *out[2] = {run_out(&r, "o"), run_out(&r, "d")};
        for (int i = 0; i < 2; i++) {
            size_t bytes = (size_t)sizes[i] * sizeof(float);
            if (turn == 0) saved[i] = malloc(bytes);
            if (turn == 1) assert_equal(out[i], saved[i], sizes[i]);
            if (turn == 2) assert_memory_equal(out[i], saved[i], bytes);
            memcpy(saved[i], out[i], bytes);
        }
        run_end(&r);
    }
    free(saved[0]), free(saved[1]);
}

static void test_bits(void **state) {
    (void)state;
    ins_pool *pool = NULL;
    assert_int_equal(ins_pool_new(2, &pool, NULL), INS_OK);
    check_bits(INS_DTYPE_F32, pool);
    check_bits(INS_DTYPE_BF16, pool);
    ins_pool_free(pool);
}

/* Only d_q is wanted: the other gradients have no memory. */
static void test_one_gradient(void **state) {
    (void)state;
    static bounds b;
    op_run r = run_start(INS_DTYPE_F64, INS_DTYPE_F64);
    ins_error err = {0};
    fill_bounds(&b, 9);
    ins_value q = run_normal(&r, INS_TYPE(INS_DTYPE_F64, BATCH, 9, 8)), d[2] = {INS_NO_VALUE, INS_NO_VALUE};
    ins_value k = run_normal(&r, INS_TYPE(INS_DTYPE_F64, BATCH, 9, 8));
    ins_value lo = run_leaf(&r, INS_TYPE(INS_DTYPE_I32, BATCH, 9), b.lo);
    ins_value hi = run_leaf(&r, INS_TYPE(INS_DTYPE_I32, BATCH, 9), b.hi);
    for (int form = 0; form < 2; form++) {
        ins_value q32 = ins_cast(r.g, q, form ? INS_DTYPE_F32 : INS_DTYPE_F64);
        ins_value k32 = ins_cast(r.g, k, form ? INS_DTYPE_F32 : INS_DTYPE_F64);
        ins_value o =
            ins_attention(r.g, q32, ins_stop_gradient(r.g, k32), ins_stop_gradient(r.g, k32), lo, hi, 2, 2, 1);
        grad_must(ins_graph_gradients(r.g, square_sum(r.g, o), &q32, 1, &d[form], &err), &err, "gradient");
        ins_graph_output(r.g, ins_cast(r.g, d[form], INS_DTYPE_F64), form ? "fast" : "exact");
    }
    run_go(&r, 1, NULL);
    assert_near("d_q", run_out(&r, "fast"), run_out(&r, "exact"), BATCH * 9 * 8, 1e-4);
    run_end(&r);
}

static void test_refusals(void **state) {
    (void)state;
    for (int bad = 0; bad < 2; bad++) {
        static bounds b;
        op_run r = run_start(INS_DTYPE_F64, INS_DTYPE_F64);
        ins_error err = {0};
        inputs in = leaves(&r, &b, 9);
        if (bad)
            ins_attention_packed(r.g, in.qkv, in.lo, in.hi, 5, 5, 1);
        else
            ins_rope_first(r.g, in.qkv, in.positions, COLS / SIZE + 1, SIZE, 4, 100, false);
        assert_int_equal(ins_graph_status(r.g, &err), INS_USAGE);
        run_end(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_equals_sliced),
        cmocka_unit_test(test_central_differences),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_one_gradient),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
