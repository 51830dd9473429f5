/* Inside of the decode room: a graph with its plan and executor, and weights for inference. */
#ifndef INS_DECODE_NET_H
#define INS_DECODE_NET_H

#include "decode/decode.h"
#include "model/blocks.h"

/* Weights of a model; in bf16, a copy of them as matrix products read them. slab is borrowed. */
typedef struct ins_net_weights {
    const ins_model *model;
    float *slab;
    uint16_t *cast; /* NULL in f32 */
    ins_dtype compute;
} ins_net_weights;
ins_status ins_net_weights_init(ins_net_weights *w, const ins_model *m, float *slab, ins_dtype compute, ins_pool *pool,
                                ins_error *err);
void ins_net_weights_clear(ins_net_weights *w);

typedef struct ins_net_binding {
    ins_value value;
    void *data;
} ins_net_binding;

typedef struct ins_net {
    ins_graph *graph;
    ins_plan *plan;
    ins_exec *exec;
    /* Parameters: n_bindings for each of n_shifts layers that the graph serves. */
    ins_net_binding *bindings;
    int64_t n_bindings, n_shifts;
    int64_t bound; /* shift that is bound now; -1 = none */
} ins_net;

/* Empty graph; blocks.positions is for the caller to set. */
ins_status ins_net_start(ins_net *net, const ins_net_weights *w, ins_blocks *blocks, ins_error *err);
/* Plan and make the executor. The parameters of layers 0..n_shifts-1 after the built one are found. */
ins_status ins_net_finish(ins_net *net, const ins_net_weights *w, const ins_blocks *blocks, int64_t n_shifts,
                          ins_pool *pool, ins_error *err);
/* Bind the parameters of this shift and run. */
ins_status ins_net_run(ins_net *net, int64_t shift, ins_error *err);
void ins_net_clear(ins_net *net);

/* Declare an i32 input [n_rows, n_cols]. */
ins_value ins_net_indexes(ins_net *net, const char *name, int64_t n_rows, int64_t n_cols);

#endif
