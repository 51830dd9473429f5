/* What a train stage starts from: tokens, tokenizer, model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "data/tokens_folder.h"
#include "model/derive.h"
#include "stage/train_run.h"

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

/* Did the user leave the model's size open? Presets other than the default one bring sizes of their own. */
static bool is_size_open(const ins_node *model) {
    static const char *const sizes[] = {"preset", "layers", "width"};
    if (!model || model->kind == INS_NODE_NULL) return true;
    if (model->kind != INS_NODE_MAP) return false;
    for (int64_t i = 0; i < model->n_items; i++) {
        const ins_opt_row *row = ins_opt_find(&ins_model_table, model->items[i]->key);
        for (size_t k = 0; row && k < sizeof sizes / sizeof *sizes; k++) {
            if (strcmp(row->name, sizes[k]) == 0) return false;
        }
    }
    return true;
}

/* The dial, turned by a budget of tokens or of seconds: a model of N parameters wants 20 N tokens, and they take
 * 6 N 20 N FLOP. */
static ins_status dialled_layers(ins_train_run *run, int64_t vocab, int64_t *layers, ins_error *err) {
    const ins_train_options *o = run->options;
    double tokens = (double)o->budget;
    if (o->time > 0) {
        INS_TRY(ins_train_measure_machine(run, err));
        tokens = sqrt(20 * o->time * INS_TRAIN_EFFICIENCY * run->peak_flops / 6);
    }
    *layers =
        run->has_record && run->record.layers > 0 ? run->record.layers : ins_derive_layers((int64_t)tokens, vocab);
    return INS_OK;
}

static ins_status model_node(ins_train_run *run, int64_t vocab, const ins_node **out, ins_error *err) {
    const ins_train_options *o = run->options;
    int64_t layers = 0;
    *out = o->model;
    if (!is_size_open(o->model) || (o->budget <= 0 && o->time <= 0)) return INS_OK;
    INS_TRY(dialled_layers(run, vocab, &layers, err));
    const ins_pos pos = o->model ? o->model->pos : (ins_pos){0};
    const char *text = ins_arena_printf(run->arena, "%lld", (long long)layers);
    bool is_map = o->model && o->model->kind == INS_NODE_MAP;
    ins_node *map = is_map ? ins_node_clone(run->arena, o->model) : ins_node_new(run->arena, INS_NODE_MAP, pos);
    ins_node *value = text ? ins_node_scalar(run->arena, text, false, pos) : NULL;
    if (!map || !value || !ins_node_put(run->arena, map, "layers", value))
        return INS_FAIL(err, INS_NOMEM, "no memory for the model's options");
    *out = map;
    return INS_OK;
}

static ins_status parse_model(ins_train_run *run, int64_t vocab, ins_model_options *out, ins_error *err) {
    const ins_node *node = NULL;
    ins_diag diag = {0};
    INS_TRY(model_node(run, vocab, &node, err));
    bool fine = ins_model_options_parse(node, vocab, out, run->arena, &diag);
    if (!fine && err && diag.n > 0) *err = diag.items[0];
    ins_diag_free(&diag);
    return fine ? INS_OK : INS_RECIPE;
}

static ins_status make_model(ins_train_run *run, const ins_model_options *options, ins_error *err) {
    INS_TRY(ins_model_new(options, &run->model, err));
    return ins_slab_new(ins_model_params(run->model), &run->start, err);
}

ins_status ins_train_open_model(ins_train_run *run, ins_error *err) {
    ins_model_options options;
    INS_TRY(open_tokenizer(run, err));
    if (run->options->init) return model_from_stage(run, err);
    INS_TRY(parse_model(run, ins_tokenizer_vocab_size(run->tokenizer), &options, err));
    INS_TRY(make_model(run, &options, err));
    return ins_model_init(run->model, run->c->seed, run->start, run->c->pool, err);
}

ins_status ins_train_open_model_unfed(ins_train_run *run, int64_t vocab, ins_error *err) {
    ins_model_options options;
    INS_TRY(parse_model(run, INS_TRAIN_ANY_VOCAB, &options, err));
    if (options.vocab == INS_TRAIN_ANY_VOCAB) INS_TRY(parse_model(run, vocab, &options, err));
    return make_model(run, &options, err);
}
