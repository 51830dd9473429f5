/* Plans of real networks: the same bits whatever memory is shared and however many threads run, no allocation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "base/mem.h"
#include "base/str.h"
#include "graph/planner.h"
#include "run_graph.h"
#include "small_models.h"

typedef ins_value (*model_fn)(ins_graph *g);

typedef struct network {
    ins_graph *g;
    leaf_data leaves;
    ins_value d_leaf[MAX_LEAVES];
    size_t result_bytes; /* of all outputs */
} network;

static network make_network(model_fn model, ins_dtype compute) {
    network n = {0};
    ins_error err = {0};
    must(ins_graph_new(INS_DTYPE_F32, compute, &n.g, &err), &err, "graph");
    ins_value loss = model(n.g);
    ins_graph_output(n.g, loss, "loss");
    must(add_gradients(n.g, loss, n.d_leaf, &err), &err, "gradients");
    n.leaves = make_leaves(n.g, 5);
    for (int64_t i = 0; i < n.g->n_names; i++)
        if (n.g->names[i].kind == GRAPH_OUTPUT)
            n.result_bytes += ins_type_bytes(ins_graph_type(n.g, n.g->names[i].value));
    return n;
}

static void free_network(network *n) {
    free_leaves(&n->leaves);
    ins_graph_free(n->g);
}

/* All outputs, one after the other, in the order of the graph's names. */
static void *collect(const network *n, const built *b) {
    char *all = malloc(n->result_bytes), *at = all;
    for (int64_t i = 0; i < n->g->n_names; i++) {
        if (n->g->names[i].kind != GRAPH_OUTPUT) continue;
        size_t bytes = ins_type_bytes(ins_graph_type(n->g, n->g->names[i].value));
        memcpy(at, ins_exec_data(b->exec, n->g->names[i].text), bytes);
        at += bytes;
    }
    return all;
}

static void *results(const network *n, bool fuse, bool reuse, int n_threads) {
    built b = build_exec(n->g, fuse, reuse, n_threads);
    ins_error err = {0};
    for (int i = 0; i < n->leaves.n; i++)
        must(ins_exec_bind(b.exec, n->leaves.name[i], n->leaves.data[i], &err), &err, "bind");
    run_exec(&b);
    void *first = collect(n, &b);
    must(ins_exec_run_checked(b.exec, &err), &err, "checked run");
    void *second = collect(n, &b);
    assert_memory_equal(first, second, n->result_bytes);
    free(first);
    free_exec(&b);
    return second;
}

static const struct {
    model_fn model;
    ins_dtype compute;
} cases[] = {{model_mlp, INS_DTYPE_F32},  {model_block, INS_DTYPE_F32},  {model_lstm, INS_DTYPE_F32},
             {model_tied, INS_DTYPE_F32}, {model_block, INS_DTYPE_BF16}, {model_tied, INS_DTYPE_BF16},
             {model_lstm, INS_DTYPE_BF16}};
enum { N_CASES = sizeof cases / sizeof *cases };

static void shared_memory_and_threads_keep_the_bits(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        network n = make_network(cases[i].model, cases[i].compute);
        for (int fuse = 0; fuse < 2; fuse++) {
            void *plain = results(&n, fuse, false, 1), *shared = results(&n, fuse, true, 1);
            void *threads = results(&n, fuse, true, 2);
            assert_memory_equal(plain, shared, n.result_bytes);
            assert_memory_equal(plain, threads, n.result_bytes);
            free(plain);
            free(shared);
            free(threads);
        }
        free_network(&n);
    }
}

/* Fusion adds in another place of the same sums: equal to rounding. */
static void fusion_keeps_the_numbers(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        network n = make_network(cases[i].model, cases[i].compute);
        float *plain = results(&n, false, true, 1), *fused = results(&n, true, true, 1);
        double error = 0, norm = 0;
        for (size_t k = 0; k < n.result_bytes / sizeof(float); k++) {
            error += ((double)plain[k] - fused[k]) * ((double)plain[k] - fused[k]);
            norm += (double)plain[k] * plain[k];
        }
        assert_true(norm > 0);
        assert_true(sqrt(error / norm) < 1e-6);
        free(plain);
        free(fused);
        free_network(&n);
    }
}

static int64_t count_ops(const ins_plan *plan, const char *name) {
    int64_t n = 0;
    for (int64_t i = 0; i < plan->n_nodes; i++) n += strcmp(plan->nodes[i].sig->op->head.name, name) == 0;
    return n;
}

static void what_fusion_does_to_a_language_model(void **state) {
    (void)state;
    network n = make_network(model_tied, INS_DTYPE_F32);
    built plain = build_exec(n.g, false, true, 1), fused = build_exec(n.g, true, true, 1);
    built spread = build_exec(n.g, false, false, 1);
    assert_int_equal(count_ops(plain.plan, "linear_xent"), 1);
    assert_int_equal(count_ops(fused.plan, "linear_xent"), 0);
    assert_int_equal(count_ops(fused.plan, "linear_xent_grad"), 1);
    /* what is left of the sums: the forward pass's four residuals */
    assert_int_equal(count_ops(fused.plan, "add"), 4);
    assert_true(count_ops(plain.plan, "add") > 10);
    assert_true(ins_plan_arena_bytes(fused.plan) <= ins_plan_arena_bytes(plain.plan));
    assert_true(ins_plan_arena_bytes(plain.plan) < ins_plan_arena_bytes(spread.plan) / 2);
    assert_true(ins_plan_matmul_flops(fused.plan) < ins_plan_matmul_flops(plain.plan));
    assert_true(ins_plan_matmul_flops(fused.plan) < ins_plan_flops(fused.plan));
    free_exec(&plain);
    free_exec(&fused);
    free_exec(&spread);
    free_network(&n);
}

static built bound(const network *n, ins_recompute recompute, int n_threads) {
    built b = build_with(n->g, (ins_plan_options){.recompute = recompute}, n_threads);
    for (int k = 0; k < n->leaves.n; k++) ins_exec_bind(b.exec, n->leaves.name[k], n->leaves.data[k], NULL);
    return b;
}

static int64_t count_again(const ins_plan *plan) {
    int64_t n = 0;
    for (int64_t i = 0; i < plan->n_nodes; i++) n += plan->nodes[i].again;
    return n;
}

/* Computing activations again: less memory, the same bits, and no more useful work than before. */
static void recomputing_keeps_the_bits(void **state) {
    (void)state;
    for (int i = 0; i < N_CASES * 2; i++) {
        network n = make_network(cases[i / 2].model, cases[i / 2].compute);
        ins_recompute recompute = i % 2 ? INS_RECOMPUTE_LAYERS : INS_RECOMPUTE_CHEAP;
        built kept = bound(&n, INS_RECOMPUTE_NONE, 1), again = bound(&n, recompute, 1);
        built threads = bound(&n, recompute, 2);
        run_exec(&kept);
        run_exec(&again);
        run_exec(&threads);
        void *x = collect(&n, &kept), *y = collect(&n, &again), *z = collect(&n, &threads);
        assert_memory_equal(x, y, n.result_bytes);
        assert_memory_equal(x, z, n.result_bytes);
        free(x);
        free(y);
        free(z);
        assert_true(ins_plan_arena_bytes(again.plan) <= ins_plan_arena_bytes(kept.plan));
        assert_true(ins_plan_matmul_flops(again.plan) == ins_plan_matmul_flops(kept.plan));
        assert_true(ins_plan_again_flops(kept.plan) == 0 && ins_plan_again_bytes(kept.plan) == 0);
        assert_int_equal(count_again(kept.plan), 0);
        if (cases[i / 2].model == model_tied) {
            assert_int_equal(again.plan->n_nodes - kept.plan->n_nodes, count_again(again.plan));
            assert_true(count_again(again.plan) > 0);
            assert_true(ins_plan_arena_bytes(again.plan) < ins_plan_arena_bytes(kept.plan));
            assert_true(ins_plan_again_flops(again.plan) > 0 && ins_plan_again_bytes(again.plan) > 0);
        }
        free_exec(&kept);
        free_exec(&again);
        free_exec(&threads);
        free_network(&n);
    }
}

/* Of a layer that is computed again, nothing lives from the forward pass to the backward pass but what comes in. */
static void recompute_by_layer_keeps_the_inputs_only(void **state) {
    (void)state;
    network n = make_network(model_tied, INS_DTYPE_F32);
    built kept = bound(&n, INS_RECOMPUTE_NONE, 1), again = bound(&n, INS_RECOMPUTE_LAYERS, 1);
    const ins_plan *plan = again.plan;
    int64_t border = 0, n_kept = 0, n_before = 0;
    while (!plan->nodes[border].backward) border++;
    for (int64_t i = 0; i < plan->n_storages; i++) {
        const plan_storage *s = &plan->storages[i];
        if (s->where != PLAN_ARENA || s->first >= border || s->last <= border) continue;
        assert_int_equal(s->bytes, BATCH * TIME * WIDTH * sizeof(float)); /* residual streams */
        n_kept++;
    }
    for (int64_t i = 0; i < kept.plan->n_storages; i++) {
        const plan_storage *s = &kept.plan->storages[i];
        n_before += s->where == PLAN_ARENA && s->first < border && s->last > border;
    }
    assert_in_range(n_kept, 1, 3); /* into layer 0, into layer 1, out of it */
    assert_true(n_before > 4 * n_kept);
    int64_t attention = 0;
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        bool in_layer = strncmp(plan->nodes[i].scope, "layers.", 7) == 0;
        assert_true(in_layer || !plan->nodes[i].again);
        attention += plan->nodes[i].again && strcmp(plan->nodes[i].sig->op->head.name, "attention") == 0;
    }
    assert_int_equal(attention, 2);
    free_exec(&kept);
    free_exec(&again);
    free_network(&n);
}

/* Scopes that only look like layers are none. */
static void what_is_a_layer(void **state) {
    (void)state;
    static const struct {
        const char *scope;
        bool layer;
    } scopes[] = {{"layers.0", true},   {"policy.layers.12.attn", true},
                  {"layers.x", false},  {"players.0", false},
                  {"layers.1a", false}, {"layers.", false}};
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        ins_graph *g = NULL;
        assert_int_equal(ins_graph_new(INS_DTYPE_F32, INS_DTYPE_F32, &g, NULL), INS_OK);
        ins_value x = ins_graph_param(g, "x", INS_TYPE(INS_DTYPE_F32, 16)), d_x = INS_NO_VALUE;
        ins_graph_push_scope(g, scopes[i].scope);
        ins_value y = ins_unary_map(g, INS_TANH, ins_unary_map(g, INS_TANH, x));
        ins_graph_pop_scope(g);
        assert_int_equal(ins_graph_gradients(g, ins_sum_all(g, y), &x, 1, &d_x, NULL), INS_OK);
        ins_graph_output(g, d_x, "d x");
        built b = build_with(g, (ins_plan_options){.recompute = INS_RECOMPUTE_LAYERS}, 1);
        assert_int_equal(count_again(b.plan) > 0, scopes[i].layer);
        free_exec(&b);
        ins_graph_free(g);
    }
}

static void runs_allocate_nothing(void **state) {
    (void)state;
    network n = make_network(model_tied, INS_DTYPE_BF16);
    built b = build_exec(n.g, true, true, 2);
    for (int i = 0; i < n.leaves.n; i++) ins_exec_bind(b.exec, n.leaves.name[i], n.leaves.data[i], NULL);
    run_exec(&b);
    run_exec(&b);
    uint64_t before = ins_mem_get_stats().n_allocs;
    for (int run = 0; run < 3; run++) {
        for (int i = 0; i < n.leaves.n; i++) ins_exec_bind(b.exec, n.leaves.name[i], n.leaves.data[i], NULL);
        run_exec(&b);
    }
    assert_int_equal(ins_mem_get_stats().n_allocs, before);
    free_exec(&b);
    free_network(&n);
}

static void taps_of_a_network(void **state) {
    (void)state;
    network n = make_network(model_tied, INS_DTYPE_F32);
    assert_int_equal(ins_graph_n_taps(n.g), 2);
    const char *const keep[] = {"layers.0", "layers.1", NULL};
    ins_plan_options options = {.keep_taps = keep};
    built b = {0};
    ins_error err = {0};
    must(ins_plan_new(n.g, &options, 1, &b.plan, &err), &err, "plan");
    must(ins_exec_new(b.plan, NULL, &b.exec, &err), &err, "exec");
    for (int i = 0; i < n.leaves.n; i++) ins_exec_bind(b.exec, n.leaves.name[i], n.leaves.data[i], NULL);
    run_exec(&b);
    const float *first = ins_exec_data(b.exec, "layers.0"), *second = ins_exec_data(b.exec, "layers.1");
    assert_non_null(first);
    assert_non_null(second);
    double differ = 0;
    for (int i = 0; i < BATCH * TIME * WIDTH; i++) differ += fabsf(first[i] - second[i]);
    assert_true(differ > 0 && isfinite(differ));
    void *kept = collect(&n, &b), *plain = results(&n, true, true, 1);
    assert_memory_equal(kept, plain, n.result_bytes); /* looking changes nothing */
    free(kept);
    free(plain);
    free_exec(&b);
    free_network(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_memory_and_threads_keep_the_bits),
        cmocka_unit_test(fusion_keeps_the_numbers),
        cmocka_unit_test(what_fusion_does_to_a_language_model),
        cmocka_unit_test(recomputing_keeps_the_bits),
        cmocka_unit_test(recompute_by_layer_keeps_the_inputs_only),
        cmocka_unit_test(what_is_a_layer),
        cmocka_unit_test(runs_allocate_nothing),
        cmocka_unit_test(taps_of_a_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
