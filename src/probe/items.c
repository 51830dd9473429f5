/* Question documents as scorable items: see items.h. */
#include "probe/items.h"

#include <stdlib.h>
#include <string.h>

#include "decode/prompt.h"

static const char *copy_field(ins_arena *arena, const ins_field *field) {
    return field && field->n > 0 ? ins_arena_strndup(arena, field->data, field->n) : NULL;
}

/* choices: one a line; answer: index from 0. */
static ins_status parse_choices(ins_arena *arena, const ins_document *doc, ins_item *item, ins_error *err) {
    const ins_field *answer = ins_document_get(doc, "answer");
    char *text = (char *)copy_field(arena, ins_document_get(doc, "choices"));
    item->answer = -1;
    if (!text || !answer) return INS_OK;
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '\n') text[length - 1] = 0;
    int64_t n = 1;
    for (const char *p = text; *p; p++) n += *p == '\n';
    item->choices = ins_arena_alloc(arena, (size_t)n * sizeof *item->choices);
    if (!item->choices) return INS_FAIL(err, INS_NOMEM, "no memory for the choices");
    for (char *line = text; line;) {
        char *end = strchr(line, '\n');
        if (end) *end++ = 0;
        if (!*line) { /* leaving it out would shift the numbers of those after it */
            INS_FAIL(err, INS_DATA, "choice %lld is empty", (long long)item->n_choices);
            ins_error_at(err, doc->source);
            return INS_DATA;
        }
        item->choices[item->n_choices++] = line;
        line = end;
    }
    char *rest = NULL;
    long long index = strtoll(answer->data, &rest, 10);
    if (rest == answer->data || index < 0 || index >= item->n_choices) {
        INS_FAIL(err, INS_DATA, "answer '%.40s' is not the number of one of %lld choices", answer->data,
                 (long long)item->n_choices);
        ins_error_at(err, doc->source);
        return INS_DATA;
    }
    item->answer = index;
    return INS_OK;
}

static ins_status add_item(ins_items *out, const ins_item_options *o, const ins_document *doc, bool need_choices,
                           ins_error *err) {
    const ins_field *kind = ins_document_get(doc, "kind");
    if (o->only && (!kind || strcmp(kind->data, o->only) != 0)) return INS_OK;
    ins_item item = {.prompt = copy_field(out->arena, ins_document_get(doc, "prompt")),
                     .response = copy_field(out->arena, ins_document_get(doc, "response"))};
    INS_TRY(parse_choices(out->arena, doc, &item, err));
    if (!item.prompt || (need_choices ? item.n_choices < 2 : !item.response)) {
        out->n_skipped++;
        return INS_OK;
    }
    out->items[out->n++] = item;
    return INS_OK;
}

ins_status ins_items_load(const ins_probe_context *c, const ins_item_options *o, bool need_choices, ins_items *out,
                          ins_error *err) {
    const ins_stage_input *input = NULL;
    ins_corpus_reader *reader = NULL;
    ins_document doc = {.arena = ins_arena_new(0)};
    *out = (ins_items){.arena = ins_arena_new(0), .items = ins_calloc((size_t)o->max_items, sizeof *out->items)};
    ins_status status =
        doc.arena && out->arena && out->items ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory for the questions");
    if (status == INS_OK) status = ins_probe_input(c, o->corpus, &input, err);
    if (status == INS_OK) status = ins_corpus_open(input->dir, o->split, &reader, err);
    for (bool end = false; status == INS_OK && out->n < o->max_items;) {
        ins_document_clear(&doc);
        status = ins_corpus_next(reader, &doc, &end, err);
        if (status != INS_OK || end) break;
        status = add_item(out, o, &doc, need_choices, err);
    }
    if (status == INS_OK && out->n > 0 && out->n_skipped > 0)
        ins_logf(c->log, INS_LOG_INFO, "probe %s: %lld documents of '%s' are no questions it can ask", c->name,
                 (long long)out->n_skipped, o->corpus);
    if (status == INS_OK && out->n == 0) {
        status = INS_FAIL(err, INS_DATA, "the %s split of '%s' has no question%s%s%s", o->split, o->corpus,
                          o->only ? " of kind '" : "", o->only ? o->only : "", o->only ? "'" : "");
        ins_error_hint(err, need_choices ? "documents need prompt, choices (one a line) and answer (a number from 0)"
                                         : "documents need the fields prompt and response");
    }
    ins_corpus_close(reader);
    ins_arena_free(doc.arena);
    if (status != INS_OK) ins_items_free(out);
    return status;
}

void ins_items_free(ins_items *items) {
    ins_arena_free(items->arena);
    ins_free(items->items);
    *items = (ins_items){0};
}

/* ---- scores ---- */

enum { SCORE_ROWS = 16 };

ins_status ins_scored_new(int64_t n, ins_scored *out, ins_error *err) {
    *out = (ins_scored){.n = n};
    out->ids = ins_calloc((size_t)n, sizeof *out->ids);
    out->scores = ins_calloc((size_t)n, sizeof *out->scores);
    if (out->ids && out->scores) return INS_OK;
    return INS_FAIL(err, INS_NOMEM, "no memory for %lld answers", (long long)n);
}

void ins_scored_free(ins_scored *s) {
    for (int64_t i = 0; s->ids && i < s->n; i++) ins_ids_free(&s->ids[i]);
    ins_free(s->ids);
    ins_free(s->scores);
    *s = (ins_scored){0};
}

/* After a plain prompt comes a space; in the template the answer's own tokens follow the generation prompt. */
static ins_status encode_answer(const ins_probe_context *c, const char *answer, bool chat, ins_ids *ids,
                                ins_error *err) {
    ins_str text = {0};
    ins_str_printf(&text, "%s%s", chat ? "" : " ", answer);
    ins_status status = text.oom ? INS_FAIL(err, INS_NOMEM, "no memory for an answer")
                                 : ins_tokenizer_encode(c->tokenizer, NULL, text.data, text.len, false, ids, err);
    ins_str_free(&text);
    return status;
}

ins_status ins_scored_set(ins_scored *s, int64_t at, const ins_probe_context *c, const ins_item_options *o,
                          const ins_item *item, const char *answer, bool with_end, ins_error *err) {
    ins_ids *ids = &s->ids[at];
    INS_TRY(ins_prompt_encode(c->tokenizer, ins_tokenizer_eos(c->tokenizer), item->prompt, o->chat, ids, err));
    s->scores[at].n_context = ids->n;
    INS_TRY(encode_answer(c, answer, o->chat, ids, err));
    int32_t end = with_end && o->chat ? ins_tokenizer_find(c->tokenizer, "<|im_end|>") : -1;
    if (end >= 0 && !ins_ids_push(ids, end)) return INS_FAIL(err, INS_NOMEM, "no memory for an answer");
    s->scores[at].ids = ids->data;
    s->scores[at].n = ids->n;
    return INS_OK;
}

ins_status ins_scored_run(ins_scored *s, const ins_probe_context *c, const ins_item_options *o, float *weights,
                          ins_error *err) {
    ins_scorer *scorer = NULL;
    int64_t limit = ins_model_get_options(c->model)->max_positions;
    int64_t context = limit > 0 && o->context > limit ? limit : o->context;
    INS_TRY(ins_scorer_new(c->model, weights, c->compute, SCORE_ROWS, context, c->pool, &scorer, err));
    ins_status status = ins_scorer_run(scorer, s->scores, s->n, err);
    ins_scorer_free(scorer);
    return status;
}
