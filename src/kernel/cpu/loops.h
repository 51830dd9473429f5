/* Inside of kernel/cpu: the loops that the loop_*.c files put into one ins_loop_impl. */
#ifndef INS_KERNEL_CPU_LOOPS_H
#define INS_KERNEL_CPU_LOOPS_H

#include "kernel/cpu/cpu.h"
#include "kernel/loop_impl.h"

#define LOOP_CHUNK (16 * CPU_BLOCK) /* elements of a task */

void INS_CPU(ins_loop_binary)(const ins_binary_args *args, ins_pool *pool);
void INS_CPU(ins_loop_affine)(ins_dtype dtype, int64_t n, double alpha, double beta, const void *x, void *y,
                              ins_pool *pool);
void INS_CPU(ins_loop_axpy)(ins_dtype dtype, int64_t n, double alpha, const void *x, void *y, ins_pool *pool);
void INS_CPU(ins_loop_bias_add)(const ins_bias_args *args, ins_pool *pool);
void INS_CPU(ins_loop_column_sum)(const ins_column_sum_args *args, ins_pool *pool);
void INS_CPU(ins_loop_strided_add)(const ins_strided_args *args, ins_pool *pool);
void INS_CPU(ins_loop_to_bf16)(int64_t n, const void *x, void *y, ins_pool *pool);
void INS_CPU(ins_loop_from_bf16)(int64_t n, const void *x, void *y, ins_pool *pool);
double INS_CPU(ins_loop_fold)(ins_fold kind, ins_dtype dtype, int64_t n, const void *x, const void *y);
void INS_CPU(ins_loop_reduce_axis)(const ins_reduce_args *args, ins_pool *pool);
void INS_CPU(ins_loop_argmax)(ins_dtype dtype, int64_t rows, int64_t cols, const void *x, int64_t ldx, int32_t *index,
                              ins_pool *pool);
void INS_CPU(ins_loop_embed_forward)(const ins_embed_args *args, ins_pool *pool);
void INS_CPU(ins_loop_embed_backward)(const ins_embed_args *args, ins_pool *pool);

#endif
