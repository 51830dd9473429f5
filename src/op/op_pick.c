/* pick: out[i] = x[i, ids[i]], 0 where the id is below 0: the log-probability of a target. */
#include <string.h>

#include "op/op_common.h"
#include "op/op_emit.h"

enum { X, IDS };

static ins_status pick_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_op_check_float(sig, X, err));
    INS_TRY(ins_op_check_dims(sig, X, 2, err));
    ins_type want = {.dtype = INS_DTYPE_I32, .n_dims = 1, .dims = {sig->in[X]->dims[0]}};
    INS_TRY(ins_op_check_type(sig, IDS, &want, err));
    sig->out[0] = ins_type_with(&want, sig->in[X]->dtype);
    return INS_OK;
}

static ins_status pick_run(const ins_op_call *call, ins_error *err) {
    const ins_type *x = call->sig->in[X];
    size_t size = ins_dtype_size(x->dtype);
    int64_t n = x->dims[0], cols = x->dims[1];
    const int32_t *ids = call->in[IDS];
    char *out = call->out[0];
    memset(out, 0, (size_t)n * size);
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] >= cols)
            return INS_FAIL(err, INS_BUG, "pick: id %d of row %lld is outside [0, %lld)", (int)ids[i], (long long)i,
                            (long long)cols);
        if (ids[i] >= 0)
            memcpy(out + (size_t)i * size, (const char *)call->in[X] + (size_t)(i * cols + ids[i]) * size, size);
    }
    return INS_OK;
}

static ins_status pick_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    int64_t cols = a->sig->in[X]->dims[1];
    if (a->need[X]) a->d_in[X] = ins_emit_unpick(g, a->d_out[0], a->in[IDS], cols);
    return INS_OK;
}

ins_value ins_emit_pick(ins_graph *g, ins_value x, ins_value ids) {
    return ins_emit_one(g, &ins_op_pick, NULL, (const ins_value[]){x, ids}, 2);
}

static void fill_pick(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (input == IDS)
            ((int32_t *)data)[i] = i == 1 ? -1 : (int32_t)(i * 3 % 7);
        else
            ((float *)data)[i] = (float)((i * 37 + 5) % 61) / 20.0f - 1.5f;
    }
}

static const ins_op_sample pick_samples[] = {
    {.name = "matrix", .n_in = 2, .in = {INS_F32(2, 5, 7), INS_I32(1, 5)}, .fill = fill_pick},
    {0},
};

const ins_op ins_op_pick = {
    .head = {.family = "op", .name = "pick", .summary = "One element of each row, by column id.", .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x ids",
    .out_names = "out",
    .infer = pick_infer,
    .run = pick_run,
    .grad = pick_grad,
    .samples = pick_samples,
};
