/* Ops together, as models use them: a Transformer block with its head in f64, f32 and bf16; the loss fused into its
 * gradient; a tied embedding; sizes that are split over threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "op/op_run.h"

#define I32 INS_DTYPE_I32

/* Sizes of a block. */
typedef struct block {
    int64_t batch, time, width, heads, kv_heads, ff, vocab;
} block;

typedef struct block_values {
    ins_value loss, nll, correct;
    ins_value wrt[12];
    int64_t n_wrt;
} block_values;

/* Memory of a leaf of N(0, scale) numbers in the graph's real dtype. */
static void *numbers(ins_dtype real, int64_t n, int index, double scale) {
    double *wide = malloc(((size_t)n + 1) * sizeof *wide);
    grad_random(wide, n, "block", (uint64_t)index);
    float *narrow = (float *)(void *)wide;
    for (int64_t i = 0; i < n; i++) {
        double value = scale * (double)(float)wide[i];
        if (real == INS_DTYPE_F64)
            wide[i] = value;
        else
            narrow[i] = (float)value; /* element i of narrow ends before element i + 1 of wide begins */
    }
    return wide;
}

static ins_value param(op_run *r, block_values *v, double scale, int n_dims, int64_t rows, int64_t cols) {
    ins_dtype real = ins_graph_real(r->g);
    ins_type type = ins_type_make(real, n_dims, (const int64_t[]){rows, cols});
    void *data = numbers(real, ins_type_count(&type), r->n, scale);
    r->owned[r->n] = true;
    return v->wrt[v->n_wrt++] = run_leaf(r, type, data);
}

static ins_value integers(op_run *r, int64_t rows, int64_t cols, int32_t *data) {
    return run_leaf(r, INS_TYPE(I32, rows, cols), data);
}

static ins_value mixer(op_run *r, const block *s, block_values *v, ins_value x, ins_value positions, ins_value lo,
                       ins_value hi) {
    ins_graph *g = r->g;
    ins_dtype compute = ins_graph_compute(g), real = ins_graph_real(g);
    int64_t head = s->width / s->heads, kv = head * s->kv_heads;
    ins_value norm = ins_rmsnorm(g, x, param(r, v, 1, 1, s->width, 0), 1e-5, compute);
    ins_value q = ins_linear(g, norm, param(r, v, 0.3, 2, s->width, s->width), INS_NO_VALUE, false, compute);
    ins_value kv_both = ins_linear(g, norm, param(r, v, 0.3, 2, s->width, 2 * kv), INS_NO_VALUE, true, compute);
    ins_value k = ins_slice(g, kv_both, -1, 0, kv), value = ins_slice(g, kv_both, -1, kv, kv);
    q = ins_rope(g, q, positions, (int)head, (int)head, 100, false);
    k = ins_rope(g, k, positions, (int)head, (int)head, 100, false);
    ins_value o = ins_attention(g, q, k, value, lo, hi, (int)s->heads, (int)s->kv_heads, 1 / sqrt((double)head));
    return ins_add(g, x, ins_linear(g, o, param(r, v, 0.3, 2, s->width, s->width), INS_NO_VALUE, false, real));
}

static ins_value feed_forward(op_run *r, const block *s, block_values *v, ins_value x, ins_value key) {
    ins_graph *g = r->g;
    ins_dtype compute = ins_graph_compute(g), real = ins_graph_real(g);
    ins_value bias = param(r, v, 0.5, 1, s->width, 0), weight = param(r, v, 1, 1, s->width, 0);
    ins_value norm = ins_layernorm(g, x, weight, bias, 1e-5, compute);
    ins_value gate = ins_linear(g, norm, param(r, v, 0.3, 2, s->ff, s->width), INS_NO_VALUE, false, compute);
    ins_value up = ins_linear(g, norm, param(r, v, 0.3, 2, s->ff, s->width), INS_NO_VALUE, false, compute);
    ins_value h = ins_gated(g, INS_SILU, gate, up);
    ins_value down_bias = param(r, v, 0.3, 1, s->width, 0);
    ins_value y = ins_linear(g, h, param(r, v, 0.3, 2, s->width, s->ff), down_bias, false, real);
    return ins_add(g, x, ins_dropout(g, y, key, 0.1, 3));
}

/* Embedding, one block, tied head. Integer memory is the caller's: 6 arrays of batch * time, and 4. */
static block_values build_block(op_run *r, const block *s, int32_t *memory) {
    block_values v = {0};
    int64_t n = s->batch * s->time;
    int32_t *ids = memory, *positions = ids + n, *lo = positions + n, *hi = lo + n, *targets = hi + n,
            *key = targets + n;
    for (int32_t i = 0; i < n; i++) {
        int32_t t = i % (int32_t)s->time;
        ids[i] = (7 * i + 3) % (int32_t)s->vocab;
        targets[i] = i % 5 == 4 ? -1 : (11 * i + 1) % (int32_t)s->vocab;
        lo[i] = t < s->time / 2 ? 0 : (int32_t)(s->time / 2); /* two documents a row */
        positions[i] = t - lo[i];
        hi[i] = t + 1;
    }
    for (int i = 0; i < 4; i++) key[i] = 77 + i;
    ins_graph *g = r->g;
    ins_value table = param(r, &v, 0.5, 2, s->vocab, s->width);
    ins_value x = ins_embedding(g, table, integers(r, s->batch, s->time, ids));
    ins_value at = integers(r, s->batch, s->time, positions), low = integers(r, s->batch, s->time, lo);
    x = mixer(r, s, &v, x, at, low, integers(r, s->batch, s->time, hi));
    x = feed_forward(r, s, &v, x, run_leaf(r, INS_TYPE(I32, 4), key));
    ins_value rows = ins_reshape(g, x, 2, (const int64_t[]){-1, s->width});
    ins_value flat = run_leaf(r, INS_TYPE(I32, n), targets);
    ins_value weights = ins_fill(g, INS_TYPE(ins_graph_real(g), n), 1.0 / (double)n);
    v.loss = ins_linear_xent(g, rows, table, false, flat, weights, &v.nll, &v.correct);
    return v;
}

static int32_t *integer_memory(const block *s) {
    return calloc((size_t)(s->batch * s->time * 6 + 4), sizeof(int32_t));
}

static void test_block_gradient(void **state) {
    (void)state;
    const block s = {2, 6, 8, 4, 2, 10, 13};
    op_run r = run_start(INS_DTYPE_F64, INS_DTYPE_F64);
    int32_t *memory = integer_memory(&s);
    block_values v = build_block(&r, &s, memory);
    grad_leaf leaves[RUN_MAX] = {0};
    for (int i = 0; i < r.n; i++) {
        leaves[i] = (grad_leaf){.value = r.leaf[i], .data = r.data[i]};
        for (int64_t k = 0; k < v.n_wrt; k++)
            if (v.wrt[k] == r.leaf[i]) leaves[i].n_check = 25;
    }
    grad_report report = grad_check(r.g, v.loss, leaves, r.n);
    if (report.worst > GRAD_TOLERANCE) fail_msg("error %.3g, %s", report.worst, report.where);
    assert_true(report.n_checked > 200);
    run_end(&r);
    free(memory);
}

/* The gradient of the squared length of the block's gradient: second derivatives through every fused op at once. */
static void test_block_second_gradient(void **state) {
    (void)state;
    const block s = {2, 4, 8, 4, 2, 6, 9};
    op_run r = run_start(INS_DTYPE_F64, INS_DTYPE_F64);
    ins_error err = {0};
    int32_t *memory = integer_memory(&s);
    block_values v = build_block(&r, &s, memory);
    ins_value d[12], length = INS_NO_VALUE;
    grad_must(ins_graph_gradients(r.g, v.loss, v.wrt, v.n_wrt, d, &err), &err, "first gradient");
    for (int64_t i = 0; i < v.n_wrt; i++) {
        ins_value part = ins_sum_all(r.g, ins_unary_map(r.g, INS_SQUARE, d[i]));
        length = length == INS_NO_VALUE ? part : ins_add(r.g, length, part);
    }
    grad_leaf leaves[RUN_MAX] = {0};
    for (int i = 0; i < r.n; i++) {
        leaves[i] = (grad_leaf){.value = r.leaf[i], .data = r.data[i]};
        for (int64_t k = 0; k < v.n_wrt; k++)
            if (v.wrt[k] == r.leaf[i]) leaves[i].n_check = 6;
    }
    grad_report report = grad_check(r.g, length, leaves, r.n);
    if (report.worst > GRAD_TOLERANCE) fail_msg("error %.3g, %s", report.worst, report.where);
    assert_true(report.n_checked > 60);
    run_end(&r);
    free(memory);
}

/* A gradient that enters through nll, and one through both outputs. */
static void test_nll_gradient(void **state) {
    (void)state;
    for (int form = 0; form < 3; form++) {
        op_run r = run_start(INS_DTYPE_F64, INS_DTYPE_F64);
        int32_t targets[] = {1, 4, -1, 0};
        ins_graph *g = r.g;
        ins_value x = run_normal(&r, INS_TYPE(INS_DTYPE_F64, 4, 3)), w = run_normal(&r, INS_TYPE(INS_DTYPE_F64, 5, 3));
        ins_value weights = run_normal(&r, INS_TYPE(INS_DTYPE_F64, 4)), at = run_leaf(&r, INS_TYPE(I32, 4), targets),
                  nll;
        ins_value loss = ins_linear_xent(g, x, w, false, at, weights, &nll, NULL);
        ins_value curved = ins_sum_all(g, ins_unary_map(g, INS_SQUARE, nll));
        ins_value total = form == 0   ? ins_unary_map(g, INS_SQUARE, loss)
                          : form == 1 ? curved
                                      : ins_add(g, curved, loss);
        grad_leaf leaves[4] = {0};
        for (int i = 0; i < 4; i++)
            leaves[i] = (grad_leaf){.value = r.leaf[i], .data = r.data[i], .n_check = i < 3 ? -1 : 0};
        grad_report report = grad_check(g, total, leaves, 4);
        if (report.worst > GRAD_TOLERANCE) fail_msg("form %d: error %.3g, %s", form, report.worst, report.where);
        run_end(&r);
    }
}

static void test_lstm_gradient(void **state) {
    (void)state;
    op_run r = run_start(INS_DTYPE_F64, INS_DTYPE_F64);
    ins_value x = run_normal(&r, INS_TYPE(INS_DTYPE_F64, 2, 15, 3)),
              w_ih = run_normal(&r, INS_TYPE(INS_DTYPE_F64, 8, 3));
    ins_value w_hh = run_normal(&r, INS_TYPE(INS_DTYPE_F64, 8, 2)), bias = run_normal(&r, INS_TYPE(INS_DTYPE_F64, 8));
    ins_value h = ins_lstm(r.g, x, w_ih, w_hh, bias);
    grad_leaf leaves[8] = {0};
    int64_t n = 4;
    for (int i = 0; i < 4; i++) leaves[i] = (grad_leaf){.value = r.leaf[i], .data = r.data[i], .n_check = 20};
    ins_value loss = grad_project(r.g, h, "r", leaves, &n);
    grad_report report = grad_check(r.g, loss, leaves, n);
    if (report.worst > GRAD_TOLERANCE) fail_msg("error %.3g, %s", report.worst, report.where);
    free(leaves[4].data);
    run_end(&r);
}

/* ---- the whole step as the planner makes it ------------------------------------------------------------------------
 */

typedef struct step_result {
    double loss;
    double *d[12];
    unsigned char *bits[12];
    size_t bytes[12];
    int64_t n;
    double flops;
} step_result;

static step_result run_block(const block *s, ins_dtype real, ins_dtype compute, ins_pool *pool) {
    op_run r = run_start(real, compute);
    ins_error err = {0};
    int32_t *memory = integer_memory(s);
    block_values v = build_block(&r, s, memory);
    step_result result = {.n = v.n_wrt};
    ins_value d[12];
    grad_must(ins_graph_gradients(r.g, v.loss, v.wrt, v.n_wrt, d, &err), &err, "gradients");
    ins_graph_output(r.g, v.loss, "loss");
    char name[32];
    for (int64_t i = 0; i < v.n_wrt; i++) {
        snprintf(name, sizeof name, "d%lld", (long long)i);
        ins_graph_output(r.g, d[i], name);
    }
    run_go(&r, ins_pool_threads(pool), pool);
    const void *loss = ins_exec_data(r.exec, "loss");
    result.loss = real == INS_DTYPE_F64 ? *(const double *)loss : (double)*(const float *)loss;
    result.flops = ins_plan_matmul_flops(r.plan);
    for (int64_t i = 0; i < v.n_wrt; i++) {
        snprintf(name, sizeof name, "d%lld", (long long)i);
        const void *data = ins_exec_data(r.exec, name);
        int64_t n = ins_type_count(ins_graph_type(r.g, d[i]));
        result.bytes[i] = ins_type_bytes(ins_graph_type(r.g, d[i]));
        result.bits[i] = malloc(result.bytes[i]);
        memcpy(result.bits[i], data, result.bytes[i]);
        result.d[i] = malloc((size_t)n * sizeof(double));
        for (int64_t k = 0; k < n; k++)
            result.d[i][k] = real == INS_DTYPE_F64 ? ((const double *)data)[k] : (double)((const float *)data)[k];
    }
    run_end(&r);
    free(memory);
    return result;
}

static void free_step(step_result *r) {
    for (int64_t i = 0; i < r->n; i++) {
        free(r->d[i]);
        free(r->bits[i]);
    }
}

/* rms of the difference over the rms of the exact gradient, worst parameter */
static double step_distance(const step_result *have, const step_result *want, size_t want_size) {
    double worst = 0;
    for (int64_t i = 0; i < want->n; i++) {
        int64_t n = (int64_t)(want->bytes[i] / want_size);
        double sum = 0, square = 0;
        for (int64_t k = 0; k < n; k++) {
            sum += pow(have->d[i][k] - want->d[i][k], 2);
            square += pow(want->d[i][k], 2);
        }
        double error = sqrt(sum / square);
        worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
    }
    return worst;
}

static void test_block_precisions(void **state) {
    (void)state;
    const block s = {2, 12, 32, 4, 2, 48, 61};
    step_result exact = run_block(&s, INS_DTYPE_F64, INS_DTYPE_F64, NULL);
    step_result single = run_block(&s, INS_DTYPE_F32, INS_DTYPE_F32, NULL);
    step_result half = run_block(&s, INS_DTYPE_F32, INS_DTYPE_BF16, NULL);
    assert_true(fabs(single.loss - exact.loss) < 2e-6 * exact.loss);
    assert_true(fabs(half.loss - exact.loss) < 5e-3 * exact.loss);
    double error = step_distance(&single, &exact, sizeof(double)),
           error_half = step_distance(&half, &exact, sizeof(double));
    if (error > 1e-5) fail_msg("f32 gradients are off by %.3g", error);
    if (error_half > 0.05) fail_msg("bf16 gradients are off by %.3g", error_half);
    assert_true(error_half > 1e-4); /* bf16 was used */
    free_step(&exact);
    free_step(&single);
    free_step(&half);
}

/* The head costs three products with the vocabulary matrix, not four: the loss comes from the gradient op. */
static void test_head_is_fused(void **state) {
    (void)state;
    const block s = {1, 8, 8, 2, 1, 8, 64};
    step_result r = run_block(&s, INS_DTYPE_F32, INS_DTYPE_F32, NULL);
    double tokens = 8, width = 8, head = 2 * tokens * width * 64;
    double linear = 2 * tokens * (width * width /* q */ + width * 8 /* k v */ + width * width /* o */ + 3 * width * 8);
    double attention = 4 * tokens * width * 8;
    assert_true(fabs(r.flops - 3 * (head + linear + attention)) < 1);
    free_step(&r);
}

static void test_block_threads_equal(void **state) {
    (void)state;
    const block s = {3, 50, 96, 6, 3, 200, 700};
    const ins_dtype compute[] = {INS_DTYPE_F32, INS_DTYPE_BF16};
    ins_error err = {0};
    for (int c = 0; c < 2; c++) {
        step_result one = run_block(&s, INS_DTYPE_F32, compute[c], NULL);
        for (int threads = 2; threads <= 3; threads++) {
            ins_pool *pool = NULL;
            grad_must(ins_pool_new(threads, &pool, &err), &err, "pool");
            step_result many = run_block(&s, INS_DTYPE_F32, compute[c], pool);
            assert_true(one.loss == many.loss);
            for (int64_t i = 0; i < one.n; i++) assert_memory_equal(one.bits[i], many.bits[i], one.bytes[i]);
            free_step(&many);
            ins_pool_free(pool);
        }
        free_step(&one);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_block_gradient),      cmocka_unit_test(test_block_second_gradient),
        cmocka_unit_test(test_nll_gradient),        cmocka_unit_test(test_lstm_gradient),
        cmocka_unit_test(test_block_precisions),    cmocka_unit_test(test_head_is_fused),
        cmocka_unit_test(test_block_threads_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
