/* Shared by the files of a run. */
#ifndef INS_RECIPE_RUN_INTERNAL_H
#define INS_RECIPE_RUN_INTERNAL_H

#include "recipe/run.h"
#include "recipe/sink.h"

typedef struct run_state {
    ins_recipe *recipe;
    const ins_run_options *options;
    ins_run_outcome *outcome;
    ins_cache cache;
    ins_store *store;
    char run_dir[PATH_MAX]; /* absolute */
    int lock_fd;
    double started, wall_started;
} run_state;

/* run_folder.c */
ins_status run_folder_open(run_state *run, ins_error *err); /* folder, lock, store, lock file, stale links */
void run_folder_close(run_state *run);
ins_status run_link(const run_state *run, const ins_instance *instance, const char *target, ins_error *err);
ins_status run_tensorboard_dir(const run_state *run, const ins_instance *instance, char path[PATH_MAX], ins_error *err);
ins_status run_write_json(const run_state *run, const char *state, ins_error *err); /* run.json */
ins_status run_write_claims(const run_state *run, ins_error *err);

/* run_stage.c: make sure that instance `at` is complete. */
ins_status run_ensure(run_state *run, int64_t at, ins_error *err);

/* run_ranks.c. Rank 0: the others join the stage at once (nothing with one process); the end of the run, with what came
 * of it. Others: follow until then. */
ins_status run_call_ranks(run_state *run, int64_t at, const char *dir, ins_error *err);
ins_status run_dismiss_ranks(const ins_run_options *options, ins_status status, ins_error *err);
ins_status run_follow(ins_recipe *recipe, const ins_run_options *options, ins_error *err);

#endif
