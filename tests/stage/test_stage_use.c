/* Measuring, writing with and exporting a finished model: the numbers do not depend on how the work is batched. */
#include <math.h>

#include "data/document.h"
#include "format/json.h"
#include "stage/stage_run.h"

static int setup(void **state) {
    run_kit *kit = calloc(1, sizeof *kit);
    run_open(kit, 1);
    run_make_tokens(kit);
    run_make_questions(kit, "questions", 60);
    run_stage_ok(kit, "tokenize", "chat_tokens", "{corpora: [questions], from: tokens, format: chat}");
    run_stage_ok(kit, "train", "base",
                 "{data: [{tokens: tokens, corpus: near}], " RUN_MODEL
                 ", context: 32, batch: 256, steps: 20, lr: 0.01, probe_points: 4}");
    *state = kit;
    return 0;
}
static int teardown(void **state) {
    run_close(*state);
    free(*state);
    return 0;
}

static void read_text(run_kit *kit, const char *stage, const char *file, ins_str *out) {
    ins_str_clear(out);
    assert_ok(ins_file_read(run_path(kit, stage, file), 1 << 24, out, NULL));
}

/* ---- evaluate ---- */

static void test_rows_at_once_do_not_matter(void **state) {
    run_kit *kit = *state;
    static const char *const precision[] = {"f32", "auto"};
    for (int p = 0; p < 2; p++) {
        const char *yaml = ins_arena_printf(kit->arena,
                                            "{model: base, precision: %s, probes: [{kind: bpb, name: one, tokens: "
                                            "tokens, corpus: near, rows: 1}, {kind: bpb, name: many, tokens: tokens, "
                                            "corpus: near, rows: 64}, {kind: bpb, name: odd, tokens: tokens, corpus: "
                                            "near, rows: 7}]}",
                                            precision[p]);
        run_stage_ok(kit, "evaluate", ins_arena_printf(kit->arena, "rows%d", p), yaml);
        static const char *const extra[] = {"", ".se", ".perplexity", ".accuracy"};
        for (int i = 0; i < 4; i++) {
            char one[64], many[64], odd[64];
            snprintf(one, sizeof one, "bpb/one%s", extra[i]);
            snprintf(many, sizeof many, "bpb/many%s", extra[i]);
            snprintf(odd, sizeof odd, "bpb/odd%s", extra[i]);
            double value = run_metric(kit, 20, one);
            assert_true(isfinite(value) && value > 0);
            assert_true(value == run_metric(kit, 20, many));
            assert_true(value == run_metric(kit, 20, odd));
        }
    }
}

static void test_at_all_and_at_steps(void **state) {
    run_kit *kit = *state;
    const char *probe = "probes: [{kind: bpb, tokens: tokens, corpus: near}]";
    run_stage_ok(kit, "evaluate", "all", ins_arena_printf(kit->arena, "{model: base, at: all, %s}", probe));
    int64_t *steps = NULL, n = 0;
    assert_ok(ins_checkpoint_list(run_dir(kit, "base"), &steps, &n, NULL));
    assert_int_equal(n, 4);
    for (int64_t i = 0; i < n; i++) assert_true(run_has_metric(kit, steps[i], "bpb/near"));
    double middle = run_metric(kit, steps[2], "bpb/near"), last = run_metric(kit, 20, "bpb/near");
    assert_true(last < run_metric(kit, 0, "bpb/near"));
    bool tokens_known = false;
    for (int64_t i = 0; i < kit->n_records; i++)
        tokens_known = tokens_known || (kit->records[i].step == 20 && kit->records[i].tokens > 1000);
    assert_true(tokens_known);
    json_t *results = NULL;
    assert_ok(ins_json_read_file(run_path(kit, "all", "results.json"), 1 << 20, &results, NULL));
    assert_int_equal(json_array_size(results), kit->n_records);
    json_decref(results);
    run_stage_ok(kit, "evaluate", "some",
                 ins_arena_printf(kit->arena, "{model: base, at: [%lld, 20], %s}", (long long)steps[2], probe));
    assert_true(run_metric(kit, steps[2], "bpb/near") == middle && run_metric(kit, 20, "bpb/near") == last);
    assert_false(run_has_metric(kit, 0, "bpb/near"));
    ins_free(steps);
}

/* ---- generate ---- */

static void test_rows_do_not_change_texts(void **state) {
    run_kit *kit = *state;
    ins_str one = {0}, other = {0};
    static const char *const rows[] = {"1", "8", "3"};
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "texts%s", rows[i]);
        const char *yaml = ins_arena_printf(
            kit->arena,
            "{model: base, rows: %s, prompts: ['The cat', 'The dog', 'The bird', 'A', 'The'], corpus: questions, "
            "split: train, max_prompts: 4, chat: false, sampling: {temperature: 1, max_tokens: 20}}",
            rows[i]);
        run_stage_ok(kit, "generate", name, yaml);
        read_text(kit, name, "samples.jsonl", i == 0 ? &one : &other);
        if (i > 0) assert_string_equal(one.data, other.data);
        int64_t n_texts = 0;
        for (int64_t r = 0; r < kit->n_records; r++) n_texts += kit->records[r].text != NULL;
        assert_int_equal(n_texts, 9);
    }
    int n_lines = 0;
    for (const char *p = one.data; *p; p++) n_lines += *p == '\n';
    assert_int_equal(n_lines, 9);
    kit->seed++; /* another seed, other texts */
    run_stage_ok(kit, "generate", "seeded",
                 "{model: base, prompts: ['The cat', 'The dog', 'The bird', 'A', 'The'], corpus: questions, split: "
                 "train, max_prompts: 4, chat: false, sampling: {temperature: 1, max_tokens: 20}}");
    kit->seed--;
    read_text(kit, "seeded", "samples.jsonl", &other);
    assert_string_not_equal(one.data, other.data);
    ins_str_free(&one);
    ins_str_free(&other);
}

static void test_equal_prompts_differ(void **state) {
    run_kit *kit = *state;
    ins_str text = {0};
    run_stage_ok(kit, "generate", "twins",
                 "{model: base, prompts: ['The', 'The'], chat: false, sampling: {temperature: 1, max_tokens: 30}}");
    read_text(kit, "twins", "samples.jsonl", &text);
    char *second = strchr(text.data, '\n') + 1;
    second[-1] = 0;
    second[strlen(second) - 1] = 0;
    assert_string_not_equal(text.data, second); /* each prompt draws from its own stream */
    ins_str_free(&text);
}

static void test_long_prompts(void **state) {
    run_kit *kit = *state;
    ins_str yaml = {0};
    ins_str_puts(&yaml, "{model: base, chat: false, prompts: ['");
    for (int i = 0; i < 60; i++) ins_str_puts(&yaml, "The stone sees the river. ");
    ins_str_puts(&yaml, "'], sampling: {temperature: 0, max_tokens: 5}}");
    run_stage_ok(kit, "generate", "long", yaml.data);
    ins_str_free(&yaml);
    assert_non_null(strstr(kit->last_message, "loses its first"));
}

static void test_stop(void **state) {
    run_kit *kit = *state;
    kit->stop = 1;
    assert_int_equal(run_stage(kit, "generate", "halted", "{model: base, prompts: [x]}"), INS_INTERRUPTED);
    assert_int_equal(
        run_stage(kit, "evaluate", "halted_too", "{model: base, probes: [{kind: bpb, tokens: tokens, corpus: near}]}"),
        INS_INTERRUPTED);
    kit->stop = 0;
}

/* ---- export ---- */

static void test_export(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "export", "hub", "{model: base}");
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
                                        "generation_config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_true(ins_file_exists(run_path(kit, "hub", files[i])));
    json_t *config = NULL, *generation = NULL;
    assert_ok(ins_json_read_file(run_path(kit, "hub", "tokenizer_config.json"), 1 << 20, &config, NULL));
    assert_string_equal(json_string_value(json_object_get(config, "eos_token")), "<|endoftext|>");
    assert_non_null(strstr(json_string_value(json_object_get(config, "chat_template")), "<|im_start|>"));
    assert_ok(ins_json_read_file(run_path(kit, "hub", "generation_config.json"), 1 << 20, &generation, NULL));
    assert_int_equal(json_array_size(json_object_get(generation, "eos_token_id")), 2);
    json_decref(config);
    json_decref(generation);
    assert_ok(ins_json_read_file(run_path(kit, "hub", "config.json"), 1 << 20, &config, NULL));
    assert_true(json_is_integer(json_object_get(config, "eos_token_id")));
    json_decref(config);
    /* It is a model like any other. */
    run_stage_ok(kit, "train", "onwards",
                 "{init: hub, data: [{tokens: tokens, corpus: near}], context: 32, batch: 256, steps: 2}");
    run_stage_ok(kit, "export", "early", "{model: base, at: 0}");
    run_stage_ok(kit, "evaluate", "of_hub", "{model: hub, probes: [{kind: bpb, tokens: tokens, corpus: near}]}");
    double hub = run_metric(kit, 0, "bpb/near");
    run_stage_ok(kit, "evaluate", "of_base", "{model: base, probes: [{kind: bpb, tokens: tokens, corpus: near}]}");
    assert_true(fabs(hub - run_metric(kit, 20, "bpb/near")) < 2e-3 * hub); /* precision is chosen at each stage */
    assert_int_equal(run_stage(kit, "evaluate", "no_step",
                               "{model: hub, at: [5], probes: [{kind: bpb, tokens: tokens, corpus: near}]}"),
                     INS_RECIPE);
}

/* ---- plans, with the model there and not ---- */

static void test_plans(void **state) {
    run_kit *kit = *state;
    static const char *const kinds[] = {"evaluate", "generate", "export"};
    static const char *const yaml[] = {"{model: base, probes: [{kind: sample, prompts: [x]}]}",
                                       "{model: base, prompts: [x, y], sampling: {max_tokens: 10}}", "{model: base}"};
    for (int i = 0; i < 3; i++) {
        const ins_stage *stage = (const ins_stage *)ins_component_find(&ins_family_stage, kinds[i]);
        ins_diag diag = {0};
        ins_log log = {run_message, NULL, kit};
        ins_metrics metrics = {kit, run_value, run_text, run_truncate, run_flush};
        ins_stage_context c = run_context(kit, "planned", run_parse(kit, stage, yaml[i], &diag), &log, &metrics);
        ins_stage_plan there, missing;
        assert_ok(stage->plan(&c, &there, NULL));
        assert_true(there.params > 40000 && there.peak_bytes > 0);
        if (i == 1) assert_true(there.tokens == 20 && there.flop > 20.0 * (double)there.params);
        ins_stage_input none = {.ref = "base", .kind = "train"};
        c.inputs = &none;
        c.n_inputs = 1;
        assert_ok(stage->plan(&c, &missing, NULL));
        assert_int_equal(missing.params, 0);
    }
}

/* ---- tables ---- */

static void test_option_tables(void **state) {
    (void)state;
    ins_diag diag = {0};
    const ins_family *families[] = {&ins_family_stage, &ins_family_probe};
    for (int f = 0; f < 2; f++) {
        for (int64_t i = 0; i < families[f]->n; i++) {
            const ins_component *c = families[f]->items[i];
            assert_non_null(c->summary);
            assert_true(c->version >= 1);
            assert_non_null(c->options);
            if (!ins_opt_table_check(c->options, &diag)) fail_msg("%s: %s", c->name, diag.items[0].text);
            /* `kind` names the component: a row of that name could never be given */
            assert_null(ins_opt_find(c->options, "kind"));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_at_once_do_not_matter),
        cmocka_unit_test(test_at_all_and_at_steps),
        cmocka_unit_test(test_rows_do_not_change_texts),
        cmocka_unit_test(test_equal_prompts_differ),
        cmocka_unit_test(test_long_prompts),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_option_tables),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
