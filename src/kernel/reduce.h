/* Reductions over long arrays with fixed chunks and a fixed order: equal bits for any number of threads. */
#ifndef INS_KERNEL_REDUCE_H
#define INS_KERNEL_REDUCE_H

#include "base/pool.h"
#include "tensor/tensor.h"

/* Whole-array reductions; x f32, f64 or bf16. Partial sums in f64. */
double ins_reduce_sum(ins_dtype dtype, int64_t n, const void *x, ins_pool *pool);
double ins_reduce_sumsq(ins_dtype dtype, int64_t n, const void *x, ins_pool *pool);
double ins_reduce_maxabs(ins_dtype dtype, int64_t n, const void *x, ins_pool *pool); /* NaN if any is NaN */
double ins_reduce_dot(ins_dtype dtype, int64_t n, const void *x, const void *y, ins_pool *pool);
bool ins_reduce_all_finite(ins_dtype dtype, int64_t n, const void *x, ins_pool *pool);

/* X(code, name) */
#define INS_REDUCE_MAP(X)                                                                                              \
    X(SUM, "sum")                                                                                                      \
    X(MEAN, "mean")                                                                                                    \
    X(SUMSQ, "sumsq")                                                                                                  \
    X(MAX, "max")                                                                                                      \
    X(MIN, "min")

typedef enum ins_reduce {
#define INS_REDUCE_ENUM(code, name) INS_REDUCE_##code,
    INS_REDUCE_MAP(INS_REDUCE_ENUM)
#undef INS_REDUCE_ENUM
        INS_REDUCE_COUNT
} ins_reduce;
const char *ins_reduce_name(ins_reduce op);

/* x [outer, axis, inner] dense -> out [outer, inner]. inner 1 = last axis, outer 1 = first axis. f32, f64, bf16; out
 * has the dtype of x, sums are in acc. Empty axis: 0 for sums, NaN for mean, -inf for max, inf for min. */
typedef struct ins_reduce_args {
    ins_reduce op;
    ins_dtype dtype;
    int64_t outer, axis, inner;
    const void *x;
    void *out;
    bool accumulate; /* add to out */
} ins_reduce_args;
ins_status ins_reduce_axis(const ins_reduce_args *args, ins_pool *pool, ins_error *err);

/* index[r] = position of the largest entry of row r (first on ties; NaN never wins); cols >= 1. f32, f64, bf16. */
ins_status ins_argmax_rows(ins_dtype dtype, int64_t rows, int64_t cols, const void *x, int64_t ldx, int32_t *index,
                           ins_pool *pool, ins_error *err);

#endif
