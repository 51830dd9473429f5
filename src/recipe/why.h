/* Why a stage is in the cache, or what made the difference. */
#ifndef INS_RECIPE_WHY_H
#define INS_RECIPE_WHY_H

#include "recipe/cache.h"
#include "recipe/recipe.h"

typedef struct ins_why_change {
    const char *what;           /* "option", "input", "component version", "outside files", "seed", "engine" */
    const char *path;           /* "lr", "data[0].weight"; for inputs the name of the stage */
    const char *before, *after; /* values as JSON; NULL = was not there */
} ins_why_change;

typedef struct ins_why {
    const ins_instance *instance;
    bool cached;
    bool partial;          /* begun, not finished */
    const char *made;      /* cached: when, as "2026-11-24T10:00:00Z" */
    const char *other_key; /* not cached: the nearest finished entry of this kind; NULL = none at all */
    const char *other_name, *other_made;
    ins_why_change *changes; /* from that entry to what the recipe asks for */
    int64_t n_changes;
} ins_why;

/* Keys of the recipe must be filled. run_dir may be NULL or not exist: its lock file says what the stage was last time.
 * Strings live in the arena. */
ins_status ins_why_stage(const ins_recipe *recipe, const ins_instance *instance, const ins_cache *cache,
                         const char *run_dir, ins_arena *arena, ins_why *out, ins_error *err);

#endif
