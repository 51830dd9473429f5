/* Does a stage that is killed and resumed leave the same bytes as one that was not? Asked of the program itself, in
 * child processes.
 *
 * An unbroken run fills a cache of its own. Then, for each chosen stage, that cache without the stage's entry is used
 * again: a child that makes the stage is killed with SIGKILL at a random moment of the measured duration (a pure
 * function of the seed), started again, killed again... Whenever the stage gets done, its files are compared with the
 * unbroken run's and the stage begins anew, until the kills are used up; a last child finishes it. Files called
 * perf.jsonl hold times and are not compared.
 */
#ifndef INS_RECIPE_VERIFY_RESUME_H
#define INS_RECIPE_VERIFY_RESUME_H

#include "recipe/recipe.h"

typedef struct ins_verify_options {
    const char *program; /* path of the instar binary */
    const char *recipe_path;
    const char *const *sets; /* passed on */
    int64_t n_sets;
    const char *work_dir; /* made, and removed unless something differs */
    const char *stage;    /* NULL = the first stage of each kind */
    int64_t kills;        /* per stage */
    int threads;          /* for the children */
    uint64_t seed;
    const ins_log *log;
    const volatile int *stop;
} ins_verify_options;

typedef struct ins_verify_row {
    const ins_instance *instance;
    int64_t kills, completions;
    double seconds; /* of the unbroken stage's child */
    bool equal;
    char difference[256]; /* first file that differs */
} ins_verify_row;

/* rows[*n] in the arena. Keys of the recipe must be filled. */
ins_status ins_verify_resume(const ins_recipe *recipe, const ins_verify_options *options, ins_arena *arena,
                             ins_verify_row **rows, int64_t *n, ins_error *err);

#endif
