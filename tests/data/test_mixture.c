/* Mixtures: exact counts, the order as a pure function of the position, each epoch a permutation. */
#include "data/batch.h"

#include <math.h>

#include "data/data_check.h"

#define MAX_SOURCES 8

typedef struct fixture {
    ins_shard *shards; /* on the heap: the rows keep a pointer to theirs */
    ins_rows *rows[MAX_SOURCES];
    ins_mixture_source sources[MAX_SOURCES];
    int64_t n;
} fixture;

static const char *const names[MAX_SOURCES] = {"one", "two", "three", "four", "five", "six", "seven", "eight"};

/* Source i has n_rows[i] rows of one document of 3 tokens each; ids name the source. */
static fixture make_fixture(int64_t n, const int64_t *n_rows, const double *weights) {
    fixture f = {.n = n, .shards = calloc(MAX_SOURCES, sizeof(ins_shard))};
    ins_error err = {0};
    assert_non_null(f.shards);
    for (int64_t i = 0; i < n; i++) {
        ins_shard_writer *w = NULL;
        const char *path = temp_path(names[i]);
        need_ok(ins_shard_writer_open(path, 100000, &w, &err), &err);
        for (int64_t r = 0; r < n_rows[i]; r++) {
            int32_t ids[3] = {(int32_t)(i * 10000 + r), (int32_t)i, (int32_t)i};
            need_ok(ins_shard_writer_add(w, ids, NULL, 3, 5, &err), &err);
        }
        need_ok(ins_shard_writer_commit(w, &err), &err);
        need_ok(ins_shard_open(path, 0, NULL, &f.shards[i], &err), &err);
        need_ok(ins_rows_new(&f.shards[i], INS_PACK_NONE, 4, &f.rows[i], &err), &err);
        f.sources[i] = (ins_mixture_source){names[i], f.rows[i], weights[i]};
    }
    return f;
}

static void free_fixture(fixture *f) {
    for (int64_t i = 0; i < f->n; i++) {
        ins_rows_free(f->rows[i]);
        ins_shard_close(&f->shards[i]);
    }
    free(f->shards);
}

static ins_mixture *make_mixture(const fixture *f, uint64_t seed, bool shuffle) {
    ins_error err = {0};
    ins_mixture *mix = NULL;
    need_ok(ins_mixture_new(f->sources, f->n, seed, shuffle, &mix, &err), &err);
    return mix;
}

static void check_counts(int64_t n, const double *weights, uint64_t samples) {
    int64_t n_rows[MAX_SOURCES] = {5, 3, 7, 11, 2, 1, 9, 4}, counts[MAX_SOURCES] = {0}, reported[MAX_SOURCES];
    fixture f = make_fixture(n, n_rows, weights);
    ins_mixture *mix = make_mixture(&f, 1, true);
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += weights[i];
    for (uint64_t p = 0; p < samples; p++) {
        int64_t source, row;
        ins_mixture_at(mix, p, &source, &row);
        assert_in_range(row, 0, n_rows[source] - 1);
        counts[source]++;
        for (int64_t i = 0; i < n; i++) {
            double want = (double)(p + 1) * ins_mixture_share(mix, i);
            if (fabs((double)counts[i] - want) >= 1.0) {
                fail_msg("after %llu samples source %lld was drawn %lld times, want %g", (unsigned long long)p + 1,
                         (long long)i, (long long)counts[i], want);
            }
        }
        if (p % 37 == 0) {
            ins_mixture_counts(mix, p + 1, reported);
            for (int64_t i = 0; i < n; i++) assert_int_equal(reported[i], counts[i]);
        }
    }
    for (int64_t i = 0; i < n; i++) assert_true(fabs(ins_mixture_share(mix, i) - weights[i] / total) < 1e-5);
    ins_mixture_free(mix);
    free_fixture(&f);
}

static void exact_counts(void **state) {
    (void)state;
    check_counts(1, (double[]){3}, 100);
    check_counts(2, (double[]){0.8, 0.2}, 2000);
    check_counts(2, (double[]){1, 0.001}, 5000);
    check_counts(3, (double[]){1, 1, 1}, 2000);
    check_counts(3, (double[]){0.5, 0.3, 0.2}, 2000);
    check_counts(8, (double[]){9, 8, 7, 6, 5, 4, 3, 2}, 5000);
    check_counts(4, (double[]){0.9, 0.05, 0.03, 0.02}, 5000);
    check_counts(3, (double[]){M_PI, M_E, M_SQRT2}, 70000); /* no small cycle */
}

/* 0.8 : 0.2 is a cycle of five, to the sample. */
static void round_numbers_are_exact(void **state) {
    (void)state;
    fixture f = make_fixture(2, (int64_t[]){5, 3}, (double[]){0.8, 0.2});
    ins_mixture *mix = make_mixture(&f, 1, true);
    int64_t counts[2];
    ins_mixture_counts(mix, 1000000, counts);
    assert_int_equal(counts[0], 800000);
    assert_int_equal(counts[1], 200000);
    assert_true(ins_mixture_share(mix, 1) == 0.2);
    /* Source one (5 rows) is through after 6 or 7 samples, source two (3 rows) only in the third cycle. */
    assert_in_range(ins_mixture_epoch_rows(mix), 11, 15);
    ins_mixture_free(mix);
    free_fixture(&f);
}

static void epochs_are_permutations(void **state) {
    (void)state;
    enum { ROWS = 50 };
    fixture f = make_fixture(2, (int64_t[]){ROWS, 3}, (double[]){3, 1});
    ins_mixture *mix = make_mixture(&f, 7, true), *again = make_mixture(&f, 7, true),
                *other = make_mixture(&f, 8, true);
    int64_t draws = 0, order[4][ROWS], n_same = 0, n_other = 0;
    for (uint64_t p = 0; draws < 4 * ROWS; p++) {
        int64_t source, row, source_again, row_again, source_other, row_other;
        ins_mixture_at(mix, p, &source, &row);
        ins_mixture_at(again, p, &source_again, &row_again);
        ins_mixture_at(other, p, &source_other, &row_other);
        assert_int_equal(source, source_again);
        assert_int_equal(row, row_again);
        if (source != 0) continue;
        order[draws / ROWS][draws % ROWS] = row;
        n_other += row != row_other;
        draws++;
    }
    assert_true(n_other > 3 * ROWS); /* another seed is another order */
    for (int epoch = 0; epoch < 4; epoch++) {
        bool seen[ROWS] = {false};
        for (int i = 0; i < ROWS; i++) {
            assert_false(seen[order[epoch][i]]);
            seen[order[epoch][i]] = true;
            n_same += epoch > 0 && order[epoch][i] == order[0][i];
        }
    }
    assert_true(n_same < ROWS / 2); /* each epoch has its own order */
    ins_mixture_free(mix);
    ins_mixture_free(again);
    ins_mixture_free(other);
    free_fixture(&f);
}

/* Positions in any batch size give the same rows; a corpus smaller than a batch repeats. */
static void batch_size_does_not_matter(void **state) {
    (void)state;
    ins_error err = {0};
    fixture f = make_fixture(2, (int64_t[]){5, 3}, (double[]){2, 1});
    ins_mixture *mix = make_mixture(&f, 7, true);
    ins_batch *large = NULL, *small = NULL;
    need_ok(ins_batch_new(24, 4, &large, &err), &err);
    need_ok(ins_batch_new(4, 4, &small, &err), &err);
    ins_mixture_batch(mix, 100, large);
    int64_t n_targets = 0;
    for (int64_t part = 0; part < 6; part++) {
        ins_mixture_batch(mix, (uint64_t)(100 + 4 * part), small);
        assert_memory_equal(large->ids + part * 16, small->ids, 16 * sizeof(int32_t));
        assert_memory_equal(large->targets + part * 16, small->targets, 16 * sizeof(int32_t));
        assert_memory_equal(large->sources + part * 4, small->sources, 4 * sizeof(int32_t));
        n_targets += small->n_targets;
    }
    assert_int_equal(large->n_targets, n_targets);
    assert_int_equal(large->n_targets, 48);
    assert_int_equal(large->n_tokens, 72);
    assert_int_equal(large->text_bytes, 24 * 5);
    for (int64_t r = 0; r < 24; r++) assert_int_equal(large->ids[4 * r] / 10000, large->sources[r]);
    ins_batch_free(large);
    ins_batch_free(small);
    ins_mixture_free(mix);
    free_fixture(&f);
}

static void unshuffled_is_in_order(void **state) {
    (void)state;
    fixture f = make_fixture(1, (int64_t[]){5}, (double[]){1});
    ins_mixture *mix = make_mixture(&f, 7, false);
    for (uint64_t p = 0; p < 20; p++) {
        int64_t source, row;
        ins_mixture_at(mix, p, &source, &row);
        assert_int_equal(row, p % 5);
    }
    assert_int_equal(ins_mixture_epoch_rows(mix), 5);
    ins_mixture_free(mix);
    free_fixture(&f);
}

/* Adding a source leaves the order of the others as it was. */
static void sources_do_not_disturb(void **state) {
    (void)state;
    fixture f = make_fixture(2, (int64_t[]){40, 9}, (double[]){1, 1});
    ins_mixture *both = make_mixture(&f, 3, true), *alone = NULL;
    ins_error err = {0};
    need_ok(ins_mixture_new(f.sources, 1, 3, true, &alone, &err), &err);
    uint64_t drawn = 0;
    for (uint64_t p = 0; p < 200; p++) {
        int64_t source, row, source_alone, row_alone;
        ins_mixture_at(both, p, &source, &row);
        if (source != 0) continue;
        ins_mixture_at(alone, drawn++, &source_alone, &row_alone);
        assert_int_equal(row, row_alone);
    }
    ins_mixture_free(both);
    ins_mixture_free(alone);
    free_fixture(&f);
}

static void bad_mixtures(void **state) {
    (void)state;
    fixture f = make_fixture(2, (int64_t[]){5, 3}, (double[]){1, 1});
    ins_mixture *mix = NULL;
    assert_int_equal(ins_mixture_new(f.sources, 0, 1, true, &mix, NULL), INS_RECIPE);
    f.sources[1].weight = 0;
    assert_int_equal(ins_mixture_new(f.sources, 2, 1, true, &mix, NULL), INS_RECIPE);
    f.sources[1].weight = NAN;
    assert_int_equal(ins_mixture_new(f.sources, 2, 1, true, &mix, NULL), INS_RECIPE);
    f.sources[1].weight = 1;
    f.sources[1].name = "one";
    assert_int_equal(ins_mixture_new(f.sources, 2, 1, true, &mix, NULL), INS_RECIPE);
    assert_null(mix);
    free_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_counts),
        cmocka_unit_test(round_numbers_are_exact),
        cmocka_unit_test(epochs_are_permutations),
        cmocka_unit_test(batch_size_does_not_matter),
        cmocka_unit_test(unshuffled_is_in_order),
        cmocka_unit_test(sources_do_not_disturb),
        cmocka_unit_test(bad_mixtures),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
