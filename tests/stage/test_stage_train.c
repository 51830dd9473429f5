/* What the train stage computes does not depend on how the work is cut: accumulation, threads. And it stops, skips and
 * saves as its options say. */
#include <math.h>

#include "format/safetensors.h"
#include "stage/stage_run.h"
#include "stage/train_run.h"
#include "stage/train_show.h"

static int setup(void **state) {
    run_kit *kit = calloc(1, sizeof *kit);
    run_open(kit, 1);
    run_make_tokens(kit);
    run_make_questions(kit, "questions", 60);
    run_stage_ok(kit, "tokenize", "chat_tokens", "{corpora: [questions], from: tokens, format: chat}");
    *state = kit;
    return 0;
}
static int teardown(void **state) {
    run_close(*state);
    free(*state);
    return 0;
}

#define DATA "data: [{tokens: tokens, corpus: near}]"
#define SIZE RUN_MODEL ", context: 32, batch: 256"

/* ---- accumulation ---- */

static void assert_close_weights(run_kit *kit, const char *one, const char *other, const char *step, double tolerance) {
    ins_safetensors *x = NULL, *y = NULL;
    const char *file = ins_arena_printf(kit->arena, "checkpoints/step-%s/model.safetensors", step);
    assert_ok(ins_safetensors_open(run_path(kit, one, file), &x, NULL));
    assert_ok(ins_safetensors_open(run_path(kit, other, file), &y, NULL));
    double worst = 0, sum = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < ins_safetensors_count(x); i++) {
        const ins_safetensor *tx = ins_safetensors_at(x, i), *ty = ins_safetensors_find(y, tx->name);
        assert_non_null(ty);
        int64_t n = ins_type_count(&tx->type);
        for (int64_t j = 0; j < n; j++) {
            float vx, vy;
            memcpy(&vx, (const char *)tx->data + 4 * j, 4);
            memcpy(&vy, (const char *)ty->data + 4 * j, 4);
            worst = fmax(worst, fabs((double)vx - (double)vy));
            sum += (double)vx * (double)vx;
            count++;
        }
    }
    ins_safetensors_close(x);
    ins_safetensors_close(y);
    if (!(worst <= tolerance * sqrt(sum / (double)count)))
        fail_msg("%s and %s differ by %g; rms %g", one, other, worst, sqrt(sum / (double)count));
}

static void test_accumulation(void **state) {
    run_kit *kit = *state;
    static const char *const micro[] = {"8", "4", "1"};
    static const char *const names[] = {"whole", "halves", "eighths"};
    double losses[3][6];
    for (int i = 0; i < 3; i++) {
        const char *yaml = ins_arena_printf(kit->arena,
                                            "{" DATA ", " SIZE ", optimizer: sgd, lr: 0.1, steps: 6, precision: f32, "
                                            "probe_points: 2, micro_rows: %s}",
                                            micro[i]);
        run_stage_ok(kit, "train", names[i], yaml);
        for (int s = 0; s < 6; s++) losses[i][s] = run_metric(kit, s, "train/loss");
        for (int s = 0; s < 6; s++) assert_true(fabs(losses[i][s] - losses[0][s]) < 2e-6 * losses[0][s]);
    }
    assert_true(losses[0][5] < losses[0][0]);
    assert_close_weights(kit, "whole", "halves", "000000006", 2e-6);
    assert_close_weights(kit, "whole", "eighths", "000000006", 2e-6);
}

/* ---- threads ---- */

static void test_threads(void **state) {
    run_kit *kit = *state;
    const char *yaml = "{" DATA ", " SIZE ", lr: 0.01, steps: 8, probes: [{kind: bpb, tokens: tokens, corpus: near}, "
                       "{kind: choice, corpus: questions}, {kind: sample, prompts: ['The dog']}, stats]}";
    const char *f32 = ins_arena_printf(kit->arena, "%.*s, precision: f32}", (int)strlen(yaml) - 1, yaml);
    ins_pool *one = kit->pool, *two = NULL;
    run_stage_ok(kit, "train", "one", f32);
    run_list first = run_take(kit);
    assert_ok(ins_pool_new(2, &two, NULL));
    kit->pool = two;
    run_stage_ok(kit, "train", "two", f32);
    run_list second = run_take(kit);
    kit->pool = one;
    ins_pool_free(two);
    run_assert_same_checkpoints(kit, "one", "two");
    run_assert_same_records(&first, &second);
    run_list_free(&first);
    run_list_free(&second);
}

/* ---- the trainer itself ---- */

typedef struct open_train {
    ins_log log;
    ins_metrics metrics;
    ins_stage_context context;
    ins_train_run run;
} open_train;

static void train_open(run_kit *kit, open_train *t, const char *name, const char *yaml) {
    const ins_stage *stage = (const ins_stage *)ins_component_find(&ins_family_stage, "train");
    ins_diag diag = {0};
    const void *options = run_parse(kit, stage, yaml, &diag);
    assert_int_equal(diag.n, 0);
    t->log = (ins_log){run_message, run_progress, kit};
    t->metrics = (ins_metrics){kit, run_value, run_text, run_truncate, run_flush};
    t->context = run_context(kit, name, options, &t->log, &t->metrics);
    assert_ok(ins_dir_make(run_dir(kit, name), NULL));
    if (ins_train_open(&t->run, &t->context, &kit->err) != INS_OK) fail_msg("%s", kit->err.text);
}

static void test_no_allocation_after_the_second_step(void **state) {
    run_kit *kit = *state;
    open_train t;
    train_open(kit, &t, "lean",
               "{" DATA ", " SIZE ", lr: 0.01, steps: 8, micro_rows: 2, ema: 0.9, spike: skip, probes: [stats]}");
    uint64_t before = 0;
    for (int step = 0; step < 8; step++) {
        ins_step_report report;
        assert_ok(ins_trainer_step(t.run.trainer, t.run.mixture, 0.01, &report, NULL));
        if (step == 1) before = ins_mem_get_stats().n_allocs;
    }
    assert_int_equal(ins_mem_get_stats().n_allocs, before);
    ins_train_close(&t.run);
}

static void test_a_spike_is_left_out(void **state) {
    run_kit *kit = *state;
    open_train t;
    train_open(kit, &t, "spiky", "{" DATA ", " SIZE ", lr: 0.001, steps: 100, spike: skip, spike_z: 6}");
    ins_trainer_state *s = ins_trainer_get_state(t.run.trainer);
    size_t bytes = (size_t)ins_model_params(t.run.model)->slab_count * sizeof(float);
    float *before = malloc(bytes);
    ins_step_report report;
    for (int step = 0; step < 40; step++) {
        assert_ok(ins_trainer_step(t.run.trainer, t.run.mixture, 0.001, &report, NULL));
        assert_false(report.skipped);
    }
    const ins_running calm = s->loss;
    s->loss.mean = report.loss - 1; /* as if the next loss stood one nat above what is usual */
    s->loss.var = 1e-4;
    memcpy(before, ins_trainer_weights(t.run.trainer), bytes);
    const ins_running shifted = s->loss;
    assert_ok(ins_trainer_step(t.run.trainer, t.run.mixture, 0.001, &report, NULL));
    assert_true(report.skipped);
    assert_memory_equal(before, ins_trainer_weights(t.run.trainer), bytes);
    assert_memory_equal(&s->loss, &shifted, sizeof shifted); /* spikes do not count in the statistics */
    assert_int_equal(s->skipped, 1);
    assert_int_equal(s->step, 41);
    assert_int_equal(s->updates, 40);
    assert_int_equal(s->cursor, 41 * 8);
    s->loss = calm;
    assert_ok(ins_trainer_step(t.run.trainer, t.run.mixture, 0.001, &report, NULL));
    assert_false(report.skipped);
    assert_memory_not_equal(before, ins_trainer_weights(t.run.trainer), bytes);
    free(before);
    ins_train_close(&t.run);
}

/* Only the answer and its end mark are in the loss. */
static void test_sft_masks(void **state) {
    run_kit *kit = *state;
    open_train t;
    train_open(kit, &t, "masked",
               "{data: [{tokens: chat_tokens, corpus: questions}], objective: sft, " RUN_MODEL
               ", context: 64, batch: 256, steps: 3, lr: 0.01}");
    assert_ok(ins_trainer_read(t.run.trainer, t.run.mixture, NULL));
    const ins_batch *batch = ins_trainer_batch(t.run.trainer, 0);
    const ins_tokenizer *tok = t.run.tokenizer;
    ins_str text = {0};
    int32_t end = ins_tokenizer_find(tok, "<|im_end|>");
    int64_t n_counted = 0, n_answers = 0;
    for (int64_t i = 0; i < batch->n_rows * batch->n_cols; i++) {
        if (!(batch->weights[i] > 0)) continue;
        n_counted++;
        if (batch->targets[i] != end) {
            assert_ok(ins_tokenizer_decode(tok, &batch->targets[i], 1, false, &text, NULL));
            continue;
        }
        assert_true(strcmp(text.data, "animal") == 0 || strcmp(text.data, "plant") == 0);
        ins_str_clear(&text);
        n_answers++;
    }
    assert_int_equal(text.len, 0);
    assert_true(n_answers >= 4);
    assert_int_equal(batch->n_targets, n_counted);
    assert_true(n_counted < batch->n_tokens / 2);
    ins_str_free(&text);
    ins_train_close(&t.run);
}

/* ---- looking at the data ---- */

static void test_show(void **state) {
    run_kit *kit = *state;
    open_train t;
    const char *yaml = "{data: [{tokens: chat_tokens, corpus: questions, weight: 3}, {tokens: tokens, corpus: near}], "
                       "objective: clm, " RUN_MODEL ", context: 64, batch: 512, micro_rows: 4, steps: 3, lr: 0.01}";
    train_open(kit, &t, "shown", yaml);
    ins_step_report report;
    assert_ok(ins_trainer_step(t.run.trainer, t.run.mixture, 0.01, &report, NULL));
    assert_ok(ins_trainer_read(t.run.trainer, t.run.mixture, NULL)); /* step 1 */
    ins_train_view view;
    assert_ok(ins_train_show(&t.context, 1, 0, &view, NULL));
    assert_int_equal(view.n_rows, 8);
    assert_int_equal(view.context, 64);
    assert_int_equal(view.n_sources, 2);
    assert_true(view.sources[0].share == 0.75 && view.sources[0].fill > 0.3);
    int64_t n_targets = 0;
    for (int64_t r = 0; r < view.n_rows; r++) {
        const ins_shown_row *row = &view.rows[r];
        const ins_batch *batch = ins_trainer_batch(t.run.trainer, r / 4);
        int64_t base = r % 4 * 64;
        assert_int_equal(row->sample, 8 + r);
        assert_string_equal(row->source, view.sources[batch->sources[r % 4]].name);
        assert_true(row->n > 1 && row->n <= 64);
        for (int64_t i = 0; i < row->n; i++) {
            assert_int_equal(row->tokens[i].id, batch->ids[base + i]);
            assert_int_equal(row->tokens[i].target, batch->targets[base + i]);
            assert_true(row->tokens[i].weight == batch->weights[base + i]);
            assert_int_equal(row->tokens[i].segment, batch->segments[base + i]);
            assert_int_equal(strlen(row->tokens[i].text), row->tokens[i].n);
            n_targets += row->tokens[i].weight > 0;
        }
        assert_string_equal(row->tokens[0].text, "<|endoftext|>");
    }
    assert_int_equal(view.n_targets, n_targets);
    ins_train_view_free(&view);
    assert_ok(ins_train_show(&t.context, 0, 3, &view, NULL));
    assert_int_equal(view.n_rows, 3);
    ins_train_view_free(&view);
    ins_error err = {0};
    assert_int_equal(ins_train_show(&t.context, 3, 3, &view, &err), INS_USAGE);
    ins_train_close(&t.run);
}

/* ---- the average of the weights is what the stage leaves ---- */

static void test_ema_is_kept(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "train", "plain", "{" DATA ", " SIZE ", lr: 0.01, steps: 6, precision: f32, probe_points: 2}");
    run_stage_ok(kit, "train", "averaged",
                 "{" DATA ", " SIZE ", lr: 0.01, steps: 6, precision: f32, probe_points: 2, ema: 0.9}");
    assert_string_equal(run_manifest(kit, "plain", 0), run_manifest(kit, "averaged", 0));
    assert_string_not_equal(run_manifest(kit, "plain", 6), run_manifest(kit, "averaged", 6));
}

/* ---- what is not said is derived ---- */

static void test_defaults(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "train", "derived", "{" DATA ", model: {layers: 1, width: 64}, budget: 8k, context: 64}");
    assert_true(kit->result.steps >= 1);
    assert_true(run_metric(kit, -1, "train/lr") > 0);
    run_stage_ok(kit, "train", "dialled", "{" DATA ", budget: 20k, context: 64}"); /* the budget gives the size */
    assert_true(kit->result.steps >= 1);
    run_stage_ok(kit, "train", "bytes_wide",
                 "{" DATA ", model: {layers: 1, width: 32, vocab: 512}, context: 32, batch: 128, steps: 2}");
    run_stage_ok(kit, "train", "timed", "{" DATA ", " RUN_MODEL ", context: 32, batch: 256, time: 50ms}");
    int64_t steps = kit->result.steps;
    assert_true(steps >= 10);
    ins_train_record record;
    assert_true(ins_train_record_read(run_dir(kit, "timed"), &record));
    assert_int_equal(record.steps, steps);
    assert_true(record.done);
}

static void test_probe_steps(void **state) {
    (void)state;
    ins_train_options o = {.probe_points = 7};
    int64_t *steps = NULL, n = 0;
    assert_ok(ins_train_probe_steps(&o, 1000, &steps, &n, NULL));
    assert_int_equal(n, 7);
    assert_int_equal(steps[0], 0);
    assert_int_equal(steps[1], 4);
    assert_int_equal(steps[6], 1000);
    for (int64_t i = 1; i < n; i++) assert_true(steps[i] > steps[i - 1]);
    ins_free(steps);
    assert_ok(ins_train_probe_steps(&o, 2, &steps, &n, NULL)); /* fewer steps than points */
    assert_int_equal(n, 2);
    ins_free(steps);
    o.probe_every = 30;
    assert_ok(ins_train_probe_steps(&o, 100, &steps, &n, NULL));
    const int64_t every[] = {0, 30, 60, 90, 100};
    assert_int_equal(n, 5);
    assert_memory_equal(steps, every, sizeof every);
    ins_free(steps);
    const char *items[] = {"50", "2k", "10", "50"};
    o = (ins_train_options){.probe_at = {.items = items, .n = 4}};
    assert_ok(ins_train_probe_steps(&o, 100, &steps, &n, NULL));
    const int64_t at[] = {0, 10, 50, 100};
    assert_int_equal(n, 4);
    assert_memory_equal(steps, at, sizeof at);
    ins_free(steps);
}

/* ---- learning what can be learnt, and the plan of it ---- */

static void test_plan(void **state) {
    run_kit *kit = *state;
    const ins_stage *stage = (const ins_stage *)ins_component_find(&ins_family_stage, "train");
    ins_diag diag = {0};
    const void *options = run_parse(kit, stage, "{" DATA ", " SIZE ", steps: 50}", &diag);
    ins_log log = {run_message, run_progress, kit};
    ins_metrics metrics = {kit, run_value, run_text, run_truncate, run_flush};
    ins_stage_context c = run_context(kit, "planned", options, &log, &metrics);
    ins_stage_plan known, guessed, unknown;
    assert_ok(stage->plan(&c, &known, NULL));
    assert_true(known.params > 40000 && known.flop > 0 && known.peak_bytes > 1e5 && known.seconds > 0);
    assert_int_equal(known.steps, 50);
    assert_int_equal(known.tokens, 50 * 256);
    /* inputs that are not there yet */
    ins_stage_input missing[] = {{.ref = "tokens", .kind = "tokenize"}, {.ref = "base", .kind = "train"}};
    c.inputs = missing;
    c.n_inputs = 2;
    assert_ok(stage->plan(&c, &guessed, NULL));
    assert_true(guessed.params > known.params); /* a larger vocabulary is assumed */
    assert_non_null(strstr(kit->last_message, "vocabulary"));
    c.options = run_parse(kit, stage, "{" DATA ", init: base, steps: 50}", &diag);
    assert_ok(stage->plan(&c, &unknown, NULL));
    assert_int_equal(unknown.params, 0);
    assert_false(ins_dir_exists(run_dir(kit, "planned")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accumulation),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_no_allocation_after_the_second_step),
        cmocka_unit_test(test_a_spike_is_left_out),
        cmocka_unit_test(test_sft_masks),
        cmocka_unit_test(test_show),
        cmocka_unit_test(test_ema_is_kept),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_probe_steps),
        cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
