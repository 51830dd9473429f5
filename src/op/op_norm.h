/* What layernorm, rmsnorm and their gradients share. Statistics, weight and bias are in acc (f32 for bf16 x). */
#ifndef INS_OP_NORM_H
#define INS_OP_NORM_H

#include "kernel/norm.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct ins_norm_attr {
    double eps;
    double weight_offset; /* added to the weight: 1 for Gemma-like norms */
} ins_norm_attr;

typedef struct ins_norm_grad_attr {
    double eps, weight_offset;
    int32_t want_weight, want_bias; /* the outputs are [D], else empty [0] */
} ins_norm_grad_attr;

/* x is float with a last dimension; weight and bias (inputs from `first` on) are acc[D] where given. */
ins_status ins_norm_check(const ins_op_sig *sig, int x, int first, int n_vectors, ins_error *err);
/* Type of the statistics of x: x without its last dimension, in acc. */
ins_type ins_norm_stats(const ins_type *x);
/* dtype, rows, cols and the strides of dense x, y, d_y, d_x. */
ins_norm_args ins_norm_base(const ins_type *x, double eps, double weight_offset, bool rms);
/* An optional input's memory, NULL when missing. */
const void *ins_norm_optional(const ins_op_call *call, int input);
/* Out types of a gradient op: d_x like x, then d_weight and d_bias where there are such outputs. */
void ins_norm_grad_types(ins_op_sig *sig, const ins_type *x);
/* Cast of a norm's weight or bias to acc; passes INS_NO_VALUE through. */
ins_value ins_norm_vector(ins_graph *g, ins_value v);
/* Forward builder of both kinds. */
ins_value ins_norm_emit(ins_graph *g, const ins_op *op, double weight_offset, ins_value x, const ins_value vectors[2],
                        double eps, ins_dtype out_dtype);

/* Inputs that both gradient ops have in common. */
enum { INS_NORM_D_Y, INS_NORM_X };
/* Gradient rule of the gradient ops (norm_second.c). */
ins_status ins_norm_grad_grad(ins_graph *g, const ins_op_grad *a, bool centre, int weight_in, int acc_in);

#endif
