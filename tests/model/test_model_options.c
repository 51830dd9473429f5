/* Options: presets, the one dial, cross checks. */
#include "model/model_testing.h"

#include "model/derive.h"

/* Problems that parsing YAML text gives, all in one string. */
static const char *problems_of(const char *yaml, int64_t vocab, char text[2048]) {
    ins_arena *arena = ins_arena_new(0);
    ins_node *node = NULL;
    OK(ins_yaml_read_text(yaml, strlen(yaml), "r.yaml", arena, &node, err));
    ins_model_options options;
    ins_diag diag = {0};
    text[0] = 0;
    bool ok = ins_model_options_parse(node, vocab, &options, arena, &diag);
    assert_int_equal(ok, diag.n == 0);
    for (int64_t i = 0; i < diag.n; i++) {
        size_t len = strlen(text);
        snprintf(text + len, 2048 - len, "%s:%d: %s (%s)\n", diag.items[i].file, diag.items[i].line, diag.items[i].text,
                 diag.items[i].hint);
    }
    ins_diag_free(&diag);
    ins_arena_free(arena);
    return text;
}

static void test_dial(void **state) {
    (void)state;
    static const int64_t table[][5] = {
        /* layers, width, heads, ff of swiglu, ff of gelu */
        {1, 64, 1, 192, 256},
        {4, 256, 4, 704, 1024},
        {6, 384, 6, 1024, 1536},
        {12, 768, 12, 2048, 3072},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char yaml[64];
        snprintf(yaml, sizeof yaml, "layers: %d", (int)table[i][0]);
        ins_model_options o = options_from(yaml, 1000);
        assert_int_equal(o.width, table[i][1]);
        assert_int_equal(o.heads, table[i][2]);
        assert_int_equal(o.kv_heads, o.heads);
        assert_int_equal(o.head_size, 64);
        assert_int_equal(o.ff, table[i][3]);
        assert_int_equal(o.vocab, 1000);
        snprintf(yaml, sizeof yaml, "{preset: gpt2, layers: %d}", (int)table[i][0]);
        assert_int_equal(options_from(yaml, 1000).ff, table[i][4]);
    }
}

/* GPT-2 small: published size. */
static void test_gpt2_size(void **state) {
    (void)state;
    ins_model *m = model_from("{preset: gpt2, layers: 12}", 50257);
    assert_int_equal(ins_model_params(m)->n_elements, 124439808);
    /* 2 x (85M of blocks + 38.6M of head) + 4 T D L */
    double flop = ins_model_flops_per_token(m, 1024);
    assert_float_equal(flop, 2.0 * (84934656.0 + 50257.0 * 768) + 4.0 * 12 * 768 * 1024, 1);
    ins_model_free(m);
}

static void test_sizes_given_in_part(void **state) {
    (void)state;
    ins_model_options o = options_from("{width: 96}", 10);
    assert_int_equal(o.heads, 1);
    o = options_from("{width: 320}", 10);
    assert_int_equal(o.heads, 5);
    o = options_from("{width: 512, head_size: 32, kv_heads: 4}", 10);
    assert_int_equal(o.heads, 16);
    o = options_from("{heads: 6, head_size: 16}", 10);
    assert_int_equal(o.width, 96);
    o = options_from("{layers: 2, heads: 3}", 10);
    assert_true(o.width >= 128 && o.width % 3 == 0 && o.head_size % 2 == 0);
    o = options_from("{preset: llama, width: 64, heads: 4, head_size: 32, vocab: 20}", 10);
    assert_int_equal(o.head_size, 32); /* not width / heads: allowed */
    assert_int_equal(o.vocab, 20);
}

static void test_presets(void **state) {
    (void)state;
    ins_model_options gpt2 = options_from("{preset: gpt2, norm_eps: 1e-6}", 10), qwen = options_from("qwen2", 10),
                      plain = options_from("{}", 10), llama = options_from("llama", 10);
    assert_true(gpt2.norm == INS_NORM_LAYER && gpt2.in_out && gpt2.qkv_fused && gpt2.tied && gpt2.norm_eps == 1e-6);
    assert_true(qwen.qkv_bias && !qwen.out_bias && qwen.norm == INS_NORM_RMS && qwen.norm_eps == 1e-6);
    assert_true(!llama.tied && !llama.init_residual_scaled);
    assert_true(plain.tied && plain.init_residual_scaled && plain.mlp == INS_MLP_SWIGLU);
    assert_string_equal(plain.preset.desc->name, "instar");
    for (int64_t i = 0; i < ins_family_preset.n; i++) { /* each one builds */
        char yaml[96];
        snprintf(yaml, sizeof yaml, "{preset: %s, layers: 1}", ins_family_preset.items[i]->name);
        ins_model *m = model_from(yaml, 10);
        assert_true(ins_model_params(m)->n > 3);
        ins_model_free(m);
    }
    assert_non_null(ins_component_find(&ins_family_preset, "qwen3"));
}

static void test_problems(void **state) {
    (void)state;
    char text[2048];
    static const struct {
        const char *yaml, *says;
        int64_t vocab;
    } table[] = {
        {"{preset: lama}", "llama", 10},
        {"{layer: 3}", "layers", 10},
        {"{layers: 0}", "layers", 10},
        {"{width: 100, heads: 3}", "not a multiple", 10},
        {"{width: 64, heads: 4, kv_heads: 3}", "kv_heads", 10},
        {"{width: 60, heads: 4}", "even number", 10},
        {"{norm: rmsnorm, norm_bias: true}", "no bias", 10},
        {"{parallel: true, norm_place: post}", "norm_place: pre", 10},
        {"{layers: 2}", "vocabulary", 0},
        {"{vocab: 9}", "smaller than the tokenizer's 10", 10},
        {"{mlp: swigly}", "swiglu", 10},
        {"{preset: lstm, heads: 4}", "heads means nothing to a model whose encoder is lstm", 10},
        {"{preset: lstm, heads: 4}", "these mean something: layers width", 10},
        {"{preset: lstm, window: 4}", "window means nothing", 10},
        {"{preset: lstm, tied: true, width: 8, hidden: 16}", "cannot be the embedding: width 8, hidden 16", 10},
        {"{preset: mlp, forget_bias: 1}", "forget_bias means nothing to a model whose encoder is mlp", 10},
        {"{preset: mlp, mlp: relu}", "mlp means nothing", 10},
        {"{preset: mlp, layers: 0}", "layers", 10},
        {"{preset: gpt2, hidden: 7}", "encoder is a transformer (leave it out, or choose", 10},
        {"{preset: lstm}", "vocabulary", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strstr(problems_of(table[i].yaml, table[i].vocab, text), table[i].says))
            fail_msg("%s: '%s' lacks '%s'", table[i].yaml, text, table[i].says);
    assert_non_null(strstr(problems_of("layers: 2\nheads: none\nwdth: 3\n", 10, text), "r.yaml:2:"));
    assert_non_null(strstr(text, "r.yaml:3:")); /* all at once */
}

/* Impossible options made in C. */
static void test_new_checks(void **state) {
    (void)state;
    ins_model_options o = options_from("{layers: 1}", 10);
    o.kv_heads = 7;
    ins_model *m = NULL;
    ins_error why = {0};
    assert_int_equal(ins_model_new(&o, &m, &why), INS_RECIPE);
    assert_null(m);
    assert_true(strlen(why.hint) > 0);
}

static void test_derived_training(void **state) {
    (void)state;
    assert_float_equal(ins_derive_lr(125000000), 6e-4, 1e-9);
    assert_true(ins_derive_lr(1300000000) > 1.8e-4 && ins_derive_lr(1300000000) < 3.2e-4);
    assert_true(ins_derive_lr(3000000) > 1e-3 && ins_derive_lr(3000000) < 3e-3);
    assert_float_equal(ins_derive_lr(1), 4e-3, 1e-12);
    assert_float_equal(ins_derive_lr(INT64_MAX), 1e-4, 1e-12);
    assert_int_equal(ins_derive_tokens(1000), 20000);
    int64_t small = ins_derive_batch_tokens(3000000, 20000000), large = ins_derive_batch_tokens(124000000, 2500000000);
    assert_true(small % 512 == 0 && small > 8000 && small < 40000);
    assert_true(large > 150000 && large < 500000);
    assert_int_equal(ins_derive_batch_tokens(3000000, 10000), 512);
    assert_int_equal(ins_derive_layers(1, 1000), 1);
    int64_t layers = ins_derive_layers(20 * 3000000LL, 8192);
    char yaml[32];
    for (int64_t more = 0; more < 2; more++) { /* the most that fits in 3M */
        snprintf(yaml, sizeof yaml, "layers: %d", (int)(layers + more));
        ins_model *m = model_from(yaml, 8192);
        assert_int_equal(ins_model_params(m)->n_elements > 3100000, more);
        ins_model_free(m);
    }
    assert_int_equal(ins_derive_layers(INT64_MAX, 1000), 64);
}

/* Every table of these rooms: names, help, defaults in range. */
static void test_tables(void **state) {
    (void)state;
    ins_diag diag = {0};
    if (!ins_opt_table_check(&ins_model_table, &diag)) fail_msg("%s", diag.items[0].text);
    for (int f = 0; ins_families[f]; f++) {
        for (int64_t i = 0; i < ins_families[f]->n; i++) {
            const ins_component *c = ins_families[f]->items[i];
            assert_string_equal(c->family, ins_families[f]->name);
            assert_true(c->summary && c->version > 0);
            if (c->options && !ins_opt_table_check(c->options, &diag)) fail_msg("%s: %s", c->name, diag.items[0].text);
        }
    }
    ins_diag_free(&diag);
}

static void test_precision(void **state) {
    (void)state;
    ins_dtype compute = INS_DTYPE_I8;
    char why[160] = "";
    OK(ins_precision_choose(INS_PRECISION_F32, &compute, why, err));
    assert_int_equal(compute, INS_DTYPE_F32);
    OK(ins_precision_choose(INS_PRECISION_AUTO, &compute, why, err));
    assert_true(compute == INS_DTYPE_F32 || compute == INS_DTYPE_BF16);
    assert_true(strncmp(why, ins_dtype_name(compute), 3) == 0);
    ins_error problem = {0};
    ins_status status = ins_precision_choose(INS_PRECISION_BF16, &compute, why, &problem);
    if (status == INS_OK)
        assert_int_equal(compute, INS_DTYPE_BF16);
    else
        assert_non_null(strstr(problem.hint, "auto"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dial),
        cmocka_unit_test(test_gpt2_size),
        cmocka_unit_test(test_sizes_given_in_part),
        cmocka_unit_test(test_presets),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_new_checks),
        cmocka_unit_test(test_derived_training),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
