/* JSON through jansson. */
#include "format/json.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

ins_status ins_json_read_text(const char *text, size_t n, const char *name, json_t **out, ins_error *err) {
    json_error_t problem;
    /* jansson itself refuses nesting over 2048 levels, invalid UTF-8 and, without ALLOW_NUL, "\u0000". */
    json_t *value = json_loadb(n ? text : "", n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (value) {
        *out = value;
        return INS_OK;
    }
    ins_status status = json_error_code(&problem) == json_error_out_of_memory ? INS_NOMEM : INS_DATA;
    INS_FAIL(err, status, "%s: %s", name, problem.text);
    ins_error_at(err, (ins_pos){.file = name,
                                .line = problem.line > 0 ? problem.line : 0,
                                .col = problem.column > 0 ? problem.column : 0});
    if (status == INS_DATA) ins_error_hint(err, "correct the JSON at this place");
    return status;
}

ins_status ins_json_read_file(const char *path, uint64_t max_bytes, json_t **out, ins_error *err) {
    ins_str text = {0};
    ins_status status = ins_file_read(path, max_bytes, &text, err);
    if (status == INS_OK) status = ins_json_read_text(text.data, text.len, path, out, err);
    ins_str_free(&text);
    return status;
}

static int append_piece(const char *piece, size_t n, void *arg) {
    ins_str *text = arg;
    ins_str_append(text, piece, n);
    return text->oom ? -1 : 0;
}

ins_status ins_json_write_file(const char *path, const json_t *value, bool pretty, ins_error *err) {
    ins_str text = {0};
    size_t flags = JSON_ENCODE_ANY | (pretty ? JSON_INDENT(2) : JSON_COMPACT);
    ins_status status = INS_OK;
    if (json_dump_callback(value, append_piece, &text, flags) != 0)
        status = INS_FAIL(err, text.oom ? INS_NOMEM : INS_BUG, "cannot write the JSON of '%s'", path);
    if (status == INS_OK) {
        ins_str_putc(&text, '\n');
        if (text.oom) status = INS_FAIL(err, INS_NOMEM, "out of memory while writing '%s'", path);
    }
    if (status == INS_OK) status = ins_file_write_atomic(path, text.data, text.len, err);
    ins_str_free(&text);
    return status;
}

static const char *type_word(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "null";
    default:
        return "true or false";
    }
}

static ins_status fail_key(const json_t *object, const char *key, const char *wanted, ins_error *err) {
    const json_t *value = json_is_object(object) ? json_object_get(object, key) : NULL;
    if (!json_is_object(object))
        return INS_FAIL(err, INS_DATA, "'%s' is looked for in %s, not in an object", key,
                        object ? type_word(object) : "nothing");
    if (!value) return INS_FAIL(err, INS_DATA, "the key '%s' (%s) is missing", key, wanted);
    return INS_FAIL(err, INS_DATA, "the key '%s' must be %s, not %s", key, wanted, type_word(value));
}

ins_status ins_json_get_string(const json_t *object, const char *key, const char **out, ins_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) return fail_key(object, key, "a string", err);
    *out = json_string_value(value);
    return INS_OK;
}

ins_status ins_json_get_int(const json_t *object, const char *key, int64_t *out, ins_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value)) return fail_key(object, key, "an integer", err);
    *out = json_integer_value(value);
    return INS_OK;
}

ins_status ins_json_get_number(const json_t *object, const char *key, double *out, ins_error *err) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) return fail_key(object, key, "a number", err);
    *out = json_number_value(value);
    return INS_OK;
}
