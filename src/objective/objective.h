/* Objectives: what a train stage minimises. Given a model and a batch's values, build the loss. */
#ifndef INS_OBJECTIVE_OBJECTIVE_H
#define INS_OBJECTIVE_OBJECTIVE_H

#include "data/batch.h"
#include "model/model.h"

/* Values of one micro-batch in the graph; the trainer binds them. ids targets positions lo hi: i32 [B,T]; weights: real
 * [B,T]; loss_scale: real [] = 1 / (targets of the whole step over all micro-batches and ranks). */
typedef struct ins_batch_values {
    int64_t n_rows, n_cols;
    ins_value ids, targets, weights, positions, lo, hi, rng_key, loss_scale;
} ins_batch_values;

typedef struct ins_objective_values {
    ins_value loss;    /* [] : sum of weighted NLL x loss_scale; differentiable */
    ins_value nll;     /* [B*T] unweighted negative log-likelihood per position (0 where no target) */
    ins_value correct; /* [B*T] 1 where the arg max is the target */
} ins_objective_values;

typedef struct ins_objective {
    ins_component head; /* family "objective" */
    ins_span_mode span; /* what attention sees */
    bool needs_mask;    /* the corpus must have been tokenized with a loss mask (sft) */
    /* Host-side change of the batch before it is bound (masking, loss weights); may be NULL. key: this step's stream.
     */
    ins_status (*prepare)(const void *options, ins_batch *batch, ins_rng_key key, ins_error *err);
    ins_status (*build)(const void *options, ins_graph *g, const ins_model *m, const ins_batch_values *in,
                        ins_objective_values *out, ins_error *err);
} ins_objective;
extern const ins_family ins_family_objective;

/* Declare the batch's inputs in a graph ("batch.ids", ...) and bind a batch to an executor. */
ins_batch_values ins_batch_declare(ins_graph *g, int64_t n_rows, int64_t n_cols, bool dropout);
ins_status ins_batch_bind(ins_exec *exec, const ins_batch *batch, const float *loss_scale, const int32_t *rng_key,
                          ins_error *err);

#endif
