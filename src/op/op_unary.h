/* What unary, unary_grad, gated and gated_grad share: the attribute and the kernels' code of each map. */
#ifndef INS_OP_UNARY_H
#define INS_OP_UNARY_H

#include "kernel/act.h"
#include "op/op_emit.h"

typedef struct ins_unary_attr {
    int64_t kind; /* an ins_unary */
} ins_unary_attr;

/* false when kind is not an ins_unary. */
bool ins_unary_act(int64_t kind, ins_act *out);
/* The attribute's kind, checked. */
ins_status ins_unary_check(const ins_op_sig *sig, ins_error *err);

#endif
