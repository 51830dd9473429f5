/* A finished stage's model in hand: see model_use.h. */
#include "stage/model_use.h"

#include <string.h>

#include "base/file.h"
#include "format/json.h"

static ins_status open_tokenizer(ins_model_use *use, ins_error *err) {
    char path[4200];
    INS_TRY(ins_path_join(use->dir, "tokenizer.json", path, sizeof path, err));
    if (ins_file_exists(path)) return ins_tokenizer_load(path, &use->tokenizer, err);
    INS_FAIL(err, INS_MODEL, "%s has no tokenizer.json", use->dir);
    ins_error_hint(err, "a model to measure or to write with needs its tokenizer beside its weights");
    return INS_MODEL;
}

static int64_t tokens_seen(const char *dir) {
    char path[4200];
    json_t *state = NULL;
    int64_t tokens = 0;
    if (ins_path_join(dir, "state.json", path, sizeof path, NULL) != INS_OK || !ins_file_exists(path)) return 0;
    if (ins_json_read_file(path, 1u << 24, &state, NULL) != INS_OK) return 0;
    if (ins_json_get_int(state, "tokens", &tokens, NULL) != INS_OK || tokens < 0) tokens = 0;
    json_decref(state);
    return tokens;
}

ins_status ins_model_use_open(ins_model_use *use, const ins_stage_context *c, const char *ref, int64_t step,
                              int precision, ins_error *err) {
    char why[160];
    *use = (ins_model_use){0};
    INS_TRY(
        ins_stage_model_dir(ins_stage_input_find(c, ref), step, c->log, use->dir, sizeof use->dir, &use->step, err));
    INS_TRY(ins_model_load(use->dir, &use->model, &use->weights, err));
    INS_TRY(open_tokenizer(use, err));
    use->tokens = tokens_seen(use->dir);
    return ins_precision_choose((ins_precision)precision, &use->compute, why, err);
}

void ins_model_use_close(ins_model_use *use) {
    if (use->weights) ins_slab_free(ins_model_params(use->model), use->weights);
    ins_model_free(use->model);
    ins_tokenizer_free(use->tokenizer);
    *use = (ins_model_use){0};
}

void ins_model_plan(const ins_stage_context *c, const char *ref, ins_stage_plan *out, double *token_flops) {
    const ins_stage_input *input = ref ? ins_stage_input_find(c, ref) : NULL;
    ins_model *model = NULL;
    float *weights = NULL;
    char dir[4096];
    *out = (ins_stage_plan){0};
    if (token_flops) *token_flops = 0;
    if (!input || !input->dir) return;
    if (ins_stage_model_dir(input, -1, NULL, dir, sizeof dir, NULL, NULL) != INS_OK) return;
    if (ins_model_load(dir, &model, &weights, NULL) != INS_OK) return;
    out->params = ins_model_params(model)->n_elements;
    out->peak_bytes = 6.0 * (double)out->params; /* f32, and in bf16 */
    if (token_flops) *token_flops = ins_model_flops_per_token(model, ins_model_get_options(model)->max_positions / 2);
    ins_slab_free(ins_model_params(model), weights);
    ins_model_free(model);
}

static bool parse_step(const char *text, int64_t *step) {
    return ins_parse_size(text, step) && *step >= 0;
}

void ins_model_steps_check(const ins_opt_strings *at, ins_pos pos, ins_diag *diag) {
    for (int64_t i = 0; i < at->n; i++) {
        int64_t step;
        bool word = strcmp(at->items[i], "last") == 0 || strcmp(at->items[i], "all") == 0;
        if ((word && at->n == 1) || parse_step(at->items[i], &step)) continue;
        ins_diag_add(diag, INS_RECIPE, at->pos ? at->pos[i] : pos, NULL,
                     "at: '%s' is neither last, nor all, nor a list of steps", at->items[i]);
    }
}

ins_status ins_model_steps(const ins_stage_context *c, const char *ref, const ins_opt_strings *at, int64_t **steps,
                           int64_t *n, ins_error *err) {
    if (at->n == 1 && strcmp(at->items[0], "all") == 0) {
        const char *dir = NULL;
        INS_TRY(ins_stage_input_dir(c, ref, &dir, err));
        INS_TRY(ins_checkpoint_list(dir, steps, n, err));
        if (*n > 0) return INS_OK;
        ins_free(*steps); /* a plain folder: its one model */
    }
    int64_t *list = ins_malloc((size_t)(at->n + 1) * sizeof *list), count = 0;
    if (!list) return INS_FAIL(err, INS_NOMEM, "no memory for the list of steps");
    for (int64_t i = 0; i < at->n; i++) {
        if (!parse_step(at->items[i], &list[count])) list[count] = -1;
        count++;
    }
    if (count == 0) list[count++] = -1;
    *steps = list;
    *n = count;
    return INS_OK;
}
