/* Options of the train stage: one struct, written by the rows in train_options.c. */
#ifndef INS_STAGE_TRAIN_OPTIONS_H
#define INS_STAGE_TRAIN_OPTIONS_H

#include "option/component.h"

typedef struct ins_train_data {
    const char *tokens; /* tokenize stage */
    const char *corpus; /* one of its corpora */
    const char *split;
    double weight;
} ins_train_data;

typedef struct ins_train_options {
    ins_opt_tables data; /* of ins_train_data */
    const char *init;    /* model to start from; NULL = from scratch */
    const ins_node *model;
    ins_opt_component objective, optimizer, schedule;
    double lr;             /* 0 = derived from the number of parameters */
    int64_t steps, budget; /* 0 = from the other; both 0 = derived */
    double time;           /* seconds; > 0 decides the steps from the machine's measured speed */
    int64_t batch;         /* tokens a step; 0 = derived */
    int64_t context;       /* 0 = the model's, at most 256 by default */
    int64_t micro_rows;    /* 0 = by memory */
    int packing;
    double clip, ema;
    int precision;
    int gemm;      /* ins_gemm_policy */
    int recompute; /* 0 = auto, else 1 + an ins_recompute */
    int spike;
    double spike_z;
    ins_opt_components probes;
    ins_opt_strings probe_at; /* steps as numbers; none = log-spaced or probe_every */
    int64_t probe_points;     /* log-spaced, both ends included */
    int64_t probe_every;      /* > 0: every so many steps instead */
    double resume_every;      /* seconds between resume checkpoints */
} ins_train_options;

extern const ins_opt_table ins_train_table;

/* Cross-field rules; also parses `model` so that its errors come with the others. */
void ins_train_check(const void *options, ins_pos pos, ins_diag *diag);

#endif
