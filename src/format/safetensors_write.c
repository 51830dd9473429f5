/* safetensors, writing: tensors in the given order, contiguous from 0. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "format/safetensors.h"

static ins_status fail_write(const char *path, const char *name, const char *what, ins_error *err) {
    return INS_FAIL(err, INS_MODEL, "cannot write '%s': tensor '%.200s' %s", path, name, what);
}

static int by_name(const void *left, const void *right) {
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* Names valid, none twice; sizes as the types say. */
static ins_status check_tensors(const char *path, const ins_safetensor *tensors, int64_t n, ins_error *err) {
    const char **names = ins_malloc((size_t)(n > 0 ? n : 1) * sizeof *names);
    if (!names) return INS_FAIL(err, INS_NOMEM, "out of memory while writing '%s'", path);
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        const ins_safetensor *t = &tensors[i];
        size_t bytes;
        names[i] = t->name;
        if (!ins_utf8_valid(t->name, strlen(t->name), NULL))
            status = fail_write(path, t->name, "has a name that is not UTF-8", err);
        else if (strcmp(t->name, "__metadata__") == 0)
            status = fail_write(path, t->name, "has a reserved name", err);
        else if (!ins_type_check(&t->type, &bytes) || bytes != t->bytes)
            status = fail_write(path, t->name, "has a size that is not its type's", err);
    }
    if (status == INS_OK) qsort(names, (size_t)n, sizeof *names, by_name);
    for (int64_t i = 1; i < n && status == INS_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0) status = fail_write(path, names[i], "is given twice", err);
    ins_free(names);
    return status;
}

static void put_text(ins_str *head, const char *text) {
    ins_str_putc(head, '"');
    ins_str_json_escape(head, text, strlen(text));
    ins_str_putc(head, '"');
}

static void put_tensor(ins_str *head, const ins_safetensor *t, uint64_t begin) {
    put_text(head, t->name);
    ins_str_printf(head, ":{\"dtype\":\"%s\",\"shape\":[", ins_dtype_safetensors_name(t->type.dtype));
    for (int i = 0; i < t->type.n_dims; i++) ins_str_printf(head, "%s%" PRId64, i ? "," : "", t->type.dims[i]);
    ins_str_printf(head, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, begin + t->bytes);
}

static ins_status make_header(const char *path, const ins_safetensor *tensors, int64_t n, const char *const *metadata,
                              int64_t n_meta, ins_str *head, ins_error *err) {
    const char *comma = "";
    ins_str_append(head, "\0\0\0\0\0\0\0\0{", 9);
    if (n_meta > 0) {
        ins_str_puts(head, "\"__metadata__\":{");
        for (int64_t i = 0; i < n_meta; i++) {
            if (i) ins_str_putc(head, ',');
            put_text(head, metadata[2 * i]);
            ins_str_putc(head, ':');
            put_text(head, metadata[2 * i + 1]);
        }
        ins_str_putc(head, '}');
        comma = ",";
    }
    uint64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        ins_str_puts(head, comma);
        put_tensor(head, &tensors[i], at);
        if (__builtin_add_overflow(at, tensors[i].bytes, &at))
            return fail_write(path, tensors[i].name, "is too large", err);
        comma = ",";
    }
    ins_str_putc(head, '}');
    while (head->len % 8 != 0 && !head->oom) ins_str_putc(head, ' ');
    if (head->oom) return INS_FAIL(err, INS_NOMEM, "out of memory while writing '%s'", path);
    uint64_t size = head->len - 8;
    if (size > 100000000)
        return INS_FAIL(err, INS_MODEL, "cannot write '%s': its header would pass 100,000,000 bytes", path);
    for (int i = 0; i < 8; i++) head->data[i] = (char)(size >> (8 * i));
    return INS_OK;
}

ins_status ins_safetensors_write(const char *path, const ins_safetensor *tensors, int64_t n,
                                 const char *const *metadata, int64_t n_meta, char sha256_hex[65], ins_error *err) {
    INS_TRY(check_tensors(path, tensors, n, err));
    ins_str head = {0};
    ins_writer *writer = NULL;
    ins_status status = make_header(path, tensors, n, metadata, n_meta, &head, err);
    if (status == INS_OK) status = ins_writer_open(path, &writer, err);
    if (status == INS_OK) status = ins_writer_write(writer, head.data, head.len, err);
    for (int64_t i = 0; i < n && status == INS_OK; i++)
        status = ins_writer_write(writer, tensors[i].data, tensors[i].bytes, err);
    if (status == INS_OK)
        status = ins_writer_commit(writer, sha256_hex, err);
    else
        ins_writer_abort(writer);
    ins_str_free(&head);
    return status;
}
