/* A run on several ranks. Rank 0 runs the recipe as one process would. When it comes to a stage that runs on all ranks
 * it calls the others, which wait for nothing else: they read the same recipe, but no cache, no store and no clock. */
#include <stdio.h>
#include <string.h>

#include "recipe/run_internal.h"

typedef struct run_order {
    int64_t at;           /* instance to run; -1 = the run is over */
    char dir[PATH_MAX];   /* the stage's folder */
    char cache[PATH_MAX]; /* root of the cache, which all ranks see under the same path */
} run_order;

/* Content keys of all instances: where the inputs are. */
static ins_status share_keys(ins_recipe *recipe, ins_comm *comm, ins_error *err) {
    for (int64_t i = 0; i < recipe->n_instances; i++)
        INS_TRY(ins_comm_broadcast(comm, recipe->instances[i].key, sizeof recipe->instances[i].key, 0, err));
    return INS_OK;
}

ins_status run_call_ranks(run_state *run, int64_t at, const char *dir, ins_error *err) {
    ins_comm *comm = run->options->comm;
    run_order order = {.at = at};
    if (ins_comm_size(comm) == 1 || !run->recipe->instances[at].definition->kind->on_ranks) return INS_OK;
    snprintf(order.dir, sizeof order.dir, "%s", dir);
    snprintf(order.cache, sizeof order.cache, "%s", run->cache.root);
    INS_TRY(ins_comm_broadcast(comm, &order, sizeof order, 0, err));
    return share_keys(run->recipe, comm, err);
}

ins_status run_dismiss_ranks(const ins_run_options *options, ins_status status, ins_error *err) {
    run_order order = {.at = -1};
    ins_error lost = {0};
    if (ins_comm_size(options->comm) == 1) return status;
    if (ins_comm_broadcast(options->comm, &order, sizeof order, 0, &lost) == INS_OK)
        return ins_comm_agree(options->comm, status, err);
    if (status != INS_OK) return status;
    if (err) *err = lost;
    return lost.status;
}

/* ---- the others ---- */

static ins_status no_value(void *arg, int64_t step, int64_t tokens, const char *name, double value, ins_error *err) {
    (void)arg, (void)step, (void)tokens, (void)name, (void)value, (void)err;
    return INS_OK;
}
static ins_status no_text(void *arg, int64_t step, int64_t tokens, const char *name, const char *text, ins_error *err) {
    (void)arg, (void)step, (void)tokens, (void)name, (void)text, (void)err;
    return INS_OK;
}
static ins_status no_truncate(void *arg, int64_t step, ins_error *err) {
    (void)arg, (void)step, (void)err;
    return INS_OK;
}
static ins_status no_flush(void *arg, ins_error *err) {
    (void)arg, (void)err;
    return INS_OK;
}
static const ins_metrics no_metrics = {.value = no_value, .text = no_text, .truncate = no_truncate, .flush = no_flush};

/* What comes of the stage is known to all ranks when it returns; rank 0 says what follows from it. */
static void join_stage(const ins_recipe *recipe, const ins_run_options *options, const run_order *order,
                       ins_arena *arena) {
    static const volatile int never = 0;
    static const ins_log silent = {0};
    const ins_instance *instance = &recipe->instances[order->at];
    ins_cache cache;
    ins_error ignored = {0};
    ins_stage_result result = {0};
    memcpy(cache.root, order->cache, sizeof cache.root);
    ins_stage_context context = {.options = instance->variant->options,
                                 .name = instance->name,
                                 .inputs = arena ? ins_run_inputs(recipe, instance, &cache, arena) : NULL,
                                 .n_inputs = instance->n_inputs,
                                 .dir = order->dir,
                                 .seed = instance->seed,
                                 .pool = options->pool,
                                 .log = &silent,
                                 .metrics = &no_metrics,
                                 .stop = options->stop ? options->stop : &never,
                                 .result = &result,
                                 .comm = options->comm};
    if (!context.inputs) context.n_inputs = 0; /* out of memory: the stage will say so */
    instance->definition->kind->run(&context, &ignored);
}

ins_status run_follow(ins_recipe *recipe, const ins_run_options *options, ins_error *err) {
    run_order order;
    for (;;) {
        INS_TRY(ins_comm_broadcast(options->comm, &order, sizeof order, 0, err));
        if (order.at < 0) return ins_comm_agree(options->comm, INS_OK, err);
        INS_TRY(share_keys(recipe, options->comm, err));
        ins_arena *arena = ins_arena_new(0);
        join_stage(recipe, options, &order, arena);
        ins_arena_free(arena);
    }
}
