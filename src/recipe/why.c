/* The difference between what a recipe asks for and the nearest entry of the cache. */
#include "recipe/why.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "format/yaml.h"

#define MAX_CHANGES 200

typedef struct differ {
    ins_arena *arena;
    ins_why_change *changes;
    int64_t n;
    const json_t *old_inputs; /* manifest's "inputs" */
    const ins_recipe *recipe;
    const ins_instance *instance;
} differ;

static const char *dump(differ *d, const json_t *value) {
    if (!value) return NULL;
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *copy = text ? ins_arena_strdup(d->arena, text) : "?";
    free(text);
    return copy;
}

static void add(differ *d, const char *what, const char *path, const char *before, const char *after) {
    if (d->n < MAX_CHANGES) d->changes[d->n++] = (ins_why_change){what, path, before, after};
}

static void compare(differ *d, const char *what, const char *path, const json_t *before, const json_t *after);

static void compare_objects(differ *d, const char *what, const char *path, json_t *before, json_t *after) {
    const char *key;
    json_t *value;
    json_object_foreach(after, key, value) {
        const char *below = path[0] ? ins_arena_printf(d->arena, "%s.%s", path, key) : ins_arena_strdup(d->arena, key);
        bool version = strcmp(key, "version") == 0;
        if (below) compare(d, version ? "component version" : what, below, json_object_get(before, key), value);
    }
    json_object_foreach(before, key, value) {
        if (json_object_get(after, key)) continue;
        const char *below = path[0] ? ins_arena_printf(d->arena, "%s.%s", path, key) : ins_arena_strdup(d->arena, key);
        if (below) add(d, what, below, dump(d, value), NULL);
    }
}

static void compare_arrays(differ *d, const char *what, const char *path, const json_t *before, const json_t *after) {
    size_t n = json_array_size(before) > json_array_size(after) ? json_array_size(before) : json_array_size(after);
    for (size_t i = 0; i < n; i++) {
        const char *below = ins_arena_printf(d->arena, "%s[%zu]", path, i);
        if (below) compare(d, what, below, json_array_get(before, i), json_array_get(after, i));
    }
}

static void compare(differ *d, const char *what, const char *path, const json_t *before, const json_t *after) {
    if (before && after && json_equal(before, after)) return;
    if (!before && !after) return;
    if (json_is_object(before) && json_is_object(after))
        compare_objects(d, what, path, (json_t *)(uintptr_t)before, (json_t *)(uintptr_t)after);
    else if (json_is_array(before) && json_is_array(after))
        compare_arrays(d, what, path, before, after);
    else
        add(d, what, path, dump(d, before), dump(d, after));
}

/* Name that the old manifest gives to one of its inputs. */
static const char *old_input_name(const differ *d, const char *key) {
    size_t i;
    json_t *input;
    json_array_foreach(d->old_inputs, i, input) {
        const char *other = json_string_value(json_object_get(input, "key"));
        if (other && key && strcmp(other, key) == 0) return json_string_value(json_object_get(input, "name"));
    }
    return NULL;
}

static void compare_inputs(differ *d, const json_t *before, const json_t *after) {
    size_t n = json_array_size(before) > json_array_size(after) ? json_array_size(before) : json_array_size(after);
    for (size_t i = 0; i < n; i++) {
        const char *old_key = json_string_value(json_array_get(before, i)),
                   *new_key = json_string_value(json_array_get(after, i));
        if (old_key && new_key && strcmp(old_key, new_key) == 0) continue;
        bool known = (int64_t)i < d->instance->n_inputs;
        const char *name = known ? d->recipe->instances[d->instance->inputs[i]].name : old_input_name(d, old_key);
        add(d, "input", name ? name : "?", old_key ? ins_arena_strndup(d->arena, old_key, 12) : NULL,
            new_key ? ins_arena_strndup(d->arena, new_key, 12) : NULL);
    }
}

/* All differences between two identities. Returns their number. */
static int64_t compare_identities(differ *d, const json_t *before, const json_t *after) {
    d->n = 0;
    compare(d, "engine", "format", json_object_get(before, "format"), json_object_get(after, "format"));
    compare(d, "component version", "kind", json_object_get(before, "version"), json_object_get(after, "version"));
    compare(d, "option", "", json_object_get(before, "options"), json_object_get(after, "options"));
    compare(d, "seed", "seed", json_object_get(before, "seed"), json_object_get(after, "seed"));
    compare(d, "outside files", "files", json_object_get(before, "files"), json_object_get(after, "files"));
    compare_inputs(d, json_object_get(before, "inputs"), json_object_get(after, "inputs"));
    return d->n;
}

/* Key of the stage in the run's lock file, or NULL. */
static const char *locked_key(const char *run_dir, const char *name, ins_arena *arena) {
    char path[PATH_MAX];
    ins_node *root = NULL;
    if (!run_dir || ins_path_join(run_dir, "recipe.lock.yaml", path, sizeof path, NULL) != INS_OK ||
        !ins_file_exists(path))
        return NULL;
    if (ins_yaml_read_file(path, arena, &root, NULL) != INS_OK) return NULL;
    const ins_node *key = ins_node_get(ins_node_get(ins_node_get(root, "stages"), name), "key");
    return key && key->kind == INS_NODE_SCALAR && strlen(key->text) == 64 ? key->text : NULL;
}

typedef struct nearest {
    json_t *manifest;
    int64_t score;
} nearest;

/* Fewer differences are nearer; a stage of the same name is nearer than any other with a few more. */
static void consider(differ *d, const json_t *identity, const char *key, const ins_cache *cache, bool locked,
                     nearest *best) {
    json_t *manifest = NULL;
    if (strcmp(key, d->instance->key) == 0 || ins_cache_manifest(cache, key, &manifest, NULL) != INS_OK) return;
    const char *kind = json_string_value(json_object_get(manifest, "kind")),
               *name = json_string_value(json_object_get(manifest, "name"));
    int64_t score = INT64_MAX;
    if (kind && strcmp(kind, d->instance->definition->kind->head.name) == 0) {
        d->old_inputs = json_object_get(manifest, "inputs");
        score = compare_identities(d, json_object_get(manifest, "identity"), identity) * 4;
        if (name && strcmp(name, d->instance->name) == 0) score -= 12;
        if (locked) score = -1000000;
    }
    if (score >= best->score) {
        json_decref(manifest);
        return;
    }
    json_decref(best->manifest);
    *best = (nearest){manifest, score};
}

static ins_status find_nearest(differ *d, const json_t *identity, const ins_cache *cache, const char *run_dir,
                               nearest *best, ins_error *err) {
    char **keys = NULL;
    int64_t n = 0;
    const char *locked = locked_key(run_dir, d->instance->name, d->arena);
    if (locked) consider(d, identity, locked, cache, true, best);
    if (best->manifest) return INS_OK;
    INS_TRY(ins_cache_keys(cache, &keys, &n, err));
    for (int64_t i = 0; i < n; i++) consider(d, identity, keys[i], cache, false, best);
    ins_names_free(keys, n);
    return INS_OK;
}

static const char *manifest_text(const json_t *manifest, const char *key, ins_arena *arena) {
    const char *text = json_string_value(json_object_get(manifest, key));
    return text ? ins_arena_strdup(arena, text) : NULL;
}

ins_status ins_why_stage(const ins_recipe *recipe, const ins_instance *instance, const ins_cache *cache,
                         const char *run_dir, ins_arena *arena, ins_why *out, ins_error *err) {
    json_t *manifest = NULL;
    *out = (ins_why){.instance = instance, .partial = ins_cache_has_partial(cache, instance->key)};
    if (ins_cache_manifest(cache, instance->key, &manifest, NULL) == INS_OK) {
        out->cached = true;
        out->made = manifest_text(manifest, "created", arena);
        json_decref(manifest);
        return INS_OK;
    }
    differ d = {.arena = arena, .recipe = recipe, .instance = instance};
    d.changes = ins_arena_alloc(arena, MAX_CHANGES * sizeof *d.changes);
    json_t *identity = json_loads(instance->identity, 0, NULL);
    nearest best = {NULL, INT64_MAX};
    ins_status status = d.changes && identity ? find_nearest(&d, identity, cache, run_dir, &best, err)
                                              : INS_FAIL(err, INS_NOMEM, "out of memory while comparing cache entries");
    if (status == INS_OK && best.manifest) {
        out->other_key = manifest_text(best.manifest, "key", arena);
        out->other_name = manifest_text(best.manifest, "name", arena);
        out->other_made = manifest_text(best.manifest, "created", arena);
        d.old_inputs = json_object_get(best.manifest, "inputs");
        out->n_changes = compare_identities(&d, json_object_get(best.manifest, "identity"), identity);
        out->changes = d.changes;
    }
    json_decref(best.manifest);
    json_decref(identity);
    return status;
}
