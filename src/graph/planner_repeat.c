/* Nodes that run a second time, later, so that their results need not be kept in between. */
#include "graph/planner.h"

ins_status ins_plan_repeats_begin(plan_repeats *r, ins_plan *plan, ins_error *err) {
    *r = (plan_repeats){.next = (ins_value)plan->n_values};
    r->copies = ins_plan_work(plan, plan->n_nodes, sizeof *r->copies, err);
    r->again = ins_plan_work(plan, plan->n_values, sizeof *r->again, err);
    if (!r->copies || !r->again) return INS_NOMEM;
    for (int64_t v = 0; v < plan->n_values; v++) r->again[v] = INS_NO_VALUE;
    return INS_OK;
}

void ins_plan_repeat(plan_repeats *r, const ins_plan *plan, int64_t index, int64_t before) {
    const plan_node *node = &plan->nodes[index];
    if (plan->n_values > INT32_MAX / 2) return; /* numbers of values are 32 bits wide */
    plan_repeat *copy = &r->copies[r->n_copies++];
    *copy = (plan_repeat){.node = *node, .before = before};
    copy->node.out0 = r->next;
    copy->node.again = true;
    for (int j = 0; j < node->sig->n_out; j++) r->again[node->out0 + j] = r->next + j;
    r->next += node->sig->n_out;
}

static void use_copies(const plan_repeats *r, plan_node *node) {
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (node->in[j] >= 0 && r->again[node->in[j]] >= 0) node->in[j] = r->again[node->in[j]];
}

/* The old order with the repeated nodes in it. Those before one node: consumers were added first, so backwards. */
ins_status ins_plan_repeats_end(const plan_repeats *r, ins_plan *plan, int64_t border, ins_error *err) {
    if (r->n_copies == 0) return INS_OK;
    int64_t total = plan->n_nodes + r->n_copies, n = 0;
    plan_node *nodes = ins_arena_alloc(plan->arena, (size_t)(total + 1) * sizeof *nodes);
    int32_t *first = ins_plan_work(plan, plan->n_nodes, sizeof *first, err); /* of the copies before a node; + 1 */
    int32_t *next = ins_plan_work(plan, r->n_copies, sizeof *next, err);
    if (!nodes || !first || !next) return INS_FAIL(err, INS_NOMEM, "no memory to plan %lld nodes", (long long)total);
    for (int64_t k = 0; k < r->n_copies; k++) {
        next[k] = first[r->copies[k].before];
        first[r->copies[k].before] = (int32_t)(k + 1);
    }
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        for (int32_t k = first[i]; k > 0; k = next[k - 1]) {
            nodes[n] = r->copies[k - 1].node;
            use_copies(r, &nodes[n++]);
        }
        nodes[n] = plan->nodes[i];
        if (border == PLAN_NONE ? nodes[n].backward : i > border) use_copies(r, &nodes[n]);
        n++;
    }
    plan->nodes = nodes;
    plan->n_nodes = n;
    plan->n_values = r->next;
    return INS_OK;
}
