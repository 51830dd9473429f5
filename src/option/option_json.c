/* Resolved values as canonical JSON. */
#include "option/option_internal.h"

#include <math.h>
#include <string.h>

void opt_put_json_string(ins_str *out, const char *text, size_t len) {
    ins_str_putc(out, '"');
    ins_str_json_escape(out, text, len);
    ins_str_putc(out, '"');
}

static void put_string(ins_str *out, const char *text) {
    if (text)
        opt_put_json_string(out, text, strlen(text));
    else
        ins_str_puts(out, "null");
}

static void put_double(ins_str *out, double value) {
    char text[32];
    ins_double_format(value, text);
    if (isfinite(value))
        ins_str_puts(out, text);
    else
        put_string(out, text); /* JSON has no infinity */
}

void opt_print_whole(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    (void)for_hash;
    ins_str_printf(out, "%lld", (long long)*(const int64_t *)field);
}

void opt_print_float(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    (void)for_hash;
    put_double(out, *(const double *)field);
}

void opt_print_bool(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    (void)for_hash;
    ins_str_puts(out, *(const bool *)field ? "true" : "false");
}

void opt_print_string(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    (void)for_hash;
    put_string(out, *(const char *const *)field);
}

void opt_print_choice(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)for_hash;
    const char *rest = row->choices;
    int index = 0, wanted = *(const int *)field;
    for (opt_word word; opt_next_word(&rest, &word); index++) {
        if (index != wanted) continue;
        opt_put_json_string(out, word.text, word.len);
        return;
    }
    ins_str_puts(out, "null");
}

void opt_print_strings(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    (void)for_hash;
    const ins_opt_strings *list = field;
    ins_str_putc(out, '[');
    for (int64_t i = 0; i < list->n; i++) {
        if (i) ins_str_putc(out, ',');
        put_string(out, list->items[i]);
    }
    ins_str_putc(out, ']');
}

void opt_print_floats(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    (void)for_hash;
    const ins_opt_floats *list = field;
    ins_str_putc(out, '[');
    for (int64_t i = 0; i < list->n; i++) {
        if (i) ins_str_putc(out, ',');
        put_double(out, list->items[i]);
    }
    ins_str_putc(out, ']');
}

/* Is the field what `neutral` would give? Compared as canonical text, so it works for every type. */
static bool is_neutral(const ins_opt_row *row, const char *printed, size_t len, ins_str *out) {
    if (!row->neutral) return false;
    ins_arena *arena = ins_arena_new(4096);
    void *field = arena ? ins_arena_alloc(arena, opt_field_size(row)) : NULL;
    ins_diag diag = {0};
    ins_str text = {0};
    if (field) {
        opt_context ctx = {.arena = arena, .diag = &diag, .title = row->name, .status = INS_BUG};
        opt_parse_default(&ctx, row, row->neutral, ctx.pos, field);
        opt_kind_of(row->type)->print(row, field, true, &text);
    }
    if (!field || text.oom) out->oom = true;
    bool same = field && !text.oom && text.len == len && memcmp(text.data, printed, len) == 0;
    ins_diag_free(&diag);
    ins_str_free(&text);
    ins_arena_free(arena);
    return same;
}

/* "name":value pairs; `any` says whether something stands before them. */
static void put_rows(const ins_opt_table *table, const void *values, bool for_hash, bool any, ins_str *out) {
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        if (for_hash && (row->flags & INS_OPT_NO_HASH)) continue;
        size_t start = out->len;
        if (any) ins_str_putc(out, ',');
        put_string(out, row->name);
        ins_str_putc(out, ':');
        size_t value_at = out->len;
        opt_kind_of(row->type)->print(row, (const char *)values + row->offset, for_hash, out);
        if (out->oom) return;
        if (for_hash && is_neutral(row, out->data + value_at, out->len - value_at, out)) {
            out->len = start;
            out->data[start] = '\0';
        } else {
            any = true;
        }
    }
}

void ins_opt_to_json(const ins_opt_table *table, const void *values, bool for_hash, ins_str *out) {
    ins_str_putc(out, '{');
    put_rows(table, values, for_hash, false, out);
    ins_str_putc(out, '}');
}

void opt_print_sub(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    ins_opt_to_json(row->sub, field, for_hash, out);
}

void opt_print_tables(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    const ins_opt_tables *tables = field;
    bool map = tables->n > 0 && tables->names[0];
    ins_str_putc(out, map ? '{' : '[');
    for (int64_t i = 0; i < tables->n; i++) {
        if (i) ins_str_putc(out, ',');
        if (map) {
            put_string(out, tables->names[i]);
            ins_str_putc(out, ':');
        }
        ins_opt_to_json(row->sub, (const char *)tables->items + (size_t)i * row->sub->size, for_hash, out);
    }
    ins_str_putc(out, map ? '}' : ']');
}

void ins_component_to_json(const ins_opt_component *component, bool for_hash, ins_str *out) {
    const ins_component *desc = component->desc;
    if (!desc) {
        ins_str_puts(out, "null");
        return;
    }
    ins_str_puts(out, "{\"kind\":");
    put_string(out, desc->name);
    ins_str_printf(out, ",\"version\":%d", desc->version);
    if (desc->options && component->options) put_rows(desc->options, component->options, for_hash, true, out);
    ins_str_putc(out, '}');
}

void opt_print_component(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    ins_component_to_json(field, for_hash, out);
}

void opt_print_components(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    const ins_opt_components *list = field;
    ins_str_putc(out, '[');
    for (int64_t i = 0; i < list->n; i++) {
        if (i) ins_str_putc(out, ',');
        ins_component_to_json(&list->items[i], for_hash, out);
    }
    ins_str_putc(out, ']');
}

void opt_print_node(const ins_opt_row *row, const void *field, bool for_hash, ins_str *out) {
    (void)row;
    (void)for_hash;
    ins_node_to_json(*(const ins_node *const *)field, out);
}
