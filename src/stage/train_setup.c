/* Setting a train stage up: data, model, derived sizes, trainer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "kernel/probe_machine.h"
#include "model/derive.h"
#include "data/tokens_folder.h"
#include "stage/train_run.h"

enum { DEFAULT_CONTEXT = 256, MICRO_POSITIONS = 4096, MIN_STEPS = 10 };

/* ---- data ---- */

static ins_pos entry_pos(const ins_train_run *run, int64_t i) {
    return run->options->data.pos ? run->options->data.pos[i] : (ins_pos){0};
}

/* The corpus, or corpus.N where an earlier entry has the same: names key the order of the rows, and metrics. */
static const char *source_name(ins_train_run *run, int64_t i) {
    const ins_train_data *data = run->options->data.items;
    for (int64_t j = 0; j < i; j++) {
        if (strcmp(data[j].corpus, data[i].corpus) == 0)
            return ins_arena_printf(run->arena, "%s.%lld", data[i].corpus, (long long)i);
    }
    return data[i].corpus;
}

static ins_status open_source(ins_train_run *run, int64_t i, int64_t context, ins_error *err) {
    const ins_train_data *entry = &((const ins_train_data *)run->options->data.items)[i];
    const char *dir = NULL;
    char folder[512], path[4096 + 600];
    INS_TRY(ins_stage_input_dir(run->c, entry->tokens, &dir, err));
    ins_tokens_folder(entry->corpus, folder, sizeof folder);
    snprintf(path, sizeof path, "%s/%s/%s.shard", dir, folder, entry->split);
    if (!ins_file_exists(path)) {
        INS_FAIL(err, INS_RECIPE, "stage %s has no tokens of corpus '%s', split %s", entry->tokens, entry->corpus,
                 entry->split);
        ins_error_at(err, entry_pos(run, i));
        ins_error_hint(err, "`corpus` must be one of that stage's `corpora`, with a split that is not empty");
        return INS_RECIPE;
    }
    INS_TRY(ins_shard_open(path, ins_tokenizer_vocab_size(run->tokenizer), run->c->pool, &run->shards[i], err));
    if (((const ins_objective *)run->options->objective.desc)->needs_mask && !run->shards[i].mask) {
        INS_FAIL(err, INS_RECIPE, "objective %s needs a loss mask, but corpus '%s' was tokenized without one",
                 run->options->objective.desc->name, entry->corpus);
        ins_error_at(err, entry_pos(run, i));
        ins_error_hint(err, "tokenize it with `format: chat`");
        return INS_RECIPE;
    }
    const char *name = source_name(run, i);
    if (!name) return INS_FAIL(err, INS_NOMEM, "no memory for the data");
    INS_TRY(ins_rows_new(&run->shards[i], (ins_packing)run->options->packing, context, &run->rows[i], err));
    run->sources[i] = (ins_mixture_source){.name = name, .rows = run->rows[i], .weight = entry->weight};
    run->source_names[i] = name;
    return INS_OK;
}

/* A step that draws a row twice would count it twice: the corpus is too small for the batch. */
static ins_status check_enough(const ins_train_run *run, int64_t i, ins_error *err) {
    const ins_trainer_options *t = &run->trainer_options;
    int64_t rows = ins_rows_count(run->rows[i]), step_rows = t->micro_rows * t->n_micro;
    double drawn = ins_mixture_share(run->mixture, i) * (double)step_rows;
    if ((double)rows >= floor(drawn)) return INS_OK;
    INS_FAIL(err, INS_DATA,
             "corpus '%s' is smaller than one batch: %lld rows of %lld tokens, a step takes %.0f of them",
             run->source_names[i], (long long)rows, (long long)t->context, drawn);
    ins_error_at(err, entry_pos(run, i));
    ins_error_hint(err, "set a smaller `batch`%s, or give it more text",
                   run->options->packing == INS_PACK_NONE ? "" : " or `context`");
    return INS_DATA;
}

/* All entries must come from one tokenizer; its file is the first entry's. */
static ins_status open_tokenizer(ins_train_run *run, ins_error *err) {
    const ins_train_data *data = run->options->data.items;
    ins_digest first = {{0}}, other;
    uint64_t size = 0;
    for (int64_t i = 0; i < run->options->data.n; i++) {
        char path[4096];
        const char *dir = NULL;
        INS_TRY(ins_stage_input_dir(run->c, data[i].tokens, &dir, err));
        INS_TRY(ins_path_join(dir, "tokenizer.json", path, sizeof path, err));
        INS_TRY(ins_sha256_file(path, &other, &size, err));
        if (i == 0) {
            first = other;
            memcpy(run->tokenizer_path, path, sizeof path);
        } else if (strcmp(first.hex, other.hex) != 0) {
            INS_FAIL(err, INS_RECIPE, "data mixes two tokenizers: those of %s and %s", data[0].tokens, data[i].tokens);
            ins_error_at(err, entry_pos(run, i));
            ins_error_hint(err, "tokenize with `from: %s` to share its tokenizer", data[0].tokens);
            return INS_RECIPE;
        }
    }
    return ins_tokenizer_load(run->tokenizer_path, &run->tokenizer, err);
}

ins_status ins_train_open_data(ins_train_run *run, ins_error *err) {
    size_t n = (size_t)run->options->data.n;
    run->shards = ins_calloc(n, sizeof *run->shards);
    run->rows = ins_calloc(n, sizeof *run->rows);
    run->sources = ins_calloc(n, sizeof *run->sources);
    run->source_names = ins_calloc(n, sizeof *run->source_names);
    if (!run->shards || !run->rows || !run->sources || !run->source_names)
        return INS_FAIL(err, INS_NOMEM, "no memory for the data");
    run->n_sources = run->options->data.n;
    for (int64_t i = 0; i < run->n_sources; i++) INS_TRY(open_source(run, i, run->trainer_options.context, err));
    INS_TRY(ins_mixture_new(run->sources, run->n_sources, run->c->seed, true, &run->mixture, err));
    for (int64_t i = 0; i < run->n_sources; i++) INS_TRY(check_enough(run, i, err));
    run->trainer_options.source_names = run->source_names;
    return INS_OK;
}

/* ---- model ---- */

/* Do two tokenizers give every id the same meaning, as far as the smaller one goes? */
static bool same_tokens(const ins_tokenizer *x, const ins_tokenizer *y) {
    int64_t n = ins_tokenizer_vocab_size(x);
    if (n != ins_tokenizer_vocab_size(y)) return false;
    for (int32_t id = 0; id < n; id++) {
        size_t nx = 0, ny = 0;
        bool special_x = false, special_y = false;
        const char *text_x = ins_tokenizer_token(x, id, &nx, &special_x);
        const char *text_y = ins_tokenizer_token(y, id, &ny, &special_y);
        if (nx != ny || special_x != special_y || (nx > 0 && memcmp(text_x, text_y, nx) != 0)) return false;
    }
    return true;
}

/* A model goes on with the tokenizer it was trained with. Folders without one are taken on trust. */
static ins_status check_tokenizer(const ins_train_run *run, const char *model_dir, ins_error *err) {
    char path[4200];
    ins_tokenizer *own = NULL;
    int64_t vocab = ins_model_get_options(run->model)->vocab, tokens = ins_tokenizer_vocab_size(run->tokenizer);
    const ins_train_data *data = run->options->data.items;
    bool fits = vocab >= tokens;
    INS_TRY(ins_path_join(model_dir, "tokenizer.json", path, sizeof path, err));
    if (fits && ins_file_exists(path)) {
        INS_TRY(ins_tokenizer_load(path, &own, err));
        fits = same_tokens(own, run->tokenizer);
        ins_tokenizer_free(own);
    }
    if (fits) return INS_OK;
    INS_FAIL(err, INS_RECIPE,
             "the tokens of stage %s (vocabulary of %lld) were not made with the tokenizer of model %s (%lld)",
             data[0].tokens, (long long)tokens, run->options->init, (long long)vocab);
    ins_error_at(err, entry_pos(run, 0));
    ins_error_hint(err, "tokenize with `from:` the stage whose tokenizer that model was trained with");
    return INS_RECIPE;
}

static ins_status model_from_stage(ins_train_run *run, ins_error *err) {
    char dir[4096];
    const ins_stage_input *input = ins_stage_input_find(run->c, run->options->init);
    INS_TRY(ins_stage_model_dir(input, -1, run->c->log, dir, sizeof dir, NULL, err));
    INS_TRY(ins_model_load(dir, &run->model, &run->start, err));
    return check_tokenizer(run, dir, err);
}

static ins_status model_from_options(ins_train_run *run, int64_t vocab, ins_error *err) {
    ins_diag diag = {0};
    ins_model_options options;
    bool fine = ins_model_options_parse(run->options->model, vocab, &options, run->arena, &diag);
    if (!fine && err && diag.n > 0) *err = diag.items[0];
    ins_diag_free(&diag);
    if (!fine) return INS_RECIPE;
    INS_TRY(ins_model_new(&options, &run->model, err));
    return ins_slab_new(ins_model_params(run->model), &run->start, err);
}

ins_status ins_train_open_model(ins_train_run *run, ins_error *err) {
    INS_TRY(open_tokenizer(run, err));
    if (run->options->init) return model_from_stage(run, err);
    int64_t tokens = ins_tokenizer_vocab_size(run->tokenizer);
    INS_TRY(model_from_options(run, tokens, err));
    int64_t vocab = ins_model_get_options(run->model)->vocab;
    if (vocab >= tokens) return ins_model_init(run->model, run->c->seed, run->start, run->c->pool, err);
    INS_FAIL(err, INS_RECIPE, "model.vocab %lld is smaller than the tokenizer's vocabulary of %lld", (long long)vocab,
             (long long)tokens);
    if (run->options->model) ins_error_at(err, run->options->model->pos);
    ins_error_hint(err, "leave model.vocab out: the tokenizer decides");
    return INS_RECIPE;
}

ins_status ins_train_open_model_unfed(ins_train_run *run, int64_t vocab, ins_error *err) {
    return model_from_options(run, vocab, err);
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

/* Once chosen it stays, also where a later measurement would say otherwise: a resumed stage must not change its
 * arithmetic. */
static ins_status choose_precision(ins_train_run *run, ins_error *err) {
    ins_dtype *compute = &run->trainer_options.compute;
    ins_precision asked = (ins_precision)run->options->precision;
    if (run->has_record && asked == INS_PRECISION_AUTO)
        asked = run->record.compute == INS_DTYPE_BF16 ? INS_PRECISION_BF16 : INS_PRECISION_F32;
    INS_TRY(ins_precision_choose(asked, compute, run->precision_why, err));
    if (run->has_record && run->options->precision == INS_PRECISION_AUTO)
        snprintf(run->precision_why, sizeof run->precision_why, "%s: as when the stage began",
                 ins_dtype_name(*compute));
    return INS_OK;
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
    INS_TRY(choose_precision(run, err));
    t->objective = o->objective;
    t->optimizer = o->optimizer;
    t->context = choose_context(run);
    t->clip = o->clip;
    t->ema = o->ema;
    t->spike_action = o->spike;
    t->spike_z = o->spike_z;
    t->seed = run->c->seed;
    choose_rows(run, batch);
    run->peak_flops = ins_probe_flops(t->compute, run->c->pool);
    run->n_steps = run->has_record ? run->record.steps : choose_steps(run, budget);
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
    ins_error why = {0};
    ins_status status = ins_checkpoint_find_in(run->c->dir, INS_RESUME, -1, run->c->log, dir, sizeof dir, &step, &why);
    if (status == INS_MODEL || status == INS_DATA) { /* none yet, or all damaged: begin */
        INS_TRY(run->c->metrics->truncate(run->c->metrics->arg, -1, err));
        const ins_train_record record = {.steps = run->n_steps, .compute = run->trainer_options.compute};
        return ins_train_record_write(run->c->dir, &record, err);
    }
    if (status != INS_OK) {
        if (err) *err = why;
        return status;
    }
    INS_TRY(ins_checkpoint_restore(dir, run->model, run->trainer, run->optimizer, NULL, err));
    ins_logf(run->c->log, INS_LOG_INFO, "%s: going on from step %lld of %lld", run->c->name, (long long)step,
             (long long)run->n_steps);
    return run->c->metrics->truncate(run->c->metrics->arg, step - 1, err);
}

static bool needs_history(const ins_train_options *o) {
    for (int64_t i = 0; i < o->probes.n; i++) {
        const ins_probe *probe = (const ins_probe *)o->probes.items[i].desc;
        if (probe && (probe->needs & INS_PROBE_NEEDS_TRAINING)) return true;
    }
    return false;
}

ins_status ins_train_open_trainer(ins_train_run *run, ins_error *err) {
    float *weights = run->start;
    run->start = NULL; /* the trainer takes them, also when it fails */
    INS_TRY(ins_trainer_new(run->model, weights, &run->trainer_options, run->c->pool, &run->trainer, err));
    return needs_history(run->options) ? ins_trainer_keep_history(run->trainer, err) : INS_OK;
}

ins_status ins_train_open(ins_train_run *run, const ins_stage_context *c, ins_error *err) {
    *run = (ins_train_run){.c = c, .options = c->options, .arena = ins_arena_new(0)};
    if (!run->arena) return INS_FAIL(err, INS_NOMEM, "no memory for the train stage");
    run->has_record = ins_train_record_read(c->dir, &run->record);
    INS_TRY(ins_train_open_model(run, err));
    INS_TRY(ins_train_choose_sizes(run, err));
    INS_TRY(ins_train_open_data(run, err));
    INS_TRY(ins_train_open_trainer(run, err));
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
    ins_free(run->source_names);
    ins_free(run->probe_steps);
    if (run->start) ins_slab_free(ins_model_params(run->model), run->start);
    ins_model_free(run->model);
    ins_tokenizer_free(run->tokenizer);
    ins_arena_free(run->arena);
}

/* The first at about 4 steps, then by equal factors: most points where most is learnt. */
static int64_t log_spaced(int64_t n_points, int64_t n_steps, int64_t *list) {
    double low = log(4.0), high = log((double)(n_steps > 4 ? n_steps : 4));
    for (int64_t i = 0; i < n_points; i++)
        list[i] = (int64_t)llround(exp(low + (high - low) * (double)i / (double)n_points));
    return n_points;
}

static int compare_steps(const void *x, const void *y) {
    int64_t left = *(const int64_t *)x, right = *(const int64_t *)y;
    return left < right ? -1 : left > right;
}

ins_status ins_train_probe_steps(const ins_train_options *o, int64_t n_steps, int64_t **steps, int64_t *n,
                                 ins_error *err) {
    int64_t inner = o->probe_at.n ? o->probe_at.n : o->probe_every ? n_steps / o->probe_every : o->probe_points - 2;
    int64_t *list = ins_malloc((size_t)(inner + 2) * sizeof *list), count = 0, kept = 0;
    if (!list) return INS_FAIL(err, INS_NOMEM, "no memory for the probed steps");
    if (o->probe_at.n > 0) {
        for (int64_t i = 0; i < inner; i++) count += ins_parse_size(o->probe_at.items[i], &list[count]);
    } else if (o->probe_every > 0) {
        for (int64_t i = 1; i <= inner; i++) list[count++] = i * o->probe_every;
    } else {
        count = log_spaced(inner, n_steps, list);
    }
    list[count++] = 0;
    list[count++] = n_steps;
    qsort(list, (size_t)count, sizeof *list, compare_steps);
    for (int64_t i = 0; i < count; i++) {
        if (list[i] <= n_steps && (kept == 0 || list[i] > list[kept - 1])) list[kept++] = list[i];
    }
    *steps = list;
    *n = kept;
    return INS_OK;
}
