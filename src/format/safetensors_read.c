/* safetensors, reading: every rule is checked before a tensor is handed out. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "format/json.h"
#include "format/safetensors.h"

#define MAX_HEADER ((uint64_t)100000000)

struct ins_safetensors {
    char *path;
    ins_map map;
    json_t *header; /* names and metadata are borrowed from it */
    ins_safetensor *items;
    int64_t *by_name; /* indexes of items, sorted by name */
    int64_t n;
    const char **metadata; /* key, value pairs */
    int64_t n_metadata;
};

typedef struct st_entry {
    ins_safetensor tensor;
    int64_t begin, end, order;
} st_entry;

static ins_status fail_rule(const ins_safetensors *st, ins_error *err, const char *name, const char *rule) {
    if (name)
        INS_FAIL(err, INS_MODEL, "'%s' is not a valid safetensors file: tensor '%.200s' %s", st->path, name, rule);
    else
        INS_FAIL(err, INS_MODEL, "'%s' is not a valid safetensors file: %s", st->path, rule);
    ins_error_hint(err, "the file is damaged or of another format: download or export it again");
    return INS_MODEL;
}

static ins_status no_memory(const char *path, ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", path);
}

void ins_safetensors_close(ins_safetensors *st) {
    if (!st) return;
    ins_map_close(&st->map);
    if (st->header) json_decref(st->header);
    ins_free(st->items);
    ins_free(st->by_name);
    ins_free(st->metadata);
    ins_free(st->path);
    ins_free(st);
}

static ins_status read_header(ins_safetensors *st, size_t *data_start, ins_error *err) {
    if (st->map.size < 8) return fail_rule(st, err, NULL, "it has less than the 8 bytes of a header length");
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | st->map.data[i];
    if (n > MAX_HEADER) return fail_rule(st, err, NULL, "its header is longer than 100,000,000 bytes");
    if (n > st->map.size - 8) return fail_rule(st, err, NULL, "its header is cut off");
    const char *text = (const char *)st->map.data + 8;
    if (n == 0 || text[0] != '{') return fail_rule(st, err, NULL, "its header does not start with '{'");
    ins_error problem = {0};
    ins_status status = ins_json_read_text(text, (size_t)n, "header", &st->header, &problem);
    if (status == INS_NOMEM) return no_memory(st->path, err);
    if (status != INS_OK) {
        fail_rule(st, err, NULL, "its header is not valid JSON");
        ins_error_frame(err, "%.150s", problem.text);
        return INS_MODEL;
    }
    *data_start = 8 + (size_t)n;
    return INS_OK;
}

static ins_status read_metadata(ins_safetensors *st, const json_t *object, ins_error *err) {
    if (!json_is_object(object)) return fail_rule(st, err, NULL, "__metadata__ is not a map");
    size_t n = json_object_size(object);
    st->metadata = ins_malloc((n ? n : 1) * 2 * sizeof *st->metadata);
    if (!st->metadata) return no_memory(st->path, err);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (!json_is_string(value)) return fail_rule(st, err, NULL, "__metadata__ holds a value that is not a string");
        st->metadata[2 * st->n_metadata] = key;
        st->metadata[2 * st->n_metadata + 1] = json_string_value(value);
        st->n_metadata++;
    }
    return INS_OK;
}

static ins_status read_shape(const ins_safetensors *st, const char *name, const json_t *shape, ins_type *type,
                             ins_error *err) {
    if (!json_is_array(shape)) return fail_rule(st, err, name, "has no list 'shape'");
    if (json_array_size(shape) > INS_MAX_DIMS)
        return fail_rule(st, err, name, "has more dimensions than supported (6)");
    int64_t dims[INS_MAX_DIMS];
    int n = (int)json_array_size(shape);
    for (int i = 0; i < n; i++) {
        const json_t *dim = json_array_get(shape, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return fail_rule(st, err, name, "has a dimension that is not a count");
        dims[i] = json_integer_value(dim);
    }
    *type = ins_type_make(type->dtype, n, dims);
    return INS_OK;
}

static ins_status read_tensor(const ins_safetensors *st, const char *name, const json_t *object, uint64_t data_bytes,
                              st_entry *entry, ins_error *err) {
    if (!json_is_object(object)) return fail_rule(st, err, name, "is not described by a map");
    if (json_object_size(object) != 3) return fail_rule(st, err, name, "must have dtype, shape and data_offsets only");
    const json_t *dtype = json_object_get(object, "dtype"), *offsets = json_object_get(object, "data_offsets");
    if (!json_is_string(dtype)) return fail_rule(st, err, name, "has no 'dtype'");
    if (!ins_dtype_from_safetensors(json_string_value(dtype), &entry->tensor.type.dtype)) {
        INS_FAIL(err, INS_MODEL, "'%s': tensor '%.200s' has the dtype '%.50s', which is not supported", st->path, name,
                 json_string_value(dtype));
        ins_error_hint(err, "convert it to F32, BF16 or F16");
        return INS_MODEL;
    }
    INS_TRY(read_shape(st, name, json_object_get(object, "shape"), &entry->tensor.type, err));
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return fail_rule(st, err, name, "has no pair 'data_offsets'");
    entry->begin = json_integer_value(begin);
    entry->end = json_integer_value(end);
    if (entry->begin < 0 || entry->end < entry->begin)
        return fail_rule(st, err, name, "has data_offsets that do not form a range");
    if ((uint64_t)entry->end > data_bytes) return fail_rule(st, err, name, "reaches past the end of the file");
    if (!ins_type_check(&entry->tensor.type, &entry->tensor.bytes))
        return fail_rule(st, err, name, "has a shape whose size overflows");
    if (entry->tensor.bytes != (uint64_t)(entry->end - entry->begin))
        return fail_rule(st, err, name, "has a shape and dtype that do not fit its data_offsets");
    entry->tensor.name = name;
    return INS_OK;
}

static int entry_order(const void *left, const void *right) {
    const st_entry *l = left, *r = right;
    if (l->begin != r->begin) return l->begin < r->begin ? -1 : 1;
    if (l->end != r->end) return l->end < r->end ? -1 : 1; /* empty tensors before the one that starts there */
    return l->order < r->order ? -1 : l->order > r->order;
}

/* Contiguous from 0, no overlap, no hole, nothing left over. */
static ins_status check_cover(const ins_safetensors *st, const st_entry *entries, int64_t n, uint64_t data_bytes,
                              ins_error *err) {
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        if (entries[i].begin < at) return fail_rule(st, err, entries[i].tensor.name, "overlaps the one before it");
        if (entries[i].begin > at) return fail_rule(st, err, entries[i].tensor.name, "leaves a hole before it");
        at = entries[i].end;
    }
    if ((uint64_t)at != data_bytes) return fail_rule(st, err, NULL, "its tensors do not cover all of its data");
    return INS_OK;
}

static int name_order(const void *left, const void *right, void *arg) {
    const ins_safetensors *st = arg;
    return strcmp(st->items[*(const int64_t *)left].name, st->items[*(const int64_t *)right].name);
}

static ins_status read_entries(ins_safetensors *st, st_entry *entries, size_t data_start, ins_error *err) {
    uint64_t data_bytes = st->map.size - data_start;
    const char *name;
    json_t *value;
    int64_t n = 0;
    json_object_foreach(st->header, name, value) {
        if (strcmp(name, "__metadata__") == 0) {
            INS_TRY(read_metadata(st, value, err));
            continue;
        }
        entries[n].order = n;
        INS_TRY(read_tensor(st, name, value, data_bytes, &entries[n], err));
        n++;
    }
    qsort(entries, (size_t)n, sizeof *entries, entry_order);
    INS_TRY(check_cover(st, entries, n, data_bytes, err));
    st->n = n;
    for (int64_t i = 0; i < n; i++) {
        st->items[i] = entries[i].tensor;
        st->items[i].data = st->map.data + data_start + (size_t)entries[i].begin;
        st->by_name[i] = i;
    }
    qsort_r(st->by_name, (size_t)n, sizeof *st->by_name, name_order, st);
    return INS_OK;
}

static ins_status open_file(ins_safetensors *st, ins_error *err) {
    INS_TRY(ins_map_open(st->path, &st->map, err));
    size_t data_start;
    INS_TRY(read_header(st, &data_start, err));
    size_t n = json_object_size(st->header) + 1;
    st_entry *entries = ins_calloc(n, sizeof *entries);
    st->items = ins_calloc(n, sizeof *st->items);
    st->by_name = ins_calloc(n, sizeof *st->by_name);
    ins_status status = INS_OK;
    if (!entries || !st->items || !st->by_name) status = no_memory(st->path, err);
    if (status == INS_OK) status = read_entries(st, entries, data_start, err);
    ins_free(entries);
    return status;
}

ins_status ins_safetensors_open(const char *path, ins_safetensors **out, ins_error *err) {
    ins_safetensors *st = ins_calloc(1, sizeof *st);
    if (!st) return no_memory(path, err);
    st->path = ins_strdup(path);
    ins_status status = st->path ? open_file(st, err) : no_memory(path, err);
    if (status != INS_OK) {
        ins_safetensors_close(st);
        return status;
    }
    *out = st;
    return INS_OK;
}

int64_t ins_safetensors_count(const ins_safetensors *st) {
    return st->n;
}

const ins_safetensor *ins_safetensors_at(const ins_safetensors *st, int64_t i) {
    return i >= 0 && i < st->n ? &st->items[i] : NULL;
}

const ins_safetensor *ins_safetensors_find(const ins_safetensors *st, const char *name) {
    int64_t low = 0, high = st->n;
    while (low < high) {
        int64_t mid = low + (high - low) / 2;
        const ins_safetensor *item = &st->items[st->by_name[mid]];
        int order = strcmp(name, item->name);
        if (order == 0) return item;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

int64_t ins_safetensors_n_metadata(const ins_safetensors *st) {
    return st->n_metadata;
}

void ins_safetensors_metadata(const ins_safetensors *st, int64_t i, const char **key, const char **value) {
    bool there = i >= 0 && i < st->n_metadata;
    *key = there ? st->metadata[2 * i] : NULL;
    *value = there ? st->metadata[2 * i + 1] : NULL;
}

/* The data may be unaligned: values are copied out one by one. */
ins_status ins_safetensor_to_f32(const ins_safetensor *t, float *out, ins_error *err) {
    const unsigned char *from = t->data;
    int64_t n = ins_type_count(&t->type);
    if (!ins_dtype_is_float(t->type.dtype)) {
        char type[96];
        INS_FAIL(err, INS_MODEL, "tensor '%.200s' is %s, not of floats", t->name, ins_type_format(&t->type, type));
        return INS_MODEL;
    }
    if (t->type.dtype == INS_DTYPE_F32 && n > 0) memcpy(out, from, (size_t)n * sizeof *out);
    for (int64_t i = 0; i < n && t->type.dtype == INS_DTYPE_F64; i++) {
        double value;
        memcpy(&value, from + (size_t)i * sizeof value, sizeof value);
        out[i] = (float)value;
    }
    for (int64_t i = 0; i < n && ins_dtype_size(t->type.dtype) == 2; i++) {
        uint16_t half;
        memcpy(&half, from + (size_t)i * sizeof half, sizeof half);
        out[i] = t->type.dtype == INS_DTYPE_BF16 ? ins_bf16_to_f32(half) : ins_f16_to_f32(half);
    }
    return INS_OK;
}
