/* Less memory for a little time: what is cheap to compute and needed again after the peak (in a training step, behind
 * the loss) is computed again just before it is needed, instead of kept.
 *
 * A node before the peak is repeated when its op says it is cheap and its inputs are there at that time anyway: leaves,
 * values that something else keeps, or again repeated values. Consumers are visited before producers, so a repeated
 * node counts as a reader of its inputs. The numbers do not change: the sums have been fused before.
 */
#include "graph/planner.h"

#include <string.h>

#define MAX_DEPTH 4 /* of repeated nodes that need repeated nodes */

typedef struct cheap_state {
    ins_plan *plan;
    plan_repeats repeats;
    int32_t *producer;
    ins_value *class_of;
    int64_t *last;   /* by class: last reader; n_nodes = kept to the end */
    int64_t *reader; /* by value: first reader behind the peak, counting repeated nodes; n_nodes = none */
    bool *kept;      /* by value */
    int64_t peak;
} cheap_state;

static bool is_cheap(const plan_node *node) {
    return (node->sig->op->flags & (INS_OP_PURE_CHEAP | INS_OP_VIEW)) != 0;
}

/* The step at which most bytes are alive, counting each class of views once. */
static ins_status find_peak(cheap_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    int64_t *change = ins_plan_work(plan, plan->n_nodes + 1, sizeof *change, err);
    if (!change) return INS_NOMEM;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        const ins_op_sig *sig = plan->nodes[i].sig;
        if (ins_plan_is_view(&plan->nodes[i])) continue;
        int64_t scratch = sig->op->scratch ? (int64_t)sig->op->scratch(sig, plan->n_threads) : 0;
        change[i] += scratch;
        change[i + 1] -= scratch;
        for (int j = 0; j < sig->n_out; j++) {
            int64_t last = s->last[plan->nodes[i].out0 + j];
            if (last < i || last == plan->n_nodes) continue; /* unread, or an output with its own memory */
            change[i] += (int64_t)ins_type_bytes(&sig->out[j]);
            change[last + 1] -= (int64_t)ins_type_bytes(&sig->out[j]);
        }
    }
    int64_t alive = 0, most = -1;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        alive += change[i];
        if (alive <= most) continue;
        most = alive;
        s->peak = i;
    }
    return INS_OK;
}

static ins_status read_plan(cheap_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    int64_t n = plan->n_nodes;
    s->producer = ins_plan_producers(plan, err);
    s->class_of = ins_plan_classes(plan, err);
    s->last = ins_plan_work(plan, plan->n_values, sizeof *s->last, err);
    s->reader = ins_plan_work(plan, plan->n_values, sizeof *s->reader, err);
    s->kept = ins_plan_work(plan, plan->n_values, sizeof *s->kept, err);
    if (!s->producer || !s->class_of || !s->last || !s->reader || !s->kept) return INS_NOMEM;
    for (int64_t v = 0; v < plan->n_values; v++) {
        s->last[v] = -1;
        s->reader[v] = n;
    }
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < INS_OP_MAX_IN; j++)
            if (plan->nodes[i].in[j] >= 0) s->last[s->class_of[plan->nodes[i].in[j]]] = i;
    for (int64_t i = 0; i < plan->n_outputs; i++) {
        s->kept[plan->outputs[i].value] = true;
        s->last[s->class_of[plan->outputs[i].value]] = n;
    }
    INS_TRY(find_peak(s, err));
    for (int64_t i = n - 1; i > s->peak; i--)
        for (int j = 0; j < INS_OP_MAX_IN; j++)
            if (plan->nodes[i].in[j] >= 0) s->reader[plan->nodes[i].in[j]] = i;
    return INS_OK;
}

/* Is v there at step `at` without costing memory across the peak? */
static bool is_there(const cheap_state *s, ins_value v, int64_t at, int depth) {
    if (v < 0 || s->producer[v] == PLAN_NONE || s->producer[v] > s->peak) return true;
    if (s->last[s->class_of[v]] >= at) return true;
    const plan_node *node = &s->plan->nodes[s->producer[v]];
    if (!is_cheap(node) || depth == MAX_DEPTH) return false;
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (!is_there(s, node->in[j], at, depth + 1)) return false;
    return true;
}

static void repeat(cheap_state *s, int64_t index) {
    const plan_node *node = &s->plan->nodes[index];
    int64_t at = s->reader[node->out0];
    if (!is_cheap(node) || at == s->plan->n_nodes || s->kept[node->out0]) return;
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (!is_there(s, node->in[j], at, 0)) return;
    ins_plan_repeat(&s->repeats, s->plan, index, at);
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (node->in[j] >= 0 && at < s->reader[node->in[j]]) s->reader[node->in[j]] = at;
}

ins_status ins_plan_recompute_cheap(ins_plan *plan, ins_error *err) {
    cheap_state s = {.plan = plan};
    INS_TRY(ins_plan_repeats_begin(&s.repeats, plan, err));
    INS_TRY(read_plan(&s, err));
    for (int64_t i = s.peak; i >= 0; i--) repeat(&s, i);
    return ins_plan_repeats_end(&s.repeats, plan, s.peak, err);
}
