/* sum_all: the sum of all elements, a scalar in acc. Fixed chunks: equal bits for any number of threads. */
#include "kernel/reduce.h"
#include "op/op_common.h"
#include "op/op_emit.h"

static ins_status sum_all_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_op_check_float(sig, 0, err));
    sig->out[0] = (ins_type){.dtype = ins_op_acc(sig->in[0]->dtype)};
    return INS_OK;
}

static ins_status sum_all_run(const ins_op_call *call, ins_error *err) {
    (void)err;
    const ins_type *x = call->sig->in[0];
    double sum = ins_reduce_sum(x->dtype, ins_type_count(x), call->in[0], call->pool);
    ins_op_set_scalar(call->sig->out[0].dtype, call->out[0], sum);
    return INS_OK;
}

static ins_status sum_all_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_type type_x = *a->sig->in[0];
    if (a->need[0]) a->d_in[0] = ins_broadcast(g, ins_cast(g, a->d_out[0], type_x.dtype), type_x);
    return INS_OK;
}

ins_value ins_sum_all(ins_graph *g, ins_value x) {
    return ins_emit_one(g, &ins_op_sum_all, NULL, &x, 1);
}

static const ins_op_sample sum_all_samples[] = {
    {.name = "cube", .n_in = 1, .in = {INS_F32(3, 2, 5, 7)}},
    {.name = "scalar", .n_in = 1, .in = {INS_F32(0, 0)}},
    {.name = "empty", .n_in = 1, .in = {INS_F32(2, 0, 3)}},
    {0},
};

const ins_op ins_op_sum_all = {
    .head = {.family = "op", .name = "sum_all", .summary = "Sum of all elements.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .infer = sum_all_infer,
    .run = sum_all_run,
    .grad = sum_all_grad,
    .samples = sum_all_samples,
};
