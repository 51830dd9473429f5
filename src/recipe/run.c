/* A whole run: selection, the loop over stages, claims. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "recipe/derived.h"
#include "recipe/recipe_internal.h"
#include "recipe/run_internal.h"

static void select_with_inputs(const ins_recipe *recipe, int64_t at, bool *selected) {
    if (selected[at]) return;
    selected[at] = true;
    for (int64_t i = 0; i < recipe->instances[at].n_inputs; i++)
        select_with_inputs(recipe, recipe->instances[at].inputs[i], selected);
}

ins_status ins_run_select(const ins_recipe *recipe, const char *only, bool *selected, ins_error *err) {
    char suggestion[160];
    bool found = false;
    for (int64_t i = 0; i < recipe->n_instances; i++) selected[i] = !only;
    if (!only) return INS_OK;
    for (int64_t i = 0; i < recipe->n_instances; i++) {
        const ins_instance *instance = &recipe->instances[i];
        if (strcmp(instance->name, only) != 0 && strcmp(instance->definition->name, only) != 0) continue;
        found = true;
        select_with_inputs(recipe, i, selected);
    }
    if (found) return INS_OK;
    INS_FAIL(err, INS_RECIPE, "the recipe has no stage '%s'%s", only,
             recipe_suggest(recipe_nearest_stage(recipe, only), suggestion));
    ins_error_at(err, (ins_pos){recipe->path, 0, 0});
    return INS_RECIPE;
}

ins_stage_input *ins_run_inputs(const ins_recipe *recipe, const ins_instance *instance, const ins_cache *cache,
                                ins_arena *arena) {
    ins_stage_input *inputs = ins_arena_alloc(arena, (size_t)(instance->n_inputs + 1) * sizeof *inputs);
    for (int64_t i = 0; inputs && i < instance->n_inputs; i++) {
        const ins_instance *input = &recipe->instances[instance->inputs[i]];
        char path[PATH_MAX];
        inputs[i] = (ins_stage_input){
            .ref = instance->input_refs[i], .kind = input->definition->kind->head.name, .key = input->key};
        if (ins_cache_path(cache, input->key, false, path, NULL) != INS_OK || !ins_dir_exists(path)) continue;
        inputs[i].dir = ins_arena_strdup(arena, path);
        if (!inputs[i].dir) return NULL;
    }
    return inputs;
}

static ins_status evaluate(run_state *run, ins_error *err) {
    ins_metric_source source = ins_store_source(run->store);
    ins_run_outcome *out = run->outcome;
    INS_TRY(ins_store_flush(run->store, err));
    INS_TRY(ins_claims_evaluate(run->recipe, &source, out->arena, &out->claims, err));
    out->n_claims = run->recipe->n_claims;
    INS_TRY(ins_store_set_claims(run->store, out->claims, out->n_claims, err));
    INS_TRY(run_write_claims(run, err));
    return ins_derived_compute(run->store, run->recipe, err);
}

static ins_status run_stages(run_state *run, ins_error *err) {
    for (int64_t i = 0; i < run->recipe->n_instances; i++) {
        if (!run->outcome->rows[i].selected) continue;
        if (run->options->stop && *run->options->stop) {
            INS_FAIL(err, INS_INTERRUPTED, "stopped before the stage %s", run->recipe->instances[i].name);
            ins_error_hint(err, "run the same command again to go on");
            return INS_INTERRUPTED;
        }
        INS_TRY(run_ensure(run, i, err));
    }
    return INS_OK;
}

static ins_status run_all(run_state *run, ins_error *err) {
    INS_TRY(run_write_json(run, "running", err));
    ins_status status = run_stages(run, err);
    if (status == INS_OK) status = evaluate(run, err);
    const char *word = status == INS_OK ? "done" : status == INS_INTERRUPTED ? "interrupted" : "failed";
    ins_status written = run_write_json(run, word, status == INS_OK ? err : NULL);
    return status == INS_OK ? written : status;
}

static ins_status run_here(ins_recipe *recipe, const ins_run_options *options, ins_run_outcome *out, ins_error *err) {
    struct timespec now;
    bool *selected = out->arena ? ins_arena_alloc(out->arena, (size_t)recipe->n_instances + 1) : NULL;
    out->rows = out->arena ? ins_arena_alloc(out->arena, (size_t)(recipe->n_instances + 1) * sizeof *out->rows) : NULL;
    if (!selected || !out->rows) return INS_FAIL(err, INS_NOMEM, "out of memory while starting a run");
    INS_TRY(ins_run_select(recipe, options->only, selected, err));
    out->n_rows = recipe->n_instances;
    for (int64_t i = 0; i < recipe->n_instances; i++)
        out->rows[i] = (ins_run_row){.instance = &recipe->instances[i], .selected = selected[i]};
    clock_gettime(CLOCK_REALTIME, &now);
    run_state run = {.recipe = recipe, .options = options, .outcome = out, .lock_fd = -1, .started = ins_now()};
    run.wall_started = (double)now.tv_sec;
    INS_TRY(ins_cache_open(options->cache_dir, &run.cache, err));
    INS_TRY(ins_recipe_keys(recipe, options->log, err));
    ins_status status = run_folder_open(&run, err);
    out->began = status == INS_OK;
    if (status == INS_OK) status = run_all(&run, err);
    run_folder_close(&run);
    return status;
}

ins_status ins_run(ins_recipe *recipe, const ins_run_options *options, ins_run_outcome *out, ins_error *err) {
    *out = (ins_run_outcome){.arena = ins_arena_new(0)};
    if (ins_comm_rank(options->comm) > 0) return run_follow(recipe, options, err);
    return run_dismiss_ranks(options, run_here(recipe, options, out, err), err);
}

void ins_run_outcome_free(ins_run_outcome *outcome) {
    ins_arena_free(outcome->arena);
    *outcome = (ins_run_outcome){0};
}

void ins_run_outcome_to_json(const ins_run_outcome *outcome, ins_str *out) {
    char seconds[32];
    bool any = false;
    ins_str_puts(out, "{\"stages\":[");
    for (int64_t i = 0; i < outcome->n_rows; i++) {
        const ins_run_row *row = &outcome->rows[i];
        if (!row->ready) continue;
        ins_str_printf(out, "%s{\"name\":\"", any ? "," : "");
        ins_str_json_escape(out, row->instance->name, strlen(row->instance->name));
        ins_str_printf(out,
                       "\",\"kind\":\"%s\",\"key\":\"%s\",\"cached\":%s,\"seconds\":%s,\"steps\":%lld,\"tokens\":%lld}",
                       row->instance->definition->kind->head.name, row->instance->key, row->cached ? "true" : "false",
                       ins_double_format(isfinite(row->result.seconds) ? row->result.seconds : 0, seconds),
                       (long long)row->result.steps, (long long)row->result.tokens);
        any = true;
    }
    ins_str_puts(out, "],\"claims\":");
    ins_claims_to_json(outcome->claims, outcome->n_claims, out);
    ins_str_putc(out, '}');
}
