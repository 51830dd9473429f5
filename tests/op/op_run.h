/* Running small f64 graphs on named arrays, for value tests. Include after cmocka.h. */
#ifndef INS_TESTS_OP_OP_RUN_H
#define INS_TESTS_OP_OP_RUN_H

#include "op/grad_check.h"

#define RUN_MAX 32

typedef struct op_run {
    ins_graph *g;
    ins_value leaf[RUN_MAX];
    void *data[RUN_MAX];
    bool owned[RUN_MAX]; /* the run frees the data */
    int n;
    ins_plan *plan;
    ins_exec *exec;
} op_run;

static inline op_run run_start(ins_dtype real, ins_dtype compute) {
    op_run r = {0};
    ins_error err = {0};
    grad_must(ins_graph_new(real, compute, &r.g, &err), &err, "graph");
    return r;
}

/* A leaf on the caller's memory. */
static inline ins_value run_leaf(op_run *r, ins_type type, void *data) {
    char name[32];
    snprintf(name, sizeof name, "leaf%d", r->n);
    r->leaf[r->n] = ins_graph_input(r->g, name, type);
    r->data[r->n] = data;
    return r->leaf[r->n++];
}

/* A leaf of N(0,1) numbers in f64; the memory belongs to the run. */
static inline ins_value run_normal(op_run *r, ins_type type) {
    int64_t n = ins_type_count(&type);
    double *data = malloc(((size_t)n + 1) * sizeof *data);
    grad_random(data, n, "leaf", (uint64_t)r->n);
    r->owned[r->n] = true;
    return run_leaf(r, type, data);
}

static inline const double *run_data(const op_run *r, ins_value leaf) {
    for (int i = 0; i < r->n; i++)
        if (r->leaf[i] == leaf) return r->data[i];
    return NULL;
}

static inline void run_go(op_run *r, int n_threads, ins_pool *pool) {
    ins_error err = {0};
    grad_must(ins_graph_status(r->g, &err), &err, "build");
    grad_must(ins_plan_new(r->g, NULL, n_threads, &r->plan, &err), &err, "plan");
    grad_must(ins_exec_new(r->plan, pool, &r->exec, &err), &err, "executor");
    for (int i = 0; i < r->n; i++) grad_must(ins_exec_bind_value(r->exec, r->leaf[i], r->data[i], &err), &err, "bind");
    grad_must(ins_exec_run(r->exec, &err), &err, "run");
}

/* Value of the output named so. */
static inline const double *run_out(const op_run *r, const char *name) {
    const void *data = ins_exec_data(r->exec, name);
    assert_non_null(data);
    return data;
}

static inline void run_end(op_run *r) {
    ins_exec_free(r->exec);
    ins_plan_free(r->plan);
    ins_graph_free(r->g);
    for (int i = 0; i < r->n; i++)
        if (r->owned[i]) free(r->data[i]);
}

static inline void assert_near(const char *what, const double *have, const double *want, int64_t n, double tolerance) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(have[i] - want[i]) <= tolerance * (1 + fabs(want[i]))))
            fail_msg("%s: element %lld is %.12g, not %.12g", what, (long long)i, have[i], want[i]);
}

#endif
