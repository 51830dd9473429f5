/* column_sum: [.., n] -> [n] in acc, (+ acc): the gradient of a bias, and of any broadcast over rows. */
#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { X, ACC };

static ins_status column_sum_infer(ins_op_sig *sig, ins_error *err) {
    const ins_type *x = sig->in[X];
    char type[96];
    INS_TRY(ins_op_check_float(sig, X, err));
    if (x->n_dims < 1) return INS_FAIL(err, INS_USAGE, "column_sum: x %s has no columns", ins_type_format(x, type));
    sig->out[0] = (ins_type){.dtype = ins_op_acc(x->dtype), .n_dims = 1, .dims = {ins_type_cols(x)}};
    if (sig->n_in > ACC && sig->in[ACC]) INS_TRY(ins_op_check_type(sig, ACC, &sig->out[0], err));
    return INS_OK;
}

static ins_column_sum_args args_of(const ins_op_sig *sig) {
    const ins_type *x = sig->in[X];
    int64_t cols = ins_type_cols(x);
    return (ins_column_sum_args){.dtype = x->dtype, .rows = ins_type_rows(x), .cols = cols, .ldx = cols};
}

static size_t column_sum_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_column_sum_args args = args_of(sig);
    return ins_column_sum_scratch(&args);
}

static ins_status column_sum_run(const ins_op_call *call, ins_error *err) {
    ins_column_sum_args args = args_of(call->sig);
    args.x = call->in[X];
    args.out = call->out[0];
    args.accumulate = ins_op_take_acc(call);
    args.scratch = call->scratch;
    return ins_column_sum(&args, call->pool, err);
}

static ins_status column_sum_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_type type_x = *a->sig->in[X];
    ins_value d_out = a->d_out[0];
    bool need_acc = a->sig->n_in > ACC && a->need[ACC];
    if (a->need[X]) a->d_in[X] = ins_broadcast(g, ins_cast(g, d_out, type_x.dtype), type_x);
    if (need_acc) a->d_in[ACC] = d_out;
    return INS_OK;
}

ins_value ins_emit_column_sum(ins_graph *g, ins_value x) {
    return ins_emit_one(g, &ins_op_column_sum, NULL, &x, 1);
}

static const ins_op_sample column_sum_samples[] = {
    {.name = "matrix", .n_in = 1, .in = {INS_F32(2, 37, 5)}},
    {.name = "cube with acc", .n_in = 2, .in = {INS_F32(3, 2, 3, 7), INS_F32(1, 7)}, .keep_real = 1u << ACC},
    {.name = "no rows", .n_in = 1, .in = {INS_F32(2, 0, 5)}},
    {0},
};

const ins_op ins_op_column_sum = {
    .head = {.family = "op", .name = "column_sum", .summary = "Sum over all dimensions but the last.", .version = 2},
    .n_in_min = 1,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x acc",
    .out_names = "out",
    .flags = INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = column_sum_infer,
    .run = column_sum_run,
    .scratch = column_sum_scratch,
    .grad = column_sum_grad,
    .samples = column_sum_samples,
};
