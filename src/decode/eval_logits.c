/* Full logits of rows of ids: one row at a time, in a graph whose length depends on the row alone. */
#include <math.h>
#include <string.h>

#include "decode/net.h"
#include "decode/sampling.h"

enum { LENGTH_STEP = 32 };

typedef struct row_net {
    ins_net net;
    int64_t n_cols;
    int32_t *indexes; /* ids, positions, lo, hi: n_cols each */
} row_net;

static void row_net_clear(row_net *r) {
    ins_net_clear(&r->net);
    ins_free(r->indexes);
    *r = (row_net){0};
}

static ins_status row_net_init(row_net *r, const ins_net_weights *w, int64_t n_cols, ins_pool *pool, ins_error *err) {
    static const char *const names[] = {"ids", "positions", "lo", "hi"};
    ins_blocks blocks;
    ins_value in[4];
    *r = (row_net){.n_cols = n_cols, .indexes = ins_calloc((size_t)(4 * n_cols), sizeof(int32_t))};
    if (!r->indexes) return INS_FAIL(err, INS_NOMEM, "out of memory for logits");
    INS_TRY(ins_net_start(&r->net, w, &blocks, err));
    ins_graph *g = r->net.graph;
    for (int i = 0; i < 4; i++) in[i] = ins_net_indexes(&r->net, names[i], 1, n_cols);
    blocks.positions = in[1];
    ins_value hidden = ins_blocks_all(&blocks, in[0], in[2], in[3]);
    hidden = ins_reshape(g, hidden, 2, (const int64_t[]){n_cols, ins_model_hidden_size(w->model)});
    const ins_model_values values = {.head = ins_blocks_head(&blocks)};
    ins_graph_output(g, ins_model_logits(w->model, g, &values, hidden), "logits");
    INS_TRY(ins_net_finish(&r->net, w, &blocks, 1, pool, err));
    for (int i = 0; i < 4; i++) INS_TRY(ins_exec_bind(r->net.exec, names[i], r->indexes + i * n_cols, err));
    return INS_OK;
}

static void fill(row_net *r, const int32_t *ids, int64_t len, bool causal) {
    for (int64_t col = 0; col < r->n_cols; col++) {
        bool used = col < len;
        r->indexes[col] = used ? ids[col] : 0;
        r->indexes[r->n_cols + col] = used ? (int32_t)col : 0;
        r->indexes[2 * r->n_cols + col] = 0;
        r->indexes[3 * r->n_cols + col] = !used ? 0 : causal ? (int32_t)col + 1 : (int32_t)len;
    }
}

static ins_status check(const ins_model_options *o, const int32_t *const *ids, const int64_t *lens, int64_t n,
                        ins_error *err) {
    bool table = o->positions == INS_POS_LEARNED || o->positions == INS_POS_SINUSOIDAL;
    for (int64_t row = 0; row < n; row++) {
        if (lens[row] < 1) return INS_FAIL(err, INS_USAGE, "row %lld has no ids", (long long)row);
        if (table && lens[row] > o->max_positions)
            return INS_FAIL(err, INS_USAGE, "row %lld has %lld ids; the model has %lld positions", (long long)row,
                            (long long)lens[row], (long long)o->max_positions);
        for (int64_t i = 0; i < lens[row]; i++)
            if (ids[row][i] < 0 || ids[row][i] >= o->vocab)
                return INS_FAIL(err, INS_USAGE, "row %lld: id %d is outside the vocabulary of %lld", (long long)row,
                                (int)ids[row][i], (long long)o->vocab);
    }
    return n >= 1 ? INS_OK : INS_FAIL(err, INS_USAGE, "no rows of ids were given");
}

typedef struct total {
    double nll;
    int64_t n;
} total;

static void add_loss(total *t, const float *logits, const int32_t *ids, int64_t len, int64_t n_vocab) {
    for (int64_t i = 0; i + 1 < len; i++, t->n++)
        t->nll += ins_log_sum_exp(logits + i * n_vocab, n_vocab) - (double)logits[i * n_vocab + ids[i + 1]];
}

/* all: [n, max_len, V] or NULL */
static ins_status run_rows(const ins_net_weights *w, row_net *r, const int32_t *const *ids, const int64_t *lens,
                           int64_t n, int64_t longest, ins_pool *pool, float *all, total *t, ins_error *err) {
    const ins_model_options *o = ins_model_get_options(w->model);
    bool table = o->positions == INS_POS_LEARNED || o->positions == INS_POS_SINUSOIDAL;
    for (int64_t row = 0; row < n; row++) {
        int64_t n_cols = (lens[row] + LENGTH_STEP - 1) / LENGTH_STEP * LENGTH_STEP;
        if (table && n_cols > o->max_positions) n_cols = o->max_positions;
        if (n_cols != r->n_cols) {
            row_net_clear(r);
            INS_TRY(row_net_init(r, w, n_cols, pool, err));
        }
        fill(r, ids[row], lens[row], o->attention == INS_ATTEND_CAUSAL);
        INS_TRY(ins_net_run(&r->net, 0, err));
        const float *logits = ins_exec_data(r->net.exec, "logits");
        if (all) memcpy(all + row * longest * o->vocab, logits, (size_t)(lens[row] * o->vocab) * sizeof *all);
        add_loss(t, logits, ids[row], lens[row], o->vocab);
    }
    return INS_OK;
}

ins_status ins_model_eval_logits(const ins_model *m, float *slab, ins_dtype compute, const int32_t *const *ids,
                                 const int64_t *lens, int64_t n, ins_pool *pool, float **logits, int64_t *max_t,
                                 double *loss, ins_error *err) {
    const ins_model_options *o = ins_model_get_options(m);
    INS_TRY(check(o, ids, lens, n, err));
    int64_t longest = 0;
    for (int64_t row = 0; row < n; row++) longest = lens[row] > longest ? lens[row] : longest;
    float *all = NULL;
    size_t count = 0;
    bool fits = ins_mul_size((size_t)n, (size_t)longest, &count) && ins_mul_size(count, (size_t)o->vocab, &count);
    if (logits && (!fits || !(all = ins_calloc(count, sizeof *all))))
        return INS_FAIL(err, INS_NOMEM, "out of memory for %lld x %lld x %lld logits", (long long)n, (long long)longest,
                        (long long)o->vocab);
    ins_net_weights w;
    row_net r = {0};
    total t = {0};
    ins_status status = ins_net_weights_init(&w, m, slab, compute, pool, err);
    if (status == INS_OK) status = run_rows(&w, &r, ids, lens, n, longest, pool, all, &t, err);
    row_net_clear(&r);
    ins_net_weights_clear(&w);
    if (status != INS_OK) {
        ins_free(all);
        return status;
    }
    if (logits) *logits = all;
    if (max_t) *max_t = longest;
    if (loss) *loss = t.n > 0 ? t.nll / (double)t.n : NAN;
    return INS_OK;
}
