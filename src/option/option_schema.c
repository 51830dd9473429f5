/* JSON Schema (draft 2020-12) of tables and families, for editors and for recipes made by programs. */
#include "option/option_internal.h"

#include <string.h>

#define SCHEMA_MAX_DEPTH 6

static void put_string(ins_str *out, const char *text) {
    opt_put_json_string(out, text, strlen(text));
}

static void put_words(const char *words, bool *any, ins_str *out) {
    for (opt_word word; opt_next_word(&words, &word); *any = true) {
        if (*any) ins_str_putc(out, ',');
        opt_put_json_string(out, word.text, word.len);
    }
}

static void put_object(const ins_opt_table *table, int depth, ins_str *out);

static void put_limits(const ins_opt_row *row, ins_str *out) {
    bool plain = row->type == INS_OPT_INT || row->type == INS_OPT_SEED || row->type == INS_OPT_FLOAT;
    char text[32];
    opt_limits has = opt_limits_of(row);
    if (!plain) return;
    if (has.low)
        ins_str_printf(out, ",\"%s\":%s", row->flags & INS_OPT_EXCL_MIN ? "exclusiveMinimum" : "minimum",
                       ins_double_format(row->min, text));
    if (has.high) ins_str_printf(out, ",\"maximum\":%s", ins_double_format(row->max, text));
}

/* The schema of a value that is given, without braces. */
static void put_value(const ins_opt_row *row, int depth, ins_str *out) {
    const opt_kind *kind = opt_kind_of(row->type);
    bool any = false;
    if (row->type == INS_OPT_CHOICE) {
        ins_str_puts(out, "\"enum\":[");
        put_words(row->choices, &any, out);
        ins_str_putc(out, ']');
    } else if (row->type == INS_OPT_TABLE) {
        put_object(row->sub, depth + 1, out);
    } else if (row->type == INS_OPT_TABLES) {
        ins_str_puts(out, "\"anyOf\":[{\"type\":\"array\",\"items\":{");
        put_object(row->sub, depth + 1, out);
        ins_str_puts(out, "}},{\"type\":\"object\",\"additionalProperties\":{");
        put_object(row->sub, depth + 1, out);
        ins_str_puts(out, "}}]");
    } else if (row->type == INS_OPT_COMPONENT) {
        ins_str_printf(out, "\"$ref\":\"#/$defs/%s\"", row->choices);
    } else if (row->type == INS_OPT_COMPONENTS) {
        ins_str_printf(out,
                       "\"anyOf\":[{\"$ref\":\"#/$defs/%s\"},{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/%s\"}}]",
                       row->choices, row->choices);
    } else {
        ins_str_puts(out, kind->schema);
        put_limits(row, out);
    }
}

/* The default as JSON, as it is resolved. */
static void put_default(const ins_opt_row *row, ins_str *out) {
    bool plain = row->type <= INS_OPT_FLOATS && row->def && row->def[0];
    if (!plain) return;
    ins_arena *arena = ins_arena_new(4096);
    void *field = arena ? ins_arena_alloc(arena, opt_field_size(row)) : NULL;
    ins_diag diag = {0};
    if (field) {
        opt_context ctx = {.arena = arena, .diag = &diag, .title = row->name, .status = INS_BUG};
        opt_parse_default(&ctx, row, row->def, ctx.pos, field);
        ins_str_puts(out, ",\"default\":");
        opt_kind_of(row->type)->print(row, field, false, out);
    } else {
        out->oom = true;
    }
    ins_diag_free(&diag);
    ins_arena_free(arena);
}

static void put_property(const ins_opt_row *row, const char *name, size_t len, int depth, ins_str *out) {
    opt_put_json_string(out, name, len);
    ins_str_puts(out, ":{\"description\":");
    put_string(out, row->help);
    put_default(row, out);
    if (row->type == INS_OPT_NODE) {
        ins_str_putc(out, '}');
        return;
    }
    ins_str_puts(out, ",\"anyOf\":[{");
    put_value(row, depth, out);
    ins_str_puts(out, row->flags & INS_OPT_REQUIRED ? "}]}" : "},{\"type\":\"null\"}]}"); /* null = the default */
}

static void put_properties(const ins_opt_table *table, int depth, bool any, ins_str *out) {
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        if (any) ins_str_putc(out, ',');
        any = true;
        put_property(row, row->name, strlen(row->name), depth, out);
        const char *rest = row->aliases;
        for (opt_word word; opt_next_word(&rest, &word);) {
            ins_str_putc(out, ',');
            put_property(row, word.text, word.len, depth, out);
        }
    }
}

/* "allOf": a required row is given by its name or by one of its aliases. */
static void put_required(const ins_opt_table *table, ins_str *out) {
    bool any = false;
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        if (!(row->flags & INS_OPT_REQUIRED)) continue;
        ins_str_puts(out, any ? "," : ",\"allOf\":[");
        any = true;
        ins_str_puts(out, "{\"anyOf\":[{\"required\":[");
        put_string(out, row->name);
        ins_str_puts(out, "]}");
        const char *rest = row->aliases;
        for (opt_word word; opt_next_word(&rest, &word);) {
            ins_str_puts(out, ",{\"required\":[");
            opt_put_json_string(out, word.text, word.len);
            ins_str_puts(out, "]}");
        }
        ins_str_puts(out, "]}");
    }
    if (any) ins_str_putc(out, ']');
}

static void put_object(const ins_opt_table *table, int depth, ins_str *out) {
    ins_str_puts(out, "\"type\":\"object\",\"title\":");
    put_string(out, table->title);
    if (depth >= SCHEMA_MAX_DEPTH) return; /* a table that holds itself: deeper levels are left open */
    ins_str_puts(out, ",\"properties\":{");
    put_properties(table, depth, false, out);
    ins_str_puts(out, "},\"additionalProperties\":false");
    put_required(table, out);
}

void ins_opt_json_schema(const ins_opt_table *table, ins_str *out) {
    ins_str_putc(out, '{');
    put_object(table, 0, out);
    ins_str_putc(out, '}');
}

void ins_opt_json_properties(const ins_opt_table *table, ins_str *out) {
    put_properties(table, 0, false, out);
}

static bool has_required(const ins_opt_table *table) {
    for (const ins_opt_row *row = table ? table->rows : NULL; row && row->name; row++)
        if (row->flags & INS_OPT_REQUIRED) return true;
    return false;
}

static void put_component(const ins_component *component, ins_str *out) {
    bool any = false;
    ins_str_puts(out, ",{\"type\":\"object\",\"description\":");
    put_string(out, component->summary);
    ins_str_puts(out, ",\"properties\":{\"kind\":{\"enum\":[");
    put_words(component->name, &any, out);
    put_words(component->aliases, &any, out);
    ins_str_puts(out, "]}");
    if (component->options) put_properties(component->options, 1, true, out);
    ins_str_puts(out, "},\"required\":[\"kind\"],\"additionalProperties\":false");
    if (component->options) put_required(component->options, out);
    ins_str_putc(out, '}');
}

void ins_family_json_schema(const ins_family *family, ins_str *out) {
    bool any = false;
    ins_str_puts(out, "{\"description\":");
    put_string(out, family->summary);
    ins_str_puts(out, ",\"anyOf\":[{\"enum\":[");
    for (int64_t i = 0; i < family->n; i++) {
        if (has_required(family->items[i]->options)) continue; /* its bare name is not enough */
        put_words(family->items[i]->name, &any, out);
        put_words(family->items[i]->aliases, &any, out);
    }
    ins_str_puts(out, "]}");
    for (int64_t i = 0; i < family->n; i++) put_component(family->items[i], out);
    ins_str_puts(out, "]}");
}
