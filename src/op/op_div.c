/* div: out = x / y, with broadcasting. */
#include "op/op_binary.h"

#include "op/op_common.h"

static ins_status div_run(const ins_op_call *call, ins_error *err) {
    return ins_binary_run(call, INS_BINARY_DIV, err);
}

static ins_status div_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_type type_x = *a->sig->in[0], type_y = *a->sig->in[1];
    ins_value y = a->in[1], out = a->out[0];
    ins_value d_x = ins_div(g, a->d_out[0], y);
    if (a->need[0]) a->d_in[0] = ins_emit_sum_to(g, d_x, &type_x);
    /* d(x/y)/dy = -(x/y)/y */
    if (a->need[1]) a->d_in[1] = ins_scale(g, ins_emit_sum_to(g, ins_mul(g, d_x, out), &type_y), -1.0);
    return INS_OK;
}

ins_value ins_div(ins_graph *g, ins_value x, ins_value y) {
    return ins_binary_emit(g, &ins_op_div, x, y);
}

const ins_op ins_op_div = {
    .head = {.family = "op", .name = "div", .summary = "Quotient of two tensors, with broadcasting.", .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x y",
    .out_names = "out",
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = ins_binary_infer,
    .run = div_run,
    .grad = div_grad,
    .samples = ins_binary_div_samples,
};
