/* Probe cloze: how well the model gives a known response to a question.
 *
 *   cloze/NAME        share of responses that are exactly what greedy decoding would write, with .se
 *   cloze/NAME.bits   mean bits per token of the response
 *
 * In the chat template the mark that ends the response belongs to it: the model has to stop there.
 */
#include <math.h>

#include "probe/items.h"

typedef struct cloze_options {
    const char *name;
    ins_item_options items;
} cloze_options;

#define ROW(field) offsetof(cloze_options, field)
static const ins_opt_row rows[] = {
    {.name = "name",
     .type = INS_OPT_STRING,
     .offset = ROW(name),
     .help = "Name of the metric: cloze/NAME; by default what `only` says, or else the corpus."},
    INS_ITEM_ROWS(cloze_options, items),
    {0},
};
#undef ROW
static const ins_opt_table table = {"probe cloze", rows, sizeof(cloze_options)};

typedef struct cloze_state {
    ins_items items;
    ins_scored answers; /* one a question */
} cloze_state;

static ins_status cloze_open(const ins_probe_context *c, void **state, ins_error *err) {
    const cloze_options *o = c->options;
    cloze_state *s = ins_calloc(1, sizeof *s);
    *state = s;
    if (!s) return INS_FAIL(err, INS_NOMEM, "no memory for the probe");
    if (!c->tokenizer) return INS_FAIL(err, INS_RECIPE, "probe cloze needs the model's tokenizer");
    INS_TRY(ins_items_load(c, &o->items, false, &s->items, err));
    INS_TRY(ins_scored_new(s->items.n, &s->answers, err));
    for (int64_t i = 0; i < s->items.n; i++) {
        const ins_item *item = &s->items.items[i];
        INS_TRY(ins_scored_set(&s->answers, i, c, &o->items, item, item->response, true, err));
    }
    return INS_OK;
}

static ins_status cloze_run(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                            ins_error *err) {
    const cloze_options *o = c->options;
    cloze_state *s = state;
    INS_TRY(ins_scored_run(&s->answers, c, &o->items, at->weights, err));
    double exact = 0, nats = 0, tokens = 0, n = (double)s->items.n;
    for (int64_t i = 0; i < s->items.n; i++) {
        const ins_score_item *score = &s->answers.scores[i];
        exact += score->n_scored > 0 && score->n_greedy == score->n_scored;
        nats -= score->logprob;
        tokens += (double)score->n_scored;
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
    ins_scored_free(&s->answers);
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
