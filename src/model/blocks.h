/* Pieces of the Transformer. ins_model_build chains them; decoding puts its key/value cache between the projections and
 * the attention. Shapes: h [B,T,D] real, q [B,T,H K], k and v [B,T,Hkv K] compute dtype.
 */
#ifndef INS_MODEL_BLOCKS_H
#define INS_MODEL_BLOCKS_H

#include "model/model.h"

typedef struct ins_blocks {
    const ins_model *model;
    ins_graph *graph;
    ins_value positions; /* i32 [B,T] */
    ins_value rng_key;   /* i32 [4], or INS_NO_VALUE = no dropout */
    /* The matrices of the blocks and the head are leaves of the compute dtype, named NAME + INS_BLOCKS_CAST, rather
     * than real ones that the graph casts at each run. For inference: no gradients to the weights. */
    bool cast_matrices;
} ins_blocks;
#define INS_BLOCKS_CAST "@compute"

ins_value ins_blocks_embed(const ins_blocks *b, ins_value ids);                         /* -> h */
void ins_blocks_qkv(const ins_blocks *b, int64_t layer, ins_value h, ins_value qkv[3]); /* normed, rotated */
ins_value ins_blocks_attend(const ins_blocks *b, const ins_value qkv[3], ins_value lo, ins_value hi);
/* The rest of the block: output projection, residual, MLP -> h */
ins_value ins_blocks_finish(const ins_blocks *b, int64_t layer, ins_value h, ins_value attended);
ins_value ins_blocks_final(const ins_blocks *b, ins_value h); /* -> hidden [B,T,D], compute dtype */
ins_value ins_blocks_head(const ins_blocks *b);               /* leaf [V,D] */

/* What a step must know of the steps before it, for models that keep no keys and values: n_states tensors
 * [B, state_size], or the n_recent tokens before it. false: keys and values. */
typedef struct ins_blocks_memory {
    int64_t n_states, state_size, n_recent;
} ins_blocks_memory;
bool ins_blocks_recurrent(const ins_model *m, ins_blocks_memory *out);
/* ids -> hidden of such a model. before: the states that the rows start from (real dtype; a document that begins, at
 * position 0, starts from nothing), after [n_states]: gets the states after every step [B, T, state_size]; NULL = none.
 */
ins_value ins_blocks_recur(const ins_blocks *b, ins_value ids, const ins_value *before, ins_value *after);

/* Leaf of the parameter with our name (INS_NO_VALUE when there is none), and dropout in training; one stream a site. */
ins_value ins_blocks_param(const ins_blocks *b, const char *name, bool matrix);
ins_value ins_blocks_drop(const ins_blocks *b, ins_value x, uint32_t stream);

/* All of it: ids -> hidden [B,T,D], attention over the same rows' own keys. */
ins_value ins_blocks_all(const ins_blocks *b, ins_value ids, ins_value lo, ins_value hi);

/* The parameters that the graph has declared, for binding. With `shift`, leaves of layer N take the rows of layer
 * N + shift: one graph serves every layer. out has room for two entries a row of the model; returns how many. */
typedef struct ins_blocks_leaf {
    ins_value value;
    bool cast;            /* declared with INS_BLOCKS_CAST */
    const ins_param *row; /* what to bind */
} ins_blocks_leaf;
int64_t ins_blocks_leaves(const ins_blocks *b, int64_t shift, ins_blocks_leaf *out);

#endif
