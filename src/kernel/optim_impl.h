/* Inside of the kernel room: one implementation of the optimizer updates (f32 slabs). */
#ifndef INS_KERNEL_OPTIM_IMPL_H
#define INS_KERNEL_OPTIM_IMPL_H

#include "kernel/impl.h"
#include "kernel/optim_kernels.h"

typedef struct ins_optim_impl {
    ins_impl_head head;
    void (*adamw)(const ins_adamw_args *args, ins_pool *pool);
    void (*sgd)(const ins_sgd_args *args, ins_pool *pool);
    void (*ema)(int64_t n, double decay, const float *p, float *avg, ins_pool *pool);
} ins_optim_impl;

INS_CPU_DECLARE(ins_optim_impl, ins_cpu_optim);

extern const ins_impl_head *const ins_optim_impls[];

#endif
