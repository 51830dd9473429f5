/* Inside of the kernel room: one implementation of the norms. */
#ifndef INS_KERNEL_NORM_IMPL_H
#define INS_KERNEL_NORM_IMPL_H

#include "kernel/impl.h"
#include "kernel/norm.h"

typedef struct ins_norm_impl {
    ins_impl_head head;
    void (*forward)(const ins_norm_args *args, ins_pool *pool);
    void (*backward)(const ins_norm_args *args, ins_pool *pool);
} ins_norm_impl;

/* Rows are reduced to d_weight and d_bias in chunks of this many rows, then chunk by chunk: at most 32 chunks. */
static inline int64_t ins_norm_chunk_rows(int64_t rows) {
    return ins_max_i64(8, ins_ceil_div(rows, 32));
}

INS_CPU_DECLARE(ins_norm_impl, ins_cpu_norm);
extern const ins_norm_impl ins_ref_norm_f32, ins_ref_norm_f64;

extern const ins_impl_head *const ins_norm_impls[];

#endif
