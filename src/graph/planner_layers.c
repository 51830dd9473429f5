/* Recompute by layer (checkpointing): of each layer only what the next one reads is kept; before the backward pass
 * enters a layer, what it needs of it is computed again. The memory of a step is then one layer's activations and one
 * residual stream a layer, for about a third more work.
 *
 * A layer is a scope "layers.N", at any depth. Nodes outside of layers are kept as they are. Ops are pure functions of
 * their inputs and the sums have been fused before, so the numbers do not change.
 */
#include "graph/planner.h"

#include <string.h>

typedef struct layer_state {
    ins_plan *plan;
    plan_repeats repeats;
    int32_t *producer;
    int32_t *layer_of;  /* by node: number of the layer; PLAN_NONE = none, or a node of the backward pass */
    bool *stays;        /* by value: read by forward nodes outside of its layer, or an output */
    bool *wanted;       /* by node: runs again */
    int64_t *first_use; /* by layer: the first backward node that reads what is computed again; n_nodes = none */
    int64_t n_layers;
} layer_state;

/* Bytes of the scope up to and with its first "layers.N"; 0 = none. */
static size_t layer_prefix(const char *scope) {
    for (const char *at = scope; (at = strstr(at, "layers.")) != NULL; at++) {
        const char *digits = at + strlen("layers.");
        size_t n = strspn(digits, "0123456789");
        bool starts = at == scope || at[-1] == '.', ends = digits[n] == '\0' || digits[n] == '.';
        if (n > 0 && starts && ends) return (size_t)(digits - scope) + n;
    }
    return 0;
}

/* Layers are numbered as they come; a layer's nodes stand close together, so the search from the end is short. */
static ins_status find_layers(layer_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    const char **scopes = ins_plan_work(plan, plan->n_nodes, sizeof *scopes, err);
    s->layer_of = ins_plan_work(plan, plan->n_nodes, sizeof *s->layer_of, err);
    if (!scopes || !s->layer_of) return INS_NOMEM;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        const char *scope = plan->nodes[i].scope;
        size_t n = plan->nodes[i].backward ? 0 : layer_prefix(scope);
        s->layer_of[i] = PLAN_NONE;
        if (n == 0) continue;
        int64_t k = s->n_layers - 1;
        while (k >= 0 && (strncmp(scopes[k], scope, n) != 0 || layer_prefix(scopes[k]) != n)) k--;
        if (k < 0) scopes[k = s->n_layers++] = scope;
        s->layer_of[i] = (int32_t)k;
    }
    return INS_OK;
}

static ins_status find_borders(layer_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    s->producer = ins_plan_producers(plan, err);
    s->stays = ins_plan_work(plan, plan->n_values, sizeof *s->stays, err);
    s->wanted = ins_plan_work(plan, plan->n_nodes, sizeof *s->wanted, err);
    s->first_use = ins_plan_work(plan, s->n_layers, sizeof *s->first_use, err);
    if (!s->producer || !s->stays || !s->wanted || !s->first_use) return INS_NOMEM;
    for (int64_t k = 0; k < s->n_layers; k++) s->first_use[k] = plan->n_nodes;
    for (int64_t i = 0; i < plan->n_outputs; i++) s->stays[plan->outputs[i].value] = true;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        if (plan->nodes[i].backward) continue;
        for (int j = 0; j < INS_OP_MAX_IN; j++) {
            ins_value v = plan->nodes[i].in[j];
            if (v >= 0 && s->producer[v] != PLAN_NONE && s->layer_of[s->producer[v]] != s->layer_of[i])
                s->stays[v] = true;
        }
    }
    return INS_OK;
}

/* The node to repeat so that v need not be kept, or PLAN_NONE. */
static int32_t repeatable(const layer_state *s, ins_value v) {
    if (v < 0 || s->stays[v] || s->producer[v] == PLAN_NONE) return PLAN_NONE;
    return s->layer_of[s->producer[v]] == PLAN_NONE ? PLAN_NONE : s->producer[v];
}

/* What the backward pass reads, and then, consumers first, what that needs within its layer. */
static void find_wanted(layer_state *s) {
    ins_plan *plan = s->plan;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        if (!plan->nodes[i].backward) continue;
        for (int j = 0; j < INS_OP_MAX_IN; j++) {
            int32_t from = repeatable(s, plan->nodes[i].in[j]);
            if (from == PLAN_NONE) continue;
            s->wanted[from] = true;
            int64_t *first = &s->first_use[s->layer_of[from]];
            if (i < *first) *first = i;
        }
    }
    for (int64_t i = plan->n_nodes - 1; i >= 0; i--) {
        for (int j = 0; s->wanted[i] && j < INS_OP_MAX_IN; j++) {
            int32_t from = repeatable(s, plan->nodes[i].in[j]);
            if (from != PLAN_NONE) s->wanted[from] = true;
        }
    }
}

/* A layer that the backward pass enters before the forward pass has left it cannot wait for its end. */
static bool comes_later(const layer_state *s, int64_t index) {
    return s->first_use[s->layer_of[index]] > index;
}

ins_status ins_plan_recompute_layers(ins_plan *plan, ins_error *err) {
    layer_state s = {.plan = plan};
    INS_TRY(find_layers(&s, err));
    if (s.n_layers == 0) return INS_OK;
    INS_TRY(find_borders(&s, err));
    find_wanted(&s);
    INS_TRY(ins_plan_repeats_begin(&s.repeats, plan, err));
    for (int64_t i = plan->n_nodes - 1; i >= 0; i--)
        if (s.wanted[i] && comes_later(&s, i)) ins_plan_repeat(&s.repeats, plan, i, s.first_use[s.layer_of[i]]);
    return ins_plan_repeats_end(&s.repeats, plan, PLAN_NONE, err);
}
