/* lstm: a layer over all time steps, after the projection of its input (kernel/lstm.h has the equations).
 * x [B,T,4H] and h0, c0 [B,H] are in acc, w [4H,H] is in the dtype of h; positions i32 [B,T]. Outputs: the gates i f g
 * o (saved for the gradient; written over x where nobody else reads it), h [B,T,H], c [B,T,H] in acc.
 *
 *   d_x from lstm_grad;   d_w = d_x^T h_prev, one product over all steps
 */
#include "op/op_lstm.h"

ins_lstm_args ins_lstm_sizes(const ins_op_sig *sig, int gates, int w) {
    const ins_type *type = sig->in[gates];
    return (ins_lstm_args){
        .dtype = sig->in[w]->dtype, .batch = type->dims[0], .time = type->dims[1], .hidden = sig->in[w]->dims[1]};
}

ins_type ins_lstm_states(const ins_op_sig *sig, int gates, ins_dtype dtype) {
    ins_type type = ins_type_with(sig->in[gates], dtype);
    type.dims[2] /= 4;
    return type;
}

ins_status ins_lstm_check(const ins_op_sig *sig, int gates, int w, int first, ins_error *err) {
    INS_TRY(ins_op_check_float(sig, w, err));
    INS_TRY(ins_op_check_dims(sig, w, 2, err));
    ins_dtype acc = ins_op_acc(sig->in[w]->dtype);
    INS_TRY(ins_op_check_dtype(sig, gates, acc, err));
    INS_TRY(ins_op_check_dims(sig, gates, 3, err));
    const ins_type *type = sig->in[gates], *h0 = ins_lstm_type(sig, first + 1), *c0 = ins_lstm_type(sig, first + 2);
    int64_t rows = sig->in[w]->dims[0], hidden = sig->in[w]->dims[1];
    char type_w[96], type_x[96];
    if (rows % 4 != 0 || rows / 4 != hidden || type->dims[2] != rows)
        return INS_FAIL(err, INS_USAGE, "%s: w %s must be [4 H, H] with 4 H = the last dimension of %s",
                        sig->op->head.name, ins_type_format(sig->in[w], type_w), ins_type_format(type, type_x));
    ins_type positions = {.dtype = INS_DTYPE_I32, .n_dims = 2, .dims = {type->dims[0], type->dims[1]}};
    ins_type state = {.dtype = acc, .n_dims = 2, .dims = {type->dims[0], hidden}};
    if (ins_lstm_type(sig, first)) INS_TRY(ins_op_check_type(sig, first, &positions, err));
    if (!h0 != !c0) return INS_FAIL(err, INS_USAGE, "%s: h0 and c0 go together", sig->op->head.name);
    if (h0) INS_TRY(ins_op_check_type(sig, first + 1, &state, err));
    return c0 ? ins_op_check_type(sig, first + 2, &state, err) : INS_OK;
}

static ins_status lstm_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_lstm_check(sig, LSTM_X, LSTM_W, LSTM_POSITIONS, err));
    sig->out[LSTM_GATES] = *sig->in[LSTM_X];
    sig->out[LSTM_H] = ins_lstm_states(sig, LSTM_X, sig->in[LSTM_W]->dtype);
    sig->out[LSTM_C] = ins_lstm_states(sig, LSTM_X, sig->in[LSTM_X]->dtype);
    return INS_OK;
}

static size_t lstm_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_lstm_args args = ins_lstm_sizes(sig, LSTM_X, LSTM_W);
    return ins_lstm_scratch(&args);
}

static ins_status lstm_run(const ins_op_call *call, ins_error *err) {
    ins_lstm_args args = ins_lstm_sizes(call->sig, LSTM_X, LSTM_W);
    args.x = call->in[LSTM_X];
    args.w = call->in[LSTM_W];
    args.positions = ins_lstm_data(call, LSTM_POSITIONS);
    args.h0 = ins_lstm_data(call, LSTM_H0);
    args.c0 = ins_lstm_data(call, LSTM_C0);
    args.gates = call->out[LSTM_GATES];
    args.h = call->out[LSTM_H];
    args.c = call->out[LSTM_C];
    args.scratch = call->scratch;
    return ins_lstm_forward(&args, call->pool, err);
}

static ins_status lstm_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    const ins_op_sig sig = *a->sig;
    const ins_type type = *sig.in[LSTM_X], type_w = *sig.in[LSTM_W];
    ins_dtype dtype = type_w.dtype, acc = type.dtype;
    ins_value in[BACK_INPUTS], out[4] = {-1, -1, -1, -1};
    in[BACK_W] = a->in[LSTM_W];
    in[BACK_GATES] = a->out[LSTM_GATES];
    in[BACK_H] = a->out[LSTM_H];
    in[BACK_C] = a->out[LSTM_C];
    for (int i = 0; i < 3; i++) in[BACK_POSITIONS + i] = ins_lstm_value(a, LSTM_POSITIONS + i);
    in[BACK_D_H] = ins_cast(g, a->d_out[LSTM_H], dtype);
    in[BACK_D_C] = ins_cast(g, a->d_out[LSTM_C], acc);
    in[BACK_D_GATES] = ins_cast(g, a->d_out[LSTM_GATES], acc);
    ins_graph_emit(g, &ins_op_lstm_grad, NULL, in, BACK_INPUTS, out);
    if (a->need[LSTM_X]) a->d_in[LSTM_X] = out[BACK_D_X];
    if (a->need[LSTM_W]) {
        int64_t rows = type.dims[0] * type.dims[1], hidden = type_w.dims[1];
        ins_value d_rows = ins_reshape(g, ins_cast(g, out[BACK_D_X], dtype), 2, (const int64_t[]){rows, 4 * hidden});
        ins_value h_rows = ins_reshape(g, out[BACK_H_PREV], 2, (const int64_t[]){rows, hidden});
        a->d_in[LSTM_W] = ins_emit_matmul(g, d_rows, h_rows, true, false, true);
    }
    if (sig.n_in > LSTM_H0 && a->need[LSTM_H0]) a->d_in[LSTM_H0] = out[BACK_D_H0];
    if (sig.n_in > LSTM_C0 && a->need[LSTM_C0]) a->d_in[LSTM_C0] = out[BACK_D_C0];
    return INS_OK;
}

/* 4 H products of length H a step and row. */
static double lstm_flops(const ins_op_sig *sig) {
    return 2.0 * (double)ins_type_count(sig->in[LSTM_X]) * (double)sig->in[LSTM_W]->dims[1];
}

ins_value ins_lstm_steps(ins_graph *g, ins_value projected, ins_value w_hh, ins_value positions, ins_value h0,
                         ins_value c0, ins_value *cells) {
    if (cells) *cells = INS_NO_VALUE;
    if (!ins_emit_ready(g, projected) || !ins_emit_ready(g, w_hh)) return INS_NO_VALUE;
    ins_dtype compute = ins_graph_compute(g), acc = ins_op_acc(compute);
    ins_value out[3] = {-1, -1, -1};
    const ins_value in[LSTM_INPUTS] = {ins_cast(g, projected, acc), ins_cast(g, w_hh, compute), positions,
                                       ins_cast(g, h0, acc), ins_cast(g, c0, acc)};
    ins_graph_emit(g, &ins_op_lstm, NULL, in, LSTM_INPUTS, out);
    if (cells) *cells = out[LSTM_C];
    return out[LSTM_H];
}

ins_value ins_lstm(ins_graph *g, ins_value x, ins_value w_ih, ins_value w_hh, ins_value bias) {
    ins_value projected = ins_linear(g, x, w_ih, bias, false, ins_op_acc(ins_graph_compute(g)));
    return ins_lstm_steps(g, projected, w_hh, INS_NO_VALUE, INS_NO_VALUE, INS_NO_VALUE, NULL);
}

/* Beginnings in the middle, at the start, one after the other. */
static void lstm_fill(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (type->dtype == INS_DTYPE_I32)
            ((int32_t *)data)[i] = i % 7 == 3 || i % 7 == 4 || i == 0 ? 0 : (int32_t)i;
        else
            ((float *)data)[i] = (float)((i * 37 + 11 * input) % 61) / 25.0f - 1.2f;
    }
}

#define LSTM_REAL (1u << LSTM_X | 1u << LSTM_H0 | 1u << LSTM_C0)
static const ins_op_sample lstm_samples[] = {
    {.name = "plain", .n_in = 2, .in = {INS_F32(3, 2, 5, 12), INS_F32(2, 12, 3)}, .keep_real = LSTM_REAL},
    {.name = "one step", .n_in = 2, .in = {INS_F32(3, 3, 1, 8), INS_F32(2, 8, 2)}, .keep_real = LSTM_REAL},
    {.name = "documents",
     .n_in = 3,
     .in = {INS_F32(3, 2, 6, 12), INS_F32(2, 12, 3), INS_I32(2, 2, 6)},
     .fill = lstm_fill,
     .keep_real = LSTM_REAL},
    {.name = "state",
     .n_in = 5,
     .in = {INS_F32(3, 2, 4, 12), INS_F32(2, 12, 3), INS_I32(2, 2, 4), INS_F32(2, 2, 3), INS_F32(2, 2, 3)},
     .fill = lstm_fill,
     .keep_real = LSTM_REAL},
    {.name = "no rows", .n_in = 2, .in = {INS_F32(3, 0, 5, 12), INS_F32(2, 12, 3)}, .keep_real = LSTM_REAL},
    {.name = "no steps", .n_in = 2, .in = {INS_F32(3, 2, 0, 12), INS_F32(2, 12, 3)}, .keep_real = LSTM_REAL},
    {0},
};

const ins_op ins_op_lstm = {
    .head = {.family = "op",
             .name = "lstm",
             .summary = "An LSTM layer over all time steps, after the projection of its input.",
             .paper = "Long Short-Term Memory (Hochreiter & Schmidhuber, 1997)",
             .version = 1},
    .n_in_min = 2,
    .n_in = LSTM_INPUTS,
    .n_out = 3,
    .in_names = "x w positions h0 c0",
    .out_names = "gates h c",
    .flags = INS_OP_INPLACE,
    .infer = lstm_infer,
    .run = lstm_run,
    .scratch = lstm_scratch,
    .grad = lstm_grad,
    .flops = lstm_flops,
    .samples = lstm_samples,
};
