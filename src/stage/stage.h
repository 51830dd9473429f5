/* Stage kinds. The recipe engine resolves options and inputs, gives the stage a folder, and calls run; the stage
 * resumes from whatever it finds there. The engine alone knows about the DAG, the cache and the run.
 */
#ifndef INS_STAGE_STAGE_H
#define INS_STAGE_STAGE_H

#include "dist/comm.h"
#include "probe/probe.h"

typedef struct ins_stage_result {
    double seconds; /* of all attempts; the engine measures it */
    int64_t steps, tokens;
    double flop; /* matmul + attention, whole stage */
    double peak_bytes;
    double mfu; /* achieved / measured peak; 0 = not applicable */
    double tokens_per_s;
} ins_stage_result;

typedef struct ins_stage_context {
    const void *options; /* parsed rows of the kind */
    const char *name;    /* full instance name: "far[arm=with,seed=1]" */
    const ins_stage_input
        *inputs; /* everything that INS_OPT_INPUT rows name, in the rows' order; `ref` is the text in the options */
    int64_t n_inputs;
    const char *dir; /* the stage's folder: exists, private to it, kept when the process dies, becomes the output */
    uint64_t seed;   /* (recipe seed or matrix seed); streams are derived from it and the stage's own names */
    ins_pool *pool;
    const ins_log *log;
    const ins_metrics *metrics;
    const volatile int *stop; /* becomes 1 on Ctrl-C: save and return INS_INTERRUPTED soon */
    ins_stage_result *result;
    const char *cache_dir; /* where measurements of this machine are kept; NULL = nowhere */
    /* Ranks that run this stage together (kinds with on_ranks); NULL = this process alone. Rank 0 alone writes the
     * folder and records metrics (those of the others go nowhere), and what it decides by the clock goes for all. */
    ins_comm *comm;
} ins_stage_context;

const ins_stage_input *ins_stage_input_find(const ins_stage_context *c, const char *ref); /* NULL if none */
/* Folder of an input that is there; INS_BUG when the engine did not resolve it. */
ins_status ins_stage_input_dir(const ins_stage_context *c, const char *ref, const char **dir, ins_error *err);

/* Forget metrics of an earlier attempt at this stage: for stages that start over. */
ins_status ins_metrics_start(const ins_stage_context *c, ins_error *err);

/* What `instar plan` prints, from options and inputs alone (inputs that are not built yet have dir NULL). */
typedef struct ins_stage_way {
    const char *name; /* "none", "cheap", "layers"; static */
    double peak_bytes, seconds;
} ins_stage_way;
typedef struct ins_stage_plan {
    int64_t params;
    double peak_bytes, disk_bytes, flop, seconds; /* 0 = unknown */
    int64_t steps, tokens;
    ins_stage_way recompute[3]; /* what the ways to save memory would take */
    int n_recompute, chosen;    /* 0 = there is no such choice; which of them the stage takes */
} ins_stage_plan;

typedef struct ins_stage {
    ins_component head; /* family "stage" */
    const char *output; /* what others can use it as: "corpus", "tokens", "model", "text", "metrics", "files" */
    const char *inputs; /* for messages: "corpus" ... which outputs its references must be; checked by the engine per
                           row via `unit` of INS_OPT_INPUT rows ("corpus", "tokens", "model") */
    /* Content of outside files the options name, appended to the cache key. NULL = none. */
    ins_status (*fingerprint)(const void *options, const ins_log *log, ins_str *out, ins_error *err);
    ins_status (*plan)(const ins_stage_context *c, ins_stage_plan *out, ins_error *err); /* NULL = unknown */
    ins_status (*run)(const ins_stage_context *c, ins_error *err);
    bool on_ranks; /* run is called on all ranks of a launch; others run on rank 0 while the rest wait */
} ins_stage;
extern const ins_family ins_family_stage;

/* ---- folders that stages leave ----
 * build-data: train/valid/test.jsonl.zst, corpus.json
 * tokenize:   tokenizer.json, CORPUSREF/train.shard valid.shard test.shard, each with its counts in SPLIT.json
 * train:      checkpoints/step-%09d/ for each probed step and the end: a Hugging Face folder with tokenizer.json,
 *             state.json and manifest.json; train.json: what was decided at the start, and that it is done
 * generate:   samples.jsonl
 * evaluate:   results.json
 * export:     a Hugging Face folder
 */

/* ---- checkpoints (src/stage/checkpoint.c) ---- */
/* Newest complete checkpoint of a train stage's folder (step < 0), or exactly `step`. Verifies the manifest's hashes;
 * falls back to the previous complete one with a warning when step < 0. Path into buf. INS_MODEL if there is none. */
ins_status ins_checkpoint_find(const char *stage_dir, int64_t step, const ins_log *log, char *buf, size_t size,
                               int64_t *found_step, ins_error *err);
/* Folder that ins_model_load reads for a finished stage: the checkpoint of a train stage (step < 0: the last), or the
 * stage's own folder for kinds that leave a Hugging Face folder. found_step may be NULL. */
ins_status ins_stage_model_dir(const ins_stage_input *input, int64_t step, const ins_log *log, char *buf, size_t size,
                               int64_t *found_step, ins_error *err);
/* All complete steps, ascending; ins_free(*steps). */
ins_status ins_checkpoint_list(const char *stage_dir, int64_t **steps, int64_t *n, ins_error *err);

#endif
