/* Probe choice: multiple choice by log-probability. Each choice is scored as the continuation of the question; the most
 * probable one is the answer. Scoring follows the common convention of evaluation harnesses:
 *
 *   choice/NAME           accuracy of the largest sum of log-probabilities, with .se = sqrt(p (1 - p) / (n - 1))
 *   choice/NAME.norm      accuracy of the largest sum divided by the choice's bytes
 *   choice/NAME.majority  accuracy of always giving the most frequent answer of these questions
 *   choice/NAME.chance    mean of 1 / number of choices
 *   choice/NAME.n         questions
 */
#include <math.h>
#include <string.h>

#include "probe/items.h"

typedef struct choice_options {
    const char *name;
    ins_item_options items;
} choice_options;

#define ROW(field) offsetof(choice_options, field)
static const ins_opt_row rows[] = {
    {.name = "name",
     .type = INS_OPT_STRING,
     .offset = ROW(name),
     .help = "Name of the metric: choice/NAME; by default what `only` says, or else the corpus."},
    INS_ITEM_ROWS(choice_options, items),
    {0},
};
#undef ROW
static const ins_opt_table table = {"probe choice", rows, sizeof(choice_options)};

typedef struct choice_state {
    ins_items items;
    ins_scored answers; /* one a choice of every question, question by question */
} choice_state;

static ins_status choice_open(const ins_probe_context *c, void **state, ins_error *err) {
    const choice_options *o = c->options;
    choice_state *s = ins_calloc(1, sizeof *s);
    int64_t n = 0, at = 0;
    *state = s;
    if (!s) return INS_FAIL(err, INS_NOMEM, "no memory for the probe");
    if (!c->tokenizer) return INS_FAIL(err, INS_RECIPE, "probe choice needs the model's tokenizer");
    INS_TRY(ins_items_load(c, &o->items, true, &s->items, err));
    for (int64_t i = 0; i < s->items.n; i++) n += s->items.items[i].n_choices;
    INS_TRY(ins_scored_new(n, &s->answers, err));
    for (int64_t i = 0; i < s->items.n; i++) {
        const ins_item *item = &s->items.items[i];
        for (int64_t k = 0; k < item->n_choices; k++) /* without the end mark, so that lengths compare */
            INS_TRY(ins_scored_set(&s->answers, at++, c, &o->items, item, item->choices[k], false, err));
    }
    return INS_OK;
}

/* Index of the best choice of a question, by score, divided by bytes when by_bytes. */
static int64_t best_choice(const ins_item *item, const ins_score_item *scores, bool by_bytes) {
    int64_t best = 0;
    double best_score = -INFINITY;
    for (int64_t k = 0; k < item->n_choices; k++) {
        double score = scores[k].logprob / (by_bytes ? (double)strlen(item->choices[k]) : 1.0);
        if (score > best_score) {
            best = k;
            best_score = score;
        }
    }
    return best;
}

/* Share of the most frequent right answer, by its text. */
static double majority(const ins_items *items) {
    int64_t most = 0;
    for (int64_t i = 0; i < items->n; i++) {
        const char *answer = items->items[i].choices[items->items[i].answer];
        int64_t same = 0;
        for (int64_t j = 0; j < items->n; j++)
            same += strcmp(answer, items->items[j].choices[items->items[j].answer]) == 0;
        if (same > most) most = same;
    }
    return (double)most / (double)items->n;
}

static ins_status record(const choice_state *s, const char *name, const ins_probe_state *at, const ins_metrics *m,
                         ins_error *err) {
    double right = 0, right_norm = 0, chance = 0, n = (double)s->items.n;
    for (int64_t i = 0, first = 0; i < s->items.n; first += s->items.items[i].n_choices, i++) {
        const ins_item *item = &s->items.items[i];
        right += best_choice(item, s->answers.scores + first, false) == item->answer;
        right_norm += best_choice(item, s->answers.scores + first, true) == item->answer;
        chance += 1.0 / (double)item->n_choices;
    }
    double p = right / n;
    INS_TRY(ins_probe_value(m, at, "choice", name, NULL, p, err));
    if (n > 1) INS_TRY(ins_probe_value(m, at, "choice", name, "se", sqrt(p * (1 - p) / (n - 1)), err));
    INS_TRY(ins_probe_value(m, at, "choice", name, "norm", right_norm / n, err));
    INS_TRY(ins_probe_value(m, at, "choice", name, "majority", majority(&s->items), err));
    INS_TRY(ins_probe_value(m, at, "choice", name, "chance", chance / n, err));
    return ins_probe_value(m, at, "choice", name, "n", n, err);
}

static ins_status choice_run(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                             ins_error *err) {
    const choice_options *o = c->options;
    choice_state *s = state;
    INS_TRY(ins_scored_run(&s->answers, c, &o->items, at->weights, err));
    return record(s, ins_item_name(o->name, &o->items), at, m, err);
}

static void choice_close(void *state) {
    choice_state *s = state;
    if (!s) return;
    ins_scored_free(&s->answers);
    ins_items_free(&s->items);
    ins_free(s);
}

const ins_probe ins_probe_choice = {
    .head = {.family = "probe",
             .name = "choice",
             .summary = "Multiple choice by log-probability, with the majority and chance baselines.",
             .version = 1,
             .options = &table},
    .needs = INS_PROBE_NEEDS_MODEL,
    .unit = "accuracy",
    .better = "higher",
    .open = choice_open,
    .run = choice_run,
    .close = choice_close,
};
