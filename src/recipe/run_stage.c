/* One stage of a run: from the cache, or made under the entry's lock. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "recipe/run_internal.h"

#define VERIFY_BYTES                                                                                                   \
    (256u << 20) /* read this much of an input before it is used; readers check their own hashes too                   \
                  */

ins_stage_result ins_manifest_result(const json_t *manifest) {
    const json_t *result = json_object_get(manifest, "result");
    return (ins_stage_result){.seconds = json_number_value(json_object_get(result, "seconds")),
                              .steps = json_integer_value(json_object_get(result, "steps")),
                              .tokens = json_integer_value(json_object_get(result, "tokens")),
                              .flop = json_number_value(json_object_get(result, "flop")),
                              .peak_bytes = json_number_value(json_object_get(result, "peak_bytes")),
                              .mfu = json_number_value(json_object_get(result, "mfu")),
                              .tokens_per_s = json_number_value(json_object_get(result, "tokens_per_s"))};
}

static json_t *inputs_json(const run_state *run, const ins_instance *instance) {
    json_t *list = json_array();
    for (int64_t i = 0; list && i < instance->n_inputs; i++) {
        const ins_instance *input = &run->recipe->instances[instance->inputs[i]];
        json_array_append_new(
            list, json_pack("{ssssss}", "ref", instance->input_refs[i], "name", input->name, "key", input->key));
    }
    return list;
}

static json_t *parse_json(const char *text) {
    return text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static json_t *make_manifest(const run_state *run, const ins_instance *instance, const ins_stage_result *r) {
    ins_str options = {0};
    char when[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    ins_instance_options_json(instance, &options);
    json_t *manifest = json_pack(
        "{si ss ss ss ss ss sI so* so* so* ss s{sf sI sI sf sf sf sf}}", "format", INS_RECIPE_FORMAT, "instar",
        INS_VERSION, "kind", instance->definition->kind->head.name, "name", instance->name, "recipe", run->recipe->name,
        "key", instance->key, "seed", (json_int_t)instance->seed, "identity", parse_json(instance->identity), "options",
        parse_json(options.data), "inputs", inputs_json(run, instance), "created", when, "result", "seconds",
        r->seconds, "steps", (json_int_t)r->steps, "tokens", (json_int_t)r->tokens, "flop", r->flop, "peak_bytes",
        r->peak_bytes, "mfu", r->mfu, "tokens_per_s", r->tokens_per_s);
    ins_str_free(&options);
    return manifest;
}

/* The stage is there: link it, copy its metrics when the store does not have them, note its numbers. */
static ins_status adopt(run_state *run, int64_t at, const json_t *manifest, bool cached, ins_error *err) {
    ins_run_row *row = &run->outcome->rows[at];
    const ins_instance *instance = row->instance;
    char dir[PATH_MAX], board[PATH_MAX], key[65];
    row->ready = true;
    row->cached = cached;
    row->result = ins_manifest_result(manifest);
    INS_TRY(ins_cache_path(&run->cache, instance->key, false, dir, err));
    INS_TRY(run_link(run, instance, dir, err));
    INS_TRY(ins_store_complete_key(run->store, instance->name, key, err));
    if (cached && strcmp(key, instance->key) != 0) {
        INS_TRY(run_tensorboard_dir(run, instance, board, err));
        INS_TRY(ins_sink_import(dir, run->options->tensorboard ? board : NULL, run->store, instance, err));
    }
    return ins_store_stage_state(run->store, instance->name, instance->key, "done", cached, &row->result, NULL, err);
}

/* Compare an input's files with their hashes before they are used; a damaged entry is moved aside. */
static ins_status check_input(run_state *run, int64_t at, uint64_t max_bytes, bool *damaged, ins_error *err) {
    ins_run_row *row = &run->outcome->rows[at];
    bool ok = true;
    char reason[256];
    if (!row->ready) return INS_OK;
    INS_TRY(ins_cache_verify(&run->cache, row->instance->key, max_bytes, &ok, reason, err));
    row->verified = true;
    if (ok) return INS_OK;
    INS_TRY(ins_cache_move_aside(&run->cache, row->instance->key, reason, run->options->log, err));
    row->ready = row->verified = false;
    *damaged = true;
    return INS_OK;
}

static ins_status ready_inputs(run_state *run, const ins_instance *instance, ins_error *err) {
    bool damaged = false;
    for (int64_t i = 0; i < instance->n_inputs; i++)
        if (!run->outcome->rows[instance->inputs[i]].verified)
            INS_TRY(check_input(run, instance->inputs[i], VERIFY_BYTES, &damaged, err));
    for (int64_t i = 0; i < instance->n_inputs; i++)
        if (!run->outcome->rows[instance->inputs[i]].ready) INS_TRY(run_ensure(run, instance->inputs[i], err));
    return INS_OK;
}

static ins_status call_stage(run_state *run, const ins_instance *instance, const char *dir, ins_sink *sink,
                             ins_stage_result *result, ins_error *err) {
    static const volatile int never = 0;
    static const ins_log silent = {0};
    ins_arena *arena = ins_arena_new(0);
    ins_stage_input *inputs = arena ? ins_run_inputs(run->recipe, instance, &run->cache, arena) : NULL;
    ins_metrics metrics = ins_sink_metrics(sink);
    ins_stage_context context = {.options = instance->variant->options,
                                 .name = instance->name,
                                 .inputs = inputs,
                                 .n_inputs = instance->n_inputs,
                                 .dir = dir,
                                 .seed = instance->seed,
                                 .pool = run->options->pool,
                                 .log = run->options->log ? run->options->log : &silent,
                                 .metrics = &metrics,
                                 .stop = run->options->stop ? run->options->stop : &never,
                                 .result = result,
                                 .cache_dir = run->cache.root,
                                 .comm = instance->definition->kind->on_ranks ? run->options->comm : NULL};
    ins_sink_seconds(sink); /* the clock starts */
    ins_status status = inputs ? run_call_ranks(run, instance - run->recipe->instances, dir, err)
                               : INS_FAIL(err, INS_NOMEM, "out of memory while starting the stage %s", instance->name);
    if (status == INS_OK) status = instance->definition->kind->run(&context, err);
    result->seconds = ins_sink_seconds(sink);
    ins_arena_free(arena);
    return status;
}

static void add_stage_frame(const ins_instance *instance, ins_error *err) {
    char frame[192];
    if (!err) return;
    snprintf(frame, sizeof frame, "stage %.180s", instance->name);
    for (int i = 0; i < err->n_frames; i++)
        if (strcmp(err->frames[i], frame) == 0) return;
    ins_error_frame(err, "%s", frame);
}

/* With the lock held and the folder there. */
static ins_status make_entry(run_state *run, int64_t at, const char *dir, ins_error *err) {
    ins_run_row *row = &run->outcome->rows[at];
    const ins_instance *instance = row->instance;
    char board[PATH_MAX];
    ins_sink *sink = NULL;
    ins_stage_result result = {0};
    INS_TRY(run_link(run, instance, dir, err));
    INS_TRY(run_tensorboard_dir(run, instance, board, err));
    INS_TRY(ins_store_stage_state(run->store, instance->name, instance->key, "running", false, NULL, NULL, err));
    INS_TRY(ins_sink_open(dir, run->options->tensorboard ? board : NULL, run->store, instance, &sink, err));
    ins_status status = call_stage(run, instance, dir, sink, &result, err);
    ins_status closed = ins_sink_close(sink, status == INS_OK, status == INS_OK ? err : NULL);
    if (status == INS_OK) status = closed;
    if (status != INS_OK) {
        add_stage_frame(instance, err);
        ins_store_stage_state(run->store, instance->name, instance->key,
                              status == INS_INTERRUPTED ? "interrupted" : "failed", false, &result,
                              err ? err->text : NULL, NULL);
        return status;
    }
    json_t *manifest = make_manifest(run, instance, &result);
    if (!manifest) return INS_FAIL(err, INS_NOMEM, "out of memory while writing a manifest");
    status = ins_cache_finish(&run->cache, instance->key, manifest, err);
    if (status == INS_OK) status = adopt(run, at, manifest, false, err);
    json_decref(manifest);
    row->verified = status == INS_OK;
    return status;
}

/* Take the lock, look again (another process may have made it meanwhile), make it. */
static ins_status make_locked(run_state *run, int64_t at, ins_error *err) {
    const ins_instance *instance = run->outcome->rows[at].instance;
    ins_cache_lock lock;
    json_t *manifest = NULL;
    char dir[PATH_MAX];
    INS_TRY(ins_cache_lock_take(&run->cache, instance->key, run->options->stop, run->options->log, &lock, err));
    ins_status status = ins_cache_look(&run->cache, instance->key, run->options->log, &manifest, err);
    if (status == INS_OK && manifest) {
        status = adopt(run, at, manifest, true, err);
        json_decref(manifest);
    } else if (status == INS_OK) {
        bool again = ins_cache_has_partial(&run->cache, instance->key);
        ins_logf(run->options->log, INS_LOG_INFO, "%s %s (%s)", again ? "resume" : "start", instance->name,
                 instance->definition->kind->head.name);
        status = ins_cache_begin(&run->cache, instance->key, dir, err);
        if (status == INS_OK) status = make_entry(run, at, dir, err);
    }
    ins_cache_lock_drop(&lock);
    return status;
}

/* A stage that fails on data may have been given a damaged input: check them to the end, make those again, retry once.
 */
static ins_status make_with_retry(run_state *run, int64_t at, ins_error *err) {
    const ins_instance *instance = run->outcome->rows[at].instance;
    bool damaged = false;
    INS_TRY(ready_inputs(run, instance, err));
    ins_status status = make_locked(run, at, err);
    if (status != INS_DATA && status != INS_MODEL) return status;
    for (int64_t i = 0; i < instance->n_inputs; i++)
        if (check_input(run, instance->inputs[i], UINT64_MAX, &damaged, NULL) != INS_OK) return status;
    if (!damaged) return status;
    ins_error_clear(err);
    INS_TRY(ready_inputs(run, instance, err));
    return make_locked(run, at, err);
}

ins_status run_ensure(run_state *run, int64_t at, ins_error *err) {
    ins_run_row *row = &run->outcome->rows[at];
    json_t *manifest = NULL;
    char time_text[32];
    if (row->ready) return INS_OK;
    INS_TRY(ins_cache_look(&run->cache, row->instance->key, run->options->log, &manifest, err));
    if (manifest) {
        ins_status status = adopt(run, at, manifest, true, err);
        json_decref(manifest);
        if (status == INS_OK)
            ins_logf(run->options->log, INS_LOG_INFO, "cached %s (%s)", row->instance->name,
                     row->instance->definition->kind->head.name);
        return status;
    }
    INS_TRY(make_with_retry(run, at, err));
    ins_logf(run->options->log, INS_LOG_INFO, "done %s in %s", row->instance->name,
             ins_human_time(row->result.seconds, time_text));
    return INS_OK;
}
