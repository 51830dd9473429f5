/* Matrix product: C[m,n] (+)= op(A)[m,k] op(B)[k,n] + bias[n].
 *
 * Dtypes: A, B, C all f32; all f64; or A and B bf16 with C f32 or bf16. Sums are in acc (f32 for bf16).
 */
#ifndef INS_KERNEL_GEMM_H
#define INS_KERNEL_GEMM_H

#include "base/pool.h"
#include "tensor/tensor.h"

typedef struct ins_gemm_choices ins_gemm_choices; /* kernel/gemm_choice.h */

typedef struct ins_gemm_args {
    bool trans_a; /* A is stored [k,m] */
    bool trans_b; /* B is stored [n,k] */
    int64_t m, n, k;
    const void *a;
    int64_t lda;
    const void *b;
    int64_t ldb;
    void *c;
    int64_t ldc;
    ins_dtype dtype_a, dtype_b, dtype_c;
    bool accumulate;  /* add to C instead of overwriting it */
    const void *bias; /* [n] in acc, or NULL */
    /* Who makes each product, in training graphs; NULL = our own kernels, whose rows have the same bits in any batch.
     */
    ins_gemm_choices *choices;
} ins_gemm_args;

/* Errors: INS_BUG when the dtypes do not go together or a size or stride is impossible. k = 0 gives bias (or 0). */
ins_status ins_gemm(const ins_gemm_args *args, ins_pool *pool, ins_error *err);

/* `batch` products of equal shape; operand i starts at base + i * stride (elements; stride 0 = shared operand). The
 * C's must not overlap. */
typedef struct ins_gemm_batch {
    int64_t batch;
    int64_t stride_a, stride_b, stride_c;
} ins_gemm_batch;
ins_status ins_gemm_batched(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool, ins_error *err);

/* Name of the implementation that ins_gemm takes for these arguments, e.g. "cpu-avx512". Measures nothing. */
const char *ins_gemm_impl_name(const ins_gemm_args *args);

#endif
