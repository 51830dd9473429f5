/* A train stage that is stopped, killed or damaged and run again ends with the same bytes as one that is not. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "stage/checkpoint.h"
#include "stage/stage_run.h"

/* dropout, averaging, spikes and accumulation, so that all state matters; stats looks at the last step. */
#define RECIPE(more)                                                                                                   \
    "{data: [{tokens: tokens, corpus: near}], model: {preset: llama, layers: 1, width: 32, heads: 2, max_positions: "  \
    "64, dropout: 0.1}, context: 32, batch: 128, micro_rows: 2, steps: 24, lr: 0.01, ema: 0.9, spike: skip, spike_z: " \
    "3, probe_points: 5, probes: [{kind: bpb, tokens: tokens, corpus: near, max_tokens: 512}, stats]" more "}"
static const char *const recipe = RECIPE("");

typedef struct resume_fixture {
    run_kit kit;
    run_list whole;
} resume_fixture;

static int setup(void **state) {
    resume_fixture *f = calloc(1, sizeof *f);
    run_open(&f->kit, 1);
    run_make_tokens(&f->kit);
    run_stage_ok(&f->kit, "train", "whole", recipe);
    f->whole = run_take(&f->kit);
    *state = f;
    return 0;
}
static int teardown(void **state) {
    resume_fixture *f = *state;
    run_list_free(&f->whole);
    run_close(&f->kit);
    free(f);
    return 0;
}

static void compare(resume_fixture *f, const char *name) {
    run_assert_same_checkpoints(&f->kit, "whole", name);
    run_list records = run_take(&f->kit);
    run_assert_same_records(&f->whole, &records);
    run_list_free(&records);
    assert_false(ins_dir_exists(run_path(&f->kit, name, "resume")));
}

/* Stop when `metric` of `step` is recorded. */
static void stop_once(run_kit *kit, const char *name, const char *metric, int64_t step) {
    kit->stop = 0;
    kit->stop_metric = metric;
    kit->stop_step = step;
    ins_status status = run_stage(kit, "train", name, recipe);
    assert_int_equal(status, INS_INTERRUPTED);
    assert_int_equal(ins_status_exit_code(status), 130);
    kit->stop = 0;
    kit->stop_metric = NULL;
}

static void test_stopped_at_every_kind_of_step(void **state) {
    resume_fixture *f = *state;
    run_kit *kit = &f->kit;
    stop_once(kit, "stopped", "train/loss", 0);  /* after the first step */
    stop_once(kit, "stopped", "train/loss", 3);  /* the next one is probed: step 4 */
    stop_once(kit, "stopped", "bpb/near", 6);    /* within the probes */
    stop_once(kit, "stopped", "train/loss", 12); /* between probes */
    stop_once(kit, "stopped", "train/loss", 23); /* after the last step, before its probes */
    run_stage_ok(kit, "train", "stopped", recipe);
    assert_int_equal(kit->result.steps, 24);
    compare(f, "stopped");
}

static void test_done_stage_is_not_run_again(void **state) {
    resume_fixture *f = *state;
    run_kit *kit = &f->kit;
    int before = kit->n_flushes;
    run_stage_ok(kit, "train", "whole", recipe);
    assert_int_equal(kit->n_flushes, before);
    assert_int_equal(kit->result.steps, 24);
    assert_true(kit->result.tokens > 0 && kit->result.flop > 0);
}

/* Killed after the record, before the folders of the way there were removed: they don't become part of the output. */
static void test_done_stage_is_tidied_up(void **state) {
    resume_fixture *f = *state;
    run_kit *kit = &f->kit;
    assert_ok(ins_dir_make(run_path(kit, "whole", "resume/step-000000020"), NULL));
    assert_ok(ins_dir_make(run_path(kit, "whole", "checkpoints/step-000000007.tmp"), NULL));
    run_stage_ok(kit, "train", "whole", recipe);
    assert_false(ins_dir_exists(run_path(kit, "whole", "resume")));
    assert_false(ins_dir_exists(run_path(kit, "whole", "checkpoints/step-000000007.tmp")));
    assert_int_equal(kit->result.steps, 24);
}

/* Without the record of what was decided, what is there may belong to another number of steps. */
static void test_without_its_record_it_begins_anew(void **state) {
    resume_fixture *f = *state;
    run_kit *kit = &f->kit;
    stop_once(kit, "forgetful", "train/loss", 10);
    assert_ok(ins_dir_make(run_path(kit, "forgetful", "checkpoints/step-000000003"), NULL));
    ins_str text = {0};
    ins_str_puts(&text, "{");
    run_write(kit, "forgetful/train.json", &text);
    ins_str_free(&text);
    run_stage_ok(kit, "train", "forgetful", recipe);
    assert_false(ins_dir_exists(run_path(kit, "forgetful", "checkpoints/step-000000003")));
    compare(f, "forgetful");
}

/* ---- damage ---- */

static void newest_resume(run_kit *kit, const char *name, char *buf, size_t size) {
    int64_t step = -1;
    assert_ok(ins_checkpoint_find_in(run_dir(kit, name), INS_RESUME, -1, NULL, buf, size, &step, NULL));
    assert_true(step > 0);
}

static void flip_byte(const char *path) {
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, -5, SEEK_END);
    int byte = fgetc(file);
    fseek(file, -5, SEEK_END);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void test_damaged_newest_falls_back(void **state) {
    resume_fixture *f = *state;
    run_kit *kit = &f->kit;
    char dir[512], again[512], path[600];
    stop_once(kit, "damaged", "train/loss", 8);
    stop_once(kit, "damaged", "train/loss", 10);
    newest_resume(kit, "damaged", dir, sizeof dir);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    flip_byte(path);
    newest_resume(kit, "damaged", again, sizeof again);
    assert_string_not_equal(dir, again);
    run_stage_ok(kit, "train", "damaged", recipe);
    compare(f, "damaged");
}

static void test_truncated_and_incomplete_fall_back(void **state) {
    resume_fixture *f = *state;
    run_kit *kit = &f->kit;
    char dir[512], again[512], path[600];
    stop_once(kit, "cut", "train/loss", 8);
    stop_once(kit, "cut", "train/loss", 10);
    newest_resume(kit, "cut", dir, sizeof dir);
    snprintf(path, sizeof path, "%s/optimizer.safetensors", dir);
    assert_int_equal(truncate(path, 100), 0);
    newest_resume(kit, "cut", again, sizeof again);
    assert_string_not_equal(dir, again);
    snprintf(path, sizeof path, "%s/manifest.json", again);
    assert_int_equal(unlink(path), 0); /* now none is left: the stage starts over */
    ins_error err = {0};
    assert_int_equal(ins_checkpoint_find_in(run_dir(kit, "cut"), INS_RESUME, -1, NULL, dir, sizeof dir, NULL, &err),
                     INS_MODEL);
    run_stage_ok(kit, "train", "cut", recipe);
    compare(f, "cut");
}

static void test_damaged_model_of_a_finished_stage(void **state) {
    resume_fixture *f = *state;
    run_kit *kit = &f->kit;
    char dir[512], path[600];
    int64_t step = -1;
    run_stage_ok(kit, "train", "spoilt", recipe);
    const ins_stage_input *input = &kit->inputs[kit->n_inputs - 1];
    assert_string_equal(input->ref, "spoilt");
    assert_ok(ins_stage_model_dir(input, -1, NULL, dir, sizeof dir, &step, NULL));
    assert_int_equal(step, 24);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    flip_byte(path);
    ins_log log = {run_message, NULL, kit};
    assert_ok(ins_stage_model_dir(input, -1, &log, dir, sizeof dir, &step, NULL));
    assert_true(step < 24);
    assert_non_null(strstr(kit->last_message, "damaged"));
    ins_error err = {0};
    assert_int_equal(ins_stage_model_dir(input, 24, NULL, dir, sizeof dir, &step, &err), INS_MODEL);
    assert_non_null(strstr(err.text, "damaged"));
    assert_int_equal(ins_stage_model_dir(input, 5, NULL, dir, sizeof dir, &step, &err), INS_MODEL);
    assert_non_null(strstr(err.text, "no checkpoint of step 5"));
    /* The stage itself does not take a damaged end for done: it makes the checkpoint again. */
    run_stage_ok(kit, "train", "spoilt", recipe);
    run_assert_same_checkpoints(kit, "whole", "spoilt");
    run_list records = run_take(kit);
    run_list_free(&records);
}

/* ---- kill -9 ---- */

/* All checkpoints that stand under their final name are whole. */
static void assert_all_whole(run_kit *kit, const char *name) {
    static const char *const folders[] = {INS_CHECKPOINTS, INS_RESUME};
    for (int f = 0; f < 2; f++) {
        const char *root = run_path(kit, name, folders[f]);
        char **names = NULL, dir[512];
        int64_t n = 0;
        if (!ins_dir_exists(root)) continue;
        assert_ok(ins_dir_list(root, &names, &n, NULL));
        for (int64_t i = 0; i < n; i++) {
            if (strstr(names[i], ".tmp")) continue;
            long long step = strtoll(names[i] + 5, NULL, 10);
            ins_error err = {0};
            if (ins_checkpoint_find_in(run_dir(kit, name), folders[f], step, NULL, dir, sizeof dir, NULL, &err) !=
                INS_OK)
                fail_msg("%s", err.text);
        }
        ins_names_free(names, n);
    }
}

static void test_killed_at_random_moments(void **state) {
    resume_fixture *f = *state;
    run_kit *kit = &f->kit;
    ins_rng rng = ins_rng_start(ins_rng_derive(11, "kills", 0), 0);
    int n_kills = 0, code = 1;
    for (int attempt = 0; attempt < 30 && code != 0; attempt++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            kit->pool = NULL; /* threads do not live through fork */
            _exit(run_stage(kit, "train", "killed", RECIPE(", resume_every: 0.01")) == INS_OK ? 0 : 1);
        }
        if (attempt < 20) {
            usleep((useconds_t)(1000 + ins_rng_below(&rng, 60000)));
            if (kill(child, SIGKILL) == 0) n_kills++;
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        assert_all_whole(kit, "killed");
    }
    assert_int_equal(code, 0);
    assert_true(n_kills > 2);
    run_assert_same_checkpoints(kit, "whole", "killed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stopped_at_every_kind_of_step),
        cmocka_unit_test(test_done_stage_is_not_run_again),
        cmocka_unit_test(test_done_stage_is_tidied_up),
        cmocka_unit_test(test_without_its_record_it_begins_anew),
        cmocka_unit_test(test_damaged_newest_falls_back),
        cmocka_unit_test(test_truncated_and_incomplete_fall_back),
        cmocka_unit_test(test_damaged_model_of_a_finished_stage),
        cmocka_unit_test(test_killed_at_random_moments),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
