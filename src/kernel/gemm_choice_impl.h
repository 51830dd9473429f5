/* Inside of the kernel room: rows of a table of choices, and their measurement. */
#ifndef INS_KERNEL_GEMM_CHOICE_IMPL_H
#define INS_KERNEL_GEMM_CHOICE_IMPL_H

#include "kernel/gemm_choice.h"
#include "kernel/gemm_impl.h"

/* All that a product's time may depend on. Plain numbers, compared as bytes. */
typedef struct ins_gemm_product {
    int64_t m, n, k, lda, ldb, ldc, batch;
    int32_t trans_a, trans_b, dtype, dtype_c, accumulate, bias, shared_b, reserved;
} ins_gemm_product;

/* Candidates for a product, the default first; returns how many. */
enum { INS_GEMM_CANDIDATES = 8 };
int ins_gemm_candidates(const ins_gemm_args *args, const ins_gemm_impl *out[INS_GEMM_CANDIDATES]);

/* Memory that a measurement needs and keeps for the next one. */
typedef struct ins_gemm_bench {
    void *cold; /* read between runs, so that operands are not left in the nearest caches */
    void *c;    /* where sums go that must not be added to the real C */
    size_t c_bytes;
} ins_gemm_bench;
void ins_gemm_bench_free(ins_gemm_bench *bench);

/* The fastest candidate, by running them on the real operands; C holds rubbish afterwards, or is untouched where it
 * is added to. seconds: best time of each candidate (0 = dropped at once), may be NULL. */
const ins_gemm_impl *ins_gemm_measure(const ins_gemm_args *args, const ins_gemm_batch *batch,
                                      const ins_gemm_impl *const *candidates, int n, ins_pool *pool,
                                      ins_gemm_bench *bench, double *seconds);

#endif
