/* The model over new tokens with keys and values in a cache. */
#include "decode/layer_chain.h"

#include <string.h>

static ins_status memory_init(ins_kv_cache *cache, ins_error *err) {
    const ins_blocks_memory *m = &cache->memory;
    cache->states = ins_calloc((size_t)(m->n_states * cache->n_rows * m->state_size) + 1, sizeof *cache->states);
    cache->recent = ins_calloc((size_t)(cache->n_rows * m->n_recent) + 1, sizeof *cache->recent);
    if (cache->states && cache->recent) return INS_OK;
    ins_kv_cache_clear(cache);
    return INS_FAIL(err, INS_NOMEM, "out of memory for the states of %lld rows", (long long)cache->n_rows);
}

ins_status ins_kv_cache_init(ins_kv_cache *cache, const ins_model *m, ins_dtype compute, int64_t n_rows,
                             int64_t max_len, ins_error *err) {
    const ins_model_options *o = ins_model_get_options(m);
    *cache = (ins_kv_cache){.n_layers = o->layers, .n_rows = n_rows, .max_len = max_len};
    cache->recurrent = ins_blocks_recurrent(m, &cache->memory);
    if (cache->recurrent) return memory_init(cache, err);
    size_t bytes = ins_dtype_size(compute) * (size_t)(o->kv_heads * o->head_size);
    cache->token_bytes = bytes;
    bool fits = ins_mul_size(bytes, (size_t)max_len, &bytes) && ins_mul_size(bytes, (size_t)n_rows, &bytes) &&
                ins_mul_size(bytes, (size_t)o->layers, &bytes);
    cache->keys = fits ? ins_aligned_alloc(64, bytes) : NULL;
    cache->values = fits ? ins_aligned_alloc(64, bytes) : NULL;
    if (cache->keys && cache->values) {
        memset(cache->keys, 0, bytes); /* attention never reads past hi; kept defined all the same */
        memset(cache->values, 0, bytes);
        return INS_OK;
    }
    ins_kv_cache_clear(cache);
    INS_FAIL(err, INS_NOMEM, "out of memory for the keys and values of %lld rows of %lld tokens", (long long)n_rows,
             (long long)max_len);
    ins_error_hint(err, "decode fewer rows at a time, or shorter ones");
    return INS_NOMEM;
}

void ins_kv_cache_clear(ins_kv_cache *cache) {
    ins_free(cache->keys);
    ins_free(cache->values);
    ins_free(cache->states);
    ins_free(cache->recent);
    *cache = (ins_kv_cache){0};
}

/* ---- building ---- */

typedef struct ports { /* inputs of a graph that attends */
    ins_value h, q, keys, values, lo, hi;
} ports;

static ports declare_ports(ins_net *net, const ins_layer_chain *p, const ins_model_options *o, ins_dtype compute) {
    int64_t n_q = o->heads * o->head_size, n_kv = o->kv_heads * o->head_size;
    ins_graph *g = net->graph;
    return (ports){
        .h = ins_graph_input(g, "h", INS_TYPE(INS_DTYPE_F32, p->n_rows, p->n_cols, o->width)),
        .q = ins_graph_input(g, "q", INS_TYPE(compute, p->n_rows, p->n_cols, n_q)),
        .keys = ins_graph_input(g, "keys", INS_TYPE(compute, p->n_rows, p->cache->max_len, n_kv)),
        .values = ins_graph_input(g, "values", INS_TYPE(compute, p->n_rows, p->cache->max_len, n_kv)),
        .lo = ins_net_indexes(net, "lo", p->n_rows, p->n_cols),
        .hi = ins_net_indexes(net, "hi", p->n_rows, p->n_cols),
    };
}

static void name_projections(ins_graph *g, ins_value h, const ins_value qkv[3]) {
    ins_graph_output(g, h, "h_out");
    ins_graph_output(g, qkv[0], "q_out");
    ins_graph_output(g, qkv[1], "k_out");
    ins_graph_output(g, qkv[2], "v_out");
}

static ins_status build_first(ins_layer_chain *p, const ins_net_weights *w, ins_pool *pool, ins_error *err) {
    ins_blocks b;
    INS_TRY(ins_net_start(&p->first, w, &b, err));
    ins_value ids = ins_net_indexes(&p->first, "ids", p->n_rows, p->n_cols);
    b.positions = ins_net_indexes(&p->first, "positions", p->n_rows, p->n_cols);
    ins_value qkv[3], h = ins_blocks_embed(&b, ids);
    ins_blocks_qkv(&b, 0, h, qkv);
    name_projections(p->first.graph, h, qkv);
    return ins_net_finish(&p->first, w, &b, 1, pool, err);
}

static ins_status build_middle(ins_layer_chain *p, const ins_net_weights *w, ins_pool *pool, ins_error *err) {
    ins_blocks b;
    INS_TRY(ins_net_start(&p->middle, w, &b, err));
    b.positions = ins_net_indexes(&p->middle, "positions", p->n_rows, p->n_cols);
    ports in = declare_ports(&p->middle, p, ins_model_get_options(w->model), w->compute);
    const ins_value over_cache[3] = {in.q, in.keys, in.values};
    ins_value qkv[3], h = ins_blocks_finish(&b, 0, in.h, ins_blocks_attend(&b, over_cache, in.lo, in.hi));
    ins_blocks_qkv(&b, 1, h, qkv);
    name_projections(p->middle.graph, h, qkv);
    return ins_net_finish(&p->middle, w, &b, p->n_layers - 1, pool, err);
}

static ins_status build_last(ins_layer_chain *p, const ins_net_weights *w, ins_pool *pool, ins_error *err) {
    ins_blocks b;
    INS_TRY(ins_net_start(&p->last, w, &b, err));
    ports in = declare_ports(&p->last, p, ins_model_get_options(w->model), w->compute);
    const ins_value over_cache[3] = {in.q, in.keys, in.values};
    ins_value attended = ins_blocks_attend(&b, over_cache, in.lo, in.hi);
    ins_value h = ins_blocks_finish(&b, p->n_layers - 1, in.h, attended);
    ins_graph_output(p->last.graph, ins_blocks_final(&b, h), "hidden");
    return ins_net_finish(&p->last, w, &b, 1, pool, err);
}

/* ---- buffers ---- */

static ins_status allocate(ins_layer_chain *p, const ins_model *m, ins_dtype compute, ins_error *err) {
    const ins_model_options *o = ins_model_get_options(m);
    size_t n = (size_t)(p->n_rows * p->n_cols), element = ins_dtype_size(compute);
    size_t q_bytes = n * element * (size_t)(o->heads * o->head_size), kv_bytes = n * p->cache->token_bytes;
    p->ids = ins_calloc(n, sizeof *p->ids);
    p->positions = ins_calloc(n, sizeof *p->positions);
    p->lo = ins_calloc(n, sizeof *p->lo);
    p->hi = ins_calloc(n, sizeof *p->hi);
    p->hidden = ins_aligned_alloc(64, n * element * (size_t)ins_model_hidden_size(m));
    p->k = ins_aligned_alloc(64, kv_bytes);
    p->v = ins_aligned_alloc(64, kv_bytes);
    bool ok = p->ids && p->positions && p->lo && p->hi && p->hidden && p->k && p->v;
    for (int turn = 0; turn < 2; turn++) {
        p->h[turn] = ins_aligned_alloc(64, n * sizeof(float) * (size_t)o->width);
        p->q[turn] = ins_aligned_alloc(64, q_bytes);
        ok = ok && p->h[turn] && p->q[turn];
    }
    return ok ? INS_OK : INS_FAIL(err, INS_NOMEM, "out of memory for decoding");
}

static ins_status bind_indexes(ins_layer_chain *p, ins_net *net, ins_error *err) {
    const struct {
        const char *name;
        int32_t *data;
    } all[] = {{"ids", p->ids}, {"positions", p->positions}, {"lo", p->lo}, {"hi", p->hi}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        INS_TRY(ins_exec_bind_value(net->exec, ins_graph_find(net->graph, all[i].name), all[i].data, err));
    return INS_OK;
}

ins_status ins_layer_chain_init(ins_layer_chain *p, const ins_net_weights *w, ins_kv_cache *cache, int64_t n_cols,
                                ins_pool *pool, ins_error *err) {
    *p = (ins_layer_chain){.n_rows = cache->n_rows, .n_cols = n_cols, .n_layers = cache->n_layers, .cache = cache};
    INS_TRY(allocate(p, w->model, w->compute, err));
    if (cache->recurrent) return ins_state_chain_init(p, w, pool, err);
    INS_TRY(build_first(p, w, pool, err));
    INS_TRY(bind_indexes(p, &p->first, err));
    if (p->n_layers > 1) {
        INS_TRY(build_middle(p, w, pool, err));
        INS_TRY(bind_indexes(p, &p->middle, err));
    }
    INS_TRY(build_last(p, w, pool, err));
    INS_TRY(bind_indexes(p, &p->last, err));
    return ins_exec_bind(p->last.exec, "hidden", p->hidden, err);
}

void ins_layer_chain_clear(ins_layer_chain *p) {
    ins_state_chain_clear(p);
    ins_net_clear(&p->first);
    ins_net_clear(&p->middle);
    ins_net_clear(&p->last);
    void *const all[] = {p->ids, p->positions, p->lo, p->hi, p->hidden, p->k, p->v, p->h[0], p->h[1], p->q[0], p->q[1]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ins_free(all[i]);
    *p = (ins_layer_chain){0};
}

/* ---- running ---- */

static ins_status bind_projections(ins_layer_chain *p, ins_net *net, int turn, ins_error *err) {
    INS_TRY(ins_exec_bind(net->exec, "h_out", p->h[turn], err));
    INS_TRY(ins_exec_bind(net->exec, "q_out", p->q[turn], err));
    INS_TRY(ins_exec_bind(net->exec, "k_out", p->k, err));
    return ins_exec_bind(net->exec, "v_out", p->v, err);
}

static ins_status bind_attention(ins_layer_chain *p, ins_net *net, int64_t layer, int turn, ins_error *err) {
    const ins_kv_cache *c = p->cache;
    size_t layer_bytes = (size_t)(c->n_rows * c->max_len) * c->token_bytes;
    INS_TRY(ins_exec_bind(net->exec, "h", p->h[turn], err));
    INS_TRY(ins_exec_bind(net->exec, "q", p->q[turn], err));
    INS_TRY(ins_exec_bind(net->exec, "keys", c->keys + (size_t)layer * layer_bytes, err));
    return ins_exec_bind(net->exec, "values", c->values + (size_t)layer * layer_bytes, err);
}

/* New keys and values of a layer take their places in the cache. */
static void store(ins_layer_chain *p, int64_t layer, const int64_t *starts, const int64_t *counts) {
    const ins_kv_cache *c = p->cache;
    for (int64_t row = 0; row < p->n_rows; row++) {
        size_t to = (size_t)((layer * c->n_rows + row) * c->max_len + starts[row]) * c->token_bytes;
        size_t from = (size_t)(row * p->n_cols) * c->token_bytes, bytes = (size_t)counts[row] * c->token_bytes;
        if (bytes == 0) continue;
        memcpy(c->keys + to, (const char *)p->k + from, bytes);
        memcpy(c->values + to, (const char *)p->v + from, bytes);
    }
}

ins_status ins_layer_chain_run(ins_layer_chain *p, const int64_t *starts, const int64_t *counts, ins_error *err) {
    int turn = 0;
    if (p->state) return ins_state_chain_run(p, counts, err);
    INS_TRY(bind_projections(p, &p->first, turn, err));
    INS_TRY(ins_net_run(&p->first, 0, err));
    store(p, 0, starts, counts);
    for (int64_t layer = 0; layer + 1 < p->n_layers; layer++, turn = 1 - turn) {
        INS_TRY(bind_attention(p, &p->middle, layer, turn, err));
        INS_TRY(bind_projections(p, &p->middle, 1 - turn, err));
        INS_TRY(ins_net_run(&p->middle, layer, err));
        store(p, layer + 1, starts, counts);
    }
    INS_TRY(bind_attention(p, &p->last, p->n_layers - 1, turn, err));
    return ins_net_run(&p->last, 0, err);
}
