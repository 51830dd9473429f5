/* The rows of a step for people: see train_show.h. */
#include "stage/train_show.h"

#include <string.h>

#include "stage/train_run.h"

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "no memory to show a batch");
}

static ins_status show_row(const ins_train_run *run, const ins_batch *batch, int64_t at, uint64_t sample,
                           ins_train_view *view, ins_error *err) {
    ins_shown_row *row = &view->rows[at];
    int64_t source = 0, base = at * batch->n_cols;
    ins_mixture_at(run->mixture, sample, &source, &row->row);
    row->sample = sample;
    row->source = view->sources[source].name;
    row->tokens = ins_arena_alloc(view->arena, (size_t)batch->n_cols * sizeof *row->tokens);
    if (!row->tokens) return no_memory(err);
    for (int64_t i = base; i < base + batch->n_cols; i++) {
        if (batch->segments[i] == 0) continue;
        ins_shown_token *token = &row->tokens[row->n++];
        const char *text = ins_tokenizer_token(run->tokenizer, batch->ids[i], &token->n, &token->special);
        token->text = ins_arena_strndup(view->arena, text ? text : "", text ? token->n : 0);
        if (!token->text) return no_memory(err);
        token->id = batch->ids[i];
        token->target = batch->targets[i];
        token->weight = batch->targets[i] >= 0 ? batch->weights[i] : 0;
        token->segment = batch->segments[i];
        token->position = batch->positions[i];
        view->n_targets += token->weight > 0;
    }
    return INS_OK;
}

static ins_status show_sources(const ins_train_run *run, ins_train_view *view, ins_error *err) {
    view->n_sources = run->n_sources;
    view->sources = ins_arena_alloc(view->arena, (size_t)run->n_sources * sizeof *view->sources);
    if (!view->sources) return no_memory(err);
    for (int64_t i = 0; i < run->n_sources; i++) {
        view->sources[i] = (ins_shown_source){.name = ins_arena_strdup(view->arena, run->source_names[i]),
                                              .rows = ins_rows_count(run->rows[i]),
                                              .fill = ins_rows_fill(run->rows[i]),
                                              .share = ins_mixture_share(run->mixture, i)};
        if (!view->sources[i].name) return no_memory(err);
    }
    return INS_OK;
}

/* Micro-batch by micro-batch, as the trainer does: objectives may weigh targets over a micro-batch. */
static ins_status show_rows(const ins_train_run *run, int64_t step, ins_train_view *view, ins_error *err) {
    const ins_trainer_options *t = &run->trainer_options;
    const ins_objective *objective = (const ins_objective *)t->objective.desc;
    ins_batch *batch = NULL;
    INS_TRY(ins_batch_new(t->micro_rows, t->context, &batch, err));
    uint64_t first = (uint64_t)step * (uint64_t)view->step_rows;
    ins_status status = INS_OK;
    int64_t done = 0, wanted = view->n_rows;
    ins_shown_row *rows = view->rows;
    for (int64_t micro = 0; done < wanted && status == INS_OK; micro++) {
        ins_mixture_batch(run->mixture, first + (uint64_t)done, batch);
        ins_rng_key key = ins_rng_derive(t->seed, "prepare", (uint64_t)(step * t->n_micro + micro));
        if (objective->prepare) status = objective->prepare(t->objective.options, batch, key, err);
        view->rows = rows + done;
        for (int64_t at = 0; at < batch->n_rows && done + at < wanted && status == INS_OK; at++)
            status = show_row(run, batch, at, first + (uint64_t)(done + at), view, err);
        done += batch->n_rows;
    }
    view->rows = rows;
    ins_batch_free(batch);
    return status;
}

static ins_status open_and_show(ins_train_run *run, int64_t step, int64_t max_rows, ins_train_view *view,
                                ins_error *err) {
    if (!run->arena || !view->arena) return no_memory(err);
    if (run->c->dir) run->has_record = ins_train_record_read(run->c->dir, &run->record);
    INS_TRY(ins_train_open_model(run, err));
    INS_TRY(ins_train_choose_sizes(run, err));
    INS_TRY(ins_train_open_data(run, err));
    const ins_trainer_options *t = &run->trainer_options;
    if (step < 0 || step >= run->n_steps) {
        INS_FAIL(err, INS_USAGE, "there is no step %lld: the stage has %lld", (long long)step, (long long)run->n_steps);
        ins_error_hint(err, "steps count from 0");
        return INS_USAGE;
    }
    view->step_rows = t->micro_rows * t->n_micro;
    view->context = t->context;
    view->n_rows = max_rows > 0 && max_rows < view->step_rows ? max_rows : view->step_rows;
    view->rows = ins_arena_alloc(view->arena, (size_t)view->n_rows * sizeof *view->rows);
    if (!view->rows) return no_memory(err);
    INS_TRY(show_sources(run, view, err));
    return show_rows(run, step, view, err);
}

ins_status ins_train_show(const ins_stage_context *c, int64_t step, int64_t max_rows, ins_train_view *out,
                          ins_error *err) {
    ins_train_run run = {.c = c, .options = c->options, .arena = ins_arena_new(0)};
    ins_train_view view = {.arena = ins_arena_new(0)};
    ins_status status = open_and_show(&run, step, max_rows, &view, err);
    ins_train_close(&run);
    if (status != INS_OK) {
        ins_train_view_free(&view);
        return status;
    }
    *out = view;
    return INS_OK;
}

void ins_train_view_free(ins_train_view *view) {
    ins_arena_free(view->arena);
    *view = (ins_train_view){0};
}
