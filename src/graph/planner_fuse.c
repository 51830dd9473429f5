/* A gradient op that also computes what its forward op computes makes the forward op needless: the loss head
 * (linear_xent) would otherwise multiply with the vocabulary matrix once more than the gradient does.
 *
 * The rule: op "X_grad" replaces op "X" when both have the same attributes and the same first inputs, X_grad has every
 * output of X that is used under the same name and type, and none of its other inputs depends on X.
 */
#include "graph/planner.h"

#include <stdio.h>
#include <string.h>

#define MAX_PAIRS 32

typedef struct op_pair {
    const ins_op *forward, *grad;
    int out[INS_OP_MAX_OUT]; /* which output of grad is output i of forward; -1 = none */
} op_pair;

static int find_output(const ins_op *op, const char *name) {
    char word[48];
    for (int i = 0; i < op->n_out; i++)
        if (strcmp(ins_graph_word(op->out_names, i, word), name) == 0) return i;
    return -1;
}

static bool make_pair(const ins_op *forward, const ins_op *grad, op_pair *pair) {
    char name[96], word[48];
    snprintf(name, sizeof name, "%s_grad", forward->head.name);
    if (strcmp(name, grad->head.name) != 0) return false;
    bool any = false;
    *pair = (op_pair){.forward = forward, .grad = grad};
    for (int i = 0; i < forward->n_out; i++) {
        pair->out[i] = find_output(grad, ins_graph_word(forward->out_names, i, word));
        any |= pair->out[i] >= 0;
    }
    return any;
}

/* All pairs of ops in the plan for which the rule can hold. */
static ins_status find_pairs(ins_plan *plan, op_pair *pairs, int *n_pairs, ins_error *err) {
    const ins_op **ops = ins_plan_work(plan, plan->n_nodes, sizeof *ops, err);
    if (!ops) return INS_NOMEM;
    int64_t n_ops = 0;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        int64_t j = 0;
        while (j < n_ops && ops[j] != plan->nodes[i].sig->op) j++;
        if (j == n_ops) ops[n_ops++] = plan->nodes[i].sig->op;
    }
    *n_pairs = 0;
    for (int64_t i = 0; i < n_ops; i++)
        for (int64_t j = 0; j < n_ops && *n_pairs < MAX_PAIRS; j++)
            if (make_pair(ops[i], ops[j], &pairs[*n_pairs])) ++*n_pairs;
    return INS_OK;
}

static bool same_problem(const plan_node *forward, const plan_node *grad) {
    const ins_op_sig *f = forward->sig, *g = grad->sig;
    if (f->op->attr_size != g->op->attr_size) return false;
    if (f->op->attr_size && memcmp(f->attr, g->attr, f->op->attr_size) != 0) return false;
    return memcmp(forward->in, grad->in, (size_t)f->n_in * sizeof *forward->in) == 0;
}

typedef struct fuse_state {
    ins_plan *plan;
    const int32_t *producer;
    const bool *used; /* [n_values] */
    ins_value *by;    /* [n_values] replacement */
    bool *drop;       /* [n_nodes] */
    bool *ancestor;   /* [n_nodes] scratch of depends() */
} fuse_state;

static ins_value now(const fuse_state *s, ins_value v) {
    while (v >= 0 && s->by[v] >= 0) v = s->by[v];
    return v;
}

/* Does node `later` depend on node `earlier`, with the replacements so far? */
static bool depends(const fuse_state *s, int64_t later, int64_t earlier) {
    int64_t n = s->plan->n_nodes;
    memset(s->ancestor, 0, (size_t)n * sizeof *s->ancestor);
    s->ancestor[later] = true;
    for (bool grew = true; grew;) { /* a replacement may point forward, so one sweep need not be enough */
        grew = false;
        for (int64_t i = n - 1; i >= 0; i--) {
            for (int j = 0; s->ancestor[i] && j < INS_OP_MAX_IN; j++) {
                ins_value v = now(s, s->plan->nodes[i].in[j]);
                int32_t from = v >= 0 ? s->producer[v] : PLAN_NONE;
                if (from == PLAN_NONE || s->ancestor[from]) continue;
                s->ancestor[from] = true;
                grew |= from > i;
            }
        }
    }
    return s->ancestor[earlier];
}

static bool outputs_fit(const fuse_state *s, const op_pair *pair, const plan_node *forward, const plan_node *grad) {
    for (int i = 0; i < forward->sig->n_out; i++) {
        if (!s->used[forward->out0 + i]) continue;
        int k = pair->out[i];
        if (k < 0 || !ins_type_equal(&forward->sig->out[i], &grad->sig->out[k])) return false;
    }
    return true;
}

static void fuse_pair(fuse_state *s, const op_pair *pair) {
    ins_plan *plan = s->plan;
    for (int64_t f = 0; f < plan->n_nodes; f++) {
        plan_node *forward = &plan->nodes[f];
        if (forward->sig->op != pair->forward) continue;
        for (int64_t k = f + 1; k < plan->n_nodes && !s->drop[f]; k++) {
            plan_node *grad = &plan->nodes[k];
            if (grad->sig->op != pair->grad || !same_problem(forward, grad)) continue;
            if (!outputs_fit(s, pair, forward, grad) || depends(s, k, f)) continue;
            for (int i = 0; i < forward->sig->n_out; i++)
                if (pair->out[i] >= 0) s->by[forward->out0 + i] = grad->out0 + pair->out[i];
            s->drop[f] = true;
        }
    }
}

static bool *mark_used(ins_plan *plan, ins_error *err) {
    bool *used = ins_plan_work(plan, plan->n_values, sizeof *used, err);
    if (!used) return NULL;
    for (int64_t i = 0; i < plan->n_nodes; i++)
        for (int j = 0; j < INS_OP_MAX_IN; j++)
            if (plan->nodes[i].in[j] >= 0) used[plan->nodes[i].in[j]] = true;
    for (int64_t i = 0; i < plan->n_outputs; i++) used[plan->outputs[i].value] = true;
    return used;
}

ins_status ins_plan_fuse_forward(ins_plan *plan, ins_error *err) {
    op_pair pairs[MAX_PAIRS];
    int n_pairs;
    INS_TRY(find_pairs(plan, pairs, &n_pairs, err));
    if (n_pairs == 0) return INS_OK;
    fuse_state s = {.plan = plan};
    s.producer = ins_plan_producers(plan, err);
    s.used = mark_used(plan, err);
    s.by = ins_plan_work(plan, plan->n_values, sizeof *s.by, err);
    s.drop = ins_plan_work(plan, plan->n_nodes, sizeof *s.drop, err);
    s.ancestor = ins_plan_work(plan, plan->n_nodes, sizeof *s.ancestor, err);
    if (!s.producer || !s.used || !s.by || !s.drop || !s.ancestor) return INS_NOMEM;
    for (int64_t v = 0; v < plan->n_values; v++) s.by[v] = INS_NO_VALUE;
    for (int i = 0; i < n_pairs; i++) fuse_pair(&s, &pairs[i]);
    ins_plan_compact(plan, s.drop);
    ins_plan_replace(plan, s.by);
    return INS_OK;
}
