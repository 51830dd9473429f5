/* What several probes use: see probe_common.h. */
#include "probe/probe_common.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "data/tokens_folder.h"

ins_status ins_probe_input(const ins_probe_context *c, const char *ref, const ins_stage_input **out, ins_error *err) {
    for (int64_t i = 0; i < c->n_inputs; i++) {
        if (strcmp(c->inputs[i].ref, ref) != 0) continue;
        *out = &c->inputs[i];
        return INS_OK;
    }
    return INS_FAIL(err, INS_BUG, "probe %s: input '%s' was not resolved", c->name, ref);
}

ins_status ins_probe_value(const ins_metrics *m, const ins_probe_state *at, const char *kind, const char *name,
                           const char *extra, double value, ins_error *err) {
    char full[256];
    int n = snprintf(full, sizeof full, "%s/%s%s%s", kind, name, extra ? "." : "", extra ? extra : "");
    if (n < 0 || (size_t)n >= sizeof full) return INS_FAIL(err, INS_RECIPE, "probe name '%s' is too long", name);
    return m->value(m->arg, at->step, at->tokens, full, value, err);
}

ins_status ins_probe_open_shard(const ins_probe_context *c, const char *tokens, const char *corpus, const char *split,
                                ins_shard *out, ins_error *err) {
    const ins_stage_input *input = NULL;
    char folder[512], path[4096 + 600];
    INS_TRY(ins_probe_input(c, tokens, &input, err));
    ins_tokens_folder(corpus, folder, sizeof folder);
    snprintf(path, sizeof path, "%s/%s/%s.shard", input->dir, folder, split);
    if (!ins_file_exists(path)) {
        INS_FAIL(err, INS_RECIPE, "stage %s has no tokens of corpus '%s', split %s", tokens, corpus, split);
        ins_error_hint(err, "`corpus` must be one of that stage's `corpora`; a split is empty when its share is 0");
        return INS_RECIPE;
    }
    return ins_shard_open(path, 0, c->pool, out, err);
}
