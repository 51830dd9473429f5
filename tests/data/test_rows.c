/* Packing, rows and batches: nothing is lost, nothing is doubled, targets stay inside their documents. */
#include "data/batch.h"

#include "data/data_check.h"
#include "data/pack.h"

#define N_DOCS 200

/* Documents of 1..90 tokens; ids say where a token is: document * 100 + place. Some tokens are out of the loss. */
static ins_shard make_shard(ins_pool *pool) {
    ins_error err = {0};
    ins_shard_writer *w = NULL;
    const char *path = temp_path("rows.bin");
    need_ok(ins_shard_writer_open(path, 100 * N_DOCS, &w, &err), &err);
    for (int32_t doc = 0; doc < N_DOCS; doc++) {
        int32_t ids[100];
        char mask[100];
        int64_t n = 1 + (doc * 37) % 90;
        for (int32_t t = 0; t < n; t++) {
            ids[t] = doc * 100 + t;
            mask[t] = (doc + t) % 5 != 0;
        }
        need_ok(ins_shard_writer_add(w, ids, mask, n, 3 * n + 1, &err), &err);
    }
    need_ok(ins_shard_writer_commit(w, &err), &err);
    ins_shard shard;
    need_ok(ins_shard_open(path, 0, pool, &shard, &err), &err);
    return shard;
}

/* One row's invariants, and the tally of ids and targets seen. */
static void check_row(const ins_shard *shard, const ins_batch *b, int64_t row, char *seen_id, char *seen_target) {
    int32_t last_segment = 0;
    for (int64_t t = 0; t < b->n_cols; t++) {
        int64_t i = row * b->n_cols + t;
        if (b->segments[i] == 0) { /* padding, to the end */
            assert_int_equal(b->ids[i], 0);
            assert_int_equal(b->targets[i], -1);
            assert_true(b->weights[i] == 0);
            last_segment = INT32_MAX;
            continue;
        }
        int32_t id = b->ids[i], doc = id / 100, place = id % 100;
        assert_int_equal(seen_id[id]++, 0);
        if (b->segments[i] != last_segment) {
            assert_int_equal(b->segments[i], last_segment + 1);
            assert_int_equal(b->positions[i], 0);
            last_segment = b->segments[i];
        } else {
            assert_int_equal(b->positions[i], b->positions[i - 1] + 1);
            assert_int_equal(b->ids[i - 1], id - 1); /* same document, next token */
        }
        int64_t length = (int64_t)(shard->offsets[doc + 1] - shard->offsets[doc]);
        if (place + 1 == length) {
            assert_int_equal(b->targets[i], -1);
            assert_true(b->weights[i] == 0);
        } else {
            assert_int_equal(b->targets[i], id + 1);
            assert_true(b->weights[i] == ((doc + place + 1) % 5 != 0 ? 1.0f : 0.0f));
            assert_int_equal(seen_target[id + 1]++, 0);
        }
    }
}

static void check_packing(const ins_shard *shard, ins_packing packing, int64_t n_cols, double *fill) {
    ins_error err = {0};
    ins_rows *rows = NULL;
    ins_batch *batch = NULL;
    need_ok(ins_rows_new(shard, packing, n_cols, &rows, &err), &err);
    need_ok(ins_batch_new(3, n_cols, &batch, &err), &err);
    char *seen_id = ins_calloc(100 * N_DOCS, 1), *seen_target = ins_calloc(100 * N_DOCS, 1);
    int64_t n_tokens = 0, n_targets = 0, text_bytes = 0;
    for (int64_t r = 0; r < ins_rows_count(rows); r++) {
        ins_batch_clear(batch);
        ins_rows_read(rows, r, batch, r % 3);
        check_row(shard, batch, r % 3, seen_id, seen_target);
        n_tokens += batch->n_tokens;
        n_targets += batch->n_targets;
        text_bytes += batch->text_bytes;
    }
    int64_t want_targets = 0, want_bytes = 0;
    for (int32_t doc = 0; doc < N_DOCS; doc++) {
        int64_t n = (int64_t)(shard->offsets[doc + 1] - shard->offsets[doc]);
        if (n > 1) want_bytes += 3 * n + 1; /* a lone token predicts nothing */
        for (int32_t t = 0; t < n; t++) {
            assert_int_equal(seen_id[doc * 100 + t], 1);
            assert_int_equal(seen_target[doc * 100 + t], t > 0);
            want_targets += t > 0 && (doc + t) % 5 != 0;
        }
    }
    assert_int_equal(n_tokens, shard->n_tokens);
    assert_int_equal(n_targets, want_targets);
    assert_int_equal(text_bytes, want_bytes);
    *fill = ins_rows_fill(rows);
    assert_true(*fill > 0 && *fill <= 1);
    ins_free(seen_id);
    ins_free(seen_target);
    ins_batch_free(batch);
    ins_rows_free(rows);
}

/* Every packing at several widths (documents cut or not) has the same multiset of tokens and of targets. */
static void nothing_lost_nothing_doubled(void **state) {
    (void)state;
    ins_shard shard = make_shard(NULL);
    const int64_t widths[] = {1, 2, 7, 64, 90, 91, 257};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        double none, stream, bestfit;
        check_packing(&shard, INS_PACK_NONE, widths[i], &none);
        check_packing(&shard, INS_PACK_STREAM, widths[i], &stream);
        check_packing(&shard, INS_PACK_BESTFIT, widths[i], &bestfit);
        assert_true(bestfit >= none);
        assert_true(stream >= bestfit);
        if (widths[i] == 257) assert_true(bestfit > 0.95);
    }
    ins_shard_close(&shard);
}

static void bestfit_keeps_whole_documents(void **state) {
    (void)state;
    ins_error err = {0};
    ins_shard shard = make_shard(NULL);
    ins_rows *rows = NULL;
    ins_batch *batch = NULL;
    need_ok(ins_rows_new(&shard, INS_PACK_BESTFIT, 90, &rows, &err), &err);
    need_ok(ins_batch_new(1, 90, &batch, &err), &err);
    for (int64_t r = 0; r < ins_rows_count(rows); r++) {
        ins_rows_read(rows, r, batch, 0);
        for (int64_t t = 0; t < 90; t++) {
            if (batch->segments[t] && batch->positions[t] == 0) assert_int_equal(batch->ids[t] % 100, 0);
        }
    }
    ins_batch_free(batch);
    ins_rows_free(rows);
    ins_shard_close(&shard);
}

/* Best fit against the definition, item by item, without lists or bit sets. */
static void bestfit_is_best_fit(void **state) {
    (void)state;
    enum { N = 3000, CAPACITY = 5000 };
    int32_t *lengths = ins_malloc(N * sizeof *lengths);
    int64_t *bin_of = ins_malloc(N * sizeof *bin_of), *room = ins_malloc(N * sizeof *room), n_bins = 0, opened = 0;
    for (int64_t i = 0; i < N; i++) lengths[i] = (int32_t)(1 + (i * i * 7919 + i * 13) % CAPACITY);
    assert_int_equal(ins_pack_bestfit(lengths, N, CAPACITY, bin_of, &n_bins, NULL), INS_OK);
    for (int32_t length = CAPACITY; length >= 1; length--) {
        for (int64_t i = 0; i < N; i++) {
            if (lengths[i] != length) continue;
            int64_t tightest = CAPACITY + 1;
            for (int64_t bin = 0; bin < opened; bin++) {
                if (room[bin] >= length && room[bin] < tightest) tightest = room[bin];
            }
            if (tightest > CAPACITY) room[opened++] = tightest = CAPACITY;
            assert_true(bin_of[i] < opened);
            assert_int_equal(room[bin_of[i]], tightest);
            room[bin_of[i]] -= length;
        }
    }
    assert_int_equal(n_bins, opened);
    ins_free(lengths);
    ins_free(bin_of);
    ins_free(room);
}

static void spans(void **state) {
    (void)state;
    ins_error err = {0};
    ins_batch *b = NULL;
    need_ok(ins_batch_new(2, 6, &b, &err), &err);
    const int32_t segments[12] = {1, 1, 2, 2, 2, 0, 1, 2, 3, 4, 5, 6};
    memcpy(b->segments, segments, sizeof segments);
    ins_batch_spans(b, INS_SPAN_CAUSAL, true);
    const int32_t lo_intra[6] = {0, 0, 2, 2, 2, 0}, hi_causal[6] = {1, 2, 3, 4, 5, 0};
    assert_memory_equal(b->lo, lo_intra, sizeof lo_intra);
    assert_memory_equal(b->hi, hi_causal, sizeof hi_causal);
    assert_int_equal(b->lo[9], 3);
    assert_int_equal(b->hi[9], 4);
    ins_batch_spans(b, INS_SPAN_FULL, true);
    const int32_t hi_full[6] = {2, 2, 5, 5, 5, 0};
    assert_memory_equal(b->hi, hi_full, sizeof hi_full);
    ins_batch_spans(b, INS_SPAN_CAUSAL, false);
    assert_int_equal(b->lo[4], 0);
    assert_int_equal(b->hi[4], 5);
    assert_int_equal(b->hi[5], 0);
    ins_batch_spans(b, INS_SPAN_FULL, false);
    assert_int_equal(b->hi[0], 5);
    assert_int_equal(b->hi[6], 6);
    ins_batch_free(b);
    assert_int_equal(ins_batch_new(0, 6, &b, NULL), INS_USAGE);
    assert_int_equal(ins_batch_new(INT64_MAX, 1 << 20, &b, NULL), INS_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_lost_nothing_doubled),
        cmocka_unit_test(bestfit_keeps_whole_documents),
        cmocka_unit_test(bestfit_is_best_fit),
        cmocka_unit_test(spans),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
