/* Inside of the executor: for the files of this room only. */
#ifndef INS_GRAPH_EXECUTOR_H
#define INS_GRAPH_EXECUTOR_H

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
    int64_t n_unbound; /* leaves and outputs without memory */
    void *arena;
    void *output_block; /* outputs that the caller did not bind; made by the first run that needs it */
    bool profile;
    bool profiled; /* the steps hold the seconds of a run */
    ins_arena *lists;
};

/* One run with the wanted extras. */
ins_status ins_exec_run_steps(ins_exec *exec, bool checked, ins_error *err);

#endif
