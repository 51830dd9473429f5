/* Stage export: a model as a Hugging Face folder: config.json, model.safetensors, tokenizer.json,
 * tokenizer_config.json, generation_config.json. What was written is loaded again and its logits compared with the
 * source's before success. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "decode/decode.h"
#include "format/json.h"
#include "stage/model_use.h"

typedef struct export_options {
    const char *model;
    ins_opt_strings at;
} export_options;

#define ROW(field) offsetof(export_options, field)
static const ins_opt_row rows[] = {
    {.name = "model",
     .type = INS_OPT_STRING,
     .offset = ROW(model),
     .unit = "model",
     .flags = INS_OPT_REQUIRED | INS_OPT_INPUT,
     .help = "Stage whose model is exported."},
    {.name = "at",
     .type = INS_OPT_STRINGS,
     .offset = ROW(at),
     .def = "last",
     .help = "Which checkpoint: last, or one step."},
    {0},
};
#undef ROW
static const ins_opt_table table = {"stage export", rows, sizeof(export_options)};

enum { PROBE_LEN = 16 };

static ins_status write_json(const char *dir, const char *name, json_t *value, ins_error *err) {
    char path[4200];
    ins_status status =
        value ? ins_path_join(dir, name, path, sizeof path, err) : INS_FAIL(err, INS_NOMEM, "no memory for %s", name);
    if (status == INS_OK) status = ins_json_write_file(path, value, true, err);
    json_decref(value);
    return status;
}

static ins_status copy_file(const char *from, const char *to, const char *name, ins_error *err) {
    char path[4200];
    ins_str bytes = {0};
    INS_TRY(ins_path_join(from, name, path, sizeof path, err));
    ins_status status = ins_file_read(path, 1u << 30, &bytes, err);
    if (status == INS_OK) status = ins_path_join(to, name, path, sizeof path, err);
    if (status == INS_OK) status = ins_file_write_atomic(path, bytes.data, bytes.len, err);
    ins_str_free(&bytes);
    return status;
}

static ins_status save_model(const ins_stage_context *c, const ins_model_use *use, ins_error *err) {
    char eos[32];
    int32_t id = ins_tokenizer_eos(use->tokenizer);
    snprintf(eos, sizeof eos, "%d", (int)id);
    const char *metadata[] = {"instar.stage", c->name, "config.bos_token_id", eos, "config.eos_token_id", eos};
    return ins_model_save(use->model, use->weights, c->dir, metadata, id >= 0 ? 3 : 1, err);
}

static ins_status write_tokenizer(const ins_model_use *use, const char *dir, ins_error *err) {
    INS_TRY(copy_file(use->dir, dir, "tokenizer.json", err));
    int32_t eos = ins_tokenizer_eos(use->tokenizer);
    size_t n = 0;
    const char *eos_text = eos >= 0 ? ins_tokenizer_token(use->tokenizer, eos, &n, NULL) : NULL;
    json_t *config =
        json_pack("{s:s, s:b, s:I}", "tokenizer_class", "PreTrainedTokenizerFast", "clean_up_tokenization_spaces", 0,
                  "model_max_length", (json_int_t)ins_model_get_options(use->model)->max_positions);
    if (config && eos_text) {
        json_object_set_new(config, "eos_token", json_stringn(eos_text, n));
        json_object_set_new(config, "bos_token", json_stringn(eos_text, n));
    }
    if (config && ins_tokenizer_find(use->tokenizer, "<|im_start|>") >= 0) {
        json_object_set_new(
            config, "chat_template",
            json_string(
                "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
                "'<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
                "{% endif %}"));
    }
    INS_TRY(write_json(dir, "tokenizer_config.json", config, err));
    json_t *generation = json_object();
    json_t *stops = json_array();
    if (stops && eos >= 0) json_array_append_new(stops, json_integer(eos));
    int32_t end_mark = ins_tokenizer_find(use->tokenizer, "<|im_end|>");
    if (stops && end_mark >= 0) json_array_append_new(stops, json_integer(end_mark));
    if (generation && stops) json_object_set_new(generation, "eos_token_id", stops);
    return write_json(dir, "generation_config.json", generation, err);
}

/* Logits of a fixed input under both, in f32. */
static ins_status compare(const ins_stage_context *c, const ins_model_use *use, const char *dir, ins_error *err) {
    ins_model *again = NULL;
    float *weights = NULL, *want = NULL, *got = NULL;
    int32_t ids[PROBE_LEN];
    const int32_t *id_rows[1] = {ids};
    int64_t length = PROBE_LEN, limit = ins_model_get_options(use->model)->max_positions;
    if (limit > 0 && limit < length) length = limit;
    const int64_t lens[1] = {length};
    int64_t vocab = ins_model_get_options(use->model)->vocab, max_t = 0;
    ins_rng rng = ins_rng_start(ins_rng_derive(c->seed, "export", 0), 0);
    for (int i = 0; i < PROBE_LEN; i++) ids[i] = (int32_t)ins_rng_below(&rng, (uint64_t)vocab);
    ins_status status = ins_model_load(dir, &again, &weights, err);
    if (status == INS_OK)
        status = ins_model_eval_logits(use->model, use->weights, INS_DTYPE_F32, id_rows, lens, 1, c->pool, &want,
                                       &max_t, NULL, err);
    if (status == INS_OK)
        status =
            ins_model_eval_logits(again, weights, INS_DTYPE_F32, id_rows, lens, 1, c->pool, &got, &max_t, NULL, err);
    double worst = 0;
    for (int64_t i = 0; status == INS_OK && i < length * vocab; i++)
        worst = fmax(worst, fabs((double)want[i] - (double)got[i]));
    if (status == INS_OK && !(worst == 0)) {
        status = INS_FAIL(err, INS_BUG, "the exported model's logits differ by %g from the source's", worst);
    }
    if (status == INS_OK)
        status = c->metrics->value(c->metrics->arg, use->step, 0, "export/logit_difference", worst, err);
    if (weights) ins_slab_free(ins_model_params(again), weights);
    ins_model_free(again);
    ins_free(want);
    ins_free(got);
    return status;
}

static ins_status run(const ins_stage_context *c, ins_error *err) {
    const export_options *o = c->options;
    ins_model_use use = {0};
    int64_t *steps = NULL, n = 0;
    ins_status status = ins_metrics_start(c, err);
    if (status == INS_OK) status = ins_model_steps(c, o->model, &o->at, &steps, &n, err);
    if (status == INS_OK) status = ins_model_use_open(&use, c, o->model, steps[n - 1], INS_PRECISION_F32, err);
    if (status == INS_OK) status = save_model(c, &use, err);
    if (status == INS_OK) status = write_tokenizer(&use, c->dir, err);
    if (status == INS_OK) status = compare(c, &use, c->dir, err);
    if (status == INS_OK) status = c->metrics->flush(c->metrics->arg, err);
    ins_model_use_close(&use);
    ins_free(steps);
    return status;
}

static void check(const void *options, ins_pos pos, ins_diag *diag) {
    const export_options *o = options;
    ins_model_steps_check(&o->at, pos, diag);
    if (o->at.n != 1 || strcmp(o->at.items[0], "all") == 0) {
        ins_diag_add(diag, INS_RECIPE, o->at.n && o->at.pos ? o->at.pos[0] : pos, "last, or one step",
                     "at names one checkpoint here");
    }
}

static ins_status plan(const ins_stage_context *c, ins_stage_plan *out, ins_error *err) {
    const export_options *o = c->options;
    (void)err;
    ins_model_plan(c, o->model, out, NULL);
    out->disk_bytes = 4.0 * (double)out->params;
    out->peak_bytes *= 2; /* the copy that is compared */
    return INS_OK;
}

const ins_stage ins_stage_export = {
    .head = {.family = "stage",
             .name = "export",
             .summary = "Write a model as a Hugging Face folder, loaded again and compared before success.",
             .version = 1,
             .options = &table,
             .check = check},
    .output = "model",
    .inputs = "model",
    .plan = plan,
    .run = run,
};
