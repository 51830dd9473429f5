/* Stage train: a model from scratch or continued, on a mixture of token corpora, with any objective, optimizer and
 * schedule; probes and kept checkpoints at log-spaced steps. Resumes bit by bit. */
#include "stage/train_run.h"

static ins_status run(const ins_stage_context *c, ins_error *err) {
    ins_train_run train;
    ins_status status = ins_train_open(&train, c, err);
    if (status == INS_OK) status = ins_train_loop(&train, err);
    ins_train_close(&train);
    return status;
}

/* Inputs that are not built yet leave the vocabulary unknown: sizes then assume a common one. */
static ins_status plan(const ins_stage_context *c, ins_stage_plan *out, ins_error *err) {
    ins_train_run train = {.c = c, .options = c->options, .arena = ins_arena_new(0)};
    *out = (ins_stage_plan){0};
    bool ready = train.arena != NULL;
    for (int64_t i = 0; i < c->n_inputs; i++) ready = ready && c->inputs[i].dir != NULL;
    ins_status status = INS_OK;
    if (ready) {
        status = ins_train_open_model(&train, err);
        if (status == INS_OK) status = ins_train_choose_sizes(&train, err);
        float *weights = train.start;
        train.start = NULL;
        if (status == INS_OK)
            status = ins_trainer_new(train.model, weights, &train.trainer_options, c->pool, &train.trainer, err);
        if (status == INS_OK) {
            const ins_trainer_options *t = &train.trainer_options;
            out->params = ins_model_params(train.model)->n_elements;
            out->steps = train.n_steps;
            out->tokens = train.n_steps * t->context * t->micro_rows * t->n_micro;
            out->flop = ins_trainer_flops(train.trainer) * (double)train.n_steps;
            out->peak_bytes = (double)ins_trainer_bytes(train.trainer);
            out->disk_bytes = 4.0 * (double)out->params * (double)train.options->probe_points;
            out->seconds = train.peak_flops > 0 ? out->flop / (0.5 * train.peak_flops) : 0;
        }
    }
    ins_train_close(&train);
    return status;
}

const ins_stage ins_stage_train = {
    .head = {.family = "stage",
             .name = "train",
             .summary = "Train a model: from scratch, or continued from another stage, on a mixture of token corpora.",
             .version = 1,
             .options = &ins_train_table,
             .check = ins_train_check},
    .output = "model",
    .inputs = "tokens model",
    .plan = plan,
    .run = run,
};
