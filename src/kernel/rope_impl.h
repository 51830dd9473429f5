/* Inside of the kernel room: one implementation of rotary embedding. */
#ifndef INS_KERNEL_ROPE_IMPL_H
#define INS_KERNEL_ROPE_IMPL_H

#include "kernel/impl.h"
#include "kernel/rope.h"

typedef struct ins_rope_impl {
    ins_impl_head head;
    void (*rotate)(const ins_rope_args *args, ins_pool *pool);
} ins_rope_impl;

INS_CPU_DECLARE(ins_rope_impl, ins_cpu_rope);
extern const ins_rope_impl ins_ref_rope_f32, ins_ref_rope_f64;

extern const ins_impl_head *const ins_rope_impls[];

#endif
