/* Recurrent models over new tokens: one graph over the tokens that a row must see again (a window's) and the new ones,
 * from the states that the cache holds. The states after each row's last new token go back into the cache. */
#include <stdio.h>
#include <string.h>

#include "decode/layer_chain.h"

typedef struct ins_state_chain {
    ins_net net;
    int64_t n_wide;           /* columns of the graph: n_recent + n_cols */
    int32_t *ids, *positions; /* [n_rows, n_wide] */
    char *hidden;             /* [n_rows, n_wide, H] compute dtype */
    size_t hidden_bytes;      /* of one token */
    float *after;             /* [n_states, n_rows, n_wide, state_size] */
} ins_state_chain;

static size_t state_count(const ins_layer_chain *p) {
    const ins_blocks_memory *m = &p->cache->memory;
    return (size_t)(m->n_states * m->state_size * p->n_rows);
}

static ins_status allocate(ins_layer_chain *p, const ins_net_weights *w, ins_error *err) {
    ins_state_chain *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for decoding");
    p->state = s;
    s->n_wide = p->cache->memory.n_recent + p->n_cols;
    s->hidden_bytes = ins_dtype_size(w->compute) * (size_t)ins_model_hidden_size(w->model);
    size_t n = (size_t)(p->n_rows * s->n_wide);
    s->ids = ins_calloc(n, sizeof *s->ids);
    s->positions = ins_calloc(n, sizeof *s->positions);
    s->hidden = ins_aligned_alloc(64, n * s->hidden_bytes);
    s->after = ins_aligned_alloc(64, (state_count(p) * (size_t)s->n_wide + 1) * sizeof *s->after);
    bool ok = s->ids && s->positions && s->hidden && s->after;
    return ok ? INS_OK : INS_FAIL(err, INS_NOMEM, "out of memory for decoding");
}

static ins_status bind(ins_layer_chain *p, ins_error *err) {
    ins_state_chain *s = p->state;
    const ins_blocks_memory *m = &p->cache->memory;
    INS_TRY(ins_exec_bind(s->net.exec, "ids", s->ids, err));
    INS_TRY(ins_exec_bind(s->net.exec, "positions", s->positions, err));
    INS_TRY(ins_exec_bind(s->net.exec, "hidden", s->hidden, err));
    for (int64_t i = 0; i < m->n_states; i++) {
        char name[32];
        snprintf(name, sizeof name, "before.%lld", (long long)i);
        INS_TRY(ins_exec_bind(s->net.exec, name, p->cache->states + i * p->n_rows * m->state_size, err));
        snprintf(name, sizeof name, "after.%lld", (long long)i);
        INS_TRY(ins_exec_bind(s->net.exec, name, s->after + i * p->n_rows * s->n_wide * m->state_size, err));
    }
    return INS_OK;
}

static ins_status build(ins_layer_chain *p, const ins_net_weights *w, ins_value *states, ins_pool *pool,
                        ins_error *err) {
    ins_state_chain *s = p->state;
    const ins_blocks_memory *m = &p->cache->memory;
    ins_value *before = states, *after = states + m->n_states;
    ins_blocks b;
    char name[32];
    INS_TRY(ins_net_start(&s->net, w, &b, err));
    ins_graph *g = s->net.graph;
    ins_value ids = ins_net_indexes(&s->net, "ids", p->n_rows, s->n_wide);
    b.positions = ins_net_indexes(&s->net, "positions", p->n_rows, s->n_wide);
    for (int64_t i = 0; i < m->n_states; i++) {
        snprintf(name, sizeof name, "before.%lld", (long long)i);
        before[i] = ins_graph_input(g, name, INS_TYPE(INS_DTYPE_F32, p->n_rows, m->state_size));
    }
    ins_graph_output(g, ins_blocks_recur(&b, ids, before, after), "hidden");
    for (int64_t i = 0; i < m->n_states; i++) {
        snprintf(name, sizeof name, "after.%lld", (long long)i);
        ins_graph_output(g, after[i], name);
    }
    INS_TRY(ins_net_finish(&s->net, w, &b, 1, pool, err));
    return bind(p, err);
}

ins_status ins_state_chain_init(ins_layer_chain *p, const ins_net_weights *w, ins_pool *pool, ins_error *err) {
    INS_TRY(allocate(p, w, err));
    ins_value *states = ins_calloc((size_t)(2 * p->cache->memory.n_states) + 1, sizeof *states);
    if (!states) return INS_FAIL(err, INS_NOMEM, "out of memory for decoding");
    ins_status status = build(p, w, states, pool, err);
    ins_free(states);
    return status;
}

void ins_state_chain_clear(ins_layer_chain *p) {
    ins_state_chain *s = p->state;
    if (!s) return;
    ins_net_clear(&s->net);
    ins_free(s->ids);
    ins_free(s->positions);
    ins_free(s->hidden);
    ins_free(s->after);
    ins_free(s);
    p->state = NULL;
}

/* The cache after a row's `count` new tokens. */
static void keep(ins_layer_chain *p, int64_t row, int64_t count) {
    const ins_state_chain *s = p->state;
    const ins_blocks_memory *m = &p->cache->memory;
    for (int64_t i = 0; i < m->n_states; i++) {
        const float *after = s->after + ((i * p->n_rows + row) * s->n_wide + count - 1) * m->state_size;
        memcpy(p->cache->states + (i * p->n_rows + row) * m->state_size, after, (size_t)m->state_size * sizeof *after);
    }
    memcpy(p->cache->recent + row * m->n_recent, s->ids + row * s->n_wide + count,
           (size_t)m->n_recent * sizeof(int32_t));
}

ins_status ins_state_chain_run(ins_layer_chain *p, const int64_t *counts, ins_error *err) {
    ins_state_chain *s = p->state;
    int64_t n_recent = p->cache->memory.n_recent;
    for (int64_t row = 0; row < p->n_rows; row++) {
        int32_t *ids = s->ids + row * s->n_wide, *positions = s->positions + row * s->n_wide;
        memcpy(ids, p->cache->recent + row * n_recent, (size_t)n_recent * sizeof *ids);
        memcpy(ids + n_recent, p->ids + row * p->n_cols, (size_t)p->n_cols * sizeof *ids);
        memcpy(positions + n_recent, p->positions + row * p->n_cols, (size_t)p->n_cols * sizeof *ids);
    }
    INS_TRY(ins_net_run(&s->net, 0, err));
    for (int64_t row = 0; row < p->n_rows; row++) {
        memcpy((char *)p->hidden + (size_t)(row * p->n_cols) * s->hidden_bytes,
               s->hidden + (size_t)(row * s->n_wide + n_recent) * s->hidden_bytes, (size_t)p->n_cols * s->hidden_bytes);
        if (counts[row] > 0) keep(p, row, counts[row]);
    }
    return INS_OK;
}
