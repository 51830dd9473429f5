/* The steps of an executor one by one, for benchmarks. */
#ifndef INS_GRAPH_PROFILE_H
#define INS_GRAPH_PROFILE_H

#include "graph/graph.h"

typedef struct ins_exec_step_view {
    const ins_op_call *call; /* types, and pointers that are valid until memory is bound anew */
    const char *scope;       /* "layers.3" */
    double seconds;          /* of the last profiled run */
} ins_exec_step_view;

int64_t ins_exec_n_steps(const ins_exec *exec);
/* i-th step in the order of execution, 0 <= i < ins_exec_n_steps. */
ins_exec_step_view ins_exec_step_at(const ins_exec *exec, int64_t i);

#endif
