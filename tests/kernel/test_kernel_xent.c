/* The fused loss against the f64 reference, and the reference against its definition and central differences. */
#include "kernel/xent.h"
#include "kernel_test.h"

typedef struct xent_case {
    int64_t n, d, v;
    bool trans_w, bias, weights, accumulate;
    double smoothing, z_loss;
} xent_case;

typedef struct xent_data {
    kt_array x, w, bias, weights, targets, loss, nll, correct, d_x, d_w, d_bias;
    ins_linear_xent_args args;
} xent_data;

static kt_array random_as(ins_dtype source, ins_dtype dtype, int64_t n, double size, uint64_t seed) {
    kt_array x = kt_random(source, n, -size, size, seed), y = kt_copy(&x, dtype);
    kt_free(&x);
    return y;
}

static xent_data xent_make(const xent_case *t, ins_dtype source, ins_dtype dtype) {
    ins_dtype acc = kt_acc(dtype), acc_source = kt_acc(source);
    int64_t ldx = t->d + 1, rows_w = t->trans_w ? t->d : t->v, ldw = (t->trans_w ? t->v : t->d) + 2;
    xent_data d = {.x = random_as(source, dtype, t->n * ldx, 2, 1),
                   .w = random_as(source, dtype, rows_w * ldw, 1, 2),
                   .bias = random_as(acc_source, acc, t->v, 1, 3),
                   .weights = random_as(acc_source, acc, t->n, 2, 4),
                   .targets = kt_new(INS_DTYPE_I32, t->n),
                   .loss = kt_new(acc, 1),
                   .nll = kt_new(acc, t->n),
                   .correct = kt_new(acc, t->n),
                   .d_x = random_as(source, dtype, t->n * ldx, 1, 5),
                   .d_w = random_as(acc_source, acc, rows_w * ldw, 1, 6),
                   .d_bias = random_as(acc_source, acc, t->v, 1, 7)};
    for (int64_t i = 0; i < t->n; i++) ((int32_t *)d.targets.data)[i] = i % 5 == 3 ? -1 : (int32_t)(i * 7 % t->v);
    d.args = (ins_linear_xent_args){.dtype = dtype,
                                    .n = t->n,
                                    .d = t->d,
                                    .v = t->v,
                                    .x = d.x.data,
                                    .ldx = ldx,
                                    .w = d.w.data,
                                    .ldw = ldw,
                                    .trans_w = t->trans_w,
                                    .bias = t->bias ? d.bias.data : NULL,
                                    .targets = d.targets.data,
                                    .weights = t->weights ? d.weights.data : NULL,
                                    .label_smoothing = t->smoothing,
                                    .z_loss = t->z_loss,
                                    .d_loss = 0.37,
                                    .loss_sum = d.loss.data,
                                    .nll = d.nll.data,
                                    .correct = d.correct.data,
                                    .d_x = d.d_x.data,
                                    .ld_dx = ldx,
                                    .d_w = d.d_w.data,
                                    .ld_dw = ldw,
                                    .d_bias = d.d_bias.data,
                                    .accumulate_dw = t->accumulate};
    return d;
}

static void xent_run(xent_data *d, ins_pool *pool) {
    d->args.scratch = malloc(ins_linear_xent_scratch(&d->args) + 1);
    assert_int_equal(ins_linear_xent_run(&d->args, pool, NULL), INS_OK);
    free(d->args.scratch);
}

static void xent_drop(xent_data *d) {
    kt_free(&d->x), kt_free(&d->w), kt_free(&d->bias), kt_free(&d->weights), kt_free(&d->targets), kt_free(&d->loss);
    kt_free(&d->nll), kt_free(&d->correct), kt_free(&d->d_x), kt_free(&d->d_w), kt_free(&d->d_bias);
}

static void xent_check(const xent_case *t, ins_dtype dtype) {
    xent_data want = xent_make(t, dtype, INS_DTYPE_F64), one = xent_make(t, dtype, dtype),
              two = xent_make(t, dtype, dtype);
    xent_run(&want, NULL), xent_run(&one, NULL), xent_run(&two, kt_two);
    double eps = kt_eps(dtype), slope = dtype == INS_DTYPE_F32 ? 2e-5 : 16 * eps;
    kt_near("loss", &one.loss, &want.loss, 1e-5 * (double)(t->n + 1), 1e-6);
    kt_near("nll", &one.nll, &want.nll, 2e-5, 1e-6), kt_near("correct", &one.correct, &want.correct, 0, 0);
    kt_near("d_x", &one.d_x, &want.d_x, slope * sqrt((double)t->v), 4 * eps);
    kt_near("d_w", &one.d_w, &want.d_w, slope * sqrt((double)t->n + 1), 4 * eps);
    kt_near("d_bias", &one.d_bias, &want.d_bias, slope * sqrt((double)t->n + 1), 4 * eps);
    kt_same_bits("loss", &one.loss, &two.loss), kt_same_bits("d_x", &one.d_x, &two.d_x);
    kt_same_bits("d_w", &one.d_w, &two.d_w), kt_same_bits("d_bias", &one.d_bias, &two.d_bias);
    xent_drop(&want), xent_drop(&one), xent_drop(&two);
}

static void xent_all(void) {
    static const int64_t shapes[][3] = {{1, 1, 1}, {7, 5, 3}, {33, 24, 130}, {4, 40, 1500}, {0, 3, 4}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int bits = (int)s % KT_STEP; bits < 32; bits += KT_STEP) {
            xent_case t = {shapes[s][0], shapes[s][1], shapes[s][2], bits & 1, bits & 2, bits & 4, bits & 8, 0, 0};
            if (bits & 16) t.smoothing = 0.1, t.z_loss = 0.01;
            xent_check(&t, INS_DTYPE_F32);
            xent_check(&t, INS_DTYPE_BF16);
        }
}

static void test_levels(void **state) {
    (void)state;
    kt_each_level(xent_all);
}

/* More rows than one chunk of logits holds: 40 rows of 600,000. */
static void test_chunks(void **state) {
    (void)state;
    xent_case t = {.n = 40, .d = 1, .v = 600000};
    xent_data d = xent_make(&t, INS_DTYPE_F32, INS_DTYPE_F32);
    d.args.d_x = NULL, d.args.d_bias = NULL;
    assert_true(ins_linear_xent_scratch(&d.args) < (size_t)70 << 20);
    xent_run(&d, kt_two);
    for (int64_t i = 0; i < t.n; i++)
        if (i % 5 != 3) assert_true(fabs(kt_get(&d.nll, i) - log(6e5)) < 5);
    double sum = 0;
    for (int64_t i = 0; i < t.v; i++) sum += kt_get(&d.d_w, i * d.args.ldw);
    assert_true(fabs(sum) < 1e-3); /* probabilities minus one, summed */
    xent_drop(&d);
}

static double naive_loss(const xent_data *d) {
    const ins_linear_xent_args *a = &d->args;
    const double *x = a->x, *w = a->w, *bias = a->bias, *weights = a->weights;
    double loss = 0;
    for (int64_t i = 0; i < a->n; i++) {
        double sum = 0, mean = 0, picked = 0;
        if (a->targets[i] < 0) continue;
        for (int64_t v = 0; v < a->v; v++) {
            double z = bias ? bias[v] : 0;
            for (int64_t c = 0; c < a->d; c++)
                z += x[i * a->ldx + c] * (a->trans_w ? w[c * a->ldw + v] : w[v * a->ldw + c]);
            sum += exp(z), mean += z / (double)a->v;
            if (v == a->targets[i]) picked = z;
        }
        double lse = log(sum), s = a->label_smoothing;
        loss += (weights ? weights[i] : 1) * ((1 - s) * (lse - picked) + s * (lse - mean) + a->z_loss * lse * lse);
    }
    return loss;
}

static void check_difference(xent_data *d, kt_array *x, const kt_array *grad, int64_t at) {
    double *value = (double *)x->data + at, old = *value;
    *value = old + 1e-5;
    double up = naive_loss(d);
    *value = old - 1e-5;
    double down = naive_loss(d);
    *value = old;
    assert_true(fabs(0.37 * (up - down) / 2e-5 - kt_get(grad, at)) < 1e-8);
}

static void test_reference(void **state) {
    (void)state;
    for (int bits = 0; bits < 2; bits++) {
        xent_case t = {9, 4, 6, bits, true, true, false, 0.2, 0.03};
        xent_data d = xent_make(&t, INS_DTYPE_F64, INS_DTYPE_F64);
        xent_run(&d, NULL);
        assert_true(fabs(kt_get(&d.loss, 0) - naive_loss(&d)) < 1e-10);
        for (int64_t i = 0; i < 9; i++) check_difference(&d, &d.x, &d.d_x, i * d.args.ldx + i % 4);
        for (int64_t i = 0; i < 4; i++) check_difference(&d, &d.w, &d.d_w, i * d.args.ldw + i % 4);
        for (int64_t i = 0; i < 6; i++) check_difference(&d, &d.bias, &d.d_bias, i);
        for (int64_t i = 3; i < 9; i += 5) assert_true(kt_get(&d.nll, i) == 0 && kt_get(&d.d_x, i * d.args.ldx) == 0);
        xent_drop(&d);
    }
}

static void test_forward_only(void **state) {
    (void)state;
    xent_case t = {9, 4, 60, false, false, false, false, 0, 0};
    xent_data all = xent_make(&t, INS_DTYPE_F32, INS_DTYPE_F32), part = xent_make(&t, INS_DTYPE_F32, INS_DTYPE_F32);
    part.args.d_x = part.args.d_w = part.args.d_bias = part.args.correct = NULL;
    xent_run(&all, NULL), xent_run(&part, NULL);
    kt_same_bits("nll", &all.nll, &part.nll);
    ((int32_t *)part.targets.data)[2] = 60;
    assert_int_equal(ins_linear_xent_run(&part.args, NULL, NULL), INS_BUG);
    xent_drop(&all), xent_drop(&part);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_forward_only),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
