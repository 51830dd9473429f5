/* The first batch of a train stage, token by token. */
#include <string.h>

#include "api/api_internal.h"
#include "base/mem.h"
#include "data/batch.h"
#include "stage/train_run.h"

static void put_token(const ins_train_run *run, const ins_batch *batch, int64_t at, bool colour, ins_str *out) {
    size_t n = 0;
    bool special = false;
    const char *text = ins_tokenizer_token(run->tokenizer, batch->ids[at], &n, &special);
    /* A token is in the loss when the position before it has it as its target. */
    bool in_loss =
        at % batch->n_cols > 0 && batch->weights[at - 1] > 0 && batch->segments[at - 1] == batch->segments[at];
    if (colour) ins_str_puts(out, special ? "\033[35m" : in_loss ? "\033[32m" : "\033[2m");
    if (!colour) ins_str_putc(out, in_loss ? '[' : '(');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            ins_str_puts(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            ins_str_printf(out, "\\x%02x", c);
        else
            ins_str_putc(out, (char)c);
    }
    if (!colour) ins_str_putc(out, in_loss ? ']' : ')');
    if (colour) ins_str_puts(out, "\033[0m\033[90m|\033[0m");
}

static void put_batch(const ins_train_run *run, const ins_batch *batch, bool colour, ins_str *out) {
    ins_str_printf(out, "%lld rows of %lld positions: %lld tokens, %lld in the loss\n", (long long)batch->n_rows,
                   (long long)batch->n_cols, (long long)batch->n_tokens, (long long)batch->n_targets);
    ins_str_puts(out,
                 colour ? "green: in the loss; grey: not; purple: special\n" : "[in the loss] (not in the loss)\n");
    for (int64_t row = 0; row < batch->n_rows; row++) {
        ins_str_printf(out, "\nrow %lld, from %s\n", (long long)row, run->sources[batch->sources[row]].name);
        int32_t segment = 1;
        for (int64_t col = 0; col < batch->n_cols; col++) {
            int64_t at = row * batch->n_cols + col;
            if (batch->segments[at] == 0) continue;
            if (batch->segments[at] != segment) ins_str_puts(out, "\n--\n");
            segment = batch->segments[at];
            put_token(run, batch, at, colour, out);
        }
        ins_str_putc(out, '\n');
    }
}

/* What the trainer would be given at position 0. */
static ins_status show(const ins_stage_context *c, int64_t rows, bool colour, ins_str *out, ins_error *err) {
    ins_train_run run = {.c = c, .options = c->options, .arena = ins_arena_new(0)};
    ins_batch *batch = NULL;
    ins_status status =
        run.arena ? ins_train_open_model(&run, err) : INS_FAIL(err, INS_NOMEM, "out of memory while making a batch");
    if (status == INS_OK) status = ins_train_choose_sizes(&run, err);
    if (status == INS_OK) status = ins_train_open_data(&run, err);
    if (status == INS_OK) status = ins_batch_new(rows, run.trainer_options.context, &batch, err);
    if (status == INS_OK) {
        const ins_objective *objective = (const ins_objective *)run.options->objective.desc;
        ins_mixture_batch(run.mixture, 0, batch);
        if (objective->prepare)
            status =
                objective->prepare(run.options->objective.options, batch, ins_rng_derive(c->seed, "prepare", 0), err);
    }
    if (status == INS_OK) put_batch(&run, batch, colour, out);
    ins_batch_free(batch);
    ins_train_close(&run);
    return status;
}

static ins_status show_instance(instar *session, const ins_recipe *recipe, const ins_cache *cache, const char *stage,
                                int64_t rows, bool colour, ins_str *out, ins_error *err) {
    static const volatile int never = 0;
    const ins_instance *instance = NULL;
    ins_stage_result result = {0};
    INS_TRY(api_instance(recipe, stage, &instance, err));
    if (strcmp(instance->definition->kind->head.name, "train") != 0)
        return INS_FAIL(err, INS_USAGE, "'%s' is a %s stage: only train stages have batches", stage,
                        instance->definition->kind->head.name);
    ins_stage_input *inputs = ins_run_inputs(recipe, instance, cache, recipe->arena);
    if (!inputs) return INS_FAIL(err, INS_NOMEM, "out of memory while making a batch");
    for (int64_t i = 0; i < instance->n_inputs; i++) {
        if (inputs[i].dir) continue;
        INS_FAIL(err, INS_ENV, "the input '%s' of '%s' is not built yet", inputs[i].ref, stage);
        ins_error_hint(err, "run it first: instar run %s --only %s", recipe->path, inputs[i].ref);
        return INS_ENV;
    }
    ins_stage_context context = {.options = instance->variant->options,
                                 .name = instance->name,
                                 .inputs = inputs,
                                 .n_inputs = instance->n_inputs,
                                 .seed = instance->seed,
                                 .pool = session->pool,
                                 .log = &session->log,
                                 .stop = &never,
                                 .result = &result};
    return show(&context, rows > 0 ? rows : 2, colour, out, err);
}

instar_status instar_show_batch(instar *session, const instar_recipe *recipe, const char *stage, int64_t rows,
                                bool colour, char **text) {
    ins_recipe *loaded = NULL;
    ins_cache cache;
    ins_error err = {0};
    ins_str out = {0};
    api_begin(session);
    instar_status loading = api_load_keyed(session, recipe, &loaded, &cache);
    if (loading != INSTAR_OK) return loading;
    ins_status status = show_instance(session, loaded, &cache, stage, rows, colour, &out, &err);
    ins_recipe_free(loaded);
    if (status == INS_OK) return api_give(session, &out, text);
    ins_str_free(&out);
    return api_end(session, status, &err);
}
