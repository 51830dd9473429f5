/* Probe ngram: bits per byte of an interpolated Kneser-Ney n-gram model over the same tokens: the baseline that a
 * language model has to beat. Trained on the train split, measured on a held-out one. Needs no model.
 *
 *   ngram/NAME      bits per byte       ngram/NAME.se  over documents
 */
#include <math.h>
#include <string.h>

#include "probe/ngram.h"
#include "probe/probe_common.h"

typedef struct ngram_options {
    const char *name, *tokens, *corpus, *split;
    int64_t order, train_tokens;
} ngram_options;

#define ROW(field) offsetof(ngram_options, field)
static const ins_opt_row rows[] = {
    {.name = "name",
     .type = INS_OPT_STRING,
     .offset = ROW(name),
     .help = "Name of the metric: ngram/NAME; the corpus by default."},
    {.name = "tokens",
     .type = INS_OPT_STRING,
     .offset = ROW(tokens),
     .unit = "tokens",
     .flags = INS_OPT_REQUIRED | INS_OPT_INPUT,
     .help = "Tokenize stage that made the shards."},
    {.name = "corpus",
     .type = INS_OPT_STRING,
     .offset = ROW(corpus),
     .flags = INS_OPT_REQUIRED,
     .help = "Which of its corpora."},
    {.name = "split", .type = INS_OPT_STRING, .offset = ROW(split), .def = "valid", .help = "valid or test."},
    {.name = "order",
     .type = INS_OPT_INT,
     .offset = ROW(order),
     .def = "5",
     .min = 1,
     .max = INS_NGRAM_MAX_ORDER,
     .unit = "tokens",
     .help = "Length of the n-grams: 5 looks at the four tokens before."},
    {.name = "train_tokens",
     .type = INS_OPT_SIZE,
     .offset = ROW(train_tokens),
     .def = "20M",
     .min = 1,
     .max = 1e12,
     .unit = "tokens",
     .help = "Count n-grams in at most this many tokens."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"probe ngram", rows, sizeof(ngram_options)};

/* Ids of one document into buf, grown as needed. */
static ins_status read_document(const ins_shard *shard, int64_t doc, int32_t **buf, int64_t *cap, int64_t *n,
                                ins_error *err) {
    int64_t begin = (int64_t)shard->offsets[doc], end = (int64_t)shard->offsets[doc + 1];
    *n = end - begin;
    if (*n > *cap) {
        int32_t *bigger = ins_realloc(*buf, (size_t)*n * 2 * sizeof **buf);
        if (!bigger) return INS_FAIL(err, INS_NOMEM, "no memory for a document of %lld tokens", (long long)*n);
        *buf = bigger;
        *cap = *n * 2;
    }
    for (int64_t i = 0; i < *n; i++) (*buf)[i] = ins_shard_id(shard, begin + i);
    return INS_OK;
}

static ins_status train(const ins_probe_context *c, ins_ngram *lm, const ins_shard *shard, ins_error *err) {
    const ngram_options *o = c->options;
    int32_t *ids = NULL;
    int64_t cap = 0, n = 0, total = 0;
    ins_status status = INS_OK;
    for (int64_t doc = 0; doc < shard->n_documents && total < o->train_tokens && status == INS_OK; doc++) {
        if (c->stop && *c->stop) status = INS_FAIL(err, INS_INTERRUPTED, "interrupted while counting n-grams");
        if (status == INS_OK) status = read_document(shard, doc, &ids, &cap, &n, err);
        if (status == INS_OK) status = ins_ngram_add(lm, ids, n, err);
        total += n;
    }
    ins_free(ids);
    return status == INS_OK ? ins_ngram_finish(lm, err) : status;
}

static ins_status measure(const ins_probe_context *c, const ins_ngram *lm, const ins_shard *shard,
                          const ins_probe_state *at, const ins_metrics *m, ins_error *err) {
    const ngram_options *o = c->options;
    const char *name = o->name ? o->name : o->corpus;
    double bits = 0, bytes = 0, bits2 = 0, cross = 0, bytes2 = 0, docs = (double)shard->n_documents;
    int32_t *ids = NULL;
    int64_t cap = 0, n = 0;
    ins_status status = INS_OK;
    for (int64_t doc = 0; doc < shard->n_documents && status == INS_OK; doc++) {
        double own = 0, length = (double)shard->doc_bytes[doc];
        status = read_document(shard, doc, &ids, &cap, &n, err);
        for (int64_t i = 1; i < n && status == INS_OK; i++) own -= ins_ngram_logprob(lm, ids, i) / M_LN2;
        bits += own;
        bytes += length;
        bits2 += own * own;
        cross += own * length;
        bytes2 += length * length;
    }
    ins_free(ids);
    INS_TRY(status);
    if (!(bytes > 0)) return INS_FAIL(err, INS_DATA, "the %s split of '%s' has no text", o->split, o->corpus);
    double bpb = bits / bytes, residual = bits2 - 2 * bpb * cross + bpb * bpb * bytes2;
    INS_TRY(ins_probe_value(m, at, "ngram", name, NULL, bpb, err));
    if (docs < 2 || !(residual > 0)) return INS_OK;
    return ins_probe_value(m, at, "ngram", name, "se", sqrt(docs / (docs - 1) * residual) / bytes, err);
}

static ins_status ngram_open(const ins_probe_context *c, void **state, ins_error *err) {
    (void)c;
    (void)err;
    *state = NULL;
    return INS_OK;
}

static ins_status ngram_run(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                            ins_error *err) {
    const ngram_options *o = c->options;
    ins_shard trained = {0}, held_out = {0};
    ins_ngram *lm = NULL;
    (void)state;
    ins_status status = ins_probe_open_shard(c, o->tokens, o->corpus, "train", &trained, err);
    if (status == INS_OK) status = ins_probe_open_shard(c, o->tokens, o->corpus, o->split, &held_out, err);
    if (status == INS_OK) status = ins_ngram_new((int)o->order, trained.vocab_size, &lm, err);
    if (status == INS_OK) status = train(c, lm, &trained, err);
    if (status == INS_OK) status = measure(c, lm, &held_out, at, m, err);
    ins_ngram_free(lm);
    ins_shard_close(&trained);
    ins_shard_close(&held_out);
    return status;
}

static void ngram_close(void *state) {
    (void)state;
}

const ins_probe ins_probe_ngram = {
    .head = {.family = "probe",
             .name = "ngram",
             .summary = "Bits per byte of a Kneser-Ney n-gram model over the same tokens: the baseline to beat.",
             .paper = "An empirical study of smoothing techniques for language modeling (Chen and Goodman, 1999)",
             .version = 1,
             .options = &table},
    .unit = "bits/byte",
    .better = "lower",
    .open = ngram_open,
    .run = ngram_run,
    .close = ngram_close,
};
