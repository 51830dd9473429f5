/* Products through oneDNN, called directly: the list takes them on AMX only. Skipped where the library is missing or
 * would emulate bf16. */
#include "kernel/gemm_impl.h"
#include "kernel_test.h"

static void onednn_check(const ins_gemm_impl *impl, int64_t m, int64_t n, int64_t k, int bits) {
    bool trans_a = bits & 1, trans_b = bits & 2, half = bits & 4, accumulate = bits & 8, with_bias = bits & 16;
    int64_t lda = (trans_a ? m : k) + 2, ldb = (trans_b ? k : n) + 1, ldc = n + 3, count = 2;
    int64_t size_a = (trans_a ? k : m) * lda, size_b = (trans_b ? n : k) * ldb, size_c = m * ldc;
    ins_dtype dtype_c = half ? INS_DTYPE_BF16 : INS_DTYPE_F32;
    kt_array a = kt_random(INS_DTYPE_BF16, count * size_a, -1, 1, 1),
             b = kt_random(INS_DTYPE_BF16, count * size_b, -1, 1, 2);
    kt_array one = kt_random(dtype_c, count * size_c, -1, 1, 3), bias = kt_random(INS_DTYPE_F32, n, -1, 1, 4);
    kt_array two = kt_copy(&one, dtype_c), want = kt_copy(&one, INS_DTYPE_F64);
    kt_array wide_a = kt_copy(&a, INS_DTYPE_F64), wide_b = kt_copy(&b, INS_DTYPE_F64),
             wide_bias = kt_copy(&bias, INS_DTYPE_F64);
    ins_gemm_batch batch = {count, size_a, size_b, size_c};
    ins_gemm_args args = {.trans_a = trans_a,
                          .trans_b = trans_b,
                          .m = m,
                          .n = n,
                          .k = k,
                          .a = a.data,
                          .lda = lda,
                          .b = b.data,
                          .ldb = ldb,
                          .c = one.data,
                          .ldc = ldc,
                          .dtype_a = INS_DTYPE_BF16,
                          .dtype_b = INS_DTYPE_BF16,
                          .dtype_c = dtype_c,
                          .accumulate = accumulate,
                          .bias = with_bias ? bias.data : NULL};
    impl->run(&args, &batch, NULL);
    args.c = two.data;
    impl->run(&args, &batch, kt_two);
    args.a = wide_a.data, args.b = wide_b.data, args.c = want.data, args.bias = with_bias ? wide_bias.data : NULL;
    args.dtype_a = args.dtype_b = args.dtype_c = INS_DTYPE_F64;
    assert_int_equal(ins_gemm_batched(&args, &batch, NULL, NULL), INS_OK);
    kt_near("onednn", &one, &want, 8e-7 * (2 + sqrt((double)k)), half ? 2 * kt_eps(INS_DTYPE_BF16) : 1e-6);
    kt_same_bits("onednn", &one, &two);
    kt_free(&a), kt_free(&b), kt_free(&one), kt_free(&two), kt_free(&want), kt_free(&bias);
    kt_free(&wide_a), kt_free(&wide_b), kt_free(&wide_bias);
}

static void test_products(void **state) {
    (void)state;
    const ins_gemm_impl *impl = ins_isa_detect() >= INS_ISA_AVX512_BF16 ? ins_gemm_onednn() : NULL;
    if (!impl) skip();
    static const int64_t shapes[][3] = {{1, 1, 1}, {33, 70, 19}, {530, 40, 64}, {20, 600, 31}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int bits = 0; bits < 32; bits++) onednn_check(impl, shapes[s][0], shapes[s][1], shapes[s][2], bits);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products)};
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
