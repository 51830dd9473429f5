/* What the ops of this room share: checks for shape rules, the accumulation input, broadcasting, stride collapsing.
 * Private to src/op. Emitters that gradients use are in op_emit.h.
 */
#ifndef INS_OP_COMMON_H
#define INS_OP_COMMON_H

#include "op/op.h"

/* Types for samples: INS_F32(2, 3, 4) is f32[3, 4]; INS_F32(0, 0) is a scalar. */
#define INS_F32(n_dims_, ...)                                                                                          \
    {                                                                                                                  \
        INS_DTYPE_F32, n_dims_, {                                                                                      \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define INS_I32(n_dims_, ...)                                                                                          \
    {                                                                                                                  \
        INS_DTYPE_I32, n_dims_, {                                                                                      \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }

/* Dtype of sums, losses and statistics over `dtype`: f64 for f64, else f32. */
ins_dtype ins_op_acc(ins_dtype dtype);

/* Shape-rule checks. Each names the op, the input and the types in its message and returns INS_USAGE. */
ins_status ins_op_check_float(const ins_op_sig *sig, int input, ins_error *err); /* f32, f64 or bf16 */
ins_status ins_op_check_dtype(const ins_op_sig *sig, int input, ins_dtype want, ins_error *err);
ins_status ins_op_check_dims(const ins_op_sig *sig, int input, int n_dims, ins_error *err);
ins_status ins_op_check_equal(const ins_op_sig *sig, int input, int other, ins_error *err); /* dtype and shape */
ins_status ins_op_check_type(const ins_op_sig *sig, int input, const ins_type *want, ins_error *err);
ins_status ins_op_check_count(const ins_op_sig *sig, int input, int64_t want, ins_error *err);
/* Name of an input for messages: word `input` of op->in_names, cut to the buffer. */
const char *ins_op_in_name(const ins_op *op, int input, char buf[32]);

/* n_dims, dims of t with another dtype. */
ins_type ins_type_with(const ins_type *t, ins_dtype dtype);
/* t without dimension `axis`. */
ins_type ins_type_drop(const ins_type *t, int axis);
/* Product of dims[first..last). */
int64_t ins_dims_product(const int64_t *dims, int first, int last);

/* Ready out for a run that adds: when the accumulation input is given, out[acc_out] holds its value (copied if the
 * planner gave it other memory) and the result is true. */
bool ins_op_take_acc(const ins_op_call *call);

/* Value of a float scalar in memory. */
double ins_op_scalar(ins_dtype dtype, const void *data);
void ins_op_set_scalar(ins_dtype dtype, void *data, double value);

/* Numpy rule: the shape that both fit; false when there is none. */
bool ins_op_broadcast_shape(const ins_type *x, const ins_type *y, ins_type *out);
/* Element strides of dense t seen as shape `to` (0 where broadcast). */
void ins_op_broadcast_strides(const ins_type *t, const ins_type *to, int64_t strides[INS_MAX_DIMS]);
/* Row-major strides of t. */
void ins_op_dense_strides(const ins_type *t, int64_t strides[INS_MAX_DIMS]);
/* Merge neighbouring dimensions that both stride lists walk as one; drops dimensions of 1. */
void ins_op_collapse(int *n_dims, int64_t *dims, int64_t *strides, int64_t *more_strides);

/* flops rules that several ops share. */
double ins_op_flops_none(const ins_op_sig *sig);

#endif
