#include "kernel/act.h"

#include <string.h>

#include "kernel/act_impl.h"
#include "kernel/elementwise.h"

const ins_impl_head *const ins_act_impls[] = {
#ifdef INS_KERNEL_X86
    &ins_cpu_act_avx512_bf16.head, /* the conversions are a third of the work on bf16 */
#endif
    INS_CPU_LIST(ins_cpu_act), &ins_ref_act_f32.head, &ins_ref_act_f64.head, NULL};

static const char *const act_names[INS_ACT_COUNT] = {
#define ACT_NAME(code, name, formula) [INS_ACT_##code] = name,
    INS_ACT_MAP(ACT_NAME)
#undef ACT_NAME
};

const char *ins_act_name(ins_act act) {
    return (unsigned)act < INS_ACT_COUNT ? act_names[act] : "unknown";
}

bool ins_act_from_name(const char *name, ins_act *out) {
    for (int i = 0; i < INS_ACT_COUNT; i++) {
        if (strcmp(act_names[i], name) != 0) continue;
        *out = (ins_act)i;
        return true;
    }
    return false;
}

static ins_status act_pick(ins_act act, ins_dtype dtype, const ins_act_impl **out, ins_error *err) {
    if ((unsigned)act >= INS_ACT_COUNT) return INS_FAIL(err, INS_BUG, "no activation has the number %d", (int)act);
    *out = ins_impl_pick(ins_act_impls, dtype);
    return *out ? INS_OK : ins_impl_none("act", dtype, err);
}

ins_status ins_act_forward(const ins_act_args *args, ins_pool *pool, ins_error *err) {
    const ins_act_impl *impl;
    INS_TRY(act_pick(args->act, args->dtype, &impl, err));
    if (args->n > 0) impl->forward(args, pool);
    return INS_OK;
}

static ins_column_sum_args act_sum(const ins_act_args *args) {
    return (ins_column_sum_args){.dtype = args->dtype,
                                 .rows = args->cols > 0 ? args->n / args->cols : 0,
                                 .cols = args->cols,
                                 .x = args->d_x,
                                 .ldx = args->cols,
                                 .out = args->sum,
                                 .scratch = args->scratch};
}

size_t ins_act_backward_scratch(const ins_act_args *args) {
    ins_column_sum_args sum = act_sum(args);
    return ins_column_sum_scratch(&sum);
}

ins_status ins_act_backward(const ins_act_args *args, ins_pool *pool, ins_error *err) {
    const ins_act_impl *impl;
    INS_TRY(act_pick(args->act, args->dtype, &impl, err));
    if (args->n > 0) impl->backward(args, pool);
    if (!args->sum || (impl->sums && args->n > 0)) return INS_OK;
    ins_column_sum_args sum = act_sum(args);
    return ins_column_sum(&sum, pool, err);
}

ins_status ins_gated_forward(const ins_gated_args *args, ins_pool *pool, ins_error *err) {
    const ins_act_impl *impl;
    INS_TRY(act_pick(args->act, args->dtype, &impl, err));
    if (args->rows > 0 && args->cols > 0) impl->gated_forward(args, pool);
    return INS_OK;
}

ins_status ins_gated_backward(const ins_gated_args *args, ins_pool *pool, ins_error *err) {
    const ins_act_impl *impl;
    INS_TRY(act_pick(args->act, args->dtype, &impl, err));
    if (args->rows > 0 && args->cols > 0) impl->gated_backward(args, pool);
    return INS_OK;
}
