/* Builders: the plain C calls that models and objectives are written in. Each adds one node (a few are short
 * compositions, marked "composite"). All have derivatives of any order; those of second order of the fused ops
 * (attention, norms, linear_xent) are made of plain ops and need the memory that the fused op avoids. Letters: B batch,
 * T time, D model, H heads, K head size, F feed-forward, V vocabulary, N rows (product of the leading dimensions).
 */
#ifndef INS_OP_BUILD_H
#define INS_OP_BUILD_H

#include "base/rng.h"
#include "op/op.h"

/* -- leaves -- */
ins_value ins_fill(ins_graph *g, ins_type type, double value);

/* -- element-wise; of two float dtypes the narrower is cast to the wider. Shapes equal, or y broadcasts: scalar [], or
 * [last dim] row vector, or leading dims of 1 -- */
ins_value ins_add(ins_graph *g, ins_value x, ins_value y);
ins_value ins_sub(ins_graph *g, ins_value x, ins_value y);
ins_value ins_mul(ins_graph *g, ins_value x, ins_value y);
ins_value ins_div(ins_graph *g, ins_value x, ins_value y);
ins_value ins_scale(ins_graph *g, ins_value x, double factor); /* factor * x */
ins_value ins_add_scalar(ins_graph *g, ins_value x, double c);
ins_value ins_cast(ins_graph *g, ins_value x, ins_dtype dtype); /* same dtype: returns x */

typedef enum ins_unary {
    INS_GELU_TANH,
    INS_GELU_ERF,
    INS_SILU,
    INS_RELU,
    INS_RELU2,
    INS_SIGMOID,
    INS_TANH,
    INS_EXP,
    INS_LOG,
    INS_SQRT,
    INS_SQUARE,
    INS_NEG,
    INS_ABS,
    INS_RSQRT,
    INS_SOFTPLUS,
    INS_UNARY_COUNT
} ins_unary;
ins_value ins_unary_map(ins_graph *g, ins_unary kind, ins_value x);
/* y = act(gate) * up; act SILU = SwiGLU, GELU_* = GeGLU. Same shapes. */
ins_value ins_gated(ins_graph *g, ins_unary act, ins_value gate, ins_value up);

/* -- matrix products -- */
/* y[.., n] = x[.., k] W (+ bias[n]); W is [n, k] (Linear) or, with in_out, [k, n] (Conv1D). bias may be INS_NO_VALUE.
 * Composite: casts x and W to ins_graph_compute(g) when they differ; out dtype as asked. */
ins_value ins_linear(ins_graph *g, ins_value x, ins_value w, ins_value bias, bool in_out, ins_dtype out_dtype);
/* C = op(A) op(B); 2-D, or equal leading batch dimensions. */
ins_value ins_matmul(ins_graph *g, ins_value x, ins_value y, bool trans_x, bool trans_y);

/* -- attention. q [B,T,H*K], k v [B,S,Hkv*K]; lo hi i32 [B,T]: query t sees keys lo <= j < hi. Returns [B,T,H*K]. -- */
ins_value ins_attention(ins_graph *g, ins_value q, ins_value k, ins_value v, ins_value lo, ins_value hi, int n_heads,
                        int n_kv_heads, double scale);
/* Self-attention of one value: q, k and v are the columns of qkv [B,T,(H+2Hkv)*K], in this order; no copies. */
ins_value ins_attention_packed(ins_graph *g, ins_value qkv, ins_value lo, ins_value hi, int n_heads, int n_kv_heads,
                               double scale);
/* x [.., H*K], positions i32 [rows of x]; rotates the first rotary_dim of each head. interleaved: GPT-J style. */
ins_value ins_rope(ins_graph *g, ins_value x, ins_value positions, int head_size, int rotary_dim, double theta,
                   bool interleaved);
/* Same for the first n_heads heads of x only: the queries and keys of a packed qkv. */
ins_value ins_rope_first(ins_graph *g, ins_value x, ins_value positions, int n_heads, int head_size, int rotary_dim,
                         double theta, bool interleaved);

/* Same with a table of n_freq = rotary_dim/2 inverse frequencies (scaled variants), and a factor on cosine and sine (0
 * = 1). The table is copied. */
#define INS_ROPE_MAX_FREQ 128
ins_value ins_rope_table(ins_graph *g, ins_value x, ins_value positions, int head_size, const double *inv_freq,
                         int n_freq, double scale, bool interleaved);

/* -- norms over the last dimension; weight [D] or INS_NO_VALUE, bias likewise -- */
ins_value ins_layernorm(ins_graph *g, ins_value x, ins_value weight, ins_value bias, double eps, ins_dtype out_dtype);
ins_value ins_rmsnorm(ins_graph *g, ins_value x, ins_value weight, double eps, ins_dtype out_dtype);
/* Same with (weight + weight_offset): 1 for Gemma-like norms. */
ins_value ins_rmsnorm_offset(ins_graph *g, ins_value x, ins_value weight, double weight_offset, double eps,
                             ins_dtype out_dtype);

/* -- tables -- */
ins_value ins_embedding(ins_graph *g, ins_value table, ins_value ids); /* table [V,D], ids i32 [..] -> [.., D] */
ins_value ins_gather_rows(ins_graph *g, ins_value x, ins_value rows);  /* x [N,D], rows i32 [M] -> [M,D] */

/* -- softmax and losses -- */
ins_value ins_softmax(ins_graph *g, ins_value x);     /* last dimension */
ins_value ins_log_softmax(ins_graph *g, ins_value x); /* last dimension */
/* Fused language-model head: loss = sum_i weights[i] * -log softmax(x[i] W^T)[targets[i]]; x [N,D], W [V,D] (or [D,V]
 * with in_out), targets i32 [N] (< 0 = ignored), weights real [N]. Never materialises [N,V]. Returns loss [] ;
 * *nll (may be NULL) gets [N], *correct (may be NULL) gets real [N] (1 where the arg max is the target). */
ins_value ins_linear_xent(ins_graph *g, ins_value x, ins_value w, bool in_out, ins_value targets, ins_value weights,
                          ins_value *nll, ins_value *correct);
/* Same with label smoothing (share given to the uniform distribution) and z_loss * (log sum exp)^2 in each nll. */
ins_value ins_linear_xent_smooth(ins_graph *g, ins_value x, ins_value w, bool in_out, ins_value targets,
                                 ins_value weights, double label_smoothing, double z_loss, ins_value *nll,
                                 ins_value *correct);
/* From logits [N,C]; a composite of ops that have derivatives of any order. */
ins_value ins_xent(ins_graph *g, ins_value logits, ins_value targets, ins_value weights, ins_value *nll);

/* -- reductions -- */
ins_value ins_sum_all(ins_graph *g, ins_value x);            /* [] */
ins_value ins_sum_axis(ins_graph *g, ins_value x, int axis); /* drops the axis; negative counts from the end */
ins_value ins_mean_axis(ins_graph *g, ins_value x, int axis);

/* -- shape -- */
ins_value ins_reshape(ins_graph *g, ins_value x, int n_dims, const int64_t *dims); /* view; one dim may be -1 */
/* ins_permute(g, x, axes): out dimension i is x's dimension axes[i]. */
ins_value ins_build_permute(ins_graph *g, ins_value x, const int *axes);
/* base/rng.h has an ins_permute(key, n, i) too: the first argument tells which one is meant. */
#define ins_permute(first, ...)                                                                                        \
    _Generic((first), ins_graph * : ins_build_permute, default : ins_permute)(first, __VA_ARGS__)
ins_value ins_slice(ins_graph *g, ins_value x, int axis, int64_t start, int64_t length);
ins_value ins_concat(ins_graph *g, const ins_value *parts, int n, int axis);
ins_value ins_broadcast(ins_graph *g, ins_value x, ins_type type); /* to a larger shape, numpy rules */

/* -- randomness: keep-probability 1-p, scaled by 1/(1-p); mask from (key i32 [4] input bound each step, stream) -- */
ins_value ins_dropout(ins_graph *g, ins_value x, ins_value rng_key, double p, uint32_t stream);

/* -- recurrent: one LSTM layer. x [B,T,D], w_ih [4H,D], w_hh [4H,H], bias [4H] (i f g o) -> h [B,T,H]; composite -- */
ins_value ins_lstm(ins_graph *g, ins_value x, ins_value w_ih, ins_value w_hh, ins_value bias);
/* Its part after the projection of the input: projected [B,T,4H]. Each row of the batch is a sequence; where positions
 * (i32 [B,T], or INS_NO_VALUE) is 0 the state begins anew. h0, c0 [B,H]: the state before the first step, both or none.
 * Returns h [B,T,H] in compute dtype; *cells (may be NULL) gets c [B,T,H] in acc. */
ins_value ins_lstm_steps(ins_graph *g, ins_value projected, ins_value w_hh, ins_value positions, ins_value h0,
                         ins_value c0, ins_value *cells);

/* x [B,T,D], positions i32 [B,T] -> [B,T,n D]: each position after the n - 1 before it in its document, zeros where
 * there is none. */
ins_value ins_window(ins_graph *g, ins_value x, ins_value positions, int64_t n);

/* stop_gradient(x): identity forward, no gradient. */
ins_value ins_stop_gradient(ins_graph *g, ins_value x);

#endif
