/* Comma- or tab-separated values (RFC 4180): quoted fields may hold separators, doubled quotes and line breaks.
 *
 * The fields of a document are the columns, named by the header row or by `names`. */
#include <inttypes.h>
#include <string.h>

#include "data/cursor.h"
#include "data/reader_common.h"

typedef struct csv_options {
    ins_reader_common common;
    ins_source source;
    const char *delimiter;
    bool header, quotes;
    ins_opt_strings names;
    const ins_node *fields;
} csv_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(csv_options),
    INS_SOURCE_ROWS(csv_options, source),
    {.name = "delimiter",
     .type = INS_OPT_STRING,
     .offset = offsetof(csv_options, delimiter),
     .def = ",",
     .help = "What separates columns: one character, or the word tab."},
    {.name = "header",
     .type = INS_OPT_BOOL,
     .offset = offsetof(csv_options, header),
     .def = "true",
     .help = "The first row of every file holds the names of the columns."},
    {.name = "quotes",
     .type = INS_OPT_BOOL,
     .offset = offsetof(csv_options, quotes),
     .def = "true",
     .help = "A field that begins with a double quote ends at the next one; false takes quotes as they are."},
    {.name = "names",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(csv_options, names),
     .help = "Names of the columns, for files without a header or instead of it."},
    {.name = "fields",
     .type = INS_OPT_NODE,
     .offset = offsetof(csv_options, fields),
     .help = "Map of our field to a column's name, as in {text: body}; default: all columns."},
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'csv'", rows, sizeof(csv_options)};

static const char *const wanted[] = {"*.csv", "*.csv.gz", "*.tsv", "*.tsv.gz", NULL};

typedef struct csv_row {
    ins_str text;   /* the fields' bytes, one after the other, each with a NUL */
    size_t *starts; /* [n] */
    size_t *sizes;  /* [n] */
    int64_t n, cap;
} csv_row;

typedef struct csv_state {
    const csv_options *options;
    ins_cursor cursor;
    char delimiter;
    csv_row header, row;
} csv_state;

static void row_free(csv_row *row) {
    ins_str_free(&row->text);
    ins_free(row->starts);
    ins_free(row->sizes);
}

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory for a row");
}

/* Close the field whose bytes began at `start`. */
static ins_status row_push(csv_row *row, size_t start, ins_error *err) {
    if (row->n == row->cap) {
        int64_t cap = row->cap ? 2 * row->cap : 16;
        size_t *starts = ins_realloc(row->starts, (size_t)cap * sizeof *starts);
        if (starts) row->starts = starts;
        size_t *sizes = ins_realloc(row->sizes, (size_t)cap * sizeof *sizes);
        if (sizes) row->sizes = sizes;
        if (!starts || !sizes) return no_memory(err);
        row->cap = cap;
    }
    row->starts[row->n] = start;
    row->sizes[row->n++] = row->text.len - start;
    ins_str_putc(&row->text, 0);
    return row->text.oom ? no_memory(err) : INS_OK;
}

/* The rest of a quoted field, over as many lines as it takes. *line, *n move behind its closing quote. */
static ins_status quoted(csv_state *s, csv_row *row, const char **line, size_t *n, ins_error *err) {
    ins_pos start = ins_cursor_pos(&s->cursor);
    for (;;) {
        const char *quote = memchr(*line, '"', *n);
        size_t before = quote ? (size_t)(quote - *line) : *n;
        ins_str_append(&row->text, *line, before);
        if (quote) {
            *line += before + 1;
            *n -= before + 1;
            if (*n == 0 || **line != '"') return INS_OK;
            ins_str_putc(&row->text, '"'); /* doubled */
            ++*line;
            --*n;
            continue;
        }
        bool end;
        INS_TRY(ins_cursor_line(&s->cursor, line, n, &end, err));
        if (end) {
            INS_FAIL(err, INS_DATA, "a quoted field begins here and never ends");
            ins_error_at(err, start);
            ins_error_hint(err, "write 'quotes: false' if the file's quotes are plain characters");
            return INS_DATA;
        }
        ins_str_putc(&row->text, '\n');
        if (row->text.len > INS_LINE_MAX) return INS_CURSOR_FAIL(err, &s->cursor, "a field is too long");
    }
}

/* One row; *end at the end of the file. Blank lines are skipped. */
static ins_status read_row(csv_state *s, csv_row *row, int *at_line, bool *end, ins_error *err) {
    const char *line;
    size_t n;
    row->n = 0;
    ins_str_clear(&row->text);
    do {
        INS_TRY(ins_cursor_line(&s->cursor, &line, &n, end, err));
        if (*end) return INS_OK;
    } while (n == 0);
    *at_line = ins_cursor_pos(&s->cursor).line;
    if (*at_line == 1 && n >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) { /* byte order mark */
        line += 3;
        n -= 3;
    }
    for (;;) {
        size_t start = row->text.len;
        if (s->options->quotes && n > 0 && *line == '"') {
            line++;
            n--;
            INS_TRY(quoted(s, row, &line, &n, err));
            if (n > 0 && *line != s->delimiter) {
                return INS_CURSOR_FAIL(err, &s->cursor, "there is text behind the closing quote of a field");
            }
        } else {
            const char *next = memchr(line, s->delimiter, n);
            size_t size = next ? (size_t)(next - line) : n;
            ins_str_append(&row->text, line, size);
            line += size;
            n -= size;
        }
        INS_TRY(row_push(row, start, err));
        if (n == 0) return INS_OK;
        line++;
        if (--n == 0) return row_push(row, row->text.len, err); /* an empty last field */
    }
}

static ins_status csv_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    csv_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for reader 'csv'");
    s->options = options;
    s->delimiter = strcmp(s->options->delimiter, "tab") == 0 ? '\t' : s->options->delimiter[0];
    *state = s;
    return ins_cursor_open(&s->options->source, wanted, log, &s->cursor, err);
}

static void csv_close(void *state) {
    csv_state *s = state;
    if (!s) return;
    ins_cursor_close(&s->cursor);
    row_free(&s->header);
    row_free(&s->row);
    ins_free(s);
}

static int64_t n_columns(const csv_state *s) {
    return s->options->names.n ? s->options->names.n : s->header.n;
}

static const char *column_name(const csv_state *s, int64_t i) {
    return s->options->names.n ? s->options->names.items[i] : s->header.text.data + s->header.starts[i];
}

/* The header of a file that was just opened. */
static ins_status begin_file(csv_state *s, ins_error *err) {
    bool file_end = false;
    int line;
    if (s->options->header) INS_TRY(read_row(s, &s->header, &line, &file_end, err));
    if (file_end) {
        s->header.n = 0;
        return INS_OK;
    }
    const ins_node *fields = s->options->fields;
    for (int64_t i = 0; fields && i < fields->n_items; i++) {
        const char *name = fields->items[i]->text;
        int64_t at = 0;
        while (at < n_columns(s) && strcmp(column_name(s, at), name) != 0) at++;
        if (at < n_columns(s)) continue;
        return INS_CURSOR_FAIL(err, &s->cursor, "there is no column '%s'", name);
    }
    return INS_OK;
}

static ins_status fill(const csv_state *s, ins_document *doc, ins_error *err) {
    const ins_node *fields = s->options->fields;
    for (int64_t i = 0; i < s->row.n; i++) {
        const char *name = column_name(s, i), *value = s->row.text.data + s->row.starts[i];
        if (!fields) {
            if (*name) INS_TRY(ins_document_set(doc, name, value, s->row.sizes[i], err));
            continue;
        }
        for (int64_t f = 0; f < fields->n_items; f++) {
            if (strcmp(fields->items[f]->text, name) != 0) continue;
            INS_TRY(ins_document_set(doc, fields->items[f]->key, value, s->row.sizes[i], err));
        }
    }
    return INS_OK;
}

static ins_status csv_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    csv_state *s = state;
    bool file_end = true;
    int line = 0;
    for (;;) {
        if (s->cursor.stream) INS_TRY(read_row(s, &s->row, &line, &file_end, err));
        if (!file_end) break;
        INS_TRY(ins_cursor_next_file(&s->cursor, end, err));
        if (*end) return INS_OK;
        INS_TRY(begin_file(s, err));
    }
    *end = false;
    doc->source = (ins_pos){ins_cursor_path(&s->cursor), line, 0};
    if (s->row.n != n_columns(s)) {
        INS_FAIL(err, INS_DATA, "this row has %" PRId64 " fields, and there are %" PRId64 " columns", s->row.n,
                 n_columns(s));
        ins_error_at(err, doc->source);
        ins_error_hint(err, "check 'delimiter' and 'quotes'; a field that holds the delimiter must be in quotes");
        return INS_DATA;
    }
    return fill(s, doc, err);
}

static ins_status csv_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    return ins_source_fingerprint(&((const csv_options *)options)->source, wanted, out, bytes, err);
}

static uint64_t csv_position(const void *state) {
    return ins_cursor_bytes(&((const csv_state *)state)->cursor);
}

static void csv_check(const void *options, ins_pos pos, ins_diag *diag) {
    const csv_options *o = options;
    ins_source_check(&o->source, "csv", pos, diag);
    if (!o->delimiter || (strlen(o->delimiter) != 1 && strcmp(o->delimiter, "tab") != 0) || *o->delimiter == '"') {
        ins_diag_add(diag, INS_RECIPE, pos, "as in ';' or tab", "delimiter must be one character");
    }
    if (!o->header && o->names.n == 0) {
        ins_diag_add(diag, INS_RECIPE, pos, "as in names: [label, text]", "a file without a header needs names");
    }
    if (!o->fields) return;
    if (o->fields->kind != INS_NODE_MAP) {
        ins_diag_add(diag, INS_RECIPE, o->fields->pos, "as in {text: body}", "fields must be a map of ours to theirs");
        return;
    }
    for (int64_t i = 0; i < o->fields->n_items; i++) {
        const ins_node *item = o->fields->items[i];
        if (item->kind == INS_NODE_SCALAR && *item->text) continue;
        ins_diag_add(diag, INS_RECIPE, item->pos, NULL, "fields.%s must be the name of a column", item->key);
    }
}

const ins_reader_desc ins_reader_csv = {
    .head = {.family = "reader",
             .name = "csv",
             .summary = "Comma- or tab-separated values with quotes (RFC 4180).",
             .version = 1,
             .options = &table,
             .check = csv_check},
    .open = csv_open,
    .next = csv_next,
    .close = csv_close,
    .fingerprint = csv_fingerprint,
    .position = csv_position,
};
