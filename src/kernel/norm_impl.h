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

/* Partial sums of a chunk of rows: weight, bias, d_x. */
enum { INS_NORM_PART_WEIGHT, INS_NORM_PART_BIAS, INS_NORM_PART_SUM, INS_NORM_PARTS };

INS_CPU_DECLARE(ins_norm_impl, ins_cpu_norm);
extern const ins_norm_impl ins_ref_norm_f32, ins_ref_norm_f64;

extern const ins_impl_head *const ins_norm_impls[];

#endif
