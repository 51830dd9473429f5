/* What lstm and lstm_grad share. */
#ifndef INS_OP_LSTM_H
#define INS_OP_LSTM_H

#include "kernel/lstm.h"
#include "op/op_common.h"
#include "op/op_emit.h"

/* Inputs and outputs of lstm; from LSTM_POSITIONS on they may be missing. */
enum { LSTM_X, LSTM_W, LSTM_POSITIONS, LSTM_H0, LSTM_C0, LSTM_INPUTS };
enum { LSTM_GATES, LSTM_H, LSTM_C };
/* Of lstm_grad; from BACK_POSITIONS on they may be missing. */
enum {
    BACK_W,
    BACK_GATES,
    BACK_H,
    BACK_C,
    BACK_POSITIONS,
    BACK_H0,
    BACK_C0,
    BACK_D_H,
    BACK_D_C,
    BACK_D_GATES,
    BACK_INPUTS
};
enum { BACK_D_X, BACK_H_PREV, BACK_D_H0, BACK_D_C0 };

/* An input that may be missing: its type, value, memory. */
static inline const ins_type *ins_lstm_type(const ins_op_sig *sig, int input) {
    return input < sig->n_in ? sig->in[input] : NULL;
}
static inline ins_value ins_lstm_value(const ins_op_grad *a, int input) {
    return input < a->sig->n_in ? a->in[input] : INS_NO_VALUE;
}
static inline const void *ins_lstm_data(const ins_op_call *call, int input) {
    return ins_lstm_type(call->sig, input) ? call->in[input] : NULL;
}

/* Dtype and sizes; gates: the input [B,T,4H]. */
ins_lstm_args ins_lstm_sizes(const ins_op_sig *sig, int gates, int w);
/* The gates and w; then positions, h0 and c0, the inputs from `first` on. */
ins_status ins_lstm_check(const ins_op_sig *sig, int gates, int w, int first, ins_error *err);
/* [B,T,H] of dtype. */
ins_type ins_lstm_states(const ins_op_sig *sig, int gates, ins_dtype dtype);

/* Gradient rule of lstm_grad (lstm_second.c). */
ins_status ins_lstm_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err);

#endif
