/* Probes: what is measured at checkpoints of every stage, and by evaluate stages. A probe is opened once a stage (it
 * may load corpora and build graphs), run at each chosen checkpoint, and closed.
 */
#ifndef INS_PROBE_PROBE_H
#define INS_PROBE_PROBE_H

#include "base/log.h"
#include "base/pool.h"
#include "model/model.h"
#include "text/tokenizer.h"

/* A finished stage that options refer to by name. */
typedef struct ins_stage_input {
    const char *ref;  /* as written in the recipe: "far_data" */
    const char *kind; /* stage kind: "build-data", "tokenize", "train", ... */
    const char *dir;  /* its output folder */
    const char *key;  /* its content key */
} ins_stage_input;

/* Where results go. Metrics are doubles by name:
 *   KIND/NAME         the probe's main value: "bpb/near", "choice/section"; NAME is the probe's `name` option
 *   KIND/NAME.se      its standard error, where there is one
 *   KIND/NAME.EXTRA   whatever else it measures: "bpb/near.accuracy", "choice/section.majority"
 *   train/loss ...    what the train stage itself records; data/..., tokens/... likewise
 * Texts are samples. */
typedef struct ins_metrics {
    void *arg;
    ins_status (*value)(void *arg, int64_t step, int64_t tokens, const char *name, double value, ins_error *err);
    ins_status (*text)(void *arg, int64_t step, int64_t tokens, const char *name, const char *text, ins_error *err);
    /* Resuming at `step`: forget everything recorded for later steps. */
    ins_status (*truncate)(void *arg, int64_t step, ins_error *err);
    ins_status (*flush)(void *arg, ins_error *err); /* durable */
} ins_metrics;

typedef struct ins_probe_context {
    const void *options;           /* parsed rows of the probe */
    const char *name;              /* metric prefix given in the recipe, else the probe's kind */
    const ins_stage_input *inputs; /* all inputs of the stage */
    int64_t n_inputs;
    const ins_model *model;         /* NULL for probes without INS_PROBE_NEEDS_MODEL */
    const ins_tokenizer *tokenizer; /* the model's, or NULL */
    ins_dtype compute;
    uint64_t seed;
    ins_pool *pool;
    const ins_log *log;
    const volatile int *stop; /* becomes 1 on Ctrl-C; long probes return INS_INTERRUPTED */
} ins_probe_context;

/* What exists at the moment of the measurement; slabs may be NULL (evaluate stages have weights only). */
typedef struct ins_probe_state {
    int64_t step, tokens;
    float *weights;            /* slab */
    const float *grads;        /* of the last step */
    const float *const *slots; /* optimizer slots */
    int n_slots;
    const float *previous; /* weights before the last update */
    double lr;
    /* The weights being trained, where `weights` is their average; the same otherwise. NULL in evaluate stages. */
    const float *trained;
} ins_probe_state;

enum { INS_PROBE_NEEDS_MODEL = 1, INS_PROBE_NEEDS_TRAINING = 2 /* gradients, optimizer state */ };

typedef struct ins_probe {
    ins_component head; /* family "probe" */
    unsigned needs;
    const char *unit;   /* of the main metric */
    const char *better; /* "lower", "higher" or NULL */
    ins_status (*open)(const ins_probe_context *c, void **state, ins_error *err);
    ins_status (*run)(void *state, const ins_probe_context *c, const ins_probe_state *at, const ins_metrics *m,
                      ins_error *err);
    void (*close)(void *state); /* always called, also after a failed open (state may be NULL) */
} ins_probe;
extern const ins_family ins_family_probe;

#endif
