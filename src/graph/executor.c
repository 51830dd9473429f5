/* Memory of a plan: arena, bindings, and the calls that point into them. */
#include "graph/executor.h"

#include <string.h>

/* ---- building ---- */

static void *list(ins_exec *exec, int64_t n, size_t item_size) {
    size_t bytes;
    return ins_mul_size((size_t)(n + 1), item_size, &bytes) ? ins_arena_alloc(exec->lists, bytes) : NULL;
}

/* Call `visit` for each pointer of each call, with its storage. */
typedef void (*slot_fn)(ins_exec *exec, int32_t storage, void **slot);

static void each_slot(ins_exec *exec, slot_fn visit) {
    const ins_plan *plan = exec->plan;
    for (int64_t i = 0; i < exec->n_steps; i++) {
        exec_step *step = &exec->steps[i];
        const plan_node *node = step->node;
        const ins_op *op = node->sig->op;
        for (int j = 0; j < INS_OP_MAX_IN; j++) {
            if (node->in[j] < 0) continue;
            int32_t storage = plan->storage_of[node->in[j]];
            bool is_acc = (op->flags & INS_OP_ACCUMULATE) && j == op->acc_in;
            int32_t total = is_acc ? plan->storage_of[node->out0 + op->acc_out] : PLAN_NONE;
            if (total != PLAN_NONE) storage = total; /* an accumulator is the output's memory */
            visit(exec, storage, (void **)&step->call.in[j]);
        }
        for (int j = 0; j < node->sig->n_out; j++) {
            int32_t storage = plan->storage_of[node->out0 + j];
            if (storage != PLAN_NONE) visit(exec, storage, &step->call.out[j]);
        }
        if (node->scratch != PLAN_NONE) visit(exec, node->scratch, &step->call.scratch);
    }
}

static void count_slot(ins_exec *exec, int32_t storage, void **slot) {
    (void)slot;
    exec->first_slot[storage + 1]++;
}

static void store_slot(ins_exec *exec, int32_t storage, void **slot) {
    exec->slots[exec->first_slot[storage]++] = slot;
}

static bool build_slots(ins_exec *exec) {
    int64_t n = exec->plan->n_storages;
    exec->first_slot = list(exec, n + 1, sizeof *exec->first_slot);
    if (!exec->first_slot) return false;
    each_slot(exec, count_slot);
    for (int64_t i = 0; i < n; i++) exec->first_slot[i + 1] += exec->first_slot[i];
    exec->slots = list(exec, exec->first_slot[n], sizeof *exec->slots);
    if (!exec->slots) return false;
    each_slot(exec, store_slot); /* moves each start to the next one */
    for (int64_t i = n; i > 0; i--) exec->first_slot[i] = exec->first_slot[i - 1];
    exec->first_slot[0] = 0;
    return true;
}

static bool build_steps(ins_exec *exec) {
    const ins_plan *plan = exec->plan;
    exec->n_steps = plan->n_nodes;
    exec->steps = list(exec, plan->n_nodes, sizeof *exec->steps);
    exec->copies = list(exec, plan->n_outputs, sizeof *exec->copies);
    exec->memory = list(exec, plan->n_storages, sizeof *exec->memory);
    exec->homes = list(exec, plan->n_storages, sizeof *exec->homes);
    if (!exec->steps || !exec->copies || !exec->memory || !exec->homes) return false;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        const plan_node *node = &plan->nodes[i];
        exec_step *step = &exec->steps[i];
        step->node = node;
        step->call.sig = node->sig;
        step->call.pool = exec->pool;
        step->call.gemm_choices = plan->gemm_choices;
        step->before.from = node->acc_from;
        if (node->acc_from == PLAN_NONE) continue;
        step->before.to = plan->storage_of[node->out0 + node->sig->op->acc_out];
        step->before.bytes = plan->storages[step->before.to].bytes;
    }
    for (int64_t i = 0; i < plan->n_outputs; i++) {
        const plan_output *output = &plan->outputs[i];
        if (output->copy_from == PLAN_NONE) continue;
        exec->copies[exec->n_copies++] = (exec_copy){
            .from = output->copy_from, .to = output->storage, .bytes = plan->storages[output->storage].bytes};
    }
    return build_slots(exec);
}

void ins_exec_place(ins_exec *exec, int64_t storage, void *data) {
    if (exec->plan->storages[storage].where != PLAN_ARENA)
        exec->n_unbound += (data == NULL) - (exec->memory[storage] == NULL);
    exec->memory[storage] = data;
    for (int64_t i = exec->first_slot[storage]; i < exec->first_slot[storage + 1]; i++) *exec->slots[i] = data;
}

const char *const ins_exec_memory_hint = "use a smaller batch or a shorter sequence, or recompute: layers";

static ins_status build_exec(ins_exec *exec, ins_error *err) {
    const ins_plan *plan = exec->plan;
    exec->lists = ins_arena_new(0);
    if (!exec->lists || !build_steps(exec)) return INS_FAIL(err, INS_NOMEM, "no memory for an executor");
    for (int64_t i = 0; i < plan->n_storages; i++) exec->n_unbound += plan->storages[i].where != PLAN_ARENA;
    ins_status status = ins_workspace_reserve(ins_pool_workspace(exec->pool), plan->arena_bytes, err);
    if (status != INS_OK) ins_error_hint(err, "%s", ins_exec_memory_hint);
    return status;
}

ins_status ins_exec_new(const ins_plan *plan, ins_pool *pool, ins_exec **out, ins_error *err) {
    if (ins_pool_threads(pool) > plan->n_threads)
        return INS_FAIL(err, INS_BUG, "the plan was made for %d threads, but the pool has %d", plan->n_threads,
                        ins_pool_threads(pool));
    ins_exec *exec = ins_calloc(1, sizeof *exec);
    if (!exec) return INS_FAIL(err, INS_NOMEM, "no memory for an executor");
    exec->plan = plan;
    exec->pool = pool;
    ins_workspace_join(ins_pool_workspace(pool));
    ins_status status = build_exec(exec, err);
    if (status != INS_OK) {
        ins_exec_free(exec);
        return status;
    }
    *out = exec;
    return INS_OK;
}

void ins_exec_free(ins_exec *exec) {
    if (!exec) return;
    ins_pages_free(exec->own_arena, exec->plan->arena_bytes);
    for (exec_block *block = exec->blocks; block; block = block->next) ins_pages_free(block->data, block->bytes);
    ins_workspace_leave(ins_pool_workspace(exec->pool));
    ins_arena_free(exec->lists);
    ins_free(exec);
}

/* ---- binding ---- */

/* Storage of a named output or kept tap, or PLAN_NONE. */
static int32_t output_storage(const ins_plan *plan, int64_t name) {
    for (int64_t i = 0; i < plan->n_outputs; i++)
        if (plan->outputs[i].name == name) return plan->outputs[i].storage;
    return PLAN_NONE;
}

static int32_t value_output_storage(const ins_plan *plan, ins_value v) {
    for (int64_t i = 0; i < plan->n_outputs; i++)
        if (plan->g->names[plan->outputs[i].name].value == v) return plan->outputs[i].storage;
    return PLAN_NONE;
}

/* An output may be unbound again: then it lives in the executor's own memory. */
static void bind_storage(ins_exec *exec, int32_t storage, void *data) {
    ins_exec_place(exec, storage, data ? data : exec->homes[storage]);
}

ins_status ins_exec_bind(ins_exec *exec, const char *name, void *data, ins_error *err) {
    const ins_graph *g = exec->plan->g;
    int64_t index = ins_graph_name_find(g, name);
    if (index < 0) {
        ins_status status = INS_FAIL(err, INS_USAGE, "the graph has no input, parameter or output named '%s'", name);
        const char *nearest = ins_graph_name_nearest(g, name);
        if (nearest) ins_error_hint(err, "did you mean '%s'?", nearest);
        return status;
    }
    int32_t storage;
    if (g->names[index].kind <= GRAPH_PARAM) {
        ins_value v = g->names[index].value;
        storage = v < exec->plan->n_graph_values ? exec->plan->storage_of[v] : PLAN_NONE;
        if (storage == PLAN_NONE) return INS_OK; /* a leaf that no output needs */
    } else {
        storage = output_storage(exec->plan, index);
        if (storage == PLAN_NONE) {
            ins_status status = INS_FAIL(err, INS_USAGE, "'%s' is not kept by this plan", name);
            ins_error_hint(err, "add it to keep_taps, or name it as an output before planning");
            return status;
        }
    }
    bind_storage(exec, storage, data);
    return INS_OK;
}

ins_status ins_exec_bind_value(ins_exec *exec, ins_value v, void *data, ins_error *err) {
    if (v == INS_NO_VALUE) return INS_OK;
    const ins_plan *plan = exec->plan;
    if (!ins_graph_has(plan->g, v)) return INS_FAIL(err, INS_USAGE, "value #%d is not in the graph", (int)v);
    int32_t storage;
    if (plan->g->values[v].node < 0) {
        storage = v < plan->n_graph_values ? plan->storage_of[v] : PLAN_NONE;
        if (storage == PLAN_NONE) return INS_OK;
    } else {
        storage = value_output_storage(plan, v);
        if (storage == PLAN_NONE) {
            ins_status status = INS_FAIL(err, INS_USAGE, "value #%d is neither a leaf nor an output", (int)v);
            ins_error_hint(err, "name it with ins_graph_output before planning");
            return status;
        }
    }
    bind_storage(exec, storage, data);
    return INS_OK;
}

const void *ins_exec_data(const ins_exec *exec, const char *name) {
    const ins_plan *plan = exec->plan;
    int64_t index = ins_graph_name_find(plan->g, name);
    if (index < 0) return NULL;
    ins_value v = plan->g->names[index].value;
    int32_t storage = plan->g->names[index].kind > GRAPH_PARAM ? output_storage(plan, index)
                      : v < plan->n_graph_values               ? plan->storage_of[v]
                                                               : PLAN_NONE;
    return storage == PLAN_NONE ? NULL : exec->memory[storage];
}
