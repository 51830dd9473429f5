/* Which values share memory: storages.
 *
 * A storage is needed from the step that first writes it to the last step that reads any of its values. Leaves and
 * outputs have memory of their own; a leaf, or a value with several names, reaches its output by a copy at the end.
 */
#include "graph/planner.h"

typedef struct assign_state {
    ins_plan *plan;
    ins_value *class_of;
    int64_t *last_read; /* by class: last step that reads it; n_nodes = kept to the end */
    int64_t cap_storages;
} assign_state;

static ins_status read_lifetimes(assign_state *s, ins_error *err) {
    ins_plan *plan = s->plan;
    s->class_of = ins_plan_classes(plan, err);
    s->last_read = ins_plan_work(plan, plan->n_values, sizeof *s->last_read, err);
    if (!s->class_of || !s->last_read) return INS_NOMEM;
    for (int64_t v = 0; v < plan->n_values; v++) s->last_read[v] = -1;
    for (int64_t i = 0; i < plan->n_nodes; i++)
        for (int j = 0; j < INS_OP_MAX_IN && !ins_plan_is_view(&plan->nodes[i]); j++)
            if (plan->nodes[i].in[j] >= 0) s->last_read[s->class_of[plan->nodes[i].in[j]]] = i;
    for (int64_t i = 0; i < plan->n_outputs; i++) s->last_read[s->class_of[plan->outputs[i].value]] = plan->n_nodes;
    return INS_OK;
}

static int32_t new_storage(assign_state *s, plan_where where, size_t bytes, int64_t first, int64_t last) {
    ins_plan *plan = s->plan;
    plan->storages[plan->n_storages] =
        (plan_storage){.where = where, .leaf = INS_NO_VALUE, .bytes = bytes, .first = first, .last = last};
    return (int32_t)plan->n_storages++;
}

static void assign_leaves(assign_state *s) {
    ins_plan *plan = s->plan;
    for (int64_t i = 0; i < plan->g->n_names; i++) {
        const graph_name *name = &plan->g->names[i];
        if (name->kind > GRAPH_PARAM || name->value >= plan->n_graph_values || s->last_read[name->value] < 0) continue;
        int32_t storage =
            new_storage(s, PLAN_LEAF, ins_type_bytes(plan->g->values[name->value].type), 0, plan->n_nodes);
        plan->storages[storage].leaf = name->value;
        plan->storages[storage].name = name->text;
        plan->storage_of[name->value] = storage;
    }
}

/* May the node at step `at` write over input `input`? Its memory must be ours and dead after this step, and no other
 * input of the node may see it. */
static bool may_overwrite(const assign_state *s, int64_t at, int input, const ins_type *out) {
    const ins_plan *plan = s->plan;
    const plan_node *node = &plan->nodes[at];
    if (!plan->reuse || node->in[input] < 0) return false;
    int32_t storage = plan->storage_of[node->in[input]];
    const plan_storage *memory = &plan->storages[storage];
    if (memory->where != PLAN_ARENA || memory->last != at || memory->bytes != ins_type_bytes(out)) return false;
    for (int j = 0; j < INS_OP_MAX_IN; j++)
        if (j != input && node->in[j] >= 0 && plan->storage_of[node->in[j]] == storage) return false;
    return true;
}

/* Storage of output `j` of the node at step `at`. */
static int32_t output_storage(assign_state *s, int64_t at, int j) {
    ins_plan *plan = s->plan;
    plan_node *node = &plan->nodes[at];
    const ins_op *op = node->sig->op;
    int64_t last = s->last_read[s->class_of[node->out0 + j]];
    if (last < 0 && j > 0) return PLAN_NONE; /* nobody reads it: the op is told so by a NULL pointer */
    if (last < at) last = at;                /* written, never read */
    bool accumulates = (op->flags & INS_OP_ACCUMULATE) && j == op->acc_out && node->in[op->acc_in] >= 0;
    int over = accumulates ? op->acc_in : (op->flags & INS_OP_INPLACE) && j == 0 ? 0 : PLAN_NONE;
    if (over != PLAN_NONE && may_overwrite(s, at, over, &node->sig->out[j])) {
        int32_t storage = plan->storage_of[node->in[over]];
        plan->storages[storage].last = last;
        return storage;
    }
    if (accumulates) node->acc_from = plan->storage_of[node->in[over]];
    return new_storage(s, PLAN_ARENA, ins_type_bytes(&node->sig->out[j]), at, last);
}

static ins_status assign_node(assign_state *s, int64_t at, ins_error *err) {
    ins_plan *plan = s->plan;
    plan_node *node = &plan->nodes[at];
    if (ins_plan_is_view(node)) {
        if (ins_type_bytes(node->sig->in[0]) != ins_type_bytes(&node->sig->out[0]))
            return INS_FAIL(err, INS_BUG, "op %s is a view, but its output has another size than its input",
                            node->sig->op->head.name);
        plan->storage_of[node->out0] = plan->storage_of[node->in[0]];
        return INS_OK;
    }
    int32_t storage[INS_OP_MAX_OUT];
    for (int j = 0; j < node->sig->n_out; j++) storage[j] = output_storage(s, at, j);
    for (int j = 0; j < node->sig->n_out; j++) plan->storage_of[node->out0 + j] = storage[j];
    size_t scratch = node->sig->op->scratch ? node->sig->op->scratch(node->sig, plan->n_threads) : 0;
    if (scratch) node->scratch = new_storage(s, PLAN_ARENA, scratch, at, at);
    return INS_OK;
}

/* The first name of a storage takes it over; leaves and further names are copied at the end. */
static void assign_outputs(assign_state *s) {
    ins_plan *plan = s->plan;
    for (int64_t i = 0; i < plan->n_outputs; i++) {
        plan_output *output = &plan->outputs[i];
        int32_t storage = plan->storage_of[output->value];
        if (plan->storages[storage].where == PLAN_ARENA) {
            plan->storages[storage].where = PLAN_OUTPUT;
        } else {
            output->copy_from = storage;
            storage = new_storage(s, PLAN_OUTPUT, plan->storages[storage].bytes, plan->n_nodes, plan->n_nodes);
        }
        plan->storages[storage].name = plan->g->names[output->name].text;
        output->storage = storage;
    }
}

/* Views take no step. */
static ins_status drop_views(ins_plan *plan, ins_error *err) {
    bool *drop = ins_plan_work(plan, plan->n_nodes, sizeof *drop, err);
    int64_t *place = ins_plan_work(plan, plan->n_nodes, sizeof *place, err);
    if (!drop || !place) return INS_NOMEM;
    int64_t n = 0;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        drop[i] = ins_plan_is_view(&plan->nodes[i]);
        place[i] = n;
        n += !drop[i];
    }
    place[plan->n_nodes] = n;
    for (int64_t i = 0; i < plan->n_storages; i++) { /* both ends are steps that run */
        plan->storages[i].first = place[plan->storages[i].first];
        plan->storages[i].last = place[plan->storages[i].last];
    }
    ins_plan_compact(plan, drop);
    return INS_OK;
}

ins_status ins_plan_assign(ins_plan *plan, ins_error *err) {
    assign_state s = {.plan = plan};
    INS_TRY(read_lifetimes(&s, err));
    plan->class_of = ins_arena_alloc(plan->arena, (size_t)(plan->n_values + 1) * sizeof *plan->class_of);
    int64_t most = plan->g->n_names + plan->n_outputs;
    for (int64_t i = 0; i < plan->n_nodes; i++) most += plan->nodes[i].sig->n_out + 1;
    plan->storages = ins_arena_alloc(plan->arena, (size_t)(most + 1) * sizeof *plan->storages);
    plan->storage_of = ins_arena_alloc(plan->arena, (size_t)(plan->n_values + 1) * sizeof *plan->storage_of);
    if (!plan->storages || !plan->storage_of || !plan->class_of)
        return INS_FAIL(err, INS_NOMEM, "no memory to plan the memory");
    for (int64_t v = 0; v < plan->n_values; v++) {
        plan->storage_of[v] = PLAN_NONE;
        plan->class_of[v] = s.class_of[v];
    }
    assign_leaves(&s);
    for (int64_t i = 0; i < plan->n_nodes; i++) INS_TRY(assign_node(&s, i, err));
    assign_outputs(&s);
    return drop_views(plan, err);
}
