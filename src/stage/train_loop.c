/* The steps of a train stage: probes and checkpoints between them, resume checkpoints by time, metrics, progress.
 *
 * Order at the boundary before step s: probes of s, the kept checkpoint of s, then the step. Training metrics of a step
 * carry the number before the update, so a resume at s keeps everything recorded for steps below s and repeats the
 * probes of s: the records come out the same as in an unbroken run. */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "stage/train_run.h"

enum {
    FULL_METRICS = 500
}; /* train metrics of the first steps are all kept; of longer runs about twice as many in all */

typedef struct train_loop {
    ins_train_run *run;
    ins_probe_set *probes;
    double started, last_saved, last_shown;
    int64_t first_step, first_tokens;
    double step_seconds, tokens_per_s;
    bool beyond_probes;    /* steps were faster than the peak that was probed */
    bool stopping, saving; /* what all ranks do at this boundary: see decide */
    ins_step_report report;
} train_loop;

static bool leads(const train_loop *l) {
    return ins_comm_rank(l->run->c->comm) == 0;
}

/* Before each step: did a rank fail, has one been asked to stop, does rank 0's clock say that it is time to save? */
static ins_status decide(train_loop *l, ins_status status, ins_error *err) {
    ins_comm *comm = l->run->c->comm;
    bool due = ins_now() - l->last_saved >= l->run->options->resume_every;
    double votes[] = {*l->run->c->stop != 0, leads(l) && due, status != INS_OK};
    INS_TRY(ins_comm_sum(comm, votes, 3, err));
    if (votes[2] > 0) return ins_comm_agree(comm, status, err);
    l->stopping = votes[0] > 0;
    l->saving = votes[1] > 0;
    return INS_OK;
}

static ins_status add(const train_loop *l, int64_t step, const char *name, double value, ins_error *err) {
    const ins_metrics *m = l->run->c->metrics;
    return m->value(m->arg, step, ins_trainer_get_state(l->run->trainer)->tokens, name, value, err);
}

/* Do probes run at the boundary before this step? */
static bool is_probed_step(const train_loop *l, int64_t step) {
    const ins_train_run *run = l->run;
    for (int64_t i = 0; i < run->n_probe_steps; i++) {
        if (run->probe_steps[i] == step) return true;
    }
    return false;
}
static bool is_probed(const train_loop *l) {
    return is_probed_step(l, ins_trainer_get_state(l->run->trainer)->step);
}

/* ---- checkpoints ---- */

/* The weights that count as the stage's model: the average, when one is kept. */
static float *shown_weights(const train_loop *l) {
    float *average = ins_trainer_ema(l->run->trainer);
    return average ? average : ins_trainer_weights(l->run->trainer);
}

/* A last update can overflow where no later step would notice. */
static ins_status check_finite(const train_loop *l, const float *weights, ins_error *err) {
    const ins_train_run *run = l->run;
    if (isfinite(ins_grad_norm(ins_model_params(run->model), weights, run->c->pool))) return INS_OK;
    INS_FAIL(err, INS_NUMERIC, "stage %s: the update of step %lld made weights that are not finite", run->c->name,
             (long long)ins_trainer_get_state(run->trainer)->step - 1);
    ins_error_hint(err, "lower the learning rate, lengthen the warm-up, or set clip; earlier checkpoints are intact");
    return INS_NUMERIC;
}

/* By rank 0. */
static ins_status write_checkpoint(train_loop *l, const char *folder, bool to_resume, ins_error *err) {
    const ins_metrics *m = l->run->c->metrics;
    const float *weights = to_resume ? ins_trainer_weights(l->run->trainer) : shown_weights(l);
    INS_TRY(check_finite(l, weights, err));
    json_t *state = json_pack("{s:I}", "n_steps", (json_int_t)l->run->n_steps);
    if (!state) return INS_FAIL(err, INS_NOMEM, "no memory for the state");
    ins_checkpoint_write write = {.stage_dir = l->run->c->dir,
                                  .folder = folder,
                                  .model = l->run->model,
                                  .trainer = l->run->trainer,
                                  .weights = weights,
                                  .optimizer = l->run->optimizer,
                                  .tokenizer_path = l->run->tokenizer_path,
                                  .eos = ins_tokenizer_eos(l->run->tokenizer),
                                  .stage_state = state,
                                  .with_optimizer = to_resume,
                                  .with_history = to_resume && is_probed(l)};
    ins_status status = m->flush(m->arg, err); /* records first: they may only be ahead of the checkpoint */
    if (status == INS_OK) status = ins_checkpoint_save(&write, err);
    json_decref(state);
    return status;
}

static ins_status write_resume(train_loop *l, ins_error *err) {
    INS_TRY(write_checkpoint(l, INS_RESUME, true, err));
    return ins_checkpoint_prune(l->run->c->dir, INS_RESUME, 2, err);
}

static ins_status save_resume(train_loop *l, ins_error *err) {
    INS_TRY(ins_trainer_collect(l->run->trainer, err));
    INS_TRY(ins_comm_agree(l->run->c->comm, leads(l) ? write_resume(l, err) : INS_OK, err));
    l->last_saved = ins_now();
    return INS_OK;
}

/* ---- probes ---- */

/* By rank 0. */
static ins_status run_probes(train_loop *l, double lr, ins_error *err) {
    ins_trainer *t = l->run->trainer;
    const ins_trainer_state *state = ins_trainer_get_state(t);
    bool history = ins_trainer_has_history(t);
    ins_probe_state at = {.step = state->step,
                          .tokens = state->tokens,
                          .weights = shown_weights(l),
                          .grads = history ? ins_trainer_grads(t) : NULL,
                          .slots = (const float *const *)ins_trainer_slots(t),
                          .n_slots = l->run->optimizer->n_slots,
                          .previous = history ? ins_trainer_previous(t) : NULL,
                          .trained = ins_trainer_weights(t),
                          .lr = lr};
    INS_TRY(ins_probe_set_run(l->probes, &at, err));
    return write_checkpoint(l, INS_CHECKPOINTS, false, err);
}

static ins_status probe_and_keep(train_loop *l, double lr, ins_error *err) {
    if (ins_train_needs_history(l->run->options)) INS_TRY(ins_trainer_collect(l->run->trainer, err));
    return ins_comm_agree(l->run->c->comm, leads(l) ? run_probes(l, lr, err) : INS_OK, err);
}

/* ---- what the user sees ---- */

static double mfu(const train_loop *l, double tokens_per_s, int64_t tokens_of_step) {
    const ins_train_run *run = l->run;
    if (!(run->peak_flops > 0) || tokens_of_step <= 0) return 0;
    return tokens_per_s / (double)tokens_of_step * ins_trainer_flops(run->trainer) / run->peak_flops;
}

static void set_speed(train_loop *l) {
    const ins_trainer_state *state = ins_trainer_get_state(l->run->trainer);
    double flop = (double)(state->step - l->first_step) * ins_trainer_flops(l->run->trainer);
    ins_stage_result *result = l->run->c->result;
    result->tokens_per_s = (double)(state->tokens - l->first_tokens) / l->step_seconds;
    if (l->run->peak_flops > 0) result->mfu = flop / l->step_seconds / l->run->peak_flops;
}

/* Speed of the steps alone, without probes and checkpoints: smoothed, and over all of this process. */
static void count_time(train_loop *l, double seconds) {
    if (!(seconds > 0)) return;
    double now = (double)l->report.tokens / seconds;
    l->tokens_per_s = l->tokens_per_s > 0 ? 0.9 * l->tokens_per_s + 0.1 * now : now;
    l->step_seconds += seconds;
    double flops = l->tokens_per_s / (double)l->report.tokens * ins_trainer_flops(l->run->trainer);
    if (l->report.tokens > 0) l->beyond_probes |= ins_train_saw_rate(l->run, flops);
    set_speed(l);
}

/* The machine may have been busy when the peak was measured: what counts is the largest rate seen. */
static void report_speed(train_loop *l) {
    char peak[32];
    if (!(l->step_seconds > 0)) return;
    ins_train_measure_again(l->run);
    set_speed(l);
    if (l->beyond_probes)
        ins_logf(l->run->c->log, INS_LOG_INFO,
                 "%s: MFU is of %sFLOP/s, the largest rate seen in probes and steps: the machine was busier when the "
                 "peak was probed than in training",
                 l->run->c->name, ins_human_count(l->run->peak_flops, peak));
}

static void show(train_loop *l, bool last) {
    const ins_train_run *run = l->run;
    int64_t step = ins_trainer_get_state(run->trainer)->step;
    double now = ins_now(), elapsed = now - l->started;
    if (!last && now - l->last_shown < 0.2) return;
    l->last_shown = now;
    double rate = elapsed > 0 ? (double)(step - l->first_step) / elapsed : 0; /* with probes: for the time left */
    char detail[160], speed[32];
    snprintf(detail, sizeof detail, "loss %.4f  %s tok/s  MFU %.0f %%", l->report.loss,
             ins_human_count(l->tokens_per_s, speed), 100 * mfu(l, l->tokens_per_s, l->report.tokens));
    ins_progress p = {.what = run->c->name,
                      .unit = "steps",
                      .done = (double)step,
                      .total = (double)run->n_steps,
                      .rate = rate,
                      .eta_s = rate > 0 ? (double)(run->n_steps - step) / rate : -1,
                      .detail = detail};
    ins_log_progress(run->c->log, &p);
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
    INS_TRY(add(l, step, "train/bpb", r->bits_per_byte, err));
    INS_TRY(add(l, step, "train/tokens_per_s", l->tokens_per_s, err));
    double used = mfu(l, l->tokens_per_s, r->tokens);
    if (used > 0) INS_TRY(add(l, step, "train/mfu", used, err));
    if (r->skipped) INS_TRY(add(l, step, "train/skipped", 1, err));
    return INS_OK;
}

/* ---- the loop ---- */

static double learning_rate(const ins_train_run *run, int64_t step) {
    return run->lr * run->schedule->factor(run->options->schedule.options, step, run->n_steps);
}

/* Stop asked for. What a probe at this boundary needs to know of the last step is saved with the rest, so stopping is
 * possible at any step. */
static ins_status stop_here(train_loop *l, ins_error *err) {
    int64_t step = ins_trainer_get_state(l->run->trainer)->step;
    if (step > l->first_step) INS_TRY(save_resume(l, err));
    INS_FAIL(err, INS_INTERRUPTED, "%s: stopped at step %lld of %lld; the state is saved", l->run->c->name,
             (long long)step, (long long)l->run->n_steps);
    ins_error_hint(err, "run the same command again to go on");
    return INS_INTERRUPTED;
}

/* Before a step, and after the last one. */
static ins_status at_boundary(train_loop *l, double lr, ins_error *err) {
    const ins_train_run *run = l->run;
    if (is_probed(l)) {
        ins_status status = probe_and_keep(l, lr, err);
        if (status == INS_INTERRUPTED) return stop_here(l, err);
        INS_TRY(status);
    }
    return l->saving && ins_trainer_get_state(run->trainer)->step > l->first_step ? save_resume(l, err) : INS_OK;
}

static ins_status loop(train_loop *l, ins_error *err) {
    ins_train_run *run = l->run;
    const ins_trainer_state *state = ins_trainer_get_state(run->trainer);
    ins_status status = INS_OK;
    while (state->step < run->n_steps) {
        int64_t step = state->step;
        double lr = learning_rate(run, step);
        INS_TRY(decide(l, status, err));
        if (l->stopping) return stop_here(l, err);
        INS_TRY(at_boundary(l, lr, err));
        ins_trainer_watch(run->trainer, is_probed_step(l, step + 1));
        double started = ins_now();
        status = ins_trainer_step(run->trainer, run->mixture, lr, &l->report, err);
        if (status != INS_OK) {
            ins_error_frame(err, "stage %s", run->c->name);
            return status;
        }
        count_time(l, ins_now() - started);
        status = record(l, step, lr, err);
        if (status == INS_OK) status = ins_train_gemm_settle(run, err);
        show(l, state->step == run->n_steps);
    }
    INS_TRY(decide(l, status, err));
    if (l->stopping) return stop_here(l, err);
    return at_boundary(l, learning_rate(run, state->step - 1), err);
}

/* By rank 0. */
static ins_status write_end(train_loop *l, ins_error *err) {
    ins_train_run *run = l->run;
    const ins_trainer_state *state = ins_trainer_get_state(run->trainer);
    int64_t *counts = ins_calloc((size_t)run->n_sources, sizeof *counts);
    if (!counts) return INS_FAIL(err, INS_NOMEM, "no memory for the counts");
    ins_mixture_counts(run->mixture, state->cursor, counts);
    ins_status status = add(l, state->step, "train/skipped_steps", (double)state->skipped, err);
    for (int64_t i = 0; i < run->n_sources && status == INS_OK; i++) {
        char name[300];
        snprintf(name, sizeof name, "train/samples.%s", run->sources[i].name);
        status = add(l, state->step, name, (double)counts[i], err);
    }
    ins_free(counts);
    INS_TRY(status);
    const ins_metrics *m = run->c->metrics;
    INS_TRY(m->flush(m->arg, err));
    ins_train_record record = ins_train_choices(run);
    record.done = true;
    record.tokens = state->tokens;
    record.flop = ins_trainer_flops(run->trainer) * (double)state->step;
    run->c->result->peak_bytes = ins_train_peak_bytes(run);
    INS_TRY(ins_train_record_write(run->c->dir, &record, run->gemm, err));
    return ins_train_leave(run->c, &record, err);
}

static ins_status finish(train_loop *l, ins_error *err) {
    report_speed(l);
    return ins_comm_agree(l->run->c->comm, leads(l) ? write_end(l, err) : INS_OK, err);
}

ins_status ins_train_leave(const ins_stage_context *c, const ins_train_record *record, ins_error *err) {
    c->result->steps = record->steps;
    c->result->tokens = record->tokens;
    c->result->flop = record->flop;
    INS_TRY(ins_checkpoint_prune(c->dir, INS_CHECKPOINTS, INT64_MAX, err));
    return ins_checkpoint_prune(c->dir, INS_RESUME, 0, err);
}

ins_status ins_train_loop(ins_train_run *run, ins_error *err) {
    train_loop l = {.run = run, .started = ins_now(), .last_saved = ins_now()};
    l.first_step = ins_trainer_get_state(run->trainer)->step;
    l.first_tokens = ins_trainer_get_state(run->trainer)->tokens;
    ins_status status = INS_OK;
    if (leads(&l))
        status = ins_probe_set_open(run->c, &run->options->probes, run->model, run->tokenizer,
                                    run->trainer_options.compute, true, &l.probes, err);
    status = ins_comm_agree(run->c->comm, status, err);
    if (status == INS_OK) status = loop(&l, err);
    if (status == INS_OK) status = finish(&l, err);
    ins_probe_set_close(l.probes);
    return status;
}
