/* Shape rule, run and builder that add, sub, mul and div share: numpy broadcasting, one dtype for all three. */
#ifndef INS_OP_BINARY_H
#define INS_OP_BINARY_H

#include "kernel/elementwise.h"
#include "op/op_emit.h"

ins_status ins_binary_infer(ins_op_sig *sig, ins_error *err);
ins_status ins_binary_run(const ins_op_call *call, ins_binary kind, ins_error *err);
ins_value ins_binary_emit(ins_graph *g, const ins_op *op, ins_value x, ins_value y);

extern const ins_op_sample ins_binary_samples[];     /* y ~ normal */
extern const ins_op_sample ins_binary_div_samples[]; /* |y| >= 1/2 */

#endif
