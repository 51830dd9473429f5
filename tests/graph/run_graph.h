/* Plan and run a graph in one call, for tests. */
#ifndef INS_TESTS_GRAPH_RUN_GRAPH_H
#define INS_TESTS_GRAPH_RUN_GRAPH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct built {
    ins_plan *plan;
    ins_exec *exec;
    ins_pool *pool;
} built;

static inline void must(ins_status status, const ins_error *err, const char *what) {
    if (status == INS_OK) return;
    char text[2048];
    ins_error_format(err, text, sizeof text);
    fprintf(stderr, "%s: %s\n", what, text);
    fail();
}

static inline built build_with(const ins_graph *g, ins_plan_options options, int n_threads) {
    built b = {0};
    ins_error err = {0};
    if (n_threads > 1) must(ins_pool_new(n_threads, &b.pool, &err), &err, "pool");
    must(ins_plan_new(g, &options, n_threads, &b.plan, &err), &err, "plan");
    must(ins_exec_new(b.plan, b.pool, &b.exec, &err), &err, "exec");
    return b;
}

static inline built build_exec(const ins_graph *g, bool fuse, bool reuse, int n_threads) {
    return build_with(g, (ins_plan_options){.no_fusion = !fuse, .no_reuse = !reuse}, n_threads);
}

static inline void run_exec(const built *b) {
    ins_error err = {0};
    must(ins_exec_run(b->exec, &err), &err, "run");
}

static inline void free_exec(built *b) {
    ins_exec_free(b->exec);
    ins_plan_free(b->plan);
    ins_pool_free(b->pool);
}

#endif
