/* The n-gram model against a direct computation of the same equation, and as a distribution. */
#include <math.h>

#include "base/rng.h"
#include "base/testing.h"
#include "probe/ngram.h"

enum { VOCAB = 7, LENGTH = 200, DOCS = 3 };

static int32_t text[DOCS][LENGTH];

static int setup(void **state) {
    (void)state;
    ins_rng rng = ins_rng_start(ins_rng_derive(3, "ngram", 0), 0);
    for (int d = 0; d < DOCS; d++) {
        for (int i = 0; i < LENGTH; i++) { /* the next token leans on the one before; token 6 never comes */
            bool follows = i > 0 && ins_rng_below(&rng, 3) > 0;
            int32_t drawn = (int32_t)ins_rng_below(&rng, VOCAB - 1);
            text[d][i] = follows ? (text[d][i - 1] * 2 + 1) % (VOCAB - 1) : drawn;
        }
    }
    return 0;
}

static ins_ngram *make(int order) {
    ins_ngram *lm = NULL;
    assert_ok(ins_ngram_new(order, VOCAB, &lm, NULL));
    for (int d = 0; d < DOCS; d++) assert_ok(ins_ngram_add(lm, text[d], LENGTH, NULL));
    assert_ok(ins_ngram_finish(lm, NULL));
    return lm;
}

static void test_sums_to_one(void **state) {
    (void)state;
    ins_rng rng = ins_rng_start(ins_rng_derive(4, "contexts", 0), 0);
    for (int order = 1; order <= 5; order++) {
        ins_ngram *lm = make(order);
        for (int trial = 0; trial < 50; trial++) {
            int32_t ids[6];
            for (int i = 0; i < 5; i++) ids[i] = (int32_t)ins_rng_below(&rng, VOCAB);
            if (trial % 2 == 0) memcpy(ids, &text[0][trial], 5 * sizeof *ids); /* a context that was seen */
            double sum = 0;
            for (int32_t next = 0; next < VOCAB; next++) {
                ids[5] = next;
                double logprob = ins_ngram_logprob(lm, ids, 5);
                assert_true(isfinite(logprob) && logprob < 0);
                sum += exp(logprob);
            }
            assert_true(fabs(sum - 1) < 1e-12);
        }
        ins_ngram_free(lm);
    }
}

/* ---- bigrams by hand ---- */

static void test_bigrams(void **state) {
    (void)state;
    double pairs[VOCAB][VOCAB] = {{0}}, n1 = 0, n2 = 0, u1 = 0, u2 = 0, kinds = 0;
    for (int d = 0; d < DOCS; d++) {
        for (int i = 1; i < LENGTH; i++) pairs[text[d][i - 1]][text[d][i]]++;
    }
    /* Unigrams: distinct left neighbours, and a document's first token once each, as nothing stands before it. */
    double left[VOCAB] = {0}, seen = 0;
    for (int x = 0; x < VOCAB; x++) {
        for (int y = 0; y < VOCAB; y++) {
            n1 += pairs[x][y] == 1;
            n2 += pairs[x][y] == 2;
            left[y] += pairs[x][y] > 0;
        }
    }
    for (int d = 0; d < DOCS; d++) left[text[d][0]]++;
    for (int y = 0; y < VOCAB; y++) {
        u1 += left[y] == 1;
        u2 += left[y] == 2;
        kinds += left[y] > 0;
        seen += left[y];
    }
    double d2 = n1 > 0 ? n1 / (n1 + 2 * n2) : 0.5, d1 = u1 > 0 ? u1 / (u1 + 2 * u2) : 0.5;
    if (d1 >= 1) d1 = 0.75;
    if (d2 >= 1) d2 = 0.75;
    ins_ngram *lm = make(2);
    for (int32_t x = 0; x < VOCAB - 1; x++) {
        double total = 0, distinct = 0;
        for (int y = 0; y < VOCAB; y++) {
            total += pairs[x][y];
            distinct += pairs[x][y] > 0;
        }
        for (int32_t y = 0; y < VOCAB; y++) {
            double unigram = fmax(left[y] - d1, 0) / seen + d1 * kinds / seen / VOCAB;
            double want = fmax(pairs[x][y] - d2, 0) / total + d2 * distinct / total * unigram;
            const int32_t ids[2] = {x, y};
            assert_true(fabs(exp(ins_ngram_logprob(lm, ids, 1)) - want) < 1e-12);
        }
    }
    ins_ngram_free(lm);
}

static void test_longer_is_better_on_what_was_seen(void **state) {
    (void)state;
    double last = 0;
    for (int order = 1; order <= 3; order++) {
        ins_ngram *lm = make(order);
        double nats = 0;
        for (int i = 1; i < LENGTH; i++) nats -= ins_ngram_logprob(lm, text[1], i);
        if (order > 1) assert_true(nats < last);
        last = nats;
        ins_ngram_free(lm);
    }
}

static void test_limits(void **state) {
    (void)state;
    ins_ngram *lm = NULL;
    ins_error err = {0};
    assert_int_equal(ins_ngram_new(0, 10, &lm, &err), INS_USAGE);
    assert_int_equal(ins_ngram_new(INS_NGRAM_MAX_ORDER + 1, 10, &lm, &err), INS_USAGE);
    assert_ok(ins_ngram_new(INS_NGRAM_MAX_ORDER, 10, &lm, NULL));
    assert_ok(ins_ngram_finish(lm, NULL)); /* nothing seen: uniform */
    const int32_t ids[2] = {1, 2};
    assert_true(fabs(ins_ngram_logprob(lm, ids, 1) - log(0.1)) < 1e-12);
    ins_ngram_free(lm);
    for (uint64_t k = 1; k < 8; k++) { /* out of memory anywhere is an error, not a crash */
        lm = NULL;
        ins_mem_fail_at(k);
        ins_status status = ins_ngram_new(3, VOCAB, &lm, NULL);
        if (status == INS_OK) status = ins_ngram_add(lm, text[0], LENGTH, NULL);
        if (status == INS_OK) status = ins_ngram_finish(lm, NULL);
        ins_mem_fail_at(0);
        assert_true(status == INS_OK || status == INS_NOMEM);
        ins_ngram_free(lm);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_to_one),
        cmocka_unit_test(test_bigrams),
        cmocka_unit_test(test_longer_is_better_on_what_was_seen),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
