/* Scoring continuations. An item's row length depends on the item alone (the smallest bucket that holds it), and rows
 * do not mix, so its score does not depend on what else is scored. */
#include <math.h>
#include <string.h>

#include "decode/net.h"

enum { BUCKET_MIN = 32, MAX_BUCKETS = 32 };

typedef struct bucket {
    int64_t n_cols;
    ins_net net;                                  /* built when first needed: net.exec NULL before */
    int32_t *ids, *targets, *positions, *lo, *hi; /* [n_rows, n_cols] */
    float *weights;                               /* ones */
} bucket;

struct ins_scorer {
    ins_net_weights weights;
    ins_pool *pool;
    int64_t n_rows, max_len, n_vocab;
    bucket buckets[MAX_BUCKETS];
    int n_buckets;
    int64_t *rows; /* [n_rows] items of the batch being filled */
};

ins_status ins_scorer_new(const ins_model *m, float *slab, ins_dtype compute, int64_t n_rows, int64_t max_len,
                          ins_pool *pool, ins_scorer **out, ins_error *err) {
    const ins_model_options *o = ins_model_get_options(m);
    bool table = o->positions == INS_POS_LEARNED || o->positions == INS_POS_SINUSOIDAL;
    if (n_rows < 1 || max_len < 2)
        return INS_FAIL(err, INS_USAGE, "scoring needs at least one row of two tokens, not %lld x %lld",
                        (long long)n_rows, (long long)max_len);
    if (table && max_len > o->max_positions + 1)
        return INS_FAIL(err, INS_USAGE, "the model has %lld positions: it cannot score rows of %lld tokens",
                        (long long)o->max_positions, (long long)max_len);
    ins_scorer *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for scoring");
    s->pool = pool;
    s->n_rows = n_rows;
    s->max_len = max_len;
    s->n_vocab = o->vocab;
    int64_t n_cols = BUCKET_MIN;
    for (; n_cols < max_len - 1 && s->n_buckets < MAX_BUCKETS - 1; n_cols *= 2)
        s->buckets[s->n_buckets++].n_cols = n_cols;
    s->buckets[s->n_buckets++].n_cols = max_len - 1; /* the last id is only a target */
    s->rows = ins_calloc((size_t)n_rows, sizeof *s->rows);
    ins_status status = s->rows ? ins_net_weights_init(&s->weights, m, slab, compute, pool, err)
                                : INS_FAIL(err, INS_NOMEM, "out of memory for scoring");
    if (status != INS_OK) {
        ins_scorer_free(s);
        return status;
    }
    *out = s;
    return INS_OK;
}

static void bucket_clear(bucket *b) {
    ins_net_clear(&b->net);
    void *const all[] = {b->ids, b->targets, b->positions, b->lo, b->hi, b->weights};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ins_free(all[i]);
    *b = (bucket){.n_cols = b->n_cols};
}

void ins_scorer_free(ins_scorer *s) {
    if (!s) return;
    for (int i = 0; i < s->n_buckets; i++) bucket_clear(&s->buckets[i]);
    ins_net_weights_clear(&s->weights);
    ins_free(s->rows);
    ins_free(s);
}

static ins_status build_graph(const ins_scorer *s, bucket *b, ins_error *err) {
    ins_blocks blocks;
    INS_TRY(ins_net_start(&b->net, &s->weights, &blocks, err));
    ins_graph *g = b->net.graph;
    const int64_t n = s->n_rows * b->n_cols, width = ins_model_hidden_size(s->weights.model);
    ins_value ids = ins_net_indexes(&b->net, "ids", s->n_rows, b->n_cols);
    ins_value lo = ins_net_indexes(&b->net, "lo", s->n_rows, b->n_cols);
    ins_value hi = ins_net_indexes(&b->net, "hi", s->n_rows, b->n_cols);
    blocks.positions = ins_net_indexes(&b->net, "positions", s->n_rows, b->n_cols);
    ins_value targets = ins_graph_input(g, "targets", INS_TYPE(INS_DTYPE_I32, n));
    ins_value weights = ins_graph_input(g, "weights", INS_TYPE(INS_DTYPE_F32, n));
    ins_value hidden = ins_blocks_all(&blocks, ids, lo, hi), nll, correct;
    hidden = ins_reshape(g, hidden, 2, (const int64_t[]){n, width});
    ins_linear_xent(g, hidden, ins_blocks_head(&blocks), false, targets, weights, &nll, &correct);
    ins_graph_output(g, nll, "nll");
    ins_graph_output(g, correct, "correct");
    return ins_net_finish(&b->net, &s->weights, &blocks, 1, s->pool, err);
}

static ins_status allocate(bucket *b, int64_t n, ins_error *err) {
    int32_t **const lists[] = {&b->ids, &b->targets, &b->positions, &b->lo, &b->hi};
    bool ok = (b->weights = ins_calloc((size_t)n, sizeof *b->weights)) != NULL;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        ok = (*lists[i] = ins_calloc((size_t)n, sizeof **lists[i])) != NULL && ok;
    if (!ok) return INS_FAIL(err, INS_NOMEM, "out of memory for scoring");
    for (int64_t i = 0; i < n; i++) b->weights[i] = 1;
    return INS_OK;
}

static ins_status bind(bucket *b, ins_error *err) {
    ins_exec *exec = b->net.exec;
    INS_TRY(ins_exec_bind(exec, "ids", b->ids, err));
    INS_TRY(ins_exec_bind(exec, "targets", b->targets, err));
    INS_TRY(ins_exec_bind(exec, "positions", b->positions, err));
    INS_TRY(ins_exec_bind(exec, "lo", b->lo, err));
    INS_TRY(ins_exec_bind(exec, "hi", b->hi, err));
    return ins_exec_bind(exec, "weights", b->weights, err);
}

static ins_status make_ready(const ins_scorer *s, bucket *b, ins_error *err) {
    if (b->net.exec) return INS_OK;
    ins_status status = allocate(b, s->n_rows * b->n_cols, err);
    if (status == INS_OK) status = build_graph(s, b, err);
    if (status == INS_OK) status = bind(b, err);
    if (status != INS_OK) bucket_clear(b);
    return status;
}

/* The part of an item that is looked at: the last max_len ids. */
typedef struct window {
    const int32_t *ids;
    int64_t n, n_context;
} window;

static window window_of(const ins_scorer *s, const ins_score_item *item) {
    int64_t cut = item->n > s->max_len ? item->n - s->max_len : 0;
    int64_t n_context = item->n_context - cut;
    return (window){.ids = item->ids + cut, .n = item->n - cut, .n_context = n_context < 1 ? 1 : n_context};
}

static int bucket_of(const ins_scorer *s, const ins_score_item *item) {
    int64_t n_cols = window_of(s, item).n - 1;
    int at = 0;
    while (at + 1 < s->n_buckets && s->buckets[at].n_cols < n_cols) at++;
    return at;
}

/* Row of a bucket from an item; NULL = an empty row. */
static void fill_row(const ins_scorer *s, bucket *b, int64_t row, const ins_score_item *item) {
    window w = item ? window_of(s, item) : (window){0};
    for (int64_t col = 0; col < b->n_cols; col++) {
        int64_t at = row * b->n_cols + col;
        bool used = col + 1 < w.n;
        b->ids[at] = used ? w.ids[col] : 0;
        b->targets[at] = used && col + 1 >= w.n_context ? w.ids[col + 1] : -1;
        b->positions[at] = used ? (int32_t)col : 0;
        b->lo[at] = 0;
        b->hi[at] = used ? (int32_t)col + 1 : 0;
    }
}

static void take_row(const ins_scorer *s, const bucket *b, int64_t row, ins_score_item *item) {
    const float *nll = ins_exec_data(b->net.exec, "nll"), *correct = ins_exec_data(b->net.exec, "correct");
    window w = window_of(s, item);
    item->logprob = 0;
    item->n_greedy = item->n_scored = 0;
    for (int64_t col = w.n_context - 1; col + 1 < w.n; col++) {
        item->logprob -= nll[row * b->n_cols + col];
        item->n_greedy += correct[row * b->n_cols + col] > 0;
        item->n_scored++;
    }
}

static ins_status run_batch(ins_scorer *s, bucket *b, ins_score_item *items, int64_t n, ins_error *err) {
    for (int64_t row = 0; row < s->n_rows; row++) fill_row(s, b, row, row < n ? &items[s->rows[row]] : NULL);
    INS_TRY(ins_net_run(&b->net, 0, err));
    for (int64_t row = 0; row < n; row++) {
        ins_score_item *item = &items[s->rows[row]];
        take_row(s, b, row, item);
        if (!isfinite(item->logprob))
            return INS_FAIL(err, INS_NUMERIC, "the log-probability of item %lld is not finite",
                            (long long)s->rows[row]);
    }
    return INS_OK;
}

static ins_status check_items(const ins_scorer *s, const ins_score_item *items, int64_t n, ins_error *err) {
    for (int64_t i = 0; i < n; i++) {
        if (items[i].n < 1 || items[i].n_context < 1 || items[i].n_context > items[i].n)
            return INS_FAIL(err, INS_USAGE, "item %lld: a context of %lld in %lld tokens; it must be 1 to all of them",
                            (long long)i, (long long)items[i].n_context, (long long)items[i].n);
        for (int64_t at = 0; at < items[i].n; at++)
            if (items[i].ids[at] < 0 || items[i].ids[at] >= s->n_vocab)
                return INS_FAIL(err, INS_USAGE, "item %lld: id %d is outside the vocabulary of %lld", (long long)i,
                                (int)items[i].ids[at], (long long)s->n_vocab);
    }
    return INS_OK;
}

ins_status ins_scorer_run(ins_scorer *s, ins_score_item *items, int64_t n, ins_error *err) {
    INS_TRY(check_items(s, items, n, err));
    for (int at = 0; at < s->n_buckets; at++) {
        int64_t n_rows = 0;
        for (int64_t i = 0; i < n; i++) {
            if (bucket_of(s, &items[i]) == at) s->rows[n_rows++] = i;
            if (n_rows < s->n_rows && (i + 1 < n || n_rows == 0)) continue;
            INS_TRY(make_ready(s, &s->buckets[at], err));
            INS_TRY(run_batch(s, &s->buckets[at], items, n_rows, err));
            n_rows = 0;
        }
    }
    return INS_OK;
}
