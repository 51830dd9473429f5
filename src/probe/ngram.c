/* Interpolated Kneser-Ney: see ngram.h. */
#include "probe/ngram.h"

#include <math.h>

#include "base/hash.h"

typedef struct ngram_cell {
    uint64_t key;      /* hash of the n-gram; 0 = empty */
    uint32_t count;    /* occurrences (highest order), else distinct left neighbours */
    uint32_t total;    /* as a context: sum of counts of its continuations */
    uint32_t distinct; /* as a context: number of distinct continuations */
} ngram_cell;

typedef struct ngram_table {
    ngram_cell *cells;
    uint64_t mask, used;
} ngram_table;

struct ins_ngram {
    int order;
    int64_t vocab;
    ngram_table tables[INS_NGRAM_MAX_ORDER + 1]; /* by length; [0] holds the empty context */
    double discount[INS_NGRAM_MAX_ORDER + 1];
};

static uint64_t key_of(const int32_t *ids, int n) {
    uint64_t key = ins_hash64(ids, (size_t)n * sizeof *ids, (uint64_t)n);
    return key ? key : 1;
}

static ngram_cell *find(const ngram_table *t, uint64_t key) {
    for (uint64_t slot = key & t->mask;; slot = (slot + 1) & t->mask) {
        if (t->cells[slot].key == key || t->cells[slot].key == 0) return &t->cells[slot];
    }
}

static ins_status grow(ngram_table *t, ins_error *err) {
    uint64_t size = t->cells ? 2 * (t->mask + 1) : 1024;
    ngram_table bigger = {ins_calloc(size, sizeof(ngram_cell)), size - 1, t->used};
    if (!bigger.cells) return INS_FAIL(err, INS_NOMEM, "no memory for %llu n-grams", (unsigned long long)size);
    for (uint64_t i = 0; t->cells && i <= t->mask; i++) {
        if (t->cells[i].key) *find(&bigger, t->cells[i].key) = t->cells[i];
    }
    ins_free(t->cells);
    *t = bigger;
    return INS_OK;
}

/* The cell of an n-gram, made when new (*is_new). Valid until the next call on the same table. */
static ins_status touch(ngram_table *t, uint64_t key, ngram_cell **out, bool *is_new, ins_error *err) {
    if (!t->cells || 2 * t->used > t->mask) INS_TRY(grow(t, err));
    ngram_cell *cell = find(t, key);
    *is_new = cell->key == 0;
    if (*is_new) {
        cell->key = key;
        t->used++;
    }
    *out = cell;
    return INS_OK;
}

ins_status ins_ngram_new(int order, int64_t vocab, ins_ngram **out, ins_error *err) {
    if (order < 1 || order > INS_NGRAM_MAX_ORDER || vocab < 1)
        return INS_FAIL(err, INS_USAGE, "n-gram of order %d over %lld tokens", order, (long long)vocab);
    ins_ngram *lm = ins_calloc(1, sizeof *lm);
    if (!lm) return INS_FAIL(err, INS_NOMEM, "no memory for an n-gram model");
    lm->order = order;
    lm->vocab = vocab;
    *out = lm;
    return INS_OK;
}

/* One more count of the n-gram that ends at `at`, and of it as a continuation of its context. The first sight of an
 * n-gram is a new left neighbour of its tail, which is a count one order below. */
static ins_status count(ins_ngram *lm, const int32_t *ids, int64_t at, int length, ins_error *err) {
    for (int n = length; n >= 1; n--) {
        const int32_t *gram = ids + at - n + 1;
        ngram_cell *cell = NULL, *context = NULL;
        bool is_new = false, context_new = false;
        INS_TRY(touch(&lm->tables[n], key_of(gram, n), &cell, &is_new, err));
        cell->count++;
        INS_TRY(touch(&lm->tables[n - 1], key_of(gram, n - 1), &context, &context_new, err));
        context->total++;
        context->distinct += is_new;
        if (!is_new) return INS_OK; /* its tail already counts this left neighbour */
    }
    return INS_OK;
}

ins_status ins_ngram_add(ins_ngram *lm, const int32_t *ids, int64_t n, ins_error *err) {
    for (int64_t at = 0; at < n; at++) {
        int length = at + 1 < lm->order ? (int)(at + 1) : lm->order;
        INS_TRY(count(lm, ids, at, length, err));
    }
    return INS_OK;
}

ins_status ins_ngram_finish(ins_ngram *lm, ins_error *err) {
    for (int n = 0; n <= lm->order; n++) {
        if (!lm->tables[n].cells) INS_TRY(grow(&lm->tables[n], err));
    }
    for (int n = 1; n <= lm->order; n++) {
        double ones = 0, twos = 0;
        const ngram_table *t = &lm->tables[n];
        for (uint64_t i = 0; i <= t->mask; i++) {
            ones += t->cells[i].count == 1;
            twos += t->cells[i].count == 2;
        }
        lm->discount[n] = ones > 0 ? ones / (ones + 2 * twos) : 0.5;
        if (lm->discount[n] >= 1) lm->discount[n] = 0.75; /* no n-gram was seen twice */
    }
    return INS_OK;
}

double ins_ngram_logprob(const ins_ngram *lm, const int32_t *ids, int64_t at) {
    double p = 1.0 / (double)lm->vocab;
    int longest = at + 1 < lm->order ? (int)(at + 1) : lm->order;
    for (int n = 1; n <= longest; n++) { /* from the unigrams up: p is the lower order's probability */
        const int32_t *gram = ids + at - n + 1;
        const ngram_cell *context = find(&lm->tables[n - 1], key_of(gram, n - 1));
        if (context->key == 0 || context->total == 0) break; /* unseen context: longer ones are unseen too */
        const ngram_cell *cell = find(&lm->tables[n], key_of(gram, n));
        double c = cell->key ? (double)cell->count : 0, d = lm->discount[n], total = (double)context->total;
        p = (c > d ? c - d : 0) / total + d * (double)context->distinct / total * p;
    }
    return log(p);
}

void ins_ngram_free(ins_ngram *lm) {
    if (!lm) return;
    for (int n = 0; n <= lm->order; n++) ins_free(lm->tables[n].cells);
    ins_free(lm);
}
