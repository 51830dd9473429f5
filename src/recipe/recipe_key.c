/* Content keys. The key of an instance is the SHA-256 of its identity, a canonical JSON document:
 *
 *   {"format":1, "kind":"train", "version":3,
 *    "options":{resolved, without what can't change results; "@0" where it names its first input},
 *    "seed":1, "inputs":["<key of input 0>", ...], "files":"<what the kind says about outside files>"}
 *
 * Names of stages and their order in the file are not in it: renaming a stage does not rebuild it. The one exception:
 * a stage with a list of inputs tells them apart by name and may leave folders called so, hence "@0 name" in lists.
 */
#include "recipe/recipe_internal.h"

#include <string.h>

#include "base/hash.h"
#include "format/yaml.h"

static void put_json_text(ins_str *out, const char *text, size_t len) {
    ins_str_putc(out, '"');
    ins_str_json_escape(out, text, len);
    ins_str_putc(out, '"');
}

/* Position of the k-th reference's instance among the instance's distinct input keys. */
static int64_t input_number(const ins_recipe *recipe, const ins_instance *instance, int64_t k) {
    const char *key = recipe->instances[instance->ref_instances[k]].key;
    for (int64_t i = 0; i < instance->n_inputs; i++)
        if (strcmp(recipe->instances[instance->inputs[i]].key, key) == 0) return i;
    return -1;
}

/* The options' JSON with the references' texts changed while it is printed. */
static bool options_for_hash(const ins_recipe *recipe, const ins_instance *instance, ins_str *out) {
    const ins_variant *variant = instance->variant;
    bool ok = true;
    for (int64_t k = 0; k < variant->n_refs; k++) {
        const ins_recipe_ref *ref = &variant->refs[k];
        const char *mark = ins_arena_printf(recipe->arena, "@%lld%s%s", (long long)input_number(recipe, instance, k),
                                            ref->listed ? " " : "", ref->listed ? ref->text : "");
        if (!mark) ok = false;
        *variant->refs[k].slot = mark;
    }
    if (ok && instance->definition->kind->head.options)
        ins_opt_to_json(instance->definition->kind->head.options, variant->options, true, out);
    else
        ins_str_puts(out, "{}");
    for (int64_t k = 0; k < variant->n_refs; k++) *variant->refs[k].slot = variant->refs[k].text;
    return ok && !out->oom;
}

/* Asked once per variant: instances that differ in inherited axes only name the same files. */
static ins_status ask_files(ins_recipe *recipe, ins_instance *instance, const ins_log *log, ins_error *err) {
    const ins_stage *kind = instance->definition->kind;
    ins_str text = {0};
    if (instance->variant->files) return INS_OK;
    ins_status status = kind->fingerprint ? kind->fingerprint(instance->variant->options, log, &text, err) : INS_OK;
    if (status != INS_OK) {
        ins_error_frame(err, "stage %s", instance->name);
        if (err && !err->file[0]) ins_error_at(err, instance->definition->pos);
    } else {
        ins_str escaped = {0};
        put_json_text(&escaped, text.data ? text.data : "", text.len);
        instance->variant->files = text.oom || escaped.oom ? NULL : ins_arena_strdup(recipe->arena, escaped.data);
        if (!instance->variant->files) status = INS_FAIL(err, INS_NOMEM, "out of memory while making a cache key");
        ins_str_free(&escaped);
    }
    ins_str_free(&text);
    return status;
}

static ins_status make_key(ins_recipe *recipe, ins_instance *instance, ins_error *err) {
    const ins_stage *kind = instance->definition->kind;
    ins_str text = {0};
    ins_status status = INS_OK;
    ins_str_printf(&text, "{\"format\":%d,\"kind\":\"%s\",\"version\":%d,\"options\":", INS_RECIPE_FORMAT,
                   kind->head.name, kind->head.version);
    bool ok = options_for_hash(recipe, instance, &text);
    ins_str_printf(&text, ",\"seed\":%llu,\"inputs\":[", (unsigned long long)instance->seed);
    for (int64_t i = 0; i < instance->n_inputs; i++)
        ins_str_printf(&text, "%s\"%s\"", i ? "," : "", recipe->instances[instance->inputs[i]].key);
    ins_str_printf(&text, "],\"files\":%s}", instance->variant->files);
    if (!ok || text.oom) status = INS_FAIL(err, INS_NOMEM, "out of memory while making a cache key");
    ins_digest digest;
    if (status == INS_OK) status = ins_sha256_bytes(text.data, text.len, &digest, err);
    if (status == INS_OK) {
        memcpy(instance->key, digest.hex, sizeof instance->key);
        instance->identity = ins_arena_strdup(recipe->arena, text.data);
        if (!instance->identity) status = INS_FAIL(err, INS_NOMEM, "out of memory while making a cache key");
    }
    ins_str_free(&text);
    return status;
}

ins_status ins_recipe_keys(ins_recipe *recipe, const ins_log *log, ins_error *err) {
    for (int64_t i = 0; i < recipe->n_instances; i++) {
        INS_TRY(ask_files(recipe, &recipe->instances[i], log, err));
        INS_TRY(make_key(recipe, &recipe->instances[i], err));
    }
    return INS_OK;
}

void ins_instance_options_json(const ins_instance *instance, ins_str *out) {
    if (instance->definition->kind->head.options)
        ins_opt_to_json(instance->definition->kind->head.options, instance->variant->options, false, out);
    else
        ins_str_puts(out, "{}");
}

static void lock_instance(const ins_recipe *recipe, const ins_instance *instance, ins_str *json) {
    const ins_stage *kind = instance->definition->kind;
    put_json_text(json, instance->name, strlen(instance->name));
    ins_str_printf(json, ":{\"kind\":\"%s\",\"version\":%d,\"key\":\"%s\",\"seed\":%llu,\"inputs\":{", kind->head.name,
                   kind->head.version, instance->key, (unsigned long long)instance->seed);
    for (int64_t i = 0; i < instance->n_inputs; i++) {
        const char *name = recipe->instances[instance->inputs[i]].name;
        if (i) ins_str_putc(json, ',');
        put_json_text(json, instance->input_refs[i], strlen(instance->input_refs[i]));
        ins_str_putc(json, ':');
        put_json_text(json, name, strlen(name));
    }
    ins_str_puts(json, "},\"options\":");
    ins_instance_options_json(instance, json);
    ins_str_putc(json, '}');
}

ins_status ins_recipe_lock_text(const ins_recipe *recipe, ins_str *out, ins_error *err) {
    ins_str json = {0};
    ins_str_puts(&json, "{\"recipe\":");
    put_json_text(&json, recipe->name, strlen(recipe->name));
    ins_str_printf(&json, ",\"seed\":%llu,\"instar\":\"%s\",", (unsigned long long)recipe->seed, INS_VERSION);
    if (recipe->summary) {
        ins_str_puts(&json, "\"summary\":");
        put_json_text(&json, recipe->summary, strlen(recipe->summary));
        ins_str_putc(&json, ',');
    }
    ins_str_puts(&json, "\"stages\":{");
    for (int64_t i = 0; i < recipe->n_instances; i++) {
        if (i) ins_str_putc(&json, ',');
        lock_instance(recipe, &recipe->instances[i], &json);
    }
    ins_str_puts(&json, "},\"claims\":");
    ins_node_to_json(ins_node_get(recipe->root, "claims"), &json);
    ins_str_putc(&json, '}');
    ins_arena *arena = ins_arena_new(0);
    ins_node *tree = NULL;
    ins_status status = arena && !json.oom
                            ? ins_yaml_read_text(json.data, json.len, "recipe.lock.yaml", arena, &tree, err)
                            : INS_FAIL(err, INS_NOMEM, "out of memory while writing the lock file");
    if (status == INS_OK) {
        ins_str_puts(out,
                     "# Everything resolved, written by the run. To repeat it, run the recipe; this is for reading.\n");
        ins_node_to_yaml(tree, out);
        if (out->oom) status = INS_FAIL(err, INS_NOMEM, "out of memory while writing the lock file");
    }
    ins_str_free(&json);
    ins_arena_free(arena);
    return status;
}
