/* Inside of the kernel room: the plain loops (elementwise, reductions, tables), one struct for all of them. They are
 * bound by memory, so that one C source serves every instruction set and f64.
 */
#ifndef INS_KERNEL_LOOP_IMPL_H
#define INS_KERNEL_LOOP_IMPL_H

#include "kernel/elementwise.h"
#include "kernel/embed.h"
#include "kernel/impl.h"
#include "kernel/reduce.h"

typedef enum ins_fold { INS_FOLD_SUM, INS_FOLD_SUMSQ, INS_FOLD_MAXABS, INS_FOLD_DOT, INS_FOLD_NOT_FINITE } ins_fold;

typedef struct ins_loop_impl {
    ins_impl_head head;
    /* dims and strides as simplified by elementwise.c; n_dims >= 1 */
    void (*binary)(const ins_binary_args *args, ins_pool *pool);
    void (*affine)(ins_dtype dtype, int64_t n, double alpha, double beta, const void *x, void *y, ins_pool *pool);
    void (*axpy)(ins_dtype dtype, int64_t n, double alpha, const void *x, void *y, ins_pool *pool);
    void (*bias_add)(const ins_bias_args *args, ins_pool *pool);
    void (*column_sum)(const ins_column_sum_args *args, ins_pool *pool);
    void (*strided_add)(const ins_strided_args *args, ins_pool *pool);
    void (*to_bf16)(int64_t n, const void *x, void *y, ins_pool *pool); /* from and to `real`; NULL in f64 */
    void (*from_bf16)(int64_t n, const void *x, void *y, ins_pool *pool);
    double (*fold)(ins_fold kind, ins_dtype dtype, int64_t n, const void *x, const void *y); /* one chunk */
    void (*reduce_axis)(const ins_reduce_args *args, ins_pool *pool);
    void (*argmax)(ins_dtype dtype, int64_t rows, int64_t cols, const void *x, int64_t ldx, int32_t *index,
                   ins_pool *pool);
    void (*embed_forward)(const ins_embed_args *args, ins_pool *pool);
    void (*embed_backward)(const ins_embed_args *args, ins_pool *pool);
} ins_loop_impl;

INS_LOOP_DECLARE(ins_loop_impl, ins_cpu_loops);

/* The loops for a dtype, or NULL. */
const ins_loop_impl *ins_loop_pick(ins_dtype dtype);

extern const ins_impl_head *const ins_loop_impls[];

#endif
