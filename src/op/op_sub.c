/* sub: out = x - y, with broadcasting. */
#include "op/op_binary.h"

#include "op/op_common.h"

static ins_status sub_run(const ins_op_call *call, ins_error *err) {
    return ins_binary_run(call, INS_BINARY_SUB, err);
}

static ins_status sub_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_type type_x = *a->sig->in[0], type_y = *a->sig->in[1];
    if (a->need[0]) a->d_in[0] = ins_emit_sum_to(g, a->d_out[0], &type_x);
    if (a->need[1]) a->d_in[1] = ins_scale(g, ins_emit_sum_to(g, a->d_out[0], &type_y), -1.0);
    return INS_OK;
}

ins_value ins_sub(ins_graph *g, ins_value x, ins_value y) {
    return ins_binary_emit(g, &ins_op_sub, x, y);
}

const ins_op ins_op_sub = {
    .head = {.family = "op", .name = "sub", .summary = "Difference of two tensors, with broadcasting.", .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x y",
    .out_names = "out",
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = ins_binary_infer,
    .run = sub_run,
    .grad = sub_grad,
    .samples = ins_binary_samples,
};
