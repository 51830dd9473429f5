/* gated: out = act(gate) * up, in one pass (SwiGLU, GeGLU). */
#include "op/op_common.h"
#include "op/op_unary.h"

enum { GATE, UP };

static ins_status gated_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_unary_check(sig, err));
    INS_TRY(ins_op_check_float(sig, GATE, err));
    INS_TRY(ins_op_check_equal(sig, GATE, UP, err));
    sig->out[0] = *sig->in[GATE];
    return INS_OK;
}

static ins_status gated_run(const ins_op_call *call, ins_error *err) {
    const ins_unary_attr *attr = call->sig->attr;
    const ins_type *type = &call->sig->out[0];
    int64_t cols = ins_type_cols(type);
    ins_gated_args args = {.dtype = type->dtype,
                           .rows = ins_type_rows(type),
                           .cols = cols,
                           .gate = call->in[GATE],
                           .up = call->in[UP],
                           .ld_gate = cols,
                           .ld_up = cols,
                           .y = call->out[0],
                           .ldy = cols};
    ins_unary_act(attr->kind, &args.act);
    return ins_gated_forward(&args, call->pool, err);
}

static ins_status gated_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_unary_attr attr = *(const ins_unary_attr *)a->sig->attr;
    ins_value out[2] = {INS_NO_VALUE, INS_NO_VALUE};
    ins_value d_y = ins_cast(g, a->d_out[0], a->sig->in[GATE]->dtype);
    ins_graph_emit(g, &ins_op_gated_grad, &attr, (const ins_value[]){a->in[GATE], a->in[UP], d_y}, 3, out);
    if (a->need[GATE]) a->d_in[GATE] = out[0];
    if (a->need[UP]) a->d_in[UP] = out[1];
    return INS_OK;
}

ins_value ins_gated(ins_graph *g, ins_unary act, ins_value gate, ins_value up) {
    return ins_emit_one(g, &ins_op_gated, &(ins_unary_attr){(int64_t)act}, (const ins_value[]){gate, up}, 2);
}

static const ins_op_sample gated_samples[] = {
    {.name = "swiglu",
     .n_in = 2,
     .in = {INS_F32(3, 2, 3, 5), INS_F32(3, 2, 3, 5)},
     .attr = &(const ins_unary_attr){INS_SILU}},
    {.name = "geglu",
     .n_in = 2,
     .in = {INS_F32(2, 3, 7), INS_F32(2, 3, 7)},
     .attr = &(const ins_unary_attr){INS_GELU_TANH}},
    {.name = "erf", .n_in = 2, .in = {INS_F32(1, 9), INS_F32(1, 9)}, .attr = &(const ins_unary_attr){INS_GELU_ERF}},
    {.name = "nothing",
     .n_in = 2,
     .in = {INS_F32(2, 0, 5), INS_F32(2, 0, 5)},
     .attr = &(const ins_unary_attr){INS_SILU}},
    {0},
};

const ins_op ins_op_gated = {
    .head = {.family = "op",
             .name = "gated",
             .summary = "Activation of a gate times a second tensor.",
             .paper = "GLU Variants Improve Transformer (Shazeer, 2020)",
             .version = 2},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "gate up",
    .out_names = "out",
    .attr_size = sizeof(ins_unary_attr),
    .flags = INS_OP_PURE_CHEAP,
    .infer = gated_infer,
    .run = gated_run,
    .grad = gated_grad,
    .samples = gated_samples,
};
