/* One micro-batch of training as a ready executor: model + objective + gradients, planned and bound to slabs. */
#ifndef INS_OBJECTIVE_TRAIN_GRAPH_H
#define INS_OBJECTIVE_TRAIN_GRAPH_H

#include "objective/objective.h"

typedef struct ins_train_graph_config {
    const ins_model *model;             /* borrowed */
    const ins_opt_component *objective; /* borrowed */
    ins_dtype compute;                  /* F32 or BF16 */
    int64_t n_rows, n_cols;             /* B, T */
    float *weights;                     /* slab, read at each run */
    uint16_t *weights_bf16;             /* the same in bf16, as a bf16 graph reads them; NULL = it casts at each run */
    float *grads;                       /* slab, written at each run (frozen rows stay as they are); NULL = loss only */
    const char *const *keep_taps;       /* activations to keep for probes; NULL-ended, or NULL */
    ins_recompute recompute;            /* less memory, more work, the same bits */
    struct ins_gemm_choices *gemm_choices; /* who makes matrix products; NULL = our own kernels */
    ins_pool *pool;
} ins_train_graph_config;

typedef struct ins_train_graph ins_train_graph;
ins_status ins_train_graph_new(const ins_train_graph_config *config, ins_train_graph **out, ins_error *err);
void ins_train_graph_free(ins_train_graph *tg);

/* What a run takes with each way of recompute, in the order of the enum. Plans only: of weights and grads it matters
 * whether they are NULL. */
typedef struct ins_train_cost {
    size_t bytes;        /* activations, scratch and results */
    double matmul_flops; /* as ins_plan_matmul_flops */
    double again_flops, again_bytes;
} ins_train_cost;
ins_status ins_train_graph_costs(const ins_train_graph_config *config, ins_train_cost out[INS_RECOMPUTES],
                                 ins_error *err);

/* What a run gives. nll, correct: [n_rows * n_cols], valid until the next run. */
typedef struct ins_train_result {
    double loss; /* sum of weighted NLL x loss_scale */
    const float *nll, *correct;
} ins_train_result;

/* Runs the batch: grads = d loss / d weights. The objective's prepare must have been called on the batch. rng_key:
 * 4 words that differ each micro-batch (dropout), or NULL when the model has none. checked: INS_NUMERIC names the first
 * op that made a non-finite value. No allocation. */
ins_status ins_train_graph_run(ins_train_graph *tg, const ins_batch *batch, double loss_scale, const int32_t *rng_key,
                               bool checked, ins_train_result *out, ins_error *err);

const ins_plan *ins_train_graph_plan(const ins_train_graph *tg); /* bytes and FLOPs */
ins_exec *ins_train_graph_exec(ins_train_graph *tg);             /* taps, profile */

/* sum += part, rows that are not frozen: accumulation over micro-batches, in a fixed order. */
void ins_grads_add(const ins_params *params, const float *part, float *sum, ins_pool *pool);

#endif
