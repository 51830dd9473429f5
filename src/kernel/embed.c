#include "kernel/embed.h"

#include "kernel/loop_impl.h"

static ins_status embed_check(const ins_embed_args *args, const ins_loop_impl **impl, ins_error *err) {
    *impl = ins_loop_pick(args->dtype);
    if (!*impl) return ins_impl_none("embed", args->dtype, err);
    for (int64_t i = 0; i < args->n; i++)
        if (args->ids[i] >= args->v)
            return INS_FAIL(err, INS_BUG, "id %d at position %lld is outside of a table of %lld rows", args->ids[i],
                            (long long)i, (long long)args->v);
    return INS_OK;
}

ins_status ins_embed_forward(const ins_embed_args *args, ins_pool *pool, ins_error *err) {
    const ins_loop_impl *impl;
    INS_TRY(embed_check(args, &impl, err));
    if (args->n > 0 && args->d > 0) impl->embed_forward(args, pool);
    return INS_OK;
}

size_t ins_embed_backward_scratch(const ins_embed_args *args) {
    (void)args;
    return 0;
}

ins_status ins_embed_backward(const ins_embed_args *args, ins_pool *pool, ins_error *err) {
    const ins_loop_impl *impl;
    INS_TRY(embed_check(args, &impl, err));
    if (args->v > 0 && args->d > 0) impl->embed_backward(args, pool);
    return INS_OK;
}
