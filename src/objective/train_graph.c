/* One micro-batch of training as a ready executor. */
#include "objective/train_graph.h"

#include <stdio.h>

struct ins_train_graph {
    const ins_model *model;
    ins_graph *graph;
    ins_plan *plan;
    ins_exec *exec;
    float loss_scale;
    int64_t n_rows, n_cols;
};

/* Gradients of every row that is not frozen become outputs "grad.NAME"; rows that the loss does not depend on have
 * none, and their part of the slab stays zero. */
static ins_status add_gradients(ins_graph *g, const ins_params *params, ins_value loss, ins_error *err) {
    ins_value *wrt = ins_calloc((size_t)params->n, sizeof *wrt), *d_wrt = ins_calloc((size_t)params->n, sizeof *d_wrt);
    ins_status status = INS_OK;
    if (!wrt || !d_wrt) status = INS_FAIL(err, INS_NOMEM, "out of memory for the list of gradients");
    int64_t n = 0;
    for (int64_t i = 0; status == INS_OK && i < params->n; i++)
        if (!params->rows[i].frozen) wrt[n++] = ins_graph_find(g, params->rows[i].name);
    if (status == INS_OK) status = ins_graph_gradients(g, loss, wrt, n, d_wrt, err);
    for (int64_t i = 0, at = 0; status == INS_OK && i < params->n; i++) {
        if (params->rows[i].frozen) continue;
        char name[300];
        snprintf(name, sizeof name, "grad.%s", params->rows[i].name);
        if (d_wrt[at] != INS_NO_VALUE) ins_graph_output(g, d_wrt[at], name);
        at++;
    }
    ins_free(wrt);
    ins_free(d_wrt);
    return status == INS_OK ? ins_graph_status(g, err) : status;
}

static ins_status build_graph(const ins_train_graph_config *config, ins_graph *g, ins_error *err) {
    const ins_objective *objective = (const ins_objective *)config->objective->desc;
    bool dropout = config->grads && ins_model_get_options(config->model)->dropout > 0;
    const ins_batch_values batch = ins_batch_declare(g, config->n_rows, config->n_cols, dropout);
    ins_objective_values values = {0};
    INS_TRY(objective->build(config->objective->options, g, config->model, &batch, &values, err));
    ins_graph_output(g, values.loss, "loss");
    ins_graph_output(g, values.nll, "nll");
    ins_graph_output(g, values.correct, "correct");
    if (config->grads) INS_TRY(add_gradients(g, ins_model_params(config->model), values.loss, err));
    return ins_graph_status(g, err);
}

static ins_status bind_gradients(const ins_train_graph_config *config, ins_graph *g, ins_exec *exec, ins_error *err) {
    const ins_params *params = ins_model_params(config->model);
    for (int64_t i = 0; i < params->n; i++) {
        char name[300];
        snprintf(name, sizeof name, "grad.%s", params->rows[i].name);
        if (ins_graph_find(g, name) == INS_NO_VALUE) continue;
        INS_TRY(ins_exec_bind(exec, name, config->grads + params->rows[i].offset, err));
    }
    return INS_OK;
}

#define COPY_SUFFIX "@bf16"

static ins_status bind_copies(const ins_train_graph_config *config, ins_graph *g, ins_exec *exec, ins_error *err) {
    const ins_params *params = ins_model_params(config->model);
    for (int64_t i = 0; i < params->n; i++) {
        char name[300];
        snprintf(name, sizeof name, "%s" COPY_SUFFIX, params->rows[i].name);
        if (ins_graph_find(g, name) == INS_NO_VALUE) continue;
        INS_TRY(ins_exec_bind(exec, name, config->weights_bf16 + params->rows[i].offset, err));
    }
    return INS_OK;
}

static bool has_copies(const ins_train_graph_config *config) {
    return config->weights_bf16 && config->compute == INS_DTYPE_BF16;
}

static ins_status new_graph(const ins_train_graph_config *config, ins_graph **out, ins_error *err) {
    INS_TRY(ins_graph_new(INS_DTYPE_F32, config->compute, out, err));
    INS_TRY(build_graph(config, *out, err));
    return has_copies(config) ? ins_graph_detach_casts(*out, COPY_SUFFIX, err) : INS_OK;
}

static ins_status make_ready(const ins_train_graph_config *config, ins_train_graph *tg, ins_error *err) {
    INS_TRY(new_graph(config, &tg->graph, err));
    const ins_plan_options options = {
        .keep_taps = config->keep_taps, .recompute = config->recompute, .gemm_choices = config->gemm_choices};
    INS_TRY(ins_plan_new(tg->graph, &options, ins_pool_threads(config->pool), &tg->plan, err));
    INS_TRY(ins_exec_new(tg->plan, config->pool, &tg->exec, err));
    INS_TRY(ins_model_bind(config->model, tg->exec, config->weights, err));
    if (has_copies(config)) INS_TRY(bind_copies(config, tg->graph, tg->exec, err));
    return config->grads ? bind_gradients(config, tg->graph, tg->exec, err) : INS_OK;
}

ins_status ins_train_graph_new(const ins_train_graph_config *config, ins_train_graph **out, ins_error *err) {
    ins_train_graph *tg = ins_calloc(1, sizeof *tg);
    if (!tg) return INS_FAIL(err, INS_NOMEM, "out of memory for a training graph");
    tg->model = config->model;
    tg->n_rows = config->n_rows;
    tg->n_cols = config->n_cols;
    ins_status status = make_ready(config, tg, err);
    if (status != INS_OK) {
        ins_train_graph_free(tg);
        return status;
    }
    *out = tg;
    return INS_OK;
}

ins_status ins_train_graph_costs(const ins_train_graph_config *config, ins_train_cost out[INS_RECOMPUTES],
                                 ins_error *err) {
    ins_graph *graph = NULL;
    ins_status status = new_graph(config, &graph, err);
    for (int i = 0; i < INS_RECOMPUTES && status == INS_OK; i++) {
        const ins_plan_options options = {.keep_taps = config->keep_taps, .recompute = (ins_recompute)i};
        ins_plan *plan = NULL;
        status = ins_plan_new(graph, &options, ins_pool_threads(config->pool), &plan, err);
        if (status != INS_OK) break;
        size_t results = (size_t)(2 * config->n_rows * config->n_cols + 1) * sizeof(float); /* loss, nll, correct */
        out[i] = (ins_train_cost){.bytes = ins_plan_arena_bytes(plan) + results,
                                  .matmul_flops = ins_plan_matmul_flops(plan),
                                  .again_flops = ins_plan_again_flops(plan),
                                  .again_bytes = ins_plan_again_bytes(plan)};
        ins_plan_free(plan);
    }
    ins_graph_free(graph);
    return status;
}

void ins_train_graph_free(ins_train_graph *tg) {
    if (!tg) return;
    ins_exec_free(tg->exec);
    ins_plan_free(tg->plan);
    ins_graph_free(tg->graph);
    ins_free(tg);
}

ins_status ins_train_graph_run(ins_train_graph *tg, const ins_batch *batch, double loss_scale, const int32_t *rng_key,
                               bool checked, ins_train_result *out, ins_error *err) {
    if (batch->n_rows != tg->n_rows || batch->n_cols != tg->n_cols)
        return INS_FAIL(err, INS_BUG, "a batch of %lld x %lld for a graph of %lld x %lld", (long long)batch->n_rows,
                        (long long)batch->n_cols, (long long)tg->n_rows, (long long)tg->n_cols);
    tg->loss_scale = (float)loss_scale;
    bool has_key = ins_graph_find(tg->graph, "batch.rng_key") != INS_NO_VALUE;
    INS_TRY(ins_batch_bind(tg->exec, batch, &tg->loss_scale, has_key ? rng_key : NULL, err));
    INS_TRY(checked ? ins_exec_run_checked(tg->exec, err) : ins_exec_run(tg->exec, err));
    if (!out) return INS_OK;
    *out = (ins_train_result){.loss = *(const float *)ins_exec_data(tg->exec, "loss"),
                              .nll = ins_exec_data(tg->exec, "nll"),
                              .correct = ins_exec_data(tg->exec, "correct")};
    return INS_OK;
}

const ins_plan *ins_train_graph_plan(const ins_train_graph *tg) {
    return tg->plan;
}

ins_exec *ins_train_graph_exec(ins_train_graph *tg) {
    return tg->exec;
}

enum { ADD_CHUNK = 1 << 15 };

typedef struct add_task {
    const float *part;
    float *sum;
    int64_t count;
} add_task;

static void add_chunk(void *arg, int64_t task, int thread) {
    (void)thread;
    const add_task *t = arg;
    int64_t begin = task * ADD_CHUNK, end = begin + ADD_CHUNK < t->count ? begin + ADD_CHUNK : t->count;
    for (int64_t i = begin; i < end; i++) t->sum[i] += t->part[i];
}

void ins_grads_add(const ins_params *params, const float *part, float *sum, ins_pool *pool) {
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *row = &params->rows[i];
        if (row->frozen) continue;
        add_task t = {.part = part + row->offset, .sum = sum + row->offset, .count = row->count};
        ins_pool_run(pool, (row->count + ADD_CHUNK - 1) / ADD_CHUNK, add_chunk, &t);
    }
}
