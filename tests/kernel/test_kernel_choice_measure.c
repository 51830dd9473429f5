/* Measuring who makes a product fastest. labels: timing */
#include "kernel/gemm_choice_impl.h"
#include "kernel_test.h"

enum { M = 70, N = 90, K = 40 };

typedef struct product {
    kt_array a, b, c;
    ins_gemm_args args;
} product;

static product make(void) {
    product p = {.a = kt_random(INS_DTYPE_F32, M * K, -1, 1, 1),
                 .b = kt_random(INS_DTYPE_F32, K * N, -1, 1, 2),
                 .c = kt_random(INS_DTYPE_F32, M * N, -1, 1, 3)};
    p.args = (ins_gemm_args){.m = M,
                             .n = N,
                             .k = K,
                             .a = p.a.data,
                             .lda = K,
                             .b = p.b.data,
                             .ldb = N,
                             .c = p.c.data,
                             .ldc = N,
                             .dtype_a = INS_DTYPE_F32,
                             .dtype_b = INS_DTYPE_F32,
                             .dtype_c = INS_DTYPE_F32};
    return p;
}

/* The yardstick is never dropped, every other candidate is run, and a winner has a time below the default's. */
static void test_measurement(void **state) {
    (void)state;
    product p = make();
    const ins_gemm_impl *candidates[INS_GEMM_CANDIDATES];
    const ins_gemm_batch one = {.batch = 1};
    double seconds[INS_GEMM_CANDIDATES] = {0};
    ins_gemm_bench bench = {0};
    int n = ins_gemm_candidates(&p.args, candidates);
    assert_true(n >= 1 && candidates[0] == ins_gemm_default(&p.args));
    const ins_gemm_impl *best = ins_gemm_measure(&p.args, &one, candidates, n, NULL, &bench, seconds);
    int at = -1;
    for (int i = 0; i < n; i++) at = candidates[i] == best ? i : at;
    assert_true(at >= 0);
    for (int i = 0; i < n && n > 1; i++) assert_true(seconds[i] > 0);
    if (at > 0) assert_true(seconds[at] < seconds[0]);
    ins_gemm_bench_free(&bench);
    kt_free(&p.a), kt_free(&p.b), kt_free(&p.c);
}

/* Two implementations that are the same code: the default is kept unless the other one was clearly faster by chance. */
static void test_tie(void **state) {
    (void)state;
    product p = make();
    const ins_gemm_impl *own = ins_gemm_default(&p.args);
    ins_gemm_impl twin = *own;
    const ins_gemm_impl *candidates[] = {own, &twin};
    const ins_gemm_batch one = {.batch = 1};
    ins_gemm_bench bench = {0};
    double seconds[2];
    p.args.m = p.args.n = p.args.k = 40; /* inside of the arrays, and the same work for both */
    for (int i = 0; i < 15; i++) {
        const ins_gemm_impl *best = ins_gemm_measure(&p.args, &one, candidates, 2, NULL, &bench, seconds);
        assert_ptr_equal(best, seconds[1] < 0.97 * seconds[0] ? &twin : own);
    }
    ins_gemm_bench_free(&bench);
    kt_free(&p.a), kt_free(&p.b), kt_free(&p.c);
}

static void slow_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    for (int i = 0; i < 4; i++) ins_gemm_default(args)->run(args, batch, pool);
}

static void test_faster_wins(void **state) {
    (void)state;
    product p = make();
    const ins_gemm_impl slow = {.head = {"slow", INS_ISA_GENERIC, INS_DTYPES_CPU}, .run = slow_run};
    const ins_gemm_impl *quick = ins_gemm_default(&p.args);
    const ins_gemm_batch one = {.batch = 1};
    ins_gemm_bench bench = {0};
    double seconds[2];
    assert_ptr_equal(ins_gemm_measure(&p.args, &one, (const ins_gemm_impl *[]){&slow, quick}, 2, NULL, &bench, seconds),
                     quick);
    assert_ptr_equal(ins_gemm_measure(&p.args, &one, (const ins_gemm_impl *[]){quick, &slow}, 2, NULL, &bench, seconds),
                     quick);
    ins_gemm_bench_free(&bench);
    kt_free(&p.a), kt_free(&p.b), kt_free(&p.c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measurement),
        cmocka_unit_test(test_tie),
        cmocka_unit_test(test_faster_wins),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
