/* What a recipe will cost, before anything runs. */
#ifndef INS_RECIPE_PLAN_H
#define INS_RECIPE_PLAN_H

#include "recipe/run.h"

typedef struct ins_plan_row {
    const ins_instance *instance;
    bool cached, partial;
    bool known; /* the kind could tell */
    ins_stage_plan plan;
} ins_plan_row;

/* One row per instance, in running order. Keys of the recipe must be filled; cache may be NULL (nothing is cached).
 * Rows live in the arena. */
ins_status ins_plan_recipe(const ins_recipe *recipe, const ins_cache *cache, ins_pool *pool, const ins_log *log,
                           ins_arena *arena, ins_plan_row **rows, ins_error *err);

#endif
