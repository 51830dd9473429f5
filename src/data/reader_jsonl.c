/* JSON Lines: one object a line. Texts become fields; numbers and truth values their JSON text; a list of texts becomes
 * one field with a text a line; anything else its JSON. null is no field.
 *
 *   fields: {text: body, title: meta.headline}    takes only these, under new names; dots go into inner objects */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data/cursor.h"
#include "data/reader_common.h"

typedef struct jsonl_options {
    ins_reader_common common;
    ins_source source;
    const ins_node *fields;
} jsonl_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(jsonl_options),
    INS_SOURCE_ROWS(jsonl_options, source),
    {.name = "fields",
     .type = INS_OPT_NODE,
     .offset = offsetof(jsonl_options, fields),
     .help = "Map of our field to the file's key (dots for inner objects), as in {text: body}; default: all keys."},
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'jsonl'", rows, sizeof(jsonl_options)};

static const char *const wanted[] = {"*.jsonl", "*.jsonl.gz", "*.jsonl.zst", NULL};

typedef struct jsonl_state {
    const jsonl_options *options;
    ins_cursor cursor;
} jsonl_state;

static ins_status jsonl_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    jsonl_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for reader 'jsonl'");
    s->options = options;
    *state = s;
    return ins_cursor_open(&s->options->source, wanted, log, &s->cursor, err);
}

static void jsonl_close(void *state) {
    jsonl_state *s = state;
    if (!s) return;
    ins_cursor_close(&s->cursor);
    ins_free(s);
}

static bool all_strings(const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!json_is_string(json_array_get(list, i))) return false;
    }
    return true;
}

static ins_status set_lines(ins_document *doc, const char *name, const json_t *list, ins_error *err) {
    ins_str text = {0};
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (i) ins_str_putc(&text, '\n');
        ins_str_append(&text, json_string_value(item), json_string_length(item));
    }
    ins_status status = text.oom ? INS_FAIL(err, INS_NOMEM, "out of memory for a document")
                                 : ins_document_set(doc, name, text.data ? text.data : "", text.len, err);
    ins_str_free(&text);
    return status;
}

static ins_status set_value(ins_document *doc, const char *name, const json_t *value, ins_error *err) {
    if (!value || json_is_null(value)) return INS_OK;
    if (json_is_string(value)) {
        return ins_document_set(doc, name, json_string_value(value), json_string_length(value), err);
    }
    if (json_is_array(value) && all_strings(value)) return set_lines(doc, name, value, err);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (!text) return INS_FAIL(err, INS_NOMEM, "out of memory for a document");
    ins_status status = ins_document_puts(doc, name, text, err);
    free(text);
    return status;
}

/* Value at "meta.headline"; a key that has the dot itself comes first. */
static const json_t *find_path(const json_t *object, const char *path) {
    const json_t *whole = json_object_get(object, path);
    if (whole) return whole;
    const char *dot = strchr(path, '.');
    if (!dot) return NULL;
    char key[256];
    size_t n = (size_t)(dot - path);
    if (n >= sizeof key) return NULL;
    memcpy(key, path, n);
    key[n] = 0;
    const json_t *inner = json_object_get(object, key);
    return inner ? find_path(inner, dot + 1) : NULL;
}

static ins_status fill(const jsonl_options *o, json_t *object, ins_document *doc, ins_error *err) {
    if (o->fields) {
        for (int64_t i = 0; i < o->fields->n_items; i++) {
            const ins_node *item = o->fields->items[i];
            INS_TRY(set_value(doc, item->key, find_path(object, item->text), err));
        }
        return INS_OK;
    }
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        INS_TRY(set_value(doc, json_object_iter_key(at), json_object_iter_value(at), err));
    }
    return INS_OK;
}

static ins_status parse_line(jsonl_state *s, const char *line, size_t n, ins_document *doc, ins_error *err) {
    json_error_t problem;
    json_t *object = json_loadb(line, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);
    if (!object) {
        INS_CURSOR_FAIL(err, &s->cursor, "this line is not JSON: %s", problem.text);
        ins_error_hint(err, "column %d; every line of a JSON Lines file is one object", problem.column);
        return INS_DATA;
    }
    ins_status status = INS_OK;
    if (!json_is_object(object)) status = INS_CURSOR_FAIL(err, &s->cursor, "this line is JSON, but no object {...}");
    if (status == INS_OK) status = fill(s->options, object, doc, err);
    json_decref(object);
    return status;
}

static ins_status jsonl_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    jsonl_state *s = state;
    for (;;) {
        if (!s->cursor.stream) {
            INS_TRY(ins_cursor_next_file(&s->cursor, end, err));
            if (*end) return INS_OK;
        }
        const char *line;
        size_t n;
        bool file_end;
        INS_TRY(ins_cursor_line(&s->cursor, &line, &n, &file_end, err));
        if (file_end) {
            INS_TRY(ins_cursor_next_file(&s->cursor, end, err));
            if (*end) return INS_OK;
            continue;
        }
        if (ins_line_blank(line, n)) continue;
        doc->source = ins_cursor_pos(&s->cursor);
        *end = false;
        return parse_line(s, line, n, doc, err);
    }
}

static ins_status jsonl_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    return ins_source_fingerprint(&((const jsonl_options *)options)->source, wanted, out, bytes, err);
}

static uint64_t jsonl_position(const void *state) {
    return ins_cursor_bytes(&((const jsonl_state *)state)->cursor);
}

static void jsonl_check(const void *options, ins_pos pos, ins_diag *diag) {
    const jsonl_options *o = options;
    ins_source_check(&o->source, "jsonl", pos, diag);
    if (!o->fields) return;
    if (o->fields->kind != INS_NODE_MAP) {
        ins_diag_add(diag, INS_RECIPE, o->fields->pos, "as in {text: body}", "fields must be a map of ours to theirs");
        return;
    }
    for (int64_t i = 0; i < o->fields->n_items; i++) {
        const ins_node *item = o->fields->items[i];
        if (item->kind == INS_NODE_SCALAR && *item->text) continue;
        ins_diag_add(diag, INS_RECIPE, item->pos, NULL, "fields.%s must be the name of a key", item->key);
    }
}

const ins_reader_desc ins_reader_jsonl = {
    .head = {.family = "reader",
             .name = "jsonl",
             .aliases = "json-lines",
             .summary = "JSON Lines files (.gz and .zst too), one object a line.",
             .version = 1,
             .options = &table,
             .check = jsonl_check},
    .open = jsonl_open,
    .next = jsonl_next,
    .close = jsonl_close,
    .fingerprint = jsonl_fingerprint,
    .position = jsonl_position,
};
