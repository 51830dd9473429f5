/* LSTM and MLP models through the whole pipeline: trained better than the unigram, stopped and resumed, evaluated,
 * generating, exported. */
#include "base/file.h"
#include "format/json.h"
#include "stage/checkpoint.h"
#include "stage/stage_run.h"

static int setup(void **state) {
    run_kit *kit = calloc(1, sizeof *kit);
    run_open(kit, 2);
    run_make_tokens(kit);
    *state = kit;
    return 0;
}
static int teardown(void **state) {
    run_close(*state);
    free(*state);
    return 0;
}

#define PROBES                                                                                                         \
    "probes: [{kind: bpb, tokens: tokens, corpus: near}, {kind: ngram, tokens: tokens, corpus: near, order: 1}, "      \
    "{kind: sample, prompts: ['The dog']}]"

static const char *recipe(run_kit *kit, const char *model) {
    return ins_arena_printf(kit->arena,
                            "{data: [{tokens: tokens, corpus: near}], model: %s, context: 32, batch: 256, micro_rows: "
                            "4, steps: 100, lr: 0.02, probe_points: 3, " PROBES "}",
                            model);
}

static void check(run_kit *kit, const char *name, const char *model, const char *type) {
    const char *yaml = recipe(kit, model), *again = ins_arena_printf(kit->arena, "%s-again", name);
    run_stage_ok(kit, "train", name, yaml);
    double bpb = run_metric(kit, 100, "bpb/near"), unigram = run_metric(kit, 100, "ngram/near");
    if (!(bpb < 0.7 * unigram)) fail_msg("%s: %g bits per byte; the unigram %g", name, bpb, unigram);
    /* stopped in the middle: the same bytes */
    kit->stop = 0, kit->stop_metric = "train/loss", kit->stop_step = 61;
    assert_int_equal(run_stage(kit, "train", again, yaml), INS_INTERRUPTED);
    kit->stop = 0, kit->stop_metric = NULL;
    run_stage_ok(kit, "train", again, yaml);
    run_assert_same_checkpoints(kit, name, again);
    /* evaluated alone as in training */
    const char *evaluate =
        ins_arena_printf(kit->arena, "{model: %s, probes: [{kind: bpb, tokens: tokens, corpus: near}]}", name);
    run_stage_ok(kit, "evaluate", ins_arena_printf(kit->arena, "%s-evaluate", name), evaluate);
    assert_float_equal(run_metric(kit, -1, "bpb/near"), bpb, 1e-9);
    const char *out = ins_arena_printf(kit->arena, "%s-export", name);
    run_stage_ok(kit, "export", out, ins_arena_printf(kit->arena, "{model: %s}", name));
    const char *files[] = {"config.json", "model/config.json", "hf/config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        json_t *config = NULL;
        const char *found = NULL;
        if (!ins_file_exists(run_path(kit, out, files[i]))) continue;
        assert_ok(ins_json_read_file(run_path(kit, out, files[i]), 1 << 20, &config, NULL));
        assert_ok(ins_json_get_string(config, "model_type", &found, NULL));
        assert_string_equal(found, type);
        json_decref(config);
        return;
    }
    fail_msg("%s: the export has no config.json", name);
}

static void test_lstm(void **state) {
    check(*state, "lstm", "{preset: lstm, width: 32, hidden: 48, layers: 1, dropout: 0.05, forget_bias: 1}", "lstm");
}
static void test_mlp(void **state) {
    check(*state, "mlp", "{preset: mlp, window: 4, width: 16, hidden: 48}", "mlp_lm");
}

static void test_wrong_options(void **state) {
    run_kit *kit = *state;
    assert_int_equal(run_stage(kit, "train", "wrong", recipe(kit, "{preset: lstm, heads: 2}")), INS_RECIPE);
    assert_non_null(strstr(kit->err.text, "heads means nothing"));
    assert_non_null(strstr(kit->err.hint, "hidden"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_mlp),
        cmocka_unit_test(test_wrong_options),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
