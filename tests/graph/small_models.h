/* Small networks of real ops, and their data, for the tests of gradients and plans. */
#ifndef INS_TESTS_GRAPH_SMALL_MODELS_H
#define INS_TESTS_GRAPH_SMALL_MODELS_H

#include "base/rng.h"
#include "graph/graph_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 2, TIME = 5, WIDTH = 8, VOCAB = 11, MAX_LEAVES = 32 };

#define REAL(...) INS_TYPE(ins_graph_real(g), __VA_ARGS__)
#define INTS(...) INS_TYPE(INS_DTYPE_I32, __VA_ARGS__)

static inline ins_value scalar_loss(ins_graph *g, ins_value y) {
    /* a square, so that the loss is not linear in the last layer */
    return ins_scale(g, ins_sum_all(g, ins_unary_map(g, INS_SQUARE, y)), 0.25);
}

/* tanh MLP with layer norm; the first weight is used twice */
static inline ins_value model_mlp(ins_graph *g) {
    ins_value x = ins_graph_input(g, "x", REAL(5, WIDTH));
    ins_value w1 = ins_graph_param(g, "w1", REAL(WIDTH, WIDTH)), b1 = ins_graph_param(g, "b1", REAL(WIDTH));
    ins_value gain = ins_graph_param(g, "gain", REAL(WIDTH)), shift = ins_graph_param(g, "shift", REAL(WIDTH));
    ins_value w2 = ins_graph_param(g, "w2", REAL(3, WIDTH));
    ins_value h = x;
    for (int i = 0; i < 2; i++) {
        h = ins_linear(g, h, w1, b1, false, ins_graph_real(g));
        h = ins_layernorm(g, h, gain, shift, 1e-5, ins_graph_real(g));
        h = ins_unary_map(g, INS_TANH, h);
    }
    return scalar_loss(g, ins_linear(g, h, w2, INS_NO_VALUE, false, ins_graph_real(g)));
}

static inline ins_value ints(ins_graph *g, const char *name, int64_t rows) {
    return rows ? ins_graph_input(g, name, INTS(rows)) : ins_graph_input(g, name, INTS(BATCH, TIME));
}

/* pre-norm block: attention with rotated positions and shared key/value heads, gated MLP, two residual sums */
static inline ins_value block(ins_graph *g, ins_value x, const char *scope) {
    ins_dtype real = ins_graph_real(g);
    char name[64];
    ins_graph_push_scope(g, scope);
#define PARAM(word, ...)                                                                                               \
    (snprintf(name, sizeof name, "%s.%s", scope, word), ins_graph_param(g, name, REAL(__VA_ARGS__)))
    ins_value norm1 = PARAM("norm1", WIDTH), norm2 = PARAM("norm2", WIDTH);
    ins_value w_q = PARAM("q", WIDTH, WIDTH), w_k = PARAM("k", WIDTH / 2, WIDTH), w_v = PARAM("v", WIDTH / 2, WIDTH);
    ins_value w_o = PARAM("o", WIDTH, WIDTH);
    ins_value w_gate = PARAM("gate", 12, WIDTH), w_up = PARAM("up", 12, WIDTH), w_down = PARAM("down", WIDTH, 12);
#undef PARAM
    ins_value positions = ins_graph_find(g, "positions"), lo = ins_graph_find(g, "lo"), hi = ins_graph_find(g, "hi");
    ins_dtype compute = ins_graph_compute(g);
    ins_value h = ins_rmsnorm(g, x, norm1, 1e-5, compute);
    ins_value q =
        ins_rope(g, ins_linear(g, h, w_q, INS_NO_VALUE, false, compute), positions, WIDTH / 2, WIDTH / 2, 100, false);
    ins_value k =
        ins_rope(g, ins_linear(g, h, w_k, INS_NO_VALUE, false, compute), positions, WIDTH / 2, WIDTH / 2, 100, false);
    ins_value v = ins_linear(g, h, w_v, INS_NO_VALUE, false, compute);
    ins_value mixed = ins_attention(g, q, k, v, lo, hi, 2, 1, 0.5);
    x = ins_add(g, x, ins_linear(g, mixed, w_o, INS_NO_VALUE, false, real));
    h = ins_rmsnorm(g, x, norm2, 1e-5, compute);
    h = ins_gated(g, INS_SILU, ins_linear(g, h, w_gate, INS_NO_VALUE, false, compute),
                  ins_linear(g, h, w_up, INS_NO_VALUE, false, compute));
    x = ins_add(g, x, ins_linear(g, h, w_down, INS_NO_VALUE, false, real));
    ins_graph_tap(g, x, scope);
    ins_graph_pop_scope(g);
    return x;
}

static inline void block_inputs(ins_graph *g) {
    ints(g, "positions", 0);
    ints(g, "lo", 0);
    ints(g, "hi", 0);
}

static inline ins_value model_block(ins_graph *g) {
    block_inputs(g);
    ins_value x = ins_graph_input(g, "x", REAL(BATCH, TIME, WIDTH));
    return scalar_loss(g, block(g, x, "layers.0"));
}

static inline ins_value model_lstm(ins_graph *g) {
    ins_value x = ins_graph_input(g, "x", REAL(BATCH, TIME, 4));
    ins_value w_ih = ins_graph_param(g, "w_ih", REAL(12, 4)), w_hh = ins_graph_param(g, "w_hh", REAL(12, 3));
    ins_value bias = ins_graph_param(g, "bias", REAL(12));
    return scalar_loss(g, ins_lstm(g, x, w_ih, w_hh, bias));
}

/* language model of two blocks whose embedding is its head */
static inline ins_value model_tied(ins_graph *g) {
    block_inputs(g);
    ins_value table = ins_graph_param(g, "table", REAL(VOCAB, WIDTH));
    ins_value ids = ints(g, "ids", 0), targets = ints(g, "targets", BATCH * TIME);
    ins_value weights = ins_graph_input(g, "weights", REAL(BATCH * TIME));
    ins_value x = ins_embedding(g, table, ids);
    x = block(g, x, "layers.0");
    x = block(g, x, "layers.1");
    x = ins_reshape(g, x, 2, (const int64_t[]){-1, WIDTH});
    ins_value nll = INS_NO_VALUE, loss = ins_linear_xent(g, x, table, false, targets, weights, &nll, NULL);
    ins_graph_output(g, nll, "nll");
    return loss;
}

/* ---- data ---- */

typedef struct leaf_data {
    int n;
    const char *name[MAX_LEAVES];
    ins_value value[MAX_LEAVES];
    void *data[MAX_LEAVES];
    int64_t count[MAX_LEAVES];
} leaf_data;

static inline int32_t fill_int(const char *name, int64_t i, ins_rng *r) {
    int32_t t = (int32_t)(i % TIME);
    if (strcmp(name, "positions") == 0) return t;
    if (strcmp(name, "lo") == 0) return i >= TIME && t >= 3 ? 2 : 0; /* second row: a later document starts at 2 */
    if (strcmp(name, "hi") == 0) return t + 1;
    if (strcmp(name, "targets") == 0 && i == 4) return -1;
    return (int32_t)ins_rng_below(r, VOCAB);
}

static inline leaf_data make_leaves(const ins_graph *g, uint64_t seed) {
    leaf_data l = {0};
    for (int64_t i = 0; i < g->n_names; i++) {
        if (g->names[i].kind > GRAPH_PARAM) continue;
        const ins_type *type = ins_graph_type(g, g->names[i].value);
        ins_rng r = ins_rng_start(ins_rng_derive(seed, g->names[i].text, 0), 0);
        l.name[l.n] = g->names[i].text;
        l.value[l.n] = g->names[i].value;
        l.count[l.n] = ins_type_count(type);
        l.data[l.n] = malloc(ins_type_bytes(type));
        for (int64_t k = 0; k < l.count[l.n]; k++) {
            double number = 0.7 * ins_rng_normal(&r);
            if (strcmp(g->names[i].text, "weights") == 0) number = 0.1 + 0.01 * (double)k;
            if (type->dtype == INS_DTYPE_F64) ((double *)l.data[l.n])[k] = number;
            if (type->dtype == INS_DTYPE_F32) ((float *)l.data[l.n])[k] = (float)number;
            if (type->dtype == INS_DTYPE_I32) ((int32_t *)l.data[l.n])[k] = fill_int(g->names[i].text, k, &r);
        }
        l.n++;
    }
    return l;
}

static inline void free_leaves(leaf_data *l) {
    for (int i = 0; i < l->n; i++) free(l->data[i]);
}

/* Outputs "d NAME" for all float leaves; d_leaf[i] is INS_NO_VALUE for the others. */
static inline ins_status add_gradients(ins_graph *g, ins_value loss, ins_value *d_leaf, ins_error *err) {
    ins_value wrt[MAX_LEAVES] = {0};
    const char *names[MAX_LEAVES] = {0};
    int n = 0;
    for (int64_t i = 0; i < g->n_names; i++) {
        if (g->names[i].kind > GRAPH_PARAM) continue;
        bool real = ins_dtype_is_float(ins_graph_type(g, g->names[i].value)->dtype);
        bool weights = strcmp(g->names[i].text, "weights") == 0;
        names[n] = g->names[i].text;
        wrt[n++] = real && !weights ? g->names[i].value : INS_NO_VALUE;
    }
    INS_TRY(ins_graph_gradients(g, loss, wrt, n, d_leaf, err));
    for (int i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, "d %s", names[i]);
        if (d_leaf[i] >= 0) ins_graph_output(g, d_leaf[i], name);
    }
    return ins_graph_status(g, err);
}

#endif
