/* Memory of training graphs: every byte that is planned is used, none besides, and saving memory keeps the bits. */
#include "model/model_testing.h"

#include <sys/resource.h>

#include "graph/executor.h"

enum { VOCAB = 40, ROWS = 3, COLS = 24 };

static const char *const models[] = {
    "{preset: llama, layers: 3, width: 32, heads: 2, max_positions: 32, init_std: 0.1}",
    "{preset: gpt2, layers: 2, width: 32, heads: 2, max_positions: 32, dropout: 0.1, init_std: 0.1}",
    "{preset: qwen3, layers: 2, width: 32, heads: 2, max_positions: 32, init_std: 0.1}",
};
enum { N_MODELS = sizeof models / sizeof *models };

typedef struct world {
    ins_arena *arena;
    ins_model *model;
    ins_pool *pool;
    ins_opt_component objective, optimizer;
    float *weights, *grads, *slots[2];
    ins_batch *batch;
    ins_train_graph *graph;
} world;

static world make(const char *yaml, ins_dtype compute, ins_recompute recompute, int n_threads) {
    world w = {.arena = ins_arena_new(0), .model = model_from(yaml, VOCAB)};
    const ins_params *params = ins_model_params(w.model);
    w.objective = component_of(w.arena, &ins_family_objective, "clm", NULL);
    w.optimizer = component_of(w.arena, &ins_family_optimizer, "adamw", NULL);
    OK(ins_pool_new(n_threads, &w.pool, err));
    OK(ins_slab_new(params, &w.weights, err));
    OK(ins_slab_new(params, &w.grads, err));
    for (int i = 0; i < 2; i++) OK(ins_slab_new(params, &w.slots[i], err));
    OK(ins_model_init(w.model, 1, w.weights, w.pool, err));
    w.batch = empty_batch(ROWS, COLS);
    int32_t ids[COLS];
    for (int row = 0; row < ROWS; row++) {
        for (int i = 0; i < COLS; i++) ids[i] = (5 * row + 3 * i * i + i) % VOCAB;
        put_document(w.batch, row, 0, 1, ids, COLS - row);
    }
    prepare_batch(&w.objective, w.batch);
    const ins_train_graph_config config = {.model = w.model,
                                           .objective = &w.objective,
                                           .compute = compute,
                                           .n_rows = ROWS,
                                           .n_cols = COLS,
                                           .weights = w.weights,
                                           .grads = w.grads,
                                           .recompute = recompute,
                                           .pool = w.pool};
    OK(ins_train_graph_new(&config, &w.graph, err));
    return w;
}

static void drop(world *w) {
    const ins_params *params = ins_model_params(w->model);
    ins_train_graph_free(w->graph);
    ins_batch_free(w->batch);
    for (int i = 0; i < 2; i++) ins_slab_free(params, w->slots[i]);
    ins_slab_free(params, w->weights);
    ins_slab_free(params, w->grads);
    ins_model_free(w->model);
    ins_pool_free(w->pool);
    ins_arena_free(w->arena);
}

static void step(world *w, int64_t number) {
    const ins_params *params = ins_model_params(w->model);
    const int32_t key[4] = {(int32_t)number, 2, 3, 4};
    OK(ins_train_graph_run(w->graph, w->batch, 1.0 / (double)w->batch->n_targets, key, false, NULL, err));
    const ins_update update = {.params = params,
                               .weights = w->weights,
                               .grads = w->grads,
                               .slots = w->slots,
                               .lr = 1e-2,
                               .grad_scale = 1,
                               .step = number,
                               .pool = w->pool};
    ((const ins_optimizer *)w->optimizer.desc)->update(w->optimizer.options, &update);
}

/* Bytes of the arena that a run does not leave as they were; the last padding is not anybody's. */
static size_t bytes_written(world *w, unsigned char pattern, bool *written) {
    ins_exec *exec = ins_train_graph_exec(w->graph);
    size_t n = exec->plan->arena_bytes, count = 0;
    unsigned char *arena = exec->arena;
    const int32_t key[4] = {1, 2, 3, 4};
    memset(arena, pattern, n);
    OK(ins_train_graph_run(w->graph, w->batch, 0.1, key, false, NULL, err));
    assert_ptr_equal(exec->arena, arena);
    for (size_t i = 0; i < n; i++) {
        written[i] |= arena[i] != pattern;
        count += written[i];
    }
    return count;
}

static void all_that_is_planned_is_used(void **state) {
    (void)state;
    for (int i = 0; i < 2 * N_MODELS * INS_RECOMPUTES; i++) {
        ins_dtype compute = i % 2 ? INS_DTYPE_BF16 : INS_DTYPE_F32;
        world w = make(models[i / 2 % N_MODELS], compute, (ins_recompute)(i / 2 / N_MODELS), 2);
        step(&w, 1);
        size_t planned = ins_plan_arena_bytes(ins_train_graph_plan(w.graph));
        bool *written = calloc(planned, sizeof *written);
        bytes_written(&w, 0x55, written);
        double used = (double)bytes_written(&w, 0xAA, written);
        free(written);
        if ((double)planned > 1.05 * used) fail_msg("case %d: planned %zu, used %.0f", i, planned, used);
        drop(&w);
    }
}

/* Three steps with AdamW: the same bits, whatever is computed again and with any number of threads. */
static void saving_memory_keeps_the_bits(void **state) {
    (void)state;
    for (int i = 0; i < 2 * N_MODELS; i++) {
        ins_dtype compute = i % 2 ? INS_DTYPE_BF16 : INS_DTYPE_F32;
        world plain = make(models[i / 2], compute, INS_RECOMPUTE_NONE, 1);
        for (int64_t k = 1; k <= 3; k++) step(&plain, k);
        size_t bytes = (size_t)ins_model_params(plain.model)->slab_count * sizeof(float);
        size_t before = ins_plan_arena_bytes(ins_train_graph_plan(plain.graph));
        for (int way = INS_RECOMPUTE_CHEAP; way < INS_RECOMPUTES; way++) {
            world w = make(models[i / 2], compute, (ins_recompute)way, way);
            for (int64_t k = 1; k <= 3; k++) step(&w, k);
            assert_memory_equal(plain.weights, w.weights, bytes);
            assert_memory_equal(plain.slots[1], w.slots[1], bytes);
            size_t after = ins_plan_arena_bytes(ins_train_graph_plan(w.graph));
            assert_true(after < before);
            before = after;
            drop(&w);
        }
        drop(&plain);
    }
}

static void costs_are_those_of_the_graph(void **state) {
    (void)state;
    for (int way = 0; way < INS_RECOMPUTES; way++) {
        world w = make(models[0], INS_DTYPE_F32, (ins_recompute)way, 2);
        const ins_train_graph_config config = {.model = w.model,
                                               .objective = &w.objective,
                                               .compute = INS_DTYPE_F32,
                                               .n_rows = ROWS,
                                               .n_cols = COLS,
                                               .weights = w.weights,
                                               .grads = w.grads,
                                               .pool = w.pool};
        ins_train_cost costs[INS_RECOMPUTES];
        OK(ins_train_graph_costs(&config, costs, err));
        const ins_plan *plan = ins_train_graph_plan(w.graph);
        size_t results = costs[way].bytes - ins_plan_arena_bytes(plan);
        assert_int_equal(results, (2 * ROWS * COLS + 1) * sizeof(float));
        assert_true(costs[way].matmul_flops == ins_plan_matmul_flops(plan));
        assert_true(costs[way].again_flops == ins_plan_again_flops(plan));
        assert_true(costs[way].matmul_flops == costs[0].matmul_flops);
        assert_true(way == 0 || costs[way].again_flops > costs[way - 1].again_flops);
        drop(&w);
    }
}

/* Steps 3 to 10 find all their memory there. Sanitizers keep books of their own, and fault for them. */
static void steps_take_no_page_faults(void **state) {
    (void)state;
    world w = make(models[0], INS_DTYPE_F32, INS_RECOMPUTE_NONE, 2);
    struct rusage before, after;
    step(&w, 1);
    step(&w, 2);
    getrusage(RUSAGE_SELF, &before);
    getrusage(RUSAGE_SELF, &before);
    uint64_t allocs = ins_mem_get_stats().n_allocs;
    for (int64_t k = 3; k <= 10; k++) step(&w, k);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(ins_mem_get_stats().n_allocs, allocs);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_int_equal(after.ru_majflt - before.ru_majflt, 0);
    assert_int_equal(after.ru_minflt - before.ru_minflt, 0);
#endif
    drop(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_planned_is_used),
        cmocka_unit_test(saving_memory_keeps_the_bits),
        cmocka_unit_test(costs_are_those_of_the_graph),
        cmocka_unit_test(steps_take_no_page_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
