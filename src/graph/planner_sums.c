/* A sum whose second term is made by an op that can add to memory: add(u, v) with v = P(...), or a view of it, becomes
 * P(..., acc = u), which writes over u. It saves the memory of v and one pass over both, for every residual connection
 * and every parameter that is used more than once.
 *
 * Works on the final order, so all conditions are about places: P runs after u is made and after every other reader of
 * u, and v has no other reader. The order does not change. A u that has to be kept (a tap) is copied first: that costs
 * what the sum cost, and looking at a value does not change the others.
 */
#include "graph/planner.h"

#include <string.h>

/* What is known of one class of views (see ins_plan_classes). */
typedef struct class_info {
    ins_value value;      /* what is written: the value that the others are views of */
    int32_t made;         /* step that makes it, PLAN_NONE for a leaf */
    int32_t last, before; /* last step that reads it, and the last one before that; PLAN_NONE = none */
    int32_t n_readers;
    bool kept; /* an output of the plan */
} class_info;

typedef struct sum_state {
    ins_plan *plan;
    ins_value *class_of;
    ins_value *merged; /* by class: the class that it has become part of, or INS_NO_VALUE */
    class_info *info;  /* by class */
    int32_t *producer; /* by value */
    ins_value *by;     /* by value: replacement */
    bool *drop;        /* by node */
} sum_state;

static ins_status read_classes(sum_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    s->class_of = ins_plan_classes(plan, err);
    s->producer = ins_plan_producers(plan, err);
    s->info = ins_plan_work(plan, plan->n_values, sizeof *s->info, err);
    s->merged = ins_plan_work(plan, plan->n_values, sizeof *s->merged, err);
    if (!s->class_of || !s->producer || !s->info || !s->merged) return INS_NOMEM;
    for (int64_t v = 0; v < plan->n_values; v++) s->merged[v] = INS_NO_VALUE;
    for (int64_t v = 0; v < plan->n_values; v++)
        s->info[v] =
            (class_info){.value = (ins_value)v, .made = s->producer[v], .last = PLAN_NONE, .before = PLAN_NONE};
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        if (ins_plan_is_view(&plan->nodes[i])) continue;
        for (int j = 0; j < INS_OP_MAX_IN; j++) {
            if (plan->nodes[i].in[j] < 0) continue;
            class_info *c = &s->info[s->class_of[plan->nodes[i].in[j]]];
            c->n_readers++;
            if (c->last == i) continue;
            c->before = c->last;
            c->last = (int32_t)i;
        }
    }
    for (int64_t i = 0; i < plan->n_outputs; i++) s->info[s->class_of[plan->outputs[i].value]].kept = true;
    return INS_OK;
}

static ins_value now(const sum_state *s, ins_value v) {
    while (s->by[v] >= 0) v = s->by[v];
    return v;
}

static class_info *info_of(const sum_state *s, ins_value v) {
    ins_value c = s->class_of[v];
    while (s->merged[c] >= 0) c = s->merged[c];
    return &s->info[c];
}

/* Can the maker of v take u as its accumulator, for the sum at step `at`? */
static bool can_accumulate(const sum_state *s, int64_t at, ins_value u, ins_value v) {
    const class_info *cu = info_of(s, u), *cv = info_of(s, v);
    ins_value made = s->class_of[v]; /* v itself, or what v is a view of */
    int32_t maker = s->producer[made];
    if (maker == PLAN_NONE || cu->made == PLAN_NONE || cu == cv) return false;
    const plan_node *node = &s->plan->nodes[maker];
    const ins_op *op = node->sig->op;
    if (!(op->flags & INS_OP_ACCUMULATE) || made != node->out0 + op->acc_out || node->in[op->acc_in] >= 0) return false;
    if (cv->kept || cv->n_readers != 1) return false;
    return cu->made < maker && cu->last == at && cu->before < maker;
}

static ins_status accumulate(sum_state *s, int64_t at, ins_value u, ins_value v, ins_error *err) {
    ins_value made = s->class_of[v];
    plan_node *node = &s->plan->nodes[s->producer[made]];
    ins_op_sig *sig = ins_arena_alloc(s->plan->arena, sizeof *sig);
    if (!sig) return INS_FAIL(err, INS_NOMEM, "no memory to plan a sum");
    const ins_op *op = node->sig->op;
    *sig = *node->sig;
    sig->in[op->acc_in] = &sig->out[op->acc_out]; /* u's bytes in the shape that the op knows */
    if (sig->n_in <= op->acc_in) sig->n_in = op->acc_in + 1;
    node->sig = sig;
    node->in[op->acc_in] = info_of(s, u)->value; /* u itself may be a view that is named later */

    /* v now is the sum: it has the sum's readers and the maker's place */
    ins_value total = s->plan->nodes[at].out0;
    class_info *sum = info_of(s, total);
    sum->made = s->producer[made];
    sum->value = made;
    s->by[total] = v;
    s->drop[at] = true;
    s->merged[made] = s->class_of[total];
    return INS_OK;
}

static bool is_plain_sum(const plan_node *node) {
    return strcmp(node->sig->op->head.name, "add") == 0 && node->in[0] >= 0 && node->in[1] >= 0 &&
           ins_type_equal(node->sig->in[0], &node->sig->out[0]) && ins_type_equal(node->sig->in[1], &node->sig->out[0]);
}

ins_status ins_plan_fuse_sums(ins_plan *plan, ins_error *err) {
    sum_state s = {.plan = plan};
    INS_TRY(read_classes(&s, err));
    s.by = ins_plan_work(plan, plan->n_values, sizeof *s.by, err);
    s.drop = ins_plan_work(plan, plan->n_nodes, sizeof *s.drop, err);
    if (!s.by || !s.drop) return INS_NOMEM;
    for (int64_t v = 0; v < plan->n_values; v++) s.by[v] = INS_NO_VALUE;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        if (!is_plain_sum(&plan->nodes[i])) continue;
        ins_value x = now(&s, plan->nodes[i].in[0]), y = now(&s, plan->nodes[i].in[1]);
        if (can_accumulate(&s, i, x, y))
            INS_TRY(accumulate(&s, i, x, y, err));
        else if (can_accumulate(&s, i, y, x))
            INS_TRY(accumulate(&s, i, y, x, err));
    }
    ins_plan_compact(plan, s.drop);
    ins_plan_replace(plan, s.by);
    return INS_OK;
}
