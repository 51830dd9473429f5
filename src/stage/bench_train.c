/* Training speed on fixed configurations: see bench_train.h. */
#include "stage/bench_train.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernel/probe_machine.h"
#include "objective/train_graph.h"
#include "optim/optim.h"

typedef struct bench_config {
    char name;
    int64_t layers, width, heads, vocab, positions, rows, cols;
} bench_config;
static const bench_config configs[] = {
    {'A', 12, 768, 12, 50304, 1024, 4, 64},
    {'B', 12, 768, 12, 50304, 1024, 4, 256},
    {'C', 6, 384, 6, 8192, 256, 8, 256},
    {'D', 4, 256, 4, 4096, 256, 16, 256},
};

typedef struct bench_run {
    const bench_config *config;
    ins_arena *arena;
    ins_model *model;
    ins_opt_component objective, optimizer;
    float *weights, *grads, **slots;
    ins_batch *batch;
    ins_train_graph *graph;
    double *ms;
} bench_run;

static ins_status parse_component(bench_run *b, const ins_family *family, const char *text, ins_opt_component *out,
                                  ins_error *err) {
    ins_diag diag = {0};
    ins_pos nowhere = {0};
    bool fine = ins_component_parse(family, NULL, text, NULL, nowhere, b->arena, out, &diag);
    ins_diag_free(&diag);
    return fine && out->desc ? INS_OK : INS_FAIL(err, INS_BUG, "bench: component %s", text);
}

static bool put_int(bench_run *b, ins_node *map, const char *key, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return ins_node_put(b->arena, map, key, ins_node_scalar(b->arena, text, false, (ins_pos){0}));
}

static ins_status make_model(bench_run *b, ins_error *err) {
    const bench_config *c = b->config;
    ins_node *map = ins_node_new(b->arena, INS_NODE_MAP, (ins_pos){0});
    bool fine = map && ins_node_put(b->arena, map, "preset", ins_node_scalar(b->arena, "gpt2", false, (ins_pos){0})) &&
                put_int(b, map, "layers", c->layers) && put_int(b, map, "width", c->width) &&
                put_int(b, map, "heads", c->heads) && put_int(b, map, "vocab", c->vocab) &&
                put_int(b, map, "max_positions", c->positions) && put_int(b, map, "dropout", 0);
    ins_diag diag = {0};
    ins_model_options options;
    if (fine) fine = ins_model_options_parse(map, c->vocab, &options, b->arena, &diag);
    if (!fine && err && diag.n > 0) *err = diag.items[0];
    ins_diag_free(&diag);
    if (!fine) return INS_BUG;
    return ins_model_new(&options, &b->model, err);
}

static ins_status fill_batch(bench_run *b, ins_error *err) {
    const bench_config *c = b->config;
    INS_TRY(ins_batch_new(c->rows, c->cols, &b->batch, err));
    ins_rng rng = ins_rng_start(ins_rng_derive(1, "bench", 0), 0);
    for (int64_t i = 0; i < c->rows * c->cols; i++) {
        b->batch->ids[i] = (int32_t)ins_rng_below(&rng, (uint64_t)c->vocab);
        b->batch->targets[i] = (int32_t)ins_rng_below(&rng, (uint64_t)c->vocab);
        b->batch->weights[i] = 1;
        b->batch->positions[i] = (int32_t)(i % c->cols);
        b->batch->segments[i] = 1;
    }
    b->batch->n_targets = b->batch->n_tokens = c->rows * c->cols;
    ins_batch_spans(b->batch, INS_SPAN_CAUSAL, true);
    return INS_OK;
}

static ins_status make_run(bench_run *b, ins_dtype dtype, int64_t steps, ins_pool *pool, ins_error *err) {
    b->arena = ins_arena_new(0);
    b->ms = ins_calloc((size_t)steps, sizeof *b->ms);
    if (!b->arena || !b->ms) return INS_FAIL(err, INS_NOMEM, "no memory for the benchmark");
    INS_TRY(parse_component(b, &ins_family_objective, "clm", &b->objective, err));
    INS_TRY(parse_component(b, &ins_family_optimizer, "adamw", &b->optimizer, err));
    INS_TRY(make_model(b, err));
    const ins_params *params = ins_model_params(b->model);
    const ins_optimizer *optimizer = (const ins_optimizer *)b->optimizer.desc;
    INS_TRY(ins_slab_new(params, &b->weights, err));
    INS_TRY(ins_slab_new(params, &b->grads, err));
    b->slots = ins_calloc((size_t)optimizer->n_slots, sizeof *b->slots);
    if (!b->slots) return INS_FAIL(err, INS_NOMEM, "no memory for the benchmark");
    for (int i = 0; i < optimizer->n_slots; i++) INS_TRY(ins_slab_new(params, &b->slots[i], err));
    INS_TRY(ins_model_init(b->model, 1, b->weights, pool, err));
    INS_TRY(fill_batch(b, err));
    ins_train_graph_config config = {.model = b->model,
                                     .objective = &b->objective,
                                     .compute = dtype,
                                     .n_rows = b->config->rows,
                                     .n_cols = b->config->cols,
                                     .weights = b->weights,
                                     .grads = b->grads,
                                     .pool = pool};
    return ins_train_graph_new(&config, &b->graph, err);
}

static void free_run(bench_run *b) {
    ins_train_graph_free(b->graph);
    ins_batch_free(b->batch);
    if (b->model) {
        const ins_params *params = ins_model_params(b->model);
        const ins_optimizer *optimizer = (const ins_optimizer *)b->optimizer.desc;
        for (int i = 0; b->slots && i < optimizer->n_slots; i++) ins_slab_free(params, b->slots[i]);
        ins_slab_free(params, b->weights);
        ins_slab_free(params, b->grads);
    }
    ins_free(b->slots);
    ins_free(b->ms);
    ins_model_free(b->model);
    ins_arena_free(b->arena);
}

static ins_status one_step(bench_run *b, int64_t step, ins_pool *pool, double *ms, ins_error *err) {
    double started = ins_now();
    INS_TRY(ins_train_graph_run(b->graph, b->batch, 1.0 / (double)b->batch->n_targets, NULL, false, NULL, err));
    ins_update update = {.params = ins_model_params(b->model),
                         .weights = b->weights,
                         .grads = b->grads,
                         .slots = b->slots,
                         .lr = 1e-4,
                         .grad_scale = 1,
                         .step = step + 1,
                         .pool = pool};
    ((const ins_optimizer *)b->optimizer.desc)->update(b->optimizer.options, &update);
    *ms = 1e3 * (ins_now() - started);
    return INS_OK;
}

static int compare_doubles(const void *x, const void *y) {
    double left = *(const double *)x, right = *(const double *)y;
    return left < right ? -1 : left > right;
}

/* P: FLOP = 6 (12 L C^2 + V C) tokens + 12 L C T tokens (attention in full); bytes as in bench_train.h. */
static void fill_bound(const bench_config *c, ins_bench_result *out) {
    double tokens = (double)(c->rows * c->cols), width = (double)c->width, layers = (double)c->layers;
    double matmul = 6 * (12 * layers * width * width + (double)c->vocab * width) * tokens;
    double attention = 12 * layers * width * (double)c->cols * tokens;
    double n_params = 12 * layers * width * width + ((double)c->vocab + (double)c->positions) * width;
    double element = out->dtype == INS_DTYPE_BF16 ? 2 : 4;
    double activations = 2 * element * (32 * width * layers + 5 * (double)c->vocab) * tokens;
    double bytes = (out->dtype == INS_DTYPE_BF16 ? 30 : 28) * n_params + activations;
    out->bound_ms = 1e3 * ((matmul + attention) / (out->peak_gflops * 1e9) + bytes / (out->update_gbs * 1e9));
    out->ratio = out->ms_median / out->bound_ms;
    out->gflops = (matmul + attention) / (out->ms_median * 1e6);
    out->tokens_per_s = tokens / (out->ms_median * 1e-3);
}

static ins_status measure(bench_run *b, int64_t steps, ins_pool *pool, ins_str *profile, ins_bench_result *out,
                          ins_error *err) {
    double warm = 0;
    INS_TRY(one_step(b, 0, pool, &out->first_step_ms, err));
    INS_TRY(one_step(b, 1, pool, &warm, err));
    uint64_t before = ins_mem_get_stats().n_allocs;
    for (int64_t i = 0; i < steps; i++) INS_TRY(one_step(b, i + 2, pool, &b->ms[i], err));
    out->steady_allocs = ins_mem_get_stats().n_allocs - before;
    if (profile) {
        ins_exec_profile(ins_train_graph_exec(b->graph), true);
        INS_TRY(one_step(b, steps + 2, pool, &warm, err));
        ins_exec_profile_dump(ins_train_graph_exec(b->graph), profile);
    }
    qsort(b->ms, (size_t)steps, sizeof *b->ms, compare_doubles);
    out->ms_min = b->ms[0];
    out->ms_median = b->ms[steps / 2];
    out->ms_max = b->ms[steps - 1];
    return INS_OK;
}

ins_status ins_bench_train(char config, ins_dtype dtype, int64_t steps, ins_pool *pool, ins_str *profile,
                           ins_bench_result *out, ins_error *err) {
    bench_run b = {0};
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        if (configs[i].name == config) b.config = &configs[i];
    }
    if (!b.config || steps < 1) {
        INS_FAIL(err, INS_USAGE, "benchmark configuration '%c', %lld steps", config, (long long)steps);
        ins_error_hint(err, "configurations are A, B, C and D; at least one step");
        return INS_USAGE;
    }
    *out = (ins_bench_result){.config = config, .dtype = dtype, .steps = steps};
    double peak = ins_probe_flops(dtype, pool), read = ins_probe_read_bandwidth(pool),
           update = ins_probe_update_bandwidth(pool);
    ins_status status = make_run(&b, dtype, steps, pool, err);
    if (status == INS_OK) status = measure(&b, steps, pool, profile, out, err);
    if (status == INS_OK) {
        out->peak_gflops = (peak + ins_probe_flops(dtype, pool)) / 2e9;
        out->read_gbs = (read + ins_probe_read_bandwidth(pool)) / 2e9;
        out->update_gbs = (update + ins_probe_update_bandwidth(pool)) / 2e9;
        out->arena_bytes = (int64_t)ins_plan_arena_bytes(ins_train_graph_plan(b.graph));
        struct rusage usage;
        if (getrusage(RUSAGE_SELF, &usage) == 0) out->peak_rss_bytes = (int64_t)usage.ru_maxrss * 1024;
        fill_bound(b.config, out);
    }
    free_run(&b);
    return status;
}
