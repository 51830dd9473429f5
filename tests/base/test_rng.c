#include "base/testing.h"

#include <math.h>

#include "base/mem.h"
#include "base/rng.h"

static void check_philox(uint32_t k0, uint32_t k1, uint64_t hi, uint64_t lo, const uint32_t expected[4]) {
    uint32_t out[4];
    ins_philox((ins_rng_key){{k0, k1}}, hi, lo, out);
    for (int i = 0; i < 4; i++) assert_int_equal(out[i], expected[i]);
}

/* The three vectors published with the generator (Salmon et al. 2011). */
static void philox_known_answers(void **state) {
    (void)state;
    check_philox(0, 0, 0, 0, (const uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    check_philox(~0u, ~0u, ~UINT64_C(0), ~UINT64_C(0),
                 (const uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    check_philox(0xa4093822, 0x299f31d0, UINT64_C(0x0370734413198a2e), UINT64_C(0x85a308d3243f6a88),
                 (const uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

static void keys_differ_by_every_part(void **state) {
    (void)state;
    ins_rng_key base = ins_rng_derive(1, "init", 0);
    ins_rng_key others[] = {ins_rng_derive(2, "init", 0), ins_rng_derive(1, "init", 1), ins_rng_derive(1, "drop", 0),
                            ins_rng_derive(1, "", 0)};
    ins_rng_key again = ins_rng_derive(1, "init", 0);
    assert_memory_equal(&base, &again, sizeof base);
    for (size_t i = 0; i < 4; i++) assert_memory_not_equal(&base, &others[i], sizeof base);
}

static void cursor_reads_the_stream_of_words(void **state) {
    (void)state;
    ins_rng_key key = ins_rng_derive(3, "cursor", 0);
    uint32_t words[16];
    for (uint64_t block = 0; block < 4; block++) ins_philox(key, 9, block, words + 4 * block);
    ins_rng rng = ins_rng_start(key, 9);
    for (int i = 0; i < 16; i++) assert_int_equal(ins_rng_u32(&rng), words[i]);
    for (uint64_t start = 0; start < 8; start++) { /* 64-bit draws at every alignment */
        rng.pos = start;
        assert_true(ins_rng_u64(&rng) == (words[start] | (uint64_t)words[start + 1] << 32));
        assert_int_equal(rng.pos, start + 2);
    }
}

static void below_is_in_range_and_even(void **state) {
    (void)state;
    ins_rng rng = ins_rng_start(ins_rng_derive(4, "below", 0), 0);
    int64_t counts[7] = {0};
    for (int i = 0; i < 70000; i++) counts[ins_rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++) assert_in_range(counts[i], 9600, 10400); /* 4 sigma = 370 */
    for (int i = 0; i < 100; i++) assert_int_equal(ins_rng_below(&rng, 1), 0);
    /* 2^64 / n = 4/3: without rejection, half of the values would be multiples of 3 instead of a third. */
    uint64_t n = UINT64_C(3) << 62;
    int multiples = 0;
    for (int i = 0; i < 30000; i++) {
        uint64_t value = ins_rng_below(&rng, n);
        assert_true(value < n);
        multiples += value % 3 == 0;
    }
    assert_in_range(multiples, 9600, 10400);
}

static void moments(void **state) {
    (void)state;
    ins_rng rng = ins_rng_start(ins_rng_derive(5, "moments", 0), 0);
    const int n = 200000;
    double sum = 0, squares = 0, fourth = 0, uniform = 0;
    for (int i = 0; i < n; i++) {
        double x = ins_rng_normal(&rng), u = ins_rng_uniform(&rng);
        assert_true(isfinite(x) && u >= 0 && u < 1);
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
        uniform += u;
    }
    assert_true(fabs(sum / n) < 0.01); /* 4 sigma = 0.009 */
    assert_true(fabs(squares / n - 1) < 0.015);
    assert_true(fabs(fourth / n - 3) < 0.1);
    assert_true(fabs(uniform / n - 0.5) < 0.003);
}

static void fills_do_not_depend_on_the_cut(void **state) {
    (void)state;
    enum { N = 4001 };
    static float whole[N], pieces[N];
    ins_rng_key key = ins_rng_derive(8, "fill", 0);
    ins_rng_fill_normal(key, 1, 10, N, whole);
    for (int64_t at = 0, n = 1; at < N; at += n, n = n % 13 + 1)
        ins_rng_fill_normal(key, 1, 10 + (uint64_t)at, at + n > N ? N - at : n, pieces + at);
    assert_memory_equal(whole, pieces, sizeof whole);
    ins_rng_fill_uniform(key, 1, 10, N, whole);
    for (int64_t at = 0, n = 1; at < N; at += n, n = n % 13 + 1)
        ins_rng_fill_uniform(key, 1, 10 + (uint64_t)at, at + n > N ? N - at : n, pieces + at);
    assert_memory_equal(whole, pieces, sizeof whole);
    ins_rng_fill_uniform(key, 1, 0, 0, NULL);
}

static void fill_moments(void **state) {
    (void)state;
    enum { N = 400000 };
    float *values = ins_malloc(N * sizeof *values);
    ins_rng_fill_normal(ins_rng_derive(9, "fill", 0), 0, 0, N, values);
    double sum = 0, squares = 0, fourth = 0, neighbours = 0;
    for (int i = 0; i < N; i++) {
        double x = values[i];
        assert_true(isfinite(x));
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
        if (i) neighbours += x * values[i - 1];
    }
    assert_true(fabs(sum / N) < 0.007); /* 4 sigma = 0.0063 */
    assert_true(fabs(squares / N - 1) < 0.01);
    assert_true(fabs(fourth / N - 3) < 0.07);
    assert_true(fabs(neighbours / N) < 0.007);
    ins_rng_fill_uniform(ins_rng_derive(9, "fill", 1), 0, 0, N, values);
    int counts[10] = {0};
    for (int i = 0; i < N; i++) {
        assert_true(values[i] >= 0 && values[i] < 1);
        counts[(int)(values[i] * 10)]++;
    }
    for (int i = 0; i < 10; i++) assert_in_range(counts[i], 39200, 40800);
    ins_free(values);
}

static void permutation_is_a_bijection(void **state) {
    (void)state;
    unsigned char *seen = ins_malloc(70000);
    for (uint64_t n = 1; n <= 70000; n = n < 130 ? n + 1 : n * 3 / 2 + 1) {
        for (uint64_t seed = 0; seed < 3; seed++) {
            ins_rng_key key = ins_rng_derive(seed, "permute", n);
            memset(seen, 0, n);
            for (uint64_t i = 0; i < n; i++) {
                uint64_t at = ins_permute(key, n, i);
                assert_true(at < n);
                assert_int_equal(seen[at]++, 0);
            }
        }
    }
    ins_free(seen);
}

/* Each of the 24 orders of 4 items comes up, about equally often; and neighbours do not stay neighbours. */
static void permutation_mixes(void **state) {
    (void)state;
    int counts[256] = {0}, kinds = 0;
    for (uint64_t seed = 0; seed < 24000; seed++) {
        ins_rng_key key = ins_rng_derive(seed, "orders", 0);
        int code = 0;
        for (uint64_t i = 0; i < 4; i++) code = code * 4 + (int)ins_permute(key, 4, i);
        counts[code]++;
    }
    for (int i = 0; i < 256; i++) {
        kinds += counts[i] > 0;
        if (counts[i]) assert_in_range(counts[i], 700, 1300);
    }
    assert_int_equal(kinds, 24);
    ins_rng_key key = ins_rng_derive(6, "mix", 0);
    const uint64_t n = 100003;
    int close = 0;
    double correlation = 0;
    for (uint64_t i = 0; i + 1 < n; i++) {
        double here = (double)ins_permute(key, n, i), next = (double)ins_permute(key, n, i + 1);
        close += fabs(here - next) < (double)n * 0.01;
        correlation += (here / (double)n - 0.5) * (next / (double)n - 0.5) * 12;
    }
    assert_in_range(close, 1700, 2300); /* 1.99 % expected */
    assert_true(fabs(correlation / (double)n) < 0.015);
}

static void permutation_of_large_ranges(void **state) {
    (void)state;
    ins_rng_key key = ins_rng_derive(7, "large", 0);
    const uint64_t sizes[] = {UINT64_C(1) << 32, (UINT64_C(1) << 40) + 1, UINT64_C(1) << 63, UINT64_MAX};
    for (size_t k = 0; k < 4; k++)
        for (uint64_t i = 0; i < 1000; i++) assert_true(ins_permute(key, sizes[k], sizes[k] - 1 - i) < sizes[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(keys_differ_by_every_part),
        cmocka_unit_test(cursor_reads_the_stream_of_words),
        cmocka_unit_test(below_is_in_range_and_even),
        cmocka_unit_test(moments),
        cmocka_unit_test(fills_do_not_depend_on_the_cut),
        cmocka_unit_test(fill_moments),
        cmocka_unit_test(permutation_is_a_bijection),
        cmocka_unit_test(permutation_mixes),
        cmocka_unit_test(permutation_of_large_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
