#include "kernel/lstm.h"

#include <string.h>

#include "kernel/lstm_impl.h"

const ins_impl_head *const ins_lstm_impls[] = {
#ifdef INS_KERNEL_X86
    &ins_cpu_lstm_avx512_bf16.head,
#endif
    INS_CPU_LIST(ins_cpu_lstm),     &ins_ref_lstm_f32.head, &ins_ref_lstm_f64.head, NULL,
};

static const ins_lstm_impl *lstm_pick(ins_dtype dtype) {
    const ins_impl_head *const *list = ins_lstm_impls;
#ifdef INS_KERNEL_X86
    if (dtype != INS_DTYPE_BF16 || !ins_isa_fast_dot()) list++;
#endif
    return ins_impl_pick(list, dtype);
}

size_t ins_lstm_scratch(const ins_lstm_args *args) {
    if (args->batch <= 0 || args->hidden <= 0) return 0;
    int64_t rows = args->batch * INS_LSTM_ROW_BUFFERS * ins_lstm_buffer(args);
    return (size_t)(ins_lstm_packed(args) + rows) * ins_acc_size(args->dtype);
}

static ins_status lstm_check(const ins_lstm_args *args, const ins_lstm_impl **impl, ins_error *err) {
    if (args->batch < 0 || args->time < 0 || args->hidden < 0 || args->hidden > INT32_MAX / 4)
        return INS_FAIL(err, INS_BUG, "lstm of %lld rows, %lld steps, %lld units", (long long)args->batch,
                        (long long)args->time, (long long)args->hidden);
    *impl = lstm_pick(args->dtype);
    return *impl ? INS_OK : ins_impl_none("lstm", args->dtype, err);
}

static bool lstm_is_empty(const ins_lstm_args *args) {
    return args->batch == 0 || args->time == 0 || args->hidden == 0;
}

ins_status ins_lstm_forward(const ins_lstm_args *args, ins_pool *pool, ins_error *err) {
    const ins_lstm_impl *impl;
    INS_TRY(lstm_check(args, &impl, err));
    if (lstm_is_empty(args)) return INS_OK;
    if (!args->scratch) return INS_FAIL(err, INS_BUG, "lstm without scratch");
    impl->forward(args, pool);
    return INS_OK;
}

ins_status ins_lstm_backward(const ins_lstm_args *args, ins_pool *pool, ins_error *err) {
    const ins_lstm_impl *impl;
    INS_TRY(lstm_check(args, &impl, err));
    size_t state = (size_t)(args->batch * args->hidden) * ins_acc_size(args->dtype);
    if (lstm_is_empty(args)) { /* no step: nothing flows back */
        if (args->d_h0) memset(args->d_h0, 0, state);
        if (args->d_c0) memset(args->d_c0, 0, state);
        return INS_OK;
    }
    if (!args->scratch) return INS_FAIL(err, INS_BUG, "lstm backward without scratch");
    impl->backward(args, pool);
    return INS_OK;
}

const char *ins_lstm_impl_name(ins_dtype dtype) {
    const ins_lstm_impl *impl = lstm_pick(dtype);
    return impl ? impl->head.name : "none";
}
