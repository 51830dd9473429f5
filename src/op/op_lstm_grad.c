/* lstm_grad: the gradient of lstm through time. d_h, d_c and d_gates are what flows into its outputs; d_x is the
 * gradient of the sums before the gates' functions, h_prev the state that each step has seen. d_h0, d_c0 are [B,H]
 * where h0 and c0 are given, else empty [0,H].
 */
#include "op/op_lstm.h"

static ins_status lstm_grad_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_lstm_check(sig, BACK_GATES, BACK_W, BACK_POSITIONS, err));
    ins_dtype dtype = sig->in[BACK_W]->dtype, acc = sig->in[BACK_GATES]->dtype;
    ins_type h = ins_lstm_states(sig, BACK_GATES, dtype), c = ins_lstm_states(sig, BACK_GATES, acc);
    INS_TRY(ins_op_check_type(sig, BACK_H, &h, err));
    INS_TRY(ins_op_check_type(sig, BACK_C, &c, err));
    if (ins_lstm_type(sig, BACK_D_H)) INS_TRY(ins_op_check_type(sig, BACK_D_H, &h, err));
    if (ins_lstm_type(sig, BACK_D_C)) INS_TRY(ins_op_check_type(sig, BACK_D_C, &c, err));
    if (ins_lstm_type(sig, BACK_D_GATES)) INS_TRY(ins_op_check_equal(sig, BACK_D_GATES, BACK_GATES, err));
    sig->out[BACK_D_X] = *sig->in[BACK_GATES];
    sig->out[BACK_H_PREV] = h;
    ins_type state = {.dtype = acc, .n_dims = 2, .dims = {h.dims[0], h.dims[2]}};
    if (!ins_lstm_type(sig, BACK_H0)) state.dims[0] = 0;
    sig->out[BACK_D_H0] = sig->out[BACK_D_C0] = state;
    return INS_OK;
}

static size_t lstm_grad_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_lstm_args args = ins_lstm_sizes(sig, BACK_GATES, BACK_W);
    return ins_lstm_scratch(&args);
}

static ins_status lstm_grad_run(const ins_op_call *call, ins_error *err) {
    ins_lstm_args args = ins_lstm_sizes(call->sig, BACK_GATES, BACK_W);
    bool state = ins_lstm_type(call->sig, BACK_H0) != NULL;
    args.w = call->in[BACK_W];
    args.positions = ins_lstm_data(call, BACK_POSITIONS);
    args.h0 = ins_lstm_data(call, BACK_H0);
    args.c0 = ins_lstm_data(call, BACK_C0);
    args.gates = (void *)(uintptr_t)call->in[BACK_GATES]; /* read only in the backward kernel, as h and c are */
    args.h = (void *)(uintptr_t)call->in[BACK_H];
    args.c = (void *)(uintptr_t)call->in[BACK_C];
    args.d_h = ins_lstm_data(call, BACK_D_H);
    args.d_c = ins_lstm_data(call, BACK_D_C);
    args.d_gates = ins_lstm_data(call, BACK_D_GATES);
    args.d_x = call->out[BACK_D_X];
    args.h_prev = call->out[BACK_H_PREV];
    args.d_h0 = state ? call->out[BACK_D_H0] : NULL;
    args.d_c0 = state ? call->out[BACK_D_C0] : NULL;
    args.scratch = call->scratch;
    return ins_lstm_backward(&args, call->pool, err);
}

static double lstm_grad_flops(const ins_op_sig *sig) {
    return 2.0 * (double)ins_type_count(sig->in[BACK_GATES]) * (double)sig->in[BACK_W]->dims[1];
}

static void lstm_grad_fill(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (type->dtype == INS_DTYPE_I32)
            ((int32_t *)data)[i] = i % 5 == 3 || i == 0 ? 0 : (int32_t)i;
        else
            ((float *)data)[i] = (float)((i * 37 + 11 * input) % 61) / 50.0f - 0.6f;
    }
}

#define BACK_REAL                                                                                                      \
    (1u << BACK_GATES | 1u << BACK_C | 1u << BACK_H0 | 1u << BACK_C0 | 1u << BACK_D_C | 1u << BACK_D_GATES)
static const ins_op_sample lstm_grad_samples[] = {
    {.name = "plain",
     .n_in = BACK_INPUTS,
     .in = {INS_F32(2, 12, 3), INS_F32(3, 2, 4, 12), INS_F32(3, 2, 4, 3), INS_F32(3, 2, 4, 3), INS_I32(2, 2, 4),
            INS_F32(2, 2, 3), INS_F32(2, 2, 3), INS_F32(3, 2, 4, 3), INS_F32(3, 2, 4, 3), INS_F32(3, 2, 4, 12)},
     .fill = lstm_grad_fill,
     .keep_real = BACK_REAL},
    {.name = "no steps",
     .n_in = 4,
     .in = {INS_F32(2, 8, 2), INS_F32(3, 2, 0, 8), INS_F32(3, 2, 0, 2), INS_F32(3, 2, 0, 2)},
     .keep_real = BACK_REAL},
    {0},
};

const ins_op ins_op_lstm_grad = {
    .head = {.family = "op", .name = "lstm_grad", .summary = "Gradient of an LSTM layer through time.", .version = 1},
    .n_in_min = 4,
    .n_in = BACK_INPUTS,
    .n_out = 4,
    .in_names = "w gates h c positions h0 c0 d_h d_c d_gates",
    .out_names = "d_x h_prev d_h0 d_c0",
    .infer = lstm_grad_infer,
    .run = lstm_grad_run,
    .scratch = lstm_grad_scratch,
    .grad = ins_lstm_grad_grad,
    .flops = lstm_grad_flops,
    .samples = lstm_grad_samples,
};
