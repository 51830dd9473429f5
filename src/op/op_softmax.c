/* softmax over the last dimension, or its logarithm. */
#include "kernel/softmax.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct softmax_attr {
    int64_t log_form;
} softmax_attr;

static ins_status softmax_infer(ins_op_sig *sig, ins_error *err) {
    char type[96];
    INS_TRY(ins_op_check_float(sig, 0, err));
    if (sig->in[0]->n_dims < 1)
        return INS_FAIL(err, INS_USAGE, "softmax: x %s has no dimension to sum over",
                        ins_type_format(sig->in[0], type));
    sig->out[0] = *sig->in[0];
    return INS_OK;
}

static ins_status softmax_run(const ins_op_call *call, ins_error *err) {
    const ins_type *type = &call->sig->out[0];
    int64_t cols = ins_type_cols(type);
    ins_softmax_args args = {.dtype = type->dtype,
                             .log = ((const softmax_attr *)call->sig->attr)->log_form != 0,
                             .rows = ins_type_rows(type),
                             .cols = cols,
                             .x = call->in[0],
                             .ldx = cols,
                             .y = call->out[0],
                             .ldy = cols};
    return ins_softmax_forward(&args, call->pool, err);
}

static ins_status softmax_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    bool log_form = ((const softmax_attr *)a->sig->attr)->log_form != 0;
    if (a->need[0]) a->d_in[0] = ins_emit_softmax_grad(g, log_form, a->d_out[0], a->out[0]);
    return INS_OK;
}

ins_value ins_softmax(ins_graph *g, ins_value x) {
    return ins_emit_one(g, &ins_op_softmax, &(softmax_attr){0}, &x, 1);
}

ins_value ins_log_softmax(ins_graph *g, ins_value x) {
    return ins_emit_one(g, &ins_op_softmax, &(softmax_attr){1}, &x, 1);
}

static const ins_op_sample softmax_samples[] = {
    {.name = "plain", .n_in = 1, .in = {INS_F32(3, 2, 3, 7)}, .attr = &(const softmax_attr){0}},
    {.name = "log", .n_in = 1, .in = {INS_F32(2, 5, 9)}, .attr = &(const softmax_attr){1}},
    {.name = "one class", .n_in = 1, .in = {INS_F32(2, 5, 1)}, .attr = &(const softmax_attr){0}},
    {.name = "no rows", .n_in = 1, .in = {INS_F32(2, 0, 9)}, .attr = &(const softmax_attr){1}},
    {0},
};

const ins_op ins_op_softmax = {
    .head = {.family = "op", .name = "softmax", .summary = "Softmax or log-softmax of each row.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(softmax_attr),
    .flags = INS_OP_INPLACE,
    .infer = softmax_infer,
    .run = softmax_run,
    .grad = softmax_grad,
    .samples = softmax_samples,
};
