/* Tables, wrapped text and JSON pieces for the results of calls. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "base/mem.h"

api_table api_table_new(const char *align) {
    return (api_table){.n_columns = (int)strlen(align), .align = align, .arena = ins_arena_new(0)};
}

void api_cell(api_table *table, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!table->arena) table->oom = true;
    if (table->oom) return;
    if (table->n_cells == table->cap_cells) {
        int64_t cap = table->cap_cells ? table->cap_cells * 2 : 64;
        const char **grown = ins_arena_alloc(table->arena, (size_t)cap * sizeof *grown);
        if (!grown) {
            table->oom = true;
            return;
        }
        if (table->n_cells) memcpy(grown, table->cells, (size_t)table->n_cells * sizeof *grown);
        table->cells = grown;
        table->cap_cells = cap;
    }
    const char *copy = ins_arena_strdup(table->arena, text);
    if (!copy) table->oom = true;
    table->cells[table->n_cells++] = copy ? copy : "";
}

/* Columns that a text takes: code points, which is near enough for names and numbers. */
static int text_width(const char *text) {
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xC0u) != 0x80u;
    return width;
}

static void put_blanks(ins_str *out, int n) {
    for (int i = 0; i < n; i++) ins_str_putc(out, ' ');
}

static void print_row(const api_table *table, int64_t row, const int *widths, ins_str *out) {
    int owed = 0; /* blanks are written before the next text only, so that no line ends in them */
    for (int c = 0; c < table->n_columns; c++) {
        const char *cell = table->cells[row * table->n_columns + c];
        int pad = widths[c] - text_width(cell);
        bool right = table->align[c] == 'r';
        if (right) owed += pad;
        if (cell[0]) {
            put_blanks(out, owed);
            ins_str_puts(out, cell);
            owed = 0;
        }
        owed += (right ? 0 : pad) + 2;
    }
    ins_str_putc(out, '\n');
}

void api_table_print(api_table *table, ins_str *out) {
    int widths[32] = {0};
    int64_t n_rows = table->n_cells / table->n_columns;
    if (table->oom || table->n_columns > 32) out->oom = true;
    for (int64_t i = 0; i < n_rows * table->n_columns && !out->oom; i++) {
        int width = text_width(table->cells[i]);
        if (width > widths[i % table->n_columns]) widths[i % table->n_columns] = width;
    }
    for (int64_t row = 0; row < n_rows && !out->oom; row++) print_row(table, row, widths, out);
    ins_arena_free(table->arena);
    *table = (api_table){0};
}

void api_wrap(ins_str *out, const char *text, int indent, int width) {
    int column = 0;
    while (*text) {
        size_t n = strcspn(text, " \n");
        char word[512];
        snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), text);
        int len = text_width(word);
        if (column > 0 && column + 1 + len > width) {
            ins_str_putc(out, '\n');
            column = 0;
        }
        if (column == 0) {
            put_blanks(out, indent);
            column = indent;
        } else {
            ins_str_putc(out, ' ');
            column++;
        }
        ins_str_puts(out, word);
        column += len;
        text += n;
        text += strspn(text, " \n");
    }
    ins_str_putc(out, '\n');
}

void api_json_string(ins_str *out, const char *text) {
    if (!text) {
        ins_str_puts(out, "null");
        return;
    }
    ins_str_putc(out, '"');
    ins_str_json_escape(out, text, strlen(text));
    ins_str_putc(out, '"');
}

void api_json_number(ins_str *out, double value) {
    char text[32];
    ins_str_puts(out, isfinite(value) ? ins_double_format(value, text) : "null");
}
