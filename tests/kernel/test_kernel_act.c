/* Elementwise maps and gated products against the f64 reference; the reference's slopes against differences. */
#include "kernel/act.h"
#include "kernel_test.h"

static bool act_needs_positive(ins_act act) {
    return act == INS_ACT_LOG || act == INS_ACT_SQRT || act == INS_ACT_RSQRT || act == INS_ACT_RECIPROCAL;
}

/* x, d_y, y and d_x of `dtype`, from values of `source`. */
typedef struct act_data {
    kt_array x, d_y, y, d_x;
} act_data;

static act_data act_make(ins_act act, ins_dtype source, ins_dtype dtype, int64_t n) {
    kt_array x = kt_random(source, n, act_needs_positive(act) ? 0.1 : -9, 9, 1), d_y = kt_random(source, n, -1, 1, 2);
    act_data d = {kt_copy(&x, dtype), kt_copy(&d_y, dtype), kt_new(dtype, n), kt_copy(&d_y, dtype)};
    kt_free(&x), kt_free(&d_y);
    return d;
}

static void act_drop(act_data *d) {
    kt_free(&d->x), kt_free(&d->d_y), kt_free(&d->y), kt_free(&d->d_x);
}

static void act_run(act_data *d, ins_act act, bool accumulate, ins_pool *pool) {
    ins_act_args args = {.act = act, .dtype = d->x.dtype, .n = d->x.n, .x = d->x.data, .y = d->y.data};
    assert_int_equal(ins_act_forward(&args, pool, NULL), INS_OK);
    args.d_y = d->d_y.data, args.d_x = d->d_x.data, args.accumulate = accumulate;
    assert_int_equal(ins_act_backward(&args, pool, NULL), INS_OK);
}

static void act_check(ins_act act, ins_dtype dtype, int64_t n, bool accumulate) {
    act_data want = act_make(act, dtype, INS_DTYPE_F64, n), one = act_make(act, dtype, dtype, n);
    act_data two = act_make(act, dtype, dtype, n);
    act_run(&want, act, accumulate, NULL), act_run(&one, act, accumulate, NULL), act_run(&two, act, accumulate, kt_two);
    double eps = kt_eps(dtype), absolute = 2e-6 + (accumulate ? 2 * eps : 0);
    kt_near(ins_act_name(act), &one.y, &want.y, absolute, 8 * eps);
    kt_near("slope", &one.d_x, &want.d_x, absolute, 10 * eps);
    kt_same_bits("act", &one.y, &two.y), kt_same_bits("act slope", &one.d_x, &two.d_x);
    act_drop(&want), act_drop(&one), act_drop(&two);
}

static void act_all(void) {
    for (int act = 0; act < INS_ACT_COUNT; act++) {
        act_check((ins_act)act, INS_DTYPE_F32, 20001, false);
        act_check((ins_act)act, INS_DTYPE_F32, 1, true);
        act_check((ins_act)act, INS_DTYPE_BF16, 513, act & 1);
        act_check((ins_act)act, INS_DTYPE_F32, 0, false);
    }
}

static void test_maps(void **state) {
    (void)state;
    kt_each_level(act_all);
}

/* Column sums made on the way have the bits of column_sum, and change nothing else. */
static void act_sum_check(ins_act act, ins_dtype dtype, int64_t rows, int64_t cols) {
    act_data plain = act_make(act, dtype, dtype, rows * cols), summed = act_make(act, dtype, dtype, rows * cols);
    kt_array one = kt_new(INS_DTYPE_F32, cols), two = kt_new(INS_DTYPE_F32, cols);
    act_run(&plain, act, false, kt_two);
    ins_act_args args = {.act = act,
                         .dtype = dtype,
                         .n = rows * cols,
                         .x = summed.x.data,
                         .d_y = summed.d_y.data,
                         .d_x = summed.d_x.data,
                         .sum = one.data,
                         .cols = cols};
    args.scratch = malloc(ins_act_backward_scratch(&args) + 1);
    assert_int_equal(ins_act_backward(&args, kt_two, NULL), INS_OK);
    ins_column_sum_args sum = {
        .dtype = dtype, .rows = rows, .cols = cols, .x = plain.d_x.data, .ldx = cols, .out = two.data};
    assert_int_equal(ins_column_sum(&sum, NULL, NULL), INS_OK);
    kt_same_bits("d_x", &plain.d_x, &summed.d_x), kt_same_bits("sum", &one, &two);
    free(args.scratch);
    act_drop(&plain), act_drop(&summed), kt_free(&one), kt_free(&two);
}

static void act_sum_all(void) {
    static const ins_act acts[] = {INS_ACT_GELU_TANH, INS_ACT_RELU, INS_ACT_TANH};
    static const int64_t shapes[][2] = {{1, 1}, {9, 7}, {300, 33}, {70, 1300}, {0, 5}};
    for (size_t a = 0; a < sizeof acts / sizeof *acts; a++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            act_sum_check(acts[a], INS_DTYPE_F32, shapes[s][0], shapes[s][1]);
            act_sum_check(acts[a], INS_DTYPE_BF16, shapes[s][0], shapes[s][1]);
        }
}

static void test_sums(void **state) {
    (void)state;
    kt_each_level(act_sum_all);
}

/* Values where approximations break: signed zeros, extremes, infinities, NaN. */
static void act_extremes(void) {
    static const ins_act acts[] = {INS_ACT_GELU_TANH, INS_ACT_GELU_ERF, INS_ACT_SILU, INS_ACT_SIGMOID,
                                   INS_ACT_TANH,      INS_ACT_EXP,      INS_ACT_ERF,  INS_ACT_RELU};
    static const double values[] = {0,    1e-30, -1e-30, 20,   -20,   88.7,     -88.7,
                                    -100, 104,   -104,   3e38, -3e38, INFINITY, NAN};
    for (size_t a = 0; a < sizeof(acts) / sizeof(acts[0]); a++)
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            float x = (float)values[i], y;
            double wide = (double)x, want;
            ins_act_args args = {.act = acts[a], .dtype = INS_DTYPE_F32, .n = 1, .x = &x, .y = &y};
            ins_act_args ref = {.act = acts[a], .dtype = INS_DTYPE_F64, .n = 1, .x = &wide, .y = &want};
            assert_int_equal(ins_act_forward(&args, NULL, NULL), INS_OK);
            assert_int_equal(ins_act_forward(&ref, NULL, NULL), INS_OK);
            float expected = (float)want;
            if (isnan(expected) && isnan(y)) continue;
            if ((double)fabsf(y - expected) <= 1e-6 + 3e-5 * (double)fabsf(expected) || y == expected) continue;
            print_error("%s(%g) = %g, want %g\n", ins_act_name(acts[a]), wide, (double)y, want);
            fail();
        }
}

static void test_extremes(void **state) {
    (void)state;
    kt_each_level(act_extremes);
}

static void test_reference_slopes(void **state) {
    (void)state;
    for (int act = 0; act < INS_ACT_COUNT; act++)
        for (double x = 0.3; x < 3; x += 0.37)
            for (int sign = -1; sign <= 1; sign += 2) {
                double points[2] = {sign * x + 1e-6, sign * x - 1e-6}, y[2], at = sign * x, one = 1, slope;
                if (sign < 0 && act_needs_positive((ins_act)act)) continue;
                ins_act_args args = {.act = (ins_act)act, .dtype = INS_DTYPE_F64, .n = 2, .x = points, .y = y};
                assert_int_equal(ins_act_forward(&args, NULL, NULL), INS_OK);
                args.n = 1, args.x = &at, args.d_y = &one, args.d_x = &slope;
                assert_int_equal(ins_act_backward(&args, NULL, NULL), INS_OK);
                assert_true(fabs((y[0] - y[1]) / 2e-6 - slope) < 1e-7 * (1 + fabs(slope)));
            }
}

typedef struct gated_data {
    kt_array x, y, d_y, d_x; /* x: gate and up side by side */
} gated_data;

static gated_data gated_run(ins_act act, ins_dtype source, ins_dtype dtype, int64_t rows, int64_t cols,
                            ins_pool *pool) {
    kt_array x = kt_random(source, rows * 2 * cols, -4, 4, 1), d_y = kt_random(source, rows * (cols + 1), -1, 1, 2);
    gated_data d = {kt_copy(&x, dtype), kt_copy(&d_y, dtype), kt_copy(&d_y, dtype), kt_copy(&x, dtype)};
    int64_t half = cols * (int64_t)ins_dtype_size(dtype);
    ins_gated_args args = {.act = act,
                           .dtype = dtype,
                           .rows = rows,
                           .cols = cols,
                           .gate = d.x.data,
                           .up = (char *)d.x.data + half,
                           .ld_gate = 2 * cols,
                           .ld_up = 2 * cols,
                           .y = d.y.data,
                           .ldy = cols + 1,
                           .d_y = d.d_y.data,
                           .ld_dy = cols + 1,
                           .d_gate = d.d_x.data,
                           .d_up = (char *)d.d_x.data + half,
                           .ld_dgate = 2 * cols,
                           .ld_dup = 2 * cols};
    assert_int_equal(ins_gated_forward(&args, pool, NULL), INS_OK);
    assert_int_equal(ins_gated_backward(&args, pool, NULL), INS_OK);
    kt_free(&x), kt_free(&d_y);
    return d;
}

static void gated_drop(gated_data *d) {
    kt_free(&d->x), kt_free(&d->y), kt_free(&d->d_y), kt_free(&d->d_x);
}

static void gated_all(void) {
    static const ins_act acts[] = {INS_ACT_SILU, INS_ACT_GELU_TANH, INS_ACT_GELU_ERF, INS_ACT_SIGMOID};
    for (size_t a = 0; a < 4; a++)
        for (int half = 0; half < 2; half++)
            for (int64_t cols = 1; cols < 2000; cols = cols * 9 + 5) {
                ins_dtype dtype = half ? INS_DTYPE_BF16 : INS_DTYPE_F32;
                gated_data want = gated_run(acts[a], dtype, INS_DTYPE_F64, 7, cols, NULL);
                gated_data one = gated_run(acts[a], dtype, dtype, 7, cols, NULL);
                gated_data two = gated_run(acts[a], dtype, dtype, 7, cols, kt_two);
                kt_near("gated y", &one.y, &want.y, 1e-5, 8 * kt_eps(dtype));
                kt_near("gated d_x", &one.d_x, &want.d_x, 1e-5, 8 * kt_eps(dtype));
                kt_same_bits("gated", &one.d_x, &two.d_x);
                gated_drop(&want), gated_drop(&one), gated_drop(&two);
            }
}

static void test_gated(void **state) {
    (void)state;
    kt_each_level(gated_all);
}

static void test_names(void **state) {
    (void)state;
    ins_act act;
    assert_true(ins_act_from_name("gelu_erf", &act));
    assert_int_equal(act, INS_ACT_GELU_ERF);
    assert_false(ins_act_from_name("gelu", &act));
    ins_act_args args = {.act = INS_ACT_COUNT, .n = 1};
    assert_int_equal(ins_act_forward(&args, NULL, NULL), INS_BUG);
    args.act = INS_ACT_EXP, args.dtype = INS_DTYPE_I64;
    assert_int_equal(ins_act_forward(&args, NULL, NULL), INS_BUG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),  cmocka_unit_test(test_extremes), cmocka_unit_test(test_reference_slopes),
        cmocka_unit_test(test_gated), cmocka_unit_test(test_sums),     cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
