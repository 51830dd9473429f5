/* stop_gradient: x forward, nothing backward. A view. */
#include "op/op_common.h"
#include "op/op_emit.h"

static ins_status stop_gradient_infer(ins_op_sig *sig, ins_error *err) {
    (void)err;
    sig->out[0] = *sig->in[0];
    return INS_OK;
}

/* Leaves d_in at INS_NO_VALUE, which means zero. */
static ins_status stop_gradient_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)g;
    (void)a;
    (void)err;
    return INS_OK;
}

ins_value ins_stop_gradient(ins_graph *g, ins_value x) {
    return ins_emit_one(g, &ins_op_stop_gradient, NULL, &x, 1);
}

static const ins_op_sample stop_gradient_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {INS_F32(2, 3, 5)}},
    {0},
};

const ins_op ins_op_stop_gradient = {
    .head = {.family = "op",
             .name = "stop_gradient",
             .summary = "x itself, through which no gradient flows.",
             .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .flags = INS_OP_VIEW,
    .infer = stop_gradient_infer,
    .grad = stop_gradient_grad,
    .flops = ins_op_flops_none,
    .samples = stop_gradient_samples,
};
