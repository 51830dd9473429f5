/* What each op computes, against plain loops written here. f64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "op/op_run.h"

#define F64  INS_DTYPE_F64
#define I32  INS_DTYPE_I32
#define TINY 1e-12

static void test_binary(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    ins_value x = run_normal(&r, INS_TYPE(F64, 2, 3, 4)), y = run_normal(&r, INS_TYPE(F64, 3, 1));
    ins_graph_output(r.g, ins_add(r.g, x, y), "add");
    ins_graph_output(r.g, ins_sub(r.g, x, y), "sub");
    ins_graph_output(r.g, ins_mul(r.g, x, y), "mul");
    ins_graph_output(r.g, ins_div(r.g, x, y), "div");
    ins_graph_output(r.g, ins_add_scalar(r.g, ins_scale(r.g, x, -2.5), 0.75), "affine");
    run_go(&r, 1, NULL);
    const double *a = run_data(&r, x), *b = run_data(&r, y);
    double want[5][24];
    for (int i = 0; i < 24; i++) {
        double right = b[i / 4 % 3];
        want[0][i] = a[i] + right;
        want[1][i] = a[i] - right;
        want[2][i] = a[i] * right;
        want[3][i] = a[i] / right;
        want[4][i] = -2.5 * a[i] + 0.75;
    }
    const char *names[] = {"add", "sub", "mul", "div", "affine"};
    for (int i = 0; i < 5; i++) assert_near(names[i], run_out(&r, names[i]), want[i], 24, TINY);
    run_end(&r);
}

static double unary_formula(ins_unary kind, double x) {
    double sigmoid = 1 / (1 + exp(-x));
    switch (kind) {
    case INS_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case INS_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case INS_SILU:
        return x * sigmoid;
    case INS_RELU:
        return x > 0 ? x : 0;
    case INS_RELU2:
        return x > 0 ? x * x : 0;
    case INS_SIGMOID:
        return sigmoid;
    case INS_TANH:
        return tanh(x);
    case INS_EXP:
        return exp(x);
    case INS_LOG:
        return log(x);
    case INS_SQRT:
        return sqrt(x);
    case INS_SQUARE:
        return x * x;
    case INS_NEG:
        return -x;
    case INS_ABS:
        return fabs(x);
    case INS_RSQRT:
        return 1 / sqrt(x);
    case INS_SOFTPLUS:
        return log1p(exp(x));
    case INS_UNARY_COUNT:
        break;
    }
    return 0;
}

static void test_unary(void **state) {
    (void)state;
    for (int kind = 0; kind < INS_UNARY_COUNT; kind++) {
        op_run r = run_start(F64, F64);
        bool positive = kind == INS_LOG || kind == INS_SQRT || kind == INS_RSQRT;
        double x[] = {-2.5, -0.75, -1e-3, 0.25, 1, 3.5, 0.01}, up[] = {1, 2, 3, 4, 5, 6, 7}, want[7], gated[7];
        for (int i = 0; i < 7; i++) {
            x[i] = positive ? fabs(x[i]) : x[i];
            want[i] = unary_formula((ins_unary)kind, x[i]);
            gated[i] = want[i] * up[i];
        }
        ins_value leaf = run_leaf(&r, INS_TYPE(F64, 7), x), leaf_up = run_leaf(&r, INS_TYPE(F64, 7), up);
        ins_graph_output(r.g, ins_unary_map(r.g, (ins_unary)kind, leaf), "y");
        ins_graph_output(r.g, ins_gated(r.g, (ins_unary)kind, leaf, leaf_up), "gated");
        run_go(&r, 1, NULL);
        assert_near("unary", run_out(&r, "y"), want, 7, TINY);
        assert_near("gated", run_out(&r, "gated"), gated, 7, TINY);
        run_end(&r);
    }
}

static void test_matmul_linear(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    ins_value x = run_normal(&r, INS_TYPE(F64, 2, 3, 5)), w = run_normal(&r, INS_TYPE(F64, 4, 5));
    ins_value bias = run_normal(&r, INS_TYPE(F64, 4)), y = run_normal(&r, INS_TYPE(F64, 2, 5, 4));
    ins_value w_t = run_normal(&r, INS_TYPE(F64, 5, 4));
    ins_graph_output(r.g, ins_linear(r.g, x, w, bias, false, F64), "linear");
    ins_graph_output(r.g, ins_linear(r.g, x, w_t, INS_NO_VALUE, true, F64), "in_out");
    ins_graph_output(r.g, ins_matmul(r.g, x, y, false, false), "batch");
    ins_graph_output(r.g, ins_matmul(r.g, w, w_t, true, true), "both");
    run_go(&r, 1, NULL);
    const double *xs = run_data(&r, x), *ws = run_data(&r, w), *bs = run_data(&r, bias), *ys = run_data(&r, y);
    const double *ts = run_data(&r, w_t);
    double linear[24], in_out[24], batch[24], both[25];
    for (int row = 0; row < 6; row++)
        for (int n = 0; n < 4; n++) {
            double one = bs[n], two = 0, three = 0;
            for (int k = 0; k < 5; k++) {
                one += xs[row * 5 + k] * ws[n * 5 + k];
                two += xs[row * 5 + k] * ts[k * 4 + n];
                three += xs[row * 5 + k] * ys[(row / 3) * 20 + k * 4 + n];
            }
            linear[row * 4 + n] = one;
            in_out[row * 4 + n] = two;
            batch[row * 4 + n] = three;
        }
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++) {
            both[i * 5 + j] = 0;
            for (int k = 0; k < 4; k++) both[i * 5 + j] += ws[k * 5 + i] * ts[j * 4 + k];
        }
    assert_near("linear", run_out(&r, "linear"), linear, 24, TINY);
    assert_near("in_out", run_out(&r, "in_out"), in_out, 24, TINY);
    assert_near("batch", run_out(&r, "batch"), batch, 24, TINY);
    assert_near("both", run_out(&r, "both"), both, 25, TINY);
    run_end(&r);
}

/* B 2, T 4, S 5, H 4, Hkv 2, K 3 */
static void naive_attention(const double *q, const double *k, const double *v, const int32_t *lo, const int32_t *hi,
                            double scale, double *out) {
    for (int b = 0; b < 2; b++)
        for (int t = 0; t < 4; t++)
            for (int h = 0; h < 4; h++) {
                double p[5], sum = 0, *o = out + (b * 4 + t) * 12 + h * 3;
                o[0] = o[1] = o[2] = 0;
                for (int j = lo[b * 4 + t]; j < hi[b * 4 + t]; j++) {
                    double s = 0;
                    for (int c = 0; c < 3; c++)
                        s += q[(b * 4 + t) * 12 + h * 3 + c] * k[(b * 5 + j) * 6 + h / 2 * 3 + c];
                    sum += p[j] = exp(scale * s);
                }
                for (int j = lo[b * 4 + t]; j < hi[b * 4 + t]; j++)
                    for (int c = 0; c < 3; c++) o[c] += p[j] / sum * v[(b * 5 + j) * 6 + h / 2 * 3 + c];
            }
}

static void test_attention(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    int32_t lo[] = {0, 0, 1, 2, 0, 1, 3, 0}, hi[] = {1, 2, 3, 5, 5, 4, 3, 2}; /* row 6 sees nothing */
    ins_value q = run_normal(&r, INS_TYPE(F64, 2, 4, 12)), k = run_normal(&r, INS_TYPE(F64, 2, 5, 6));
    ins_value v = run_normal(&r, INS_TYPE(F64, 2, 5, 6));
    ins_value low = run_leaf(&r, INS_TYPE(I32, 2, 4), lo), high = run_leaf(&r, INS_TYPE(I32, 2, 4), hi);
    ins_graph_output(r.g, ins_attention(r.g, q, k, v, low, high, 4, 2, 0.4), "o");
    run_go(&r, 1, NULL);
    double want[96];
    naive_attention(run_data(&r, q), run_data(&r, k), run_data(&r, v), lo, hi, 0.4, want);
    assert_near("attention", run_out(&r, "o"), want, 96, TINY);
    run_end(&r);
}

static void test_rope(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    int32_t positions[] = {0, 3, 7};
    double table[] = {1, 0.2};
    ins_value x = run_normal(&r, INS_TYPE(F64, 3, 12)), at = run_leaf(&r, INS_TYPE(I32, 3), positions);
    ins_graph_output(r.g, ins_rope(r.g, x, at, 6, 4, 100.0, false), "half");
    ins_graph_output(r.g, ins_rope(r.g, x, at, 6, 4, 100.0, true), "interleaved");
    ins_graph_output(r.g, ins_rope_table(r.g, x, at, 6, table, 2, 1.5, false), "table");
    run_go(&r, 1, NULL);
    const double *xs = run_data(&r, x);
    double want[3][36];
    for (int form = 0; form < 3; form++)
        for (int row = 0; row < 3; row++)
            for (int h = 0; h < 2; h++) {
                const double *in = xs + row * 12 + h * 6;
                double *out = want[form] + row * 12 + h * 6;
                for (int c = 4; c < 6; c++) out[c] = in[c];
                for (int i = 0; i < 2; i++) {
                    int one = form == 1 ? 2 * i : i, two = form == 1 ? 2 * i + 1 : i + 2;
                    double angle = positions[row] * (form == 2 ? table[i] : pow(100.0, -2.0 * i / 4));
                    double scale = form == 2 ? 1.5 : 1;
                    out[one] = scale * (in[one] * cos(angle) - in[two] * sin(angle));
                    out[two] = scale * (in[two] * cos(angle) + in[one] * sin(angle));
                }
            }
    assert_near("half", run_out(&r, "half"), want[0], 36, TINY);
    assert_near("interleaved", run_out(&r, "interleaved"), want[1], 36, TINY);
    assert_near("table", run_out(&r, "table"), want[2], 36, TINY);
    run_end(&r);
}

static void test_norms(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    ins_value x = run_normal(&r, INS_TYPE(F64, 3, 5)), w = run_normal(&r, INS_TYPE(F64, 5));
    ins_value b = run_normal(&r, INS_TYPE(F64, 5));
    ins_graph_output(r.g, ins_layernorm(r.g, x, w, b, 1e-3, F64), "layer");
    ins_graph_output(r.g, ins_layernorm(r.g, x, INS_NO_VALUE, b, 1e-3, F64), "no weight");
    ins_graph_output(r.g, ins_rmsnorm(r.g, x, w, 1e-3, F64), "rms");
    ins_graph_output(r.g, ins_rmsnorm_offset(r.g, x, w, 1.0, 1e-3, F64), "offset");
    run_go(&r, 1, NULL);
    const double *xs = run_data(&r, x), *ws = run_data(&r, w), *bs = run_data(&r, b);
    double want[4][15];
    for (int row = 0; row < 3; row++) {
        double mean = 0, var = 0, square = 0;
        for (int c = 0; c < 5; c++) mean += xs[row * 5 + c] / 5;
        for (int c = 0; c < 5; c++) {
            var += pow(xs[row * 5 + c] - mean, 2) / 5;
            square += pow(xs[row * 5 + c], 2) / 5;
        }
        for (int c = 0; c < 5; c++) {
            double layer = (xs[row * 5 + c] - mean) / sqrt(var + 1e-3), rms = xs[row * 5 + c] / sqrt(square + 1e-3);
            want[0][row * 5 + c] = layer * ws[c] + bs[c];
            want[1][row * 5 + c] = layer + bs[c];
            want[2][row * 5 + c] = rms * ws[c];
            want[3][row * 5 + c] = rms * (1 + ws[c]);
        }
    }
    const char *names[] = {"layer", "no weight", "rms", "offset"};
    for (int i = 0; i < 4; i++) assert_near(names[i], run_out(&r, names[i]), want[i], 15, 1e-11);
    run_end(&r);
}

static void test_tables(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    int32_t ids[] = {3, 0, -1, 3};
    ins_value table = run_normal(&r, INS_TYPE(F64, 4, 3)), leaf = run_leaf(&r, INS_TYPE(I32, 2, 2), ids);
    ins_value flat = ins_reshape(r.g, leaf, 1, (const int64_t[]){-1});
    ins_graph_output(r.g, ins_embedding(r.g, table, leaf), "embedding");
    ins_graph_output(r.g, ins_gather_rows(r.g, table, flat), "gather");
    assert_int_equal(ins_graph_type(r.g, ins_graph_find(r.g, "embedding"))->n_dims, 3);
    run_go(&r, 1, NULL);
    const double *rows = run_data(&r, table);
    double want[12];
    for (int i = 0; i < 12; i++) want[i] = ids[i / 3] < 0 ? 0 : rows[ids[i / 3] * 3 + i % 3];
    assert_near("embedding", run_out(&r, "embedding"), want, 12, 0);
    assert_near("gather", run_out(&r, "gather"), want, 12, 0);
    run_end(&r);
}

static void test_losses(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    int32_t targets[] = {2, -1, 5, 0};
    ins_value x = run_normal(&r, INS_TYPE(F64, 4, 3)), w = run_normal(&r, INS_TYPE(F64, 6, 3));
    ins_value at = run_leaf(&r, INS_TYPE(I32, 4), targets), weights = run_normal(&r, INS_TYPE(F64, 4));
    ins_value nll, correct, nll2;
    ins_value logits = ins_linear(r.g, x, w, INS_NO_VALUE, false, F64);
    ins_graph_output(r.g, ins_linear_xent(r.g, x, w, false, at, weights, &nll, &correct), "fused");
    ins_graph_output(r.g, nll, "nll");
    ins_graph_output(r.g, correct, "correct");
    ins_graph_output(r.g, ins_xent(r.g, logits, at, weights, &nll2), "plain");
    ins_graph_output(r.g, nll2, "nll plain");
    ins_graph_output(r.g, ins_softmax(r.g, logits), "softmax");
    ins_graph_output(r.g, ins_log_softmax(r.g, logits), "log");
    run_go(&r, 1, NULL);
    const double *xs = run_data(&r, x), *ws = run_data(&r, w), *row_weights = run_data(&r, weights);
    double want_nll[4], want_correct[4], softmax[24], log_softmax[24], loss = 0;
    for (int i = 0; i < 4; i++) {
        double z[6], sum = 0;
        int best = 0;
        for (int c = 0; c < 6; c++) {
            z[c] = 0;
            for (int d = 0; d < 3; d++) z[c] += xs[i * 3 + d] * ws[c * 3 + d];
            if (z[c] > z[best]) best = c;
            sum += exp(z[c]);
        }
        for (int c = 0; c < 6; c++) {
            softmax[i * 6 + c] = exp(z[c]) / sum;
            log_softmax[i * 6 + c] = z[c] - log(sum);
        }
        want_nll[i] = targets[i] < 0 ? 0 : log(sum) - z[targets[i]];
        want_correct[i] = targets[i] >= 0 && best == targets[i];
        loss += row_weights[i] * want_nll[i];
    }
    assert_near("fused", run_out(&r, "fused"), &loss, 1, TINY);
    assert_near("plain", run_out(&r, "plain"), &loss, 1, TINY);
    assert_near("nll", run_out(&r, "nll"), want_nll, 4, TINY);
    assert_near("nll plain", run_out(&r, "nll plain"), want_nll, 4, TINY);
    assert_near("correct", run_out(&r, "correct"), want_correct, 4, 0);
    assert_near("softmax", run_out(&r, "softmax"), softmax, 24, TINY);
    assert_near("log", run_out(&r, "log"), log_softmax, 24, TINY);
    run_end(&r);
}

static void test_reductions(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    ins_value x = run_normal(&r, INS_TYPE(F64, 2, 3, 4));
    ins_graph_output(r.g, ins_sum_all(r.g, x), "all");
    ins_graph_output(r.g, ins_sum_axis(r.g, x, 1), "middle");
    ins_graph_output(r.g, ins_mean_axis(r.g, x, -1), "mean");
    run_go(&r, 1, NULL);
    const double *xs = run_data(&r, x);
    double all = 0, middle[8] = {0}, mean[6] = {0};
    for (int i = 0; i < 24; i++) {
        all += xs[i];
        middle[i / 12 * 4 + i % 4] += xs[i];
        mean[i / 4] += xs[i] / 4;
    }
    assert_near("all", run_out(&r, "all"), &all, 1, TINY);
    assert_near("middle", run_out(&r, "middle"), middle, 8, TINY);
    assert_near("mean", run_out(&r, "mean"), mean, 6, TINY);
    run_end(&r);
}

static void test_shapes(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    ins_value x = run_normal(&r, INS_TYPE(F64, 2, 3, 4)), row = run_normal(&r, INS_TYPE(F64, 3, 1));
    ins_graph_output(r.g, ins_permute(r.g, x, (const int[]){2, 0, -2}), "permute");
    ins_graph_output(r.g, ins_slice(r.g, x, 1, 1, 2), "slice");
    ins_value tail = ins_slice(r.g, x, -1, 3, 1);
    ins_graph_output(r.g, ins_concat(r.g, (const ins_value[]){x, tail, x}, 3, 2), "concat");
    ins_graph_output(r.g, ins_broadcast(r.g, row, INS_TYPE(F64, 2, 3, 4)), "broadcast");
    ins_value many[40];
    for (int i = 0; i < 40; i++) many[i] = ins_scale(r.g, tail, i);
    ins_graph_output(r.g, ins_concat(r.g, many, 40, 2), "many");
    run_go(&r, 1, NULL);
    const double *xs = run_data(&r, x), *rows = run_data(&r, row);
    double permute[24], slice[16], concat[54], broadcast[24], forty[240];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 4; k++) {
                double value = xs[i * 12 + j * 4 + k];
                permute[k * 6 + i * 3 + j] = value;
                if (j > 0) slice[i * 8 + (j - 1) * 4 + k] = value;
                concat[(i * 3 + j) * 9 + k] = concat[(i * 3 + j) * 9 + 5 + k] = value;
                if (k == 3) concat[(i * 3 + j) * 9 + 4] = value;
                for (int m = 0; m < 40 && k == 3; m++) forty[(i * 3 + j) * 40 + m] = value * m;
                broadcast[i * 12 + j * 4 + k] = rows[j];
            }
    assert_near("permute", run_out(&r, "permute"), permute, 24, 0);
    assert_near("slice", run_out(&r, "slice"), slice, 16, 0);
    assert_near("concat", run_out(&r, "concat"), concat, 54, 0);
    assert_near("broadcast", run_out(&r, "broadcast"), broadcast, 24, 0);
    assert_near("many", run_out(&r, "many"), forty, 240, 0);
    run_end(&r);
}

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

/* B 2, T 5, D 3, H 2 */
static void naive_lstm(const double *x, const double *w_ih, const double *w_hh, const double *bias, double *out) {
    for (int b = 0; b < 2; b++) {
        double h[2] = {0}, c[2] = {0};
        for (int t = 0; t < 5; t++) {
            double gate[8];
            for (int j = 0; j < 8; j++) {
                gate[j] = bias[j];
                for (int d = 0; d < 3; d++) gate[j] += x[(b * 5 + t) * 3 + d] * w_ih[j * 3 + d];
                for (int d = 0; d < 2; d++) gate[j] += h[d] * w_hh[j * 2 + d];
            }
            for (int d = 0; d < 2; d++) {
                c[d] = logistic(gate[2 + d]) * c[d] + logistic(gate[d]) * tanh(gate[4 + d]);
                h[d] = out[(b * 5 + t) * 2 + d] = logistic(gate[6 + d]) * tanh(c[d]);
            }
        }
    }
}

static void test_lstm(void **state) {
    (void)state;
    op_run r = run_start(F64, F64);
    ins_value x = run_normal(&r, INS_TYPE(F64, 2, 5, 3)), w_ih = run_normal(&r, INS_TYPE(F64, 8, 3));
    ins_value w_hh = run_normal(&r, INS_TYPE(F64, 8, 2)), bias = run_normal(&r, INS_TYPE(F64, 8));
    ins_graph_output(r.g, ins_lstm(r.g, x, w_ih, w_hh, bias), "h");
    run_go(&r, 1, NULL);
    double want[20];
    naive_lstm(run_data(&r, x), run_data(&r, w_ih), run_data(&r, w_hh), run_data(&r, bias), want);
    assert_near("lstm", run_out(&r, "h"), want, 20, TINY);
    run_end(&r);
}

static void test_dropout(void **state) {
    (void)state;
    enum { N = 20000 };
    op_run r = run_start(F64, F64);
    static double ones[N];
    for (int i = 0; i < N; i++) ones[i] = 1;
    int32_t key[4] = {1, 2, 3, 4}, other_key[4] = {1, 2, 3, 5};
    ins_value x = run_leaf(&r, INS_TYPE(F64, N), ones), k = run_leaf(&r, INS_TYPE(I32, 4), key);
    ins_value k2 = run_leaf(&r, INS_TYPE(I32, 4), other_key);
    ins_graph_output(r.g, ins_dropout(r.g, x, k, 0.25, 1), "one");
    ins_graph_output(r.g, ins_dropout(r.g, x, k, 0.25, 2), "stream");
    ins_graph_output(r.g, ins_dropout(r.g, x, k2, 0.25, 1), "key");
    assert_int_equal(ins_dropout(r.g, x, k, 0.0, 1), x);
    run_go(&r, 1, NULL);
    const double *one = run_out(&r, "one"), *stream = run_out(&r, "stream"), *other = run_out(&r, "key");
    int kept = 0, same_stream = 0, same_key = 0;
    for (int i = 0; i < N; i++) {
        assert_true(one[i] == 0 || fabs(one[i] - 4.0 / 3) < 1e-15);
        kept += one[i] != 0;
        same_stream += one[i] == stream[i];
        same_key += one[i] == other[i];
    }
    /* 5 standard deviations around 0.75 N, and around the 0.625 N agreements of independent masks */
    assert_in_range(kept, 15000 - 306, 15000 + 306);
    assert_in_range(same_stream, 12500 - 343, 12500 + 343);
    assert_in_range(same_key, 12500 - 343, 12500 + 343);
    run_end(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binary),    cmocka_unit_test(test_unary),  cmocka_unit_test(test_matmul_linear),
        cmocka_unit_test(test_attention), cmocka_unit_test(test_rope),   cmocka_unit_test(test_norms),
        cmocka_unit_test(test_tables),    cmocka_unit_test(test_losses), cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_shapes),    cmocka_unit_test(test_lstm),   cmocka_unit_test(test_dropout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
