/* Hugging Face folders: round trips and strict reading. */
#include "model/model_testing.h"

#include "format/json.h"

typedef struct saved {
    char dir[64], config[96], weights[96];
    ins_model *model;
    float *slab;
} saved;

static saved save(const char *yaml, const char *const *metadata, int64_t n_meta) {
    saved s = {.model = model_from(yaml, 20)};
    make_folder(s.dir);
    snprintf(s.config, sizeof s.config, "%s/config.json", s.dir);
    snprintf(s.weights, sizeof s.weights, "%s/model.safetensors", s.dir);
    OK(ins_slab_new(ins_model_params(s.model), &s.slab, err));
    OK(ins_model_init(s.model, 5, s.slab, NULL, err));
    OK(ins_model_save(s.model, s.slab, s.dir, metadata, n_meta, err));
    return s;
}

static void drop(saved *s) {
    ins_slab_free(ins_model_params(s->model), s->slab);
    ins_model_free(s->model);
    remove_folder(s->dir);
}

/* Resolved options without the preset's name. */
static void options_text(const ins_model *m, ins_str *out) {
    ins_model_options o = *ins_model_get_options(m);
    o.preset.desc = ins_component_find(&ins_family_preset, "llama");
    ins_opt_to_json(&ins_model_table, &o, true, out);
}

static void check_round_trip(const char *yaml, const char *model_type) {
    saved s = save(yaml, NULL, 0);
    ins_model *m = NULL;
    float *slab = NULL;
    OK(ins_model_load(s.dir, &m, &slab, err));
    const ins_params *one = ins_model_params(s.model), *two = ins_model_params(m);
    assert_int_equal(one->n, two->n);
    for (int64_t i = 0; i < one->n; i++) assert_string_equal(one->rows[i].name, two->rows[i].name);
    assert_memory_equal(slab, s.slab, (size_t)one->slab_count * sizeof *slab);
    ins_str text_one = {0}, text_two = {0};
    options_text(s.model, &text_one);
    options_text(m, &text_two);
    assert_string_equal(text_one.data, text_two.data);
    ins_str_free(&text_one);
    ins_str_free(&text_two);
    json_t *config = NULL;
    const char *type = NULL;
    OK(ins_json_read_file(s.config, 1 << 20, &config, err));
    OK(ins_json_get_string(config, "model_type", &type, err));
    assert_string_equal(type, model_type);
    json_decref(config);
    ins_slab_free(two, slab);
    ins_model_free(m);
    drop(&s);
}

static void test_round_trip(void **state) {
    (void)state;
    check_round_trip("{preset: gpt2, layers: 1, max_positions: 16}", "gpt2");
    check_round_trip("{preset: gpt2, layers: 1, max_positions: 16, mlp: gelu_erf, dropout: 0.1, norm_eps: 1e-6}",
                     "gpt2");
    check_round_trip("{preset: llama, layers: 1, width: 32, heads: 4, kv_heads: 2, rope_theta: 5e5}", "llama");
    check_round_trip("{layers: 1, dropout: 0.1, init_std: 0.03}", "llama"); /* our default is a Llama to others */
    check_round_trip("{preset: qwen2, layers: 1}", "qwen2");
    check_round_trip("{preset: lstm, width: 12, hidden: 20, forget_bias: 1, dropout: 0.2}", "lstm");
    check_round_trip("{preset: lstm, layers: 3, tied: true}", "lstm");
    check_round_trip("{preset: mlp, window: 3, merge: sum, activation: gelu_erf}", "mlp_lm");
    check_round_trip("{preset: mlp, width: 8, hidden: 8, tied: true, embed_scale: 2}", "instar");
    check_round_trip("{preset: qwen3, layers: 1, head_size: 32, heads: 4, width: 64, tied: true}", "qwen3");
    check_round_trip("{preset: llama, layers: 1, qkv_bias: true, out_bias: true, mlp_bias: true}", "llama");
}

/* What Hugging Face's keys cannot say is ours alone. */
static void test_round_trip_own(void **state) {
    (void)state;
    check_round_trip("{preset: gpt2, layers: 1, norm: rmsnorm, norm_bias: false}", "instar");
    check_round_trip("{preset: llama, layers: 1, qk_norm: true}", "instar");
    check_round_trip("{preset: llama, layers: 1, qkv_bias: true}",
                     "instar"); /* attention_bias means the output's too */
    check_round_trip("{layers: 1, positions: sinusoidal, norm_place: sandwich, attention: full, max_positions: 8}",
                     "instar");
    check_round_trip("{layers: 1, parallel: true, embed_scale: 8, rotary_share: 0.5}", "instar");
}

static void test_metadata(void **state) {
    (void)state;
    static const char *const metadata[] = {"stage", "base", "config.eos_token_id", "7"};
    saved s = save("{layers: 1}", metadata, 2);
    json_t *config = NULL;
    int64_t eos = 0;
    OK(ins_json_read_file(s.config, 1 << 20, &config, err));
    OK(ins_json_get_int(config, "eos_token_id", &eos, err));
    assert_int_equal(eos, 7);
    assert_true(json_is_null(json_object_get(config, "bos_token_id")));
    json_decref(config);
    ins_safetensors *file = NULL;
    OK(ins_safetensors_open(s.weights, &file, err));
    bool found = false, format = false;
    for (int64_t i = 0; i < ins_safetensors_n_metadata(file); i++) {
        const char *key, *value;
        ins_safetensors_metadata(file, i, &key, &value);
        found = found || (strcmp(key, "stage") == 0 && strcmp(value, "base") == 0);
        format = format || (strcmp(key, "format") == 0 && strcmp(value, "pt") == 0);
        assert_true(strncmp(key, "config.", 7) != 0);
    }
    assert_true(found && format);
    ins_safetensors_close(file);
    drop(&s);
}

/* Write the model's tensors again, changed: drop one (by place), add one, reshape one, rename all. */
typedef struct change {
    int64_t drop_at, reshape_at; /* -1 = none */
    const char *extra;
    bool extra_is_embedding, strip_prefix;
} change;

static void rewrite(const saved *s, change c) {
    const ins_params *params = ins_model_params(s->model);
    ins_safetensor *list = calloc((size_t)params->n + 1, sizeof *list);
    int64_t n = 0;
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *row = &params->rows[i];
        if (i == c.drop_at) continue;
        list[n] = (ins_safetensor){
            .name = row->name, .type = row->type, .data = s->slab + row->offset, .bytes = (size_t)row->count * 4};
        if (i == c.reshape_at) list[n].type = INS_TYPE(INS_DTYPE_F32, row->count, 1);
        if (c.strip_prefix) list[n].name = strchr(row->name, '.') + 1;
        n++;
    }
    if (c.extra) {
        list[n] = list[0];
        if (!c.extra_is_embedding) list[n].data = s->slab + params->rows[0].offset + 1;
        list[n++].name = c.extra;
    }
    OK(ins_safetensors_write(s->weights, list, n, NULL, 0, NULL, err));
    free(list);
}

static void expect_load(const saved *s, const char *says) {
    ins_model *m = NULL;
    float *slab = NULL;
    ins_error why = {0};
    ins_status status = ins_model_load(s->dir, &m, &slab, &why);
    if (!says) {
        if (status != INS_OK) fail_error(&why);
        assert_memory_equal(slab, s->slab, (size_t)ins_model_params(m)->slab_count * sizeof *slab);
        ins_slab_free(ins_model_params(m), slab);
        ins_model_free(m);
        return;
    }
    assert_int_equal(status, INS_MODEL);
    assert_null(m);
    if (!strstr(why.text, says)) fail_msg("'%s' lacks '%s'", why.text, says);
}

static void test_strict(void **state) {
    (void)state;
    saved s = save("{preset: gpt2, layers: 1, max_positions: 16}", NULL, 0);
    rewrite(&s, (change){.drop_at = 3, .reshape_at = -1});
    expect_load(&s, "missing transformer.h.0.attn.c_proj.weight");
    rewrite(&s, (change){.drop_at = -1, .reshape_at = -1, .extra = "transformer.h.7.weight"});
    expect_load(&s, "unexpected transformer.h.7.weight");
    rewrite(&s, (change){.drop_at = -1, .reshape_at = 2});
    expect_load(&s, "transformer.h.0.attn.c_attn.weight is f32[12288, 1], not f32[64, 192]");
    rewrite(&s, (change){.drop_at = 4, .reshape_at = 2, .extra = "other"});
    expect_load(&s, "missing"); /* all in one message */
    expect_load(&s, "unexpected other");
    rewrite(&s, (change){.drop_at = -1, .reshape_at = -1, .extra = "lm_head.weight"});
    expect_load(&s, "unexpected lm_head.weight"); /* tied, but another matrix */
    drop(&s);
}

/* Files of other programs and older times. */
static void test_lenient(void **state) {
    (void)state;
    saved s = save("{preset: gpt2, layers: 1, max_positions: 16}", NULL, 0);
    rewrite(&s, (change){.drop_at = -1, .reshape_at = -1, .strip_prefix = true});
    expect_load(&s, NULL);
    rewrite(&s, (change){.drop_at = -1, .reshape_at = -1, .extra = "lm_head.weight", .extra_is_embedding = true});
    expect_load(&s, NULL);
    rewrite(&s, (change){.drop_at = -1, .reshape_at = -1, .extra = "h.0.attn.bias"});
    expect_load(&s, NULL);
    drop(&s);
}

/* bf16 weights are read as f32. */
static void test_bf16_file(void **state) {
    (void)state;
    saved s = save("{layers: 1, width: 32, heads: 2}", NULL, 0);
    const ins_params *params = ins_model_params(s.model);
    ins_safetensor *list = calloc((size_t)params->n, sizeof *list);
    uint16_t *half = calloc((size_t)params->slab_count, sizeof *half);
    for (int64_t i = 0; i < params->slab_count; i++) {
        half[i] = ins_f32_to_bf16(s.slab[i]);
        s.slab[i] = ins_bf16_to_f32(half[i]);
    }
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *row = &params->rows[i];
        list[i] = (ins_safetensor){
            .name = row->name, .type = row->type, .data = half + row->offset, .bytes = (size_t)row->count * 2};
        list[i].type.dtype = INS_DTYPE_BF16;
    }
    OK(ins_safetensors_write(s.weights, list, params->n, NULL, 0, NULL, err));
    expect_load(&s, NULL);
    free(list);
    free(half);
    drop(&s);
}

static void write_config(const saved *s, const char *key, json_t *value) {
    json_t *config = NULL;
    OK(ins_json_read_file(s->config, 1 << 20, &config, err));
    if (value)
        json_object_set_new(config, key, value);
    else
        json_object_del(config, key);
    OK(ins_json_write_file(s->config, config, true, err));
    json_decref(config);
}

static void test_bad_config(void **state) {
    (void)state;
    static const struct {
        const char *key, *json, *says;
    } table[] = {
        {"model_type", "\"lama\"", "did you mean 'llama'"},
        {"model_type", NULL, "model_type"},
        {"hidden_size", NULL, "hidden_size"},
        {"hidden_size", "\"big\"", "width"},
        {"hidden_size", "[64]", "hidden_size"},
        {"num_hidden_layers", "-1", "layers"},
        {"num_hidden_layers", "2", "missing"},
        {"num_attention_heads", "7", "heads"},
        {"hidden_act", "\"mish\"", "hidden_act"},
        {"rope_scaling", "{\"type\":\"yarn\"}", "rope_scaling"},
        {"rope_parameters", "{\"rope_type\":\"llama3\",\"rope_theta\":1e4}", "rope_type"},
        {"vocab_size", "1e30", "vocab"},
        {"instar", "[]", "instar"},
        {"instar", "{\"unknown\": 1}", "unknown"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        saved s = save("{layers: 1, width: 32, heads: 2}", NULL, 0);
        write_config(&s, table[i].key, table[i].json ? json_loads(table[i].json, JSON_DECODE_ANY, NULL) : NULL);
        expect_load(&s, table[i].says);
        drop(&s);
    }
}

static void test_missing_files(void **state) {
    (void)state;
    ins_model *m = NULL;
    float *slab = NULL;
    ins_error why = {0};
    assert_int_not_equal(ins_model_load("/nonexistent/folder", &m, &slab, &why), INS_OK);
    saved s = save("{layers: 1}", NULL, 0);
    remove(s.weights);
    assert_int_not_equal(ins_model_load(s.dir, &m, &slab, &why), INS_OK);
    FILE *f = fopen(s.config, "w");
    fputs("{\"model_type\": ", f);
    fclose(f);
    assert_int_not_equal(ins_model_load(s.dir, &m, &slab, &why), INS_OK);
    drop(&s);
}

/* Every allocation failure on the way gives a clean error and leaks nothing. */
static void test_out_of_memory(void **state) {
    (void)state;
    saved s = save("{layers: 1, width: 32, heads: 2}", NULL, 0);
    uint64_t live = ins_mem_get_stats().live;
    ins_status status = INS_NOMEM;
    for (uint64_t k = 1; status != INS_OK && k < 3000; k++) {
        ins_model *m = NULL;
        float *slab = NULL;
        ins_mem_fail_at(k);
        status = ins_model_load(s.dir, &m, &slab, NULL);
        ins_mem_fail_at(0);
        if (status == INS_OK) {
            ins_slab_free(ins_model_params(m), slab);
            ins_model_free(m);
        }
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_int_equal(status, INS_OK);
    drop(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_round_trip_own), cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_strict),     cmocka_unit_test(test_lenient),        cmocka_unit_test(test_bf16_file),
        cmocka_unit_test(test_bad_config), cmocka_unit_test(test_missing_files),  cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
