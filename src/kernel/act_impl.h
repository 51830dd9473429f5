/* Inside of the kernel room: one implementation of the elementwise maps and gated products. */
#ifndef INS_KERNEL_ACT_IMPL_H
#define INS_KERNEL_ACT_IMPL_H

#include "kernel/act.h"
#include "kernel/impl.h"

typedef struct ins_act_impl {
    ins_impl_head head;
    bool sums; /* backward makes the column sums itself */
    void (*forward)(const ins_act_args *args, ins_pool *pool);
    void (*backward)(const ins_act_args *args, ins_pool *pool);
    void (*gated_forward)(const ins_gated_args *args, ins_pool *pool);
    void (*gated_backward)(const ins_gated_args *args, ins_pool *pool);
} ins_act_impl;

INS_CPU_DECLARE(ins_act_impl, ins_cpu_act);
#ifdef INS_KERNEL_X86
extern const ins_act_impl ins_cpu_act_avx512_bf16;
#endif
extern const ins_act_impl ins_ref_act_f32, ins_ref_act_f64;

extern const ins_impl_head *const ins_act_impls[];

#endif
