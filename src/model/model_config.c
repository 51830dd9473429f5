/* config.json <-> options.
 *
 * Options go through trees of option values, so that this file knows no option by name. What a preset's keys cannot say
 * is written beside them under "instar"; if it changes what the model computes, the file says model_type "instar", so
 * that other programs refuse it rather than run something else.
 */
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/yaml.h"
#include "model/derive.h"
#include "model/model_internal.h"

#define CONFIG_MAX_BYTES (16u << 20)

/* Options that matter in training only: a difference in them does not make another model. */
static const char *const training_only[] = {"dropout", "init_std", "init_residual_scaled", "preset", NULL};

static bool is_training_only(const char *name) {
    for (const char *const *known = training_only; *known; known++)
        if (strcmp(*known, name) == 0) return true;
    return false;
}

static const char *model_type_of(const ins_preset *preset) {
    while (preset && !preset->model_type) preset = ins_preset_base(preset);
    return preset ? preset->model_type : NULL;
}

static const char *architecture_of(const ins_preset *preset) {
    while (preset && !preset->architecture) preset = ins_preset_base(preset);
    return preset ? preset->architecture : NULL;
}

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory for config.json");
}

/* A tree of the resolved options: {"preset": .., "layers": 4, ...}. */
static ins_status options_tree(const ins_model_options *options, ins_arena *arena, ins_node **out, ins_error *err) {
    ins_str text = {0};
    ins_opt_to_json(&ins_model_table, options, false, &text);
    ins_status status = text.oom ? no_memory(err) : ins_yaml_read_text(text.data, text.len, "options", arena, out, err);
    ins_str_free(&text);
    return status;
}

/* ---- reading ---- */

/* Value at a dotted key; NULL when absent or null. */
static const json_t *config_at(const json_t *config, const char *key) {
    const char *dot = strchr(key, '.');
    const json_t *value;
    if (dot) {
        char outer[64] = {0};
        memcpy(outer, key, (size_t)(dot - key) < sizeof outer ? (size_t)(dot - key) : sizeof outer - 1);
        value = json_object_get(json_object_get(config, outer), dot + 1);
    } else {
        value = json_object_get(config, key);
    }
    return value && !json_is_null(value) ? value : NULL;
}

/* Does a value equal the JSON text `fixed`? 0 and 0.0 are equal. */
static bool value_is(const json_t *value, const char *fixed) {
    json_t *wanted = json_loads(fixed, JSON_DECODE_ANY, NULL);
    bool same = wanted &&
                (json_is_number(wanted) && json_is_number(value) ? json_number_value(wanted) == json_number_value(value)
                                                                 : json_equal(wanted, value));
    json_decref(wanted);
    return same;
}

static ins_status put_option(ins_arena *arena, ins_node *node, const char *option, const char *text, ins_error *err) {
    ins_node *scalar = ins_node_scalar(arena, text, false, (ins_pos){0});
    return scalar && ins_node_put(arena, node, option, scalar) ? INS_OK : no_memory(err);
}

/* Text of a JSON scalar as an option value. */
static const char *scalar_text(const json_t *value, ins_arena *arena) {
    if (json_is_string(value)) return ins_arena_strdup(arena, json_string_value(value));
    if (json_is_integer(value)) return ins_arena_printf(arena, "%lld", (long long)json_integer_value(value));
    if (json_is_boolean(value)) return json_is_true(value) ? "true" : "false";
    char number[32];
    return json_is_real(value) ? ins_arena_strdup(arena, ins_double_format(json_real_value(value), number)) : NULL;
}

static ins_status refuse(const char *path, const char *key, const json_t *value, ins_error *err) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    INS_FAIL(err, INS_MODEL, "%s: %s is %.100s, which this architecture does not do here", path, key,
             text ? text : "?");
    ins_error_hint(err, "`instar list preset` names the architectures that can be read");
    free(text);
    return INS_MODEL;
}

/* One key with all rows that share it, of which `row` is the first. */
static ins_status read_key(const json_t *config, const ins_preset *preset, const ins_config_key *row, const char *path,
                           ins_arena *arena, ins_node *node, ins_error *err) {
    const json_t *value = config_at(config, row->key);
    if (!value) {
        if (row->flags & INS_CONFIG_REQUIRED) return INS_FAIL(err, INS_MODEL, "%s has no key '%s'", path, row->key);
        return INS_OK;
    }
    if (row->flags & INS_CONFIG_WRITE_ONLY) return INS_OK;
    if (!row->option) return value_is(value, row->fixed) ? INS_OK : refuse(path, row->key, value, err);
    if (!row->value) {
        const char *text = scalar_text(value, arena);
        return text ? put_option(arena, node, row->option, text, err) : refuse(path, row->key, value, err);
    }
    int64_t at = 0;
    for (const ins_config_key *other; (other = ins_preset_config_next(preset, &at));)
        if (strcmp(other->key, row->key) == 0 && value_is(value, other->fixed))
            return put_option(arena, node, other->option, other->value, err);
    return refuse(path, row->key, value, err);
}

static const ins_preset *preset_of_type(const char *model_type) {
    for (int64_t i = 0; i < ins_family_preset.n; i++) {
        const ins_preset *preset = (const ins_preset *)ins_family_preset.items[i];
        if (preset->model_type && strcmp(preset->model_type, model_type) == 0) return preset;
    }
    return NULL;
}

static ins_status fail_type(const char *path, const char *model_type, ins_error *err) {
    const char *names[64] = {0};
    int64_t n = 0;
    ins_str known = {0};
    for (int64_t i = 0; i < ins_family_preset.n && n < 64; i++) {
        const char *type = ((const ins_preset *)ins_family_preset.items[i])->model_type;
        if (!type) continue;
        names[n++] = type;
        ins_str_printf(&known, " %s", type);
    }
    const char *nearest = ins_nearest_name(model_type, names, n);
    INS_FAIL(err, INS_MODEL, "%s: model_type '%.60s' is not known%s%s%s", path, model_type,
             nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'" : "");
    ins_error_hint(err, "known types:%s", known.data ? known.data : "");
    ins_str_free(&known);
    return INS_MODEL;
}

/* Our own additions to the file, or NULL. */
static ins_status read_additions(const json_t *config, const char *path, ins_arena *arena, ins_node **out,
                                 ins_error *err) {
    const json_t *ours = json_object_get(config, "instar");
    *out = NULL;
    if (!ours) return INS_OK;
    char *text = json_is_object(ours) ? json_dumps(ours, JSON_COMPACT) : NULL;
    if (!text) return INS_FAIL(err, INS_MODEL, "%s: 'instar' is not an object", path);
    ins_status status = ins_yaml_read_text(text, strlen(text), path, arena, out, err);
    free(text);
    return status;
}

/* Option values said by a config.json of this preset. */
static ins_status config_tree(const json_t *config, const ins_preset *preset, const char *path, ins_arena *arena,
                              ins_node **out, ins_error *err) {
    ins_node *node = ins_node_new(arena, INS_NODE_MAP, (ins_pos){.file = path, .line = 0});
    if (!node) return no_memory(err);
    INS_TRY(put_option(arena, node, "preset", preset->head.name, err));
    int64_t at = 0;
    for (const ins_config_key *row; (row = ins_preset_config_next(preset, &at));)
        INS_TRY(read_key(config, preset, row, path, arena, node, err));
    *out = node;
    return INS_OK;
}

static ins_status tree_to_options(const ins_node *node, const char *path, ins_arena *arena, ins_model_options *out,
                                  ins_error *err) {
    ins_diag diag = {0};
    ins_model_options options;
    ins_status status = INS_OK;
    if (ins_model_options_parse(node, 0, &options, arena, &diag)) {
        options.preset.options = NULL; /* presets have none; nothing points into the arena */
        options.preset.pos = (ins_pos){0};
        *out = options;
    } else {
        status = INS_FAIL(err, INS_MODEL, "%s: %s", path, diag.n > 0 ? diag.items[0].text : "bad options");
        if (diag.n > 0) ins_error_hint(err, "%s", diag.items[0].hint);
    }
    ins_diag_free(&diag);
    return status;
}

static ins_status config_to_options(const json_t *config, const char *path, ins_arena *arena, ins_model_options *out,
                                    ins_error *err) {
    const char *type = NULL;
    ins_node *additions = NULL, *node = NULL;
    if (!json_is_object(config)) return INS_FAIL(err, INS_MODEL, "%s is not a JSON object", path);
    INS_TRY(read_additions(config, path, arena, &additions, err));
    type = json_string_value(json_object_get(config, "model_type"));
    if (!type) return INS_FAIL(err, INS_MODEL, "%s has no model_type", path);
    if (strcmp(type, "instar") == 0 && additions) return tree_to_options(additions, path, arena, out, err);
    const ins_preset *preset = preset_of_type(type);
    if (!preset) return fail_type(path, type, err);
    INS_TRY(config_tree(config, preset, path, arena, &node, err));
    if (additions) node = ins_node_merge(arena, node, additions);
    if (!node) return no_memory(err);
    return tree_to_options(node, path, arena, out, err);
}

ins_status ins_model_config_read(const char *path, ins_model_options *out, ins_error *err) {
    json_t *config = NULL;
    INS_TRY(ins_json_read_file(path, CONFIG_MAX_BYTES, &config, err));
    ins_arena *arena = ins_arena_new(0);
    ins_status status = arena ? config_to_options(config, path, arena, out, err) : no_memory(err);
    ins_arena_free(arena);
    json_decref(config);
    return status;
}

/* ---- writing ---- */

/* Set a dotted key; takes over `value`. */
static bool config_put(json_t *config, const char *key, json_t *value) {
    const char *dot = strchr(key, '.');
    if (!value) return false;
    if (!dot) return json_object_set_new(config, key, value) == 0;
    char outer[64] = {0};
    memcpy(outer, key, (size_t)(dot - key) < sizeof outer ? (size_t)(dot - key) : sizeof outer - 1);
    json_t *inner = json_object_get(config, outer);
    if (!inner) {
        inner = json_object();
        if (json_object_set_new(config, outer, inner) != 0) {
            json_decref(value);
            return false;
        }
    }
    return json_object_set_new(inner, dot + 1, value) == 0;
}

/* JSON of an option's value: what the tree's scalar says. */
static json_t *option_json(const ins_node *tree, const char *option) {
    const ins_node *value = ins_node_get(tree, option);
    if (!value || value->kind != INS_NODE_SCALAR) return NULL;
    if (value->quoted) return json_string(value->text);
    return json_loads(value->text, JSON_DECODE_ANY, NULL);
}

static bool write_row(json_t *config, const ins_config_key *row, const ins_node *tree) {
    if (row->flags & INS_CONFIG_READ_ONLY) return true;
    if (!row->option) return config_put(config, row->key, json_loads(row->fixed, JSON_DECODE_ANY, NULL));
    if (!row->value) return config_put(config, row->key, option_json(tree, row->option));
    const ins_node *value = ins_node_get(tree, row->option);
    if (!value || !value->text || strcmp(value->text, row->value) != 0) return true; /* another row of this key */
    return config_put(config, row->key, json_loads(row->fixed, JSON_DECODE_ANY, NULL));
}

/* Options of `tree` that differ from `again`, as JSON; *other_model tells whether one changes what is computed. */
static json_t *differences(const ins_node *tree, const ins_node *again, bool *other_model) {
    json_t *left = json_object();
    for (int64_t i = 0; left && i < tree->n_items; i++) {
        const ins_node *one = tree->items[i], *two = again ? ins_node_get(again, one->key) : NULL;
        if (one->kind != INS_NODE_SCALAR) continue;
        if (two && two->kind == INS_NODE_SCALAR && strcmp(one->text, two->text) == 0) continue;
        if (!is_training_only(one->key)) *other_model = true;
        if (json_object_set_new(left, one->key, option_json(tree, one->key)) != 0) {
            json_decref(left);
            return NULL;
        }
    }
    return left;
}

/* "config.KEY" metadata of the caller (token ids) go into the file: values are JSON text. */
static bool write_extra(json_t *config, const char *const *metadata, int64_t n_meta) {
    bool ok = config_put(config, "bos_token_id", json_null()) && config_put(config, "eos_token_id", json_null());
    for (int64_t i = 0; ok && i < n_meta; i++)
        if (strncmp(metadata[2 * i], "config.", 7) == 0)
            ok = config_put(config, metadata[2 * i] + 7, json_loads(metadata[2 * i + 1], JSON_DECODE_ANY, NULL));
    return ok;
}

static ins_status build_config(const ins_model_options *options, json_t *config, const char *const *metadata,
                               int64_t n_meta, ins_arena *arena, ins_error *err) {
    const ins_preset *preset = ins_model_preset(options);
    ins_node *tree = NULL, *again_tree = NULL;
    INS_TRY(options_tree(options, arena, &tree, err));
    json_t *list = json_pack("[s]", architecture_of(preset));
    bool ok = config_put(config, "architectures", list) &&
              config_put(config, "model_type", json_string(model_type_of(preset)));
    int64_t at = 0;
    for (const ins_config_key *row; ok && (row = ins_preset_config_next(preset, &at));)
        ok = write_row(config, row, tree);
    ok = ok && config_put(config, "torch_dtype", json_string("float32")) && write_extra(config, metadata, n_meta);
    if (!ok) return INS_FAIL(err, INS_NOMEM, "could not make config.json");

    /* What would a reader make of this? */
    ins_model_options again;
    bool other_model = false;
    if (config_to_options(config, "config.json", arena, &again, NULL) == INS_OK)
        INS_TRY(options_tree(&again, arena, &again_tree, err));
    json_t *left = differences(tree, again_tree, &other_model);
    if (!left) return no_memory(err);
    if (other_model) { /* all options, under a type that nobody else takes for theirs */
        json_decref(left);
        bool unused;
        left = differences(tree, NULL, &unused);
        ok = left && config_put(left, "preset", json_string(preset->head.name)) &&
             config_put(config, "architectures", json_pack("[s]", "InstarForCausalLM")) &&
             config_put(config, "model_type", json_string("instar"));
    }
    if (ok && json_object_size(left) > 0) ok = config_put(config, "instar", json_incref(left));
    json_decref(left);
    return ok ? INS_OK : no_memory(err);
}

ins_status ins_model_config_write(const ins_model_options *options, const char *path, const char *const *metadata,
                                  int64_t n_meta, ins_error *err) {
    json_t *config = json_object();
    ins_arena *arena = ins_arena_new(0);
    ins_status status = config && arena ? build_config(options, config, metadata, n_meta, arena, err) : no_memory(err);
    if (status == INS_OK) status = ins_json_write_file(path, config, true, err);
    ins_arena_free(arena);
    json_decref(config);
    return status;
}
