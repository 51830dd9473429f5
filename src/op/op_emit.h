/* Emitters that gradient rules and composite builders use, besides build.h. Private to src/op; each is defined in the
 * file of the op that it emits.
 */
#ifndef INS_OP_EMIT_H
#define INS_OP_EMIT_H

#include "op/build.h"

/* All descriptors, from the list. */
#define INS_OP(name) extern const ins_op ins_op_##name;
#include "registry.def"

/* Is v there and the graph free of errors? Builders that look at types ask first. */
bool ins_emit_ready(const ins_graph *g, ins_value v);
/* A node with one output of interest. */
ins_value ins_emit_one(ins_graph *g, const ins_op *op, const void *attr, const ins_value *in, int n_in);
/* v reshaped to t's dimensions. */
ins_value ins_emit_like(ins_graph *g, ins_value v, const ins_type *t);
/* Adjoint of broadcasting: v summed over the dimensions that `to` lacks or has as 1. The dtype may widen to acc. */
ins_value ins_emit_sum_to(ins_graph *g, ins_value v, const ins_type *to);
/* The axis counted from the front, checked; fails the graph when outside. -1 = failed. */
int ins_emit_axis(ins_graph *g, const char *who, ins_value x, int axis);
/* Both values at the wider float dtype of the two (bf16 < f32 < f64). */
void ins_emit_promote(ins_graph *g, ins_value *x, ins_value *y);

/* op(x) op(y) with the result in acc (f32 for bf16) when out_acc, else in x's dtype. */
ins_value ins_emit_matmul(ins_graph *g, ins_value x, ins_value y, bool trans_x, bool trans_y, bool out_acc);
/* [.., n] -> [n] in acc: sum over all leading dimensions. */
ins_value ins_emit_column_sum(ins_graph *g, ins_value x);
/* act'(x) * d_y. */
ins_value ins_emit_unary_grad(ins_graph *g, ins_unary kind, ins_value d_y, ins_value x);
/* act''(x) * z; INS_NO_VALUE when act'' is zero. */
ins_value ins_emit_unary_second(ins_graph *g, ins_unary kind, ins_value x, ins_value z);
ins_value ins_emit_softmax_grad(ins_graph *g, bool log_form, ins_value d_y, ins_value y);
/* Zeros of shape `full` with v at [start, start + length) of axis. */
ins_value ins_emit_pad(ins_graph *g, ins_value v, const ins_type *full, int axis, int64_t start);
/* [N, n_cols] zeros with v[i] at column ids[i]; and its adjoint. */
ins_value ins_emit_unpick(ins_graph *g, ins_value v, ins_value ids, int64_t n_cols);
ins_value ins_emit_pick(ins_graph *g, ins_value x, ins_value ids);
/* [B,T,n_keys]: 0 where lo <= key < hi, else -inf. */
ins_value ins_emit_interval_mask(ins_graph *g, ins_value lo, ins_value hi, int64_t n_keys, ins_dtype dtype);
/* Table [n_rows, D] in acc: sum of d_out rows by id. */
ins_value ins_emit_embedding_grad(ins_graph *g, ins_value d_out, ins_value ids, int64_t n_rows);

#endif
