/* Counting pre-tokens with all threads.
 *
 * Documents are gathered into batches; a batch is cut into pieces where the split cannot notice (at the end of a
 * document, or between an ASCII letter and a space), and every thread counts pieces in a table of its own. Counts are
 * sums, so which thread took which piece does not matter.
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "text/bpe_train.h"

#define BATCH_BYTES ((size_t)8 << 20) /* text per round of the pool */
#define PIECE_BYTES ((size_t)128 << 10)
#define MAX_WORD    ((size_t)4096) /* longer pre-tokens are cut: their statistics are worthless and slow */

typedef struct count_slot {
    uint64_t hash;
    uint64_t at; /* into the table's bytes */
    uint32_t n;
    int64_t count; /* 0 = empty */
} count_slot;

typedef struct count_table {
    count_slot *slots;
    uint64_t mask;
    int64_t n_used;
    ins_str bytes;
    bool failed;
} count_table;

static bool table_grow(count_table *table) {
    if (table->slots && (uint64_t)table->n_used * 2 < table->mask) return true;
    uint64_t size = table->slots ? (table->mask + 1) * 2 : 4096;
    count_slot *slots = ins_calloc(size, sizeof *slots);
    if (!slots) return false;
    for (uint64_t i = 0; table->slots && i <= table->mask; i++) {
        if (!table->slots[i].count) continue;
        uint64_t to = table->slots[i].hash & (size - 1);
        while (slots[to].count) to = (to + 1) & (size - 1);
        slots[to] = table->slots[i];
    }
    ins_free(table->slots);
    table->slots = slots;
    table->mask = size - 1;
    return true;
}

static void table_add(count_table *table, const unsigned char *bytes, size_t n, int64_t count) {
    if (table->failed) return;
    uint64_t hash = ins_hash64(bytes, n, 0), at = hash & table->mask;
    for (; table->slots[at].count; at = (at + 1) & table->mask) {
        count_slot *slot = &table->slots[at];
        if (slot->hash != hash || slot->n != n || memcmp(table->bytes.data + slot->at, bytes, n) != 0) continue;
        slot->count += count;
        return;
    }
    table->slots[at] = (count_slot){.hash = hash, .at = table->bytes.len, .n = (uint32_t)n, .count = count};
    ins_str_append(&table->bytes, bytes, n);
    table->n_used++;
    if (table->bytes.oom || !table_grow(table)) table->failed = true;
}

static void table_free(count_table *table) {
    ins_free(table->slots);
    ins_str_free(&table->bytes);
}

typedef struct counter {
    text_split_kind split;
    ins_text_source *source;
    ins_pool *pool;
    const ins_log *log;
    count_table *tables; /* one per thread */
    int n_tables;
    ins_str batch;
    size_t *cuts; /* pieces of the batch: cuts[i] .. cuts[i + 1] */
    int64_t n_pieces, cap_cuts;
    uint64_t total_bytes;
    int64_t n_documents;
    double started, shown;
} counter;

static void count_piece(void *arg, int64_t task, int thread) {
    counter *c = arg;
    count_table *table = &c->tables[thread];
    const unsigned char *text = (const unsigned char *)c->batch.data + c->cuts[task];
    size_t n = c->cuts[task + 1] - c->cuts[task];
    for (size_t at = 0; at < n;) {
        size_t length = text_split_capped(c->split, text, n, at, MAX_WORD);
        table_add(table, text + at, length, 1);
        at += length;
    }
}

static bool push_cut(counter *c, size_t at) {
    if (c->n_pieces + 1 >= c->cap_cuts) {
        int64_t cap = c->cap_cuts ? c->cap_cuts * 2 : 256;
        size_t *grown = ins_realloc(c->cuts, (size_t)cap * sizeof *grown);
        if (!grown) return false;
        c->cuts = grown;
        c->cap_cuts = cap;
        c->cuts[0] = 0;
    }
    c->cuts[++c->n_pieces] = at;
    return true;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Append one document to the batch: its end is a cut, and a long one has cuts inside. */
static bool add_document(counter *c, const char *text, size_t n) {
    size_t start = c->batch.len;
    ins_str_append(&c->batch, text, n);
    if (c->batch.oom) return false;
    if (c->split != TEXT_SPLIT_NONE) {
        size_t last = 0;
        for (size_t at = PIECE_BYTES; at < n; at++) {
            if (text[at] != ' ' || !is_letter(text[at - 1])) continue;
            if (!push_cut(c, start + at)) return false;
            last = at;
            at = last + PIECE_BYTES - 1;
        }
    }
    c->total_bytes += n;
    c->n_documents++;
    return n == 0 || push_cut(c, start + n);
}

static void show_progress(counter *c) {
    double now = ins_now();
    if (now - c->shown < 0.2) return;
    c->shown = now;
    double rate = (double)c->total_bytes / (now - c->started + 1e-9), total = (double)c->source->total_bytes;
    double left = total > (double)c->total_bytes ? total - (double)c->total_bytes : 0;
    ins_progress state = {.what = "count words",
                          .unit = "bytes",
                          .done = (double)c->total_bytes,
                          .total = total,
                          .rate = rate,
                          .eta_s = total > 0 ? left / rate : -1};
    ins_log_progress(c->log, &state);
}

/* One batch: read, cut, count. *more false at the end of the source. */
static ins_status count_batch(counter *c, bool *more, ins_error *err) {
    ins_str_clear(&c->batch);
    c->n_pieces = 0;
    while (*more && c->batch.len < BATCH_BYTES) {
        const char *text = "";
        size_t n = 0;
        *more = c->source->next(c->source->arg, &text, &n);
        if (*more && !add_document(c, text, n)) return text_no_memory(err);
    }
    if (c->n_pieces > 0) ins_pool_run(c->pool, c->n_pieces, count_piece, c);
    for (int i = 0; i < c->n_tables; i++)
        if (c->tables[i].failed) return text_no_memory(err);
    show_progress(c);
    return INS_OK;
}

static int slot_order(const void *left, const void *right, void *arg) {
    const count_slot *l = left, *r = right;
    const char *bytes = arg;
    size_t n = l->n < r->n ? l->n : r->n;
    int order = memcmp(bytes + l->at, bytes + r->at, n);
    return order ? order : l->n < r->n ? -1 : l->n > r->n;
}

/* The first table, which by now holds all, as sorted arrays. */
static ins_status words_from(count_table *table, bpe_words *out, ins_error *err) {
    int64_t n = 0;
    for (uint64_t i = 0; i <= table->mask; i++)
        if (table->slots[i].count) table->slots[n++] = table->slots[i];
    table->n_used = 0; /* no table any more */
    if (n > 0) qsort_r(table->slots, (size_t)n, sizeof *table->slots, slot_order, table->bytes.data);
    out->at = ins_malloc((size_t)(n + 1) * sizeof *out->at);
    out->counts = ins_malloc((size_t)(n > 0 ? n : 1) * sizeof *out->counts);
    out->bytes = ins_malloc(table->bytes.len ? table->bytes.len : 1);
    if (!out->at || !out->counts || !out->bytes) return text_no_memory(err);
    uint64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const count_slot *slot = &table->slots[i];
        out->at[i] = at;
        out->counts[i] = slot->count;
        memcpy(out->bytes + at, table->bytes.data + slot->at, slot->n);
        at += slot->n;
    }
    out->at[n] = at;
    out->n = n;
    return INS_OK;
}

static ins_status merge_tables(counter *c, ins_error *err) {
    count_table *all = &c->tables[0];
    for (int i = 1; i < c->n_tables; i++) {
        const count_table *table = &c->tables[i];
        for (uint64_t k = 0; k <= table->mask; k++)
            if (table->slots[k].count)
                table_add(all, (const unsigned char *)table->bytes.data + table->slots[k].at, table->slots[k].n,
                          table->slots[k].count);
        if (all->failed) return text_no_memory(err);
    }
    return INS_OK;
}

static ins_status count_all(counter *c, bpe_words *out, ins_error *err) {
    for (int i = 0; i < c->n_tables; i++)
        if (!table_grow(&c->tables[i])) return text_no_memory(err);
    bool more = true;
    while (more) INS_TRY(count_batch(c, &more, err));
    INS_TRY(merge_tables(c, err));
    INS_TRY(words_from(&c->tables[0], out, err));
    out->total_bytes = c->total_bytes;
    out->n_documents = c->n_documents;
    return INS_OK;
}

ins_status bpe_count_words(text_split_kind split, ins_text_source *source, ins_pool *pool, const ins_log *log,
                           bpe_words *out, ins_error *err) {
    counter c = {.split = split, .source = source, .pool = pool, .log = log, .n_tables = ins_pool_threads(pool)};
    c.started = ins_now();
    c.tables = ins_calloc((size_t)c.n_tables, sizeof *c.tables);
    *out = (bpe_words){0};
    ins_status status = c.tables ? count_all(&c, out, err) : text_no_memory(err);
    for (int i = 0; i < c.n_tables && c.tables; i++) table_free(&c.tables[i]);
    ins_free(c.tables);
    ins_str_free(&c.batch);
    ins_free(c.cuts);
    if (status != INS_OK) bpe_words_free(out);
    return status;
}

void bpe_words_free(bpe_words *words) {
    ins_free(words->bytes);
    ins_free(words->at);
    ins_free(words->counts);
    *words = (bpe_words){0};
}
