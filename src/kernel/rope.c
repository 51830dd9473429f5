#include "kernel/rope.h"

#include "kernel/rope_impl.h"

const ins_impl_head *const ins_rope_impls[] = {INS_CPU_LIST(ins_cpu_rope), &ins_ref_rope_f32.head,
                                               &ins_ref_rope_f64.head, NULL};

ins_status ins_rope_rotate(const ins_rope_args *args, ins_pool *pool, ins_error *err) {
    if (args->rotary_dim < 0 || args->rotary_dim % 2 || args->rotary_dim > args->head_dim)
        return INS_FAIL(err, INS_BUG, "rotary size %lld of a head of %lld", (long long)args->rotary_dim,
                        (long long)args->head_dim);
    const ins_rope_impl *impl = ins_impl_pick(ins_rope_impls, args->dtype);
    if (!impl) return ins_impl_none("rope", args->dtype, err);
    if (args->rows > 0 && args->n_heads > 0) impl->rotate(args, pool);
    return INS_OK;
}
