/* A cast to bf16 or a column sum of an op's result, where the op can make it in the same pass (op.h: copy_out,
 * sum_out): the gradient of the residual stream is also wanted in bf16 by the matrix products, and summed by biases.
 */
#include "graph/planner.h"

#include <string.h>

/* The output of `maker` that has what `node` computes from its first output, or 0. */
static int echo_of(const plan_node *node, const plan_node *maker) {
    const ins_op *op = maker->sig->op;
    const char *name = node->sig->op->head.name;
    int echo = strcmp(name, "cast") == 0 ? op->copy_out : strcmp(name, "column_sum") == 0 ? op->sum_out : 0;
    for (int j = 1; j < INS_OP_MAX_IN; j++)
        if (node->in[j] >= 0) return 0; /* a sum that goes on from another one */
    if (!echo || node->in[0] != maker->out0) return 0;
    return ins_type_equal(&node->sig->out[0], &maker->sig->out[echo]) ? echo : 0;
}

ins_status ins_plan_fuse_echoes(ins_plan *plan, ins_error *err) {
    const int32_t *producer = ins_plan_producers(plan, err);
    ins_value *by = ins_plan_work(plan, plan->n_values, sizeof *by, err);
    bool *drop = ins_plan_work(plan, plan->n_nodes, sizeof *drop, err);
    if (!producer || !by || !drop) return INS_NOMEM;
    for (int64_t v = 0; v < plan->n_values; v++) by[v] = INS_NO_VALUE;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        const plan_node *node = &plan->nodes[i];
        int32_t from = node->in[0] >= 0 ? producer[node->in[0]] : PLAN_NONE;
        if (from == PLAN_NONE) continue;
        int echo = echo_of(node, &plan->nodes[from]);
        if (!echo) continue;
        by[node->out0] = plan->nodes[from].out0 + echo;
        drop[i] = true;
    }
    ins_plan_compact(plan, drop);
    ins_plan_replace(plan, by);
    return INS_OK;
}
