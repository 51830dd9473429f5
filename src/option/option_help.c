/* Help for people: terminal text and Markdown. */
#include "option/option_internal.h"

#include <string.h>

#define HELP_MAX_DEPTH 4

/* What a row accepts: "whole number from 1 to 10, steps", "gelu, relu or silu", "component of the family optimizer". */
static void put_type(const ins_opt_row *row, ins_str *out) {
    const opt_kind *kind = opt_kind_of(row->type);
    if (row->type == INS_OPT_CHOICE) {
        const char *rest = row->choices;
        bool first = true;
        for (opt_word word; opt_next_word(&rest, &word); first = false) {
            if (!first) ins_str_puts(out, " | ");
            ins_str_append(out, word.text, word.len);
        }
        return;
    }
    ins_str_puts(out, kind->name);
    if (row->type == INS_OPT_COMPONENT || row->type == INS_OPT_COMPONENTS)
        ins_str_printf(out, " of the family %s", row->choices);
    char range[96];
    if (opt_range_text(row, range)[0]) ins_str_printf(out, " %s", range);
    if (row->unit) ins_str_printf(out, ", %s", row->unit);
}

static void put_default(const ins_opt_row *row, const char *before, const char *after, ins_str *out) {
    if (row->flags & INS_OPT_REQUIRED) {
        ins_str_puts(out, "required");
    } else if (row->def && row->def[0]) {
        ins_str_printf(out, "%s%s%s", before, row->def, after);
    } else if (row->type == INS_OPT_CHOICE) {
        const char *rest = row->choices;
        opt_word word;
        if (opt_next_word(&rest, &word)) ins_str_printf(out, "%s%.*s%s", before, (int)word.len, word.text, after);
    } else if (row->type <= INS_OPT_DURATION) {
        ins_str_printf(out, "%s0%s", before, after);
    } else if (row->type == INS_OPT_BOOL) {
        ins_str_printf(out, "%sfalse%s", before, after);
    }
}

/* Words of `text` in lines of at most `width` columns, each after `indent` spaces. `column` is where the first line
 * stands already. Bytes that continue a UTF-8 sequence take no column. */
static void put_wrapped(const char *text, int indent, int width, int column, ins_str *out) {
    bool line_empty = column <= indent;
    for (const char *p = text + strspn(text, " \n"); *p;) {
        size_t len = strcspn(p, " \n");
        int columns = 0;
        for (size_t i = 0; i < len; i++) columns += ((unsigned char)p[i] & 0xC0u) != 0x80u;
        if (!line_empty && column + 1 + columns > width) {
            ins_str_putc(out, '\n');
            column = 0;
            line_empty = true;
        }
        for (; line_empty && column < indent; column++) ins_str_putc(out, ' ');
        if (!line_empty) {
            ins_str_putc(out, ' ');
            column++;
        }
        ins_str_append(out, p, len);
        column += columns;
        line_empty = false;
        p += len;
        p += strspn(p, " \n");
    }
    ins_str_putc(out, '\n');
}

/* Dotted name of the rows below `row`: "optimizer.", "sources.NAME." */
static void put_inner_prefix(const char *prefix, const ins_opt_row *row, ins_str *out) {
    ins_str_printf(out, "%s%s%s", prefix, row->name, row->type == INS_OPT_TABLES ? ".NAME." : ".");
}

typedef struct help_state {
    ins_str *out;
    int width;
    void (*put_row)(const struct help_state *state, const char *prefix, const ins_opt_row *row);
} help_state;

static void walk_rows(const help_state *state, const ins_opt_table *table, const char *prefix, int depth) {
    for (const ins_opt_row *row = table->rows; row->name; row++) {
        state->put_row(state, prefix, row);
        if (!row->sub || depth >= HELP_MAX_DEPTH) continue;
        ins_str inner = {0};
        put_inner_prefix(prefix, row, &inner);
        if (inner.oom)
            state->out->oom = true;
        else
            walk_rows(state, row->sub, inner.data, depth + 1);
        ins_str_free(&inner);
    }
}

static void put_text_row(const help_state *state, const char *prefix, const ins_opt_row *row) {
    ins_str head = {0};
    put_type(row, &head);
    ins_str def = {0};
    put_default(row, "default ", "", &def);
    if (def.len) ins_str_printf(&head, "; %s", def.data);
    if (row->aliases) ins_str_printf(&head, "; also called %s", row->aliases);
    if (head.oom || def.oom) state->out->oom = true;
    size_t start = state->out->len;
    ins_str_printf(state->out, "  %s%s  ", prefix, row->name);
    int column = (int)(state->out->len - start);
    while (column < 20) {
        ins_str_putc(state->out, ' ');
        column++;
    }
    if (head.data) put_wrapped(head.data, 20, state->width, 20, state->out);
    put_wrapped(row->help, 6, state->width, 0, state->out);
    ins_str_free(&head);
    ins_str_free(&def);
}

void ins_opt_help_text(const ins_opt_table *table, int width, ins_str *out) {
    help_state state = {.out = out, .width = width == 0 ? 80 : width < 40 ? 40 : width, .put_row = put_text_row};
    walk_rows(&state, table, "", 0);
}

/* Text inside a Markdown table's cell. */
static void put_cell(const char *text, ins_str *out) {
    for (const char *p = text; *p; p++) {
        if (*p == '|') ins_str_putc(out, '\\');
        ins_str_putc(out, *p == '\n' ? ' ' : *p);
    }
}

static void put_markdown_row(const help_state *state, const char *prefix, const ins_opt_row *row) {
    ins_str *out = state->out;
    ins_str type = {0}, def = {0};
    put_type(row, &type);
    put_default(row, "`", "`", &def);
    ins_str_printf(out, "| `%s%s` | ", prefix, row->name);
    put_cell(type.data ? type.data : "", out);
    ins_str_puts(out, " | ");
    put_cell(def.data ? def.data : "", out);
    ins_str_puts(out, " | ");
    put_cell(row->help, out);
    const char *rest = row->aliases;
    bool first = true;
    for (opt_word word; opt_next_word(&rest, &word); first = false)
        ins_str_printf(out, "%s`%.*s`", first ? " Also called " : ", ", (int)word.len, word.text);
    ins_str_puts(out, first ? " |\n" : ". |\n");
    if (type.oom || def.oom) out->oom = true;
    ins_str_free(&type);
    ins_str_free(&def);
}

void ins_opt_help_markdown(const ins_opt_table *table, ins_str *out) {
    if (!table->rows->name) return;
    help_state state = {.out = out, .width = 0, .put_row = put_markdown_row};
    ins_str_puts(out, "| option | value | default | meaning |\n|---|---|---|---|\n");
    walk_rows(&state, table, "", 0);
}
