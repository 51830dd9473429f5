/* Hugging Face folders: config.json + model.safetensors, read strictly. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "format/safetensors.h"
#include "model/model_internal.h"

#define WEIGHTS_NAME "model.safetensors"
#define CONFIG_NAME  "config.json"

/* Metadata of the weights file: ours first, then the caller's pairs that are not for config.json. Returns the pairs. */
static int64_t weights_metadata(const char *const *metadata, int64_t n_meta, const char **out) {
    int64_t n = 0;
    out[2 * n] = "format"; /* readers of the Hugging Face world ask for it */
    out[2 * n++ + 1] = "pt";
    for (int64_t i = 0; i < n_meta; i++) {
        if (strncmp(metadata[2 * i], "config.", 7) == 0) continue;
        out[2 * n] = metadata[2 * i];
        out[2 * n++ + 1] = metadata[2 * i + 1];
    }
    return n;
}

static ins_status write_weights(const ins_model *m, const float *slab, const char *path, const char *const *metadata,
                                int64_t n_meta, ins_error *err) {
    const ins_params *params = m->params;
    ins_safetensor *tensors = ins_calloc((size_t)params->n, sizeof *tensors);
    const char **pairs = ins_calloc((size_t)(2 * (n_meta + 1)), sizeof *pairs);
    ins_status status = INS_OK;
    if (!tensors || !pairs) status = INS_FAIL(err, INS_NOMEM, "out of memory for the list of weights");
    if (status == INS_OK) {
        for (int64_t i = 0; i < params->n; i++) {
            const ins_param *row = &params->rows[i];
            tensors[i] = (ins_safetensor){.name = row->name,
                                          .type = row->type,
                                          .data = slab + row->offset,
                                          .bytes = (size_t)row->count * sizeof(float)};
        }
        int64_t n_pairs = weights_metadata(metadata, n_meta, pairs);
        status = ins_safetensors_write(path, tensors, params->n, pairs, n_pairs, NULL, err);
    }
    ins_free(tensors);
    ins_free(pairs);
    return status;
}

ins_status ins_model_save(const ins_model *m, const float *slab, const char *dir, const char *const *metadata,
                          int64_t n_meta, ins_error *err) {
    char path[PATH_MAX];
    INS_TRY(ins_dir_make(dir, err));
    INS_TRY(ins_path_join(dir, CONFIG_NAME, path, sizeof path, err));
    INS_TRY(ins_model_config_write(&m->options, path, metadata, n_meta, err));
    INS_TRY(ins_path_join(dir, WEIGHTS_NAME, path, sizeof path, err));
    return write_weights(m, slab, path, metadata, n_meta, err);
}

/* ---- reading ---- */

/* All problems of a file, listed in one error. */
typedef struct load {
    const ins_model *model;
    const ins_preset *preset;
    const ins_safetensors *file;
    bool *used; /* one per tensor of the file */
    float *slab;
    ins_str problems;
    int64_t n_problems;
} load;

enum { MAX_LISTED = 8 };

static void problem(load *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void problem(load *l, const char *fmt, ...) {
    char text[200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (l->n_problems++ < MAX_LISTED) ins_str_printf(&l->problems, "%s%s", l->problems.len ? "; " : "", text);
}

/* The tensor of a row: under its name, or without the preset's prefix. */
static const ins_safetensor *find_tensor(const load *l, const char *name) {
    const ins_safetensor *t = ins_safetensors_find(l->file, name);
    const ins_preset *preset = l->preset;
    while (preset && !preset->prefix) preset = ins_preset_base(preset);
    const char *prefix = preset ? preset->prefix : NULL;
    if (t || !prefix || strncmp(name, prefix, strlen(prefix)) != 0) return t;
    return ins_safetensors_find(l->file, name + strlen(prefix));
}

static void mark_used(load *l, const ins_safetensor *t) {
    l->used[t - ins_safetensors_at(l->file, 0)] = true;
}

static ins_status take_row(load *l, const ins_param *row, ins_error *err) {
    const ins_safetensor *t = find_tensor(l, row->name);
    if (!t) {
        problem(l, "missing %s", row->name);
        return INS_OK;
    }
    mark_used(l, t);
    char has[96], wants[96];
    if (!ins_type_same_shape(&t->type, &row->type)) {
        problem(l, "%s is %s, not %s", row->name, ins_type_format(&t->type, has), ins_type_format(&row->type, wants));
        return INS_OK;
    }
    if (!ins_dtype_is_float(t->type.dtype)) {
        problem(l, "%s is %s, not a float", row->name, ins_type_format(&t->type, has));
        return INS_OK;
    }
    return ins_safetensor_to_f32(t, l->slab + row->offset, err);
}

static bool ends_with(const char *name, const char *end) {
    size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && strcmp(name + n - n_end, end) == 0;
}

static bool is_ignored(const ins_preset *preset, const char *name) {
    for (const ins_preset *p = preset; p; p = ins_preset_base(p))
        for (const char *const *end = p->ignored; end && *end; end++)
            if (ends_with(name, *end)) return true;
    return false;
}

/* A tied model's file may hold the output layer again; then it has to be the embedding. */
static bool is_tied_copy(const load *l, const ins_safetensor *t) {
    char head[256];
    ins_preset_tensor_name(l->preset, "head.weight", head, sizeof head);
    if (!l->model->options.tied || strcmp(t->name, head) != 0) return false;
    const ins_param *embed = ins_model_row_find(l->model, "embed.weight");
    const ins_safetensor *table = find_tensor(l, embed->name);
    return table && table->bytes == t->bytes && memcmp(table->data, t->data, t->bytes) == 0;
}

static ins_status take_all(load *l, const char *path, ins_error *err) {
    for (int64_t i = 0; i < l->model->params->n; i++) INS_TRY(take_row(l, &l->model->params->rows[i], err));
    for (int64_t i = 0; i < ins_safetensors_count(l->file); i++) {
        const ins_safetensor *t = ins_safetensors_at(l->file, i);
        if (!l->used[i] && !is_ignored(l->preset, t->name) && !is_tied_copy(l, t))
            problem(l, "unexpected %.120s", t->name);
    }
    if (l->n_problems == 0) return INS_OK;
    if (l->n_problems > MAX_LISTED)
        ins_str_printf(&l->problems, "; and %lld more", (long long)(l->n_problems - MAX_LISTED));
    INS_FAIL(err, INS_MODEL, "%s does not fit its config.json: %s", path, l->problems.data ? l->problems.data : "");
    ins_error_hint(err, "config.json and model.safetensors must come from the same model");
    return INS_MODEL;
}

static ins_status read_weights(const ins_model *m, const char *path, float *slab, ins_error *err) {
    ins_safetensors *file = NULL;
    INS_TRY(ins_safetensors_open(path, &file, err));
    load l = {.model = m, .preset = ins_model_preset(&m->options), .file = file, .slab = slab};
    ins_status status;
    l.used = ins_calloc((size_t)ins_safetensors_count(file) + 1, sizeof *l.used);
    if (l.used)
        status = take_all(&l, path, err);
    else
        status = INS_FAIL(err, INS_NOMEM, "out of memory for the list of weights");
    ins_free(l.used);
    ins_str_free(&l.problems);
    ins_safetensors_close(file);
    return status;
}

ins_status ins_model_load(const char *dir, ins_model **out, float **slab, ins_error *err) {
    char path[PATH_MAX];
    ins_model_options options;
    INS_TRY(ins_path_join(dir, CONFIG_NAME, path, sizeof path, err));
    INS_TRY(ins_model_config_read(path, &options, err));
    INS_TRY(ins_path_join(dir, WEIGHTS_NAME, path, sizeof path, err));
    ins_model *m = NULL;
    float *weights = NULL;
    INS_TRY(ins_model_new(&options, &m, err));
    ins_status status = ins_slab_new(m->params, &weights, err);
    if (status == INS_OK) status = read_weights(m, path, weights, err);
    if (status != INS_OK) {
        ins_slab_free(m->params, weights);
        ins_model_free(m);
        return status;
    }
    *out = m;
    *slab = weights;
    return INS_OK;
}
