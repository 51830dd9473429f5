/* Gradient checks in f64: the derivative that a graph computes against central differences of its loss.
 *
 *   error of one element = |(loss(x + h) - loss(x - h)) / 2h - gradient| / rms of that leaf's gradient,   h = 1e-5
 *
 * Usable for any scalar loss: ops, objectives, whole models. Include after cmocka.h.
 */
#ifndef INS_TESTS_OP_GRAD_CHECK_H
#define INS_TESTS_OP_GRAD_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "graph/graph.h"

#define GRAD_H         1e-5
#define GRAD_TOLERANCE 1e-6

/* A leaf of the graph and its memory (double for f64 leaves). */
typedef struct grad_leaf {
    ins_value value;
    void *data;
    int64_t n_check; /* elements to check: 0 = a constant, -1 = all, n = n of them, spread evenly */
    double kink;     /* > 0: elements with |x| < 10 h are left out */
} grad_leaf;

typedef struct grad_report {
    double worst;      /* largest error as defined above */
    double rms;        /* of all checked gradients */
    int64_t n_checked; /* elements */
    char where[128];   /* the worst one */
} grad_report;

static inline void grad_must(ins_status status, const ins_error *err, const char *what) {
    if (status == INS_OK) return;
    char text[2048];
    ins_error_format(err, text, sizeof text);
    fail_msg("%s: %s", what, text);
}

typedef struct grad_machine {
    ins_plan *plan;
    ins_exec *exec;
    double loss; /* bound to output "grad_check.loss" */
} grad_machine;

static inline void grad_machine_start(grad_machine *m, const ins_graph *g, const grad_leaf *leaves, int64_t n) {
    ins_error err = {0};
    grad_must(ins_plan_new(g, NULL, 1, &m->plan, &err), &err, "plan");
    grad_must(ins_exec_new(m->plan, NULL, &m->exec, &err), &err, "executor");
    for (int64_t i = 0; i < n; i++)
        grad_must(ins_exec_bind_value(m->exec, leaves[i].value, leaves[i].data, &err), &err, "bind");
    grad_must(ins_exec_bind(m->exec, "grad_check.loss", &m->loss, &err), &err, "bind loss");
}

static inline double grad_machine_loss(grad_machine *m) {
    ins_error err = {0};
    grad_must(ins_exec_run(m->exec, &err), &err, "run");
    return m->loss;
}

static inline void grad_machine_stop(grad_machine *m) {
    ins_exec_free(m->exec);
    ins_plan_free(m->plan);
}

/* Checks one leaf whose computed gradient is d (NULL = zero). */
static inline void grad_check_leaf(grad_machine *m, const grad_leaf *leaf, int64_t index, int64_t n, const double *d,
                                   grad_report *report) {
    double *x = leaf->data, sum = 0;
    for (int64_t i = 0; i < n; i++) sum += d ? d[i] * d[i] : 0;
    double rms = n > 0 ? sqrt(sum / (double)n) : 0;
    int64_t n_check = leaf->n_check < 0 || leaf->n_check > n ? n : leaf->n_check;
    report->rms = fmax(report->rms, rms);
    for (int64_t k = 0; k < n_check; k++) {
        int64_t i = k * n / n_check;
        double kept = x[i];
        if (leaf->kink > 0 && fabs(kept) < 10 * GRAD_H) continue;
        x[i] = kept + GRAD_H;
        double above = grad_machine_loss(m);
        x[i] = kept - GRAD_H;
        double below = grad_machine_loss(m);
        x[i] = kept;
        double numeric = (above - below) / (2 * GRAD_H), computed = d ? d[i] : 0;
        double error = fabs(numeric - computed) / fmax(rms, 1e-4);
        report->n_checked++;
        if (!(error <= report->worst)) { /* also when not a number */
            report->worst = isnan(error) ? INFINITY : error;
            snprintf(report->where, sizeof report->where, "leaf %lld element %lld: computed %.9g, differences %.9g",
                     (long long)index, (long long)i, computed, numeric);
        }
    }
}

/* Adds the gradient of `loss` to g (a fresh graph without a plan), runs it and compares. f64 graphs only. */
static inline grad_report grad_check(ins_graph *g, ins_value loss, const grad_leaf *leaves, int64_t n) {
    ins_error err = {0};
    grad_report report = {0};
    ins_value *wrt = calloc((size_t)n + 1, sizeof *wrt), *d_wrt = calloc((size_t)n + 1, sizeof *d_wrt);
    double **kept = calloc((size_t)n + 1, sizeof *kept);
    int64_t n_wrt = 0;
    grad_must(ins_graph_status(g, &err), &err, "build");
    for (int64_t i = 0; i < n; i++)
        if (leaves[i].n_check != 0) wrt[n_wrt++] = leaves[i].value;
    grad_must(ins_graph_gradients(g, loss, wrt, n_wrt, d_wrt, &err), &err, "gradients");
    ins_graph_output(g, loss, "grad_check.loss");
    for (int64_t i = 0; i < n_wrt; i++) {
        char name[48];
        snprintf(name, sizeof name, "grad_check.d%lld", (long long)i);
        if (d_wrt[i] != INS_NO_VALUE) ins_graph_output(g, d_wrt[i], name);
    }
    grad_must(ins_graph_status(g, &err), &err, "outputs");
    grad_machine m = {0};
    grad_machine_start(&m, g, leaves, n);
    grad_machine_loss(&m);
    for (int64_t i = 0; i < n_wrt; i++) { /* kept apart: the next runs write over the outputs */
        char name[48];
        snprintf(name, sizeof name, "grad_check.d%lld", (long long)i);
        if (d_wrt[i] == INS_NO_VALUE) continue;
        size_t bytes = ins_type_bytes(ins_graph_type(g, d_wrt[i]));
        kept[i] = malloc(bytes + 1);
        memcpy(kept[i], ins_exec_data(m.exec, name), bytes);
    }
    for (int64_t i = 0, w = 0; i < n; i++) {
        if (leaves[i].n_check == 0) continue;
        grad_check_leaf(&m, &leaves[i], i, ins_type_count(ins_graph_type(g, leaves[i].value)), kept[w], &report);
        free(kept[w++]);
    }
    grad_machine_stop(&m);
    free(kept);
    free(wrt);
    free(d_wrt);
    return report;
}

/* N(0, 1) numbers that depend on name and index only. */
static inline void grad_random(double *data, int64_t n, const char *name, uint64_t index) {
    ins_rng rng = ins_rng_start(ins_rng_derive(7, name, index), 0);
    for (int64_t i = 0; i < n; i++) data[i] = ins_rng_normal(&rng);
}

/* sum of r * v with fixed random r: turns any float value into a scalar that sees all its elements. The numbers go into
 * a leaf that is appended to leaves[*n] (constant; free its data). */
static inline ins_value grad_project(ins_graph *g, ins_value v, const char *name, grad_leaf *leaves, int64_t *n) {
    ins_type type = *ins_graph_type(g, v);
    int64_t count = ins_type_count(&type);
    double *numbers = malloc(((size_t)count + 1) * sizeof *numbers);
    grad_random(numbers, count, name, 99);
    ins_value r = ins_graph_input(g, name, type);
    leaves[(*n)++] = (grad_leaf){.value = r, .data = numbers};
    return ins_sum_all(g, ins_mul(g, v, r));
}

#endif
