/* Text from a model. */
#include <string.h>

#include "api/api_model.h"
#include "decode/prompt.h"

static ins_status make_prompt(const api_model *m, const instar_generate_options *o, ins_ids *ids, ins_error *err) {
    json_t *list = NULL;
    if (o->ids) {
        INS_TRY(api_ids_json(o->ids, &list, err));
        ins_status status = api_parse_ids(list, ins_model_get_options(m->model)->vocab, ids, err);
        json_decref(list);
        if (status == INS_OK && ids->n == 0)
            status = INS_FAIL(err, INS_USAGE, "--ids must be of one token at least, such as [1]");
        return status;
    }
    const char *prompt = o->prompt ? o->prompt : "";
    int32_t bos = ins_tokenizer_bos(m->tokenizer); /* documents begin with it, or with eos, in training */
    INS_TRY(
        ins_prompt_encode(m->tokenizer, bos >= 0 ? bos : ins_tokenizer_eos(m->tokenizer), prompt, o->chat, ids, err));
    if (ids->n == 0) return INS_FAIL(err, INS_USAGE, "the prompt is empty and the tokenizer has no mark to begin with");
    return INS_OK;
}

static void put_result(const api_model *m, const ins_generated *g, const ins_str *text, instar_format format,
                       ins_str *out) {
    (void)m;
    if (format != INSTAR_JSON) {
        ins_str_append(out, text->data ? text->data : "", text->len);
        ins_str_putc(out, '\n');
        return;
    }
    ins_str_puts(out, "{\"ids\":[");
    for (int64_t i = 0; i < g->ids.n; i++) ins_str_printf(out, "%s%d", i ? "," : "", (int)g->ids.data[i]);
    ins_str_puts(out, "],\"text\":");
    if (m->tokenizer) {
        ins_str_putc(out, '"');
        ins_str_json_escape(out, text->data ? text->data : "", text->len);
        ins_str_putc(out, '"');
    } else {
        ins_str_puts(out, "null");
    }
    ins_str_puts(out, ",\"logprobs\":[");
    for (int64_t i = 0; i < g->n_logprobs; i++) {
        if (i) ins_str_putc(out, ',');
        api_json_number(out, g->logprobs[i]);
    }
    ins_str_puts(out, "],\"finish\":");
    api_json_string(out, g->finish);
    ins_str_puts(out, "}\n");
}

static ins_status check_options(const instar_generate_options *o, ins_error *err) {
    if (o->temperature < 0 || o->top_p < 0 || o->top_p > 1 || o->top_k < 0 || o->min_p < 0 || o->min_p > 1 ||
        o->max_tokens < 0 || o->repetition_penalty < 0)
        return INS_FAIL(err, INS_USAGE,
                        "a sampling option is out of its range (top_p and min_p: 0 to 1; the others: not negative)");
    if (o->prompt && o->ids) return INS_FAIL(err, INS_USAGE, "give a prompt or ids, not both");
    return INS_OK;
}

static ins_status generate(instar *session, const char *name, const instar_generate_options *o, instar_format format,
                           ins_str *out, ins_error *err) {
    api_model m = {0};
    ins_ids ids = {0};
    ins_decoder *decoder = NULL;
    ins_generated g = {0};
    ins_str text = {0};
    INS_TRY(check_options(o, err));
    ins_status status = api_model_open(session, name, !o->ids, &m, err);
    if (status == INS_OK) status = make_prompt(&m, o, &ids, err);
    int64_t limit = m.model ? ins_model_get_options(m.model)->max_positions : 0;
    int64_t max_tokens = o->max_tokens > 0 ? o->max_tokens : 64;
    int64_t longest = ids.n + max_tokens;
    if (limit > 0 && longest > limit) longest = limit;
    if (status == INS_OK && ids.n > longest)
        status = INS_FAIL(err, INS_USAGE, "the prompt has %lld tokens but the model takes %lld", (long long)ids.n,
                          (long long)limit);
    int32_t stops[INS_PROMPT_STOPS];
    int64_t n_stops = status == INS_OK && m.tokenizer ? ins_prompt_stops(m.tokenizer, stops) : 0;
    ins_sampling sampling = {.temperature = o->greedy            ? 0
                                            : o->temperature > 0 ? o->temperature
                                                                 : 1,
                             .top_k = o->top_k,
                             .top_p = o->top_p > 0 ? o->top_p : 1,
                             .min_p = o->min_p,
                             .repetition_penalty = o->repetition_penalty > 0 ? o->repetition_penalty : 1,
                             .max_tokens = max_tokens,
                             .seed = o->seed,
                             .stop_ids = stops,
                             .n_stop = n_stops,
                             .n_ids = m.tokenizer ? ins_tokenizer_vocab_size(m.tokenizer) : 0};
    const int32_t *prompts[1] = {ids.data};
    const int64_t lens[1] = {ids.n};
    if (status == INS_OK)
        status = ins_decoder_new(m.model, m.weights, INS_DTYPE_F32, 1, longest, session->pool, &decoder, err);
    if (status == INS_OK) status = ins_decoder_generate(decoder, prompts, lens, 1, &sampling, &g, err);
    if (status == INS_OK && m.tokenizer)
        status = ins_tokenizer_decode(m.tokenizer, g.ids.data, g.ids.n, true, &text, err);
    if (status == INS_OK) put_result(&m, &g, &text, format, out);
    ins_str_free(&text);
    ins_generated_free(&g);
    ins_decoder_free(decoder);
    ins_ids_free(&ids);
    api_model_close(&m);
    return status;
}

instar_status instar_generate(instar *session, const char *model, const instar_generate_options *options,
                              instar_format format, char **text) {
    static const instar_generate_options nothing = {0};
    ins_error err = {0};
    ins_str out = {0};
    api_begin(session);
    ins_status status = generate(session, model, options ? options : &nothing, format, &out, &err);
    if (status == INS_OK) return api_give(session, &out, text);
    ins_str_free(&out);
    return api_end(session, status, &err);
}
