/* Asking every stage kind for its plan. */
#include "recipe/plan.h"

#include <string.h>

#include "base/file.h"

static ins_status plan_one(const ins_recipe *recipe, const ins_cache *cache, ins_pool *pool, const ins_log *log,
                           ins_arena *arena, ins_plan_row *row, ins_error *err) {
    static const volatile int never = 0;
    static const ins_metrics no_metrics = {0};
    const ins_instance *instance = row->instance;
    const ins_stage *kind = instance->definition->kind;
    ins_stage_result result = {0};
    if (!kind->plan) return INS_OK;
    ins_stage_input *inputs = ins_run_inputs(recipe, instance, cache, arena);
    if (!inputs) return INS_FAIL(err, INS_NOMEM, "out of memory while planning");
    ins_stage_context context = {.options = instance->variant->options,
                                 .name = instance->name,
                                 .inputs = inputs,
                                 .n_inputs = instance->n_inputs,
                                 .dir = NULL,
                                 .seed = instance->seed,
                                 .pool = pool,
                                 .log = log,
                                 .metrics = &no_metrics,
                                 .stop = &never,
                                 .result = &result,
                                 .cache_dir = cache ? cache->root : NULL};
    ins_status status = kind->plan(&context, &row->plan, err);
    row->known = status == INS_OK;
    if (status != INS_OK) ins_error_frame(err, "stage %s", instance->name);
    return status;
}

ins_status ins_plan_recipe(const ins_recipe *recipe, const ins_cache *cache, ins_pool *pool, const ins_log *log,
                           ins_arena *arena, ins_plan_row **rows, ins_error *err) {
    ins_plan_row *list = ins_arena_alloc(arena, (size_t)(recipe->n_instances + 1) * sizeof *list);
    if (!list) return INS_FAIL(err, INS_NOMEM, "out of memory while planning");
    for (int64_t i = 0; i < recipe->n_instances; i++) {
        json_t *manifest = NULL;
        ins_plan_row *row = &list[i];
        row->instance = &recipe->instances[i];
        if (cache && ins_cache_manifest(cache, row->instance->key, &manifest, NULL) == INS_OK) {
            row->cached = true;
            json_decref(manifest);
        } else if (cache) {
            row->partial = ins_cache_has_partial(cache, row->instance->key);
        }
        INS_TRY(plan_one(recipe, cache, pool, log, arena, row, err));
    }
    *rows = list;
    return INS_OK;
}
