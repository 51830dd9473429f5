/* mul: out = x y, with broadcasting. */
#include "op/op_binary.h"

#include "op/op_common.h"

static ins_status mul_run(const ins_op_call *call, ins_error *err) {
    return ins_binary_run(call, INS_BINARY_MUL, err);
}

static ins_status mul_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_type type_x = *a->sig->in[0], type_y = *a->sig->in[1];
    ins_value x = a->in[0], y = a->in[1], d_out = a->d_out[0];
    bool need_y = a->need[1];
    if (a->need[0]) a->d_in[0] = ins_emit_sum_to(g, ins_mul(g, d_out, y), &type_x);
    if (need_y) a->d_in[1] = ins_emit_sum_to(g, ins_mul(g, d_out, x), &type_y);
    return INS_OK;
}

ins_value ins_mul(ins_graph *g, ins_value x, ins_value y) {
    return ins_binary_emit(g, &ins_op_mul, x, y);
}

const ins_op ins_op_mul = {
    .head = {.family = "op", .name = "mul", .summary = "Product of two tensors, with broadcasting.", .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x y",
    .out_names = "out",
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = ins_binary_infer,
    .run = mul_run,
    .grad = mul_grad,
    .samples = ins_binary_samples,
};
