/* Probe cloze: how well the model gives a known response to a question.
 *
 *   cloze/NAME        share of responses that are exactly what greedy decoding would write, with .se
 *   cloze/NAME.bits   mean bits per token of the response
 *
 * In the chat template the mark that ends the response belongs to it: the model has to stop there.
 */
#include <math.h>

#include "decode/decode.h"
#include "probe/items.h"

typedef struct cloze_options {
    const char *name;
    ins_item_options items;
    int64_t context;
} cloze_options;

#define ROW(field) offsetof(cloze_options, field)
static const ins_opt_row rows[] = {
    {.name = "name",
     .type = INS_OPT_STRING,
     .offset = ROW(name),
     .help = "Name of the metric: cloze/NAME; by default what `only` says, or else the corpus."},
    INS_ITEM_ROWS(cloze_options, items),
    {.name = "context",
     .type = INS_OPT_SIZE,
     .offset = ROW(context),
     .def = "128",
     .min = 8,
     .max = 1e6,
     .unit = "tokens",
     .help = "Questions longer than this lose their beginning; at most the model's context."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"probe cloze", rows, sizeof(cloze_options)};

enum { SCORE_ROWS = 16 };

typedef struct cloze_state {
    ins_items items;
    ins_ids *ids;
    ins_score_item *scores;
} cloze_state;

static ins_status cloze_open(const ins_probe_context *c, void **state, ins_error *err) {
    const cloze_options *o = c->options;
    cloze_state *s = ins_calloc(1, sizeof *s);
    *state = s;
    if (!s) return INS_FAIL(err, INS_NOMEM, "no memory for the probe");
    if (!c->tokenizer) return INS_FAIL(err, INS_RECIPE, "probe cloze needs the model's tokenizer");
    INS_TRY(ins_items_load(c, &o->items, false, &s->items, err));
    s->ids = ins_calloc((size_t)s->items.n, sizeof *s->ids);
    s->scores = ins_calloc((size_t)s->items.n, sizeof *s->scores);
    if (!s->ids || !s->scores) return INS_FAIL(err, INS_NOMEM, "no memory for the questions");
    for (int64_t i = 0; i < s->items.n; i++) {
        const ins_item *item = &s->items.items[i];
        INS_TRY(ins_item_encode(c, &o->items, item, item->response, &s->ids[i], &s->scores[i].n_context, err));
        int32_t end = o->items.chat ? ins_tokenizer_find(c->tokenizer, "<|im_end|>") : -1;
        if (end >= 0 && !ins_ids_push(&s->ids[i], end)) return INS_FAIL(err, INS_NOMEM, "no memory for the questions");
        s->scores[i].ids = s->ids[i].data;
        s->scores[i].n = s->ids[i].n;
    }
    return INS_OK;
}

static ins_status cloze_run(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                            ins_error *err) {
    const cloze_options *o = c->options;
    cloze_state *s = state;
    ins_scorer *scorer = NULL;
    int64_t limit = ins_model_get_options(c->model)->max_positions;
    INS_TRY(ins_scorer_new(c->model, at->weights, c->compute, SCORE_ROWS,
                           limit > 0 && o->context > limit ? limit : o->context, c->pool, &scorer, err));
    ins_status status = ins_scorer_run(scorer, s->scores, s->items.n, err);
    ins_scorer_free(scorer);
    INS_TRY(status);
    double exact = 0, nats = 0, tokens = 0, n = (double)s->items.n;
    for (int64_t i = 0; i < s->items.n; i++) {
        exact += s->scores[i].n_scored > 0 && s->scores[i].n_greedy == s->scores[i].n_scored;
        nats -= s->scores[i].logprob;
        tokens += (double)s->scores[i].n_scored;
    }
    const char *name = ins_item_name(o->name, &o->items);
    double p = exact / n;
    INS_TRY(ins_probe_value(m, at, "cloze", name, NULL, p, err));
    if (n > 1) INS_TRY(ins_probe_value(m, at, "cloze", name, "se", sqrt(p * (1 - p) / (n - 1)), err));
    return tokens > 0 ? ins_probe_value(m, at, "cloze", name, "bits", nats / M_LN2 / tokens, err) : INS_OK;
}

static void cloze_close(void *state) {
    cloze_state *s = state;
    if (!s) return;
    for (int64_t i = 0; s->ids && i < s->items.n; i++) ins_ids_free(&s->ids[i]);
    ins_free(s->ids);
    ins_free(s->scores);
    ins_items_free(&s->items);
    ins_free(s);
}

const ins_probe ins_probe_cloze = {
    .head = {.family = "probe",
             .name = "cloze",
             .summary = "How often greedy decoding would write the known response, and its bits per token.",
             .version = 2,
             .options = &table},
    .needs = INS_PROBE_NEEDS_MODEL,
    .unit = "exact match",
    .better = "higher",
    .open = cloze_open,
    .run = cloze_run,
    .close = cloze_close,
};
