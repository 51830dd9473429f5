/* Stage generate: texts that a model writes, at its last or at all kept checkpoints. Leaves samples.jsonl, one line a
 * text:
 * {"step","prompt","text","finish","tokens"}, and records them as samples. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "data/document.h"
#include "decode/prompt.h"
#include "stage/model_use.h"

typedef struct generate_options {
    const char *model, *corpus, *split;
    ins_opt_strings prompts, at;
    int64_t max_prompts, rows, max_len;
    bool chat;
    int precision;
    ins_sampling sampling;
} generate_options;

#define ROW(field) offsetof(generate_options, field)
static const ins_opt_row rows[] = {
    {.name = "model",
     .type = INS_OPT_STRING,
     .offset = ROW(model),
     .unit = "model",
     .flags = INS_OPT_REQUIRED | INS_OPT_INPUT,
     .help = "Stage whose model writes."},
    {.name = "prompts",
     .type = INS_OPT_STRINGS,
     .offset = ROW(prompts),
     .help = "Texts to continue, or questions with `chat`."},
    {.name = "corpus",
     .type = INS_OPT_STRING,
     .offset = ROW(corpus),
     .unit = "corpus",
     .flags = INS_OPT_INPUT,
     .help = "Take prompts from the field `prompt` of this corpus, after `prompts`."},
    {.name = "split", .type = INS_OPT_STRING, .offset = ROW(split), .def = "valid", .help = "Split of that corpus."},
    {.name = "max_prompts",
     .type = INS_OPT_SIZE,
     .offset = ROW(max_prompts),
     .def = "16",
     .min = 1,
     .max = 1e9,
     .unit = "prompts",
     .help = "At most this many from the corpus."},
    {.name = "at",
     .type = INS_OPT_STRINGS,
     .offset = ROW(at),
     .def = "last",
     .help = "Which checkpoints: last, all, or a list of steps."},
    {.name = "chat",
     .type = INS_OPT_BOOL,
     .offset = ROW(chat),
     .def = "true",
     .help = "Put prompts into the chat template."},
    {.name = "rows",
     .type = INS_OPT_SIZE,
     .offset = ROW(rows),
     .def = "8",
     .min = 1,
     .max = 4096,
     .unit = "rows",
     .flags = INS_OPT_NO_HASH,
     .help = "Prompts answered at once; does not change the texts."},
    {.name = "max_len",
     .type = INS_OPT_SIZE,
     .offset = ROW(max_len),
     .def = "512",
     .min = 8,
     .max = 1e6,
     .unit = "tokens",
     .help = "Prompt and text together, at most the model's context."},
    {.name = "precision",
     .type = INS_OPT_CHOICE,
     .offset = ROW(precision),
     .def = "auto",
     .choices = "auto f32 bf16",
     .help = "Of matrix products."},
    {.name = "sampling",
     .type = INS_OPT_TABLE,
     .offset = ROW(sampling),
     .sub = &ins_sampling_table,
     .help = "How tokens are drawn."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"stage generate", rows, sizeof(generate_options)};

typedef struct prompt_list {
    ins_arena *arena;
    const char **items;
    int64_t n;
} prompt_list;

static ins_status add_from_corpus(const ins_stage_context *c, prompt_list *list, ins_error *err) {
    const generate_options *o = c->options;
    ins_corpus_reader *reader = NULL;
    ins_document doc = {.arena = ins_arena_new(0)};
    if (!doc.arena) return INS_FAIL(err, INS_NOMEM, "no memory to read the corpus");
    const char *corpus_dir = NULL;
    ins_status status = ins_stage_input_dir(c, o->corpus, &corpus_dir, err);
    if (status == INS_OK) status = ins_corpus_open(corpus_dir, o->split, &reader, err);
    int64_t taken = 0;
    for (bool end = false; status == INS_OK && taken < o->max_prompts;) {
        ins_document_clear(&doc);
        status = ins_corpus_next(reader, &doc, &end, err);
        if (status != INS_OK || end) break;
        const ins_field *prompt = ins_document_get(&doc, "prompt");
        if (!prompt) continue;
        list->items[list->n] = ins_arena_strndup(list->arena, prompt->data, prompt->n);
        if (!list->items[list->n++]) status = INS_FAIL(err, INS_NOMEM, "no memory for the prompts");
        taken++;
    }
    ins_corpus_close(reader);
    ins_arena_free(doc.arena);
    return status;
}

static ins_status collect_prompts(const ins_stage_context *c, prompt_list *list, ins_error *err) {
    const generate_options *o = c->options;
    list->arena = ins_arena_new(0);
    list->items = ins_calloc((size_t)(o->prompts.n + o->max_prompts), sizeof *list->items);
    if (!list->arena || !list->items) return INS_FAIL(err, INS_NOMEM, "no memory for the prompts");
    for (int64_t i = 0; i < o->prompts.n; i++) list->items[list->n++] = o->prompts.items[i];
    if (o->corpus) INS_TRY(add_from_corpus(c, list, err));
    if (list->n > 0) return INS_OK;
    INS_FAIL(err, INS_RECIPE, "there is nothing to continue");
    ins_error_hint(err, "give `prompts`, or a `corpus` whose documents have a field `prompt`");
    return INS_RECIPE;
}

static ins_status write_one(const ins_stage_context *c, const ins_model_use *use, const char *prompt,
                            const ins_generated *out, ins_str *lines, ins_error *err) {
    ins_str shown = {0};
    const char *text = "";
    ins_status status = ins_prompt_show(use->tokenizer, prompt, true, out, &shown, &text, err);
    if (status == INS_OK) {
        ins_str_printf(lines, "{\"step\": %lld, \"prompt\": \"", (long long)use->step);
        ins_str_json_escape(lines, prompt, strlen(prompt));
        ins_str_puts(lines, "\", \"text\": \"");
        ins_str_json_escape(lines, text, (size_t)(shown.data + shown.len - text));
        ins_str_printf(lines, "\", \"finish\": \"%s\", \"tokens\": %lld}\n", out->finish, (long long)out->ids.n);
        if (lines->oom) status = INS_FAIL(err, INS_NOMEM, "no memory for the texts");
    }
    if (status == INS_OK)
        status = c->metrics->text(c->metrics->arg, use->step, use->tokens, "sample/generate", shown.data, err);
    ins_str_free(&shown);
    return status;
}

/* Prompts [first, first + n) in one batch. */
static ins_status generate_block(const ins_stage_context *c, const ins_model_use *use, ins_decoder *decoder,
                                 int64_t max_len, const prompt_list *list, int64_t first, int64_t n, ins_str *lines,
                                 ins_error *err) {
    const generate_options *o = c->options;
    int64_t answer = o->sampling.max_tokens < max_len / 8 ? o->sampling.max_tokens : max_len / 8;
    int64_t room = max_len - answer; /* for the prompt, whose end counts most; the text gets what that leaves */
    ins_ids *ids = ins_calloc((size_t)n, sizeof *ids);
    ins_generated *out = ins_calloc((size_t)n, sizeof *out);
    const int32_t **id_rows = ins_calloc((size_t)n, sizeof *id_rows);
    int64_t *lens = ins_calloc((size_t)n, sizeof *lens);
    ins_status status = ids && out && id_rows && lens ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory to generate");
    int32_t stops[INS_PROMPT_STOPS];
    ins_sampling sampling = o->sampling;
    sampling.seed = c->seed;
    sampling.first_row = (uint64_t)first; /* draws belong to the prompt, not to the block it is in */
    sampling.stop_ids = stops;
    sampling.n_stop = ins_prompt_stops(use->tokenizer, stops);
    sampling.n_ids = ins_tokenizer_vocab_size(use->tokenizer);
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        status = ins_prompt_encode(use->tokenizer, ins_tokenizer_eos(use->tokenizer), list->items[first + i], o->chat,
                                   &ids[i], err);
        int64_t cut = ids[i].n > room ? ids[i].n - room : 0;
        if (cut > 0)
            ins_logf(c->log, INS_LOG_WARN, "%s: a prompt of %lld tokens loses its first %lld: max_len is %lld", c->name,
                     (long long)ids[i].n, (long long)cut, (long long)max_len);
        id_rows[i] = ids[i].data + cut;
        lens[i] = ids[i].n - cut;
    }
    if (status == INS_OK) status = ins_decoder_generate(decoder, id_rows, lens, n, &sampling, out, err);
    for (int64_t i = 0; i < n && status == INS_OK; i++)
        status = write_one(c, use, list->items[first + i], &out[i], lines, err);
    for (int64_t i = 0; ids && out && i < n; i++) {
        ins_ids_free(&ids[i]);
        ins_generated_free(&out[i]);
    }
    ins_free(ids);
    ins_free(out);
    ins_free(id_rows);
    ins_free(lens);
    return status;
}

static ins_status generate_at(const ins_stage_context *c, const prompt_list *list, int64_t step, ins_str *lines,
                              ins_error *err) {
    const generate_options *o = c->options;
    ins_model_use use;
    ins_decoder *decoder = NULL;
    ins_status status = ins_model_use_open(&use, c, o->model, step, o->precision, err);
    int64_t limit = status == INS_OK ? ins_model_get_options(use.model)->max_positions : 0;
    int64_t max_len = limit > 0 && o->max_len > limit ? limit : o->max_len;
    if (status == INS_OK)
        status = ins_decoder_new(use.model, use.weights, use.compute, o->rows, max_len, c->pool, &decoder, err);
    for (int64_t first = 0; first < list->n && status == INS_OK; first += o->rows) {
        int64_t n = list->n - first < o->rows ? list->n - first : o->rows;
        if (*c->stop) status = INS_FAIL(err, INS_INTERRUPTED, "interrupted while generating");
        if (status == INS_OK) status = generate_block(c, &use, decoder, max_len, list, first, n, lines, err);
        ins_progress p = {
            .what = c->name, .unit = "texts", .done = (double)(first + n), .total = (double)list->n, .eta_s = -1};
        ins_log_progress(c->log, &p);
    }
    ins_decoder_free(decoder);
    ins_model_use_close(&use);
    return status;
}

static ins_status run(const ins_stage_context *c, ins_error *err) {
    const generate_options *o = c->options;
    prompt_list list = {0};
    ins_str lines = {0};
    char path[4200];
    int64_t *steps = NULL, n = 0;
    ins_status status = ins_metrics_start(c, err);
    if (status == INS_OK) status = collect_prompts(c, &list, err);
    if (status == INS_OK) status = ins_model_steps(c, o->model, &o->at, &steps, &n, err);
    for (int64_t i = 0; i < n && status == INS_OK; i++) status = generate_at(c, &list, steps[i], &lines, err);
    if (status == INS_OK) status = ins_path_join(c->dir, "samples.jsonl", path, sizeof path, err);
    if (status == INS_OK) status = ins_file_write_atomic(path, lines.data, lines.len, err);
    if (status == INS_OK) status = c->metrics->flush(c->metrics->arg, err);
    ins_free(steps);
    ins_str_free(&lines);
    ins_free(list.items);
    ins_arena_free(list.arena);
    return status;
}

static void check(const void *options, ins_pos pos, ins_diag *diag) {
    const generate_options *o = options;
    ins_model_steps_check(&o->at, pos, diag);
    if (o->prompts.n == 0 && !o->corpus) {
        ins_diag_add(diag, INS_RECIPE, pos, "give `prompts`, or a `corpus` with a field `prompt`",
                     "there is nothing to continue");
    }
}

static ins_status plan(const ins_stage_context *c, ins_stage_plan *out, ins_error *err) {
    const generate_options *o = c->options;
    double token_flops = 0;
    (void)err;
    ins_model_plan(c, o->model, out, &token_flops);
    out->tokens = (o->prompts.n + (o->corpus ? o->max_prompts : 0)) * o->sampling.max_tokens;
    out->flop = token_flops * (double)out->tokens;
    return INS_OK;
}

const ins_stage ins_stage_generate = {
    .head = {.family = "stage",
             .name = "generate",
             .summary = "Let a model write: continue texts or answer questions, at chosen checkpoints.",
             .version = 2,
             .options = &table,
             .check = check},
    .output = "text",
    .inputs = "model corpus",
    .plan = plan,
    .run = run,
};
