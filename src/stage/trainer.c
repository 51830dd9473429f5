/* The training step: see trainer.h. */
#include "stage/trainer_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernel/elementwise.h"
#include "optim/bf16_slab.h"
#include "optim/ema.h"

enum { SPIKE_WARMUP = 32 };

/* ---- construction ---- */

static ins_status make_memory(ins_trainer *t, ins_error *err) {
    const ins_params *params = ins_model_params(t->model);
    INS_TRY(ins_slab_new(params, &t->grads, err));
    t->stale_bf16 = true;
    if (t->options.compute == INS_DTYPE_BF16) INS_TRY(ins_bf16_slab_new(params, &t->weights_bf16, err));
    if (t->rows.n_micro > 1) INS_TRY(ins_slab_new(params, &t->micro_grads, err));
    if (t->options.ema > 0) {
        INS_TRY(ins_slab_new(params, &t->ema, err));
        memcpy(t->ema, t->weights, (size_t)params->slab_count * sizeof(float));
    }
    t->slots = ins_calloc((size_t)t->optimizer->n_slots + 1, sizeof *t->slots);
    t->batches = ins_calloc((size_t)t->rows.n_micro, sizeof *t->batches);
    if (!t->slots || !t->batches) return INS_FAIL(err, INS_NOMEM, "no memory for the trainer");
    for (int i = 0; i < t->optimizer->n_slots; i++) INS_TRY(ins_slab_new(params, &t->slots[i], err));
    for (int64_t i = 0; i < t->rows.n_micro; i++) {
        INS_TRY(ins_batch_new(t->rows.micro_rows, t->options.context, &t->batches[i], err));
    }
    return INS_OK;
}

static ins_status construct(ins_trainer *t, ins_error *err) {
    if (t->options.micro_rows < 1 || t->options.n_micro < 1 || t->options.context < 2) {
        return INS_FAIL(err, INS_BUG, "trainer: micro_rows %lld, n_micro %lld, context %lld",
                        (long long)t->options.micro_rows, (long long)t->options.n_micro, (long long)t->options.context);
    }
    t->rows = trainer_share(&t->options);
    INS_TRY(make_memory(t, err));
    ins_train_graph_config config = {.model = t->model,
                                     .objective = &t->options.objective,
                                     .compute = t->options.compute,
                                     .n_rows = t->rows.micro_rows,
                                     .n_cols = t->options.context,
                                     .weights = t->weights,
                                     .weights_bf16 = t->weights_bf16,
                                     .grads = t->micro_grads ? t->micro_grads : t->grads,
                                     .recompute = t->options.recompute,
                                     .gemm_choices = t->options.gemm_choices,
                                     .pool = t->pool};
    INS_TRY(ins_train_graph_new(&config, &t->graph, err));
    return trainer_open_ranks(t, err);
}

ins_status ins_trainer_new(const ins_model *model, float *weights, const ins_trainer_options *options, ins_pool *pool,
                           ins_trainer **out, ins_error *err) {
    ins_trainer *t = ins_calloc(1, sizeof *t);
    if (!t) {
        ins_slab_free(ins_model_params(model), weights);
        return INS_FAIL(err, INS_NOMEM, "no memory for the trainer");
    }
    t->model = model;
    t->weights = weights;
    t->options = *options;
    t->pool = pool;
    t->objective = (const ins_objective *)options->objective.desc;
    t->optimizer = (const ins_optimizer *)options->optimizer.desc;
    ins_status status = construct(t, err);
    if (status != INS_OK) {
        ins_trainer_free(t);
        return status;
    }
    *out = t;
    return INS_OK;
}

void ins_trainer_free(ins_trainer *t) {
    if (!t) return;
    const ins_params *params = ins_model_params(t->model);
    ins_train_graph_free(t->graph);
    ins_reducer_free(t->reducer);
    for (int64_t i = 0; t->batches && i < t->rows.n_micro; i++) ins_batch_free(t->batches[i]);
    for (int i = 0; t->slots && i < t->optimizer->n_slots; i++) ins_slab_free(params, t->slots[i]);
    ins_free(t->batches);
    ins_free(t->slots);
    ins_slab_free(params, t->weights);
    ins_slab_free(params, t->grads);
    ins_slab_free(params, t->micro_grads);
    ins_slab_free(params, t->ema);
    ins_slab_free(params, t->previous);
    ins_bf16_slab_free(params, t->weights_bf16);
    ins_free(t);
}

/* ---- one step ---- */

/* The rows of a micro-batch; behind them padding, which stays as it is. */
static void read_rows(const ins_trainer *t, const ins_mixture *mixture, int64_t micro) {
    ins_batch *batch = t->batches[micro], there = *batch;
    there.n_rows = trainer_n_valid(t, micro);
    uint64_t first = t->state.cursor + (uint64_t)(t->rows.first + micro * t->rows.micro_rows);
    if (there.n_rows > 0) ins_mixture_batch(mixture, first, &there);
    batch->n_targets = there.n_targets;
    batch->n_tokens = there.n_tokens;
    batch->text_bytes = there.text_bytes;
}

static ins_status read_batches(ins_trainer *t, const ins_mixture *mixture, ins_step_report *report, ins_error *err) {
    const ins_trainer_options *o = &t->options;
    for (int64_t i = 0; i < t->rows.n_micro; i++) {
        ins_batch *batch = t->batches[i];
        int32_t extra;
        read_rows(t, mixture, i);
        if (t->objective->prepare) {
            ins_rng_key key = ins_rng_derive(o->seed, "prepare", trainer_micro_number(t, i, &extra));
            INS_TRY(t->objective->prepare(o->objective.options, batch, key, err));
        } else {
            ins_batch_spans(batch, t->objective->span, true);
        }
        report->targets += batch->n_targets;
        report->tokens += batch->n_tokens;
        report->text_bytes += batch->text_bytes;
    }
    return INS_OK;
}

static ins_status run_micro(ins_trainer *t, int64_t micro, double loss_scale, bool checked, ins_train_result *out,
                            ins_error *err) {
    int32_t extra;
    ins_rng_key key = ins_rng_derive(t->options.seed, "dropout", trainer_micro_number(t, micro, &extra));
    const int32_t rng_key[4] = {(int32_t)key.k[0], (int32_t)key.k[1], extra, 0};
    return ins_train_graph_run(t->graph, t->batches[micro], loss_scale, rng_key, checked, out, err);
}

/* In f64, from the per-position values, row by row: does not depend on how rows were grouped. */
static void add_losses(const ins_batch *batch, const ins_train_result *result, trainer_sums *sums) {
    int64_t n = batch->n_rows * batch->n_cols;
    for (int64_t i = 0; i < n; i++) {
        double weight = (double)batch->weights[i];
        if (!(weight > 0)) continue;
        sums->loss += weight * (double)result->nll[i];
        sums->bits += (double)result->nll[i] / M_LN2;
        if (result->correct) sums->correct += weight * (double)result->correct[i];
    }
}

/* This process's micro-batches. With other ranks the gradients of the last one are added and sent while it runs. */
static ins_status run_micros(ins_trainer *t, double loss_scale, trainer_sums *sums, ins_error *err) {
    const ins_params *params = ins_model_params(t->model);
    for (int64_t i = 0; i < t->rows.n_micro; i++) {
        ins_train_result result;
        if (i == t->rows.n_micro - 1) trainer_begin_sending(t);
        INS_TRY(run_micro(t, i, loss_scale, false, &result, err));
        add_losses(t->batches[i], &result, sums);
        if (!t->micro_grads || t->sending) continue;
        if (i == 0) {
            ins_copy_bytes((size_t)params->slab_count * sizeof(float), t->micro_grads, t->grads, t->pool);
        } else {
            ins_grads_add(params, t->micro_grads, t->grads, t->pool);
        }
    }
    return INS_OK;
}

static ins_status run_all(ins_trainer *t, ins_step_report *report, ins_error *err) {
    trainer_sums sums = {0};
    double targets = report->targets > 0 ? (double)report->targets : 1;
    if (t->weights_bf16 && t->stale_bf16)
        ins_bf16_slab_fill(ins_model_params(t->model), t->weights, t->weights_bf16, t->pool);
    t->stale_bf16 = false;
    ins_status status = run_micros(t, 1 / targets, &sums, err);
    INS_TRY(trainer_share_sums(t, status, &sums, err));
    report->loss = sums.loss / targets;
    report->accuracy = sums.correct / targets;
    report->bits_per_byte = report->text_bytes > 0 ? sums.bits / (double)report->text_bytes : 0;
    report->grad_norm =
        t->reducer ? sqrt(sums.grad_square) : ins_grad_norm(ins_model_params(t->model), t->grads, t->pool);
    return INS_OK;
}

static const char *const numeric_hint =
    "lower the learning rate, lengthen the warm-up, or set clip; the checkpoints before this step are intact";

/* The first row of a micro-batch, for messages: "samples 64 to 71, from row 12 of near". */
static void describe_batch(const ins_trainer *t, const ins_mixture *mixture, int64_t micro, char *buf, size_t size) {
    uint64_t first = t->state.cursor + (uint64_t)(t->rows.first + micro * t->rows.micro_rows);
    int64_t n = trainer_n_valid(t, micro);
    int64_t source = 0, row = 0;
    ins_mixture_at(mixture, first, &source, &row);
    const char *name = t->options.source_names ? t->options.source_names[source] : "source";
    snprintf(buf, size, "samples %llu to %llu, from row %lld of %s", (unsigned long long)first,
             (unsigned long long)(first + (uint64_t)(n > 0 ? n : 1) - 1), (long long)row, name);
}

/* Run again with checks to name the op, and name the batch; INS_OK when every op's result is finite. */
static ins_status find_nonfinite(ins_trainer *t, const ins_mixture *mixture, const ins_step_report *report,
                                 ins_error *err) {
    double loss_scale = report->targets > 0 ? 1.0 / (double)report->targets : 1;
    for (int64_t i = 0; i < t->rows.n_micro; i++) {
        ins_error why = {0};
        char where[256];
        ins_status status = run_micro(t, i, loss_scale, true, NULL, &why);
        if (status == INS_OK) continue;
        describe_batch(t, mixture, i, where, sizeof where);
        INS_FAIL(err, INS_NUMERIC, "step %lld: %.500s (loss %g, gradient norm %g; batch: %s)", (long long)t->state.step,
                 why.text, report->loss, report->grad_norm, where);
        ins_error_hint(err, "%s", numeric_hint);
        return INS_NUMERIC;
    }
    return INS_OK;
}

/* The step gave a non-finite loss or norm. */
static ins_status explain_nonfinite(ins_trainer *t, const ins_mixture *mixture, const ins_step_report *report,
                                    ins_error *err) {
    ins_status status = find_nonfinite(t, mixture, report, err);
    INS_TRY(ins_comm_agree(t->options.comm, status, err));
    INS_FAIL(err, INS_NUMERIC, "step %lld: loss %g, gradient norm %g are not finite, though every op's result is",
             (long long)t->state.step, report->loss, report->grad_norm);
    ins_error_hint(err, "%s", numeric_hint);
    return INS_NUMERIC;
}

/* z-score against the running mean, then take the value in (spikes are left out of the statistics). */
static bool is_spike(const ins_running *r, double value, double z_limit) {
    return r->n >= SPIKE_WARMUP && r->var > 0 && (value - r->mean) > z_limit * sqrt(r->var);
}
static void running_add(ins_running *r, double value) {
    double rate = r->n < SPIKE_WARMUP ? 1.0 / (double)(r->n + 1) : 1.0 / 64;
    double delta = value - r->mean;
    r->mean += rate * delta;
    r->var = (1 - rate) * (r->var + rate * delta * delta);
    r->n++;
}

static ins_status apply_update(ins_trainer *t, double lr, double grad_norm, ins_error *err) {
    const ins_params *params = ins_model_params(t->model);
    double scale = t->options.clip > 0 && grad_norm > t->options.clip ? t->options.clip / grad_norm : 1.0;
    t->state.updates++;
    ins_update update = {.params = params,
                         .weights = t->weights,
                         .weights_bf16 = t->reducer ? NULL : t->weights_bf16, /* other ranks' rows come as f32 */
                         .grads = t->grads,
                         .slots = t->slots,
                         .lr = lr,
                         .grad_scale = scale,
                         .step = t->state.updates,
                         .pool = t->pool};
    for (int64_t i = 0; i < ins_trainer_n_owned(t); i++) {
        ins_trainer_owned(t, i, &update.begin, &update.end);
        if (update.end > update.begin) t->optimizer->update(t->options.optimizer.options, &update);
    }
    t->stale_bf16 |= t->reducer != NULL;
    INS_TRY(trainer_share_weights(t, err));
    if (t->ema) ins_ema_step(params, t->options.ema, t->state.updates, t->weights, t->ema, t->pool);
    return INS_OK;
}

/* What probes of the training want to know of this step, on rank 0. */
static ins_status keep_step(ins_trainer *t, ins_error *err) {
    t->has_history = t->previous && t->watch;
    if (!t->has_history) return INS_OK;
    size_t bytes = (size_t)ins_model_params(t->model)->slab_count * sizeof(float);
    if (ins_comm_rank(t->options.comm) == 0) ins_copy_bytes(bytes, t->weights, t->previous, t->pool);
    return t->reducer ? ins_reducer_collect(t->reducer, t->grads, 0, err) : INS_OK;
}

ins_status ins_trainer_step(ins_trainer *t, const ins_mixture *mixture, double lr, ins_step_report *report,
                            ins_error *err) {
    ins_step_report r = {0};
    INS_TRY(trainer_share_counts(t, read_batches(t, mixture, &r, err), &r, err));
    INS_TRY(run_all(t, &r, err));
    if (!isfinite(r.loss) || !isfinite(r.grad_norm)) return explain_nonfinite(t, mixture, &r, err);
    if (t->options.spike_action == INS_SPIKE_SKIP) {
        r.skipped = is_spike(&t->state.loss, r.loss, t->options.spike_z) ||
                    is_spike(&t->state.norm, r.grad_norm, t->options.spike_z);
    }
    INS_TRY(keep_step(t, err));
    if (r.skipped) {
        t->state.skipped++;
    } else {
        running_add(&t->state.loss, r.loss);
        running_add(&t->state.norm, r.grad_norm);
        if (r.targets > 0) INS_TRY(apply_update(t, lr, r.grad_norm, err));
    }
    t->state.step++;
    t->state.cursor += (uint64_t)(t->options.micro_rows * t->options.n_micro);
    t->state.tokens += r.tokens;
    t->state.text_bytes += (double)r.text_bytes;
    *report = r;
    return INS_OK;
}

/* ---- looking in ---- */

ins_trainer_state *ins_trainer_get_state(ins_trainer *t) {
    return &t->state;
}
float *ins_trainer_weights(ins_trainer *t) {
    t->stale_bf16 = true; /* the caller may write them */
    return t->weights;
}
float *ins_trainer_ema(ins_trainer *t) {
    return t->ema;
}
float *const *ins_trainer_slots(const ins_trainer *t) {
    return t->slots;
}
const ins_batch *ins_trainer_batch(const ins_trainer *t, int64_t micro) {
    return t->batches[micro];
}

ins_status ins_trainer_read(ins_trainer *t, const ins_mixture *mixture, ins_error *err) {
    ins_step_report report = {0};
    return read_batches(t, mixture, &report, err);
}

ins_status ins_trainer_keep_history(ins_trainer *t, ins_error *err) {
    return t->previous ? INS_OK : ins_slab_new(ins_model_params(t->model), &t->previous, err);
}
void ins_trainer_watch(ins_trainer *t, bool watch) {
    t->watch = watch;
}
bool ins_trainer_has_history(const ins_trainer *t) {
    return t->has_history;
}
void ins_trainer_set_history(ins_trainer *t, bool has_history) {
    t->has_history = has_history && t->previous;
}
float *ins_trainer_grads(ins_trainer *t) {
    return t->grads;
}
float *ins_trainer_previous(ins_trainer *t) {
    return t->previous;
}

double ins_trainer_flops(const ins_trainer *t) {
    double rows = (double)(t->options.n_micro * t->options.micro_rows);
    return ins_plan_matmul_flops(ins_train_graph_plan(t->graph)) / (double)t->rows.micro_rows * rows;
}

size_t ins_trainer_bytes(const ins_trainer *t) {
    size_t reducer = t->reducer ? ins_reducer_bytes(t->reducer) : 0;
    size_t run = ins_plan_arena_bytes(ins_train_graph_plan(t->graph));
    return run + reducer + trainer_kept_bytes(t->model, &t->options, t->previous != NULL);
}
