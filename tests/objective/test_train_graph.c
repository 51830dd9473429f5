/* Training graphs: packing, threads, accumulation, precision, allocation. */
#include "model/model_testing.h"
#include "optim/bf16_slab.h"

enum { VOCAB = 40 };
#define MODEL "{preset: llama, layers: 2, width: 64, heads: 2, max_positions: 32, init_std: 0.1"

typedef struct world {
    ins_arena *arena;
    ins_model *model;
    float *slab, *grads;
    uint16_t *bf16; /* given to graphs when set */
    ins_pool *pool;
    ins_opt_component objective;
} world;

static world make(const char *yaml, int n_threads, const char *objective, const char *options) {
    world w = {.arena = ins_arena_new(0), .model = model_from(yaml, VOCAB)};
    w.objective = component_of(w.arena, &ins_family_objective, objective, options);
    OK(ins_pool_new(n_threads, &w.pool, err));
    OK(ins_slab_new(ins_model_params(w.model), &w.slab, err));
    OK(ins_slab_new(ins_model_params(w.model), &w.grads, err));
    OK(ins_model_init(w.model, 1, w.slab, w.pool, err));
    return w;
}

static void drop(world *w) {
    ins_slab_free(ins_model_params(w->model), w->slab);
    ins_slab_free(ins_model_params(w->model), w->grads);
    ins_bf16_slab_free(ins_model_params(w->model), w->bf16);
    ins_model_free(w->model);
    ins_pool_free(w->pool);
    ins_arena_free(w->arena);
}

static ins_train_graph *graph_of(world *w, ins_dtype compute, int64_t n_rows, int64_t n_cols) {
    ins_train_graph *tg = NULL;
    const ins_train_graph_config config = {.model = w->model,
                                           .objective = &w->objective,
                                           .compute = compute,
                                           .n_rows = n_rows,
                                           .n_cols = n_cols,
                                           .weights = w->slab,
                                           .weights_bf16 = w->bf16,
                                           .grads = w->grads,
                                           .pool = w->pool};
    OK(ins_train_graph_new(&config, &tg, err));
    return tg;
}

static const int64_t doc_lens[6] = {9, 4, 12, 3, 7, 5};
static int32_t docs[6][16];

static void make_docs(void) {
    for (int d = 0; d < 6; d++)
        for (int i = 0; i < 16; i++) docs[d][i] = (int32_t)((7 * d + 3 * i * i + i) % VOCAB);
}

/* One document a row, in a batch of 16 columns. */
static ins_batch *plain_batch(const world *w, int first, int n) {
    ins_batch *batch = empty_batch(n, 16);
    for (int d = 0; d < n; d++) put_document(batch, d, 0, 1, docs[first + d], doc_lens[first + d]);
    prepare_batch(&w->objective, batch);
    return batch;
}

static double run(ins_train_graph *tg, const ins_batch *batch, int64_t n_targets) {
    ins_train_result result;
    OK(ins_train_graph_run(tg, batch, 1.0 / (double)n_targets, NULL, true, &result, err));
    return result.loss;
}

static double difference(const ins_params *params, const float *one, const float *two) {
    double sum = 0, size = 0;
    for (int64_t i = 0; i < params->slab_count; i++) {
        sum += ((double)one[i] - two[i]) * ((double)one[i] - two[i]);
        size += (double)one[i] * one[i];
    }
    return sqrt(sum / size);
}

/* Six documents in two packed rows = six rows of one document: loss and gradients. */
static void test_packed_is_unpacked(void **state) {
    (void)state;
    world w = make(MODEL "}", 2, "clm", NULL);
    ins_batch *plain = plain_batch(&w, 0, 6), *packed = empty_batch(2, 28);
    put_document(packed, 0, 0, 1, docs[0], 9);
    put_document(packed, 0, 9, 2, docs[2], 12);
    put_document(packed, 0, 21, 3, docs[1], 4);
    put_document(packed, 1, 0, 1, docs[4], 7);
    put_document(packed, 1, 7, 2, docs[3], 3);
    put_document(packed, 1, 10, 3, docs[5], 5);
    prepare_batch(&w.objective, packed);
    assert_int_equal(plain->n_targets, packed->n_targets);
    ins_train_graph *tg = graph_of(&w, INS_DTYPE_F32, 6, 16);
    double loss = run(tg, plain, plain->n_targets);
    float *kept = NULL;
    OK(ins_slab_new(ins_model_params(w.model), &kept, err));
    memcpy(kept, w.grads, (size_t)ins_model_params(w.model)->slab_count * sizeof *kept);
    ins_train_graph *tg_packed = graph_of(&w, INS_DTYPE_F32, 2, 28);
    assert_float_equal(run(tg_packed, packed, packed->n_targets), loss, 1e-6);
    assert_true(difference(ins_model_params(w.model), kept, w.grads) < 1e-5);
    ins_slab_free(ins_model_params(w.model), kept);
    ins_train_graph_free(tg);
    ins_train_graph_free(tg_packed);
    ins_batch_free(plain);
    ins_batch_free(packed);
    drop(&w);
}

/* Without intra_document, a document sees the ones before it and positions count on. */
static void test_across_documents(void **state) {
    (void)state;
    world w = make(MODEL "}", 1, "clm", "intra_document: false"), one = make(MODEL "}", 1, "clm", NULL);
    double losses[2];
    for (int i = 0; i < 2; i++) {
        world *which = i == 0 ? &w : &one;
        ins_batch *batch = empty_batch(1, 16);
        put_document(batch, 0, 0, 1, docs[0], 9);
        put_document(batch, 0, 9, 2, docs[1], 4);
        prepare_batch(&which->objective, batch);
        assert_int_equal(batch->positions[10], i == 0 ? 10 : 1);
        assert_int_equal(batch->lo[10], i == 0 ? 0 : 9);
        ins_train_graph *tg = graph_of(which, INS_DTYPE_F32, 1, 16);
        losses[i] = run(tg, batch, batch->n_targets);
        ins_train_graph_free(tg);
        ins_batch_free(batch);
    }
    assert_true(fabs(losses[0] - losses[1]) > 1e-4);
    drop(&w);
    drop(&one);
}

/* Steps of AdamW with one and two threads: equal bits, in f32 and bf16, with dropout. */
static void train_some(const char *yaml, ins_dtype compute, int n_threads, float **slab, ins_model **model) {
    world w = make(yaml, n_threads, "clm", NULL);
    const ins_params *params = ins_model_params(w.model);
    const ins_opt_component adamw = component_of(w.arena, &ins_family_optimizer, "adamw", NULL);
    ins_batch *batch = plain_batch(&w, 0, 6);
    ins_train_graph *tg = graph_of(&w, compute, 6, 16);
    float *slots[2];
    for (int i = 0; i < 2; i++) OK(ins_slab_new(params, &slots[i], err));
    for (int64_t step = 1; step <= 3; step++) {
        const int32_t key[4] = {(int32_t)step, 2, 3, 4};
        OK(ins_train_graph_run(tg, batch, 1.0 / (double)batch->n_targets, key, false, NULL, err));
        double norm = ins_grad_norm(params, w.grads, w.pool);
        const ins_update update = {.params = params,
                                   .weights = w.slab,
                                   .grads = w.grads,
                                   .slots = slots,
                                   .lr = 1e-2,
                                   .grad_scale = norm > 1 ? 1 / norm : 1,
                                   .step = step,
                                   .pool = w.pool};
        ((const ins_optimizer *)adamw.desc)->update(adamw.options, &update);
    }
    for (int i = 0; i < 2; i++) ins_slab_free(params, slots[i]);
    ins_train_graph_free(tg);
    ins_batch_free(batch);
    *slab = w.slab;
    *model = w.model;
    ins_slab_free(params, w.grads);
    ins_pool_free(w.pool);
    ins_arena_free(w.arena);
}

static void check_threads(const char *yaml, ins_dtype compute) {
    float *one, *two;
    ins_model *model_one, *model_two;
    train_some(yaml, compute, 1, &one, &model_one);
    train_some(yaml, compute, 2, &two, &model_two);
    assert_memory_equal(one, two, (size_t)ins_model_params(model_one)->slab_count * sizeof *one);
    ins_slab_free(ins_model_params(model_one), one);
    ins_slab_free(ins_model_params(model_two), two);
    ins_model_free(model_one);
    ins_model_free(model_two);
}

static void test_threads(void **state) {
    (void)state;
    check_threads(MODEL "}", INS_DTYPE_F32);
    check_threads(MODEL ", dropout: 0.2}", INS_DTYPE_F32);
    check_threads("{preset: gpt2, layers: 2, width: 64, heads: 2, max_positions: 32}", INS_DTYPE_BF16);
}

/* The gradient of 6 rows = the sum over micro-batches of 3 x 2, 6 x 1 rows, normalised by all targets. */
static void test_accumulation(void **state) {
    (void)state;
    world w = make(MODEL "}", 2, "clm", NULL);
    const ins_params *params = ins_model_params(w.model);
    ins_batch *all = plain_batch(&w, 0, 6);
    ins_train_graph *tg = graph_of(&w, INS_DTYPE_F32, 6, 16);
    double loss = run(tg, all, all->n_targets);
    float *kept = NULL, *sum = NULL;
    OK(ins_slab_new(params, &kept, err));
    memcpy(kept, w.grads, (size_t)params->slab_count * sizeof *kept);
    for (int n_rows = 1; n_rows <= 2; n_rows++) {
        OK(ins_slab_new(params, &sum, err));
        ins_train_graph *micro = graph_of(&w, INS_DTYPE_F32, n_rows, 16);
        double total = 0;
        for (int first = 0; first < 6; first += n_rows) {
            ins_batch *part = plain_batch(&w, first, n_rows);
            total += run(micro, part, all->n_targets);
            ins_grads_add(params, w.grads, sum, w.pool);
            ins_batch_free(part);
        }
        assert_float_equal(total, loss, 2e-6);
        assert_true(difference(params, kept, sum) < 1e-5);
        ins_train_graph_free(micro);
        ins_slab_free(params, sum);
    }
    ins_slab_free(params, kept);
    ins_train_graph_free(tg);
    ins_batch_free(all);
    drop(&w);
}

/* bf16 products: loss and gradient near those of f32, but not the same. */
static void test_bf16(void **state) {
    (void)state;
    world w = make(MODEL "}", 2, "clm", NULL);
    const ins_params *params = ins_model_params(w.model);
    ins_batch *batch = plain_batch(&w, 0, 6);
    ins_train_graph *tg = graph_of(&w, INS_DTYPE_F32, 6, 16), *half = graph_of(&w, INS_DTYPE_BF16, 6, 16);
    double loss = run(tg, batch, batch->n_targets);
    float *kept = NULL;
    OK(ins_slab_new(params, &kept, err));
    memcpy(kept, w.grads, (size_t)params->slab_count * sizeof *kept);
    assert_float_equal(run(half, batch, batch->n_targets), loss, 2e-2);
    double apart = difference(params, kept, w.grads);
    assert_true(apart > 1e-5 && apart < 3e-2);
    ins_slab_free(params, kept);
    ins_train_graph_free(tg);
    ins_train_graph_free(half);
    ins_batch_free(batch);
    drop(&w);
}

/* The bf16 copy of the weights stands for the casts: equal bits, and the copy that the optimizer writes stays one. */
static void check_copy(const char *yaml) {
    world w = make(yaml, 2, "clm", NULL);
    const ins_params *params = ins_model_params(w.model);
    const ins_opt_component adamw = component_of(w.arena, &ins_family_optimizer, "adamw", NULL);
    size_t bytes = (size_t)params->slab_count * sizeof(float);
    ins_batch *batch = plain_batch(&w, 0, 6);
    ins_train_graph *casting = graph_of(&w, INS_DTYPE_BF16, 6, 16);
    OK(ins_bf16_slab_new(params, &w.bf16, err));
    ins_bf16_slab_fill(params, w.slab, w.bf16, w.pool);
    ins_train_graph *bound = graph_of(&w, INS_DTYPE_BF16, 6, 16);
    float *kept = NULL, *slots[2];
    OK(ins_slab_new(params, &kept, err));
    for (int i = 0; i < 2; i++) OK(ins_slab_new(params, &slots[i], err));
    for (int64_t step = 1; step <= 3; step++) {
        double loss = run(casting, batch, batch->n_targets);
        memcpy(kept, w.grads, bytes);
        memset(w.grads, 0, bytes);
        assert_true(run(bound, batch, batch->n_targets) == loss);
        assert_memory_equal(kept, w.grads, bytes);
        const ins_update update = {.params = params,
                                   .weights = w.slab,
                                   .weights_bf16 = w.bf16,
                                   .grads = w.grads,
                                   .slots = slots,
                                   .lr = 1e-2,
                                   .grad_scale = 1,
                                   .step = step,
                                   .pool = w.pool};
        ((const ins_optimizer *)adamw.desc)->update(adamw.options, &update);
    }
    for (int64_t i = 0; i < params->slab_count; i++) w.bf16[i] ^= 0x40; /* it is the copy that is read */
    assert_true(run(bound, batch, batch->n_targets) != run(casting, batch, batch->n_targets));
    for (int i = 0; i < 2; i++) ins_slab_free(params, slots[i]);
    ins_slab_free(params, kept);
    ins_train_graph_free(casting);
    ins_train_graph_free(bound);
    ins_batch_free(batch);
    drop(&w);
}

static void test_bf16_copy(void **state) {
    (void)state;
    check_copy(MODEL "}");
    check_copy("{preset: gpt2, layers: 2, width: 64, heads: 2, max_positions: 32}");
}

static void test_no_allocation(void **state) {
    (void)state;
    world w = make(MODEL ", dropout: 0.1}", 2, "clm", NULL);
    ins_batch *batch = plain_batch(&w, 0, 6);
    ins_train_graph *tg = graph_of(&w, INS_DTYPE_F32, 6, 16);
    const int32_t key[4] = {1, 2, 3, 4};
    for (int i = 0; i < 2; i++) OK(ins_train_graph_run(tg, batch, 0.1, key, false, NULL, err));
    uint64_t before = ins_mem_get_stats().n_allocs;
    for (int i = 0; i < 3; i++) OK(ins_train_graph_run(tg, batch, 0.1, key, false, NULL, err));
    ins_grad_norm(ins_model_params(w.model), w.grads, w.pool);
    assert_int_equal(ins_mem_get_stats().n_allocs, before);
    ins_train_graph_free(tg);
    ins_batch_free(batch);
    drop(&w);
}

/* Frozen rows get no gradient; the other gradients stay as they were. */
static void test_frozen(void **state) {
    (void)state;
    world w = make(MODEL "}", 1, "clm", NULL);
    ins_params *params = (ins_params *)ins_model_params(w.model);
    ins_batch *batch = plain_batch(&w, 0, 6);
    ins_train_graph *tg = graph_of(&w, INS_DTYPE_F32, 6, 16);
    run(tg, batch, batch->n_targets);
    ins_train_graph_free(tg);
    float *kept = NULL;
    OK(ins_slab_new(params, &kept, err));
    memcpy(kept, w.grads, (size_t)params->slab_count * sizeof *kept);
    memset(w.grads, 0, (size_t)params->slab_count * sizeof *kept);
    ins_param *embed = ins_params_find(params, "model.embed_tokens.weight");
    embed->frozen = true;
    tg = graph_of(&w, INS_DTYPE_F32, 6, 16);
    run(tg, batch, batch->n_targets);
    memset(kept + embed->offset, 0, (size_t)embed->count * sizeof *kept);
    assert_true(difference(params, kept, w.grads) < 1e-6);
    for (int64_t i = 0; i < embed->count; i++) assert_true(w.grads[embed->offset + i] == 0);
    ins_slab_free(params, kept);
    ins_train_graph_free(tg);
    ins_batch_free(batch);
    drop(&w);
}

/* A weight that is not a number is found, with the layer that it spoils. */
static void test_not_finite(void **state) {
    (void)state;
    world w = make(MODEL "}", 1, "clm", NULL);
    ins_batch *batch = plain_batch(&w, 0, 6);
    ins_train_graph *tg = graph_of(&w, INS_DTYPE_F32, 6, 16);
    w.slab[ins_params_find(ins_model_params(w.model), "model.layers.1.mlp.up_proj.weight")->offset] = NAN;
    ins_error why = {0};
    assert_int_equal(ins_train_graph_run(tg, batch, 0.1, NULL, true, NULL, &why), INS_NUMERIC);
    assert_non_null(strstr(why.text, "layers.1"));
    ins_train_graph_free(tg);
    ins_batch_free(batch);
    drop(&w);
}

static void test_wrong_batch(void **state) {
    (void)state;
    world w = make(MODEL "}", 1, "clm", NULL), full = make(MODEL ", attention: full}", 1, "clm", NULL);
    ins_batch *batch = plain_batch(&w, 0, 5);
    ins_train_graph *tg = graph_of(&w, INS_DTYPE_F32, 6, 16), *none = NULL;
    ins_error why = {0};
    assert_int_equal(ins_train_graph_run(tg, batch, 0.1, NULL, true, NULL, &why), INS_BUG);
    const ins_train_graph_config config = {.model = full.model,
                                           .objective = &full.objective,
                                           .compute = INS_DTYPE_F32,
                                           .n_rows = 1,
                                           .n_cols = 4,
                                           .weights = full.slab};
    assert_int_equal(ins_train_graph_new(&config, &none, &why), INS_RECIPE);
    assert_null(none);
    ins_train_graph_free(tg);
    ins_batch_free(batch);
    drop(&w);
    drop(&full);
}

/* Every allocation failure while a graph is made gives an error and leaks nothing. */
static void test_out_of_memory(void **state) {
    (void)state;
    world w = make("{preset: llama, layers: 1, width: 32, heads: 1}", 1, "clm", NULL);
    uint64_t live = ins_mem_get_stats().live;
    const ins_train_graph_config config = {.model = w.model,
                                           .objective = &w.objective,
                                           .compute = INS_DTYPE_F32,
                                           .n_rows = 1,
                                           .n_cols = 8,
                                           .weights = w.slab,
                                           .grads = w.grads,
                                           .pool = w.pool};
    ins_status status = INS_NOMEM;
    for (uint64_t k = 1; status != INS_OK && k < 5000; k++) {
        ins_train_graph *tg = NULL;
        ins_mem_fail_at(k);
        status = ins_train_graph_new(&config, &tg, NULL);
        ins_mem_fail_at(0);
        if (status != INS_OK) assert_null(tg);
        ins_train_graph_free(tg);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_int_equal(status, INS_OK);
    drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packed_is_unpacked),
        cmocka_unit_test(test_across_documents),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_accumulation),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_bf16_copy),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_wrong_batch),
        cmocka_unit_test(test_out_of_memory),
    };
    make_docs();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
