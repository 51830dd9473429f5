/* Probe stats: norms of parameters, gradients and updates, by part of the model, and the ratio of update to parameter:
 * the first thing to look at when training goes wrong. Parts: embed, head, and per layer attention and MLP, norms.
 *
 *   stats/PART.param     root mean square of the weights
 *   stats/PART.grad      root mean square of the last gradient
 *   stats/PART.update    norm of the last update / norm of the weights (about 1e-3 is usual)
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernel/reduce.h"
#include "probe/probe_common.h"

typedef struct stats_options {
    bool per_layer;
} stats_options;

static const ins_opt_row rows[] = {
    {.name = "per_layer",
     .type = INS_OPT_BOOL,
     .offset = offsetof(stats_options, per_layer),
     .def = "true",
     .help = "One set of numbers a layer; false sums the layers up."},
    {0},
};
static const ins_opt_table table = {"probe stats", rows, sizeof(stats_options)};

enum { PART_NAME = 48, MAX_PARTS = 512 };
typedef struct stats_part {
    char name[PART_NAME];
    double count, param2, grad2, update2;
} stats_part;
typedef struct stats_state {
    stats_part parts[MAX_PARTS];
    int n;
    float *difference; /* of the largest row */
} stats_state;

/* Part of a parameter, from its Hugging Face name: the first number is the layer. */
static void part_name(const char *param, bool per_layer, char out[PART_NAME]) {
    int layer = -1;
    for (const char *p = param; *p && layer < 0; p++) {
        if (p[0] == '.' && p[1] >= '0' && p[1] <= '9') sscanf(p + 1, "%d", &layer);
    }
    bool norm = strstr(param, "norm") || strstr(param, "ln_");
    const char *kind = norm ? "norm" : strstr(param, "attn") || strstr(param, "attention") ? "attn" : "mlp";
    if (layer < 0) {
        snprintf(out, PART_NAME, "%s", norm ? "final_norm" : strstr(param, "head") ? "head" : "embed");
    } else if (per_layer) {
        snprintf(out, PART_NAME, "layer%02d.%s", layer, kind);
    } else {
        snprintf(out, PART_NAME, "layers.%s", kind);
    }
}

static stats_part *find_part(stats_state *s, const char *name) {
    for (int i = 0; i < s->n; i++) {
        if (strcmp(s->parts[i].name, name) == 0) return &s->parts[i];
    }
    if (s->n == MAX_PARTS) return &s->parts[MAX_PARTS - 1]; /* a model of over 150 layers: the rest share one part */
    snprintf(s->parts[s->n].name, PART_NAME, "%s", name);
    return &s->parts[s->n++];
}

static ins_status stats_open(const ins_probe_context *c, void **state, ins_error *err) {
    const ins_params *params = ins_model_params(c->model);
    int64_t largest = 1;
    for (int64_t i = 0; i < params->n; i++) largest = params->rows[i].count > largest ? params->rows[i].count : largest;
    stats_state *s = ins_calloc(1, sizeof *s);
    *state = s;
    if (s) s->difference = ins_malloc((size_t)largest * sizeof(float));
    return s && s->difference ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory for probe stats");
}

static void add_row(stats_state *s, const ins_probe_context *c, const ins_param *row, const ins_probe_state *at) {
    const stats_options *o = c->options;
    char name[PART_NAME];
    part_name(row->name, o->per_layer, name);
    stats_part *part = find_part(s, name);
    const float *weights = (at->trained ? at->trained : at->weights) + row->offset;
    part->count += (double)row->count;
    part->param2 += ins_reduce_sumsq(INS_DTYPE_F32, row->count, weights, c->pool);
    if (at->grads) part->grad2 += ins_reduce_sumsq(INS_DTYPE_F32, row->count, at->grads + row->offset, c->pool);
    if (!at->previous) return;
    const float *before = at->previous + row->offset;
    for (int64_t i = 0; i < row->count; i++) s->difference[i] = weights[i] - before[i];
    part->update2 += ins_reduce_sumsq(INS_DTYPE_F32, row->count, s->difference, c->pool);
}

static ins_status stats_run(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                            ins_error *err) {
    stats_state *s = state;
    const ins_params *params = ins_model_params(c->model);
    s->n = 0;
    memset(s->parts, 0, sizeof s->parts);
    for (int64_t i = 0; i < params->n; i++) add_row(s, c, &params->rows[i], at);
    for (int i = 0; i < s->n; i++) {
        const stats_part *p = &s->parts[i];
        INS_TRY(ins_probe_value(m, at, "stats", p->name, "param", sqrt(p->param2 / p->count), err));
        if (at->grads) INS_TRY(ins_probe_value(m, at, "stats", p->name, "grad", sqrt(p->grad2 / p->count), err));
        if (at->previous && p->param2 > 0)
            INS_TRY(ins_probe_value(m, at, "stats", p->name, "update", sqrt(p->update2 / p->param2), err));
    }
    return INS_OK;
}

static void stats_close(void *state) {
    stats_state *s = state;
    if (s) ins_free(s->difference);
    ins_free(s);
}

const ins_probe ins_probe_stats = {
    .head = {.family = "probe",
             .name = "stats",
             .summary = "Norms of parameters, gradients and updates, by part of the model.",
             .version = 1,
             .options = &table},
    .needs = INS_PROBE_NEEDS_MODEL | INS_PROBE_NEEDS_TRAINING,
    .open = stats_open,
    .run = stats_run,
    .close = stats_close,
};
