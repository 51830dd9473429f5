#include "kernel/optim_kernels.h"

#include "kernel/optim_impl.h"

/* The generic build takes every machine, so the pick below never comes back empty. */
const ins_impl_head *const ins_optim_impls[] = {INS_CPU_LIST(ins_cpu_optim), NULL};

static const ins_optim_impl *optim_pick(void) {
    const ins_optim_impl *impl = ins_impl_pick(ins_optim_impls, INS_DTYPE_F32);
    return impl ? impl : &ins_cpu_optim_generic;
}

void ins_adamw(const ins_adamw_args *args, ins_pool *pool) {
    if (args->n > 0) optim_pick()->adamw(args, pool);
}

void ins_sgd(const ins_sgd_args *args, ins_pool *pool) {
    if (args->n > 0) optim_pick()->sgd(args, pool);
}

void ins_ema_update(int64_t n, double decay, const float *p, float *avg, ins_pool *pool) {
    if (n > 0) optim_pick()->ema(n, decay, p, avg, pool);
}
