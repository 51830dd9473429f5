/* Inside of the kernel room: one implementation of softmax, and of the row work of the fused loss. */
#ifndef INS_KERNEL_SOFTMAX_IMPL_H
#define INS_KERNEL_SOFTMAX_IMPL_H

#include "kernel/impl.h"
#include "kernel/softmax.h"

typedef struct ins_softmax_impl {
    ins_impl_head head;
    void (*forward)(const ins_softmax_args *args, ins_pool *pool);
    void (*backward)(const ins_softmax_args *args, ins_pool *pool);
} ins_softmax_impl;

INS_CPU_DECLARE(ins_softmax_impl, ins_cpu_softmax);
extern const ins_softmax_impl ins_ref_softmax_f32, ins_ref_softmax_f64;

extern const ins_impl_head *const ins_softmax_impls[];

#endif
