/* clm: causal language modelling, the pre-training objective: predict every next token of a document.
 *
 *   loss = - 1/N sum_t log p(x_{t+1} | x_{<=t})        N = targets of the whole step
 */
#include "objective/objective_common.h"

typedef struct clm_options {
    bool intra_document;
} clm_options;

static const ins_opt_row clm_rows[] = {
    {.name = "intra_document",
     .type = INS_OPT_BOOL,
     .offset = offsetof(clm_options, intra_document),
     .def = "true",
     .help = "Documents packed into one row do not see each other."},
    {0},
};
static const ins_opt_table clm_table = {"objective clm", clm_rows, sizeof(clm_options)};

static ins_status clm_prepare(const void *options, ins_batch *batch, ins_rng_key key, ins_error *err) {
    (void)key;
    (void)err;
    const clm_options *o = options;
    ins_objective_spans(batch, INS_SPAN_CAUSAL, o->intra_document);
    return INS_OK;
}

static ins_status clm_build(const void *options, ins_graph *g, const ins_model *m, const ins_batch_values *in,
                            ins_objective_values *out, ins_error *err) {
    (void)options;
    INS_TRY(ins_objective_need_causal(m, "clm", err));
    return ins_objective_next_token(g, m, in, out, err);
}

const ins_objective ins_objective_clm = {
    .head = {.family = "objective",
             .name = "clm",
             .aliases = "causal_lm",
             .summary = "Causal language modelling: predict every next token.",
             .paper = "Improving Language Understanding by Generative Pre-Training (Radford et al., 2018)",
             .version = 1,
             .options = &clm_table},
    .span = INS_SPAN_CAUSAL,
    .prepare = clm_prepare,
    .build = clm_build,
};
