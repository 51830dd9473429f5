/* Probe bpb: bits per byte of held-out text, with perplexity and accuracy per token.
 *
 *   bpb = sum of -log2 p(token) / bytes of text the tokens stand for
 *
 * comparable over tokenizers. The mark that ends a document costs bits and stands for no bytes. The standard error is
 * that of a ratio over rows: se = sqrt(n/(n-1) sum e_r^2) / sum bytes with e_r = bits_r - bpb bytes_r. Rows are packed
 * like training rows with attention inside documents, and drawn by a fixed permutation, so a cap on tokens takes an
 * unbiased part. The result does not depend on how many rows run at once. */
#include <math.h>
#include <string.h>

#include "data/batch.h"
#include "objective/train_graph.h"
#include "probe/probe_common.h"

typedef struct bpb_options {
    const char *name, *tokens, *corpus, *split;
    int64_t max_tokens, context, rows;
} bpb_options;

#define ROW(field) offsetof(bpb_options, field)
static const ins_opt_row rows[] = {
    {.name = "name",
     .type = INS_OPT_STRING,
     .offset = ROW(name),
     .help = "Name of the metric: bpb/NAME; the corpus by default."},
    {.name = "tokens",
     .type = INS_OPT_STRING,
     .offset = ROW(tokens),
     .unit = "tokens",
     .flags = INS_OPT_REQUIRED | INS_OPT_INPUT,
     .help = "Tokenize stage that made the shards; its tokenizer must be the model's."},
    {.name = "corpus",
     .type = INS_OPT_STRING,
     .offset = ROW(corpus),
     .flags = INS_OPT_REQUIRED,
     .help = "Which of its corpora."},
    {.name = "split", .type = INS_OPT_STRING, .offset = ROW(split), .def = "valid", .help = "train, valid or test."},
    {.name = "max_tokens",
     .type = INS_OPT_SIZE,
     .offset = ROW(max_tokens),
     .def = "65536",
     .min = 0,
     .max = 1e15,
     .unit = "tokens",
     .help = "Measure on about this many positions, drawn evenly; 0 = the whole split."},
    {.name = "context",
     .type = INS_OPT_SIZE,
     .offset = ROW(context),
     .def = "256",
     .min = 2,
     .max = 1e6,
     .unit = "tokens",
     .help = "Length of a row, at most the model's context."},
    {.name = "rows",
     .type = INS_OPT_SIZE,
     .offset = ROW(rows),
     .def = "16",
     .min = 1,
     .max = 65536,
     .unit = "rows",
     .flags = INS_OPT_NO_HASH,
     .help = "Rows measured at once; does not change the result."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"probe bpb", rows, sizeof(bpb_options)};

typedef struct bpb_state {
    ins_shard shard;
    ins_rows *rows;
    ins_batch *batch;
    double *row_bytes; /* [n_rows of the batch] */
    ins_arena *arena;  /* objective's options */
    ins_opt_component objective;
    ins_train_graph *graph;
    int64_t n_rows; /* rows measured */
} bpb_state;

/* The plain next-token objective with its defaults, whatever the stage trains on. */
static ins_status make_objective(bpb_state *s, ins_error *err) {
    const ins_component *head = ins_component_find(&ins_family_objective, "clm");
    s->arena = ins_arena_new(0);
    if (!head || !s->arena) return INS_FAIL(err, INS_NOMEM, "no memory for the probe");
    s->objective.desc = head;
    if (!head->options) return INS_OK;
    ins_diag diag = {0};
    s->objective.options = ins_arena_alloc(s->arena, head->options->size);
    bool fine = s->objective.options && ins_opt_parse(head->options, NULL, s->objective.options, s->arena, NULL, &diag);
    ins_diag_free(&diag);
    return fine ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory for the probe");
}

/* The graph is bound to one slab; weights that probes see live elsewhere at each checkpoint, so it is rebound there. */
static ins_status make_graph(bpb_state *s, const ins_probe_context *c, float *weights, ins_error *err) {
    ins_train_graph_config config = {.model = c->model,
                                     .objective = &s->objective,
                                     .compute = c->compute,
                                     .n_rows = s->batch->n_rows,
                                     .n_cols = s->batch->n_cols,
                                     .weights = weights,
                                     .pool = c->pool};
    return ins_train_graph_new(&config, &s->graph, err);
}

static ins_status check_vocab(const bpb_state *s, const ins_probe_context *c, ins_error *err) {
    const bpb_options *o = c->options;
    int64_t vocab = ins_model_get_options(c->model)->vocab;
    if (s->shard.vocab_size <= vocab) return INS_OK;
    INS_FAIL(err, INS_RECIPE, "tokens of '%s' were made with a vocabulary of %lld, the model has %lld", o->tokens,
             (long long)s->shard.vocab_size, (long long)vocab);
    ins_error_hint(err, "probe with tokens made by the tokenizer that the model was trained with");
    return INS_RECIPE;
}

static ins_status bpb_open(const ins_probe_context *c, void **state, ins_error *err) {
    const bpb_options *o = c->options;
    bpb_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "no memory for the probe");
    *state = s;
    INS_TRY(ins_probe_open_shard(c, o->tokens, o->corpus, o->split, &s->shard, err));
    INS_TRY(check_vocab(s, c, err));
    int64_t limit = ins_model_get_options(c->model)->max_positions;
    int64_t context = limit > 0 && o->context > limit ? limit : o->context;
    INS_TRY(ins_rows_new(&s->shard, INS_PACK_BESTFIT, context, &s->rows, err));
    int64_t n_rows = ins_rows_count(s->rows), wanted = (o->max_tokens + context - 1) / context;
    s->n_rows = o->max_tokens > 0 && wanted < n_rows ? wanted : n_rows;
    INS_TRY(ins_batch_new(o->rows < s->n_rows ? o->rows : s->n_rows, context, &s->batch, err));
    s->row_bytes = ins_calloc((size_t)s->batch->n_rows, sizeof *s->row_bytes);
    if (!s->row_bytes) return INS_FAIL(err, INS_NOMEM, "no memory for the probe");
    return make_objective(s, err);
}

typedef struct bpb_sums {
    double bits, bytes, targets, correct;
    double bits2, cross, bytes2; /* sums over rows of bits^2, bits bytes, bytes^2 */
    int64_t n;
} bpb_sums;

static void fill_batch(bpb_state *s, int64_t first) {
    ins_rng_key key = ins_rng_derive(0, "probe:bpb", 0);
    ins_batch_clear(s->batch);
    for (int64_t i = 0; i < s->batch->n_rows; i++) {
        s->row_bytes[i] = 0;
        if (first + i >= s->n_rows) continue;
        int64_t before = s->batch->text_bytes;
        int64_t row = (int64_t)ins_permute(key, (uint64_t)ins_rows_count(s->rows), (uint64_t)(first + i));
        ins_rows_read(s->rows, row, s->batch, i);
        s->row_bytes[i] = (double)(s->batch->text_bytes - before);
    }
    ins_batch_spans(s->batch, INS_SPAN_CAUSAL, true);
}

static void add_rows(const bpb_state *s, int64_t first, const ins_train_result *result, bpb_sums *sums) {
    const ins_batch *batch = s->batch;
    for (int64_t r = 0; r < batch->n_rows && first + r < s->n_rows; r++) {
        double bits = 0, bytes = s->row_bytes[r];
        for (int64_t t = r * batch->n_cols; t < (r + 1) * batch->n_cols; t++) {
            if (batch->targets[t] < 0 || !(batch->weights[t] > 0)) continue;
            bits += (double)result->nll[t] / M_LN2;
            sums->correct += (double)result->correct[t];
            sums->targets += 1;
        }
        sums->bits += bits;
        sums->bytes += bytes;
        sums->bits2 += bits * bits;
        sums->cross += bits * bytes;
        sums->bytes2 += bytes * bytes;
        sums->n++;
    }
}

static ins_status record(const bpb_options *o, const bpb_sums *sums, const ins_probe_state *at, const ins_metrics *m,
                         ins_error *err) {
    const char *name = o->name ? o->name : o->corpus;
    if (!(sums->bytes > 0) || !(sums->targets > 0))
        return INS_FAIL(err, INS_DATA, "the %s split of '%s' has no text to measure", o->split, o->corpus);
    double bpb = sums->bits / sums->bytes, n = (double)sums->n;
    if (!isfinite(bpb)) {
        INS_FAIL(err, INS_NUMERIC, "bits per byte of '%s' at step %lld are not finite", o->corpus, (long long)at->step);
        ins_error_hint(err, "the weights have blown up: lower the learning rate, or set clip");
        return INS_NUMERIC;
    }
    double residual = sums->bits2 - 2 * bpb * sums->cross + bpb * bpb * sums->bytes2;
    INS_TRY(ins_probe_value(m, at, "bpb", name, NULL, bpb, err));
    if (sums->n > 1 && residual > 0) {
        INS_TRY(ins_probe_value(m, at, "bpb", name, "se", sqrt(n / (n - 1) * residual) / sums->bytes, err));
    }
    INS_TRY(ins_probe_value(m, at, "bpb", name, "perplexity", exp(sums->bits * M_LN2 / sums->targets), err));
    return ins_probe_value(m, at, "bpb", name, "accuracy", sums->correct / sums->targets, err);
}

static ins_status bpb_run(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                          ins_error *err) {
    bpb_state *s = state;
    bpb_sums sums = {0};
    if (!s->graph) INS_TRY(make_graph(s, c, at->weights, err));
    INS_TRY(ins_model_bind(c->model, ins_train_graph_exec(s->graph), at->weights, err));
    for (int64_t first = 0; first < s->n_rows; first += s->batch->n_rows) {
        if (c->stop && *c->stop) return INS_FAIL(err, INS_INTERRUPTED, "interrupted while probing");
        fill_batch(s, first);
        ins_train_result result;
        INS_TRY(ins_train_graph_run(s->graph, s->batch, 1, NULL, false, &result, err));
        add_rows(s, first, &result, &sums);
    }
    return record(c->options, &sums, at, m, err);
}

static void bpb_close(void *state) {
    bpb_state *s = state;
    if (!s) return;
    ins_train_graph_free(s->graph);
    ins_arena_free(s->arena);
    ins_batch_free(s->batch);
    ins_rows_free(s->rows);
    ins_shard_close(&s->shard);
    ins_free(s->row_bytes);
    ins_free(s);
}

const ins_probe ins_probe_bpb = {
    .head = {.family = "probe",
             .name = "bpb",
             .summary = "Bits per byte of held-out text, with standard error, perplexity and accuracy.",
             .version = 1,
             .options = &table},
    .needs = INS_PROBE_NEEDS_MODEL,
    .unit = "bits/byte",
    .better = "lower",
    .open = bpb_open,
    .run = bpb_run,
    .close = bpb_close,
};
