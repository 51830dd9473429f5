/* Setting a train stage up: derived sizes, trainer, going on from where an earlier attempt stopped. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem_system.h"
#include "model/derive.h"
#include "stage/train_run.h"

enum { RESUME_PATH = 4096 };
enum { DEFAULT_CONTEXT = 256, MICRO_POSITIONS = 4096, MIN_STEPS = 10 };
#define MEMORY_SHARE 0.8 /* of the memory that is free, for training; the rest is for probes and the system */

/* ---- sizes ---- */

static int64_t choose_context(const ins_train_run *run) {
    int64_t limit = ins_model_get_options(run->model)->max_positions;
    int64_t wanted = run->options->context > 0 ? run->options->context : DEFAULT_CONTEXT;
    return limit > 0 && wanted > limit ? limit : wanted;
}

/* Rows of a step and how they are split over runs of the graph: rounded up so that all runs have the same rows. */
static void choose_rows(ins_train_run *run, int64_t batch) {
    ins_trainer_options *t = &run->trainer_options;
    int64_t rows = (batch + t->context / 2) / t->context;
    if (rows < 1) rows = 1;
    int64_t micro = run->options->micro_rows > 0 ? run->options->micro_rows : MICRO_POSITIONS / t->context;
    if (micro < 1) micro = 1;
    if (micro > rows) micro = rows;
    t->n_micro = (rows + micro - 1) / micro;
    t->micro_rows = (rows + t->n_micro - 1) / t->n_micro;
}

static double step_flops(const ins_train_run *run) {
    const ins_trainer_options *t = &run->trainer_options;
    double positions = (double)(t->context * t->micro_rows * t->n_micro);
    return 3 * ins_model_flops_per_token(run->model, t->context) * positions;
}

static int64_t choose_steps(ins_train_run *run, int64_t budget) {
    const ins_train_options *o = run->options;
    const ins_trainer_options *t = &run->trainer_options;
    if (o->steps > 0) return o->steps;
    if (o->time > 0) {
        double steps = o->time * INS_TRAIN_EFFICIENCY * run->peak_flops / step_flops(run);
        return steps < MIN_STEPS ? MIN_STEPS : (int64_t)steps;
    }
    int64_t per_step = t->context * t->micro_rows * t->n_micro;
    int64_t steps = (budget + per_step - 1) / per_step;
    return steps < 1 ? 1 : steps;
}

/* The fastest that fits: the results are the same bits, so it may differ from one attempt at a stage to the next. */
static ins_status choose_recompute(ins_train_run *run, ins_error *err) {
    ins_trainer_options *t = &run->trainer_options;
    int64_t available = ins_mem_available() / ins_comm_neighbours(t->comm);
    INS_TRY(ins_trainer_costs(run->model, t, ins_train_needs_history(run->options), run->c->pool, run->costs, err));
    if (run->options->recompute > 0) {
        t->recompute = (ins_recompute)(run->options->recompute - 1);
        return INS_OK;
    }
    int choice = INS_RECOMPUTE_NONE;
    while (choice + 1 < INS_RECOMPUTES && available > 0 &&
           (double)run->costs[choice].bytes > MEMORY_SHARE * (double)available)
        choice++;
    t->recompute = (ins_recompute)choice;
    return INS_OK;
}

ins_status ins_train_choose_sizes(ins_train_run *run, ins_error *err) {
    const ins_train_options *o = run->options;
    ins_trainer_options *t = &run->trainer_options;
    int64_t n_params = ins_model_params(run->model)->n_elements;
    int64_t limit = ins_model_get_options(run->model)->max_positions;
    if (o->context > 0 && limit > 0 && o->context > limit) {
        INS_FAIL(err, INS_RECIPE, "context %lld is longer than the model's max_positions %lld", (long long)o->context,
                 (long long)limit);
        ins_error_hint(err, "set model.max_positions, or a shorter context");
        return INS_RECIPE;
    }
    int64_t budget = o->budget > 0 ? o->budget : ins_derive_tokens(n_params);
    int64_t batch = o->batch > 0 ? o->batch : ins_derive_batch_tokens(n_params, budget);
    INS_TRY(ins_train_measure_machine(run, err));
    t->objective = o->objective;
    t->optimizer = o->optimizer;
    t->context = choose_context(run);
    t->clip = o->clip;
    t->ema = o->ema;
    t->spike_action = o->spike;
    t->spike_z = o->spike_z;
    t->seed = run->c->seed;
    t->comm = run->c->comm;
    choose_rows(run, batch);
    run->n_steps = run->has_record ? run->record.steps : choose_steps(run, budget);
    run->optimizer = (const ins_optimizer *)o->optimizer.desc;
    run->schedule = (const ins_schedule *)o->schedule.desc;
    double derived = ins_derive_lr(n_params) * run->optimizer->default_lr_scale * (o->init ? 0.5 : 1.0);
    run->lr = o->lr > 0 ? o->lr : derived;
    INS_TRY(ins_comm_agree(run->c->comm, choose_recompute(run, err), err));
    return ins_comm_broadcast(run->c->comm, &t->recompute, sizeof t->recompute, 0, err);
}

/* ---- all of it ---- */

double ins_train_peak_bytes(const ins_train_run *run) {
    return (double)run->base_bytes + (double)ins_trainer_bytes(run->trainer);
}

static void say_plan(const ins_train_run *run) {
    static const char *const recompute[INS_RECOMPUTES] = {"", " (recompute: cheap)", " (recompute: layers)"};
    const ins_trainer_options *t = &run->trainer_options;
    char params[32], memory[32], flop[32];
    ins_human_count((double)ins_model_params(run->model)->n_elements, params);
    ins_human_size(ins_train_peak_bytes(run), memory);
    ins_human_count(ins_trainer_flops(run->trainer) * (double)run->n_steps, flop);
    ins_logf(run->c->log, INS_LOG_INFO,
             "%s: %s parameters, %lld steps of %lld x %lld positions (%lld runs a step), lr %.3g, peak memory %s%s, "
             "%sFLOP; %s",
             run->c->name, params, (long long)run->n_steps, (long long)(t->micro_rows * t->n_micro),
             (long long)t->context, (long long)t->n_micro, run->lr, memory, recompute[t->recompute], flop,
             run->precision_why);
}

ins_train_record ins_train_choices(const ins_train_run *run) {
    return (ins_train_record){.steps = run->n_steps,
                              .layers = ins_model_get_options(run->model)->layers,
                              .compute = run->trainer_options.compute};
}

/* The checkpoint to go on from, or an empty path: begin. Rank 0 looks, and makes the folder fit for a beginning. */
static ins_status find_start(ins_train_run *run, char dir[RESUME_PATH], int64_t *step, ins_error *err) {
    ins_error why = {0};
    if (!run->has_record) { /* nothing that is there belongs to what was decided now */
        INS_TRY(ins_checkpoint_prune(run->c->dir, INS_RESUME, 0, err));
        INS_TRY(ins_checkpoint_prune(run->c->dir, INS_CHECKPOINTS, 0, err));
    }
    ins_status status = ins_checkpoint_find_in(run->c->dir, INS_RESUME, -1, run->c->log, dir, RESUME_PATH, step, &why);
    if (status == INS_OK) return INS_OK;
    dir[0] = '\0';
    if (status == INS_MODEL || status == INS_DATA) { /* none yet, or all damaged */
        const ins_train_record record = ins_train_choices(run);
        return ins_train_record_write(run->c->dir, &record, run->gemm, err);
    }
    if (err) *err = why;
    return status;
}

/* All ranks read the same checkpoint; the weights of rank 0 go for all, so that no difference can ever stay. */
static ins_status resume(ins_train_run *run, ins_error *err) {
    ins_comm *comm = run->c->comm;
    char dir[RESUME_PATH] = "";
    int64_t step = 0;
    bool leads = ins_comm_rank(comm) == 0;
    size_t bytes = (size_t)ins_model_params(run->model)->slab_count * sizeof(float);
    INS_TRY(ins_comm_agree(comm, leads ? find_start(run, dir, &step, err) : INS_OK, err));
    INS_TRY(ins_comm_broadcast(comm, dir, sizeof dir, 0, err));
    if (dir[0]) {
        ins_status status = ins_checkpoint_restore(dir, run->model, run->trainer, run->optimizer, NULL, err);
        INS_TRY(ins_comm_agree(comm, status, err));
        step = ins_trainer_get_state(run->trainer)->step;
        ins_logf(run->c->log, INS_LOG_INFO, "%s: going on from step %lld of %lld", run->c->name, (long long)step,
                 (long long)run->n_steps);
    }
    INS_TRY(ins_comm_broadcast(comm, ins_trainer_weights(run->trainer), bytes, 0, err));
    ins_status status = run->c->metrics->truncate(run->c->metrics->arg, dir[0] ? step - 1 : -1, err);
    return ins_comm_agree(comm, status, err);
}

bool ins_train_needs_history(const ins_train_options *o) {
    for (int64_t i = 0; i < o->probes.n; i++) {
        const ins_probe *probe = (const ins_probe *)o->probes.items[i].desc;
        if (probe && (probe->needs & INS_PROBE_NEEDS_TRAINING)) return true;
    }
    return false;
}

ins_status ins_train_open_trainer(ins_train_run *run, ins_error *err) {
    float *weights = run->start;
    run->start = NULL; /* the trainer takes them, also when it fails */
    INS_TRY(ins_trainer_new(run->model, weights, &run->trainer_options, run->c->pool, &run->trainer, err));
    return ins_train_needs_history(run->options) ? ins_trainer_keep_history(run->trainer, err) : INS_OK;
}

/* What this process can do by itself before sizes are chosen; rank 0's record of an earlier attempt goes for all. */
static ins_status open_record(ins_train_run *run, ins_error *err) {
    ins_comm *comm = run->c->comm;
    if (ins_comm_rank(comm) == 0) run->has_record = ins_train_record_read(run->c->dir, &run->record);
    INS_TRY(ins_comm_broadcast(comm, &run->has_record, sizeof run->has_record, 0, err));
    return ins_comm_broadcast(comm, &run->record, sizeof run->record, 0, err);
}

ins_status ins_train_open(ins_train_run *run, const ins_stage_context *c, ins_error *err) {
    *run = (ins_train_run){.c = c,
                           .options = c->options,
                           .arena = ins_arena_new(0),
                           .base_bytes = ins_mem_resident() + INS_TRAIN_PROCESS_BYTES};
    INS_TRY(
        ins_comm_agree(c->comm, run->arena ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory for the train stage"), err));
    INS_TRY(open_record(run, err));
    INS_TRY(ins_comm_agree(c->comm, ins_train_open_model(run, err), err));
    INS_TRY(ins_train_choose_sizes(run, err));
    INS_TRY(ins_comm_agree(c->comm, ins_train_open_data(run, err), err));
    INS_TRY(ins_comm_agree(c->comm, ins_train_gemm_open(run, err), err));
    INS_TRY(ins_comm_agree(c->comm, ins_train_open_trainer(run, err), err));
    INS_TRY(resume(run, err));
    /* Steps that are done were made without a record of choices: so are the rest. */
    if (run->gemm && ins_trainer_get_state(run->trainer)->step > 0) ins_gemm_choices_close(run->gemm);
    INS_TRY(ins_train_probe_steps(run->options, run->n_steps, &run->probe_steps, &run->n_probe_steps, err));
    say_plan(run);
    return INS_OK;
}

void ins_train_close(ins_train_run *run) {
    ins_trainer_free(run->trainer);
    ins_gemm_choices_free(run->gemm);
    ins_mixture_free(run->mixture);
    for (int64_t i = 0; i < run->n_sources; i++) {
        if (run->rows) ins_rows_free(run->rows[i]);
        if (run->shards) ins_shard_close(&run->shards[i]);
    }
    ins_free(run->rows);
    ins_free(run->shards);
    ins_free(run->sources);
    ins_free(run->source_names);
    ins_free(run->probe_steps);
    if (run->start) ins_slab_free(ins_model_params(run->model), run->start);
    ins_model_free(run->model);
    ins_tokenizer_free(run->tokenizer);
    ins_arena_free(run->arena);
}

/* The first at about 4 steps, then by equal factors: most points where most is learnt. */
static int64_t log_spaced(int64_t n_points, int64_t n_steps, int64_t *list) {
    double low = log(4.0), high = log((double)(n_steps > 4 ? n_steps : 4));
    for (int64_t i = 0; i < n_points; i++)
        list[i] = (int64_t)llround(exp(low + (high - low) * (double)i / (double)n_points));
    return n_points;
}

static int compare_steps(const void *x, const void *y) {
    int64_t left = *(const int64_t *)x, right = *(const int64_t *)y;
    return left < right ? -1 : left > right;
}

ins_status ins_train_probe_steps(const ins_train_options *o, int64_t n_steps, int64_t **steps, int64_t *n,
                                 ins_error *err) {
    int64_t inner = o->probe_at.n ? o->probe_at.n : o->probe_every ? n_steps / o->probe_every : o->probe_points - 2;
    int64_t *list = ins_malloc((size_t)(inner + 2) * sizeof *list), count = 0, kept = 0;
    if (!list) return INS_FAIL(err, INS_NOMEM, "no memory for the probed steps");
    if (o->probe_at.n > 0) {
        for (int64_t i = 0; i < inner; i++) count += ins_parse_size(o->probe_at.items[i], &list[count]);
    } else if (o->probe_every > 0) {
        for (int64_t i = 1; i <= inner; i++) list[count++] = i * o->probe_every;
    } else {
        count = log_spaced(inner, n_steps, list);
    }
    list[count++] = 0;
    list[count++] = n_steps;
    qsort(list, (size_t)count, sizeof *list, compare_steps);
    for (int64_t i = 0; i < count; i++) {
        if (list[i] <= n_steps && (kept == 0 || list[i] > list[kept - 1])) list[kept++] = list[i];
    }
    *steps = list;
    *n = kept;
    return INS_OK;
}
