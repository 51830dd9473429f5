/* Products through libraries, called directly. Each is skipped where the library is missing, or does not take the
 * dtype on this processor. */
#include "kernel/gemm_blocks.h"
#include "kernel/gemm_choice.h"
#include "kernel_test.h"

typedef struct library_case {
    int64_t m, n, k;
    ins_dtype dtype;
    bool trans_a, trans_b, half, accumulate, bias, shared;
} library_case;

typedef struct library_data {
    kt_array a, b, c, bias;
    ins_gemm_args args;
    ins_gemm_batch batch;
} library_data;

static library_data library_make(const library_case *t) {
    const int64_t count = 2;
    int64_t lda = (t->trans_a ? t->m : t->k) + 2, ldb = (t->trans_b ? t->k : t->n) + 1, ldc = t->n + 3;
    int64_t size_a = (t->trans_a ? t->k : t->m) * lda, size_b = (t->trans_b ? t->n : t->k) * ldb, size_c = t->m * ldc;
    ins_dtype dtype_c = t->half ? INS_DTYPE_BF16 : INS_DTYPE_F32;
    library_data d = {.a = kt_random(t->dtype, count * size_a, -1, 1, 1),
                      .b = kt_random(t->dtype, count * size_b, -1, 1, 2),
                      .c = kt_random(dtype_c, count * size_c, -1, 1, 3),
                      .bias = kt_random(INS_DTYPE_F32, t->n, -1, 1, 4)};
    d.batch = (ins_gemm_batch){count, size_a, t->shared ? 0 : size_b, size_c};
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
                             .dtype_a = t->dtype,
                             .dtype_b = t->dtype,
                             .dtype_c = dtype_c,
                             .accumulate = t->accumulate,
                             .bias = t->bias ? d.bias.data : NULL};
    return d;
}

static kt_array library_wanted(const library_data *d) {
    kt_array a = kt_copy(&d->a, INS_DTYPE_F64), b = kt_copy(&d->b, INS_DTYPE_F64), c = kt_copy(&d->c, INS_DTYPE_F64);
    kt_array bias = kt_copy(&d->bias, INS_DTYPE_F64);
    ins_gemm_args args = d->args;
    args.a = a.data, args.b = b.data, args.c = c.data, args.bias = args.bias ? bias.data : NULL;
    args.dtype_a = args.dtype_b = args.dtype_c = INS_DTYPE_F64;
    assert_int_equal(ins_gemm_batched(&args, &d->batch, NULL, NULL), INS_OK);
    kt_free(&a), kt_free(&b), kt_free(&bias);
    return c;
}

static void library_check(const ins_gemm_impl *impl, const library_case *t) {
    library_data d = library_make(t);
    kt_array want = library_wanted(&d), two = kt_copy(&d.c, d.c.dtype);
    ins_gemm_args args = d.args;
    impl->run(&args, &d.batch, NULL);
    args.c = two.data;
    impl->run(&args, &d.batch, kt_two);
    kt_near(impl->head.name, &d.c, &want, 8e-7 * (2 + sqrt((double)t->k)), t->half ? 2 * kt_eps(INS_DTYPE_BF16) : 1e-6);
    kt_same_bits(impl->head.name, &d.c, &two);
    kt_free(&d.a), kt_free(&d.b), kt_free(&d.c), kt_free(&d.bias), kt_free(&two), kt_free(&want);
}

/* Smaller than a block, several blocks with edges both ways, long and narrow. */
static void library_check_all(const char *name, ins_dtype dtype) {
    static const int64_t shapes[][3] = {{1, 1, 1}, {33, 70, 19}, {530, 40, 64}, {20, 600, 31}, {1100, 33, 7}};
    const ins_gemm_args probe = {.m = 1, .n = 1, .k = 1, .dtype_a = dtype, .dtype_b = dtype, .dtype_c = dtype};
    const ins_gemm_impl *impl = NULL;
    for (const ins_impl_head *const *row = ins_gemm_libraries; *row; row++)
        if (strcmp((*row)->name, name) == 0) impl = (const ins_gemm_impl *)*row;
    if (!impl || !ins_gemm_fits(impl, &probe)) skip();
    assert_true(impl->from_library);
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int bits = 0; bits < 64; bits++) {
            library_case t = {.m = shapes[s][0],
                              .n = shapes[s][1],
                              .k = shapes[s][2],
                              .dtype = dtype,
                              .trans_a = bits & 1,
                              .trans_b = bits & 2,
                              .half = bits & 4,
                              .accumulate = bits & 8,
                              .bias = bits & 16,
                              .shared = bits & 32};
            if (t.half && dtype != INS_DTYPE_BF16) continue;
            library_check(impl, &t);
        }
}

static void test_onednn_f32(void **state) {
    (void)state;
    library_check_all("onednn", INS_DTYPE_F32);
}
static void test_onednn_bf16(void **state) {
    (void)state;
    library_check_all("onednn", INS_DTYPE_BF16);
}
static void test_onednn_packed_f32(void **state) {
    (void)state;
    library_check_all("onednn-packed", INS_DTYPE_F32);
}
static void test_onednn_packed_bf16(void **state) {
    (void)state;
    library_check_all("onednn-packed", INS_DTYPE_BF16);
}
static void test_onednn_sgemm(void **state) {
    (void)state;
    library_check_all("onednn-sgemm", INS_DTYPE_F32);
}
static void test_openblas(void **state) {
    (void)state;
    library_check_all("openblas", INS_DTYPE_F32);
}

/* A limit that was set after a library was loaded puts it out of use: it can't be held to it any more. */
static void test_limit(void **state) {
    (void)state;
    ins_gemm_library before[INS_GEMM_LIBRARIES], after[INS_GEMM_LIBRARIES];
    ins_gemm_libraries_find(before);
    ins_isa_limit(INS_ISA_GENERIC);
    ins_gemm_libraries_find(after);
    for (int i = 0; i < INS_GEMM_LIBRARIES; i++) assert_false(after[i].found);
    const ins_gemm_args f32 = {.m = 1, .n = 1, .k = 1, .dtype_a = INS_DTYPE_F32, .dtype_b = INS_DTYPE_F32};
    for (const ins_impl_head *const *row = ins_gemm_libraries; *row; row++)
        assert_false(ins_gemm_fits((const ins_gemm_impl *)*row, &f32));
    ins_isa_limit(INS_ISA_AMX);
    ins_gemm_libraries_find(after);
    for (int i = 0; i < INS_GEMM_LIBRARIES; i++) {
        assert_string_equal(before[i].name, after[i].name);
        assert_int_equal(before[i].found, after[i].found);
        assert_true(!before[i].found || (before[i].built && before[i].version[0]));
    }
}

/* What OpenBLAS is told while it loads does not stay behind. */
static void test_environment(void **state) {
    (void)state;
    ins_gemm_library libraries[INS_GEMM_LIBRARIES];
    ins_gemm_libraries_find(libraries); /* loads it, if no test has yet */
    assert_null(getenv("OPENBLAS_CORETYPE"));
    assert_null(getenv("OPENBLAS_NUM_THREADS"));
}

static void test_grid(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 1, 1}, {256, 50304, 768}, {4096, 256, 256}, {31, 33, 5}, {513, 1, 9}};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (int64_t batch = 1; batch < 40; batch += 13) {
            const ins_gemm_args args = {.m = sizes[s][0], .n = sizes[s][1], .k = sizes[s][2]};
            ins_gemm_grid grid = ins_gemm_grid_make(&args, batch);
            assert_true(grid.mb <= 512 && grid.nb <= 512 && grid.mb > 0 && grid.nb > 0);
            assert_true(grid.mb * grid.n_m >= args.m && grid.mb * (grid.n_m - 1) < args.m);
            assert_true(grid.nb * grid.n_n >= args.n && grid.nb * (grid.n_n - 1) < args.n);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onednn_f32),
        cmocka_unit_test(test_onednn_bf16),
        cmocka_unit_test(test_onednn_packed_f32),
        cmocka_unit_test(test_onednn_packed_bf16),
        cmocka_unit_test(test_onednn_sgemm),
        cmocka_unit_test(test_openblas),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_grid),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
