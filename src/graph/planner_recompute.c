/* Less memory for a little time: what is cheap to compute and needed again after the peak (in a training step, behind
 * the loss) is computed again just before it is needed, instead of kept.
 *
 * A node before the peak is repeated when its op says it is cheap and its inputs are there at that time anyway: leaves,
 * values that something else keeps, or again repeated values. Consumers are visited before producers, so a repeated
 * node counts as a reader of its inputs. The numbers do not change.
 */
#include "graph/planner.h"

#include <string.h>

#define MAX_DEPTH 4 /* of repeated nodes that need repeated nodes */

typedef struct copy_node {
    plan_node node;
    int64_t before; /* it runs just before this node of the old order */
} copy_node;

typedef struct recompute_state {
    ins_plan *plan;
    int32_t *producer;
    ins_value *class_of;
    int64_t *last;     /* by class: last reader; n_nodes = kept to the end */
    int64_t *reader;   /* by value: first reader behind the peak, counting repeated nodes; n_nodes = none */
    bool *kept;        /* by value */
    ins_value *again;  /* by value: its repeated twin, or INS_NO_VALUE */
    copy_node *copies; /* consumers before producers */
    int64_t n_copies, peak;
    ins_value next; /* free number of a value */
} recompute_state;

static bool is_cheap(const plan_node *node) {
    return (node->sig->op->flags & (INS_OP_PURE_CHEAP | INS_OP_VIEW)) != 0;
}

/* The step at which most bytes are alive, counting each class of views once. */
static ins_status find_peak(recompute_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    int64_t *change = ins_plan_work(plan, plan->n_nodes + 1, sizeof *change, err);
    if (!change) return INS_NOMEM;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        for (int j = 0; j < plan->nodes[i].sig->n_out && !ins_plan_is_view(&plan->nodes[i]); j++) {
            int64_t last = s->last[plan->nodes[i].out0 + j];
            if (last < i || last == plan->n_nodes) continue; /* unread, or an output with its own memory */
            change[i] += (int64_t)ins_type_bytes(&plan->nodes[i].sig->out[j]);
            change[last + 1] -= (int64_t)ins_type_bytes(&plan->nodes[i].sig->out[j]);
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

static ins_status read_plan(recompute_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    int64_t n = plan->n_nodes;
    s->producer = ins_plan_producers(plan, err);
    s->class_of = ins_plan_classes(plan, err);
    s->last = ins_plan_work(plan, plan->n_values, sizeof *s->last, err);
    s->reader = ins_plan_work(plan, plan->n_values, sizeof *s->reader, err);
    s->kept = ins_plan_work(plan, plan->n_values, sizeof *s->kept, err);
    s->again = ins_plan_work(plan, plan->n_values, sizeof *s->again, err);
    s->copies = ins_plan_work(plan, n, sizeof *s->copies, err);
    if (!s->producer || !s->class_of || !s->last || !s->reader || !s->kept || !s->again || !s->copies) return INS_NOMEM;
    for (int64_t v = 0; v < plan->n_values; v++) {
        s->last[v] = -1;
        s->reader[v] = n;
        s->again[v] = INS_NO_VALUE;
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
static bool is_there(const recompute_state *s, ins_value v, int64_t at, int depth) {
    if (v < 0 || s->producer[v] == PLAN_NONE || s->producer[v] > s->peak) return true;
    if (s->last[s->class_of[v]] >= at) return true;
    const plan_node *node = &s->plan->nodes[s->producer[v]];
    if (!is_cheap(node) || depth == MAX_DEPTH) return false;
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (!is_there(s, node->in[j], at, depth + 1)) return false;
    return true;
}

static void repeat(recompute_state *s, int64_t index) {
    const plan_node *node = &s->plan->nodes[index];
    int64_t at = s->reader[node->out0];
    if (!is_cheap(node) || at == s->plan->n_nodes || s->kept[node->out0]) return;
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (!is_there(s, node->in[j], at, 0)) return;
    copy_node *copy = &s->copies[s->n_copies++];
    *copy = (copy_node){.node = *node, .before = at};
    copy->node.out0 = s->next;
    s->again[node->out0] = s->next;
    s->next += node->sig->n_out;
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (node->in[j] >= 0 && at < s->reader[node->in[j]]) s->reader[node->in[j]] = at;
}

static void use_copies(const recompute_state *s, plan_node *node) {
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (node->in[j] >= 0 && s->again[node->in[j]] >= 0) node->in[j] = s->again[node->in[j]];
}

/* The old order with the repeated nodes in it. Those before one node: producers were added last, so backwards. */
static ins_status merge(recompute_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    int64_t total = plan->n_nodes + s->n_copies, n = 0;
    plan_node *nodes = ins_arena_alloc(plan->arena, (size_t)(total + 1) * sizeof *nodes);
    int32_t *first = ins_plan_work(plan, plan->n_nodes, sizeof *first, err); /* of the copies before a node; + 1 */
    int32_t *next = ins_plan_work(plan, s->n_copies, sizeof *next, err);
    if (!nodes || !first || !next) return INS_FAIL(err, INS_NOMEM, "no memory to plan %lld nodes", (long long)total);
    for (int64_t k = 0; k < s->n_copies; k++) {
        next[k] = first[s->copies[k].before];
        first[s->copies[k].before] = (int32_t)(k + 1);
    }
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        for (int32_t k = first[i]; k > 0; k = next[k - 1]) {
            nodes[n] = s->copies[k - 1].node;
            use_copies(s, &nodes[n++]);
        }
        nodes[n] = plan->nodes[i];
        if (i > s->peak) use_copies(s, &nodes[n]);
        n++;
    }
    plan->nodes = nodes;
    plan->n_nodes = n;
    plan->n_values = s->next;
    return INS_OK;
}

ins_status ins_plan_recompute(ins_plan *plan, ins_error *err) {
    recompute_state s = {.plan = plan, .next = (ins_value)plan->n_values};
    if (plan->n_values > INT32_MAX / 2) return INS_OK;
    INS_TRY(read_plan(&s, err));
    for (int64_t i = s.peak; i >= 0; i--) repeat(&s, i);
    return s.n_copies ? merge(&s, err) : INS_OK;
}
