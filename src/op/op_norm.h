/* What layernorm, rmsnorm and their gradients are: one norm, with or without centring. Statistics, weight and bias are
 * in acc (f32 for bf16 x). With f32 x, y may be bf16: what enters a matrix product, straight from the residual stream.
 *
 *   forward    x [weight] [bias]                       -> y [mean] rstd             mean, bias: layernorm only
 *   gradient   d_y x [mean] rstd [weight] [acc]        -> d_x d_weight [d_bias] copy sum
 *
 * acc is added to d_x: the gradient of the residual stream. copy and sum repeat d_x: see op.h.
 */
#ifndef INS_OP_NORM_H
#define INS_OP_NORM_H

#include "kernel/norm.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct ins_norm_attr {
    double eps;
    double weight_offset; /* added to the weight: 1 for Gemma-like norms */
    int64_t y_bf16;       /* y is bf16 where x is f32 */
} ins_norm_attr;

typedef struct ins_norm_grad_attr {
    double eps, weight_offset;
    int32_t want_weight, want_bias; /* the outputs are [D], else empty [0] */
} ins_norm_grad_attr;

/* Inputs and outputs that both norms have at one place; the others follow by `centre`, 0 or 1. */
enum { INS_NORM_IN_X, INS_NORM_IN_WEIGHT, INS_NORM_IN_BIAS };
enum { INS_NORM_D_Y, INS_NORM_X };
#define INS_NORM_RSTD(centre)   (2 + (centre)) /* inputs of the gradient */
#define INS_NORM_WEIGHT(centre) (3 + (centre))
#define INS_NORM_ACC(centre)    (4 + (centre))
#define INS_NORM_COPY(centre)   (2 + (centre)) /* outputs of the gradient */
#define INS_NORM_SUM(centre)    (3 + (centre))

ins_status ins_norm_infer(ins_op_sig *sig, int centre, ins_error *err);
ins_status ins_norm_run(const ins_op_call *call, int centre, ins_error *err);
/* Gradient rule of the forward op: emits `grad_op`. */
ins_status ins_norm_grad(ins_graph *g, const ins_op_grad *a, int centre, const ins_op *grad_op, ins_error *err);
/* Forward builder. vectors: weight and bias, or INS_NO_VALUE. */
ins_value ins_norm_emit(ins_graph *g, const ins_op *op, double weight_offset, ins_value x, const ins_value vectors[2],
                        double eps, ins_dtype out_dtype);

ins_status ins_norm_grad_infer(ins_op_sig *sig, int centre, ins_error *err);
ins_status ins_norm_grad_run(const ins_op_call *call, int centre, ins_error *err);
size_t ins_norm_grad_scratch(const ins_op_sig *sig, int n_threads);
/* Gradient rule of the gradient ops (norm_second.c). */
ins_status ins_norm_grad_grad(ins_graph *g, const ins_op_grad *a, int centre, ins_error *err);
/* Sample inputs of the gradient ops: rstd positive, mean small, the rest arbitrary. */
void ins_norm_fill_grad(int input, const ins_type *type, void *data, int centre);

#endif
