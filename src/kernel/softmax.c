#include "kernel/softmax.h"

#include "kernel/softmax_impl.h"

const ins_impl_head *const ins_softmax_impls[] = {INS_CPU_LIST(ins_cpu_softmax), &ins_ref_softmax_f32.head,
                                                  &ins_ref_softmax_f64.head, NULL};

ins_status ins_softmax_forward(const ins_softmax_args *args, ins_pool *pool, ins_error *err) {
    const ins_softmax_impl *impl = ins_impl_pick(ins_softmax_impls, args->dtype);
    if (!impl) return ins_impl_none("softmax", args->dtype, err);
    if (args->rows > 0 && args->cols > 0) impl->forward(args, pool);
    return INS_OK;
}

ins_status ins_softmax_backward(const ins_softmax_args *args, ins_pool *pool, ins_error *err) {
    const ins_softmax_impl *impl = ins_impl_pick(ins_softmax_impls, args->dtype);
    if (!impl) return ins_impl_none("softmax", args->dtype, err);
    if (args->rows > 0 && args->cols > 0) impl->backward(args, pool);
    return INS_OK;
}
