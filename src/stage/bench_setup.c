/* The models that benchmarks train: see bench_setup.h. */
#include "stage/bench_setup.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "format/yaml.h"
#include "stage/trainer_internal.h"

static const ins_bench_shape shapes[] = {
    {"gpt2", 'A', "{preset: gpt2, layers: 12, width: 768, heads: 12, vocab: 50304, max_positions: 1024, dropout: 0}",
     50304, 4, 64, 12 * 32 * 768},
    {"gpt2", 'B', "{preset: gpt2, layers: 12, width: 768, heads: 12, vocab: 50304, max_positions: 1024, dropout: 0}",
     50304, 4, 256, 12 * 32 * 768},
    {"gpt2", 'C', "{preset: gpt2, layers: 6, width: 384, heads: 6, vocab: 8192, max_positions: 256, dropout: 0}", 8192,
     8, 256, 6 * 32 * 384},
    {"gpt2", 'D', "{preset: gpt2, layers: 4, width: 256, heads: 4, vocab: 4096, max_positions: 256, dropout: 0}", 4096,
     16, 256, 4 * 32 * 256},
    {"llama", 0,
     "{preset: llama, layers: 12, width: 768, heads: 12, ff: 2048, vocab: 50304, tied: true, max_positions: 256, "
     "dropout: 0}",
     50304, 1, 256, 12 * 32 * 768},
    /* Saved of a layer: gates, cell and output; the window, and each layer before and after its function. */
    {"lstm", 0, "{preset: lstm, layers: 2, width: 256, vocab: 4096}", 4096, 16, 256, 256 + 2 * 6 * 256},
    {"mlp", 0, "{preset: mlp, layers: 2, width: 64, hidden: 512, window: 8, vocab: 4096}", 4096, 16, 256,
     64 + 8 * 64 + 2 * 2 * 512},
};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

ins_status ins_bench_shape_find(const char *model, char config, const ins_bench_shape **out, ins_error *err) {
    if (!model) model = "gpt2";
    for (int i = 0; i < N_SHAPES; i++) {
        const ins_bench_shape *shape = &shapes[i];
        char wanted = strcmp(model, "gpt2") == 0 && !config ? 'D' : config;
        if (strcmp(shape->model, model) != 0 || shape->config != wanted) continue;
        *out = shape;
        return INS_OK;
    }
    ins_str known = {0};
    for (int i = 0; i < N_SHAPES; i++)
        if (i == 0 || strcmp(shapes[i].model, shapes[i - 1].model) != 0)
            ins_str_printf(&known, "%s%s", i ? ", " : "", shapes[i].model);
    INS_FAIL(err, INS_USAGE, "there is no benchmark of model '%s'%s%.1s", model, config ? " with configuration " : "",
             config ? &config : "");
    ins_error_hint(err, "models are %s; gpt2 has configurations A, B, C and D, the others one shape",
                   known.data ? known.data : "gpt2");
    ins_str_free(&known);
    return INS_USAGE;
}

static ins_status parse_component(ins_bench_run *run, const ins_family *family, const char *text,
                                  ins_opt_component *out, ins_error *err) {
    ins_diag diag = {0};
    ins_node *node = NULL;
    INS_TRY(ins_yaml_read_text(text, strlen(text), "benchmark", run->arena, &node, err));
    bool fine = ins_component_parse(family, node, NULL, NULL, (ins_pos){0}, run->arena, out, &diag);
    ins_diag_free(&diag);
    return fine && out->desc ? INS_OK : INS_FAIL(err, INS_BUG, "bench: component %s", text);
}

static ins_status make_model(ins_bench_run *run, ins_error *err) {
    const char *values = run->shape->values;
    ins_node *node = NULL;
    ins_diag diag = {0};
    ins_model_options options;
    INS_TRY(ins_yaml_read_text(values, strlen(values), "benchmark", run->arena, &node, err));
    bool fine = ins_model_options_parse(node, run->shape->vocab, &options, run->arena, &diag);
    if (!fine && err && diag.n > 0) *err = diag.items[0];
    ins_diag_free(&diag);
    if (!fine) return err && err->status != INS_OK ? err->status : INS_BUG;
    return ins_model_new(&options, &run->model, err);
}

static ins_status fill_batch(ins_bench_run *run, ins_error *err) {
    const ins_bench_shape *shape = run->shape;
    int64_t size = ins_comm_size(run->comm), rank = ins_comm_rank(run->comm);
    int64_t first = shape->rows * rank / size, rows = shape->rows * (rank + 1) / size - first;
    if (rows < 1) {
        INS_FAIL(err, INS_USAGE, "a step of this benchmark has %lld rows: too few for %lld ranks",
                 (long long)shape->rows, (long long)size);
        ins_error_hint(err, "start no more than %lld processes", (long long)shape->rows);
        return INS_USAGE;
    }
    INS_TRY(ins_batch_new(rows, shape->cols, &run->batch, err));
    ins_rng rng = ins_rng_start(ins_rng_derive(1, "bench", (uint64_t)rank), 0);
    for (int64_t i = 0; i < rows * shape->cols; i++) {
        run->batch->ids[i] = (int32_t)ins_rng_below(&rng, (uint64_t)shape->vocab);
        run->batch->targets[i] = (int32_t)ins_rng_below(&rng, (uint64_t)shape->vocab);
        run->batch->weights[i] = 1;
        run->batch->positions[i] = (int32_t)(i % shape->cols);
        run->batch->segments[i] = 1;
    }
    run->batch->n_targets = run->batch->n_tokens = rows * shape->cols;
    ins_batch_spans(run->batch, INS_SPAN_CAUSAL, true);
    return INS_OK;
}

static ins_status make_slabs(ins_bench_run *run, ins_error *err) {
    const ins_params *params = ins_model_params(run->model);
    const ins_optimizer *optimizer = (const ins_optimizer *)run->optimizer.desc;
    INS_TRY(ins_slab_new(params, &run->weights, err));
    INS_TRY(ins_slab_new(params, &run->grads, err));
    if (run->dtype == INS_DTYPE_BF16) INS_TRY(ins_bf16_slab_new(params, &run->weights_bf16, err));
    run->slots = ins_calloc((size_t)optimizer->n_slots + 1, sizeof *run->slots);
    if (!run->slots) return INS_FAIL(err, INS_NOMEM, "no memory for the benchmark");
    for (int i = 0; i < optimizer->n_slots; i++) INS_TRY(ins_slab_new(params, &run->slots[i], err));
    return INS_OK;
}

static void gradient_ready(void *arg, int64_t row) {
    ins_reducer_row(((ins_bench_run *)arg)->reducer, row);
}
static void gradient_tick(void *arg) {
    ins_reducer_tick(((ins_bench_run *)arg)->reducer);
}

static ins_status open_ranks(ins_bench_run *run, ins_error *err) {
    const ins_exec_watcher watcher = {.ready = gradient_ready, .tick = gradient_tick, .arg = run};
    const ins_params *params = ins_model_params(run->model);
    if (ins_comm_size(run->comm) == 1) return INS_OK;
    INS_TRY(ins_reducer_new(run->comm, params, run->grads, run->pool, &run->reducer, err));
    return trainer_watch_rows(ins_train_graph_exec(run->graph), params, &watcher, err);
}

ins_status ins_bench_run_new(const ins_bench_setup *setup, ins_bench_run *out, ins_error *err) {
    const ins_bench_shape *shape = setup->shape;
    ins_pool *pool = setup->pool;
    *out = (ins_bench_run){
        .shape = shape, .dtype = setup->dtype, .pool = pool, .comm = setup->comm, .arena = ins_arena_new(0)};
    if (!out->arena) return INS_FAIL(err, INS_NOMEM, "no memory for the benchmark");
    INS_TRY(parse_component(out, &ins_family_objective, "clm", &out->objective, err));
    INS_TRY(parse_component(out, &ins_family_optimizer, "{kind: adamw, beta2: 0.999, weight_decay: 0}", &out->optimizer,
                            err));
    INS_TRY(make_model(out, err));
    INS_TRY(make_slabs(out, err));
    INS_TRY(ins_model_init(out->model, 1, out->weights, pool, err));
    if (out->weights_bf16) ins_bf16_slab_fill(ins_model_params(out->model), out->weights, out->weights_bf16, pool);
    INS_TRY(fill_batch(out, err));
    if (setup->gemm != INS_GEMM_OWN) INS_TRY(ins_gemm_choices_new(setup->gemm, &out->gemm_choices, err));
    ins_train_graph_config config = {.model = out->model,
                                     .objective = &out->objective,
                                     .compute = setup->dtype,
                                     .n_rows = out->batch->n_rows,
                                     .n_cols = shape->cols,
                                     .weights = out->weights,
                                     .weights_bf16 = out->weights_bf16,
                                     .grads = out->grads,
                                     .recompute = setup->recompute,
                                     .gemm_choices = out->gemm_choices,
                                     .pool = pool};
    INS_TRY(ins_train_graph_new(&config, &out->graph, err));
    return open_ranks(out, err);
}

void ins_bench_run_free(ins_bench_run *run) {
    ins_train_graph_free(run->graph);
    ins_reducer_free(run->reducer);
    ins_gemm_choices_free(run->gemm_choices);
    ins_batch_free(run->batch);
    if (run->model) {
        const ins_params *params = ins_model_params(run->model);
        const ins_optimizer *optimizer = (const ins_optimizer *)run->optimizer.desc;
        for (int i = 0; run->slots && i < optimizer->n_slots; i++) ins_slab_free(params, run->slots[i]);
        ins_slab_free(params, run->weights);
        ins_slab_free(params, run->grads);
        ins_bf16_slab_free(params, run->weights_bf16);
    }
    ins_free(run->slots);
    ins_model_free(run->model);
    ins_arena_free(run->arena);
    *run = (ins_bench_run){0};
}

/* Each rank its parts, then all weights to all. */
static ins_status update_parts(ins_bench_run *run, ins_update *update, ins_error *err) {
    const ins_optimizer *optimizer = (const ins_optimizer *)run->optimizer.desc;
    for (int64_t i = 0; i < ins_reducer_n_parts(run->reducer); i++) {
        ins_reducer_part(run->reducer, i, &update->begin, &update->end);
        if (update->end > update->begin) optimizer->update(run->optimizer.options, update);
    }
    INS_TRY(ins_reducer_gather(run->reducer, run->weights, err));
    if (run->weights_bf16) ins_bf16_slab_fill(update->params, run->weights, run->weights_bf16, run->pool);
    return INS_OK;
}

ins_status ins_bench_run_step(ins_bench_run *run, double *ms, ins_error *err) {
    double started = ins_now(), targets = (double)(run->shape->rows * run->shape->cols);
    if (run->reducer) ins_reducer_begin(run->reducer);
    INS_TRY(ins_train_graph_run(run->graph, run->batch, 1.0 / targets, NULL, false, NULL, err));
    if (run->reducer) INS_TRY(ins_reducer_finish(run->reducer, err));
    double ran = ins_now();
    if (run->gemm_choices && run->n_steps == 0) ins_gemm_choices_settle(run->gemm_choices);
    ins_update update = {.params = ins_model_params(run->model),
                         .weights = run->weights,
                         .weights_bf16 = run->reducer ? NULL : run->weights_bf16,
                         .grads = run->grads,
                         .slots = run->slots,
                         .lr = 1e-4,
                         .grad_scale = 1,
                         .step = ++run->n_steps,
                         .pool = run->pool};
    if (run->reducer)
        INS_TRY(update_parts(run, &update, err));
    else
        ((const ins_optimizer *)run->optimizer.desc)->update(run->optimizer.options, &update);
    double ended = ins_now();
    run->update_seconds = ended - ran;
    *ms = 1e3 * (ended - started);
    return INS_OK;
}

ins_bench_work ins_bench_run_work(const ins_bench_run *run) {
    const ins_bench_shape *shape = run->shape;
    ins_bench_work work = {.n_params = ins_model_params(run->model)->n_elements, .tokens = shape->rows * shape->cols};
    bool bf16 = run->dtype == INS_DTYPE_BF16;
    /* 5 V: the logits, made and read in forward and backward. */
    double elements = (shape->saved + 5 * (double)shape->vocab) * (double)work.tokens;
    work.flop = 3 * ins_model_flops_per_token(run->model, shape->cols) * (double)work.tokens;
    work.bytes = (bf16 ? 30 : 28) * (double)work.n_params + 2 * (bf16 ? 2 : 4) * elements;
    return work;
}
