/* Matrix products against the f64 reference: shapes, transposes, dtypes, levels, threads, batches. */
#include "kernel/gemm.h"
#include "kernel_test.h"

typedef struct gemm_case {
    int64_t m, n, k;
    bool trans_a, trans_b, accumulate, bias;
    ins_dtype dtype, dtype_c;
} gemm_case;

typedef struct gemm_data {
    kt_array a, b, c, bias;
    ins_gemm_args args;
} gemm_data;

static gemm_data gemm_make(const gemm_case *t, ins_dtype dtype, ins_dtype dtype_c) {
    gemm_data d = {0};
    int64_t rows_a = t->trans_a ? t->k : t->m, cols_a = t->trans_a ? t->m : t->k;
    int64_t rows_b = t->trans_b ? t->n : t->k, cols_b = t->trans_b ? t->k : t->n;
    int64_t lda = cols_a + 3, ldb = cols_b + 1, ldc = t->n + 5;
    kt_array a = kt_random(t->dtype, rows_a * lda, -1, 1, 1), b = kt_random(t->dtype, rows_b * ldb, -1, 1, 2);
    kt_array c = kt_random(t->dtype_c, t->m * ldc, -1, 1, 3);
    kt_array bias = kt_random(kt_acc(t->dtype), t->n, -1, 1, 4);
    d.a = kt_copy(&a, dtype), d.b = kt_copy(&b, dtype), d.c = kt_copy(&c, dtype_c);
    d.bias = kt_copy(&bias, kt_acc(dtype));
    kt_free(&a), kt_free(&b), kt_free(&c), kt_free(&bias);
    d.args = (ins_gemm_args){.trans_a = t->trans_a,
                             .trans_b = t->trans_b,
                             .m = t->m,
                             .n = t->n,
                             .k = t->k,
                             .a = d.a.data,
                             .lda = lda,
                             .b = d.b.data,
                             .ldb = ldb,
                             .c = d.c.data,
                             .ldc = ldc,
                             .dtype_a = dtype,
                             .dtype_b = dtype,
                             .dtype_c = dtype_c,
                             .accumulate = t->accumulate,
                             .bias = t->bias ? d.bias.data : NULL};
    return d;
}

static void gemm_drop(gemm_data *d) {
    kt_free(&d->a), kt_free(&d->b), kt_free(&d->c), kt_free(&d->bias);
}

static void gemm_check(const gemm_case *t) {
    gemm_data want = gemm_make(t, INS_DTYPE_F64, INS_DTYPE_F64), one = gemm_make(t, t->dtype, t->dtype_c);
    gemm_data two = gemm_make(t, t->dtype, t->dtype_c);
    assert_int_equal(ins_gemm(&want.args, NULL, NULL), INS_OK);
    assert_int_equal(ins_gemm(&one.args, NULL, NULL), INS_OK);
    assert_int_equal(ins_gemm(&two.args, kt_two, NULL), INS_OK);
    double eps = kt_eps(kt_acc(t->dtype)), absolute = 8 * eps * (2 + sqrt((double)t->k));
    kt_near("gemm", &one.c, &want.c, absolute, 4 * eps + (t->dtype_c == INS_DTYPE_BF16 ? 2 * kt_eps(t->dtype_c) : 0));
    kt_same_bits("gemm", &one.c, &two.c);
    gemm_drop(&want), gemm_drop(&one), gemm_drop(&two);
}

static void gemm_shapes(void) {
    static const int64_t shapes[][3] = {{1, 1, 1},    {1, 17, 5},   {3, 33, 70},  {14, 32, 256}, {15, 31, 257},
                                        {57, 65, 90}, {290, 9, 33}, {5, 270, 20}, {7, 64, 515},  {6, 16, 0}};
    static const ins_dtype dtypes[][2] = {{INS_DTYPE_F32, INS_DTYPE_F32},
                                          {INS_DTYPE_BF16, INS_DTYPE_F32},
                                          {INS_DTYPE_BF16, INS_DTYPE_BF16},
                                          {INS_DTYPE_F64, INS_DTYPE_F64}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int bits = (int)s % KT_STEP; bits < 16; bits += KT_STEP)
            for (size_t d = 0; d < 4; d++) {
                gemm_case t = {.m = shapes[s][0],
                               .n = shapes[s][1],
                               .k = shapes[s][2],
                               .trans_a = bits & 1,
                               .trans_b = bits & 2,
                               .accumulate = bits & 4,
                               .bias = bits & 8,
                               .dtype = dtypes[d][0],
                               .dtype_c = dtypes[d][1]};
                gemm_check(&t);
            }
}

static void test_shapes(void **state) {
    (void)state;
    kt_each_level(gemm_shapes);
}

/* The bits of a row do not depend on how many other rows or columns there are. */
static void gemm_rows_alone(void) {
    for (int trans = 0; trans < 4; trans++)
        for (int half = 0; half < 2; half++) {
            ins_dtype dtype = half ? INS_DTYPE_BF16 : INS_DTYPE_F32;
            gemm_case t = {.m = 300, .n = 140, .k = 300, .trans_a = trans & 1, .trans_b = trans & 2, .dtype = dtype};
            t.dtype_c = INS_DTYPE_F32;
            gemm_data all = gemm_make(&t, dtype, t.dtype_c), part = gemm_make(&t, dtype, t.dtype_c);
            assert_int_equal(ins_gemm(&all.args, NULL, NULL), INS_OK);
            for (int64_t row = 0; row < t.m; row += 37 * KT_STEP) {
                ins_gemm_args one = part.args;
                size_t size = ins_dtype_size(dtype);
                one.m = 1, one.n = 40;
                one.a = (char *)part.a.data + (size_t)(t.trans_a ? row : row * one.lda) * size;
                one.c = (float *)part.c.data + row * one.ldc;
                assert_int_equal(ins_gemm(&one, NULL, NULL), INS_OK);
                assert_memory_equal(one.c, (float *)all.c.data + row * one.ldc, 40 * 4);
            }
            gemm_drop(&all), gemm_drop(&part);
        }
}

static void test_rows_alone(void **state) {
    (void)state;
    kt_each_level(gemm_rows_alone);
}

static void gemm_batches(void) {
    const int64_t m = 9, n = 11, k = 13, count = 5;
    ins_gemm_batch batch = {.batch = count, .stride_a = m * k, .stride_b = 0, .stride_c = m * n};
    kt_array a = kt_random(INS_DTYPE_F32, count * m * k, -1, 1, 1), b = kt_random(INS_DTYPE_F32, k * n, -1, 1, 2);
    kt_array c = kt_new(INS_DTYPE_F32, count * m * n), want = kt_new(INS_DTYPE_F64, count * m * n);
    ins_gemm_args args = {.m = m, .n = n, .k = k, .a = a.data, .lda = k, .b = b.data, .ldb = n, .c = c.data, .ldc = n};
    assert_int_equal(ins_gemm_batched(&args, &batch, kt_two, NULL), INS_OK);
    for (int64_t i = 0; i < count * m * n; i++) {
        double sum = 0;
        for (int64_t p = 0; p < k; p++) sum += kt_get(&a, i / n * k + p) * kt_get(&b, p * n + i % n);
        kt_set(&want, i, sum);
    }
    kt_near("batched gemm", &c, &want, 1e-6, 0);
    kt_free(&a), kt_free(&b), kt_free(&c), kt_free(&want);
}

static void test_batches(void **state) {
    (void)state;
    kt_each_level(gemm_batches);
}

static void test_bad_arguments(void **state) {
    (void)state;
    float x[4] = {0};
    ins_error err = {0};
    ins_gemm_args args = {.m = 2, .n = 2, .k = 2, .a = x, .lda = 2, .b = x, .ldb = 2, .c = x, .ldc = 2};
    args.dtype_b = INS_DTYPE_BF16;
    assert_int_equal(ins_gemm(&args, NULL, &err), INS_BUG);
    args.dtype_b = INS_DTYPE_F32, args.lda = 1;
    assert_int_equal(ins_gemm(&args, NULL, &err), INS_BUG);
    args.lda = 2, args.m = 0;
    assert_int_equal(ins_gemm(&args, NULL, &err), INS_OK);
    args.m = 2, args.dtype_a = args.dtype_b = args.dtype_c = INS_DTYPE_I32;
    assert_int_equal(ins_gemm(&args, NULL, &err), INS_BUG);
    assert_string_equal(ins_gemm_impl_name(&args), "none");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_rows_alone),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
