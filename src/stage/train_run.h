/* A train stage in flight: what train_setup.c builds and train_loop.c drives. */
#ifndef INS_STAGE_TRAIN_RUN_H
#define INS_STAGE_TRAIN_RUN_H

#include "stage/checkpoint.h"
#include "stage/probe_set.h"
#include "stage/stage.h"
#include "stage/train_options.h"
#include "stage/train_record.h"
#include "stage/trainer.h"
#include "text/tokenizer.h"

typedef struct ins_train_run {
    const ins_stage_context *c;
    const ins_train_options *options;
    ins_arena *arena;
    /* data */
    ins_shard *shards; /* one an entry of data */
    ins_rows **rows;
    ins_mixture_source *sources;
    const char **source_names;
    ins_mixture *mixture;
    int64_t n_sources;
    char tokenizer_path[4096];
    ins_tokenizer *tokenizer;
    /* model and training */
    ins_model *model;
    float *start; /* initial weights, until the trainer takes them */
    ins_trainer *trainer;
    ins_trainer_options trainer_options;
    ins_gemm_choices *gemm; /* who makes the matrix products; NULL = our own kernels */
    const ins_optimizer *optimizer;
    const ins_schedule *schedule;
    char precision_why[160];
    int64_t n_steps;
    double lr;
    double peak_flops;   /* of the compute dtype, the largest rate seen; 0 = not measured */
    double probed_flops; /* the last measurement, equal on all ranks */
    int64_t base_bytes;  /* of memory that the process had before the stage */
    ins_trainer_cost costs[INS_RECOMPUTES];
    int64_t *probe_steps;
    int64_t n_probe_steps;
    ins_train_record record; /* of an earlier attempt at this stage */
    bool has_record;
} ins_train_run;

/* Everything up to the first step: data, model, sizes, trainer. ins_train_close runs whatever happened. */
ins_status ins_train_open(ins_train_run *run, const ins_stage_context *c, ins_error *err);
void ins_train_close(ins_train_run *run);

enum { INS_TRAIN_ANY_VOCAB = 2 };         /* stands in for the tokenizer's size: every model's vocabulary is as large */
#define INS_TRAIN_PROCESS_BYTES (6 << 20) /* code, tables and stacks that the first steps touch */
#define INS_TRAIN_EFFICIENCY    0.5       /* share of the measured peak that plans assume */

/* The parts of it in their order, for plan and show-batch. */
ins_status ins_train_open_model(ins_train_run *run, ins_error *err);
ins_status ins_train_open_model_unfed(ins_train_run *run, int64_t vocab, ins_error *err); /* no tokens, no weights */
ins_status ins_train_measure_machine(ins_train_run *run, ins_error *err);                 /* precision, peak; once */
void ins_train_measure_again(
    ins_train_run *run); /* the peak, at the end; of a stage that is too short to matter: not */
bool ins_train_saw_rate(ins_train_run *run, double flops); /* true: that was the highest so far */
ins_status ins_train_choose_sizes(ins_train_run *run, ins_error *err);
ins_status ins_train_open_data(ins_train_run *run, ins_error *err);
ins_status ins_train_open_trainer(ins_train_run *run, ins_error *err);

/* Memory of the process while it trains: what it had before, and the trainer's. */
double ins_train_peak_bytes(const ins_train_run *run);

/* train_gemm.c: before the trainer is made; and after the first step, when every product is known: what was chosen is
 * kept in the record and, for later stages, in the cache. Does nothing the second time. */
ins_status ins_train_gemm_open(ins_train_run *run, ins_error *err);
ins_status ins_train_gemm_settle(ins_train_run *run, ins_error *err);

/* Does a probe look at gradients or at the optimizer's state? */
bool ins_train_needs_history(const ins_train_options *o);

/* The steps at which probes run, ascending, first 0 and last n_steps; log-spaced or every so many. */
ins_status ins_train_probe_steps(const ins_train_options *o, int64_t n_steps, int64_t **steps, int64_t *n,
                                 ins_error *err);

/* Run the steps that are left. INS_INTERRUPTED after saving, when asked to stop. */
ins_status ins_train_loop(ins_train_run *run, ins_error *err);

/* What was decided, to be recorded. */
ins_train_record ins_train_choices(const ins_train_run *run);
/* The end of a stage whose record says that it is done: only what others use stays, the result is filled in. */
ins_status ins_train_leave(const ins_stage_context *c, const ins_train_record *record, ins_error *err);

#endif
