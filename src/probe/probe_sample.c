/* Probe sample: short texts that the model writes at each checkpoint, greedy by default, so that one can read what it
 * learns. Recorded as texts sample/NAME: prompt and continuation. */
#include <stdio.h>

#include "decode/prompt.h"
#include "probe/probe_common.h"

typedef struct sample_options {
    const char *name;
    ins_opt_strings prompts;
    bool chat;
    ins_sampling sampling;
} sample_options;

#define ROW(field) offsetof(sample_options, field)
static const ins_opt_row rows[] = {
    {.name = "name",
     .type = INS_OPT_STRING,
     .offset = ROW(name),
     .def = "sample",
     .help = "Name of the texts: sample/NAME."},
    {.name = "prompts",
     .type = INS_OPT_STRINGS,
     .offset = ROW(prompts),
     .flags = INS_OPT_REQUIRED,
     .help = "Texts to continue."},
    {.name = "chat",
     .type = INS_OPT_BOOL,
     .offset = ROW(chat),
     .def = "false",
     .help = "Put the prompt into the chat template."},
    {.name = "sampling",
     .type = INS_OPT_TABLE,
     .offset = ROW(sampling),
     .sub = &ins_sampling_table,
     .help = "How tokens are drawn."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"probe sample", rows, sizeof(sample_options)};

static ins_status sample_open(const ins_probe_context *c, void **state, ins_error *err) {
    *state = NULL;
    return c->tokenizer ? INS_OK : INS_FAIL(err, INS_RECIPE, "probe sample needs the model's tokenizer");
}

static ins_status write_text(const ins_probe_context *c, const char *prompt, const ins_generated *out,
                             const ins_probe_state *at, const ins_metrics *m, ins_error *err) {
    const sample_options *o = c->options;
    ins_str text = {0};
    char name[256];
    ins_status status = ins_prompt_show(c->tokenizer, prompt, o->chat, out, &text, NULL, err);
    snprintf(name, sizeof name, "sample/%s", o->name);
    if (status == INS_OK) status = m->text(m->arg, at->step, at->tokens, name, text.data, err);
    ins_str_free(&text);
    return status;
}

static ins_status sample_one(const ins_probe_context *c, ins_decoder *decoder, const char *prompt,
                             const ins_sampling *sampling, const ins_probe_state *at, const ins_metrics *m,
                             ins_error *err) {
    const sample_options *o = c->options;
    ins_ids ids = {0};
    ins_generated out = {0};
    ins_status status = ins_prompt_encode(c->tokenizer, ins_tokenizer_eos(c->tokenizer), prompt, o->chat, &ids, err);
    if (status == INS_OK) {
        const int32_t *rows_of_ids[1] = {ids.data};
        const int64_t lens[1] = {ids.n};
        status = ins_decoder_generate(decoder, rows_of_ids, lens, 1, sampling, &out, err);
    }
    if (status == INS_OK) status = write_text(c, prompt, &out, at, m, err);
    ins_generated_free(&out);
    ins_ids_free(&ids);
    return status;
}

static ins_status sample_run(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                             ins_error *err) {
    const sample_options *o = c->options;
    int32_t stops[INS_PROMPT_STOPS];
    ins_sampling sampling = o->sampling;
    ins_decoder *decoder = NULL;
    int64_t limit = ins_model_get_options(c->model)->max_positions;
    (void)state;
    sampling.seed = c->seed;
    sampling.stop_ids = stops;
    sampling.n_stop = ins_prompt_stops(c->tokenizer, stops);
    sampling.n_ids = ins_tokenizer_vocab_size(c->tokenizer);
    INS_TRY(ins_decoder_new(c->model, at->weights, c->compute, 1, limit > 0 && limit < 512 ? limit : 512, c->pool,
                            &decoder, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < o->prompts.n && status == INS_OK; i++) {
        sampling.first_row = (uint64_t)i;
        status = sample_one(c, decoder, o->prompts.items[i], &sampling, at, m, err);
    }
    ins_decoder_free(decoder);
    return status;
}

static void sample_close(void *state) {
    (void)state;
}

const ins_probe ins_probe_sample = {
    .head = {.family = "probe",
             .name = "sample",
             .summary = "Short texts that the model writes at each checkpoint.",
             .version = 1,
             .options = &table},
    .needs = INS_PROBE_NEEDS_MODEL,
    .open = sample_open,
    .run = sample_run,
    .close = sample_close,
};
