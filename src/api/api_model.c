/* Models by name: where they are, what they write, their logits, their export. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/api_model.h"
#include "base/mem.h"
#include "format/npy.h"
#include "stage/stage.h"

/* RUN:STAGE[@STEP] taken apart: the stage's folder below RUN/stages, step -1 = the last. false = not of that form. */
static bool split_run_name(const char *name, char folder[PATH_MAX], int64_t *step) {
    char run[PATH_MAX], stage[512];
    const char *colon = strrchr(name, ':');
    if (!colon || colon == name || strchr(colon, '/') || (size_t)(colon - name) >= sizeof run) return false;
    snprintf(run, sizeof run, "%.*s", (int)(colon - name), name);
    snprintf(stage, sizeof stage, "%s", colon + 1);
    *step = -1;
    char *at = strrchr(stage, '@');
    if (at) {
        char *end = NULL;
        *step = strtoll(at + 1, &end, 10);
        if (!at[1] || *end || *step < 0) return false;
        *at = '\0';
    }
    int n = snprintf(folder, PATH_MAX, "%s/stages/%s", run, stage);
    return n > 0 && n < PATH_MAX && ins_dir_exists(run);
}

static ins_status no_such_stage(const char *name, const char *folder, ins_error *err) {
    char stages[PATH_MAX], **names = NULL;
    int64_t n = 0;
    const char *base = ins_path_base(folder);
    snprintf(stages, sizeof stages, "%.*s", (int)(base - folder), folder);
    const char *nearest =
        ins_dir_list(stages, &names, &n, NULL) == INS_OK ? ins_nearest_name(base, (const char *const *)names, n) : NULL;
    INS_FAIL(err, INS_MODEL, "'%s': the run has no stage '%s'%s%s%s", name, base, nearest ? " (did you mean '" : "",
             nearest ? nearest : "", nearest ? "'?)" : "");
    ins_names_free(names, n);
    return INS_MODEL;
}

/* A folder that holds one half of a model is a model that lacks the other. */
static ins_status check_parts(const char *name, const char *folder, ins_error *err) {
    static const char *const parts[] = {"config.json", "model.safetensors"};
    char path[PATH_MAX];
    bool there[2];
    for (int i = 0; i < 2; i++) {
        INS_TRY(ins_path_join(folder, parts[i], path, sizeof path, err));
        there[i] = ins_file_exists(path);
    }
    if (there[0] == there[1]) return INS_OK;
    INS_FAIL(err, INS_MODEL, "the model '%s' has no %s", name, parts[there[0] ? 1 : 0]);
    ins_error_hint(err, "a model is a folder with config.json and model.safetensors: copy or export it again");
    return INS_MODEL;
}

ins_status api_resolve(const char *name, bool for_model, const ins_log *log, char path[PATH_MAX], ins_error *err) {
    int64_t step = -1;
    char folder[PATH_MAX];
    if (ins_dir_exists(name) || ins_file_exists(name)) {
        snprintf(folder, sizeof folder, "%s", name);
    } else if (!split_run_name(name, folder, &step)) {
        INS_FAIL(err, INS_MODEL, "there is no '%s'", name);
        ins_error_hint(err, "give a folder, RUN:STAGE or RUN:STAGE@STEP");
        return INS_MODEL;
    } else if (!ins_dir_exists(folder)) {
        return no_such_stage(name, folder, err);
    }
    if (!for_model) {
        snprintf(path, PATH_MAX, "%s", folder);
        return INS_OK;
    }
    size_t len = strlen(folder);
    if (len > 5 && strcmp(folder + len - 5, ".gguf") == 0) {
        INS_FAIL(err, INS_MODEL, "'%s': this version reads no GGUF files", name);
        ins_error_hint(err, "give a Hugging Face folder");
        return INS_MODEL;
    }
    INS_TRY(check_parts(name, folder, err));
    ins_stage_input input = {.ref = name, .kind = "", .dir = folder, .key = ""};
    return ins_stage_model_dir(&input, step, log, path, PATH_MAX, NULL, err);
}

ins_status api_model_open(instar *session, const char *name, bool need_tokenizer, api_model *m, ins_error *err) {
    *m = (api_model){0};
    INS_TRY(api_resolve(name, true, &session->log, m->dir, err));
    INS_TRY(ins_model_load(m->dir, &m->model, &m->weights, err));
    ins_status status = ins_tokenizer_load(m->dir, &m->tokenizer, need_tokenizer ? err : NULL);
    return need_tokenizer ? status : INS_OK;
}

void api_model_close(api_model *m) {
    if (m->weights) ins_slab_free(ins_model_params(m->model), m->weights);
    ins_model_free(m->model);
    ins_tokenizer_free(m->tokenizer);
    *m = (api_model){0};
}

instar_status instar_model_path(instar *session, const char *model, char **path) {
    char found[PATH_MAX];
    ins_error err = {0};
    ins_str out = {0};
    api_begin(session);
    ins_status status = api_resolve(model, true, &session->log, found, &err);
    if (status != INS_OK) return api_end(session, status, &err);
    ins_str_puts(&out, found);
    return api_give(session, &out, path);
}

ins_status api_ids_json(const char *text, json_t **out, ins_error *err) {
    ins_error why = {0};
    ins_status status = ins_json_read_text(text, strlen(text), "--ids", out, &why);
    if (status == INS_OK) return INS_OK;
    if (status != INS_NOMEM) status = INS_USAGE;
    INS_FAIL(err, status, "%s", why.text);
    ins_error_hint(err, "token ids are JSON, such as '[1,2,3]'");
    return status;
}

ins_status api_parse_ids(const json_t *list, int64_t vocab, ins_ids *out, ins_error *err) {
    size_t i;
    json_t *item;
    if (!json_is_array(list)) return INS_FAIL(err, INS_USAGE, "token ids must be a list like [1,2,3]");
    json_array_foreach(list, i, item) {
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item) || id < 0 || (vocab > 0 && id >= vocab))
            return INS_FAIL(err, INS_USAGE, "token id number %zu is not a whole number from 0 to %lld", i + 1,
                            (long long)vocab - 1);
        if (!ins_ids_push(out, (int32_t)id)) return INS_FAIL(err, INS_NOMEM, "out of memory while reading token ids");
    }
    return INS_OK;
}

/* ---- logits ---- */

typedef struct id_rows {
    ins_ids *rows;
    const int32_t **ids;
    int64_t *lens, n;
} id_rows;

static void rows_free(id_rows *r) {
    for (int64_t i = 0; r->rows && i < r->n; i++) ins_ids_free(&r->rows[i]);
    ins_free(r->rows);
    ins_free(r->ids);
    ins_free(r->lens);
}

static ins_status rows_parse(const char *text, int64_t vocab, id_rows *r, ins_error *err) {
    json_t *value = NULL, *row;
    size_t i;
    INS_TRY(api_ids_json(text, &value, err));
    ins_status status = INS_OK;
    if (!json_is_array(value) || json_array_size(value) == 0)
        status = INS_FAIL(err, INS_USAGE, "--ids must be a list of lists like [[1,2],[3]]");
    r->n = (int64_t)json_array_size(value);
    r->rows = ins_calloc((size_t)r->n + 1, sizeof *r->rows);
    r->ids = ins_calloc((size_t)r->n + 1, sizeof *r->ids);
    r->lens = ins_calloc((size_t)r->n + 1, sizeof *r->lens);
    if (status == INS_OK && (!r->rows || !r->ids || !r->lens))
        status = INS_FAIL(err, INS_NOMEM, "out of memory while reading token ids");
    json_array_foreach(value, i, row) {
        if (status != INS_OK) break;
        status = api_parse_ids(row, vocab, &r->rows[i], err);
        if (status == INS_OK && r->rows[i].n == 0)
            status = INS_FAIL(err, INS_USAGE, "row %zu of --ids is empty: it must be of one token at least", i + 1);
        r->ids[i] = r->rows[i].data;
        r->lens[i] = r->rows[i].n;
    }
    json_decref(value);
    return status;
}

static ins_status logits(instar *session, const char *name, const char *ids, const char *npy, double *loss,
                         ins_error *err) {
    api_model m;
    id_rows rows = {0};
    float *values = NULL;
    int64_t longest = 0;
    double mean = 0;
    ins_status status = api_model_open(session, name, false, &m, err);
    if (status == INS_OK) status = rows_parse(ids, ins_model_get_options(m.model)->vocab, &rows, err);
    if (status == INS_OK)
        status = ins_model_eval_logits(m.model, m.weights, INS_DTYPE_F32, rows.ids, rows.lens, rows.n, session->pool,
                                       npy ? &values : NULL, &longest, &mean, err);
    if (status == INS_OK && npy) {
        ins_type type =
            ins_type_make(INS_DTYPE_F32, 3, (int64_t[]){rows.n, longest, ins_model_get_options(m.model)->vocab});
        status = ins_npy_write(npy, &type, values, err);
    }
    if (status == INS_OK && loss) *loss = mean;
    ins_free(values);
    rows_free(&rows);
    api_model_close(&m);
    return status;
}

instar_status instar_logits(instar *session, const char *model, const char *ids, const char *npy, double *loss) {
    ins_error err = {0};
    api_begin(session);
    return api_end(session, logits(session, model, ids, npy, loss, &err), &err);
}

/* ---- export: the stage kind of that name, outside of a recipe ---- */

static ins_status drop_value(void *arg, int64_t step, int64_t tokens, const char *name, double value, ins_error *err) {
    (void)arg, (void)step, (void)tokens, (void)name, (void)value, (void)err;
    return INS_OK;
}
static ins_status drop_text(void *arg, int64_t step, int64_t tokens, const char *name, const char *text,
                            ins_error *err) {
    (void)arg, (void)step, (void)tokens, (void)name, (void)text, (void)err;
    return INS_OK;
}
static ins_status drop_truncate(void *arg, int64_t step, ins_error *err) {
    (void)arg, (void)step, (void)err;
    return INS_OK;
}
static ins_status drop_flush(void *arg, ins_error *err) {
    (void)arg, (void)err;
    return INS_OK;
}

static ins_status run_export(instar *session, const char *source, const char *folder, ins_arena *arena,
                             ins_error *err) {
    static const volatile int never = 0;
    const ins_stage *kind = (const ins_stage *)ins_component_find(ins_family_find("stage"), "export");
    const ins_metrics metrics = {NULL, drop_value, drop_text, drop_truncate, drop_flush};
    ins_stage_input input = {.ref = "model", .kind = "train", .dir = source, .key = ""};
    ins_stage_result result = {0};
    ins_diag diag = {0};
    ins_pos nowhere = {0};
    if (!kind) return INS_FAIL(err, INS_BUG, "the stage kind 'export' is not registered");
    ins_node *node = ins_node_new(arena, INS_NODE_MAP, nowhere);
    void *options = ins_arena_alloc(arena, kind->head.options->size);
    if (!node || !options || !ins_node_put(arena, node, "model", ins_node_scalar(arena, "model", true, nowhere)) ||
        !ins_opt_parse(kind->head.options, node, options, arena, NULL, &diag)) {
        ins_diag_free(&diag);
        return INS_FAIL(err, INS_NOMEM, "out of memory while exporting");
    }
    ins_stage_context context = {.options = options,
                                 .name = "export",
                                 .inputs = &input,
                                 .n_inputs = 1,
                                 .dir = folder,
                                 .seed = 1,
                                 .pool = session->pool,
                                 .log = &session->log,
                                 .metrics = &metrics,
                                 .stop = session->settings.stop ? session->settings.stop : &never,
                                 .result = &result};
    return kind->run(&context, err);
}

/* Into a folder beside the target, renamed when all is written and compared. */
instar_status instar_export(instar *session, const char *model, const char *folder) {
    char source[PATH_MAX], fresh[PATH_MAX];
    ins_error err = {0};
    ins_arena *arena = ins_arena_new(0);
    api_begin(session);
    ins_status status = arena ? api_resolve(model, true, &session->log, source, &err)
                              : INS_FAIL(&err, INS_NOMEM, "out of memory while exporting");
    if (status == INS_OK && (ins_dir_exists(folder) || ins_file_exists(folder))) {
        status = INS_FAIL(&err, INS_USAGE, "'%s' exists already", folder);
        ins_error_hint(&err, "give a new folder, or remove this one first");
    }
    int n = snprintf(fresh, sizeof fresh, "%s.partial", folder);
    if (status == INS_OK && (n <= 0 || n >= PATH_MAX))
        status = INS_FAIL(&err, INS_USAGE, "the path is too long: %s", folder);
    if (status == INS_OK) status = ins_dir_remove(fresh, &err);
    if (status == INS_OK) status = ins_dir_make(fresh, &err);
    if (status == INS_OK) {
        status = run_export(session, source, fresh, arena, &err);
        if (status == INS_OK) status = ins_rename(fresh, folder, &err);
        if (status != INS_OK) ins_dir_remove(fresh, NULL);
    }
    ins_arena_free(arena);
    return api_end(session, status, &err);
}
