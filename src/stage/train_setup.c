/* Setting a train stage up: data, model, derived sizes, trainer. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "kernel/probe_machine.h"
#include "model/derive.h"
#include "data/tokens_folder.h"
#include "stage/train_run.h"

enum { DEFAULT_CONTEXT = 256, MICRO_POSITIONS = 4096, MIN_STEPS = 10 };

/* ---- data ---- */

static ins_status open_source(ins_train_run *run, int64_t i, int64_t context, ins_error *err) {
    const ins_train_data *entry = &((const ins_train_data *)run->options->data.items)[i];
    const ins_stage_input *input = ins_stage_input_find(run->c, entry->tokens);
    char folder[512], path[4096 + 600];
    ins_tokens_folder(entry->corpus, folder, sizeof folder);
    snprintf(path, sizeof path, "%s/%s/%s.shard", input->dir, folder, entry->split);
    if (!ins_file_exists(path)) {
        INS_FAIL(err, INS_RECIPE, "stage %s has no tokens of corpus '%s', split %s", entry->tokens, entry->corpus,
                 entry->split);
        ins_error_at(err, run->options->data.pos ? run->options->data.pos[i] : (ins_pos){0});
        ins_error_hint(err, "`corpus` must be one of that stage's `corpora`, with a split that is not empty");
        return INS_RECIPE;
    }
    INS_TRY(ins_shard_open(path, ins_tokenizer_vocab_size(run->tokenizer), run->c->pool, &run->shards[i], err));
    if (((const ins_objective *)run->options->objective.desc)->needs_mask && !run->shards[i].mask) {
        INS_FAIL(err, INS_RECIPE, "objective %s needs a loss mask, but corpus '%s' was tokenized without one",
                 run->options->objective.desc->name, entry->corpus);
        ins_error_hint(err, "tokenize it with `format: chat`");
        return INS_RECIPE;
    }
    INS_TRY(ins_rows_new(&run->shards[i], (ins_packing)run->options->packing, context, &run->rows[i], err));
    run->sources[i] = (ins_mixture_source){.name = entry->corpus, .rows = run->rows[i], .weight = entry->weight};
    return INS_OK;
}

/* All entries must come from one tokenizer; its file is the first entry's. */
static ins_status open_tokenizer(ins_train_run *run, ins_error *err) {
    const ins_train_data *data = run->options->data.items;
    ins_digest first = {{0}}, other;
    uint64_t size = 0;
    for (int64_t i = 0; i < run->options->data.n; i++) {
        char path[4096];
        INS_TRY(
            ins_path_join(ins_stage_input_find(run->c, data[i].tokens)->dir, "tokenizer.json", path, sizeof path, err));
        INS_TRY(ins_sha256_file(path, &other, &size, err));
        if (i == 0) {
            first = other;
            memcpy(run->tokenizer_path, path, sizeof path);
        } else if (strcmp(first.hex, other.hex) != 0) {
            INS_FAIL(err, INS_RECIPE, "data mixes two tokenizers: those of %s and %s", data[0].tokens, data[i].tokens);
            ins_error_at(err, run->options->data.pos ? run->options->data.pos[i] : (ins_pos){0});
            ins_error_hint(err, "tokenize with `from: %s` to share its tokenizer", data[0].tokens);
            return INS_RECIPE;
        }
    }
    return ins_tokenizer_load(run->tokenizer_path, &run->tokenizer, err);
}

ins_status ins_train_open_data(ins_train_run *run, int64_t context, ins_error *err) {
    size_t n = (size_t)run->options->data.n;
    run->n_sources = run->options->data.n;
    run->shards = ins_calloc(n, sizeof *run->shards);
    run->rows = ins_calloc(n, sizeof *run->rows);
    run->sources = ins_calloc(n, sizeof *run->sources);
    if (!run->shards || !run->rows || !run->sources) return INS_FAIL(err, INS_NOMEM, "no memory for the data");
    for (int64_t i = 0; i < run->n_sources; i++) INS_TRY(open_source(run, i, context, err));
    return ins_mixture_new(run->sources, run->n_sources, run->c->seed, true, &run->mixture, err);
}

/* ---- model ---- */

static ins_status model_from_stage(ins_train_run *run, ins_error *err) {
    char dir[4096];
    const ins_stage_input *input = ins_stage_input_find(run->c, run->options->init);
    INS_TRY(ins_stage_model_dir(input, -1, run->c->log, dir, sizeof dir, NULL, err));
    INS_TRY(ins_model_load(dir, &run->model, &run->start, err));
    int64_t vocab = ins_model_get_options(run->model)->vocab, tokens = ins_tokenizer_vocab_size(run->tokenizer);
    if (vocab >= tokens) return INS_OK;
    INS_FAIL(err, INS_RECIPE, "the tokenizer has %lld tokens but the model of %s only %lld", (long long)tokens,
             run->options->init, (long long)vocab);
    ins_error_hint(err, "tokenize this stage's data with the tokenizer that model was trained with (`from:`)");
    return INS_RECIPE;
}

static ins_status model_from_options(ins_train_run *run, ins_error *err) {
    ins_diag diag = {0};
    ins_model_options options;
    bool fine = ins_model_options_parse(run->options->model, ins_tokenizer_vocab_size(run->tokenizer), &options,
                                        run->arena, &diag);
    if (!fine && err && diag.n > 0) *err = diag.items[0];
    ins_diag_free(&diag);
    if (!fine) return INS_RECIPE;
    INS_TRY(ins_model_new(&options, &run->model, err));
    INS_TRY(ins_slab_new(ins_model_params(run->model), &run->start, err));
    return ins_model_init(run->model, run->c->seed, run->start, run->c->pool, err);
}

ins_status ins_train_open_model(ins_train_run *run, ins_error *err) {
    INS_TRY(open_tokenizer(run, err));
    return run->options->init ? model_from_stage(run, err) : model_from_options(run, err);
}

/* ---- sizes ---- */

static int64_t choose_context(const ins_train_run *run) {
    int64_t limit = ins_model_get_options(run->model)->max_positions;
    int64_t wanted = run->options->context > 0 ? run->options->context : DEFAULT_CONTEXT;
    return limit > 0 && wanted > limit ? limit : wanted;
}

/* Rows of a step and how they are split over runs of the graph: micro_rows divides the rows. */
static void choose_rows(ins_train_run *run, int64_t batch) {
    ins_trainer_options *t = &run->trainer_options;
    int64_t rows = (batch + t->context / 2) / t->context;
    if (rows < 1) rows = 1;
    int64_t micro = run->options->micro_rows > 0 ? run->options->micro_rows : MICRO_POSITIONS / t->context;
    if (micro < 1) micro = 1;
    if (micro > rows) micro = rows;
    t->n_micro = (rows + micro - 1) / micro;
    t->micro_rows = (rows + t->n_micro - 1) / t->n_micro;
}

static double step_flops(const ins_train_run *run) {
    const ins_trainer_options *t = &run->trainer_options;
    double positions = (double)(t->context * t->micro_rows * t->n_micro);
    return 3 * ins_model_flops_per_token(run->model, t->context) * positions;
}

static int64_t choose_steps(ins_train_run *run, int64_t budget) {
    const ins_train_options *o = run->options;
    const ins_trainer_options *t = &run->trainer_options;
    if (o->steps > 0) return o->steps;
    if (o->time > 0) { /* half of the peak is what training reaches; the number is then kept in the state */
        double steps = o->time * 0.5 * run->peak_flops / step_flops(run);
        return steps < MIN_STEPS ? MIN_STEPS : (int64_t)steps;
    }
    int64_t per_step = t->context * t->micro_rows * t->n_micro;
    int64_t steps = (budget + per_step - 1) / per_step;
    return steps < 1 ? 1 : steps;
}

ins_status ins_train_choose_sizes(ins_train_run *run, ins_error *err) {
    const ins_train_options *o = run->options;
    ins_trainer_options *t = &run->trainer_options;
    int64_t n_params = ins_model_params(run->model)->n_elements;
    int64_t limit = ins_model_get_options(run->model)->max_positions;
    if (o->context > 0 && limit > 0 && o->context > limit) {
        INS_FAIL(err, INS_RECIPE, "context %lld is longer than the model's max_positions %lld", (long long)o->context,
                 (long long)limit);
        ins_error_hint(err, "set model.max_positions, or a shorter context");
        return INS_RECIPE;
    }
    int64_t budget = o->budget > 0 ? o->budget : ins_derive_tokens(n_params);
    int64_t batch = o->batch > 0 ? o->batch : ins_derive_batch_tokens(n_params, budget);
    INS_TRY(ins_precision_choose((ins_precision)o->precision, &t->compute, run->precision_why, err));
    t->objective = o->objective;
    t->optimizer = o->optimizer;
    t->context = choose_context(run);
    t->intra_document = o->intra_document;
    t->clip = o->clip;
    t->ema = o->ema;
    t->spike_action = o->spike;
    t->spike_z = o->spike_z;
    t->seed = run->c->seed;
    choose_rows(run, batch);
    run->peak_flops = ins_probe_flops(t->compute, run->c->pool);
    run->n_steps = choose_steps(run, budget);
    run->optimizer = (const ins_optimizer *)o->optimizer.desc;
    run->schedule = (const ins_schedule *)o->schedule.desc;
    double derived = ins_derive_lr(n_params) * run->optimizer->default_lr_scale * (o->init ? 0.5 : 1.0);
    run->lr = o->lr > 0 ? o->lr : derived;
    return INS_OK;
}

/* ---- all of it ---- */

static void say_plan(const ins_train_run *run) {
    const ins_trainer_options *t = &run->trainer_options;
    char params[32], memory[32], flop[32];
    ins_human_count((double)ins_model_params(run->model)->n_elements, params);
    ins_human_size((double)ins_trainer_bytes(run->trainer), memory);
    ins_human_count(ins_trainer_flops(run->trainer) * (double)run->n_steps, flop);
    ins_logf(run->c->log, INS_LOG_INFO,
             "%s: %s parameters, %lld steps of %lld x %lld positions (%lld runs a step), lr %.3g, peak memory %s, "
             "%sFLOP; %s",
             run->c->name, params, (long long)run->n_steps, (long long)(t->micro_rows * t->n_micro),
             (long long)t->context, (long long)t->n_micro, run->lr, memory, flop, run->precision_why);
}

static ins_status resume(ins_train_run *run, ins_error *err) {
    char dir[4096];
    int64_t step = 0;
    json_t *state = NULL;
    ins_error why = {0};
    if (ins_checkpoint_find_in(run->c->dir, INS_RESUME, -1, run->c->log, dir, sizeof dir, &step, &why) != INS_OK) {
        return run->c->metrics->truncate(run->c->metrics->arg, -1, err);
    }
    INS_TRY(ins_checkpoint_restore(dir, run->model, run->trainer, run->optimizer, &state, err));
    int64_t n_steps = (int64_t)json_integer_value(json_object_get(state, "n_steps"));
    json_decref(state);
    if (n_steps > 0) run->n_steps = n_steps; /* a time budget was turned into steps when the stage began */
    run->resumed = true;
    ins_logf(run->c->log, INS_LOG_INFO, "%s: going on from step %lld of %lld", run->c->name, (long long)step,
             (long long)run->n_steps);
    return run->c->metrics->truncate(run->c->metrics->arg, step - 1, err);
}

ins_status ins_train_open(ins_train_run *run, const ins_stage_context *c, ins_error *err) {
    *run = (ins_train_run){.c = c, .options = c->options, .arena = ins_arena_new(0)};
    if (!run->arena) return INS_FAIL(err, INS_NOMEM, "no memory for the train stage");
    INS_TRY(ins_train_open_model(run, err));
    INS_TRY(ins_train_choose_sizes(run, err));
    INS_TRY(ins_train_open_data(run, run->trainer_options.context, err));
    float *weights = run->start;
    run->start = NULL; /* the trainer takes them, also when it fails */
    INS_TRY(ins_trainer_new(run->model, weights, &run->trainer_options, c->pool, &run->trainer, err));
    INS_TRY(resume(run, err));
    INS_TRY(ins_train_probe_steps(run->options, run->n_steps, &run->probe_steps, &run->n_probe_steps, err));
    say_plan(run);
    return INS_OK;
}

void ins_train_close(ins_train_run *run) {
    ins_trainer_free(run->trainer);
    ins_mixture_free(run->mixture);
    for (int64_t i = 0; i < run->n_sources; i++) {
        if (run->rows) ins_rows_free(run->rows[i]);
        if (run->shards) ins_shard_close(&run->shards[i]);
    }
    ins_free(run->rows);
    ins_free(run->shards);
    ins_free(run->sources);
    ins_free(run->probe_steps);
    if (run->start) ins_slab_free(ins_model_params(run->model), run->start);
    ins_model_free(run->model);
    ins_tokenizer_free(run->tokenizer);
    ins_arena_free(run->arena);
}

ins_status ins_train_probe_steps(const ins_train_options *o, int64_t n_steps, int64_t **steps, int64_t *n,
                                 ins_error *err) {
    int64_t capacity = o->probe_every > 0 ? n_steps / o->probe_every + 2 : o->probe_points + 1;
    int64_t *list = ins_malloc((size_t)capacity * sizeof *list), count = 0;
    if (!list) return INS_FAIL(err, INS_NOMEM, "no memory for the probed steps");
    list[count++] = 0;
    if (o->probe_every > 0) {
        for (int64_t step = o->probe_every; step < n_steps; step += o->probe_every) list[count++] = step;
    } else { /* first at about 4 steps, then by equal factors: most points where most is learnt */
        int64_t inner = o->probe_points - 2;
        double low = log(4.0), high = log((double)(n_steps > 4 ? n_steps : 4));
        for (int64_t i = 0; i < inner; i++) {
            int64_t step = (int64_t)llround(exp(low + (high - low) * (double)i / (double)inner));
            if (step > list[count - 1] && step < n_steps) list[count++] = step;
        }
    }
    if (n_steps > list[count - 1]) list[count++] = n_steps;
    *steps = list;
    *n = count;
    return INS_OK;
}
