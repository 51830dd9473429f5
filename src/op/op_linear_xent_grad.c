/* linear_xent_grad: gradient of linear_xent times d_loss, and the forward outputs with it.
 *
 * Inputs 0 to 3 and the attribute are linear_xent's, so with d_loss that does not depend on the loss the planner lets
 * outputs loss, nll and correct of this op replace the forward op: the vocabulary matrix is read once less. The rule
 * must compare all four inputs: a gradient that came through nll has other row weights. d_w is added to acc when
 * given (an embedding table that is also the head).
 */
#include "op/op_linear_xent.h"

enum { D_LOSS = XENT_WEIGHTS + 1, ACC };

static ins_status linear_xent_grad_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_linear_xent_check(sig, err));
    ins_dtype acc = ins_op_acc(sig->in[XENT_X]->dtype);
    ins_type scalar = {.dtype = acc};
    INS_TRY(ins_op_check_type(sig, D_LOSS, &scalar, err));
    sig->out[0] = *sig->in[XENT_X];
    sig->out[1] = ins_type_with(sig->in[XENT_W], acc);
    if (sig->n_in > ACC && sig->in[ACC]) INS_TRY(ins_op_check_type(sig, ACC, &sig->out[1], err));
    ins_linear_xent_types(sig, 2);
    return INS_OK;
}

/* The kernel's scratch may depend on which gradients are wanted: any address says "wanted". */
static size_t linear_xent_grad_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_linear_xent_args args = ins_linear_xent_base(sig, NULL);
    args.d_x = args.d_w = &args;
    return ins_linear_xent_scratch(&args);
}

static ins_status linear_xent_grad_run(const ins_op_call *call, ins_error *err) {
    ins_linear_xent_args args = ins_linear_xent_base(call->sig, call);
    args.d_loss = ins_op_scalar(call->sig->in[D_LOSS]->dtype, call->in[D_LOSS]);
    args.accumulate_dw = ins_op_take_acc(call);
    args.d_x = call->out[0];
    args.d_w = call->out[1];
    args.loss_sum = call->out[2];
    args.nll = call->out[3];
    args.correct = call->out[4];
    return ins_linear_xent_run(&args, call->pool, err);
}

/* Logits, d_x and d_w. */
static double linear_xent_grad_flops(const ins_op_sig *sig) {
    return 3.0 * ins_linear_xent_product(sig);
}

static const ins_op_sample linear_xent_grad_samples[] = {
    {.name = "plain",
     .n_in = 5,
     .in = {INS_F32(2, 5, 4), INS_F32(2, 7, 4), INS_I32(1, 5), INS_F32(1, 5), INS_F32(0, 0)},
     .attr = &(const ins_linear_xent_attr){0, 0, 0},
     .fill = ins_linear_xent_fill,
     .keep_real = 1u << XENT_WEIGHTS | 1u << D_LOSS},
    {.name = "smooth, z-loss",
     .n_in = 5,
     .in = {INS_F32(2, 5, 4), INS_F32(2, 7, 4), INS_I32(1, 5), INS_F32(1, 5), INS_F32(0, 0)},
     .attr = &(const ins_linear_xent_attr){0, 0.1, 0.05},
     .fill = ins_linear_xent_fill,
     .keep_real = 1u << XENT_WEIGHTS | 1u << D_LOSS},
    {.name = "acc",
     .n_in = 6,
     .in = {INS_F32(2, 5, 4), INS_F32(2, 4, 7), INS_I32(1, 5), INS_F32(1, 5), INS_F32(0, 0), INS_F32(2, 4, 7)},
     .attr = &(const ins_linear_xent_attr){1, 0, 0},
     .fill = ins_linear_xent_fill,
     .keep_real = 1u << XENT_WEIGHTS | 1u << D_LOSS | 1u << ACC},
    {0},
};

const ins_op ins_op_linear_xent_grad = {
    .head = {.family = "op",
             .name = "linear_xent_grad",
             .summary = "Gradient of the output layer with cross-entropy, and the loss itself.",
             .version = 1},
    .n_in_min = 5,
    .n_in = 6,
    .n_out = 5,
    .in_names = "x w targets weights d_loss acc",
    .out_names = "d_x d_w loss nll correct",
    .attr_size = sizeof(ins_linear_xent_attr),
    .flags = INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 1,
    .infer = linear_xent_grad_infer,
    .run = linear_xent_grad_run,
    .scratch = linear_xent_grad_scratch,
    .grad = ins_linear_xent_grad_grad,
    .flops = linear_xent_grad_flops,
    .samples = linear_xent_grad_samples,
    .no_grad_out = 1u << 2 | 1u << 3 | 1u << 4,
};
