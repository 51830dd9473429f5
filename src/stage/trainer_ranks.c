/* What the trainer does together with other ranks: each runs a share of the step's rows, owns a part of the gradients
 * and of the optimizer's state, and updates the weights that belong to it. */
#include <stdio.h>

#include "kernel/reduce.h"
#include "stage/trainer_internal.h"

/* ---- rows ---- */

trainer_rows trainer_share(const ins_trainer_options *o) {
    int64_t size = ins_comm_size(o->comm), rank = ins_comm_rank(o->comm), total = o->micro_rows * o->n_micro;
    trainer_rows rows = {.count = total, .micro_rows = o->micro_rows, .n_micro = o->n_micro};
    if (size == 1) return rows;
    rows.first = total * rank / size;
    rows.count = total * (rank + 1) / size - rows.first;
    rows.n_micro = (rows.count + o->micro_rows - 1) / o->micro_rows;
    if (rows.n_micro < 1) rows.n_micro = 1; /* more ranks than rows: padding */
    rows.micro_rows = (rows.count + rows.n_micro - 1) / rows.n_micro;
    if (rows.micro_rows < 1) rows.micro_rows = 1;
    return rows;
}

int64_t trainer_n_valid(const ins_trainer *t, int64_t micro) {
    int64_t left = t->rows.count - micro * t->rows.micro_rows;
    return left < 0 ? 0 : left < t->rows.micro_rows ? left : t->rows.micro_rows;
}

uint64_t trainer_micro_number(const ins_trainer *t, int64_t micro, int32_t *extra) {
    int64_t whole = t->options.micro_rows, first = t->rows.first + micro * t->rows.micro_rows;
    bool same = t->rows.micro_rows == whole && first % whole == 0;
    *extra = same ? 0 : (int32_t)(first + 1);
    return (uint64_t)(t->state.step * t->options.n_micro + first / whole);
}

/* ---- gradients on their way ---- */

static void add_row(ins_trainer *t, int64_t row) {
    ins_params one = *ins_model_params(t->model);
    one.rows += row;
    one.n = 1;
    ins_grads_add(&one, t->micro_grads, t->grads, t->pool);
}

static void on_ready(void *arg, int64_t row) {
    ins_trainer *t = arg;
    if (!t->sending) return;
    if (t->micro_grads) add_row(t, row);
    ins_reducer_row(t->reducer, row);
}
static void on_tick(void *arg) {
    ins_trainer *t = arg;
    if (t->sending) ins_reducer_tick(t->reducer);
}

ins_status trainer_watch_rows(ins_exec *exec, const ins_params *params, const ins_exec_watcher *watcher,
                              ins_error *err) {
    ins_arena *arena = ins_arena_new(0);
    const char **names = ins_calloc((size_t)params->n + 1, sizeof *names);
    bool fine = arena && names;
    for (int64_t i = 0; fine && i < params->n; i++) {
        names[i] = ins_arena_printf(arena, "grad.%s", params->rows[i].name);
        fine = names[i] != NULL;
    }
    ins_status status = fine ? ins_exec_watch(exec, names, params->n, watcher, err)
                             : INS_FAIL(err, INS_NOMEM, "no memory for the names of gradients");
    ins_free(names);
    ins_arena_free(arena);
    return status;
}

ins_status trainer_open_ranks(ins_trainer *t, ins_error *err) {
    const ins_exec_watcher watcher = {.ready = on_ready, .tick = on_tick, .arg = t};
    const ins_params *params = ins_model_params(t->model);
    if (ins_comm_size(t->options.comm) == 1) return INS_OK;
    INS_TRY(ins_reducer_new(t->options.comm, params, t->grads, t->pool, &t->reducer, err));
    return trainer_watch_rows(ins_train_graph_exec(t->graph), params, &watcher, err);
}

/* ---- sums ---- */

ins_status trainer_share_counts(ins_trainer *t, ins_status status, ins_step_report *report, ins_error *err) {
    if (!t->reducer) return status;
    double counts[] = {(double)report->targets, (double)report->tokens, (double)report->text_bytes, status != INS_OK};
    INS_TRY(ins_comm_sum(t->options.comm, counts, 4, err));
    if (counts[3] > 0) return ins_comm_agree(t->options.comm, status, err);
    report->targets = (int64_t)counts[0];
    report->tokens = (int64_t)counts[1];
    report->text_bytes = (int64_t)counts[2];
    return INS_OK;
}

void trainer_begin_sending(ins_trainer *t) {
    if (!t->reducer) return;
    ins_reducer_begin(t->reducer);
    t->sending = true;
}

static double own_square(const ins_trainer *t) {
    double sum = 0;
    for (int64_t i = 0; i < ins_trainer_n_owned(t); i++) {
        int64_t begin, end;
        ins_trainer_owned(t, i, &begin, &end);
        if (end > begin) sum += ins_reduce_sumsq(INS_DTYPE_F32, end - begin, t->grads + begin, t->pool);
    }
    return sum;
}

/* A rank that failed takes part to the end, so that nobody waits for it in vain. */
ins_status trainer_share_sums(ins_trainer *t, ins_status status, trainer_sums *sums, ins_error *err) {
    if (!t->reducer) return status;
    ins_error lost = {0};
    if (!t->sending) trainer_begin_sending(t);
    t->sending = false;
    ins_status finished = ins_reducer_finish(t->reducer, &lost);
    if (finished == INS_OK) {
        double values[] = {sums->loss, sums->correct, sums->bits, own_square(t), status != INS_OK};
        finished = ins_comm_sum(t->options.comm, values, 5, &lost);
        *sums = (trainer_sums){.loss = values[0], .correct = values[1], .bits = values[2], .grad_square = values[3]};
        if (finished == INS_OK && values[4] > 0) return ins_comm_agree(t->options.comm, status, err);
    }
    if (finished != INS_OK && err) *err = lost;
    return finished;
}

ins_status trainer_share_weights(ins_trainer *t, ins_error *err) {
    return t->reducer ? ins_reducer_gather(t->reducer, t->weights, err) : INS_OK;
}

/* ---- what is kept where ---- */

int64_t ins_trainer_n_owned(const ins_trainer *t) {
    return t->reducer ? ins_reducer_n_parts(t->reducer) : 1;
}

void ins_trainer_owned(const ins_trainer *t, int64_t i, int64_t *begin, int64_t *end) {
    *begin = 0;
    *end = ins_model_params(t->model)->slab_count;
    if (t->reducer) ins_reducer_part(t->reducer, i, begin, end);
}

ins_status ins_trainer_collect(ins_trainer *t, ins_error *err) {
    for (int i = 0; t->reducer && i < t->optimizer->n_slots; i++)
        INS_TRY(ins_reducer_collect(t->reducer, t->slots[i], 0, err));
    return INS_OK;
}
