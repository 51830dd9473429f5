/* Plain text files: a document a file, a paragraph, a line, or what stands between separator lines.
 *
 * Fields: text, id ("NAME" or "NAME#3"), group. A group is what the split keeps together: a whole file, or a run of
 * `group_size` neighbouring documents of one file. */
#include <string.h>

#include "base/file.h"
#include "data/cursor.h"
#include "data/reader_common.h"

typedef enum text_split { SPLIT_FILE, SPLIT_BLANK, SPLIT_LINE, SPLIT_SEPARATOR } text_split;

typedef struct text_options {
    ins_reader_common common;
    ins_source source;
    int split;
    const char *separator;
    int64_t group_size;
} text_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(text_options),
    INS_SOURCE_ROWS(text_options, source),
    {.name = "split",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(text_options, split),
     .def = "file",
     .choices = "file blank-lines lines separator",
     .help = "What a document is: a file, a paragraph, a line, or the lines between separator lines."},
    {.name = "separator",
     .type = INS_OPT_STRING,
     .offset = offsetof(text_options, separator),
     .def = "%",
     .help = "The line that ends a document (split: separator)."},
    {.name = "group_size",
     .type = INS_OPT_SIZE,
     .offset = offsetof(text_options, group_size),
     .def = "0",
     .min = 0,
     .max = 9e18,
     .unit = "documents",
     .help = "Neighbouring documents of a file that the split keeps together; 0 = the whole file."},
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'text'", rows, sizeof(text_options)};

/* Packages hold documentation next to programs and data: these are the ones with text to read. */
static const char *const wanted[] = {"*.txt", "*.txt.gz", "*.md", "*.md.gz", NULL};

typedef struct text_state {
    const text_options *options;
    ins_cursor cursor;
    bool in_file;
    ins_str doc;    /* the document being collected */
    int line;       /* where it starts */
    int64_t number; /* of the document in its file, from 0 */
} text_state;

static ins_status text_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    text_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for reader 'text'");
    s->options = options;
    *state = s;
    return ins_cursor_open(&s->options->source, wanted, log, &s->cursor, err);
}

static void text_close(void *state) {
    text_state *s = state;
    if (!s) return;
    ins_cursor_close(&s->cursor);
    ins_str_free(&s->doc);
    ins_free(s);
}

/* Does this line end the document so far? */
static bool ends_document(const text_options *o, const char *line, size_t n) {
    if (o->split == SPLIT_LINE) return true;
    if (o->split == SPLIT_BLANK) return ins_line_blank(line, n);
    if (o->split == SPLIT_SEPARATOR) return n == strlen(o->separator) && memcmp(line, o->separator, n) == 0;
    return false;
}

/* Collect the next document of the current file into s->doc; *end when the file has no more. */
static ins_status collect(text_state *s, bool *end, ins_error *err) {
    const text_options *o = s->options;
    ins_str_clear(&s->doc);
    for (;;) {
        const char *line;
        size_t n;
        bool file_end;
        INS_TRY(ins_cursor_line(&s->cursor, &line, &n, &file_end, err));
        bool stop = file_end || ends_document(o, line, n);
        if (!file_end && (!stop || o->split == SPLIT_LINE)) {
            if (s->doc.len == 0) s->line = ins_cursor_pos(&s->cursor).line;
            ins_str_append(&s->doc, line, n);
            if (o->split != SPLIT_LINE) ins_str_putc(&s->doc, '\n');
        }
        if (s->doc.oom) return INS_FAIL(err, INS_NOMEM, "out of memory for '%s'", ins_cursor_path(&s->cursor));
        if (!stop) continue;
        *end = file_end && s->doc.len == 0;
        if (s->doc.len || file_end) return INS_OK;
    }
}

static ins_status emit(text_state *s, ins_document *doc, ins_error *err) {
    const text_options *o = s->options;
    const char *name = ins_path_base(ins_cursor_path(&s->cursor));
    doc->source = (ins_pos){ins_cursor_path(&s->cursor), s->line, 0};
    INS_TRY(ins_document_set(doc, "text", s->doc.data, s->doc.len, err));
    const char *id =
        o->split == SPLIT_FILE ? name : ins_arena_printf(doc->arena, "%s#%lld", name, (long long)s->number);
    const char *group = name;
    if (o->group_size > 0) {
        group = ins_arena_printf(doc->arena, "%s@%lld", name, (long long)(s->number / o->group_size));
    }
    s->number++;
    if (!id || !group) return INS_FAIL(err, INS_NOMEM, "out of memory for a document");
    INS_TRY(ins_document_puts(doc, "id", id, err));
    return ins_document_puts(doc, "group", group, err);
}

static ins_status text_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    text_state *s = state;
    for (;;) {
        if (!s->in_file) {
            INS_TRY(ins_cursor_next_file(&s->cursor, end, err));
            if (*end) return INS_OK;
            s->in_file = true;
            s->number = 0;
        }
        bool file_end = false;
        INS_TRY(collect(s, &file_end, err));
        if (!file_end) break;
        s->in_file = false;
    }
    *end = false;
    return emit(s, doc, err);
}

static ins_status text_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    return ins_source_fingerprint(&((const text_options *)options)->source, wanted, out, bytes, err);
}

static uint64_t text_position(const void *state) {
    return ins_cursor_bytes(&((const text_state *)state)->cursor);
}

static void text_check(const void *options, ins_pos pos, ins_diag *diag) {
    ins_source_check(&((const text_options *)options)->source, "text", pos, diag);
}

const ins_reader_desc ins_reader_text = {
    .head = {.family = "reader",
             .name = "text",
             .summary = "Plain text files (.gz and .zst too): a document a file, paragraph, line or separated part.",
             .version = 1,
             .options = &table,
             .check = text_check},
    .open = text_open,
    .next = text_next,
    .close = text_close,
    .fingerprint = text_fingerprint,
    .position = text_position,
};
