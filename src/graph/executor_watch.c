/* Telling when outputs are final. */
#include "graph/executor.h"

#include <stdlib.h>

/* The last step that writes a storage; n_steps when it is copied to at the end. */
static int64_t last_write(const ins_exec *exec, int32_t storage) {
    const ins_plan *plan = exec->plan;
    for (int64_t i = 0; i < exec->n_copies; i++)
        if (exec->copies[i].to == storage) return exec->n_steps;
    for (int64_t i = exec->n_steps - 1; i >= 0; i--) {
        const plan_node *node = exec->steps[i].node;
        for (int j = 0; j < node->sig->n_out; j++)
            if (plan->storage_of[node->out0 + j] == storage) return i;
    }
    return exec->n_steps;
}

static int32_t storage_of_name(const ins_plan *plan, const char *name) {
    int64_t index = ins_graph_name_find(plan->g, name);
    for (int64_t i = 0; i < plan->n_outputs && index >= 0; i++)
        if (plan->outputs[i].name == index) return plan->outputs[i].storage;
    return PLAN_NONE;
}

static int compare_finals(const void *x, const void *y) {
    const exec_final *left = x, *right = y;
    if (left->step != right->step) return left->step < right->step ? -1 : 1;
    return left->index < right->index ? -1 : left->index > right->index;
}

ins_status ins_exec_watch(ins_exec *exec, const char *const *outputs, int64_t n, const ins_exec_watcher *watcher,
                          ins_error *err) {
    exec->watcher = (ins_exec_watcher){0};
    exec->n_finals = 0;
    if (n == 0) return INS_OK;
    exec->finals = ins_arena_alloc(exec->lists, (size_t)n * sizeof *exec->finals);
    if (!exec->finals) return INS_FAIL(err, INS_NOMEM, "no memory to watch an executor");
    for (int64_t i = 0; i < n; i++) {
        int32_t storage = outputs[i] ? storage_of_name(exec->plan, outputs[i]) : PLAN_NONE;
        if (storage == PLAN_NONE) continue;
        exec->finals[exec->n_finals++] = (exec_final){.step = last_write(exec, storage), .index = i};
    }
    qsort(exec->finals, (size_t)exec->n_finals, sizeof *exec->finals, compare_finals);
    exec->watcher = *watcher;
    return INS_OK;
}

void ins_exec_tell(const ins_exec *exec, int64_t step, int64_t *at) {
    for (; *at < exec->n_finals && exec->finals[*at].step == step; (*at)++)
        exec->watcher.ready(exec->watcher.arg, exec->finals[*at].index);
    if (step < exec->n_steps && exec->watcher.tick) exec->watcher.tick(exec->watcher.arg);
}
