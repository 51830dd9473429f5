/* Inside of the kernel room: the row work of the fused loss. */
#ifndef INS_KERNEL_XENT_IMPL_H
#define INS_KERNEL_XENT_IMPL_H

#include "kernel/impl.h"
#include "kernel/xent.h"

/* One row's work in the fused loss: logits z[V] become nll, and in place the gradient. */
typedef struct ins_xent_row {
    int64_t v;
    int64_t target;   /* >= 0 */
    double smoothing; /* label_smoothing */
    double z_loss;
    double factor;  /* weight * d_loss */
    bool grad;      /* replace z by the gradient */
    bool grad_bf16; /* as bf16, packed into the row's first half */
    void *z;        /* acc */
    double nll;     /* outputs */
    bool correct;
} ins_xent_row;

typedef struct ins_xent_impl {
    ins_impl_head head;
    void (*row)(ins_xent_row *row);
} ins_xent_impl;

INS_CPU_DECLARE(ins_xent_impl, ins_cpu_xent);
extern const ins_xent_impl ins_ref_xent_f32, ins_ref_xent_f64;

extern const ins_impl_head *const ins_xent_impls[];

#endif
