/* Front of the matrix products: checks, degenerate sizes, choice of the implementation. */
#include "kernel/gemm.h"

#include <string.h>

#include "kernel/gemm_impl.h"

const ins_impl_head *const ins_gemm_impls[] = {
#ifdef INS_KERNEL_ONEDNN
    &ins_onednn_gemm_amx.head,
#endif
#ifdef INS_KERNEL_X86
    &ins_cpu_gemm_avx512_bf16.head,
#endif
    INS_CPU_LIST(ins_cpu_gemm),     &ins_ref_gemm_f32.head, &ins_ref_gemm_f64.head, NULL,
};

const ins_impl_head *const ins_gemm_libraries[] = {
#ifdef INS_KERNEL_ONEDNN
    &ins_onednn_gemm.head,   &ins_onednn_gemm_packed.head,
    &ins_onednn_sgemm.head,
#endif
    &ins_openblas_gemm.head, NULL,
};

const ins_gemm_impl *ins_gemm_onednn(void) {
#ifdef INS_KERNEL_ONEDNN
    const ins_gemm_args args = {
        .k = 1, .dtype_a = INS_DTYPE_BF16, .dtype_b = INS_DTYPE_BF16, .dtype_c = INS_DTYPE_BF16};
    if (ins_gemm_fits(&ins_onednn_gemm, &args)) return &ins_onednn_gemm;
#endif
    return NULL;
}

bool ins_gemm_fits(const ins_gemm_impl *impl, const ins_gemm_args *args) {
    if (impl->head.level > ins_isa_detect() || !(impl->head.dtypes & INS_DTYPE_BIT(args->dtype_a))) return false;
    return !impl->accepts || impl->accepts(args);
}

static const ins_gemm_impl *gemm_pick(const ins_gemm_args *args, bool libraries) {
    for (const ins_impl_head *const *row = ins_gemm_impls; *row; row++) {
        const ins_gemm_impl *impl = (const ins_gemm_impl *)*row;
        if ((libraries || !impl->from_library) && ins_gemm_fits(impl, args)) return impl;
    }
    return NULL;
}

const ins_gemm_impl *ins_gemm_default(const ins_gemm_args *args) {
    return gemm_pick(args, true);
}

const ins_gemm_impl *ins_gemm_own(const ins_gemm_args *args) {
    return gemm_pick(args, false);
}

static bool gemm_dtypes_fit(const ins_gemm_args *args) {
    if (args->dtype_a != args->dtype_b) return false;
    if (args->dtype_a == INS_DTYPE_BF16) return args->dtype_c == INS_DTYPE_F32 || args->dtype_c == INS_DTYPE_BF16;
    return (args->dtype_a == INS_DTYPE_F32 || args->dtype_a == INS_DTYPE_F64) && args->dtype_c == args->dtype_a;
}

static ins_status gemm_check(const ins_gemm_args *args, ins_error *err) {
    if (!gemm_dtypes_fit(args))
        return INS_FAIL(err, INS_BUG, "gemm of %s and %s into %s", ins_dtype_name(args->dtype_a),
                        ins_dtype_name(args->dtype_b), ins_dtype_name(args->dtype_c));
    int64_t cols_a = args->trans_a ? args->m : args->k, cols_b = args->trans_b ? args->k : args->n;
    if (args->m < 0 || args->n < 0 || args->k < 0 || args->lda < cols_a || args->ldb < cols_b || args->ldc < args->n)
        return INS_FAIL(err, INS_BUG, "gemm of impossible shape: m %lld n %lld k %lld, strides %lld %lld %lld",
                        (long long)args->m, (long long)args->n, (long long)args->k, (long long)args->lda,
                        (long long)args->ldb, (long long)args->ldc);
    return INS_OK;
}

ins_status ins_gemm_batched(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool, ins_error *err) {
    INS_TRY(gemm_check(args, err));
    if (args->m == 0 || args->n == 0 || batch->batch <= 0) return INS_OK;
    const ins_gemm_impl *impl = args->choices ? ins_gemm_choose(args, batch, pool) : ins_gemm_default(args);
    if (!impl) return ins_impl_none("gemm", args->dtype_a, err);
    impl->run(args, batch, pool);
    return INS_OK;
}

ins_status ins_gemm(const ins_gemm_args *args, ins_pool *pool, ins_error *err) {
    const ins_gemm_batch one = {.batch = 1};
    return ins_gemm_batched(args, &one, pool, err);
}

const char *ins_gemm_impl_name(const ins_gemm_args *args) {
    const ins_gemm_impl *impl = !gemm_dtypes_fit(args) ? NULL
                                : args->choices        ? ins_gemm_chosen(args)
                                                       : ins_gemm_default(args);
    return impl ? impl->head.name : "none";
}
