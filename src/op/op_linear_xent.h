/* What linear_xent and linear_xent_grad share. Both must have the same attribute and the same first four inputs, and
 * their outputs loss, nll and correct the same names: this is how the planner sees that the gradient op can stand in
 * for the forward op.
 */
#ifndef INS_OP_LINEAR_XENT_H
#define INS_OP_LINEAR_XENT_H

#include "kernel/xent.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { XENT_X, XENT_W, XENT_TARGETS, XENT_WEIGHTS };

typedef struct ins_linear_xent_attr {
    int64_t in_out; /* W is [D, V] */
    double label_smoothing, z_loss;
} ins_linear_xent_attr;

/* x [N,D], w, targets i32 [N], weights acc [N]. */
ins_status ins_linear_xent_check(const ins_op_sig *sig, ins_error *err);
/* Types of loss [], nll [N], correct [N], in acc, from out[first] on. */
void ins_linear_xent_types(ins_op_sig *sig, int first);
/* Sizes, strides and the four inputs (call may be NULL: sizes only). */
ins_linear_xent_args ins_linear_xent_base(const ins_op_sig *sig, const ins_op_call *call);
/* 2 N D V: the product with the vocabulary matrix. */
double ins_linear_xent_product(const ins_op_sig *sig);
void ins_linear_xent_fill(int input, const ins_type *type, void *data);

/* Gradient rule of linear_xent_grad (linear_xent_second.c). */
ins_status ins_linear_xent_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err);

#endif
