/* Running a plan. */
#include "graph/executor.h"

#include "base/file.h"
#include "kernel/elementwise.h"
#include "kernel/reduce.h"

#include <string.h>

/* Outputs that nobody bound get memory of their own, which they keep. */
static ins_status give_homes(ins_exec *exec, ins_error *err) {
    const ins_plan *plan = exec->plan;
    size_t bytes = 0;
    for (int64_t i = 0; i < plan->n_storages; i++)
        if (!exec->memory[i] && plan->storages[i].where == PLAN_OUTPUT)
            bytes += ins_plan_padded(plan->storages[i].bytes);
    exec_block *block = ins_arena_alloc(exec->lists, sizeof *block);
    if (!block) return INS_FAIL(err, INS_NOMEM, "no memory for an executor");
    INS_TRY(ins_pages_alloc(bytes, true, &block->data, err));
    block->bytes = bytes;
    block->next = exec->blocks;
    exec->blocks = block;
    char *at = block->data;
    for (int64_t i = 0; i < plan->n_storages; i++) {
        if (exec->memory[i] || plan->storages[i].where != PLAN_OUTPUT) continue;
        exec->homes[i] = at;
        ins_exec_place(exec, i, at);
        at += ins_plan_padded(plan->storages[i].bytes);
    }
    return INS_OK;
}

/* A leaf must be bound. */
static ins_status complete_bindings(ins_exec *exec, ins_error *err) {
    const ins_plan *plan = exec->plan;
    for (int64_t i = 0; i < plan->n_storages; i++) {
        if (exec->memory[i] || plan->storages[i].where != PLAN_LEAF) continue;
        ins_status status = INS_FAIL(err, INS_USAGE, "'%s' is not bound to memory", plan->storages[i].name);
        ins_error_hint(err, "call ins_exec_bind for each input and parameter before the first run");
        return status;
    }
    return give_homes(exec, err);
}

static void copy(const ins_exec *exec, const exec_copy *c) {
    if (c->bytes && exec->memory[c->from] != exec->memory[c->to])
        ins_copy_bytes(c->bytes, exec->memory[c->from], exec->memory[c->to], exec->pool);
}

static bool is_finite(const ins_type *type, const void *data, ins_pool *pool) {
    bool checkable = type->dtype == INS_DTYPE_F32 || type->dtype == INS_DTYPE_F64 || type->dtype == INS_DTYPE_BF16;
    return !checkable || ins_reduce_all_finite(type->dtype, ins_type_count(type), data, pool);
}

static ins_status check_leaves(const ins_exec *exec, ins_error *err) {
    const ins_plan *plan = exec->plan;
    for (int64_t i = 0; i < plan->n_storages; i++) {
        if (plan->storages[i].where != PLAN_LEAF) continue;
        const ins_type *type = ins_graph_type(plan->g, plan->storages[i].leaf);
        if (is_finite(type, exec->memory[i], exec->pool)) continue;
        return INS_FAIL(err, INS_NUMERIC, "'%s' holds a number that is not finite before the run",
                        plan->storages[i].name);
    }
    return INS_OK;
}

static ins_status check_step(const ins_exec *exec, const exec_step *step, ins_error *err) {
    const ins_op_sig *sig = step->node->sig;
    for (int j = 0; j < sig->n_out; j++) {
        if (!step->call.out[j] || is_finite(&sig->out[j], step->call.out[j], exec->pool)) continue;
        char type[96], word[48];
        ins_status status =
            INS_FAIL(err, INS_NUMERIC, "op %s made a number that is not finite in its output '%s' %s%s%s",
                     sig->op->head.name, ins_graph_word(sig->op->out_names, j, word),
                     ins_type_format(&sig->out[j], type), step->node->scope[0] ? ", in " : "", step->node->scope);
        ins_error_hint(err, "its inputs were finite: look for a learning rate that is too high, or bad data");
        return status;
    }
    return INS_OK;
}

static ins_status run_step(ins_exec *exec, exec_step *step, ins_error *err) {
    if (step->before.from != PLAN_NONE) copy(exec, &step->before);
    ins_status status = step->node->sig->op->run(&step->call, err);
    if (status != INS_OK)
        ins_error_frame(err, "op %s%s%s", step->node->sig->op->head.name, step->node->scope[0] ? " in " : "",
                        step->node->scope);
    return status;
}

static ins_status run_steps(ins_exec *exec, bool checked, ins_error *err) {
    if (checked) INS_TRY(check_leaves(exec, err));
    int64_t told = 0;
    for (int64_t i = 0; i < exec->n_steps; i++) {
        exec_step *step = &exec->steps[i];
        double start = exec->profile ? ins_now() : 0;
        INS_TRY(run_step(exec, step, err));
        if (exec->profile) step->seconds = ins_now() - start;
        if (checked) INS_TRY(check_step(exec, step, err));
        if (exec->watcher.ready) ins_exec_tell(exec, i, &told);
    }
    for (int64_t i = 0; i < exec->n_copies; i++) copy(exec, &exec->copies[i]);
    if (exec->watcher.ready) ins_exec_tell(exec, exec->n_steps, &told);
    if (exec->profile) exec->profiled = true;
    return INS_OK;
}

/* The pool's workspace, or memory of this executor's own where there is none or another run has it. */
static ins_status take_arena(ins_exec *exec, bool *shared, ins_error *err) {
    const ins_plan *plan = exec->plan;
    ins_workspace *space = ins_pool_workspace(exec->pool);
    void *arena = exec->own_arena;
    ins_status status = INS_OK;
    *shared = false;
    if (!arena && space) status = ins_workspace_take(space, plan->arena_bytes, &arena, err);
    *shared = arena && arena != exec->own_arena;
    if (!arena && status == INS_OK) {
        status = ins_pages_alloc(plan->arena_bytes, true, &exec->own_arena, err);
        arena = exec->own_arena;
    }
    if (status != INS_OK) ins_error_hint(err, "%s", ins_exec_memory_hint);
    if (status != INS_OK || arena == exec->arena) return status;
    exec->arena = arena;
    for (int64_t i = 0; i < plan->n_storages; i++)
        if (plan->storages[i].where == PLAN_ARENA) ins_exec_place(exec, i, (char *)arena + plan->storages[i].offset);
    return INS_OK;
}

ins_status ins_exec_run_steps(ins_exec *exec, bool checked, ins_error *err) {
    bool shared = false;
    if (exec->n_unbound) INS_TRY(complete_bindings(exec, err));
    if (exec->plan->arena_bytes) INS_TRY(take_arena(exec, &shared, err));
    ins_status status = run_steps(exec, checked, err);
    if (shared) ins_workspace_give(ins_pool_workspace(exec->pool));
    return status;
}

ins_status ins_exec_run(ins_exec *exec, ins_error *err) {
    return ins_exec_run_steps(exec, false, err);
}
ins_status ins_exec_run_checked(ins_exec *exec, ins_error *err) {
    return ins_exec_run_steps(exec, true, err);
}
