/* Generation with a key/value cache equals running the whole model again for every token. */
#include "model/model_testing.h"

#include "decode/decode.h"

typedef struct fixture {
    ins_model *model;
    float *slab;
    ins_pool *pool;
} fixture;

static fixture make(const char *yaml) {
    fixture f = {.model = model_from(yaml, 0)};
    OK(ins_slab_new(ins_model_params(f.model), &f.slab, err));
    OK(ins_pool_new(2, &f.pool, err));
    OK(ins_model_init(f.model, 7, f.slab, f.pool, err));
    return f;
}

static void drop(fixture *f) {
    ins_slab_free(ins_model_params(f->model), f->slab);
    ins_model_free(f->model);
    ins_pool_free(f->pool);
}

#define SIZES "layers: 3, width: 32, heads: 4, vocab: 50, init_std: 0.3, max_positions: 96"
static const ins_sampling greedy = {.top_p = 1, .repetition_penalty = 1, .max_tokens = 12};

static int32_t ids_of(int64_t i) {
    return (int32_t)((i * 7919 + 3) % 50);
}

static void fill_ids(int32_t *ids, int64_t n, int64_t first) {
    for (int64_t i = 0; i < n; i++) ids[i] = ids_of(first + i);
}

/* What follows ids[0..n) greedily, by whole forward passes. */
static void follow(const fixture *f, ins_dtype compute, int32_t *ids, int64_t n, int64_t n_more, double *logprobs) {
    int64_t vocab = ins_model_get_options(f->model)->vocab;
    for (int64_t i = 0; i < n_more; i++) {
        const int32_t *row = ids;
        int64_t len = n + i, max_t;
        float *logits;
        OK(ins_model_eval_logits(f->model, f->slab, compute, &row, &len, 1, f->pool, &logits, &max_t, NULL, err));
        const float *last = logits + (len - 1) * vocab;
        int32_t best = 0;
        double sum = 0;
        for (int32_t v = 1; v < vocab; v++)
            if (last[v] > last[best]) best = v;
        for (int32_t v = 0; v < vocab; v++) sum += exp((double)last[v] - last[best]);
        logprobs[i] = -log(sum);
        ids[len] = best;
        ins_free(logits);
    }
}

/* Prompts of 1, 5, 40 (more than one slice of columns) tokens at once. */
static void check_equals_forward(const char *yaml) {
    fixture f = make(yaml);
    const int64_t lens[3] = {5, 1, 40};
    int32_t ids[3][96];
    const int32_t *prompts[3] = {ids[0], ids[1], ids[2]};
    for (int row = 0; row < 3; row++) fill_ids(ids[row], lens[row], 11 * row);
    ins_decoder *d = NULL;
    ins_generated out[3];
    OK(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 4, 64, f.pool, &d, err));
    OK(ins_decoder_generate(d, prompts, lens, 3, &greedy, out, err));
    for (int row = 0; row < 3; row++) {
        double logprobs[12];
        follow(&f, INS_DTYPE_F32, ids[row], lens[row], 12, logprobs);
        assert_int_equal(out[row].ids.n, 12);
        assert_int_equal(out[row].n_logprobs, 12);
        assert_string_equal(out[row].finish, "length");
        for (int i = 0; i < 12; i++) {
            assert_int_equal(out[row].ids.data[i], ids[row][lens[row] + i]);
            assert_float_equal(out[row].logprobs[i], logprobs[i], 2e-5);
        }
        ins_generated_free(&out[row]);
    }
    ins_decoder_free(d);
    drop(&f);
}

static void test_llama(void **state) {
    (void)state;
    check_equals_forward("{preset: llama, kv_heads: 2, " SIZES "}");
}
static void test_gpt2(void **state) {
    (void)state;
    check_equals_forward("{preset: gpt2, " SIZES "}");
}
static void test_variants(void **state) {
    (void)state;
    check_equals_forward("{preset: qwen3, head_size: 6, kv_heads: 1, " SIZES "}");
    check_equals_forward("{norm_place: sandwich, parallel: false, rotary_share: 0.5, rope_interleaved: true, " SIZES
                         "}");
    check_equals_forward("{parallel: true, positions: none, mlp: relu2, " SIZES "}");
    check_equals_forward("{norm_place: post, positions: sinusoidal, mlp: geglu, final_norm: false, " SIZES "}");
}
#define SMALL "vocab: 50, width: 24, max_positions: 96, init_std: 0.9"
static void test_recurrent(void **state) {
    (void)state;
    check_equals_forward("{preset: lstm, layers: 2, hidden: 33, " SMALL "}");
    check_equals_forward("{preset: lstm, layers: 1, tied: true, forget_bias: 1, " SMALL "}");
    check_equals_forward("{preset: mlp, window: 5, hidden: 40, " SMALL "}");
    check_equals_forward("{preset: mlp, window: 1, merge: sum, hidden: 40, layers: 1, " SMALL "}");
    check_equals_forward("{preset: mlp, window: 45, merge: sum, activation: silu, " SMALL "}");
}
static void test_one_layer(void **state) {
    (void)state;
    check_equals_forward("{layers: 1, width: 32, heads: 4, vocab: 50, init_std: 0.3, max_positions: 96}");
}

/* bf16: tokens may differ where two are nearly as likely, so the probability given to the cached path's tokens is
 * compared, step by step, under the same prefix. */
static void test_bf16(void **state) {
    (void)state;
    fixture f = make("{preset: llama, " SIZES "}");
    int32_t ids[96];
    const int32_t *prompt = ids;
    const int64_t len = 9;
    int64_t vocab = 50, max_t;
    fill_ids(ids, len, 4);
    ins_decoder *d = NULL;
    ins_generated out;
    OK(ins_decoder_new(f.model, f.slab, INS_DTYPE_BF16, 1, 64, f.pool, &d, err));
    OK(ins_decoder_generate(d, &prompt, &len, 1, &greedy, &out, err));
    for (int i = 0; i < 12; i++) ids[len + i] = out.ids.data[i];
    int64_t total = len + 12;
    float *logits;
    OK(ins_model_eval_logits(f.model, f.slab, INS_DTYPE_F32, &prompt, &total, 1, f.pool, &logits, &max_t, NULL, err));
    for (int i = 0; i < 12; i++) {
        const float *row = logits + (len + i - 1) * vocab;
        double sum = 0;
        for (int v = 0; v < vocab; v++) sum += exp((double)row[v] - row[ids[len + i]]);
        assert_float_equal(out.logprobs[i], -log(sum), 0.15);
    }
    ins_free(logits);
    ins_generated_free(&out);
    ins_decoder_free(d);
    drop(&f);
}

static void assert_same(const ins_generated *one, const ins_generated *two) {
    assert_int_equal(one->ids.n, two->ids.n);
    assert_memory_equal(one->ids.data, two->ids.data, (size_t)one->ids.n * sizeof(int32_t));
    assert_memory_equal(one->logprobs, two->logprobs, (size_t)one->n_logprobs * sizeof(double));
    assert_string_equal(one->finish, two->finish);
}

/* Sampling: a row's bytes do not depend on what the other rows are, nor on the number of threads. */
static void test_rows_are_independent(void **state) {
    (void)state;
    fixture f = make("{preset: llama, " SIZES "}");
    ins_sampling o = greedy;
    o.temperature = 1.3;
    o.top_p = 0.95;
    o.seed = 5;
    int32_t ids[3][40];
    const int64_t lens[3] = {6, 40, 2}, other_lens[3] = {6, 1, 33};
    for (int row = 0; row < 3; row++) fill_ids(ids[row], 40, 13 * row);
    const int32_t *prompts[3] = {ids[0], ids[1], ids[2]}, *others[3] = {ids[0], ids[2], ids[1]};
    ins_generated mixed[3], other[3], alone;
    ins_decoder *d = NULL, *serial = NULL;
    OK(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 3, 64, f.pool, &d, err));
    OK(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 3, 64, NULL, &serial, err));
    OK(ins_decoder_generate(d, prompts, lens, 3, &o, mixed, err));
    OK(ins_decoder_generate(d, others, other_lens, 3, &o, other, err));
    OK(ins_decoder_generate(serial, prompts, lens, 1, &o, &alone, err));
    assert_same(&mixed[0], &other[0]);
    assert_same(&mixed[0], &alone);
    ins_generated_free(&alone);
    o.first_row = 1; /* prompt 1 alone, in its own stream */
    OK(ins_decoder_generate(serial, prompts + 1, lens + 1, 1, &o, &alone, err));
    assert_same(&mixed[1], &alone);
    for (int row = 0; row < 3; row++) {
        ins_generated_free(&mixed[row]);
        ins_generated_free(&other[row]);
    }
    ins_generated_free(&alone);
    ins_decoder_free(d);
    ins_decoder_free(serial);
    drop(&f);
}

/* The same seed gives the same text, another seed another. */
static void test_seed(void **state) {
    (void)state;
    fixture f = make("{preset: llama, layers: 1, width: 32, heads: 4, vocab: 50, init_std: 0.1}");
    ins_sampling o = greedy;
    o.temperature = 1;
    o.max_tokens = 24;
    int32_t ids[4];
    const int32_t *prompts[2] = {ids, ids};
    const int64_t lens[2] = {4, 4};
    fill_ids(ids, 4, 0);
    ins_generated one[2], again[2], other[2];
    ins_decoder *d = NULL;
    OK(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 2, 64, f.pool, &d, err));
    OK(ins_decoder_generate(d, prompts, lens, 2, &o, one, err));
    OK(ins_decoder_generate(d, prompts, lens, 2, &o, again, err));
    o.seed = 1;
    OK(ins_decoder_generate(d, prompts, lens, 2, &o, other, err));
    assert_same(&one[0], &again[0]);
    assert_same(&one[1], &again[1]);
    assert_memory_not_equal(one[0].ids.data, other[0].ids.data, 24 * sizeof(int32_t));
    assert_memory_not_equal(one[0].ids.data, one[1].ids.data, 24 * sizeof(int32_t)); /* rows draw apart */
    for (int row = 0; row < 2; row++) {
        ins_generated_free(&one[row]);
        ins_generated_free(&again[row]);
        ins_generated_free(&other[row]);
    }
    ins_decoder_free(d);
    drop(&f);
}

static void test_ends(void **state) {
    (void)state;
    fixture f = make("{preset: llama, " SIZES "}");
    int32_t ids[96];
    const int32_t *prompt = ids;
    int64_t len = 5;
    double logprobs[12];
    fill_ids(ids, len, 0);
    follow(&f, INS_DTYPE_F32, ids, len, 12, logprobs);
    ins_sampling o = greedy;
    int32_t stop = -1; /* a token that comes for the first time at step `at` */
    int64_t at = 0;
    for (at = 1; at < 12; at++) {
        bool is_new = true;
        for (int64_t i = 0; i < at; i++) is_new = is_new && ids[len + i] != ids[len + at];
        if (is_new) break;
    }
    assert_true(at < 12);
    stop = ids[len + at];
    o.stop_ids = &stop;
    o.n_stop = 1;
    ins_decoder *d = NULL;
    ins_generated out;
    OK(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 1, 8, f.pool, &d, err));
    OK(ins_decoder_generate(d, &prompt, &len, 1, &o, &out, err));
    if (at <= 4) assert_string_equal(out.finish, "stop");
    ins_generated_free(&out);
    /* The cache of 8 is full after 3 tokens; the 4th is drawn from the last state. */
    OK(ins_decoder_generate(d, &prompt, &len, 1, &greedy, &out, err));
    assert_string_equal(out.finish, "length");
    assert_int_equal(out.ids.n, 4);
    ins_generated_free(&out);
    o = greedy;
    o.max_tokens = 0;
    OK(ins_decoder_generate(d, &prompt, &len, 1, &o, &out, err));
    assert_int_equal(out.ids.n, 0);
    ins_generated_free(&out);
    ins_decoder_free(d);
    OK(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 2, 64, f.pool, &d, err));
    o = greedy;
    o.stop_ids = &stop;
    o.n_stop = 1;
    OK(ins_decoder_generate(d, &prompt, &len, 1, &o, &out, err));
    assert_string_equal(out.finish, "stop");
    assert_int_equal(out.ids.n, at); /* the stop token is not returned */
    ins_generated_free(&out);
    ins_decoder_free(d);
    drop(&f);
}

static void test_bad_input(void **state) {
    (void)state;
    fixture f = make("{preset: gpt2, layers: 1, width: 32, heads: 4, vocab: 50, max_positions: 32}");
    ins_error why = {0};
    ins_decoder *d = NULL;
    ins_generated out = {0};
    assert_int_equal(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 1, 33, f.pool, &d, &why), INS_USAGE);
    assert_non_null(strstr(why.text, "32 positions"));
    assert_int_equal(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 0, 8, f.pool, &d, &why), INS_USAGE);
    OK(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 1, 8, f.pool, &d, err));
    int32_t ids[9] = {1, 2, 50};
    const int32_t *prompt = ids;
    int64_t len = 3;
    assert_int_equal(ins_decoder_generate(d, &prompt, &len, 1, &greedy, &out, &why), INS_USAGE);
    assert_non_null(strstr(why.text, "id 50"));
    ids[2] = 3;
    len = 9;
    assert_int_equal(ins_decoder_generate(d, &prompt, &len, 1, &greedy, &out, &why), INS_USAGE);
    len = 0;
    assert_int_equal(ins_decoder_generate(d, &prompt, &len, 1, &greedy, &out, &why), INS_USAGE);
    len = 3;
    f.slab[0] = NAN; /* row 0 of the tied table: its logit is not finite */
    assert_int_equal(ins_decoder_generate(d, &prompt, &len, 1, &greedy, &out, &why), INS_NUMERIC);
    assert_null(out.ids.data);
    ins_decoder_free(d);
    drop(&f);
    f = make("{attention: full, layers: 1, width: 32, heads: 4, vocab: 50}");
    assert_int_equal(ins_decoder_new(f.model, f.slab, INS_DTYPE_F32, 1, 8, f.pool, &d, &why), INS_USAGE);
    drop(&f);
}

/* Every allocation failure gives an error, and the decoder goes on working. */
static void test_out_of_memory(void **state) {
    (void)state;
    fixture f = make("{preset: llama, layers: 2, width: 32, heads: 4, vocab: 50}");
    const int32_t ids[3] = {1, 2, 3}, *prompts[2] = {ids, ids};
    const int64_t lens[2] = {3, 2};
    uint64_t live = ins_mem_get_stats().live;
    ins_status status = INS_NOMEM;
    for (uint64_t k = 1; status != INS_OK && k < 5000; k++) {
        ins_decoder *d = NULL;
        ins_generated out[2] = {0};
        ins_mem_fail_at(k);
        status = ins_decoder_new(f.model, f.slab, INS_DTYPE_BF16, 2, 16, f.pool, &d, NULL);
        if (status == INS_OK) status = ins_decoder_generate(d, prompts, lens, 2, &greedy, out, NULL);
        ins_mem_fail_at(0);
        for (int row = 0; row < 2; row++) ins_generated_free(&out[row]);
        ins_decoder_free(d);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_int_equal(status, INS_OK);
    drop(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_gpt2),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_one_layer),
        cmocka_unit_test(test_recurrent),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_rows_are_independent),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
