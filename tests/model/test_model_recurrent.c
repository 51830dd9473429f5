/* LSTM and MLP models: documents packed into one row are what they are alone; initial values. */
#include "model/model_testing.h"

enum { COLS = 12, FIRST = 5, SECOND = 7, VOCAB = 30 };

typedef struct trained {
    float nll[2 * COLS];
    float *grads;
} trained;

static trained run(const ins_model *m, float *slab, const ins_opt_component *objective, const ins_batch *batch,
                   ins_dtype compute, ins_pool *pool) {
    trained out = {0};
    ins_train_graph *tg = NULL;
    ins_train_result result;
    OK(ins_slab_new(ins_model_params(m), &out.grads, err));
    const ins_train_graph_config config = {.model = m,
                                           .objective = objective,
                                           .compute = compute,
                                           .n_rows = batch->n_rows,
                                           .n_cols = batch->n_cols,
                                           .weights = slab,
                                           .grads = out.grads,
                                           .pool = pool};
    OK(ins_train_graph_new(&config, &tg, err));
    OK(ins_train_graph_run(tg, batch, 1.0 / (double)batch->n_targets, NULL, true, &result, err));
    memcpy(out.nll, result.nll, (size_t)(batch->n_rows * batch->n_cols) * sizeof(float));
    ins_train_graph_free(tg);
    return out;
}

static void check_packing(const char *yaml, ins_pool *pool) {
    ins_model *m = model_from(yaml, VOCAB);
    ins_arena *arena = ins_arena_new(0);
    const ins_opt_component objective = component_of(arena, &ins_family_objective, "clm", NULL);
    float *slab = NULL;
    int32_t ids[COLS];
    OK(ins_slab_new(ins_model_params(m), &slab, err));
    OK(ins_model_init(m, 3, slab, NULL, err));
    for (int i = 0; i < COLS; i++) ids[i] = (i * 11 + 2) % VOCAB;
    ins_batch *packed = empty_batch(1, COLS), *apart = empty_batch(2, COLS);
    put_document(packed, 0, 0, 1, ids, FIRST), put_document(packed, 0, FIRST, 2, ids + FIRST, SECOND);
    put_document(apart, 0, 0, 1, ids, FIRST), put_document(apart, 1, 0, 1, ids + FIRST, SECOND);
    prepare_batch(&objective, packed), prepare_batch(&objective, apart);
    trained one = run(m, slab, &objective, packed, INS_DTYPE_F32, pool);
    trained two = run(m, slab, &objective, apart, INS_DTYPE_F32, pool);
    assert_memory_equal(one.nll, two.nll, FIRST * sizeof(float));
    assert_memory_equal(one.nll + FIRST, two.nll + COLS, (SECOND - 1) * sizeof(float));
    const ins_params *params = ins_model_params(m);
    for (int64_t i = 0; i < params->n; i++) { /* sums over other rows: equal but for the order */
        const ins_param *row = &params->rows[i];
        double largest = 0;
        for (int64_t at = row->offset; at < row->offset + row->count; at++)
            largest = fmax(largest, fabs(two.grads[at]));
        assert_true(largest > 0);
        for (int64_t at = row->offset; at < row->offset + row->count; at++)
            if (fabs((double)one.grads[at] - two.grads[at]) > 1e-5 * largest)
                fail_msg("%s: %g packed, %g apart", row->name, one.grads[at], two.grads[at]);
    }
    ins_slab_free(params, one.grads), ins_slab_free(params, two.grads), ins_slab_free(params, slab);
    ins_batch_free(packed), ins_batch_free(apart);
    ins_arena_free(arena);
    ins_model_free(m);
}

static void test_packing(void **state) {
    (void)state;
    ins_pool *pool = NULL;
    OK(ins_pool_new(2, &pool, err));
    check_packing("{preset: lstm, width: 9, hidden: 21}", pool);
    check_packing("{preset: mlp, window: 4, width: 9, hidden: 21}", pool);
    check_packing("{preset: mlp, window: 7, width: 9, hidden: 21, merge: sum, activation: relu}", pool);
    ins_pool_free(pool);
}

/* One and two threads, f32 and bf16: equal bits. */
static void test_threads(void **state) {
    (void)state;
    static const char *const models[] = {"{preset: lstm, width: 24, hidden: 40}",
                                         "{preset: mlp, width: 24, hidden: 40}"};
    ins_pool *pool = NULL;
    OK(ins_pool_new(2, &pool, err));
    for (int i = 0; i < 4; i++) {
        ins_model *m = model_from(models[i % 2], VOCAB);
        ins_arena *arena = ins_arena_new(0);
        const ins_opt_component objective = component_of(arena, &ins_family_objective, "clm", NULL);
        ins_batch *batch = empty_batch(2, COLS);
        int32_t ids[COLS];
        float *slab = NULL;
        for (int at = 0; at < COLS; at++) ids[at] = (at * 7 + 1) % VOCAB;
        put_document(batch, 0, 0, 1, ids, COLS), put_document(batch, 1, 2, 1, ids, SECOND);
        prepare_batch(&objective, batch);
        OK(ins_slab_new(ins_model_params(m), &slab, err));
        OK(ins_model_init(m, 3, slab, NULL, err));
        ins_dtype compute = i < 2 ? INS_DTYPE_F32 : INS_DTYPE_BF16;
        trained one = run(m, slab, &objective, batch, compute, NULL);
        trained two = run(m, slab, &objective, batch, compute, pool);
        assert_memory_equal(one.nll, two.nll, sizeof one.nll);
        assert_memory_equal(one.grads, two.grads, (size_t)ins_model_params(m)->slab_count * sizeof(float));
        ins_slab_free(ins_model_params(m), one.grads), ins_slab_free(ins_model_params(m), two.grads);
        ins_slab_free(ins_model_params(m), slab);
        ins_batch_free(batch);
        ins_arena_free(arena);
        ins_model_free(m);
    }
    ins_pool_free(pool);
}

/* Uniform within 1/sqrt(H); the forget gates' bias on demand. */
static void test_init(void **state) {
    (void)state;
    for (int forget = 0; forget < 2; forget++) {
        ins_model *m = model_from(forget ? "{preset: lstm, width: 16, hidden: 25, layers: 1, forget_bias: 1}"
                                         : "{preset: lstm, width: 16, hidden: 25, layers: 1}",
                                  VOCAB);
        const ins_params *params = ins_model_params(m);
        float *slab = NULL;
        OK(ins_slab_new(params, &slab, err));
        OK(ins_model_init(m, 3, slab, NULL, err));
        for (int64_t i = 0; i < params->n; i++) {
            const ins_param *row = &params->rows[i];
            bool ih = strcmp(row->name, "lstm.bias_ih_l0") == 0, hh = strcmp(row->name, "lstm.bias_hh_l0") == 0;
            if (strncmp(row->name, "lstm.", 5) != 0) continue;
            double largest = 0, sum = 0;
            for (int64_t at = 0; at < row->count; at++) {
                float value = slab[row->offset + at];
                if (forget && (ih || hh) && at >= 25 && at < 50) {
                    assert_true(value == (ih ? 1.0f : 0.0f));
                    continue;
                }
                largest = fmax(largest, fabs(value));
                sum += value;
            }
            assert_true(largest <= 0.2 && largest > 0.18);
            assert_true(fabs(sum / (double)row->count) < 0.03);
        }
        ins_slab_free(params, slab);
        ins_model_free(m);
    }
}

/* 2 FLOP a weight of the layers and of the output layer, whose input is the hidden state. */
static void test_sizes(void **state) {
    (void)state;
    ins_model *m = model_from("{preset: lstm, width: 16, hidden: 25, layers: 2}", VOCAB);
    assert_int_equal(ins_model_hidden_size(m), 25);
    assert_float_equal(ins_model_flops_per_token(m, 9), 2.0 * (100 * 16 + 100 * 25 * 3 + VOCAB * 25), 0.5);
    assert_int_equal(ins_model_params(m)->n_elements, VOCAB * 16 + 100 * 16 + 100 * 25 * 3 + 4 * 100 + VOCAB * 25);
    ins_model_free(m);
    m = model_from("{preset: mlp, width: 16, hidden: 25, layers: 2, window: 3}", VOCAB);
    assert_float_equal(ins_model_flops_per_token(m, 9), 2.0 * (25 * 48 + 25 * 25 + VOCAB * 25), 0.5);
    ins_model_free(m);
    assert_int_equal(options_from("{preset: lstm, layers: 3}", 9).hidden, 384);
    assert_int_equal(options_from("mlp", 9).hidden, 512);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packing),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
