/* Generation: prompts in columns of PROMPT_COLS tokens, then one token a row and step. Every row's arithmetic has the
 * same shape whatever the other rows hold, so a row's result does not depend on them. */
#include <stdlib.h>
#include <string.h>

#include "decode/layer_chain.h"
#include "decode/sampling.h"

enum { PROMPT_COLS = 32 };

struct ins_decoder {
    ins_net_weights weights;
    ins_kv_cache cache;
    ins_layer_chain prompt, step;
    ins_net head;
    ins_sampler sampler;
    int64_t n_rows, max_len, n_vocab;
    size_t hidden_bytes; /* of one token */
    char *last;          /* [n_rows, D]: hidden state of each row's last token */
    float *logits;       /* [n_rows, V] */
    unsigned char *seen; /* [n_rows, V] */
    int64_t *lens;       /* [n_rows] tokens in the cache */
    int64_t *starts, *counts;
};

static ins_status build_head(ins_decoder *d, ins_pool *pool, ins_error *err) {
    ins_blocks b;
    INS_TRY(ins_net_start(&d->head, &d->weights, &b, err));
    ins_graph *g = d->head.graph;
    int64_t width = ins_model_hidden_size(d->weights.model);
    const ins_model_values values = {.head = ins_blocks_head(&b)};
    ins_value rows = ins_graph_input(g, "rows", INS_TYPE(d->weights.compute, d->n_rows, width));
    ins_graph_output(g, ins_model_logits(d->weights.model, g, &values, rows), "logits");
    INS_TRY(ins_net_finish(&d->head, &d->weights, &b, 1, pool, err));
    INS_TRY(ins_exec_bind(d->head.exec, "rows", d->last, err));
    return ins_exec_bind(d->head.exec, "logits", d->logits, err);
}

static ins_status allocate(ins_decoder *d, ins_error *err) {
    size_t n = (size_t)d->n_rows, n_logits = n * (size_t)d->n_vocab;
    d->last = ins_calloc(n, d->hidden_bytes);
    d->logits = ins_calloc(n_logits, sizeof *d->logits);
    d->seen = ins_calloc(n_logits, 1);
    d->lens = ins_calloc(n, sizeof *d->lens);
    d->starts = ins_calloc(n, sizeof *d->starts);
    d->counts = ins_calloc(n, sizeof *d->counts);
    bool ok = d->last && d->logits && d->seen && d->lens && d->starts && d->counts;
    return ok ? INS_OK : INS_FAIL(err, INS_NOMEM, "out of memory for decoding");
}

static ins_status decoder_init(ins_decoder *d, const ins_model *m, float *slab, ins_dtype compute, ins_pool *pool,
                               ins_error *err) {
    INS_TRY(ins_net_weights_init(&d->weights, m, slab, compute, pool, err));
    INS_TRY(ins_kv_cache_init(&d->cache, m, compute, d->n_rows, d->max_len, err));
    INS_TRY(allocate(d, err));
    INS_TRY(ins_sampler_init(&d->sampler, d->n_vocab, err));
    INS_TRY(ins_layer_chain_init(&d->prompt, &d->weights, &d->cache, PROMPT_COLS, pool, err));
    INS_TRY(ins_layer_chain_init(&d->step, &d->weights, &d->cache, 1, pool, err));
    return build_head(d, pool, err);
}

static ins_status check_sizes(const ins_model_options *o, int64_t n_rows, int64_t max_len, ins_error *err) {
    if (n_rows < 1 || max_len < 1)
        return INS_FAIL(err, INS_USAGE, "decoding needs at least one row and one token, not %lld x %lld",
                        (long long)n_rows, (long long)max_len);
    if (o->attention != INS_ATTEND_CAUSAL)
        return INS_FAIL(err, INS_USAGE, "a model with full attention cannot generate token by token");
    bool table = o->positions == INS_POS_LEARNED || o->positions == INS_POS_SINUSOIDAL;
    if (!table || max_len <= o->max_positions) return INS_OK;
    INS_FAIL(err, INS_USAGE, "the model has %lld positions, fewer than the %lld asked for", (long long)o->max_positions,
             (long long)max_len);
    ins_error_hint(err, "ask for at most %lld tokens in all", (long long)o->max_positions);
    return INS_USAGE;
}

ins_status ins_decoder_new(const ins_model *m, float *slab, ins_dtype compute, int64_t n_rows, int64_t max_len,
                           ins_pool *pool, ins_decoder **out, ins_error *err) {
    const ins_model_options *o = ins_model_get_options(m);
    INS_TRY(check_sizes(o, n_rows, max_len, err));
    ins_decoder *d = ins_calloc(1, sizeof *d);
    if (!d) return INS_FAIL(err, INS_NOMEM, "out of memory for decoding");
    d->n_rows = n_rows;
    d->max_len = max_len;
    d->n_vocab = o->vocab;
    d->hidden_bytes = ins_dtype_size(compute) * (size_t)ins_model_hidden_size(m);
    ins_status status = decoder_init(d, m, slab, compute, pool, err);
    if (status != INS_OK) {
        ins_decoder_free(d);
        return status;
    }
    *out = d;
    return INS_OK;
}

void ins_decoder_free(ins_decoder *d) {
    if (!d) return;
    ins_net_clear(&d->head);
    ins_layer_chain_clear(&d->step);
    ins_layer_chain_clear(&d->prompt);
    ins_sampler_clear(&d->sampler);
    ins_kv_cache_clear(&d->cache);
    ins_net_weights_clear(&d->weights);
    void *const all[] = {d->last, d->logits, d->seen, d->lens, d->starts, d->counts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ins_free(all[i]);
    ins_free(d);
}

/* Column `col` of row `row`: a token at this position, or padding with id < 0. */
static void put_token(ins_layer_chain *p, int64_t row, int64_t col, int32_t id, int64_t position) {
    int64_t at = row * p->n_cols + col;
    p->ids[at] = id < 0 ? 0 : id;
    p->positions[at] = id < 0 ? 0 : (int32_t)position;
    p->lo[at] = 0;
    p->hi[at] = id < 0 ? 0 : (int32_t)position + 1;
}

static void keep_last(ins_decoder *d, const ins_layer_chain *p, int64_t row, int64_t col) {
    memcpy(d->last + (size_t)row * d->hidden_bytes,
           (const char *)p->hidden + (size_t)(row * p->n_cols + col) * d->hidden_bytes, d->hidden_bytes);
}

/* All prompts into the cache, a slice of columns at a time. */
static ins_status read_prompts(ins_decoder *d, const int32_t *const *prompts, const int64_t *lens, int64_t n,
                               ins_error *err) {
    ins_layer_chain *p = &d->prompt;
    int64_t longest = 0;
    for (int64_t row = 0; row < d->n_rows; row++) {
        d->lens[row] = row < n ? lens[row] : 0;
        if (d->lens[row] > longest) longest = d->lens[row];
    }
    for (int64_t begin = 0; begin < longest; begin += p->n_cols) {
        for (int64_t row = 0; row < d->n_rows; row++) {
            int64_t left = d->lens[row] - begin;
            d->starts[row] = begin;
            d->counts[row] = left < 0 ? 0 : left > p->n_cols ? p->n_cols : left;
            for (int64_t col = 0; col < p->n_cols; col++)
                put_token(p, row, col, col < d->counts[row] ? prompts[row][begin + col] : -1, begin + col);
        }
        INS_TRY(ins_layer_chain_run(p, d->starts, d->counts, err));
        for (int64_t row = 0; row < n; row++)
            if (d->counts[row] > 0) keep_last(d, p, row, d->counts[row] - 1);
    }
    return INS_OK;
}

static bool is_stop(const ins_sampling *s, int32_t id) {
    for (int64_t i = 0; i < s->n_stop; i++)
        if (s->stop_ids[i] == id) return true;
    return false;
}

static ins_status push(ins_generated *g, int32_t id, double logprob, int64_t most, ins_error *err) {
    if (!g->logprobs) g->logprobs = ins_calloc((size_t)most, sizeof *g->logprobs);
    if (!g->logprobs || !ins_ids_push(&g->ids, id))
        return INS_FAIL(err, INS_NOMEM, "out of memory for generated tokens");
    g->logprobs[g->n_logprobs++] = logprob;
    return INS_OK;
}

/* One token for a row from its logits. Rows that are done have finish set. */
static ins_status draw(ins_decoder *d, int64_t row, int64_t step, const ins_sampling *s, ins_generated *g,
                       ins_error *err) {
    int32_t id;
    double logprob;
    unsigned char *seen = d->seen + row * d->n_vocab;
    ins_rng rng = ins_rng_start(ins_rng_derive(s->seed, "sample", s->first_row + (uint64_t)row), (uint64_t)step);
    ins_status status =
        ins_sampler_draw(&d->sampler, s, d->logits + row * d->n_vocab, seen, ins_rng_uniform(&rng), &id, &logprob, err);
    if (status != INS_OK) {
        ins_error_frame(err, "generating token %lld of row %lld", (long long)step, (long long)row);
        return status;
    }
    if (is_stop(s, id)) {
        g->finish = "stop";
        return INS_OK;
    }
    INS_TRY(push(g, id, logprob, s->max_tokens, err));
    seen[id] = 1;
    if (g->ids.n >= s->max_tokens || d->lens[row] >= d->max_len) g->finish = "length";
    return INS_OK;
}

/* The tokens just drawn go through the model; rows that are done are padding. */
static ins_status advance(ins_decoder *d, const ins_generated *out, int64_t n, ins_error *err) {
    for (int64_t row = 0; row < d->n_rows; row++) {
        bool goes_on = row < n && !out[row].finish;
        d->starts[row] = goes_on ? d->lens[row] : 0;
        d->counts[row] = goes_on;
        put_token(&d->step, row, 0, goes_on ? out[row].ids.data[out[row].ids.n - 1] : -1, d->starts[row]);
        d->lens[row] += goes_on;
    }
    INS_TRY(ins_layer_chain_run(&d->step, d->starts, d->counts, err));
    for (int64_t row = 0; row < n; row++)
        if (d->counts[row] > 0) keep_last(d, &d->step, row, 0);
    return INS_OK;
}

static ins_status check_prompts(const ins_decoder *d, const int32_t *const *prompts, const int64_t *lens, int64_t n,
                                ins_error *err) {
    if (n < 1 || n > d->n_rows)
        return INS_FAIL(err, INS_USAGE, "%lld prompts for a decoder of %lld rows", (long long)n, (long long)d->n_rows);
    for (int64_t row = 0; row < n; row++) {
        if (lens[row] < 1 || lens[row] > d->max_len) {
            INS_FAIL(err, INS_USAGE, "prompt %lld has %lld tokens; it may have 1 to %lld", (long long)row,
                     (long long)lens[row], (long long)d->max_len);
            ins_error_hint(err, "shorten the prompt, or raise the context that is asked for");
            return INS_USAGE;
        }
        for (int64_t i = 0; i < lens[row]; i++)
            if (prompts[row][i] < 0 || prompts[row][i] >= d->n_vocab)
                return INS_FAIL(err, INS_USAGE, "prompt %lld: id %d is outside the vocabulary of %lld", (long long)row,
                                (int)prompts[row][i], (long long)d->n_vocab);
    }
    return INS_OK;
}

static ins_status generate(ins_decoder *d, const int32_t *const *prompts, const int64_t *lens, int64_t n,
                           const ins_sampling *s, ins_generated *out, ins_error *err) {
    memset(d->seen, 0, (size_t)(d->n_rows * d->n_vocab));
    for (int64_t row = 0; row < n; row++) {
        for (int64_t i = 0; i < lens[row]; i++) d->seen[row * d->n_vocab + prompts[row][i]] = 1;
        if (s->max_tokens < 1) out[row].finish = "length";
    }
    if (s->max_tokens < 1) return INS_OK;
    INS_TRY(read_prompts(d, prompts, lens, n, err));
    for (int64_t step = 0; step < s->max_tokens; step++) {
        int64_t n_left = 0;
        INS_TRY(ins_net_run(&d->head, 0, err));
        for (int64_t row = 0; row < n; row++) {
            if (!out[row].finish) INS_TRY(draw(d, row, step, s, &out[row], err));
            n_left += !out[row].finish;
        }
        if (n_left == 0) break;
        INS_TRY(advance(d, out, n, err));
    }
    return INS_OK;
}

ins_status ins_decoder_generate(ins_decoder *d, const int32_t *const *prompts, const int64_t *lens, int64_t n,
                                const ins_sampling *sampling, ins_generated *out, ins_error *err) {
    INS_TRY(check_prompts(d, prompts, lens, n, err));
    ins_generated *made = ins_calloc((size_t)n, sizeof *made);
    if (!made) return INS_FAIL(err, INS_NOMEM, "out of memory for generated tokens");
    ins_status status = generate(d, prompts, lens, n, sampling, made, err);
    for (int64_t row = 0; row < n; row++) {
        if (status == INS_OK)
            out[row] = made[row];
        else
            ins_generated_free(&made[row]);
    }
    ins_free(made);
    return status;
}

void ins_generated_free(ins_generated *out) {
    ins_ids_free(&out->ids);
    ins_free(out->logprobs);
    *out = (ins_generated){0};
}
