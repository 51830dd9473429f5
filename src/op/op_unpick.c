/* unpick: [N, n_cols] zeros with x[i] at column ids[i]: the adjoint of pick. */
#include <string.h>

#include "op/op_common.h"
#include "op/op_emit.h"

enum { X, IDS };

typedef struct unpick_attr {
    int64_t n_cols;
} unpick_attr;

static ins_status unpick_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_op_check_float(sig, X, err));
    INS_TRY(ins_op_check_dims(sig, X, 1, err));
    ins_type want = ins_type_with(sig->in[X], INS_DTYPE_I32);
    INS_TRY(ins_op_check_type(sig, IDS, &want, err));
    sig->out[0] = *sig->in[X];
    sig->out[0].n_dims = 2;
    sig->out[0].dims[1] = ((const unpick_attr *)sig->attr)->n_cols;
    return INS_OK;
}

static ins_status unpick_run(const ins_op_call *call, ins_error *err) {
    const ins_type *out_type = &call->sig->out[0];
    size_t size = ins_dtype_size(out_type->dtype);
    int64_t n = out_type->dims[0], cols = out_type->dims[1];
    const int32_t *ids = call->in[IDS];
    char *out = call->out[0];
    memset(out, 0, ins_type_bytes(out_type));
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] >= cols)
            return INS_FAIL(err, INS_BUG, "unpick: id %d of row %lld is outside [0, %lld)", (int)ids[i], (long long)i,
                            (long long)cols);
        if (ids[i] >= 0)
            memcpy(out + (size_t)(i * cols + ids[i]) * size, (const char *)call->in[X] + (size_t)i * size, size);
    }
    return INS_OK;
}

static ins_status unpick_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    if (a->need[X]) a->d_in[X] = ins_emit_pick(g, a->d_out[0], a->in[IDS]);
    return INS_OK;
}

ins_value ins_emit_unpick(ins_graph *g, ins_value v, ins_value ids, int64_t n_cols) {
    return ins_emit_one(g, &ins_op_unpick, &(unpick_attr){n_cols}, (const ins_value[]){v, ids}, 2);
}

static void fill_unpick(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (input == IDS)
            ((int32_t *)data)[i] = i == 1 ? -1 : (int32_t)(i * 3 % 7);
        else
            ((float *)data)[i] = (float)((i * 37 + 5) % 61) / 20.0f - 1.5f;
    }
}

static const ins_op_sample unpick_samples[] = {
    {.name = "matrix",
     .n_in = 2,
     .in = {INS_F32(1, 5), INS_I32(1, 5)},
     .attr = &(const unpick_attr){7},
     .fill = fill_unpick},
    {0},
};

const ins_op ins_op_unpick = {
    .head = {.family = "op", .name = "unpick", .summary = "Rows of zeros with one element set.", .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x ids",
    .out_names = "out",
    .attr_size = sizeof(unpick_attr),
    .infer = unpick_infer,
    .run = unpick_run,
    .grad = unpick_grad,
    .samples = unpick_samples,
};
