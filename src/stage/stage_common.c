/* What every stage kind uses. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "stage/stage.h"

const ins_stage_input *ins_stage_input_find(const ins_stage_context *c, const char *ref) {
    for (int64_t i = 0; ref && i < c->n_inputs; i++) {
        if (strcmp(c->inputs[i].ref, ref) == 0) return &c->inputs[i];
    }
    return NULL;
}

ins_status ins_stage_input_dir(const ins_stage_context *c, const char *ref, const char **dir, ins_error *err) {
    const ins_stage_input *input = ins_stage_input_find(c, ref);
    if (!input || !input->dir)
        return INS_FAIL(err, INS_BUG, "stage %s: input '%s' was not resolved", c->name, ref ? ref : "(none)");
    *dir = input->dir;
    return INS_OK;
}

ins_status ins_metrics_start(const ins_stage_context *c, ins_error *err) {
    return c->metrics->truncate(c->metrics->arg, -1, err);
}

ins_status ins_stage_model_dir(const ins_stage_input *input, int64_t step, const ins_log *log, char *buf, size_t size,
                               int64_t *found_step, ins_error *err) {
    char path[4096];
    if (!input || !input->dir) return INS_FAIL(err, INS_BUG, "a model was asked for that was not resolved");
    INS_TRY(ins_path_join(input->dir, "model.safetensors", path, sizeof path, err));
    if (!ins_file_exists(path)) return ins_checkpoint_find(input->dir, step, log, buf, size, found_step, err);
    if (step > 0) {
        INS_FAIL(err, INS_RECIPE, "%s holds one model: it has no checkpoint of step %lld", input->ref, (long long)step);
        ins_error_hint(err, "use `at: last`");
        return INS_RECIPE;
    }
    int written = snprintf(buf, size, "%s", input->dir);
    if (written < 0 || (size_t)written >= size) return INS_FAIL(err, INS_USAGE, "path too long: %s", input->dir);
    if (found_step) *found_step = 0;
    return INS_OK;
}
