/* affine: out = factor * x + shift, both numbers fixed when the graph is built. */
#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct affine_attr {
    double factor, shift;
} affine_attr;

static ins_status affine_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_op_check_float(sig, 0, err));
    sig->out[0] = *sig->in[0];
    return INS_OK;
}

static ins_status affine_run(const ins_op_call *call, ins_error *err) {
    const affine_attr *attr = call->sig->attr;
    const ins_type *type = &call->sig->out[0];
    return ins_affine_array(type->dtype, ins_type_count(type), attr->factor, attr->shift, call->in[0], call->out[0],
                            call->pool, err);
}

static ins_status affine_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    const affine_attr *attr = a->sig->attr;
    if (a->need[0]) a->d_in[0] = ins_scale(g, a->d_out[0], attr->factor);
    return INS_OK;
}

ins_value ins_scale(ins_graph *g, ins_value x, double factor) {
    if (factor == 1.0) return x;
    return ins_emit_one(g, &ins_op_affine, &(affine_attr){factor, 0.0}, &x, 1);
}

ins_value ins_add_scalar(ins_graph *g, ins_value x, double c) {
    if (c == 0.0) return x;
    return ins_emit_one(g, &ins_op_affine, &(affine_attr){1.0, c}, &x, 1);
}

static const ins_op_sample affine_samples[] = {
    {.name = "both", .n_in = 1, .in = {INS_F32(2, 3, 7)}, .attr = &(const affine_attr){-1.75, 0.5}},
    {.name = "scalar", .n_in = 1, .in = {INS_F32(0, 0)}, .attr = &(const affine_attr){3.0, 0.0}},
    {0},
};

const ins_op ins_op_affine = {
    .head = {.family = "op", .name = "affine", .summary = "A fixed factor times x plus a fixed shift.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(affine_attr),
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = affine_infer,
    .run = affine_run,
    .grad = affine_grad,
    .samples = affine_samples,
};
