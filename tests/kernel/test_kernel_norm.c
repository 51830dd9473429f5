/* Norms, softmax and rotary embedding against the f64 reference, and the reference against its definition. */
#include "kernel/norm.h"
#include "kernel/rope.h"
#include "kernel/softmax.h"
#include "kernel_test.h"

typedef struct norm_case {
    int64_t rows, cols;
    bool rms, weight, bias, accumulate;
} norm_case;

typedef struct norm_data {
    kt_array x, y, weight, bias, mean, rstd, d_y, d_x, d_weight, d_bias;
} norm_data;

static kt_array random_as(ins_dtype source, ins_dtype dtype, int64_t n, double low, double high, uint64_t seed) {
    kt_array x = kt_random(source, n, low, high, seed), y = kt_copy(&x, dtype);
    kt_free(&x);
    return y;
}

static norm_data norm_run(const norm_case *t, ins_dtype source, ins_dtype dtype, ins_pool *pool) {
    int64_t ld = t->cols + 2, n = t->rows * ld;
    ins_dtype acc = kt_acc(dtype), acc_source = kt_acc(source);
    norm_data d = {.x = random_as(source, dtype, n, -1, 3, 1),
                   .y = random_as(source, dtype, n, -1, 1, 2),
                   .weight = random_as(acc_source, acc, t->cols, 0.5, 2, 3),
                   .bias = random_as(acc_source, acc, t->cols, -1, 1, 4),
                   .mean = kt_new(acc, t->rows),
                   .rstd = kt_new(acc, t->rows),
                   .d_y = random_as(source, dtype, n, -1, 1, 5),
                   .d_x = random_as(source, dtype, n, -1, 1, 6),
                   .d_weight = random_as(acc_source, acc, t->cols, -1, 1, 7),
                   .d_bias = random_as(acc_source, acc, t->cols, -1, 1, 8)};
    for (int64_t r = 0; r < t->rows; r++) kt_set(&d.mean, r, 0);
    ins_norm_args args = {.dtype = dtype,
                          .rms = t->rms,
                          .rows = t->rows,
                          .cols = t->cols,
                          .eps = 1e-5,
                          .x = d.x.data,
                          .ldx = ld,
                          .weight = t->weight ? d.weight.data : NULL,
                          .weight_offset = t->rms ? 1 : 0,
                          .bias = t->bias ? d.bias.data : NULL,
                          .y = d.y.data,
                          .ldy = ld,
                          .mean = d.mean.data,
                          .rstd = d.rstd.data,
                          .d_y = d.d_y.data,
                          .ld_dy = ld,
                          .d_x = d.d_x.data,
                          .ld_dx = ld,
                          .accumulate_dx = t->accumulate,
                          .d_weight = d.d_weight.data,
                          .d_bias = d.d_bias.data,
                          .accumulate_dw = t->accumulate};
    if (t->rms) args.mean = NULL;
    args.scratch = malloc(ins_norm_backward_scratch(&args) + 1);
    assert_int_equal(ins_norm_forward(&args, pool, NULL), INS_OK);
    assert_int_equal(ins_norm_backward(&args, pool, NULL), INS_OK);
    free(args.scratch);
    return d;
}

static void norm_drop(norm_data *d) {
    kt_free(&d->x), kt_free(&d->y), kt_free(&d->weight), kt_free(&d->bias), kt_free(&d->mean), kt_free(&d->rstd);
    kt_free(&d->d_y), kt_free(&d->d_x), kt_free(&d->d_weight), kt_free(&d->d_bias);
}

static void norm_check(const norm_case *t, ins_dtype dtype) {
    norm_data want = norm_run(t, dtype, INS_DTYPE_F64, NULL), one = norm_run(t, dtype, dtype, NULL);
    norm_data two = norm_run(t, dtype, dtype, kt_two);
    double eps = kt_eps(dtype);
    kt_near("y", &one.y, &want.y, 4e-6, 8 * eps), kt_near("rstd", &one.rstd, &want.rstd, 0, 1e-5);
    kt_near("mean", &one.mean, &want.mean, 1e-6, 1e-6);
    /* One column gives rstd = 1/sqrt(eps): large slopes, large error. */
    kt_near("d_x", &one.d_x, &want.d_x, t->cols == 1 ? 1e-3 : 2e-5, 8 * eps);
    kt_near("d_weight", &one.d_weight, &want.d_weight, 2e-5 * sqrt((double)t->rows + 1), 1e-5);
    kt_near("d_bias", &one.d_bias, &want.d_bias, 2e-6 * sqrt((double)t->rows + 1), 1e-6);
    kt_same_bits("y", &one.y, &two.y), kt_same_bits("d_x", &one.d_x, &two.d_x);
    kt_same_bits("d_weight", &one.d_weight, &two.d_weight), kt_same_bits("d_bias", &one.d_bias, &two.d_bias);
    norm_drop(&want), norm_drop(&one), norm_drop(&two);
}

static void norm_all(void) {
    static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {65, 64}, {300, 33}, {2, 1300}, {0, 5}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int bits = 0; bits < 16; bits++) {
            norm_case t = {shapes[s][0], shapes[s][1], bits & 1, bits & 2, bits & 4, bits & 8};
            norm_check(&t, INS_DTYPE_F32);
            norm_check(&t, INS_DTYPE_BF16);
        }
}

static void test_norms(void **state) {
    (void)state;
    kt_each_level(norm_all);
}

/* The bits of a column_sum over the same numbers, with and without scratch. */
static void norm_same_sums(const void *x, const float *sum, int64_t rows, int64_t cols) {
    for (int with = 0; with < 2; with++) {
        float *again = malloc((size_t)cols * 4 + 1);
        ins_column_sum_args args = {
            .dtype = INS_DTYPE_F32, .rows = rows, .cols = cols, .x = x, .ldx = cols, .out = again};
        args.scratch = with ? malloc(ins_column_sum_scratch(&args) + 1) : NULL;
        assert_int_equal(ins_column_sum(&args, kt_two, NULL), INS_OK);
        assert_memory_equal(again, sum, (size_t)cols * 4);
        free(args.scratch);
        free(again);
    }
}

/* f32 with a bf16 side = f32 with the numbers rounded; the echoes of d_x are its rounding and its column sums. */
static void norm_mixed_check(int64_t rows, int64_t cols, bool rms, bool accumulate) {
    int64_t n = rows * cols;
    kt_array x = kt_random(INS_DTYPE_F32, n, -1, 3, 1), y = kt_new(INS_DTYPE_F32, n),
             y_half = kt_new(INS_DTYPE_BF16, n);
    kt_array half = kt_random(INS_DTYPE_BF16, n, -1, 1, 2), d_y = kt_copy(&half, INS_DTYPE_F32);
    kt_array d_x = kt_random(INS_DTYPE_F32, n, -1, 1, 3), d_x_mixed = kt_copy(&d_x, INS_DTYPE_F32);
    kt_array weight = kt_random(INS_DTYPE_F32, cols, 0.5, 2, 4), d_weight = kt_new(INS_DTYPE_F32, cols);
    kt_array d_weight_mixed = kt_new(INS_DTYPE_F32, cols), copy = kt_new(INS_DTYPE_BF16, n);
    kt_array mean = kt_new(INS_DTYPE_F32, rows), rstd = kt_new(INS_DTYPE_F32, rows), sum = kt_new(INS_DTYPE_F32, cols);
    ins_norm_args args = {.dtype = INS_DTYPE_F32,
                          .rms = rms,
                          .rows = rows,
                          .cols = cols,
                          .eps = 1e-5,
                          .x = x.data,
                          .ldx = cols,
                          .weight = weight.data,
                          .y = y.data,
                          .ldy = cols,
                          .mean = mean.data,
                          .rstd = rstd.data,
                          .d_y = d_y.data,
                          .ld_dy = cols,
                          .d_x = d_x.data,
                          .ld_dx = cols,
                          .accumulate_dx = accumulate,
                          .d_weight = d_weight.data};
    args.scratch = malloc(ins_norm_backward_scratch(&args) + 1);
    assert_int_equal(ins_norm_forward(&args, kt_two, NULL), INS_OK);
    assert_int_equal(ins_norm_backward(&args, kt_two, NULL), INS_OK);
    args.y = y_half.data, args.y_bf16 = true, args.d_y = half.data, args.d_y_bf16 = true;
    args.d_x = d_x_mixed.data, args.d_weight = d_weight_mixed.data;
    args.d_x_copy = copy.data, args.d_x_sum = sum.data;
    assert_int_equal(ins_norm_forward(&args, kt_two, NULL), INS_OK);
    assert_int_equal(ins_norm_backward(&args, kt_two, NULL), INS_OK);
    free(args.scratch);
    kt_array rounded = kt_copy(&y, INS_DTYPE_BF16), rounded_dx = kt_copy(&d_x, INS_DTYPE_BF16);
    kt_same_bits("narrow y", &y_half, &rounded), kt_same_bits("d_x", &d_x, &d_x_mixed);
    kt_same_bits("d_weight", &d_weight, &d_weight_mixed), kt_same_bits("copy", &copy, &rounded_dx);
    norm_same_sums(d_x.data, sum.data, rows, cols);
    kt_array *const all[] = {&x,         &y,      &y_half,   &half,           &d_y,  &d_x,
                             &d_x_mixed, &weight, &d_weight, &d_weight_mixed, &copy, &mean,
                             &rstd,      &sum,    &rounded,  &rounded_dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
}

static void norm_mixed_all(void) {
    static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {65, 64}, {300, 33}, {2, 1300}, {43, 80}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int bits = 0; bits < 4; bits++) norm_mixed_check(shapes[s][0], shapes[s][1], bits & 1, bits & 2);
}

static void test_norm_mixed(void **state) {
    (void)state;
    kt_each_level(norm_mixed_all);
    ins_norm_args args = {.dtype = INS_DTYPE_BF16, .y_bf16 = true, .rows = 1, .cols = 1};
    assert_int_equal(ins_norm_forward(&args, NULL, NULL), INS_BUG);
}

static double norm_loss(const ins_norm_args *args) {
    assert_int_equal(ins_norm_forward(args, NULL, NULL), INS_OK);
    double loss = 0;
    for (int64_t i = 0; i < args->rows * args->cols; i++)
        loss += ((double *)args->y)[i] * ((const double *)args->d_y)[i];
    return loss;
}

static double norm_difference(const ins_norm_args *args, double *value) {
    double old = *value;
    *value = old + 1e-5;
    double up = norm_loss(args);
    *value = old - 1e-5;
    double down = norm_loss(args);
    *value = old;
    return (up - down) / 2e-5;
}

static void test_norm_reference(void **state) {
    (void)state;
    for (int rms = 0; rms < 2; rms++) {
        double x[12], w[4], b[4], y[12], d_y[12], d_x[12], d_w[4], d_b[4], mean[3], rstd[3], scratch[256];
        for (int i = 0; i < 12; i++) x[i] = sin(i * 1.7) * 2, d_y[i] = cos(i * 0.9);
        for (int i = 0; i < 4; i++) w[i] = 1 + 0.1 * i, b[i] = 0.2 * i;
        ins_norm_args args = {.dtype = INS_DTYPE_F64,
                              .rms = rms,
                              .rows = 3,
                              .cols = 4,
                              .eps = 1e-5,
                              .x = x,
                              .ldx = 4,
                              .weight = w,
                              .bias = b,
                              .y = y,
                              .ldy = 4,
                              .mean = mean,
                              .rstd = rstd,
                              .d_y = d_y,
                              .ld_dy = 4,
                              .d_x = d_x,
                              .ld_dx = 4,
                              .d_weight = d_w,
                              .d_bias = d_b,
                              .scratch = scratch};
        norm_loss(&args);
        double sum = 0, square = 0;
        for (int i = 0; i < 4; i++) sum += (y[i] - b[i]) / w[i], square += (y[i] - b[i]) / w[i] * (y[i] - b[i]) / w[i];
        if (!rms) assert_true(fabs(sum) < 1e-9);
        assert_true(fabs(square - 4) < 1e-3);
        assert_int_equal(ins_norm_backward(&args, NULL, NULL), INS_OK);
        for (int i = 0; i < 12; i++) assert_true(fabs(norm_difference(&args, x + i) - d_x[i]) < 1e-8);
        for (int i = 0; i < 4; i++) assert_true(fabs(norm_difference(&args, w + i) - d_w[i]) < 1e-8);
        for (int i = 0; i < 4; i++) assert_true(fabs(norm_difference(&args, b + i) - d_b[i]) < 1e-8);
        args.rstd = NULL;
        assert_int_equal(ins_norm_backward(&args, NULL, NULL), INS_BUG);
    }
}

typedef struct softmax_data {
    kt_array x, y, d_y, d_x;
} softmax_data;

static softmax_data softmax_run(bool log, ins_dtype source, ins_dtype dtype, int64_t rows, int64_t cols,
                                ins_pool *pool) {
    int64_t ld = cols + 1;
    softmax_data d = {random_as(source, dtype, rows * ld, -30, 30, 1), random_as(source, dtype, rows * ld, -1, 1, 2),
                      random_as(source, dtype, rows * ld, -1, 1, 3), random_as(source, dtype, rows * ld, -1, 1, 4)};
    for (int64_t c = 0; c < cols && rows > 1; c++) kt_set(&d.x, c, -INFINITY); /* first row: all masked */
    if (rows > 2) kt_set(&d.x, 2 * ld, -INFINITY);
    ins_softmax_args args = {.dtype = dtype,
                             .log = log,
                             .rows = rows,
                             .cols = cols,
                             .x = d.x.data,
                             .ldx = ld,
                             .y = d.y.data,
                             .ldy = ld,
                             .d_y = d.d_y.data,
                             .ld_dy = ld,
                             .d_x = d.d_x.data,
                             .ld_dx = ld};
    assert_int_equal(ins_softmax_forward(&args, pool, NULL), INS_OK);
    assert_int_equal(ins_softmax_backward(&args, pool, NULL), INS_OK);
    return d;
}

static void softmax_drop(softmax_data *d) {
    kt_free(&d->x), kt_free(&d->y), kt_free(&d->d_y), kt_free(&d->d_x);
}

static void softmax_all(void) {
    static const int64_t shapes[][2] = {{1, 1}, {5, 3}, {9, 64}, {3, 1111}, {0, 4}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int bits = 0; bits < 4; bits++) {
            ins_dtype dtype = bits & 2 ? INS_DTYPE_BF16 : INS_DTYPE_F32;
            int64_t rows = shapes[s][0], cols = shapes[s][1];
            softmax_data want = softmax_run(bits & 1, dtype, INS_DTYPE_F64, rows, cols, NULL);
            softmax_data one = softmax_run(bits & 1, dtype, dtype, rows, cols, NULL);
            softmax_data two = softmax_run(bits & 1, dtype, dtype, rows, cols, kt_two);
            double eps = kt_eps(dtype), slope = dtype == INS_DTYPE_F32 ? 3e-5 : 0.3 * (bits & 1) + 0.02;
            kt_near("softmax", &one.y, &want.y, 4 * eps, 16 * eps);
            kt_near("softmax d_x", &one.d_x, &want.d_x, slope, 16 * eps);
            kt_same_bits("softmax", &one.y, &two.y), kt_same_bits("softmax d_x", &one.d_x, &two.d_x);
            softmax_drop(&want), softmax_drop(&one), softmax_drop(&two);
        }
}

static void test_softmax(void **state) {
    (void)state;
    kt_each_level(softmax_all);
}

static void test_softmax_reference(void **state) {
    (void)state;
    double x[3] = {1, 2, 4}, y[3], d_y[3] = {0.3, -1, 2}, d_x[3], sum = exp(1) + exp(2) + exp(4), dot = 0;
    ins_softmax_args args = {.dtype = INS_DTYPE_F64,
                             .rows = 1,
                             .cols = 3,
                             .x = x,
                             .ldx = 3,
                             .y = y,
                             .ldy = 3,
                             .d_y = d_y,
                             .ld_dy = 3,
                             .d_x = d_x,
                             .ld_dx = 3};
    assert_int_equal(ins_softmax_forward(&args, NULL, NULL), INS_OK);
    assert_int_equal(ins_softmax_backward(&args, NULL, NULL), INS_OK);
    for (int i = 0; i < 3; i++) assert_true(fabs(y[i] - exp(x[i]) / sum) < 1e-15), dot += y[i] * d_y[i];
    for (int i = 0; i < 3; i++) assert_true(fabs(d_x[i] - y[i] * (d_y[i] - dot)) < 1e-15);
    args.log = true;
    assert_int_equal(ins_softmax_forward(&args, NULL, NULL), INS_OK);
    for (int i = 0; i < 3; i++) assert_true(fabs(y[i] - (x[i] - log(sum))) < 1e-14);
}

static kt_array rope_run(ins_dtype source, ins_dtype dtype, bool interleaved, bool inverse, bool table, bool in_place,
                         int64_t rotary, ins_pool *pool) {
    const int64_t rows = 37, heads = 3, hd = 20, ld = heads * hd + 1;
    kt_array x = random_as(source, dtype, rows * ld, -1, 1, 1), y = random_as(source, dtype, rows * ld, -1, 1, 2);
    kt_array positions = kt_new(INS_DTYPE_I32, rows);
    double freq[10];
    for (int64_t r = 0; r < rows; r++) ((int32_t *)positions.data)[r] = (int32_t)(r * r * 97);
    for (int i = 0; i < 10; i++) freq[i] = 0.9 / (1 + i);
    if (in_place)
        for (int64_t i = 0; i < rows * ld; i++) kt_set(&y, i, kt_get(&x, i));
    ins_rope_args args = {.dtype = dtype,
                          .rows = rows,
                          .n_heads = heads,
                          .head_dim = hd,
                          .rotary_dim = rotary,
                          .interleaved = interleaved,
                          .inverse = inverse,
                          .theta = 10000,
                          .inv_freq = table ? freq : NULL,
                          .positions = positions.data,
                          .x = in_place ? y.data : x.data,
                          .ldx = ld,
                          .y = y.data,
                          .ldy = ld};
    assert_int_equal(ins_rope_rotate(&args, pool, NULL), INS_OK);
    kt_free(&x), kt_free(&positions);
    return y;
}

static void rope_all(void) {
    for (int bits = 0; bits < 64; bits++)
        for (int64_t rotary = 0; rotary <= 20; rotary += 10) {
            ins_dtype dtype = bits & 32 ? INS_DTYPE_BF16 : INS_DTYPE_F32;
            bool place = bits & 8;
            kt_array want = rope_run(dtype, INS_DTYPE_F64, bits & 1, bits & 2, bits & 4, place, rotary, NULL);
            kt_array one = rope_run(dtype, dtype, bits & 1, bits & 2, bits & 4, place, rotary, NULL);
            kt_array two = rope_run(dtype, dtype, bits & 1, bits & 2, bits & 4, place, rotary, kt_two);
            kt_near("rope", &one, &want, 2e-6, 4 * kt_eps(dtype));
            kt_same_bits("rope", &one, &two);
            kt_free(&want), kt_free(&one), kt_free(&two);
        }
}

static void test_rope(void **state) {
    (void)state;
    kt_each_level(rope_all);
}

static void test_rope_reference(void **state) {
    (void)state;
    double x[4] = {1, 2, 3, 4}, y[4];
    int32_t position = 5;
    ins_rope_args args = {.dtype = INS_DTYPE_F64,
                          .rows = 1,
                          .n_heads = 1,
                          .head_dim = 4,
                          .rotary_dim = 4,
                          .theta = 100,
                          .positions = &position,
                          .x = x,
                          .ldx = 4,
                          .y = y,
                          .ldy = 4};
    assert_int_equal(ins_rope_rotate(&args, NULL, NULL), INS_OK);
    assert_true(fabs(y[0] - (cos(5) * 1 - sin(5) * 3)) < 1e-12 && fabs(y[2] - (cos(5) * 3 + sin(5) * 1)) < 1e-12);
    assert_true(fabs(y[1] - (cos(.5) * 2 - sin(.5) * 4)) < 1e-12 && fabs(y[3] - (cos(.5) * 4 + sin(.5) * 2)) < 1e-12);
    args.inverse = true, args.x = y;
    assert_int_equal(ins_rope_rotate(&args, NULL, NULL), INS_OK);
    for (int i = 0; i < 4; i++) assert_true(fabs(y[i] - x[i]) < 1e-12);
    args.rotary_dim = 3;
    assert_int_equal(ins_rope_rotate(&args, NULL, NULL), INS_BUG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norms),
        cmocka_unit_test(test_norm_mixed),
        cmocka_unit_test(test_norm_reference),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_softmax_reference),
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_rope_reference),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
