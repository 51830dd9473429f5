/* The order of the steps: the build order, except that
 *  - what a node needs comes before it, even where a fusion made it need a node that was built later;
 *  - a node that only makes outputs (a parameter's gradient) runs as soon as its inputs are there, so that the
 *    activations it reads can die. Outputs have memory of their own, so this never raises the peak.
 * Within the backward pass the build order is already the best one: a node's input gradients are made together.
 */
#include "graph/planner.h"

#include <stdlib.h>
#include <string.h>

typedef struct order_state {
    ins_plan *plan;
    const int32_t *producer;
    bool *done;
    int32_t *order; /* node at each step */
    int64_t n;
    int32_t *stack;
} order_state;

static int64_t missing_input(const order_state *s, int64_t index) {
    for (int j = 0; j < INS_OP_MAX_IN; j++) {
        ins_value v = s->plan->nodes[index].in[j];
        if (v >= 0 && s->producer[v] != PLAN_NONE && !s->done[s->producer[v]]) return s->producer[v];
    }
    return PLAN_NONE;
}

/* Emit `index` after all that it needs (depth first, without recursion: chains may be long). */
static void emit(order_state *s, int64_t index) {
    int64_t depth = 0;
    s->stack[depth++] = (int32_t)index;
    while (depth > 0) {
        int64_t at = s->stack[depth - 1];
        int64_t need = s->done[at] ? PLAN_NONE : missing_input(s, at);
        if (need != PLAN_NONE) {
            s->stack[depth++] = (int32_t)need;
            continue;
        }
        if (!s->done[at]) s->order[s->n++] = (int32_t)at;
        s->done[at] = true;
        depth--;
    }
}

typedef struct keyed {
    int64_t key;
    int32_t index;
} keyed;

static int by_key(const void *left, const void *right) {
    const keyed *x = left, *y = right;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static void apply_order(ins_plan *plan, const int32_t *order, plan_node *copy) {
    memcpy(copy, plan->nodes, (size_t)plan->n_nodes * sizeof *copy);
    for (int64_t i = 0; i < plan->n_nodes; i++) plan->nodes[i] = copy[order[i]];
}

/* Nodes all of whose outputs are outputs of the plan go right behind the last node that they need. */
static ins_status hoist_outputs(ins_plan *plan, keyed *keys, int32_t *order, plan_node *copy, ins_error *err) {
    const int32_t *producer = ins_plan_producers(plan, err);
    bool *is_output = ins_plan_work(plan, plan->n_values, sizeof *is_output, err);
    if (!producer || !is_output) return INS_NOMEM;
    for (int64_t i = 0; i < plan->n_outputs; i++)
        is_output[plan->outputs[i].value] = plan->g->names[plan->outputs[i].name].kind == GRAPH_OUTPUT;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        const plan_node *node = &plan->nodes[i];
        bool hoist = !ins_plan_is_view(node) && !node->sig->op->scratch;
        int64_t last_needed = -1;
        for (int j = 0; hoist && j < node->sig->n_out; j++) hoist = is_output[node->out0 + j];
        for (int j = 0; hoist && j < INS_OP_MAX_IN; j++) {
            int64_t from = node->in[j] >= 0 ? producer[node->in[j]] : -1;
            if (from > last_needed) last_needed = from;
        }
        /* keys are 2 * place, so that a hoisted node (odd key) stands between two others */
        keys[i] = (keyed){.key = hoist ? 2 * last_needed + 1 : 2 * i, .index = (int32_t)i};
    }
    qsort(keys, (size_t)plan->n_nodes, sizeof *keys, by_key);
    for (int64_t i = 0; i < plan->n_nodes; i++) order[i] = keys[i].index;
    apply_order(plan, order, copy);
    return INS_OK;
}

ins_status ins_plan_order(ins_plan *plan, ins_error *err) {
    int64_t n = plan->n_nodes;
    order_state s = {.plan = plan, .producer = ins_plan_producers(plan, err)};
    s.done = ins_plan_work(plan, n, sizeof *s.done, err);
    s.order = ins_plan_work(plan, n, sizeof *s.order, err);
    s.stack = ins_plan_work(plan, n, sizeof *s.stack, err);
    keyed *keys = ins_plan_work(plan, n, sizeof *keys, err);
    plan_node *copy = ins_plan_work(plan, n, sizeof *copy, err);
    if (!s.producer || !s.done || !s.order || !s.stack || !keys || !copy) return INS_NOMEM;
    for (int64_t i = 0; i < n; i++) emit(&s, i);
    apply_order(plan, s.order, copy);
    return hoist_outputs(plan, keys, s.order, copy, err);
}
