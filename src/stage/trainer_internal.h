/* Inside of the trainer: its parts, and what it does together with other ranks (trainer_ranks.c). */
#ifndef INS_STAGE_TRAINER_INTERNAL_H
#define INS_STAGE_TRAINER_INTERNAL_H

#include "dist/reducer.h"
#include "objective/train_graph.h"
#include "stage/trainer.h"

/* The rows of a step that this process runs: all of them, or a share. Runs of the graph have micro_rows rows each; what
 * lies past the last one is padding. */
typedef struct trainer_rows {
    int64_t first, count; /* of the step's rows */
    int64_t micro_rows, n_micro;
} trainer_rows;

struct ins_trainer {
    const ins_model *model;
    ins_trainer_options options;
    ins_pool *pool;
    const ins_objective *objective;
    const ins_optimizer *optimizer;
    trainer_rows rows;
    ins_train_graph *graph; /* of one micro-batch */
    ins_batch **batches;    /* rows.n_micro */
    float *weights, *grads, *micro_grads, *ema, *previous;
    uint16_t *weights_bf16; /* what a bf16 graph reads; NULL in f32 */
    bool stale_bf16;        /* the weights may have changed without it */
    float **slots;
    bool watch, has_history;
    ins_reducer *reducer; /* NULL with one process */
    bool sending;         /* this run of the graph is the step's last: gradients leave as they become final */
    ins_trainer_state state;
};

/* What a step adds up: weighted NLL and hits; plain NLL in bits of the targets in the loss; squared gradient. */
typedef struct trainer_sums {
    double loss, correct, bits, grad_square;
} trainer_sums;

/* This rank's share of the step's rows. */
trainer_rows trainer_share(const ins_trainer_options *o);
/* Rows of micro-batch i that are there: fewer than micro_rows at the end of a share. */
int64_t trainer_n_valid(const ins_trainer *t, int64_t micro);
/* Number of a micro-batch among all that there are, for keys; *extra is 0 where one process would run the same rows
 * together. */
uint64_t trainer_micro_number(const ins_trainer *t, int64_t micro, int32_t *extra);

/* Slabs, batches and results: what is not in the graph's arena. */
size_t trainer_kept_bytes(const ins_model *model, const ins_trainer_options *o, bool history);

ins_status trainer_open_ranks(ins_trainer *t, ins_error *err); /* nothing with one process */
/* Watch the gradients of the rows of params: an index is a row. */
ins_status trainer_watch_rows(ins_exec *exec, const ins_params *params, const ins_exec_watcher *watcher,
                              ins_error *err);
/* Counts of the whole step, or the failure of any rank. */
ins_status trainer_share_counts(ins_trainer *t, ins_status status, ins_step_report *report, ins_error *err);
/* The last run of a step begins; its gradients, sums and failures become everybody's. */
void trainer_begin_sending(ins_trainer *t);
ins_status trainer_share_sums(ins_trainer *t, ins_status status, trainer_sums *sums, ins_error *err);
/* After the update of the own parts. */
ins_status trainer_share_weights(ins_trainer *t, ins_error *err);

#endif
