/* JSON Schema of recipes, for editors: what the option tables say, put together the way recipes are. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/mem.h"

static const char skeleton[] =
    "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"Instar recipe\",\"type\":\"object\","
    "\"additionalProperties\":false,\"required\":[\"stages\"],\"properties\":{"
    "\"recipe\":{\"type\":\"string\",\"pattern\":\"^[A-Za-z0-9_][A-Za-z0-9_-]*$\",\"description\":\"name; the "
    "run's folder is called so\"},"
    "\"seed\":{\"type\":\"integer\",\"minimum\":0,\"default\":1,\"description\":\"of everything random\"},"
    "\"summary\":{\"type\":\"string\"},"
    "\"defaults\":{\"type\":\"object\",\"description\":\"options for every stage of a kind\","
    "\"additionalProperties\":false,\"properties\":{}},"
    "\"probes\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/probe\"},\"description\":\"measured at every probed "
    "checkpoint of every train stage\"},"
    "\"claims\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":false,"
    "\"required\":[\"id\",\"metric\",\"relation\",\"than\"],\"properties\":{\"id\":{\"type\":\"string\"},\"text\":{"
    "\"type\":\"string\"},"
    "\"metric\":{\"type\":\"string\"},\"relation\":{\"enum\":[\"<\",\"<=\",\">\",\">=\",\"==\"]},"
    "\"than\":{\"type\":[\"string\",\"number\"]},\"tolerance\":{\"type\":\"number\",\"minimum\":0}}}},"
    "\"stages\":{\"type\":\"object\",\"minProperties\":1,\"additionalProperties\":{\"type\":\"object\","
    "\"required\":[\"kind\"],\"properties\":{\"kind\":{\"enum\":[]}},\"allOf\":[]}}},\"$defs\":{}}";

/* What a stage has beside the options of its kind. */
static const char engine_keys[] =
    "{\"kind\":{\"type\":\"string\"},"
    "\"seed\":{\"type\":\"integer\",\"minimum\":0,\"description\":\"instead of the recipe's\"},"
    "\"matrix\":{\"type\":\"object\",\"description\":\"versions of the stage: an option with a list of values, or an "
    "axis with named sets of options\",\"additionalProperties\":{\"type\":[\"array\",\"object\"]}}}";

static json_t *parse(const char *text) {
    return text ? json_loads(text, 0, NULL) : NULL;
}
static json_t *table_schema(const ins_opt_table *table) {
    ins_str text = {0};
    ins_opt_json_schema(table, &text);
    json_t *schema = text.oom ? NULL : parse(text.data);
    ins_str_free(&text);
    return schema;
}

/* Rows that take a raw subtree say nothing about it; the ones named like a group of options are such a group, or the
 * name of a preset alone. */
static bool refine_rows(const ins_opt_table *table, json_t *properties) {
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        if (row->type != INS_OPT_NODE || strcmp(row->name, "model") != 0) continue;
        json_t *property = json_object_get(properties, row->name);
        json_t *kinds =
            json_pack("[{s:s},{s:s},{s:s}]", "$ref", "#/$defs/model", "$ref", "#/$defs/preset", "type", "null");
        if (!property || json_object_set_new(property, "anyOf", kinds) != 0) return false;
    }
    return true;
}

/* Options of a kind. Nothing is required: what is missing may stand in `defaults` or on an axis of the matrix. */
static json_t *kind_schema(const ins_component *kind) {
    json_t *schema =
        kind->options ? table_schema(kind->options) : json_pack("{s:s,s:{}}", "type", "object", "properties");
    json_t *properties = json_object_get(schema, "properties");
    if (!properties || (kind->options && !refine_rows(kind->options, properties))) {
        json_decref(schema);
        return NULL;
    }
    json_object_del(schema, "allOf");
    return schema;
}

static bool add_kind(json_t *root, const ins_component *kind) {
    json_t *top = json_object_get(root, "properties");
    json_t *stage = json_object_get(json_object_get(top, "stages"), "additionalProperties");
    json_t *names = json_object_get(json_object_get(json_object_get(stage, "properties"), "kind"), "enum");
    json_t *defaults = json_object_get(json_object_get(top, "defaults"), "properties");
    json_t *as_default = kind_schema(kind), *as_stage = as_default ? json_deep_copy(as_default) : NULL;
    json_t *keys = parse(engine_keys);
    bool fine = as_stage && keys && json_object_update(json_object_get(as_stage, "properties"), keys) == 0;
    json_decref(keys);
    json_t *rule =
        fine ? json_pack("{s:{s:{s:{s:s}}},s:O}", "if", "properties", "kind", "const", kind->name, "then", as_stage)
             : NULL;
    fine = rule && json_array_append_new(json_object_get(stage, "allOf"), rule) == 0 &&
           json_array_append_new(names, json_string(kind->name)) == 0 &&
           json_object_set(defaults, kind->name, as_default) == 0;
    json_decref(as_default);
    json_decref(as_stage);
    return fine;
}

static bool add_definition(json_t *root, const ins_family *family) {
    bool is_group = family->n == 1 && strcmp(family->items[0]->name, "options") == 0;
    ins_str text = {0};
    json_t *schema = NULL;
    if (is_group) {
        schema = table_schema(family->items[0]->options);
    } else {
        ins_family_json_schema(family, &text);
        schema = text.oom ? NULL : parse(text.data);
    }
    ins_str_free(&text);
    return schema && json_object_set_new(json_object_get(root, "$defs"), family->name, schema) == 0;
}

instar_status instar_schema(instar *session, char **text) {
    ins_error err = {0};
    ins_str out = {0};
    api_begin(session);
    json_t *root = parse(skeleton);
    const ins_family *kinds = ins_family_find("stage"), *family;
    bool fine = root && kinds;
    for (int64_t i = 0; fine && i < kinds->n; i++) fine = add_kind(root, kinds->items[i]);
    for (int64_t i = 0; fine && (family = api_family_at(i)); i++)
        if (family != kinds && strcmp(family->name, "op") != 0) fine = add_definition(root, family);
    char *dump = fine ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (!dump)
        return api_end(session, INS_FAIL(&err, INS_NOMEM, "out of memory while writing the schema of recipes"), &err);
    ins_str_printf(&out, "%s\n", dump);
    free(dump);
    return api_give(session, &out, text);
}
