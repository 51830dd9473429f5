#include "kernel/attention.h"

#include "kernel/attention_impl.h"

const ins_impl_head *const ins_attention_impls[] = {
#ifdef INS_KERNEL_X86
    &ins_cpu_attention_avx512_bf16.head,
#endif
    INS_CPU_LIST(ins_cpu_attention),     &ins_ref_attention_f32.head, &ins_ref_attention_f64.head, NULL,
};

static const ins_attention_impl *attention_pick(ins_dtype dtype) {
    for (const ins_impl_head *const *row = ins_attention_impls; *row; row++) {
        const ins_attention_impl *impl = (const ins_attention_impl *)*row;
        if (impl->head.level > ins_isa_detect() || !(impl->head.dtypes & INS_DTYPE_BIT(dtype))) continue;
        if (!impl->accepts || impl->accepts()) return impl;
    }
    return NULL;
}

static ins_status attention_check(const ins_attention_args *args, ins_error *err) {
    if (args->n_heads < 1 || args->n_kv_heads < 1 || args->n_heads % args->n_kv_heads || args->head_dim < 1 ||
        args->head_dim > INS_ATTENTION_MAX_HEAD)
        return INS_FAIL(err, INS_BUG, "attention with %lld heads, %lld kv heads, head size %lld",
                        (long long)args->n_heads, (long long)args->n_kv_heads, (long long)args->head_dim);
    int64_t cols_q = args->n_heads * args->head_dim, cols_k = args->n_kv_heads * args->head_dim;
    if (args->ldq < cols_q || args->ldo < cols_q || args->ldk < cols_k || args->ldv < cols_k)
        return INS_FAIL(err, INS_BUG, "attention with row strides smaller than its rows");
    return INS_OK;
}

ins_status ins_attention_forward(const ins_attention_args *args, ins_pool *pool, ins_error *err) {
    INS_TRY(attention_check(args, err));
    const ins_attention_impl *impl = attention_pick(args->dtype);
    if (!impl) return ins_impl_none("attention", args->dtype, err);
    if (args->batch > 0 && args->n_q > 0) impl->forward(args, pool);
    return INS_OK;
}

size_t ins_attention_backward_scratch(const ins_attention_args *args, int n_threads) {
    if (args->batch <= 0 || args->n_kv_heads <= 0) return 0;
    int64_t items = args->batch * args->n_kv_heads, parts = ins_attention_parts(args);
    int64_t slots = parts > 1 ? items * parts : ins_max_i64(1, n_threads);
    return (size_t)(slots * ins_attention_slot(args)) * ins_acc_size(args->dtype);
}

ins_status ins_attention_backward(const ins_attention_args *args, ins_pool *pool, ins_error *err) {
    INS_TRY(attention_check(args, err));
    const ins_attention_impl *impl = attention_pick(args->dtype);
    if (!impl) return ins_impl_none("attention", args->dtype, err);
    if (args->batch <= 0) return INS_OK;
    if (args->n_q > 0 && (!args->lse || (args->n_k > 0 && !args->scratch)))
        return INS_FAIL(err, INS_BUG, "attention backward without scratch or lse");
    impl->backward(args, pool);
    return INS_OK;
}
