/* The steps of a train stage: probes and checkpoints between them, resume checkpoints by time, metrics, progress.
 *
 * Order at the boundary before step s: probes of s, the kept checkpoint of s, then the step. Training metrics of a step
 * carry the number before the update, so a resume at s keeps everything recorded for steps below s and repeats the
 * probes of s: the records come out the same as in an unbroken run. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "stage/train_run.h"

enum {
    FULL_METRICS = 500
}; /* train metrics of the first steps are all kept; of longer runs about twice as many in all */

typedef struct train_loop {
    ins_train_run *run;
    ins_probe_set *probes;
    int64_t next_probe; /* index into run->probe_steps */
    double started, last_saved, last_shown;
    int64_t first_step, first_tokens;
    double probe_seconds;
    ins_step_report report;
} train_loop;

static ins_status add(const train_loop *l, int64_t step, const char *name, double value, ins_error *err) {
    const ins_metrics *m = l->run->c->metrics;
    return m->value(m->arg, step, ins_trainer_get_state(l->run->trainer)->tokens, name, value, err);
}

/* ---- checkpoints ---- */

/* The weights that count as the stage's model: the average, when one is kept. */
static float *shown_weights(const train_loop *l) {
    float *average = ins_trainer_ema(l->run->trainer);
    return average ? average : ins_trainer_weights(l->run->trainer);
}

static ins_status save(train_loop *l, const char *folder, bool with_optimizer, ins_error *err) {
    json_t *state = json_pack("{s:I}", "n_steps", (json_int_t)l->run->n_steps);
    if (!state) return INS_FAIL(err, INS_NOMEM, "no memory for the state");
    ins_checkpoint_write write = {.stage_dir = l->run->c->dir,
                                  .folder = folder,
                                  .model = l->run->model,
                                  .trainer = l->run->trainer,
                                  .weights = with_optimizer ? ins_trainer_weights(l->run->trainer) : shown_weights(l),
                                  .optimizer = l->run->optimizer,
                                  .tokenizer_path = l->run->tokenizer_path,
                                  .stage_state = state,
                                  .with_optimizer = with_optimizer};
    const ins_metrics *m = l->run->c->metrics;
    ins_status status = m->flush(m->arg, err); /* records first: they may only be ahead of the checkpoint */
    if (status == INS_OK) status = ins_checkpoint_save(&write, err);
    json_decref(state);
    return status;
}

static ins_status save_resume(train_loop *l, ins_error *err) {
    l->last_saved = ins_now();
    INS_TRY(save(l, INS_RESUME, true, err));
    return ins_checkpoint_prune(l->run->c->dir, INS_RESUME, 2, err);
}

/* ---- probes ---- */

static ins_status probe_and_keep(train_loop *l, double lr, ins_error *err) {
    ins_trainer *t = l->run->trainer;
    const ins_trainer_state *state = ins_trainer_get_state(t);
    bool fresh = state->step == l->first_step; /* no gradient yet in this process */
    ins_probe_state at = {.step = state->step,
                          .tokens = state->tokens,
                          .weights = shown_weights(l),
                          .grads = fresh ? NULL : ins_trainer_grads(t),
                          .slots = (const float *const *)ins_trainer_slots(t),
                          .n_slots = l->run->optimizer->n_slots,
                          .previous = fresh ? NULL : ins_trainer_previous(t),
                          .lr = lr};
    double started = ins_now();
    INS_TRY(ins_probe_set_run(l->probes, &at, err));
    l->probe_seconds += ins_now() - started;
    return save(l, INS_CHECKPOINTS, false, err);
}

/* ---- what the user sees ---- */

static void show(train_loop *l, bool last) {
    const ins_train_run *run = l->run;
    const ins_trainer_state *state = ins_trainer_get_state(run->trainer);
    double now = ins_now(), elapsed = now - l->started - l->probe_seconds;
    if (!last && now - l->last_shown < 0.5) return;
    l->last_shown = now;
    int64_t done = state->step - l->first_step;
    double rate = elapsed > 0 ? (double)done / elapsed : 0;
    double tokens_per_s = elapsed > 0 ? (double)(state->tokens - l->first_tokens) / elapsed : 0;
    double mfu = run->peak_flops > 0 ? rate * ins_trainer_flops(run->trainer) / run->peak_flops : 0;
    char detail[160], speed[32];
    snprintf(detail, sizeof detail, "loss %.4f  %s tok/s  MFU %.0f %%", l->report.loss,
             ins_human_count(tokens_per_s, speed), 100 * mfu);
    ins_progress p = {.what = run->c->name,
                      .unit = "steps",
                      .done = (double)state->step,
                      .total = (double)run->n_steps,
                      .rate = rate,
                      .eta_s = rate > 0 ? (double)(run->n_steps - state->step) / rate : -1,
                      .detail = detail};
    ins_log_progress(run->c->log, &p);
    run->c->result->tokens_per_s = tokens_per_s;
    run->c->result->mfu = mfu;
}

static bool is_recorded(int64_t step, int64_t n_steps) {
    int64_t every = 1 + (n_steps - 1) / (2 * FULL_METRICS);
    return step < 20 || step % every == 0 || step == n_steps - 1;
}

static ins_status record(train_loop *l, int64_t step, double lr, ins_error *err) {
    const ins_step_report *r = &l->report;
    if (!is_recorded(step, l->run->n_steps) && !r->skipped) return INS_OK;
    INS_TRY(add(l, step, "train/loss", r->loss, err));
    INS_TRY(add(l, step, "train/accuracy", r->accuracy, err));
    INS_TRY(add(l, step, "train/lr", lr, err));
    INS_TRY(add(l, step, "train/grad_norm", r->grad_norm, err));
    if (r->skipped) INS_TRY(add(l, step, "train/skipped", 1, err));
    return INS_OK;
}

/* ---- the loop ---- */

static double learning_rate(const ins_train_run *run, int64_t step) {
    return run->lr * run->schedule->factor(run->options->schedule.options, step, run->n_steps);
}

static ins_status at_boundary(train_loop *l, int64_t step, double lr, ins_error *err) {
    const ins_train_run *run = l->run;
    while (l->next_probe < run->n_probe_steps && run->probe_steps[l->next_probe] < step) l->next_probe++;
    bool probed = l->next_probe < run->n_probe_steps && run->probe_steps[l->next_probe] == step;
    if (probed) INS_TRY(probe_and_keep(l, lr, err));
    /* Gradients and the weights before the update are part of what a probe sees: a resume right at a probed step would
     * not have them, so resume checkpoints are not written there. */
    if (!probed && step > l->first_step && ins_now() - l->last_saved >= run->options->resume_every)
        return save_resume(l, err);
    return INS_OK;
}

static bool probe_next(const train_loop *l, int64_t step) {
    const ins_train_run *run = l->run;
    for (int64_t i = l->next_probe; i < run->n_probe_steps; i++) {
        if (run->probe_steps[i] == step) return true;
    }
    return false;
}

/* Stop asked for: at a probed step one more step is made, for the reason given in at_boundary. */
static ins_status stop_here(train_loop *l, ins_error *err) {
    int64_t step = ins_trainer_get_state(l->run->trainer)->step;
    if (step > l->first_step) INS_TRY(save_resume(l, err));
    INS_FAIL(err, INS_INTERRUPTED, "%s: stopped at step %lld of %lld; the state is saved", l->run->c->name,
             (long long)step, (long long)l->run->n_steps);
    ins_error_hint(err, "run the same command again to go on");
    return INS_INTERRUPTED;
}

static ins_status loop(train_loop *l, ins_error *err) {
    ins_train_run *run = l->run;
    const ins_trainer_state *state = ins_trainer_get_state(run->trainer);
    while (state->step < run->n_steps) {
        int64_t step = state->step;
        if (*run->c->stop && !probe_next(l, step)) return stop_here(l, err);
        double lr = learning_rate(run, step);
        INS_TRY(at_boundary(l, step, lr, err));
        ins_status status = ins_trainer_step(run->trainer, run->mixture, lr, &l->report, err);
        if (status != INS_OK) {
            ins_error_frame(err, "stage %s", run->c->name);
            return status;
        }
        INS_TRY(record(l, step, lr, err));
        show(l, state->step == run->n_steps);
    }
    return at_boundary(l, state->step, learning_rate(run, state->step - 1), err);
}

static ins_status finish(train_loop *l, ins_error *err) {
    ins_train_run *run = l->run;
    const ins_trainer_state *state = ins_trainer_get_state(run->trainer);
    for (int64_t i = 0; i < run->n_sources; i++) {
        int64_t *counts = ins_calloc((size_t)run->n_sources, sizeof *counts);
        if (!counts) return INS_FAIL(err, INS_NOMEM, "no memory for the counts");
        ins_mixture_counts(run->mixture, state->cursor, counts);
        char name[300];
        snprintf(name, sizeof name, "train/samples.%s", run->sources[i].name);
        ins_status status = add(l, state->step, name, (double)counts[i], err);
        ins_free(counts);
        INS_TRY(status);
    }
    INS_TRY(add(l, state->step, "train/skipped_steps", (double)state->skipped, err));
    const ins_metrics *m = run->c->metrics;
    INS_TRY(m->flush(m->arg, err));
    run->c->result->steps = state->step;
    run->c->result->tokens = state->tokens;
    run->c->result->flop = ins_trainer_flops(run->trainer) * (double)state->step;
    run->c->result->peak_bytes = (double)ins_trainer_bytes(run->trainer);
    return ins_checkpoint_prune(run->c->dir, INS_RESUME, 0, err);
}

ins_status ins_train_loop(ins_train_run *run, ins_error *err) {
    train_loop l = {.run = run, .started = ins_now(), .last_saved = ins_now()};
    l.first_step = ins_trainer_get_state(run->trainer)->step;
    l.first_tokens = ins_trainer_get_state(run->trainer)->tokens;
    INS_TRY(ins_probe_set_open(run->c, &run->options->probes, run->model, run->tokenizer, run->trainer_options.compute,
                               true, &l.probes, err));
    if (ins_probe_set_needs_training(l.probes))
        ins_trainer_previous(run->trainer); /* ask for it before the first step */
    ins_status status = loop(&l, err);
    if (status == INS_OK) status = finish(&l, err);
    ins_probe_set_close(l.probes);
    return status;
}
