/* Stage evaluate: probes on a finished model, at its last or at all kept checkpoints; or probes that need no model
 * (baselines). Leaves results.json: every value by checkpoint. Starts over when restarted: it is cheap and writes
 * nothing before the end. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "format/json.h"
#include "stage/model_use.h"
#include "stage/probe_set.h"

typedef struct evaluate_options {
    const char *model;
    ins_opt_strings at;
    ins_opt_components probes;
    int precision;
} evaluate_options;

#define ROW(field) offsetof(evaluate_options, field)
static const ins_opt_row rows[] = {
    {.name = "model",
     .type = INS_OPT_STRING,
     .offset = ROW(model),
     .unit = "model",
     .flags = INS_OPT_INPUT,
     .help = "Stage whose model is measured; leave it out for baselines that need none."},
    {.name = "at",
     .type = INS_OPT_STRINGS,
     .offset = ROW(at),
     .def = "last",
     .help = "Which checkpoints: last, all, or a list of steps."},
    {.name = "probes",
     .type = INS_OPT_COMPONENTS,
     .offset = ROW(probes),
     .choices = "probe",
     .flags = INS_OPT_REQUIRED,
     .help = "What to measure."},
    {.name = "precision",
     .type = INS_OPT_CHOICE,
     .offset = ROW(precision),
     .def = "auto",
     .choices = "auto f32 bf16",
     .help = "Of matrix products."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"stage evaluate", rows, sizeof(evaluate_options)};

/* Passes records on and keeps the values for results.json. */
typedef struct result_sink {
    const ins_metrics *to;
    json_t *list;
} result_sink;

static ins_status keep_value(void *arg, int64_t step, int64_t tokens, const char *name, double value, ins_error *err) {
    result_sink *s = arg;
    json_t *row = json_pack("{s:I, s:s, s:f}", "step", (json_int_t)step, "metric", name, "value", value);
    if (!row || json_array_append_new(s->list, row)) return INS_FAIL(err, INS_NOMEM, "no memory for the results");
    return s->to->value(s->to->arg, step, tokens, name, value, err);
}
static ins_status pass_text(void *arg, int64_t step, int64_t tokens, const char *name, const char *text,
                            ins_error *err) {
    result_sink *s = arg;
    return s->to->text(s->to->arg, step, tokens, name, text, err);
}
static ins_status pass_truncate(void *arg, int64_t step, ins_error *err) {
    result_sink *s = arg;
    return s->to->truncate(s->to->arg, step, err);
}
static ins_status pass_flush(void *arg, ins_error *err) {
    result_sink *s = arg;
    return s->to->flush(s->to->arg, err);
}

static ins_status measure(const ins_stage_context *c, const ins_model_use *use, ins_error *err) {
    const evaluate_options *o = c->options;
    ins_probe_set *set = NULL;
    ins_probe_state at = {
        .step = use ? use->step : 0, .tokens = use ? use->tokens : 0, .weights = use ? use->weights : NULL};
    INS_TRY(ins_probe_set_open(c, &o->probes, use ? use->model : NULL, use ? use->tokenizer : NULL,
                               use ? use->compute : INS_DTYPE_F32, false, &set, err));
    ins_status status = ins_probe_set_run(set, &at, err);
    ins_probe_set_close(set);
    return status;
}

static ins_status measure_all(const ins_stage_context *c, ins_error *err) {
    const evaluate_options *o = c->options;
    int64_t *steps = NULL, n = 0;
    if (!o->model) return measure(c, NULL, err);
    INS_TRY(ins_model_steps(c, o->model, &o->at, &steps, &n, err));
    ins_status status = INS_OK;
    double started = ins_now();
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        ins_model_use use;
        status = ins_model_use_open(&use, c, o->model, steps[i], o->precision, err);
        if (status == INS_OK) status = measure(c, &use, err);
        ins_model_use_close(&use);
        double rate = (double)(i + 1) / (ins_now() - started);
        ins_progress p = {.what = c->name,
                          .unit = "checkpoints",
                          .done = (double)(i + 1),
                          .total = (double)n,
                          .rate = rate,
                          .eta_s = (double)(n - i - 1) / rate};
        ins_log_progress(c->log, &p);
    }
    ins_free(steps);
    return status;
}

static ins_status run(const ins_stage_context *c, ins_error *err) {
    char path[4200];
    result_sink sink = {c->metrics, json_array()};
    if (!sink.list) return INS_FAIL(err, INS_NOMEM, "no memory for the results");
    ins_metrics keep = {&sink, keep_value, pass_text, pass_truncate, pass_flush};
    ins_stage_context inner = *c;
    inner.metrics = &keep;
    ins_status status = ins_metrics_start(c, err);
    if (status == INS_OK) status = measure_all(&inner, err);
    if (status == INS_OK) status = ins_path_join(c->dir, "results.json", path, sizeof path, err);
    if (status == INS_OK) status = ins_json_write_file(path, sink.list, true, err);
    if (status == INS_OK) status = c->metrics->flush(c->metrics->arg, err);
    json_decref(sink.list);
    return status;
}

static void check(const void *options, ins_pos pos, ins_diag *diag) {
    const evaluate_options *o = options;
    ins_model_steps_check(&o->at, pos, diag);
    for (int64_t i = 0; i < o->probes.n; i++) {
        const ins_probe *probe = (const ins_probe *)o->probes.items[i].desc;
        if (!probe) continue;
        if (probe->needs & INS_PROBE_NEEDS_TRAINING) {
            ins_diag_add(diag, INS_RECIPE, o->probes.items[i].pos, "use it in a train stage",
                         "probe %s needs gradients", probe->head.name);
        } else if ((probe->needs & INS_PROBE_NEEDS_MODEL) && !o->model) {
            ins_diag_add(diag, INS_RECIPE, o->probes.items[i].pos, "give the stage a `model`", "probe %s needs a model",
                         probe->head.name);
        }
    }
}

static ins_status plan(const ins_stage_context *c, ins_stage_plan *out, ins_error *err) {
    const evaluate_options *o = c->options;
    (void)err;
    ins_model_plan(c, o->model, out, NULL);
    return INS_OK;
}

const ins_stage ins_stage_evaluate = {
    .head = {.family = "stage",
             .name = "evaluate",
             .summary = "Run probes on a finished model at chosen checkpoints, or baselines that need no model.",
             .version = 2,
             .options = &table,
             .check = check},
    .output = "metrics",
    .inputs = "model corpus tokens",
    .plan = plan,
    .run = run,
};
