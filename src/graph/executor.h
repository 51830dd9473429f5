/* Inside of the executor: for the files of this room only. */
#ifndef INS_GRAPH_EXECUTOR_H
#define INS_GRAPH_EXECUTOR_H

#include "base/workspace.h"
#include "graph/planner.h"

typedef struct exec_copy {
    int32_t from, to; /* storages */
    size_t bytes;
} exec_copy;

typedef struct exec_step {
    ins_op_call call;
    const plan_node *node;
    exec_copy before; /* accumulator that could not be shared; from = PLAN_NONE when there is none */
    double seconds;   /* of the last profiled run */
} exec_step;

/* Output `index` of the watcher's list is final after this step. */
typedef struct exec_final {
    int64_t step, index; /* step n_steps: after the copies at the end */
} exec_final;

/* Memory for outputs that nobody had bound at the beginning of a run. */
typedef struct exec_block {
    struct exec_block *next;
    void *data;
    size_t bytes;
} exec_block;

struct ins_exec {
    const ins_plan *plan;
    ins_pool *pool;
    exec_step *steps;
    int64_t n_steps;
    void **memory; /* by storage: where it is now; NULL = not bound */
    void ***slots; /* pointers of calls, grouped by storage: those of storage i are first_slot[i] .. [i + 1] - 1 */
    int64_t *first_slot;
    exec_copy *copies; /* at the end of a run */
    int64_t n_copies;
    int64_t n_unbound;  /* leaves and outputs without memory */
    void *arena;        /* where values that die with the run were in the last one */
    void *own_arena;    /* when it is memory of this executor, not the pool's workspace */
    exec_block *blocks; /* outputs that the caller did not bind */
    void **homes;       /* by storage: place in one of the blocks, or NULL */
    bool profile;
    bool profiled; /* the steps hold the seconds of a run */
    ins_arena *lists;
    ins_exec_watcher watcher;
    exec_final *finals; /* by step */
    int64_t n_finals;
};

/* Tell the watcher what is final after a step. *at: the next entry of finals, 0 when a run begins. */
void ins_exec_tell(const ins_exec *exec, int64_t step, int64_t *at);

extern const char *const ins_exec_memory_hint;

/* Put a storage there, in all calls. */
void ins_exec_place(ins_exec *exec, int64_t storage, void *data);

/* One run with the wanted extras. */
ins_status ins_exec_run_steps(ins_exec *exec, bool checked, ins_error *err);

#endif
