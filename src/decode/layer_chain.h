/* Inside of the decode room: the model over n_rows x n_cols new tokens with keys and values in a cache.
 *
 * The model is cut at its attentions: keys and values of layer N come out of one graph, go into the cache, and the next
 * graph attends over the cache. Three graphs serve all layers:
 *
 *   first   embedding, projections of layer 0
 *   middle  attention and MLP of layer N, projections of layer N + 1
 *   last    attention and MLP of the last layer, final norm
 */
#ifndef INS_DECODE_LAYER_CHAIN_H
#define INS_DECODE_LAYER_CHAIN_H

#include "decode/net.h"

/* Keys and values: layer, row, position, Hkv K; compute dtype. Or what a model without them must know instead: states
 * [n_states, row, state_size] after each row's last token, and its last n_recent tokens. */
typedef struct ins_kv_cache {
    int64_t n_layers, n_rows, max_len;
    size_t token_bytes; /* Hkv K elements */
    char *keys, *values;
    bool recurrent;
    ins_blocks_memory memory;
    float *states;
    int32_t *recent;
} ins_kv_cache;
ins_status ins_kv_cache_init(ins_kv_cache *cache, const ins_model *m, ins_dtype compute, int64_t n_rows,
                             int64_t max_len, ins_error *err);
void ins_kv_cache_clear(ins_kv_cache *cache);

typedef struct ins_layer_chain {
    int64_t n_rows, n_cols, n_layers;
    ins_kv_cache *cache; /* borrowed */
    ins_net first, middle, last;
    /* Of each new token: filled by the caller before a run. Padding: hi = 0. */
    int32_t *ids, *positions, *lo, *hi; /* [n_rows, n_cols] */
    void *hidden;                       /* after a run: [n_rows, n_cols, D] compute dtype */
    float *h[2];                        /* residual stream between graphs, taking turns */
    void *q[2], *k, *v;
    struct ins_state_chain *state; /* of a recurrent model, which is one graph; NULL = the three above */
} ins_layer_chain;
ins_status ins_layer_chain_init(ins_layer_chain *p, const ins_net_weights *w, ins_kv_cache *cache, int64_t n_cols,
                                ins_pool *pool, ins_error *err);
void ins_layer_chain_clear(ins_layer_chain *p);

/* starts[r], counts[r]: row r's new tokens are columns 0..counts[r]-1, at cache positions from starts[r]. */
ins_status ins_layer_chain_run(ins_layer_chain *p, const int64_t *starts, const int64_t *counts, ins_error *err);

/* The same for recurrent models (state_chain.c); p->state is made and freed. */
ins_status ins_state_chain_init(ins_layer_chain *p, const ins_net_weights *w, ins_pool *pool, ins_error *err);
void ins_state_chain_clear(ins_layer_chain *p);
ins_status ins_state_chain_run(ins_layer_chain *p, const int64_t *counts, ins_error *err);

#endif
