/* The first batch of a train stage, token by token. */
#include <string.h>

#include "api/api_internal.h"
#include "stage/train_show.h"

/* A token is in the loss when the position before it, in the same document, has it as its target. */
static bool is_in_loss(const ins_shown_row *row, int64_t at) {
    return at > 0 && row->tokens[at - 1].weight > 0 && row->tokens[at - 1].segment == row->tokens[at].segment;
}

static void put_token(const ins_shown_row *row, int64_t at, bool colour, ins_str *out) {
    const ins_shown_token *token = &row->tokens[at];
    bool in_loss = is_in_loss(row, at);
    if (colour)
        ins_str_puts(out, token->special ? "\033[35m" : in_loss ? "\033[32m" : "\033[2m");
    else
        ins_str_putc(out, in_loss ? '[' : '(');
    for (size_t i = 0; i < token->n; i++) {
        unsigned char c = (unsigned char)token->text[i];
        if (c == '\n')
            ins_str_puts(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            ins_str_printf(out, "\\x%02x", c);
        else
            ins_str_putc(out, (char)c);
    }
    if (colour)
        ins_str_puts(out, "\033[0m\033[90m|\033[0m");
    else
        ins_str_putc(out, in_loss ? ']' : ')');
}

static void put_view(const ins_train_view *view, bool colour, ins_str *out) {
    ins_str_printf(out, "a step is %lld rows of %lld positions\n", (long long)view->step_rows,
                   (long long)view->context);
    for (int64_t i = 0; i < view->n_sources; i++) {
        const ins_shown_source *source = &view->sources[i];
        ins_str_printf(out, "  %s: %.1f %% of the samples, %lld rows, %.1f %% of their positions are tokens\n",
                       source->name, 100 * source->share, (long long)source->rows, 100 * source->fill);
    }
    ins_str_puts(out,
                 colour ? "green: in the loss; grey: not; purple: special\n" : "[in the loss] (not in the loss)\n");
    for (int64_t i = 0; i < view->n_rows; i++) {
        const ins_shown_row *row = &view->rows[i];
        ins_str_printf(out, "\nrow %lld, from %s: %lld tokens\n", (long long)i, row->source, (long long)row->n);
        for (int64_t k = 0; k < row->n; k++) {
            if (k > 0 && row->tokens[k].segment != row->tokens[k - 1].segment) ins_str_puts(out, "\n--\n");
            put_token(row, k, colour, out);
        }
        ins_str_putc(out, '\n');
    }
}

static ins_status show(const ins_stage_context *c, int64_t rows, bool colour, ins_str *out, ins_error *err) {
    ins_train_view view;
    INS_TRY(ins_train_show(c, 0, rows, &view, err));
    put_view(&view, colour, out);
    ins_train_view_free(&view);
    return INS_OK;
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
