/* attention_grad: d_q, d_k and d_v of fused attention; the softmax is rebuilt from lse block by block. */
#include "op/op_attention.h"

static ins_status attention_grad_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_attention_check(sig, err));
    ins_type lse = ins_attention_lse(sig), out = ins_attention_out(sig);
    INS_TRY(ins_op_check_type(sig, ATTN_O, &out, err));
    INS_TRY(ins_op_check_type(sig, ATTN_LSE, &lse, err));
    INS_TRY(ins_op_check_type(sig, ATTN_D_O, &out, err));
    sig->out[0] = *sig->in[ATTN_Q];
    sig->out[1] = sig->out[2] = *sig->in[ATTN_K];
    return INS_OK;
}

static size_t attention_grad_scratch(const ins_op_sig *sig, int n_threads) {
    ins_attention_args args = ins_attention_base(sig, NULL);
    return ins_attention_backward_scratch(&args, n_threads);
}

static ins_status attention_grad_run(const ins_op_call *call, ins_error *err) {
    ins_attention_args args = ins_attention_base(call->sig, call);
    args.o = (void *)(uintptr_t)call->in[ATTN_O]; /* read only in the backward kernel */
    args.lse = (void *)(uintptr_t)call->in[ATTN_LSE];
    args.d_o = call->in[ATTN_D_O];
    args.d_q = call->out[0];
    args.d_k = call->out[1];
    args.d_v = call->out[2];
    if (((const ins_attention_attr *)call->sig->attr)->packed) { /* the places of k and v in d_q */
        args.d_k = (char *)args.d_q + ((const char *)args.k - (const char *)args.q);
        args.d_v = (char *)args.d_q + ((const char *)args.v - (const char *)args.q);
    }
    args.scratch = call->scratch;
    return ins_attention_backward(&args, call->pool, err);
}

/* The two products of the forward pass each have two in the gradient; rebuilding the scores is not counted. */
static double attention_grad_flops(const ins_op_sig *sig) {
    return 2.0 * ins_attention_flops(sig);
}

static const ins_op_sample attention_grad_samples[] = {
    {.name = "causal",
     .n_in = 8,
     .in = {INS_F32(3, 2, 6, 8), INS_F32(3, 2, 6, 8), INS_F32(3, 2, 6, 8), INS_I32(2, 2, 6), INS_I32(2, 2, 6),
            INS_F32(3, 2, 6, 8), INS_F32(3, 2, 2, 6), INS_F32(3, 2, 6, 8)},
     .attr = &(const ins_attention_attr){2, 2, 0.5, 0},
     .fill = ins_attention_fill,
     .keep_real = 1u << ATTN_LSE},
    {0},
};

const ins_op ins_op_attention_grad = {
    .head = {.family = "op", .name = "attention_grad", .summary = "Gradient of fused attention.", .version = 2},
    .n_in_min = 8,
    .n_in = 8,
    .n_out = 3,
    .in_names = "q k v lo hi o lse d_o",
    .out_names = "d_q d_k d_v",
    .attr_size = sizeof(ins_attention_attr),
    .infer = attention_grad_infer,
    .run = attention_grad_run,
    .scratch = attention_grad_scratch,
    .grad = ins_attention_grad_grad,
    .flops = attention_grad_flops,
    .samples = attention_grad_samples,
};
