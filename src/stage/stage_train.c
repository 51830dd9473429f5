/* Stage train: a model from scratch or continued, on a mixture of token corpora, with any objective, optimizer and
 * schedule; probes and kept checkpoints at log-spaced steps. Resumes bit by bit. */
#include "base/mem_system.h"
#include "kernel/probe_machine.h"
#include "stage/train_run.h"

/* Killed between its last step and the engine's note of it: nothing is left to do but to tidy up. */
static bool is_done(const ins_stage_context *c, ins_train_record *record) {
    char dir[4096];
    if (!ins_train_record_read(c->dir, record) || !record->done) return false;
    return ins_checkpoint_find(c->dir, record->steps, NULL, dir, sizeof dir, NULL, NULL) == INS_OK;
}

static ins_status run(const ins_stage_context *c, ins_error *err) {
    ins_train_run train;
    ins_train_record record = {0};
    bool done = ins_comm_rank(c->comm) == 0 && is_done(c, &record);
    INS_TRY(ins_comm_broadcast(c->comm, &done, sizeof done, 0, err));
    if (done) {
        bool leads = ins_comm_rank(c->comm) == 0;
        return ins_comm_agree(c->comm, leads ? ins_train_leave(c, &record, err) : INS_OK, err);
    }
    ins_status status = ins_train_open(&train, c, err);
    if (status == INS_OK) status = ins_train_loop(&train, err);
    ins_train_close(&train);
    return status;
}

enum { PLAN_VOCAB = 8192 }; /* stands in for a tokenizer that is not made yet */

static bool is_built(const ins_stage_context *c, const char *ref) {
    const ins_stage_input *input = ins_stage_input_find(c, ref);
    return input && input->dir;
}

/* From scratch the model's size is known before its data are; a continued model is known when it is there. */
static ins_status open_to_plan(ins_train_run *train, bool *known, ins_error *err) {
    const ins_train_options *o = train->options;
    const ins_train_data *data = o->data.items;
    bool fed = !o->init || is_built(train->c, o->init);
    *known = fed;
    for (int64_t i = 0; i < o->data.n; i++) fed = fed && is_built(train->c, data[i].tokens);
    if (fed) return ins_train_open_model(train, err);
    *known = !o->init;
    if (!*known) return INS_OK;
    ins_logf(train->c->log, INS_LOG_INFO, "%s: planned with a vocabulary of %d, until its tokenizer is there",
             train->c->name, PLAN_VOCAB);
    return ins_train_open_model_unfed(train, PLAN_VOCAB, err);
}

/* Repeated element-wise ops go at about this share of the bandwidth that a plain read has (measured on gpt2 of 4 to 124
 * million parameters: 0.3 to 0.45). */
#define AGAIN_SHARE 0.4

static void plan_ways(const ins_train_run *train, ins_stage_plan *out) {
    static const char *const names[INS_RECOMPUTES] = {"none", "cheap", "layers"};
    double read = ins_probe_read_bandwidth(train->c->pool), steps = (double)train->n_steps;
    out->n_recompute = INS_RECOMPUTES;
    out->chosen = (int)train->trainer_options.recompute;
    for (int i = 0; i < INS_RECOMPUTES; i++) {
        const ins_trainer_cost *cost = &train->costs[i];
        double seconds = (cost->flops + cost->again_flops) / (INS_TRAIN_EFFICIENCY * train->peak_flops);
        if (read > 0) seconds += cost->again_bytes / (AGAIN_SHARE * read);
        out->recompute[i] = (ins_stage_way){.name = names[i],
                                            .peak_bytes = (double)train->base_bytes + (double)cost->bytes,
                                            .seconds = train->peak_flops > 0 ? steps * seconds : 0};
    }
}

static ins_status measure_plan(ins_train_run *train, ins_stage_plan *out, ins_error *err) {
    INS_TRY(ins_train_choose_sizes(train, err));
    int64_t *probed = NULL, n_probed = 0;
    INS_TRY(ins_train_probe_steps(train->options, train->n_steps, &probed, &n_probed, err));
    ins_free(probed);
    const ins_trainer_options *t = &train->trainer_options;
    double weights = 4.0 * (double)ins_model_params(train->model)->n_elements;
    *out = (ins_stage_plan){
        .params = ins_model_params(train->model)->n_elements,
        .steps = train->n_steps,
        .tokens = train->n_steps * t->context * t->micro_rows * t->n_micro,
        .flop = train->costs[t->recompute].flops * (double)train->n_steps,
        .disk_bytes = weights * (double)n_probed + 2 * weights * (1.0 + train->optimizer->n_slots),
    };
    plan_ways(train, out);
    out->peak_bytes = out->recompute[out->chosen].peak_bytes;
    out->seconds = out->recompute[out->chosen].seconds;
    return INS_OK;
}

static ins_status plan(const ins_stage_context *c, ins_stage_plan *out, ins_error *err) {
    ins_train_run train = {.c = c,
                           .options = c->options,
                           .arena = ins_arena_new(0),
                           .base_bytes = ins_mem_resident() + INS_TRAIN_PROCESS_BYTES};
    bool known = false;
    *out = (ins_stage_plan){0};
    ins_status status = train.arena ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory for a plan");
    if (status == INS_OK) status = open_to_plan(&train, &known, err);
    if (status == INS_OK && known) status = measure_plan(&train, out, err);
    ins_train_close(&train);
    return status;
}

const ins_stage ins_stage_train = {
    .head = {.family = "stage",
             .name = "train",
             .summary = "Train a model: from scratch, or continued from another stage, on a mixture of token corpora.",
             .version = 2,
             .options = &ins_train_table,
             .check = ins_train_check},
    .output = "model",
    .inputs = "tokens model",
    .plan = plan,
    .run = run,
    .on_ranks = true,
};
