/* Where the time of a run went, by op. */
#include "graph/executor.h"

#include <stdlib.h>
#include <string.h>

typedef struct op_time {
    const char *name;
    double seconds, flops;
    int64_t calls;
} op_time;

static int slowest_first(const void *left, const void *right) {
    const op_time *x = left, *y = right;
    if (x->seconds != y->seconds) return x->seconds > y->seconds ? -1 : 1;
    return strcmp(x->name, y->name);
}

void ins_exec_profile(ins_exec *exec, bool on) {
    exec->profile = on;
}

static double step_flops(const exec_step *step) {
    const ins_op_sig *sig = step->node->sig;
    if (sig->op->flops) return sig->op->flops(sig);
    double elements = 0;
    for (int j = 0; j < sig->n_out; j++) elements += (double)ins_type_count(&sig->out[j]);
    return elements;
}

void ins_exec_profile_dump(const ins_exec *exec, ins_str *out) {
    if (!exec->profiled) {
        ins_str_puts(out, "no profiled run\n");
        return;
    }
    op_time *ops = ins_calloc((size_t)exec->n_steps + 1, sizeof *ops);
    if (!ops) {
        out->oom = true;
        return;
    }
    int64_t n = 0;
    double total = 0;
    for (int64_t i = 0; i < exec->n_steps; i++) {
        const char *name = exec->steps[i].node->sig->op->head.name;
        int64_t j = 0;
        while (j < n && strcmp(ops[j].name, name) != 0) j++;
        if (j == n) ops[n++].name = name;
        ops[j].seconds += exec->steps[i].seconds;
        ops[j].flops += step_flops(&exec->steps[i]);
        ops[j].calls++;
        total += exec->steps[i].seconds;
    }
    qsort(ops, (size_t)n, sizeof *ops, slowest_first);
    ins_str_printf(out, "%-24s %6s %11s %6s %10s\n", "op", "calls", "seconds", "%", "GFLOP/s");
    for (int64_t i = 0; i < n; i++)
        ins_str_printf(out, "%-24s %6lld %11.6f %6.1f %10.2f\n", ops[i].name, (long long)ops[i].calls, ops[i].seconds,
                       total > 0 ? 100 * ops[i].seconds / total : 0,
                       ops[i].seconds > 0 ? ops[i].flops / ops[i].seconds * 1e-9 : 0);
    ins_str_printf(out, "%-24s %6lld %11.6f %6.1f\n", "all", (long long)exec->n_steps, total, 100.0);
    ins_free(ops);
}
