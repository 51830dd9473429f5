/* The probes of a stage: see probe_set.h. */
#include "stage/probe_set.h"

#include "base/file.h"

struct ins_probe_set {
    const ins_stage_context *stage;
    ins_probe_context *contexts;
    void **states;
    const ins_probe **probes;
    int64_t n, n_opened;
};

static ins_status open_one(ins_probe_set *set, int64_t i, bool training, ins_error *err) {
    const ins_probe *probe = set->probes[i];
    if ((probe->needs & INS_PROBE_NEEDS_MODEL) && !set->contexts[i].model) {
        INS_FAIL(err, INS_RECIPE, "probe %s needs a model", probe->head.name);
        ins_error_hint(err, "give the evaluate stage a `model`");
        return INS_RECIPE;
    }
    if ((probe->needs & INS_PROBE_NEEDS_TRAINING) && !training) {
        INS_FAIL(err, INS_RECIPE, "probe %s needs gradients: it works in train stages only", probe->head.name);
        return INS_RECIPE;
    }
    set->n_opened = i + 1; /* close runs even after a failed open */
    ins_status status = probe->open(&set->contexts[i], &set->states[i], err);
    if (status != INS_OK) ins_error_frame(err, "opening probe %s", set->contexts[i].name);
    return status;
}

ins_status ins_probe_set_open(const ins_stage_context *c, const ins_opt_components *probes, const ins_model *model,
                              const ins_tokenizer *tokenizer, ins_dtype compute, bool training, ins_probe_set **out,
                              ins_error *err) {
    ins_probe_set *set = ins_calloc(1, sizeof *set);
    if (!set) return INS_FAIL(err, INS_NOMEM, "no memory for the probes");
    size_t n = (size_t)probes->n + 1;
    set->stage = c;
    set->n = probes->n;
    set->contexts = ins_calloc(n, sizeof *set->contexts);
    set->states = ins_calloc(n, sizeof *set->states);
    set->probes = ins_calloc(n, sizeof *set->probes);
    ins_status status =
        set->contexts && set->states && set->probes ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory for the probes");
    for (int64_t i = 0; i < probes->n && status == INS_OK; i++) {
        set->probes[i] = (const ins_probe *)probes->items[i].desc;
        set->contexts[i] = (ins_probe_context){.options = probes->items[i].options,
                                               .name = set->probes[i]->head.name,
                                               .inputs = c->inputs,
                                               .n_inputs = c->n_inputs,
                                               .model = model,
                                               .tokenizer = tokenizer,
                                               .compute = compute,
                                               .seed = c->seed,
                                               .pool = c->pool,
                                               .log = c->log,
                                               .stop = c->stop};
        status = open_one(set, i, training, err);
    }
    if (status != INS_OK) {
        ins_probe_set_close(set);
        return status;
    }
    *out = set;
    return INS_OK;
}

ins_status ins_probe_set_run(ins_probe_set *set, const ins_probe_state *at, ins_error *err) {
    for (int64_t i = 0; i < set->n; i++) {
        if (set->stage->stop && *set->stage->stop) return INS_FAIL(err, INS_INTERRUPTED, "interrupted while probing");
        ins_status status = set->probes[i]->run(set->states[i], &set->contexts[i], at, set->stage->metrics, err);
        if (status != INS_OK) {
            ins_error_frame(err, "probe %s at step %lld", set->contexts[i].name, (long long)at->step);
            return status;
        }
    }
    return INS_OK;
}

void ins_probe_set_close(ins_probe_set *set) {
    if (!set) return;
    for (int64_t i = 0; i < set->n_opened; i++) set->probes[i]->close(set->states[i]);
    ins_free(set->contexts);
    ins_free(set->states);
    ins_free(set->probes);
    ins_free(set);
}
