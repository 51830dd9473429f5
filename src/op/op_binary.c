/* What add, sub, mul and div share. */
#include "op/op_binary.h"

#include "op/op_common.h"

ins_status ins_binary_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_op_check_float(sig, 0, err));
    INS_TRY(ins_op_check_float(sig, 1, err));
    char type_x[96], type_y[96];
    if (sig->in[0]->dtype != sig->in[1]->dtype)
        return INS_FAIL(err, INS_USAGE, "%s: x %s and y %s differ in dtype", sig->op->head.name,
                        ins_type_format(sig->in[0], type_x), ins_type_format(sig->in[1], type_y));
    if (!ins_op_broadcast_shape(sig->in[0], sig->in[1], &sig->out[0])) {
        INS_FAIL(err, INS_USAGE, "%s: x %s and y %s do not go together", sig->op->head.name,
                 ins_type_format(sig->in[0], type_x), ins_type_format(sig->in[1], type_y));
        ins_error_hint(err, "dimensions are matched from the last; each pair must be equal or have a 1");
        return INS_USAGE;
    }
    return INS_OK;
}

ins_status ins_binary_run(const ins_op_call *call, ins_binary kind, ins_error *err) {
    const ins_type *out = &call->sig->out[0];
    ins_binary_args args = {.op = kind,
                            .dtype = out->dtype,
                            .n_dims = out->n_dims,
                            .x = call->in[0],
                            .y = call->in[1],
                            .out = call->out[0]};
    for (int d = 0; d < out->n_dims; d++) args.dims[d] = out->dims[d];
    ins_op_broadcast_strides(call->sig->in[0], out, args.stride_x);
    ins_op_broadcast_strides(call->sig->in[1], out, args.stride_y);
    ins_op_collapse(&args.n_dims, args.dims, args.stride_x, args.stride_y);
    return ins_binary_apply(&args, call->pool, err);
}

ins_value ins_binary_emit(ins_graph *g, const ins_op *op, ins_value x, ins_value y) {
    ins_emit_promote(g, &x, &y);
    return ins_emit_one(g, op, NULL, (const ins_value[]){x, y}, 2);
}

static void fill_divisor(int input, const ins_type *type, void *data) {
    float *values = data;
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        float size = 0.5f + (float)((i * 37 + 11) % 50) / 25.0f;
        values[i] = input == 1 ? (i % 3 ? size : -size) : (float)((i * 29 + 7) % 41) / 13.0f - 1.5f;
    }
}

const ins_op_sample ins_binary_samples[] = {
    {.name = "equal", .n_in = 2, .in = {INS_F32(2, 5, 7), INS_F32(2, 5, 7)}},
    {.name = "row", .n_in = 2, .in = {INS_F32(3, 2, 3, 5), INS_F32(1, 5)}},
    {.name = "scalar", .n_in = 2, .in = {INS_F32(2, 3, 5), INS_F32(0, 0)}},
    {.name = "leading ones", .n_in = 2, .in = {INS_F32(3, 2, 3, 4), INS_F32(3, 1, 3, 4)}},
    {.name = "column", .n_in = 2, .in = {INS_F32(3, 2, 3, 4), INS_F32(3, 2, 3, 1)}},
    {.name = "both", .n_in = 2, .in = {INS_F32(3, 3, 1, 2), INS_F32(2, 5, 1)}},
    {.name = "empty", .n_in = 2, .in = {INS_F32(2, 0, 4), INS_F32(1, 4)}},
    {0},
};

const ins_op_sample ins_binary_div_samples[] = {
    {.name = "equal", .n_in = 2, .in = {INS_F32(2, 5, 7), INS_F32(2, 5, 7)}, .fill = fill_divisor},
    {.name = "row", .n_in = 2, .in = {INS_F32(3, 2, 3, 5), INS_F32(1, 5)}, .fill = fill_divisor},
    {.name = "scalar", .n_in = 2, .in = {INS_F32(2, 3, 5), INS_F32(0, 0)}, .fill = fill_divisor},
    {.name = "column", .n_in = 2, .in = {INS_F32(3, 2, 3, 4), INS_F32(3, 2, 3, 1)}, .fill = fill_divisor},
    {0},
};
