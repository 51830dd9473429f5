/* One LSTM layer over time, after its input projection.
 *
 *   z_t = x_t + W h_{t-1}                        [4H] in the order i f g o (PyTorch's)
 *   i, f, o = sigmoid(z_i, z_f, z_o);  g = tanh(z_g)
 *   c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)
 *
 * Where positions is 0 a document begins: that step starts from h = c = 0. The first step starts from h0, c0 (NULL =
 * 0). Dtypes: w, h, d_h and h_prev are f32, f64 or bf16 (then the product takes bf16 and sums in f32); all else is in
 * acc. Rows of the batch do not mix, and a row's bits do not depend on the others.
 *
 * Backward gives d z (which is d x), and h_prev, the h_{t-1} that each step has seen: d W = d_x^T h_prev is a plain
 * product over all steps, and so is not made here.
 */
#ifndef INS_KERNEL_LSTM_H
#define INS_KERNEL_LSTM_H

#include "base/pool.h"
#include "tensor/tensor.h"

typedef struct ins_lstm_args {
    ins_dtype dtype;
    int64_t batch, time, hidden; /* B, T, H */
    const void *w;               /* [4H,H] */
    const int32_t *positions;    /* [B,T], or NULL: no step is a beginning */
    const void *h0, *c0;         /* [B,H] acc; both or none */
    const void *x;               /* [B,T,4H] acc; forward only */
    void *gates;                 /* [B,T,4H] acc: i f g o; output (may be x's memory), input of backward */
    void *h;                     /* [B,T,H]; output (NULL = not wanted), input of backward when h_prev is wanted */
    void *c;                     /* [B,T,H] acc; output (NULL = not wanted), input of backward */
    /* backward only */
    const void *d_h;           /* [B,T,H], or NULL = 0 */
    const void *d_c, *d_gates; /* [B,T,H], [B,T,4H] acc: of the saved c and gates; NULL = 0 */
    void *d_x;                 /* [B,T,4H] acc */
    void *h_prev;              /* [B,T,H]; NULL = not wanted */
    void *d_h0, *d_c0;         /* [B,H] acc; NULL = not wanted */
    void *scratch;             /* ins_lstm_scratch bytes */
} ins_lstm_args;

/* Bytes of args->scratch for both directions; depends on the shape only. */
size_t ins_lstm_scratch(const ins_lstm_args *args);
/* Errors: INS_BUG for sizes or dtypes that cannot be. */
ins_status ins_lstm_forward(const ins_lstm_args *args, ins_pool *pool, ins_error *err);
ins_status ins_lstm_backward(const ins_lstm_args *args, ins_pool *pool, ins_error *err);

/* Name of the implementation for this dtype, e.g. "cpu-avx512". */
const char *ins_lstm_impl_name(ins_dtype dtype);

#endif
