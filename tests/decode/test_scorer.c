/* Scores of continuations: equal to full logits, and to the bit whatever the batch. */
#include "model/model_testing.h"

#include "decode/decode.h"

enum { V = 50, N = 70, MAX_LEN = 80 };

typedef struct fixture {
    ins_model *model;
    float *slab;
    ins_pool *pool;
    int32_t ids[N][MAX_LEN + 10];
    ins_score_item items[N];
} fixture;

static fixture *make(void) {
    fixture *f = calloc(1, sizeof *f);
    f->model = model_from("{preset: llama, layers: 2, width: 64, heads: 4, ff: 1100, vocab: 50, init_std: 0.1}", 0);
    OK(ins_slab_new(ins_model_params(f->model), &f->slab, err));
    OK(ins_pool_new(2, &f->pool, err));
    OK(ins_model_init(f->model, 3, f->slab, f->pool, err));
    for (int i = 0; i < N; i++) {
        int64_t n = 2 + (i * 37) % (MAX_LEN - 1);
        for (int64_t at = 0; at < n; at++) f->ids[i][at] = (int32_t)((at * at + 13 * i + 5) % V);
        f->items[i] = (ins_score_item){.ids = f->ids[i], .n = n, .n_context = 1 + i % (n - 1)};
    }
    return f;
}

static void drop(fixture *f) {
    ins_slab_free(ins_model_params(f->model), f->slab);
    ins_model_free(f->model);
    ins_pool_free(f->pool);
    free(f);
}

static ins_scorer *scorer_in(const fixture *f, ins_dtype compute, int64_t n_rows, ins_pool *pool) {
    ins_scorer *s = NULL;
    OK(ins_scorer_new(f->model, f->slab, compute, n_rows, MAX_LEN, pool, &s, err));
    return s;
}

static ins_scorer *scorer(const fixture *f, int64_t n_rows, ins_pool *pool) {
    return scorer_in(f, INS_DTYPE_F32, n_rows, pool);
}

static void test_equals_logits(void **state) {
    (void)state;
    fixture *f = make();
    ins_scorer *s = scorer(f, 8, f->pool);
    OK(ins_scorer_run(s, f->items, N, err));
    for (int i = 0; i < N; i += 7) {
        const ins_score_item *item = &f->items[i];
        float *logits;
        int64_t max_t, n_greedy = 0;
        double sum = 0;
        OK(ins_model_eval_logits(f->model, f->slab, INS_DTYPE_F32, &item->ids, &item->n, 1, f->pool, &logits, &max_t,
                                 NULL, err));
        for (int64_t at = item->n_context; at < item->n; at++) {
            const float *row = logits + (at - 1) * V;
            double total = 0;
            int best = 0;
            for (int v = 0; v < V; v++) {
                total += exp((double)row[v] - row[item->ids[at]]);
                if (row[v] > row[best]) best = v;
            }
            sum -= log(total);
            n_greedy += best == item->ids[at];
        }
        assert_float_equal(item->logprob, sum, 1e-4);
        assert_int_equal(item->n_greedy, n_greedy);
        assert_int_equal(item->n_scored, item->n - item->n_context);
        ins_free(logits);
    }
    ins_scorer_free(s);
    drop(f);
}

/* Batches of 1 and 64, two threads and one, any order: equal bits. */
static void check_batches(ins_dtype compute) {
    fixture *f = make();
    double one[N], logprob;
    ins_scorer *single = scorer_in(f, compute, 1, NULL), *many = scorer_in(f, compute, 64, f->pool);
    OK(ins_scorer_run(single, f->items, N, err));
    for (int i = 0; i < N; i++) one[i] = f->items[i].logprob;
    OK(ins_scorer_run(many, f->items, N, err));
    for (int i = 0; i < N; i++) assert_memory_equal(&one[i], &f->items[i].logprob, sizeof(double));
    for (int i = 0; i < N / 2; i++) {
        ins_score_item swap = f->items[i];
        f->items[i] = f->items[N - 1 - i];
        f->items[N - 1 - i] = swap;
    }
    OK(ins_scorer_run(many, f->items, 33, err));
    for (int i = 0; i < 33; i++) {
        logprob = one[N - 1 - i];
        assert_memory_equal(&logprob, &f->items[i].logprob, sizeof(double));
    }
    ins_scorer_free(single);
    ins_scorer_free(many);
    drop(f);
}

static void test_batch_does_not_matter(void **state) {
    (void)state;
    check_batches(INS_DTYPE_F32);
    check_batches(INS_DTYPE_BF16);
}

/* Longer items keep their end; a context that is cut away leaves one token. */
static void test_truncation(void **state) {
    (void)state;
    fixture *f = make();
    ins_scorer *s = scorer(f, 2, f->pool);
    int64_t n = MAX_LEN + 7;
    for (int64_t at = 0; at < n; at++) f->ids[0][at] = (int32_t)((at * 11 + 1) % V);
    ins_score_item items[3] = {
        {.ids = f->ids[0], .n = n, .n_context = n - 4},
        {.ids = f->ids[0] + 7, .n = MAX_LEN, .n_context = MAX_LEN - 4},
        {.ids = f->ids[0], .n = n, .n_context = 3},
    };
    OK(ins_scorer_run(s, items, 3, err));
    assert_memory_equal(&items[0].logprob, &items[1].logprob, sizeof(double));
    assert_int_equal(items[0].n_scored, 4);
    assert_int_equal(items[2].n_scored, MAX_LEN - 1);
    ins_scorer_free(s);
    drop(f);
}

static void test_bad_input(void **state) {
    (void)state;
    fixture *f = make();
    ins_error why = {0};
    ins_scorer *s = scorer(f, 2, f->pool);
    ins_score_item item = {.ids = f->ids[0], .n = 3, .n_context = 0};
    assert_int_equal(ins_scorer_run(s, &item, 1, &why), INS_USAGE);
    f->ids[0][1] = V;
    item.n_context = 1;
    assert_int_equal(ins_scorer_run(s, &item, 1, &why), INS_USAGE);
    f->ids[0][1] = 0;
    item.n = item.n_context = 1; /* nothing to score is fine */
    OK(ins_scorer_run(s, &item, 1, err));
    assert_true(item.logprob == 0 && item.n_scored == 0);
    OK(ins_scorer_run(s, NULL, 0, err));
    ins_scorer_free(s);
    assert_int_equal(ins_scorer_new(f->model, f->slab, INS_DTYPE_F32, 0, 8, NULL, &s, &why), INS_USAGE);
    drop(f);
}

/* No allocation once each row length was seen. */
static void test_no_allocation(void **state) {
    (void)state;
    fixture *f = make();
    ins_scorer *s = scorer(f, 8, f->pool);
    OK(ins_scorer_run(s, f->items, N, err));
    uint64_t before = ins_mem_get_stats().n_allocs;
    OK(ins_scorer_run(s, f->items, N, err));
    assert_int_equal(ins_mem_get_stats().n_allocs, before);
    ins_scorer_free(s);
    drop(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_logits), cmocka_unit_test(test_batch_does_not_matter),
        cmocka_unit_test(test_truncation),    cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_no_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
