#include "kernel/norm.h"

#include "kernel/norm_impl.h"

const ins_impl_head *const ins_norm_impls[] = {INS_CPU_LIST(ins_cpu_norm), &ins_ref_norm_f32.head,
                                               &ins_ref_norm_f64.head, NULL};

static ins_status norm_check(const ins_norm_args *args, ins_error *err) {
    if ((args->y_bf16 || args->d_y_bf16) && args->dtype != INS_DTYPE_F32)
        return INS_FAIL(err, INS_BUG, "norm: a bf16 side goes with f32 only, not with %s", ins_dtype_name(args->dtype));
    return INS_OK;
}

ins_status ins_norm_forward(const ins_norm_args *args, ins_pool *pool, ins_error *err) {
    const ins_norm_impl *impl = ins_impl_pick(ins_norm_impls, args->dtype);
    if (!impl) return ins_impl_none("norm", args->dtype, err);
    INS_TRY(norm_check(args, err));
    if (args->rows > 0 && args->cols > 0) impl->forward(args, pool);
    return INS_OK;
}

size_t ins_norm_backward_scratch(const ins_norm_args *args) {
    if (args->rows <= 0) return 0;
    size_t chunks = (size_t)ins_ceil_div(args->rows, ins_sum_chunk_rows(args->rows));
    return chunks * INS_NORM_PARTS * (size_t)args->cols * ins_acc_size(args->dtype);
}

ins_status ins_norm_backward(const ins_norm_args *args, ins_pool *pool, ins_error *err) {
    const ins_norm_impl *impl = ins_impl_pick(ins_norm_impls, args->dtype);
    if (!impl) return ins_impl_none("norm", args->dtype, err);
    INS_TRY(norm_check(args, err));
    if (args->cols <= 0) return INS_OK;
    if (!args->rstd || (!args->rms && !args->mean))
        return INS_FAIL(err, INS_BUG, "norm backward without the statistics of forward");
    if ((args->d_weight || args->d_bias || args->d_x_sum) && args->rows > 0 && !args->scratch)
        return INS_FAIL(err, INS_BUG, "norm backward without scratch");
    impl->backward(args, pool);
    return INS_OK;
}
