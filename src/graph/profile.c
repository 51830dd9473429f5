/* The steps of an executor one by one. */
#include "graph/profile.h"

#include "graph/executor.h"

int64_t ins_exec_n_steps(const ins_exec *exec) {
    return exec->n_steps;
}

ins_exec_step_view ins_exec_step_at(const ins_exec *exec, int64_t i) {
    const exec_step *step = &exec->steps[i];
    return (ins_exec_step_view){&step->call, step->node->scope, step->seconds};
}
