/* Builders that are compositions of several ops: cross-entropy from logits. */
#include "op/op_common.h"
#include "op/op_emit.h"

ins_value ins_xent(ins_graph *g, ins_value logits, ins_value targets, ins_value weights, ins_value *nll) {
    if (nll) *nll = INS_NO_VALUE;
    if (!ins_emit_ready(g, logits)) return INS_NO_VALUE;
    ins_value real = ins_cast(g, logits, ins_op_acc(ins_graph_type(g, logits)->dtype));
    ins_value each = ins_scale(g, ins_emit_pick(g, ins_log_softmax(g, real), targets), -1.0);
    if (nll) *nll = each;
    return ins_sum_all(g, ins_mul(g, each, weights));
}
