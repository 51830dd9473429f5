/* A finished stage's model in hand: for stages that measure, sample or export it. */
#ifndef INS_STAGE_MODEL_USE_H
#define INS_STAGE_MODEL_USE_H

#include "stage/stage.h"

typedef struct ins_model_use {
    char dir[4096]; /* its Hugging Face folder */
    int64_t step;   /* of the checkpoint; 0 for plain folders */
    int64_t tokens; /* seen up to then; 0 where that is not known */
    ins_model *model;
    float *weights; /* slab */
    ins_tokenizer *tokenizer;
    ins_dtype compute;
} ins_model_use;

/* step < 0 = the last checkpoint. close runs whatever happened. */
ins_status ins_model_use_open(ins_model_use *use, const ins_stage_context *c, const char *ref, int64_t step,
                              int precision, ins_error *err);
void ins_model_use_close(ins_model_use *use);

/* For plans: parameters and bytes of weights of a model that is there already, else all 0. token_flops (may be NULL):
 * of a forward pass over one token. */
void ins_model_plan(const ins_stage_context *c, const char *ref, ins_stage_plan *out, double *token_flops);

/* Which checkpoints of the referenced stage an `at` option means: "last", "all", or steps as numbers. New list of steps
 * (ins_free); -1 stands for the last. */
ins_status ins_model_steps(const ins_stage_context *c, const char *ref, const ins_opt_strings *at, int64_t **steps,
                           int64_t *n, ins_error *err);
void ins_model_steps_check(const ins_opt_strings *at, ins_pos pos, ins_diag *diag);

#endif
