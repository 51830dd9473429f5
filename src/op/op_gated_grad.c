/* gated_grad: d_gate = act'(gate) up d_y, d_up = act(gate) d_y, in one pass. */
#include "op/op_common.h"
#include "op/op_unary.h"

enum { GATE, UP, D_Y };

static ins_status gated_grad_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_unary_check(sig, err));
    INS_TRY(ins_op_check_float(sig, GATE, err));
    INS_TRY(ins_op_check_equal(sig, GATE, UP, err));
    INS_TRY(ins_op_check_equal(sig, D_Y, GATE, err));
    sig->out[0] = sig->out[1] = *sig->in[GATE];
    return INS_OK;
}

static ins_status gated_grad_run(const ins_op_call *call, ins_error *err) {
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
                           .d_y = call->in[D_Y],
                           .ld_dy = cols,
                           .d_gate = call->out[0],
                           .d_up = call->out[1],
                           .ld_dgate = cols,
                           .ld_dup = cols};
    ins_unary_act(attr->kind, &args.act);
    return ins_gated_backward(&args, call->pool, err);
}

/* x + y where either may be missing. */
static ins_value plus(ins_graph *g, ins_value x, ins_value y) {
    if (x == INS_NO_VALUE) return y;
    return y == INS_NO_VALUE ? x : ins_add(g, x, y);
}

/* With c_gate and c_up the gradients of the two outputs:
 *   d gate = c_gate act'' up d_y + c_up act' d_y,   d up = c_gate act' d_y,   d d_y = c_gate act' up + c_up act
 */
static ins_status gated_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_unary kind = (ins_unary)((const ins_unary_attr *)a->sig->attr)->kind;
    ins_value gate = a->in[GATE], up = a->in[UP], d_y = a->in[D_Y], c_gate = a->d_out[0], c_up = a->d_out[1];
    const bool need[3] = {a->need[GATE], a->need[UP], a->need[D_Y]};
    ins_value d_gate = INS_NO_VALUE, d_up = INS_NO_VALUE, d_d_y = INS_NO_VALUE;
    if (c_gate != INS_NO_VALUE) {
        ins_value c_dy = ins_mul(g, c_gate, d_y);
        if (need[GATE]) d_gate = ins_emit_unary_second(g, kind, gate, ins_mul(g, c_dy, up));
        if (need[UP]) d_up = ins_emit_unary_grad(g, kind, c_dy, gate);
        if (need[D_Y]) d_d_y = ins_emit_unary_grad(g, kind, ins_mul(g, c_gate, up), gate);
    }
    if (c_up != INS_NO_VALUE) {
        if (need[GATE]) d_gate = plus(g, d_gate, ins_emit_unary_grad(g, kind, ins_mul(g, c_up, d_y), gate));
        if (need[D_Y]) d_d_y = plus(g, d_d_y, ins_mul(g, c_up, ins_unary_map(g, kind, gate)));
    }
    a->d_in[GATE] = d_gate;
    a->d_in[UP] = d_up;
    a->d_in[D_Y] = d_d_y;
    return INS_OK;
}

static const ins_op_sample gated_grad_samples[] = {
    {.name = "swiglu",
     .n_in = 3,
     .in = {INS_F32(2, 3, 5), INS_F32(2, 3, 5), INS_F32(2, 3, 5)},
     .attr = &(const ins_unary_attr){INS_SILU}},
    {.name = "geglu",
     .n_in = 3,
     .in = {INS_F32(2, 3, 7), INS_F32(2, 3, 7), INS_F32(2, 3, 7)},
     .attr = &(const ins_unary_attr){INS_GELU_TANH}},
    {0},
};

const ins_op ins_op_gated_grad = {
    .head = {.family = "op", .name = "gated_grad", .summary = "Gradient of a gated product.", .version = 2},
    .n_in_min = 3,
    .n_in = 3,
    .n_out = 2,
    .in_names = "gate up d_y",
    .out_names = "d_gate d_up",
    .attr_size = sizeof(ins_unary_attr),
    .infer = gated_grad_infer,
    .run = gated_grad_run,
    .grad = gated_grad_grad,
    .samples = gated_grad_samples,
};
