/* Running a recipe: every stage that the cache does not have, inputs first; then claims and derived numbers.
 *
 *   RUN/metrics.db  RUN/claims.json  RUN/recipe.lock.yaml  RUN/run.json  RUN/tensorboard/<stage>/
 *   RUN/stages/<stage> -> the cache's folder (its partial one while it is being made)
 */
#ifndef INS_RECIPE_RUN_H
#define INS_RECIPE_RUN_H

#include "recipe/cache.h"
#include "recipe/store.h"

typedef struct ins_run_options {
    const char *run_dir, *cache_dir;
    const char *only;    /* stage or instance: run it and what it needs; NULL = everything */
    const char *command; /* for run.json; may be NULL */
    const char *machine; /* JSON object about the machine, for run.json; may be NULL */
    bool tensorboard;
    ins_pool *pool;
    const ins_log *log;
    const volatile int *stop; /* may be NULL */
    ins_comm *comm;           /* ranks that share the work of stages that can; NULL = this process alone */
} ins_run_options;

typedef struct ins_run_row {
    const ins_instance *instance;
    bool selected, ready, cached;
    bool verified; /* its files were compared with their hashes, or made, in this run */
    ins_stage_result result;
} ins_run_row;

typedef struct ins_run_outcome {
    ins_arena *arena;
    ins_run_row *rows; /* one per instance of the recipe */
    int64_t n_rows;
    ins_claim_result *claims;
    int64_t n_claims;
    bool began; /* the run's folder was this run's: there is something to report */
} ins_run_outcome;

/* Called by all ranks with the same recipe. Rank 0 decides, reads and writes cache, store and run; the others wait for
 * stages that run on all ranks, and their outcome stays empty. The status is the same everywhere.
 * INS_INTERRUPTED after a stop: what is done is kept, and the same call goes on. The outcome is filled as far as things
 * went, also on failure. */
ins_status ins_run(ins_recipe *recipe, const ins_run_options *options, ins_run_outcome *out, ins_error *err);
void ins_run_outcome_free(ins_run_outcome *outcome);
/* {"stages":[...],"claims":[...]} */
void ins_run_outcome_to_json(const ins_run_outcome *outcome, ins_str *out);

/* INS_RECIPE with the nearest name when `only` names nothing. selected[n_instances] gets the closure. */
ins_status ins_run_select(const ins_recipe *recipe, const char *only, bool *selected, ins_error *err);
/* Of an instance, with inputs' folders where they are complete (else NULL). In the arena; NULL on OOM. */
ins_stage_input *ins_run_inputs(const ins_recipe *recipe, const ins_instance *instance, const ins_cache *cache,
                                ins_arena *arena);
/* Numbers of a manifest's "result". */
ins_stage_result ins_manifest_result(const json_t *manifest);

#endif
