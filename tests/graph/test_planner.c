/* Plans: whatever the planner fuses, shares and reorders, the numbers are those of the plain graph, and memory that is
 * needed is never written over. Random graphs of test ops are compared with a direct evaluation of the graph.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"
#include "graph/planner.h"
#include "run_graph.h"
#include "toy_ops.h"

enum { N = 24 }; /* elements of each vector */

static ins_type vec(void) {
    return INS_TYPE(INS_DTYPE_F32, N);
}
static ins_type mat(void) {
    return INS_TYPE(INS_DTYPE_F32, 4, N / 4);
}

static ins_graph *new_graph(void) {
    ins_graph *g = NULL;
    assert_int_equal(ins_graph_new(INS_DTYPE_F32, INS_DTYPE_F32, &g, NULL), INS_OK);
    return g;
}

/* ---- the oracle: every node of the graph in build order, each value its own memory ---- */

typedef struct oracle {
    float **data;
    int64_t n;
} oracle;

static oracle evaluate(const ins_graph *g, float *const *leaves) {
    oracle o = {.data = calloc((size_t)g->n_values, sizeof(float *)), .n = g->n_values};
    int64_t leaf = 0;
    for (int64_t v = 0; v < g->n_values; v++) {
        o.data[v] = calloc(N, sizeof(float));
        if (g->values[v].node < 0) memcpy(o.data[v], leaves[leaf++], N * sizeof(float));
    }
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const graph_node *node = &g->nodes[i];
        ins_op_call call = {.sig = node->sig};
        float scratch[N];
        call.scratch = scratch;
        for (int j = 0; j < node->sig->n_in; j++) call.in[j] = node->in[j] >= 0 ? o.data[node->in[j]] : NULL;
        for (int j = 0; j < node->sig->n_out; j++) call.out[j] = o.data[node->out0 + j];
        if (node->sig->op == &toy_fma && call.in[2]) {
            memcpy(call.out[0], call.in[2], N * sizeof(float));
            call.in[2] = call.out[0];
        }
        if (node->sig->op->flags & INS_OP_VIEW)
            memcpy(call.out[0], call.in[0], N * sizeof(float));
        else
            assert_int_equal(node->sig->op->run(&call, NULL), INS_OK);
    }
    return o;
}

static void oracle_free(oracle *o) {
    for (int64_t v = 0; v < o->n; v++) free(o->data[v]);
    free(o->data);
}

/* ---- the checker: no two values that are needed at the same time share bytes, except where the rules allow it ---- */

static bool values_share(const ins_plan *plan, ins_value v, ins_value w) {
    const plan_storage *x = &plan->storages[plan->storage_of[v]], *y = &plan->storages[plan->storage_of[w]];
    if (x == y) return true;
    if (x->where != PLAN_ARENA || y->where != PLAN_ARENA) return false;
    return x->offset < y->offset + y->bytes && y->offset < x->offset + x->bytes;
}

static void check_memory(const ins_plan *plan) {
    int64_t *made = malloc((size_t)plan->n_values * sizeof *made),
            *last = malloc((size_t)plan->n_values * sizeof *last);
    const ins_value *seen = plan->class_of;
    for (int64_t v = 0; v < plan->n_values; v++) {
        made[v] = last[v] = -2;
    }
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        const plan_node *node = &plan->nodes[i];
        for (int j = 0; j < node->sig->n_out; j++) made[node->out0 + j] = last[node->out0 + j] = i;
        for (int j = 0; j < INS_OP_MAX_IN; j++)
            if (node->in[j] >= 0) last[seen[node->in[j]]] = i;
    }
    for (int64_t i = 0; i < plan->n_outputs; i++) last[seen[plan->outputs[i].value]] = plan->n_nodes;
    for (ins_value v = 0; v < plan->n_values; v++) {
        for (ins_value w = v + 1; w < plan->n_values && made[v] >= 0; w++) {
            if (made[w] < 0 || plan->storage_of[v] < 0 || plan->storage_of[w] < 0) continue;
            ins_value first = made[v] <= made[w] ? v : w, second = first == v ? w : v;
            if (!values_share(plan, v, w) || last[first] < made[second]) continue;
            /* they meet: allowed only when the second is written over the first, by an op that may, in one step */
            const plan_node *node = &plan->nodes[made[second]];
            const ins_op *op = node->sig->op;
            bool ok = last[first] == made[second] && made[first] < made[second];
            bool inplace = (op->flags & INS_OP_INPLACE) && seen[node->in[0]] == first;
            bool sum =
                (op->flags & INS_OP_ACCUMULATE) && node->in[op->acc_in] >= 0 && seen[node->in[op->acc_in]] == first;
            assert_true(ok && (inplace || sum));
            int over = sum ? op->acc_in : 0;
            for (int j = 0; j < INS_OP_MAX_IN; j++) /* no other input may see the memory that is written over */
                assert_true(j == over || node->in[j] < 0 || plan->storage_of[node->in[j]] != plan->storage_of[first]);
        }
    }
    for (int64_t i = 0; i < plan->n_nodes; i++) { /* scratch */
        if (plan->nodes[i].scratch == PLAN_NONE) continue;
        const plan_storage *mine = &plan->storages[plan->nodes[i].scratch];
        for (int64_t k = 0; k < plan->n_storages; k++) {
            const plan_storage *other = &plan->storages[k];
            if (other == mine || other->where != PLAN_ARENA || other->first > i || other->last < i) continue;
            assert_true(mine->offset >= other->offset + other->bytes || other->offset >= mine->offset + mine->bytes);
        }
    }
    for (int64_t k = 0; k < plan->n_storages; k++) {
        assert_int_equal(plan->storages[k].offset % PLAN_ALIGN, 0);
        if (plan->storages[k].where == PLAN_ARENA)
            assert_true(plan->storages[k].offset + plan->storages[k].bytes <= plan->arena_bytes);
    }
    free(made);
    free(last);
}

/* ---- random graphs ---- */

enum { N_LEAVES = 3, MAX_VALUES = 120, MAX_OUTPUTS = 12 };

typedef struct random_graph {
    ins_graph *g;
    int n_outputs;
    char names[MAX_OUTPUTS][16];
} random_graph;

static ins_value random_node(ins_graph *g, ins_rng *r, ins_value x, ins_value y, ins_value z) {
    ins_value out[INS_OP_MAX_OUT], three[3] = {x, y, z}, one = INS_NO_VALUE;
    switch (ins_rng_below(r, 9)) {
    case 0:
        return toy_times(g, x, 0.5f + 0.25f * (float)ins_rng_below(r, 3));
    case 1:
        return toy1(g, &toy_prefix, x);
    case 2:
        return toy1(g, &toy_view, x);
    case 3:
        return toy2(g, &toy_mul, toy_times(g, x, 0.01f), y);
    case 4:
        return ins_graph_emit(g, &toy_fma, NULL, three, 3, NULL);
    case 5:
        return toy2(g, &toy_fma, x, toy_times(g, y, 0.125f));
    case 6: /* a loss and its gradient */
        ins_graph_emit(g, &toy_head, NULL, three, 2, out);
        one = out[1];
        three[2] = z = toy1(g, &toy_total, toy_times(g, z, 0.01f));
        ins_graph_emit(g, &toy_head_grad, NULL, three, 3, out);
        return toy2(g, &toy_add, one, out[0]);
    default:
        return toy2(g, &toy_add, x, y);
    }
}

static random_graph make_random(uint64_t seed) {
    ins_rng r = ins_rng_start(ins_rng_derive(seed, "graph", 0), 0);
    random_graph made = {.g = new_graph()};
    ins_value values[MAX_VALUES];
    int n = 0;
    static const char *const leaves[N_LEAVES] = {"x", "y", "z"};
    for (; n < N_LEAVES; n++) values[n] = ins_graph_input(made.g, leaves[n], vec());
    int wanted = 8 + (int)ins_rng_below(&r, MAX_VALUES - 8);
    while (n < wanted) {
        /* mostly recent values, so that many die early */
        ins_value in[3];
        for (int j = 0; j < 3; j++) {
            uint64_t span = ins_rng_below(&r, 4) ? 6 : (uint64_t)n;
            in[j] = values[n - 1 - (int)ins_rng_below(&r, span < (uint64_t)n ? span : (uint64_t)n)];
        }
        ins_value v = random_node(made.g, &r, in[0], in[1], in[2]);
        /* keep the numbers small */
        values[n++] = ins_rng_below(&r, 3) ? v : toy_times(made.g, v, 0.25f);
    }
    made.n_outputs = 1 + (int)ins_rng_below(&r, MAX_OUTPUTS - 1);
    for (int i = 0; i < made.n_outputs; i++) {
        snprintf(made.names[i], sizeof made.names[i], "out%d", i);
        ins_graph_output(made.g, i ? values[ins_rng_below(&r, (uint64_t)n)] : values[n - 1], made.names[i]);
    }
    assert_int_equal(ins_graph_status(made.g, NULL), INS_OK);
    return made;
}

static void compare(const random_graph *made, const oracle *o, float *const *leaves, int kind, bool bind) {
    static const char *const names[N_LEAVES] = {"x", "y", "z"};
    ins_plan_options options = {.no_fusion = kind & 1, .no_reuse = kind & 2, .recompute = kind & 4};
    built b = build_with(made->g, options, 1);
    check_memory(b.plan);
    float *bound[MAX_OUTPUTS] = {0};
    for (int i = 0; i < N_LEAVES; i++) assert_int_equal(ins_exec_bind(b.exec, names[i], leaves[i], NULL), INS_OK);
    for (int i = 0; bind && i < made->n_outputs; i += 2) {
        bound[i] = malloc(N * sizeof(float));
        assert_int_equal(ins_exec_bind(b.exec, made->names[i], bound[i], NULL), INS_OK);
    }
    for (int again = 0; again < 2; again++) { /* a second run finds rubbish in all memory */
        run_exec(&b);
        for (int i = 0; i < made->n_outputs; i++) {
            const float *got = ins_exec_data(b.exec, made->names[i]);
            if (bound[i]) assert_ptr_equal(got, bound[i]);
            ins_value v = ins_graph_find(made->g, made->names[i]);
            size_t bytes = ins_type_bytes(ins_graph_type(made->g, v));
            if (memcmp(got, o->data[v], bytes) != 0) fail_msg("%s differs, kind %d", made->names[i], kind);
        }
    }
    for (int i = 0; i < made->n_outputs; i++) free(bound[i]);
    free_exec(&b);
}

static void random_graphs_give_the_bits_of_plain_evaluation(void **state) {
    (void)state;
    ins_rng r = ins_rng_start(ins_rng_derive(7, "leaves", 0), 0);
    float *leaves[N_LEAVES];
    for (int i = 0; i < N_LEAVES; i++) {
        leaves[i] = malloc(N * sizeof(float));
        for (int j = 0; j < N; j++) leaves[i][j] = (float)ins_rng_normal(&r);
    }
    int64_t nodes[3] = {0};
    for (uint64_t seed = 0; seed < 300; seed++) {
        random_graph made = make_random(seed);
        oracle o = evaluate(made.g, leaves);
        for (int kind = 0; kind < 8; kind++) compare(&made, &o, leaves, kind, seed & 1);
        for (int kind = 0; kind < 3; kind++) {
            ins_plan *plan = NULL;
            ins_plan_options options = {.no_fusion = kind != 1, .recompute = kind == 2};
            assert_int_equal(ins_plan_new(made.g, &options, 1, &plan, NULL), INS_OK);
            nodes[kind] += plan->n_nodes;
            ins_plan_free(plan);
        }
        oracle_free(&o);
        ins_graph_free(made.g);
    }
    assert_true(nodes[1] < nodes[0]); /* or else the comparison shows nothing */
    assert_true(nodes[2] > nodes[0]);
    for (int i = 0; i < N_LEAVES; i++) free(leaves[i]);
}

/* ---- single rules ---- */

static ins_plan *plan_of(const ins_graph *g) {
    ins_plan *plan = NULL;
    ins_error err = {0};
    must(ins_plan_new(g, NULL, 1, &plan, &err), &err, "plan");
    return plan;
}

static void what_no_output_needs_is_dropped(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec()), unused = ins_graph_input(g, "unused", vec());
    ins_value y = toy_times(g, x, 2);
    toy2(g, &toy_mul, y, unused);
    ins_graph_tap(g, toy_times(g, y, 3), "tap");
    ins_graph_output(g, y, "y");
    ins_plan *plan = plan_of(g);
    assert_int_equal(plan->n_nodes, 1);
    assert_true(ins_plan_flops(plan) == N);
    assert_true(ins_plan_matmul_flops(plan) == 0);
    assert_int_equal(ins_plan_arena_bytes(plan), 0);
    assert_int_equal(ins_plan_external_bytes(plan), 2 * 128); /* x and y: 96 bytes each, padded */
    ins_plan_free(plan);

    const char *const keep[] = {"tap", NULL}, *const wrong[] = {"tapp", NULL};
    ins_plan_options options = {.keep_taps = keep};
    assert_int_equal(ins_plan_new(g, &options, 1, &plan, NULL), INS_OK);
    assert_int_equal(plan->n_nodes, 2);
    ins_plan_free(plan);
    options.keep_taps = wrong;
    ins_error err = {0};
    assert_int_equal(ins_plan_new(g, &options, 1, &plan, &err), INS_USAGE);
    assert_non_null(strstr(err.hint, "'tap'"));
    ins_graph_free(g);

    g = new_graph();
    toy_times(g, ins_graph_input(g, "x", vec()), 2);
    assert_int_equal(ins_plan_new(g, NULL, 1, &plan, &err), INS_USAGE);
    ins_graph_free(g);
}

static void a_chain_reuses_memory(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec()), y = x;
    for (int i = 0; i < 100; i++) y = toy1(g, &toy_prefix, y);
    ins_graph_output(g, y, "y");
    ins_plan *plan = plan_of(g);
    /* input, output and scratch of one step are alive together; the last output is external */
    assert_int_equal(ins_plan_arena_bytes(plan), 3 * 128);
    ins_plan_free(plan);
    ins_plan_options options = {.no_reuse = true};
    assert_int_equal(ins_plan_new(g, &options, 1, &plan, NULL), INS_OK);
    assert_int_equal(ins_plan_arena_bytes(plan), (99 + 100) * 128);
    ins_plan_free(plan);
    ins_graph_free(g);
}

/* total = a*b + c*d + e*f: two of the three products add to the memory of the one before; no sum is left. */
static void sums_are_accumulated(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec()), y = ins_graph_input(g, "y", vec());
    ins_value u = toy2(g, &toy_fma, x, x), v = toy2(g, &toy_fma, x, y), w = toy2(g, &toy_fma, y, y);
    ins_graph_output(g, toy2(g, &toy_add, w, toy2(g, &toy_add, u, v)), "total");
    ins_plan *plan = plan_of(g);
    assert_int_equal(plan->n_nodes, 3);
    assert_int_equal(ins_plan_arena_bytes(plan), 0); /* all three write the output */
    ins_plan_free(plan);
    ins_graph_free(g);
}

/* A residual: d = r + f(r) where f reads r. The product may write over r only behind f's reading. */
static void a_residual_sum_is_accumulated_through_a_view(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec());
    ins_value r = toy1(g, &toy_prefix, x);
    ins_value f = toy1(g, &toy_prefix, r);
    ins_value product = toy1(g, &toy_view, toy2(g, &toy_fma, f, x));
    ins_graph_output(g, toy1(g, &toy_prefix, toy2(g, &toy_add, r, product)), "d");
    ins_plan *plan = plan_of(g);
    assert_int_equal(plan->n_nodes, 4);
    ins_plan_free(plan);
    ins_graph_free(g);

    g = new_graph(); /* r is read after the product: the sum stays */
    x = ins_graph_input(g, "x", vec());
    r = toy1(g, &toy_prefix, x);
    product = toy2(g, &toy_fma, x, x);
    ins_value late = toy1(g, &toy_prefix, r);
    ins_value sum = toy2(g, &toy_add, r, product);
    ins_graph_output(g, toy2(g, &toy_mul, sum, late), "d");
    plan = plan_of(g);
    assert_int_equal(plan->n_nodes, 5);
    ins_plan_free(plan);
    ins_graph_free(g);
}

static void a_gradient_that_repeats_the_forward_pass_replaces_it(void **state) {
    (void)state;
    for (int dependent = 0; dependent < 2; dependent++) {
        ins_graph *g = new_graph();
        ins_value x = ins_graph_input(g, "x", vec()), y = ins_graph_input(g, "y", vec());
        ins_value in[3] = {x, y, INS_NO_VALUE}, forward[2], back[3];
        ins_graph_emit(g, &toy_head, NULL, in, 2, forward);
        ins_graph_output(g, forward[0], "loss");
        ins_graph_output(g, toy_times(g, forward[1], 0.5f), "half");
        /* d_loss made late; in the second case it depends on the loss */
        in[2] = toy1(g, &toy_total, dependent ? forward[1] : toy_times(g, y, 3));
        ins_graph_emit(g, &toy_head_grad, NULL, in, 3, back);
        ins_graph_output(g, back[0], "d_x");
        ins_plan *plan = plan_of(g);
        int64_t forwards = 0;
        for (int64_t i = 0; i < plan->n_nodes; i++) forwards += plan->nodes[i].sig->op == &toy_head;
        assert_int_equal(forwards, dependent);
        check_memory(plan);
        ins_plan_free(plan);
        ins_graph_free(g);
    }
    (void)mat;
}

static double processor_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Placing compares storages in pairs: 0.05 s for 10000 nodes. A pass over triples would take hours. */
static void a_long_chain_is_planned_quickly(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec()), y = x;
    for (int i = 0; i < 10000; i++) y = toy2(g, &toy_mul, y, i % 3 ? x : y);
    ins_graph_output(g, y, "y");
    double start = processor_seconds();
    ins_plan *plan = plan_of(g);
    assert_true(processor_seconds() - start < 5);
    assert_int_equal(plan->n_nodes, 10000);
    ins_plan_free(plan);
    ins_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_give_the_bits_of_plain_evaluation),
        cmocka_unit_test(what_no_output_needs_is_dropped),
        cmocka_unit_test(a_chain_reuses_memory),
        cmocka_unit_test(sums_are_accumulated),
        cmocka_unit_test(a_residual_sum_is_accumulated_through_a_view),
        cmocka_unit_test(a_gradient_that_repeats_the_forward_pass_replaces_it),
        cmocka_unit_test(a_long_chain_is_planned_quickly),
    };
    (void)toy_ops;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
