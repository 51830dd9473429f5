/* sft: supervised fine-tuning on instructions: the next-token loss over responses only.
 *
 *   token:    every response token weighs the same:  loss = 1/N sum_t nll_t
 *   sequence: every response weighs the same:        loss = 1/S sum_s 1/n_s sum_{t in s} nll_t
 *
 * N response tokens, S responses, n_s tokens of response s, over the whole step. A response is a run of positions whose
 * targets are in the loss, within one document. The batch's weights come from the corpus' loss mask.
 */
#include "objective/objective_common.h"

enum { NORMALISE_TOKEN, NORMALISE_SEQUENCE };

typedef struct sft_options {
    bool intra_document;
    int normalise;
} sft_options;

static const ins_opt_row sft_rows[] = {
    {.name = "normalise",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(sft_options, normalise),
     .def = "token",
     .choices = "token sequence",
     .aliases = "normalize",
     .help = "What counts the same in the loss: each response token, or each response."},
    {.name = "intra_document",
     .type = INS_OPT_BOOL,
     .offset = offsetof(sft_options, intra_document),
     .def = "true",
     .help = "Conversations packed into one row do not see each other."},
    {0},
};
static const ins_opt_table sft_table = {"objective sft", sft_rows, sizeof(sft_options)};

/* In the loss: it has a target and a weight. */
static bool counts(const ins_batch *batch, int64_t at) {
    return batch->targets[at] >= 0 && batch->weights[at] > 0;
}

/* Give each response of a row weights that sum to 1; returns how many there are. */
static int64_t weigh_row(ins_batch *batch, int64_t row) {
    int64_t at = row * batch->n_cols, end = at + batch->n_cols, n_responses = 0;
    while (at < end) {
        if (!counts(batch, at)) {
            at++;
            continue;
        }
        int64_t stop = at + 1;
        while (stop < end && counts(batch, stop) && batch->segments[stop] == batch->segments[at]) stop++;
        for (int64_t i = at; i < stop; i++) batch->weights[i] = 1.0f / (float)(stop - at);
        n_responses++;
        at = stop;
    }
    return n_responses;
}

/* n_targets becomes the batch's total weight: the trainer divides by its sum over the step. */
static ins_status sft_prepare(const void *options, ins_batch *batch, ins_rng_key key, ins_error *err) {
    (void)key;
    (void)err;
    const sft_options *o = options;
    ins_objective_spans(batch, INS_SPAN_CAUSAL, o->intra_document);
    if (o->normalise == NORMALISE_TOKEN) return INS_OK;
    int64_t n_responses = 0;
    for (int64_t row = 0; row < batch->n_rows; row++) n_responses += weigh_row(batch, row);
    batch->n_targets = n_responses;
    return INS_OK;
}

static ins_status sft_build(const void *options, ins_graph *g, const ins_model *m, const ins_batch_values *in,
                            ins_objective_values *out, ins_error *err) {
    (void)options;
    INS_TRY(ins_objective_need_causal(m, "sft", err));
    return ins_objective_next_token(g, m, in, out, err);
}

const ins_objective ins_objective_sft = {
    .head = {.family = "objective",
             .name = "sft",
             .summary = "Supervised fine-tuning: the next-token loss over responses only.",
             .paper = "Training language models to follow instructions with human feedback (Ouyang et al., 2022)",
             .version = 1,
             .options = &sft_table},
    .span = INS_SPAN_CAUSAL,
    .needs_mask = true,
    .prepare = sft_prepare,
    .build = sft_build,
};
