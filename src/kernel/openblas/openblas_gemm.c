/* f32 products through OpenBLAS: one cblas_sgemm a block. */
#include "kernel/gemm_blocks.h"
#include "kernel/openblas/openblas_api.h"

static bool openblas_block(const ins_gemm_block *block, void *context) {
    (void)context;
    const ins_gemm_args *args = &block->args;
    const ins_openblas_product product = {.trans_a = args->trans_a,
                                          .trans_b = args->trans_b,
                                          .add = ins_gemm_block_bias(args),
                                          .m = (int32_t)args->m,
                                          .n = (int32_t)args->n,
                                          .k = (int32_t)args->k,
                                          .lda = (int32_t)args->lda,
                                          .ldb = (int32_t)args->ldb,
                                          .ldc = (int32_t)args->ldc};
    ins_openblas_sgemm(&product, args->a, args->b, args->c);
    return true;
}

static void openblas_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    ins_gemm_grid grid = ins_gemm_grid_make(args, batch->batch);
    ins_gemm_blocks_run(args, batch, &grid, pool, openblas_block, NULL);
}

/* Its sizes and strides have 32 bits; blocks are small, so only k and the strides can be too large. */
static bool openblas_accepts(const ins_gemm_args *args) {
    if (args->k <= 0 || args->k > INT32_MAX || args->lda > INT32_MAX || args->ldb > INT32_MAX || args->ldc > INT32_MAX)
        return false;
    return args->dtype_a == INS_DTYPE_F32 && args->dtype_b == INS_DTYPE_F32 && args->dtype_c == INS_DTYPE_F32 &&
           ins_openblas_available();
}

const ins_gemm_impl ins_openblas_gemm = {.head = {"openblas", INS_ISA_AVX2, INS_DTYPE_BIT(INS_DTYPE_F32)},
                                         .accepts = openblas_accepts,
                                         .run = openblas_run,
                                         .from_library = true};
