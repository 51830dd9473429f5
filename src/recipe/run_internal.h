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

#endif
