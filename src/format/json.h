/* JSON through jansson, with our error type: strict UTF-8, duplicate keys refused, size and depth caps. */
#ifndef INS_FORMAT_JSON_H
#define INS_FORMAT_JSON_H

#include <jansson.h>

#include "base/str.h"

ins_status ins_json_read_file(const char *path, uint64_t max_bytes, json_t **out, ins_error *err);
ins_status ins_json_read_text(const char *text, size_t n, const char *name, json_t **out, ins_error *err);
/* Atomic; pretty = 2-space indent. Keys keep insertion order. */
ins_status ins_json_write_file(const char *path, const json_t *value, bool pretty, ins_error *err);

/* Typed getters: INS_DATA naming the key and the file when missing or of another type. */
ins_status ins_json_get_string(const json_t *object, const char *key, const char **out, ins_error *err);
ins_status ins_json_get_int(const json_t *object, const char *key, int64_t *out, ins_error *err);
ins_status ins_json_get_number(const json_t *object, const char *key, double *out, ins_error *err);

#endif
