/* The models that benchmarks train: fixed shapes, random weights and tokens, one plain step.
 *
 *   gpt2 A  12 layers x 768, vocabulary 50304, 4 x 64     gpt2 B  the same, 4 x 256
 *   gpt2 C   6 layers x 384, vocabulary  8192, 8 x 256    gpt2 D  4 layers x 256, vocabulary 4096, 16 x 256
 *   llama   12 layers x 768, gated MLPs of 2048, vocabulary 50304, 1 x 256
 *
 * One step = forward, mean cross-entropy, backward, AdamW on every parameter (lr 1e-4, betas .9 .999, no decay, no
 * clipping).
 */
#ifndef INS_STAGE_BENCH_SETUP_H
#define INS_STAGE_BENCH_SETUP_H

#include "data/batch.h"
#include "dist/reducer.h"
#include "kernel/gemm_choice.h"
#include "objective/train_graph.h"
#include "optim/bf16_slab.h"
#include "optim/optim.h"

typedef struct ins_bench_shape {
    const char *model;  /* "gpt2" */
    char config;        /* 'A' to 'D'; 0 for models that have one shape */
    const char *values; /* model options, YAML */
    int64_t vocab, rows, cols;
    double saved; /* elements that the backward pass needs again for each token, those of the vocabulary left out */
} ins_bench_shape;

/* model NULL = "gpt2"; config 0 = 'D' for gpt2, and what the others have. INS_USAGE with a hint when there is no such
 * shape. */
ins_status ins_bench_shape_find(const char *model, char config, const ins_bench_shape **out, ins_error *err);

/* A model that is ready to train. */
typedef struct ins_bench_run {
    const ins_bench_shape *shape;
    ins_dtype dtype;
    ins_pool *pool;
    ins_arena *arena;
    ins_model *model;
    ins_opt_component objective, optimizer;
    float *weights, *grads, **slots;
    uint16_t *weights_bf16; /* NULL in f32 */
    ins_comm *comm;         /* ranks that share the rows of a step; NULL = this process alone */
    ins_reducer *reducer;   /* of their gradients; NULL with one process */
    ins_batch *batch;
    ins_gemm_choices *gemm_choices; /* NULL = our own kernels */
    ins_train_graph *graph;
    int64_t n_steps;       /* done */
    double update_seconds; /* the optimizer's part of the last step */
} ins_bench_run;

typedef struct ins_bench_setup {
    const ins_bench_shape *shape;
    ins_dtype dtype;         /* of matrix products: F32 or BF16 */
    ins_recompute recompute; /* of activations */
    ins_gemm_policy gemm;    /* products are measured, where asked for, in the first step */
    ins_pool *pool;
    ins_comm *comm; /* NULL = this process alone */
} ins_bench_setup;

/* On failure too, ins_bench_run_free is due. With several ranks all call the same functions in the same order; a step
 * is over when all have the new weights. */
ins_status ins_bench_run_new(const ins_bench_setup *setup, ins_bench_run *out, ins_error *err);
void ins_bench_run_free(ins_bench_run *run);
ins_status ins_bench_run_step(ins_bench_run *run, double *ms, ins_error *err);

/* The unavoidable work of one step.
 *   flop   3 x the model's forward products: 6 (12 L C^2 + V C) + 12 L C T a token for gpt2 (attention in full)
 *   bytes  28 a parameter (30 with bf16: its copy) + every saved activation written and read once */
typedef struct ins_bench_work {
    double flop, bytes;
    int64_t n_params, tokens;
} ins_bench_work;
ins_bench_work ins_bench_run_work(const ins_bench_run *run);

#endif
