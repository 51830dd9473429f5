/* Loss weights of clm and sft. */
#include "model/model_testing.h"

/* Row 0: two conversations, the first with responses of 2 and 1 tokens, the second of 4. Row 1: nothing to learn. */
static ins_batch *masked_batch(void) {
    static const int32_t ids[] = {1, 2, 3, 4, 5, 6, 7};
    static const float first[7] = {0, 1, 1, 0, 1, 0, 0}, second[7] = {0, 0, 1, 1, 1, 1, 0};
    ins_batch *batch = empty_batch(2, 16);
    put_document(batch, 0, 0, 1, ids, 7);
    put_document(batch, 0, 7, 2, ids, 7);
    put_document(batch, 1, 0, 1, ids, 7);
    batch->n_targets = 7;
    for (int i = 0; i < 7; i++) {
        batch->weights[i] = first[i];
        batch->weights[7 + i] = second[i];
        batch->weights[16 + i] = 0;
    }
    return batch;
}

static void test_token(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    const ins_opt_component sft = component_of(arena, &ins_family_objective, "sft", NULL);
    assert_true(((const ins_objective *)sft.desc)->needs_mask);
    ins_batch *batch = masked_batch();
    prepare_batch(&sft, batch);
    assert_int_equal(batch->n_targets, 7);
    assert_true(batch->weights[1] == 1 && batch->weights[10] == 1 && batch->weights[0] == 0);
    ins_batch_free(batch);
    ins_arena_free(arena);
}

static void test_sequence(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    const ins_opt_component sft = component_of(arena, &ins_family_objective, "sft", "normalise: sequence");
    ins_batch *batch = masked_batch();
    prepare_batch(&sft, batch);
    static const float expected[14] = {0, 0.5f, 0.5f, 0, 1, 0, 0, 0, 0, 0.25f, 0.25f, 0.25f, 0.25f, 0};
    for (int i = 0; i < 14; i++) assert_true(batch->weights[i] == expected[i]);
    for (int i = 16; i < 32; i++) assert_true(batch->weights[i] == 0);
    assert_int_equal(batch->n_targets, 3); /* responses: their weights sum to it */
    ins_batch_free(batch);
    ins_arena_free(arena);
}

/* Responses that touch in neighbouring documents stay two. */
static void test_touching(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    const ins_opt_component sft = component_of(arena, &ins_family_objective, "sft", "normalize: sequence");
    static const int32_t ids[] = {1, 2, 3};
    ins_batch *batch = empty_batch(1, 8);
    put_document(batch, 0, 0, 1, ids, 3);
    put_document(batch, 0, 3, 2, ids, 3);
    batch->targets[2] = 1; /* as if the first document went on into the second */
    batch->weights[2] = 1;
    prepare_batch(&sft, batch);
    assert_int_equal(batch->n_targets, 2);
    assert_true(batch->weights[0] == 1.0f / 3 && batch->weights[3] == 0.5f);
    ins_batch_free(batch);
    ins_arena_free(arena);
}

/* The loss is the mean over responses: only they count. */
static void test_loss(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    const ins_opt_component sft = component_of(arena, &ins_family_objective, "sft", "normalise: sequence");
    ins_model *m = model_from("{layers: 1, width: 32, heads: 1, init_std: 0.2}", 10);
    float *slab = NULL;
    OK(ins_slab_new(ins_model_params(m), &slab, err));
    OK(ins_model_init(m, 1, slab, NULL, err));
    ins_batch *batch = masked_batch();
    prepare_batch(&sft, batch);
    ins_train_graph *tg = NULL;
    const ins_train_graph_config config = {
        .model = m, .objective = &sft, .compute = INS_DTYPE_F32, .n_rows = 2, .n_cols = 16, .weights = slab};
    OK(ins_train_graph_new(&config, &tg, err));
    ins_train_result r;
    OK(ins_train_graph_run(tg, batch, 1.0 / (double)batch->n_targets, NULL, true, &r, err));
    double expected =
        ((r.nll[1] + r.nll[2]) / 2.0 + r.nll[4] + (r.nll[9] + r.nll[10] + r.nll[11] + r.nll[12]) / 4.0) / 3;
    assert_float_equal(r.loss, expected, 1e-5);
    assert_true(r.nll[0] > 0); /* unweighted: given for every target */
    ins_train_graph_free(tg);
    ins_batch_free(batch);
    ins_slab_free(ins_model_params(m), slab);
    ins_model_free(m);
    ins_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_sequence),
        cmocka_unit_test(test_touching),
        cmocka_unit_test(test_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
