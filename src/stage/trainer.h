/* The training step, apart from stages: model + objective + optimizer + one executor, fed from a mixture. Everything
 * that later steps depend on is in the slabs and in ins_trainer_state, so saving those two and loading them resumes bit
 * by bit.
 *
 * One step: read all micro-batches of the step (the loss is normalised by the targets of the whole step), run the graph
 * once a micro-batch, sum gradients, measure the norm, clip, decide about spikes, update, average.
 *
 * With several ranks each runs a share of the step's rows and all call the same functions in the same order; gradients
 * are summed while the backward pass still runs, and each rank keeps optimizer state for its parts of the slabs only.
 */
#ifndef INS_STAGE_TRAINER_H
#define INS_STAGE_TRAINER_H

#include "data/batch.h"
#include "dist/comm.h"
#include "objective/objective.h"
#include "optim/optim.h"

typedef enum ins_spike_action { INS_SPIKE_NONE, INS_SPIKE_SKIP } ins_spike_action;

typedef struct ins_trainer_options {
    ins_opt_component objective, optimizer;
    ins_dtype compute;
    int64_t context;         /* columns of a row */
    int64_t micro_rows;      /* rows of one run of the graph */
    int64_t n_micro;         /* runs a step: the step has micro_rows * n_micro rows */
    ins_recompute recompute; /* of activations; the results are the same bits */
    double clip;             /* largest gradient norm; 0 = no clipping */
    double ema;              /* decay of the averaged weights; 0 = none */
    int spike_action;
    double spike_z; /* a step whose loss or norm lies this many deviations above its running mean is a spike */
    uint64_t seed;
    const char *const *source_names;       /* of the mixture's sources, for messages; or NULL */
    ins_comm *comm;                        /* ranks that share the rows of a step; NULL = this process alone */
    struct ins_gemm_choices *gemm_choices; /* who makes matrix products; borrowed; NULL = our own kernels */
} ins_trainer_options;

/* Running mean and variance for the spike rule: exponential, warm after 32 values. */
typedef struct ins_running {
    double mean, var;
    int64_t n;
} ins_running;

/* Saved in state.json; doubles are written with 17 digits, so they come back equal. */
typedef struct ins_trainer_state {
    int64_t step;    /* updates made, skipped ones included */
    uint64_t cursor; /* samples drawn from the mixture */
    int64_t tokens;  /* tokens seen (padding excluded) */
    int64_t updates; /* updates applied: the optimizer's step number */
    int64_t skipped;
    double text_bytes;
    ins_running loss, norm;
} ins_trainer_state;

typedef struct ins_step_report {
    double loss;          /* weighted mean NLL, nats: what is minimised */
    double accuracy;      /* weighted share of targets that were the arg max */
    double grad_norm;     /* before clipping */
    double bits_per_byte; /* of the text that the targets stand for; 0 where the objective weighs targets */
    int64_t targets, tokens, text_bytes;
    bool skipped;
} ins_step_report;

typedef struct ins_trainer ins_trainer;

/* Takes weights (slab) over. Builds, differentiates and plans the graph: the arena exists after this. */
ins_status ins_trainer_new(const ins_model *model, float *weights, const ins_trainer_options *options, ins_pool *pool,
                           ins_trainer **out, ins_error *err);
void ins_trainer_free(ins_trainer *t);

/* One step with learning rate lr (already from the schedule); the report is of all ranks. No heap allocation after the
 * second call. INS_NUMERIC names the first op that made a non-finite value and the rows of the batch; the weights are
 * those before the step. */
ins_status ins_trainer_step(ins_trainer *t, const ins_mixture *mixture, double lr, ins_step_report *report,
                            ins_error *err);

ins_trainer_state *ins_trainer_get_state(ins_trainer *t);
float *ins_trainer_weights(ins_trainer *t);            /* may be written until the next step */
float *ins_trainer_ema(ins_trainer *t);                /* NULL without averaging */
float *const *ins_trainer_slots(const ins_trainer *t); /* optimizer slots, options.optimizer's n_slots of them */

/* Elements of the slots that this rank keeps: ranges 0 .. n-1, ascending, [begin, end); all with one rank. */
int64_t ins_trainer_n_owned(const ins_trainer *t);
void ins_trainer_owned(const ins_trainer *t, int64_t i, int64_t *begin, int64_t *end);
/* The slots of all ranks to rank 0, for a checkpoint or a probe. Together. */
ins_status ins_trainer_collect(ins_trainer *t, ins_error *err);

/* What probes of the training itself look at: gradients of the last step and the weights before its update. Kept in
 * steps that are watched (a copy of the weights each), after keep_history has made room; has_history says that they are
 * there. A checkpoint that holds both slabs too makes them come back: the loader fills the slabs and sets the flag. */
ins_status ins_trainer_keep_history(ins_trainer *t, ins_error *err);
void ins_trainer_watch(ins_trainer *t, bool watch);
bool ins_trainer_has_history(const ins_trainer *t);
void ins_trainer_set_history(ins_trainer *t, bool has_history);
float *ins_trainer_grads(ins_trainer *t);
float *ins_trainer_previous(ins_trainer *t); /* NULL unless kept */

/* Read the micro-batches of the next step without running it, as ins_trainer_step does. */
ins_status ins_trainer_read(ins_trainer *t, const ins_mixture *mixture, ins_error *err);
const ins_batch *ins_trainer_batch(const ins_trainer *t, int64_t micro);

double ins_trainer_flops(const ins_trainer *t); /* matmul + attention, of a whole step on all ranks */
size_t ins_trainer_bytes(const ins_trainer *t); /* arena + slabs + batches, of this rank */

/* What a trainer with these options would take, for each way of recompute (trainer_cost.c). */
typedef struct ins_trainer_cost {
    size_t bytes;                    /* as ins_trainer_bytes */
    double flops;                    /* as ins_trainer_flops */
    double again_flops, again_bytes; /* added by recompute, of a whole step on all ranks */
} ins_trainer_cost;
ins_status ins_trainer_costs(const ins_model *model, const ins_trainer_options *options, bool history, ins_pool *pool,
                             ins_trainer_cost out[INS_RECOMPUTES], ins_error *err);

#endif
