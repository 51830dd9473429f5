/* Writing and restoring checkpoints: see checkpoint.h. */
#include "stage/checkpoint.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "format/json.h"
#include "format/safetensors.h"

/* ---- state.json ---- */

static json_t *running_to_json(const ins_running *r) {
    return json_pack("{s:f, s:f, s:I}", "mean", r->mean, "var", r->var, "n", (json_int_t)r->n);
}

static json_t *state_to_json(const ins_trainer_state *s, const json_t *stage_state) {
    json_t *root = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:o}", "version", (json_int_t)1, "step",
                             (json_int_t)s->step, "cursor", (json_int_t)s->cursor, "tokens", (json_int_t)s->tokens,
                             "updates", (json_int_t)s->updates, "skipped", (json_int_t)s->skipped, "text_bytes",
                             s->text_bytes, "loss", running_to_json(&s->loss), "grad_norm", running_to_json(&s->norm));
    if (root && stage_state) json_object_set(root, "stage", (json_t *)stage_state);
    return root;
}

static ins_status running_from_json(const json_t *root, const char *key, ins_running *out, ins_error *err) {
    const json_t *object = json_object_get(root, key);
    INS_TRY(ins_json_get_number(object, "mean", &out->mean, err));
    INS_TRY(ins_json_get_number(object, "var", &out->var, err));
    return ins_json_get_int(object, "n", &out->n, err);
}

static ins_status state_from_json(const json_t *root, ins_trainer_state *out, ins_error *err) {
    ins_trainer_state s = {0};
    int64_t cursor = 0;
    INS_TRY(ins_json_get_int(root, "step", &s.step, err));
    INS_TRY(ins_json_get_int(root, "cursor", &cursor, err));
    INS_TRY(ins_json_get_int(root, "tokens", &s.tokens, err));
    INS_TRY(ins_json_get_int(root, "updates", &s.updates, err));
    INS_TRY(ins_json_get_int(root, "skipped", &s.skipped, err));
    INS_TRY(ins_json_get_number(root, "text_bytes", &s.text_bytes, err));
    INS_TRY(running_from_json(root, "loss", &s.loss, err));
    INS_TRY(running_from_json(root, "grad_norm", &s.norm, err));
    if (s.step < 0 || cursor < 0 || s.tokens < 0 || s.updates < 0 || s.updates > s.step) {
        return INS_FAIL(err, INS_MODEL, "state.json: step %lld, cursor %lld, updates %lld make no sense",
                        (long long)s.step, (long long)cursor, (long long)s.updates);
    }
    s.cursor = (uint64_t)cursor;
    *out = s;
    return INS_OK;
}

/* ---- optimizer.safetensors ---- */

/* Rows SLOT/parameter of every slab; names in the arena. */
static ins_status slab_rows(ins_arena *arena, const ins_params *params, const char *slot, const float *slab,
                            ins_safetensor *rows, int64_t *n, ins_error *err) {
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *p = &params->rows[i];
        const char *name = ins_arena_printf(arena, "%s/%s", slot, p->name);
        if (!name) return INS_FAIL(err, INS_NOMEM, "no memory for optimizer names");
        rows[(*n)++] = (ins_safetensor){
            .name = name, .type = p->type, .data = slab + p->offset, .bytes = (size_t)p->count * sizeof(float)};
    }
    return INS_OK;
}

/* Slabs beside the optimizer's slots, and the names of their rows. */
enum { N_EXTRA = 3 };
typedef struct extra_slab {
    const char *name;
    float *slab; /* NULL = not there */
} extra_slab;

static void extra_slabs(ins_trainer *t, extra_slab out[N_EXTRA]) {
    bool history = ins_trainer_previous(t) != NULL;
    out[0] = (extra_slab){"ema", ins_trainer_ema(t)};
    out[1] = (extra_slab){"grad", history ? ins_trainer_grads(t) : NULL};
    out[2] = (extra_slab){"previous", ins_trainer_previous(t)};
}

static ins_status save_optimizer(const ins_checkpoint_write *w, const char *dir, ins_error *err) {
    const ins_params *params = ins_model_params(w->model);
    int n_slots = w->optimizer->n_slots, n_extra = w->with_history && ins_trainer_has_history(w->trainer) ? N_EXTRA : 1;
    extra_slab extra[N_EXTRA];
    char path[4096];
    INS_TRY(ins_path_join(dir, "optimizer.safetensors", path, sizeof path, err));
    ins_arena *arena = ins_arena_new(0);
    ins_safetensor *rows = ins_calloc((size_t)params->n * (size_t)(n_slots + N_EXTRA) + 1, sizeof *rows);
    ins_status status = arena && rows ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory to save the optimizer");
    int64_t n = 0;
    for (int s = 0; s < n_slots && status == INS_OK; s++) {
        status = slab_rows(arena, params, w->optimizer->slot_names[s], ins_trainer_slots(w->trainer)[s], rows, &n, err);
    }
    extra_slabs(w->trainer, extra);
    for (int i = 0; i < n_extra && status == INS_OK; i++) {
        if (extra[i].slab) status = slab_rows(arena, params, extra[i].name, extra[i].slab, rows, &n, err);
    }
    if (status == INS_OK) status = ins_safetensors_write(path, rows, n, NULL, 0, NULL, err);
    ins_free(rows);
    ins_arena_free(arena);
    return status;
}

/* Of a row what lies in the ranges that this rank keeps; `all`: everything. */
static void load_row(const ins_trainer *trainer, bool all, const ins_param *p, const void *from, float *slab) {
    for (int64_t i = 0; i < (all ? 1 : ins_trainer_n_owned(trainer)); i++) {
        int64_t begin = p->offset, end = p->offset + p->count;
        if (!all) ins_trainer_owned(trainer, i, &begin, &end);
        if (begin < p->offset) begin = p->offset;
        if (end > p->offset + p->count) end = p->offset + p->count;
        if (end > begin)
            memcpy(slab + begin, (const char *)from + (size_t)(begin - p->offset) * sizeof(float),
                   (size_t)(end - begin) * sizeof(float));
    }
}

static ins_status load_slab(const ins_safetensors *st, const ins_params *params, const char *slot,
                            const ins_trainer *trainer, bool all, float *slab, ins_error *err) {
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *p = &params->rows[i];
        char name[600];
        snprintf(name, sizeof name, "%s/%s", slot, p->name);
        const ins_safetensor *t = ins_safetensors_find(st, name);
        if (!t || !ins_type_equal(&t->type, &p->type)) {
            return INS_FAIL(err, INS_MODEL, "optimizer.safetensors: '%s' is missing or has another shape", name);
        }
        load_row(trainer, all, p, t->data, slab);
    }
    return INS_OK;
}

static bool has_slab(const ins_safetensors *st, const ins_params *params, const char *slot) {
    char name[600];
    snprintf(name, sizeof name, "%s/%s", slot, params->rows[0].name);
    return ins_safetensors_find(st, name) != NULL;
}

static ins_status load_optimizer(const char *dir, const ins_model *model, ins_trainer *trainer,
                                 const ins_optimizer *optimizer, ins_error *err) {
    char path[4096];
    ins_safetensors *st = NULL;
    INS_TRY(ins_path_join(dir, "optimizer.safetensors", path, sizeof path, err));
    if (!ins_file_exists(path)) {
        INS_FAIL(err, INS_MODEL, "%s has no optimizer state: it can be started from, but not resumed", dir);
        return INS_MODEL;
    }
    INS_TRY(ins_safetensors_open(path, &st, err));
    const ins_params *params = ins_model_params(model);
    ins_status status = INS_OK;
    for (int s = 0; s < optimizer->n_slots && status == INS_OK; s++) {
        status = load_slab(st, params, optimizer->slot_names[s], trainer, false, ins_trainer_slots(trainer)[s], err);
    }
    extra_slab extra[N_EXTRA];
    extra_slabs(trainer, extra);
    if (status == INS_OK && extra[0].slab) status = load_slab(st, params, "ema", trainer, true, extra[0].slab, err);
    bool history = extra[2].slab && has_slab(st, params, "previous");
    for (int i = 1; i < N_EXTRA && history && status == INS_OK; i++)
        status = load_slab(st, params, extra[i].name, trainer, true, extra[i].slab, err);
    ins_trainer_set_history(trainer, history && status == INS_OK);
    ins_safetensors_close(st);
    return status;
}

/* ---- the folder ---- */

static ins_status copy_tokenizer(const char *from, const char *dir, ins_error *err) {
    char path[4096];
    ins_str text = {0};
    INS_TRY(ins_path_join(dir, "tokenizer.json", path, sizeof path, err));
    ins_status status = ins_file_read(from, 1u << 30, &text, err);
    if (status == INS_OK) status = ins_file_write_atomic(path, text.data, text.len, err);
    ins_str_free(&text);
    return status;
}

static ins_status write_manifest(const char *dir, int64_t step, ins_error *err) {
    char **names = NULL, path[4096];
    int64_t n = 0;
    INS_TRY(ins_dir_list(dir, &names, &n, err));
    json_t *files = json_object();
    ins_status status = files ? INS_OK : INS_FAIL(err, INS_NOMEM, "no memory for the manifest");
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        ins_digest digest;
        uint64_t size = 0;
        status = ins_path_join(dir, names[i], path, sizeof path, err);
        if (status == INS_OK) status = ins_sha256_file(path, &digest, &size, err);
        if (status == INS_OK &&
            json_object_set_new(files, names[i],
                                json_pack("{s:I, s:s}", "bytes", (json_int_t)size, "sha256", digest.hex))) {
            status = INS_FAIL(err, INS_NOMEM, "no memory for the manifest");
        }
    }
    ins_names_free(names, n);
    json_t *manifest = json_pack("{s:I, s:I, s:o}", "version", (json_int_t)1, "step", (json_int_t)step, "files", files);
    if (status == INS_OK && !manifest) status = INS_FAIL(err, INS_NOMEM, "no memory for the manifest");
    if (status == INS_OK) status = ins_path_join(dir, "manifest.json", path, sizeof path, err);
    if (status == INS_OK) status = ins_json_write_file(path, manifest, true, err);
    json_decref(manifest);
    return status;
}

static ins_status write_files(const ins_checkpoint_write *w, const char *dir, int64_t step, ins_error *err) {
    char path[4096], step_text[32], eos_text[32];
    snprintf(step_text, sizeof step_text, "%lld", (long long)step);
    snprintf(eos_text, sizeof eos_text, "%d", (int)w->eos);
    const char *metadata[] = {"instar.step",         step_text, "config.bos_token_id", eos_text,
                              "config.eos_token_id", eos_text};
    INS_TRY(ins_model_save(w->model, w->weights, dir, metadata, w->eos >= 0 ? 3 : 1, err));
    if (w->tokenizer_path) INS_TRY(copy_tokenizer(w->tokenizer_path, dir, err));
    if (w->with_optimizer) INS_TRY(save_optimizer(w, dir, err));
    json_t *state = state_to_json(ins_trainer_get_state(w->trainer), w->stage_state);
    if (!state) return INS_FAIL(err, INS_NOMEM, "no memory for state.json");
    ins_status status = ins_path_join(dir, "state.json", path, sizeof path, err);
    if (status == INS_OK) status = ins_json_write_file(path, state, true, err);
    json_decref(state);
    if (status == INS_OK) status = write_manifest(dir, step, err);
    if (status == INS_OK) status = ins_dir_sync(dir, err);
    return status;
}

ins_status ins_checkpoint_save(const ins_checkpoint_write *w, ins_error *err) {
    int64_t step = ins_trainer_get_state(w->trainer)->step;
    char name[64], dir[4000], temp[4096];
    snprintf(name, sizeof name, "%s/step-%09lld", w->folder, (long long)step);
    INS_TRY(ins_path_join(w->stage_dir, name, dir, sizeof dir, err));
    if (ins_checkpoint_find_in(w->stage_dir, w->folder, step, NULL, temp, sizeof temp, NULL, NULL) == INS_OK)
        return INS_OK;
    INS_TRY(ins_dir_remove(dir, err)); /* an incomplete or damaged one of the same step */
    snprintf(temp, sizeof temp, "%s.tmp", dir);
    INS_TRY(ins_dir_remove(temp, err));
    INS_TRY(ins_dir_make(temp, err));
    ins_status status = write_files(w, temp, step, err);
    if (status == INS_OK) status = ins_rename(temp, dir, err);
    if (status != INS_OK) {
        ins_dir_remove(temp, NULL);
        if (status == INS_IO && err) {
            char hint[sizeof err->hint];
            memcpy(hint, err->hint, sizeof hint);
            ins_error_hint(err, "%.400s%sthe earlier checkpoints are intact", hint, hint[0] ? "; " : "");
        }
        ins_error_frame(err, "writing the checkpoint of step %lld", (long long)step);
    }
    return status;
}

ins_status ins_checkpoint_restore(const char *dir, const ins_model *model, ins_trainer *trainer,
                                  const ins_optimizer *optimizer, json_t **stage_state, ins_error *err) {
    const ins_params *params = ins_model_params(model);
    ins_model *saved = NULL;
    float *weights = NULL;
    json_t *state = NULL;
    char path[4096];
    INS_TRY(ins_path_join(dir, "state.json", path, sizeof path, err));
    INS_TRY(ins_json_read_file(path, 1u << 24, &state, err));
    ins_trainer_state parsed;
    ins_status status = state_from_json(state, &parsed, err);
    if (status == INS_OK) status = ins_model_load(dir, &saved, &weights, err);
    if (status == INS_OK && ins_model_params(saved)->slab_count != params->slab_count) {
        status = INS_FAIL(err, INS_MODEL, "%s holds a model of another size", dir);
    }
    if (status == INS_OK) status = load_optimizer(dir, model, trainer, optimizer, err);
    if (status == INS_OK) {
        memcpy(ins_trainer_weights(trainer), weights, (size_t)params->slab_count * sizeof(float));
        *ins_trainer_get_state(trainer) = parsed;
        json_t *part = json_object_get(state, "stage");
        if (stage_state) *stage_state = part ? json_incref(part) : NULL;
    }
    if (weights) ins_slab_free(ins_model_params(saved), weights);
    ins_model_free(saved);
    json_decref(state);
    return status;
}
