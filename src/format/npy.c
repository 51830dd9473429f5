/* NumPy .npy files: magic, version, a Python dictionary as text, then the raw array. */
#include "format/npy.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define NPY_MAX_HEADER ((size_t)65535)

static const struct {
    ins_dtype dtype;
    const char *descr;
} npy_types[] = {
    {INS_DTYPE_F32, "<f4"},  {INS_DTYPE_F64, "<f8"}, {INS_DTYPE_I32, "<i4"},
    {INS_DTYPE_I64, "<i8"},  {INS_DTYPE_U8, "|u1"},  {INS_DTYPE_U16, "<u2"},
    {INS_DTYPE_BOOL, "|b1"}, {INS_DTYPE_F16, "<f2"}, {INS_DTYPE_I8, "|i1"},
};
#define N_NPY_TYPES (sizeof npy_types / sizeof npy_types[0])

static const char *descr_of(ins_dtype dtype) {
    for (size_t i = 0; i < N_NPY_TYPES; i++)
        if (npy_types[i].dtype == dtype) return npy_types[i].descr;
    return NULL;
}

/* 10 bytes of prefix plus the dictionary, padded with spaces so that the data starts on a multiple of 64. */
static void write_header(const ins_type *type, const char *descr, ins_str *head) {
    ins_str_append(head, "\x93NUMPY\x01\x00\x00\x00", 10);
    ins_str_printf(head, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr);
    for (int i = 0; i < type->n_dims; i++)
        ins_str_printf(head, "%" PRId64 "%s", type->dims[i],
                       type->n_dims == 1      ? ","
                       : i + 1 < type->n_dims ? ", "
                                              : "");
    ins_str_puts(head, "), }");
    while ((head->len + 1) % 64 != 0 && !head->oom) ins_str_putc(head, ' ');
    ins_str_putc(head, '\n');
    if (head->oom) return;
    head->data[8] = (char)((head->len - 10) & 255);
    head->data[9] = (char)((head->len - 10) >> 8);
}

ins_status ins_npy_write(const char *path, const ins_type *type, const void *data, ins_error *err) {
    const char *descr = descr_of(type->dtype);
    size_t bytes;
    if (!descr || !ins_type_check(type, &bytes)) {
        INS_FAIL(err, INS_USAGE, "'%s': NumPy files cannot hold this type (%s)", path, ins_dtype_name(type->dtype));
        ins_error_hint(err, "convert the values to f32 first");
        return INS_USAGE;
    }
    ins_str head = {0};
    write_header(type, descr, &head);
    if (head.oom) {
        ins_str_free(&head);
        return INS_FAIL(err, INS_NOMEM, "out of memory while writing '%s'", path);
    }
    ins_writer *writer = NULL;
    ins_status status = ins_writer_open(path, &writer, err);
    if (status == INS_OK) status = ins_writer_write(writer, head.data, head.len, err);
    if (status == INS_OK) status = ins_writer_write(writer, data, bytes, err);
    if (status == INS_OK)
        status = ins_writer_commit(writer, NULL, err);
    else
        ins_writer_abort(writer);
    ins_str_free(&head);
    return status;
}

/* ---- reading: the dictionary is a small fixed subset of Python ---- */

typedef struct npy_parser {
    const char *at, *end;
    const char *path;
    char descr[16];
    bool fortran, has_descr, has_order, has_shape;
    ins_type type;
} npy_parser;

static ins_status fail_npy(const char *path, const char *what, ins_error *err) {
    INS_FAIL(err, INS_DATA, "'%s' is not a NumPy file that can be read: %s", path, what);
    ins_error_hint(err, "save a C-ordered, little-endian array of f4 f8 i4 i8 u1 u2 or b1 with numpy.save");
    return INS_DATA;
}

static void skip_space(npy_parser *parser) {
    while (parser->at < parser->end && isspace((unsigned char)*parser->at)) parser->at++;
}

static bool take(npy_parser *parser, char c) {
    skip_space(parser);
    if (parser->at == parser->end || *parser->at != c) return false;
    parser->at++;
    return true;
}

static bool take_word(npy_parser *parser, const char *word) {
    skip_space(parser);
    size_t n = strlen(word);
    if ((size_t)(parser->end - parser->at) < n || memcmp(parser->at, word, n) != 0) return false;
    parser->at += n;
    return true;
}

static bool take_string(npy_parser *parser, char *out, size_t size) {
    skip_space(parser);
    if (parser->at == parser->end || (*parser->at != '\'' && *parser->at != '"')) return false;
    char quote = *parser->at++;
    size_t n = 0;
    while (parser->at < parser->end && *parser->at != quote) {
        if (n + 1 >= size || *parser->at == '\\') return false;
        out[n++] = *parser->at++;
    }
    if (parser->at == parser->end) return false;
    parser->at++;
    out[n] = '\0';
    return true;
}

static bool take_shape(npy_parser *parser) {
    if (!take(parser, '(')) return false;
    ins_type *type = &parser->type;
    type->n_dims = 0;
    while (!take(parser, ')')) {
        if (type->n_dims == INS_MAX_DIMS) return false;
        skip_space(parser);
        int64_t dim = 0;
        int digits = 0;
        for (; parser->at < parser->end && isdigit((unsigned char)*parser->at); parser->at++, digits++)
            if (__builtin_mul_overflow(dim, 10, &dim) || __builtin_add_overflow(dim, *parser->at - '0', &dim))
                return false;
        if (digits == 0) return false;
        type->dims[type->n_dims++] = dim;
        if (take(parser, ',')) continue;
        if (!take(parser, ')')) return false;
        break;
    }
    return true;
}

static bool take_entry(npy_parser *parser) {
    char key[32];
    if (!take_string(parser, key, sizeof key) || !take(parser, ':')) return false;
    if (strcmp(key, "descr") == 0 && !parser->has_descr)
        return parser->has_descr = take_string(parser, parser->descr, sizeof parser->descr);
    if (strcmp(key, "shape") == 0 && !parser->has_shape) return parser->has_shape = take_shape(parser);
    if (strcmp(key, "fortran_order") != 0 || parser->has_order) return false;
    parser->fortran = take_word(parser, "True");
    return parser->has_order = parser->fortran || take_word(parser, "False");
}

static ins_status parse_header(npy_parser *parser, size_t *bytes, ins_error *err) {
    bool good = take(parser, '{');
    while (good && !take(parser, '}')) {
        good = take_entry(parser);
        if (good && !take(parser, ',')) {
            good = take(parser, '}');
            break;
        }
    }
    skip_space(parser);
    if (!good || parser->at != parser->end || !parser->has_descr || !parser->has_order || !parser->has_shape)
        return fail_npy(parser->path, "its header is damaged", err);
    if (parser->fortran) return fail_npy(parser->path, "the array is in Fortran order", err);
    size_t which = 0;
    for (; which < N_NPY_TYPES; which++) {
        const char *descr = npy_types[which].descr;
        if (strcmp(parser->descr, descr) == 0 || (descr[0] == '|' && strcmp(parser->descr + 1, descr + 1) == 0)) break;
    }
    if (which == N_NPY_TYPES) return fail_npy(parser->path, "the type of its values is not supported", err);
    parser->type.dtype = npy_types[which].dtype;
    if (!ins_type_check(&parser->type, bytes)) return fail_npy(parser->path, "its shape is too large", err);
    return INS_OK;
}

static ins_status read_map(const ins_map *map, const char *path, ins_type *type, void **data, ins_error *err) {
    if (map->size < 10 || memcmp(map->data, "\x93NUMPY", 6) != 0)
        return fail_npy(path, "it does not start as one", err);
    int version = map->data[6];
    size_t start = version == 1 ? 10 : 12, head;
    if (version < 1 || version > 3 || map->size < start) return fail_npy(path, "its version is unknown", err);
    head = (size_t)map->data[8] | (size_t)map->data[9] << 8;
    if (version > 1) head |= (size_t)map->data[10] << 16 | (size_t)map->data[11] << 24;
    if (head > NPY_MAX_HEADER || head > map->size - start) return fail_npy(path, "its header is cut off", err);
    const char *text = (const char *)map->data + start;
    npy_parser parser = {.at = text, .end = text + head, .path = path};
    size_t bytes = 0;
    INS_TRY(parse_header(&parser, &bytes, err));
    size_t have = map->size - start - head;
    if (bytes != have) return fail_npy(path, bytes > have ? "its data is cut off" : "bytes follow its data", err);
    if (parser.type.dtype == INS_DTYPE_BOOL)
        for (size_t i = 0; i < bytes; i++)
            if (map->data[start + head + i] > 1) return fail_npy(path, "a truth value is neither 0 nor 1", err);
    void *copy = ins_malloc(bytes);
    if (!copy) return INS_FAIL(err, INS_NOMEM, "out of memory: '%s' holds %zu bytes", path, bytes);
    if (bytes) memcpy(copy, map->data + start + head, bytes);
    *type = parser.type;
    *data = copy;
    return INS_OK;
}

ins_status ins_npy_read(const char *path, ins_type *type, void **data, ins_error *err) {
    ins_map map;
    INS_TRY(ins_map_open(path, &map, err));
    ins_status status = read_map(&map, path, type, data, err);
    ins_map_close(&map);
    return status;
}
