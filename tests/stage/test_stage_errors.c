/* Bad input gives one clear error with the right exit code, and nothing that was there is lost. */
#include <errno.h>
#include <sys/mount.h>
#include <unistd.h>

#include "stage/checkpoint.h"
#include "stage/stage_run.h"

static int setup(void **state) {
    run_kit *kit = calloc(1, sizeof *kit);
    run_open(kit, 1);
    run_make_tokens(kit);
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

/* The stage fails with this exit code, its message holds `part`, and there is a hint. */
static void expect(run_kit *kit, const char *kind, const char *name, const char *yaml, int exit_code,
                   const char *part) {
    ins_status status = run_stage(kit, kind, name, yaml);
    if (ins_status_exit_code(status) != exit_code || !strstr(kit->err.text, part))
        fail_msg("%s: exit code %d, '%s' (hint '%s'); wanted %d, '%s'", name, ins_status_exit_code(status),
                 kit->err.text, kit->err.hint, exit_code, part);
    if (status != INS_OK && !kit->err.hint[0] && kit->err.line == 0) fail_msg("%s: no hint: %s", name, kit->err.text);
}

static void test_options(void **state) {
    run_kit *kit = *state;
    expect(kit, "train", "e1", "{" DATA ", " SIZE ", steps: 5, budget: 10k}", 2, "exclude each other");
    expect(kit, "train", "e2", "{" DATA ", init: near, " SIZE "}", 2, "exclude each other");
    expect(kit, "train", "e3", "{data: [], " SIZE "}", 2, "empty");
    expect(kit, "train", "e4", "{data: [{tokens: tokens, corpus: near, split: dev}], " SIZE "}", 2, "split 'dev'");
    expect(kit, "train", "e5", "{" DATA ", model: {layers: 2, widht: 32}}", 2, "widht");
    expect(kit, "train", "e6", "{" DATA ", model: {layers: 2, width: 30, heads: 4}}", 2, "");
    expect(kit, "train", "e7", "{" DATA ", " SIZE ", objectve: clm}", 2, "objectve");
    expect(kit, "train", "e8", "{" DATA ", " SIZE ", probe_at: [5, soon]}", 2, "soon");
    expect(kit, "tokenize", "e9", "{corpora: [near], train_on: [nea]}", 2, "did you mean 'near'");
    expect(kit, "evaluate", "e10", "{probes: [{kind: bpb, tokens: tokens, corpus: near}]}", 2, "needs a model");
    expect(kit, "evaluate", "e11", "{model: base, probes: [stats]}", 2, "gradients");
    expect(kit, "generate", "e12", "{model: base}", 2, "nothing to continue");
    expect(kit, "export", "e13", "{model: base, at: all}", 2, "one checkpoint");
    expect(kit, "evaluate", "e14", "{model: base, at: [10, late], probes: [{kind: sample, prompts: [x]}]}", 2, "late");
}

static void test_data(void **state) {
    run_kit *kit = *state;
    expect(kit, "train", "d1", "{data: [{tokens: tokens, corpus: far}], " SIZE ", steps: 5}", 2, "corpus 'far'");
    assert_true(kit->err.line > 0 || kit->err.file[0]);
    expect(kit, "train", "d2", "{" DATA ", " RUN_MODEL ", context: 32, batch: 64k, steps: 5}", 3,
           "smaller than one batch");
    expect(kit, "train", "d3", "{" DATA ", " RUN_MODEL ", context: 128, steps: 5}", 2, "max_positions 64");
    expect(kit, "train", "d4", "{" DATA ", model: {preset: llama, layers: 1, width: 32, vocab: 40}, steps: 5}", 2,
           "vocab 40 is smaller");
    expect(kit, "train", "d5", "{" DATA ", objective: sft, " SIZE ", steps: 5}", 2, "loss mask");
    expect(kit, "tokenize", "d6", "{corpora: [near], from: tokens, format: chat}", 3, "prompt and response");
    expect(kit, "tokenize", "d7", "{corpora: [near], from: tokens, field: body}", 3, "body");
    expect(kit, "tokenize", "d8", "{corpora: [near], tokenizer: {kind: bpe, vocab: 50000}}", 3, "vocabulary");
}

static void test_empty_corpus(void **state) {
    run_kit *kit = *state;
    ins_str text = {0};
    ins_str_puts(&text, "\n");
    run_write(kit, "empty.jsonl", &text);
    ins_str_free(&text);
    const char *yaml = ins_arena_printf(kit->arena, "{sources: [{kind: jsonl, path: '%s/empty.jsonl'}]}", kit->root);
    expect(kit, "build-data", "empty", yaml, 3, "");
    yaml = ins_arena_printf(kit->arena, "{sources: [{kind: jsonl, path: '%s/nowhere.jsonl'}]}", kit->root);
    ins_status status = run_stage(kit, "build-data", "nowhere", yaml);
    assert_true(status != INS_OK && kit->err.hint[0]);
}

static void test_two_tokenizers(void **state) {
    run_kit *kit = *state;
    run_make_corpus(kit, "far", 120, 1);
    run_stage_ok(kit, "tokenize", "others", "{corpora: [far], tokenizer: {kind: bpe, vocab: 290}}");
    run_stage_ok(kit, "tokenize", "bytes", "{corpora: [far], tokenizer: byte}");
    expect(kit, "train", "t1",
           "{data: [{tokens: tokens, corpus: near}, {tokens: others, corpus: far}], " SIZE ", steps: 3}", 2,
           "two tokenizers");
    run_stage_ok(kit, "train", "base", "{" DATA ", " SIZE ", lr: 0.01, steps: 4, probe_points: 2}");
    expect(kit, "train", "t2", "{init: base, data: [{tokens: others, corpus: far}], context: 32, batch: 256, steps: 3}",
           2, "not made with the tokenizer of model base");
    run_stage_ok(kit, "train", "small", "{data: [{tokens: bytes, corpus: far}], " SIZE ", steps: 3, probe_points: 2}");
    expect(kit, "train", "t3", "{init: small, " DATA ", context: 32, batch: 256, steps: 3}", 2, "not made with");
    expect(kit, "evaluate", "t4", "{model: small, probes: [{kind: bpb, tokens: tokens, corpus: near}]}", 2,
           "vocabulary");
    expect(kit, "evaluate", "t5", "{model: base, at: [3], probes: [{kind: bpb, tokens: tokens, corpus: near}]}", 3,
           "no checkpoint of step 3");
    expect(kit, "evaluate", "t6", "{model: base, probes: [{kind: choice, corpus: near}]}", 3, "no question");
    expect(kit, "evaluate", "t7", "{model: base, probes: [{kind: bpb, tokens: tokens, corpus: nowhere}]}", 2,
           "corpus 'nowhere'");
}

/* ---- numbers that are not finite ---- */

static void test_nonfinite_stops(void **state) {
    run_kit *kit = *state;
    ins_status status = run_stage(kit, "train", "wild",
                                  "{" DATA ", " SIZE ", lr: 1e6, clip: 0, schedule: constant, steps: 400, "
                                  "probe_at: [1], precision: f32}");
    assert_int_equal(status, INS_NUMERIC);
    assert_int_equal(ins_status_exit_code(status), 5);
    assert_non_null(strstr(kit->err.text, "step "));
    assert_non_null(strstr(kit->err.hint, "learning rate"));
    char text[4096], dir[512];
    ins_error_format(&kit->err, text, sizeof text);
    assert_non_null(strstr(text, "stage wild"));
    assert_non_null(strstr(text, " of near"));
    int64_t step = -1;
    assert_ok(ins_checkpoint_find(run_dir(kit, "wild"), -1, NULL, dir, sizeof dir, &step, NULL));
    assert_true(step >= 0);
}

/* ---- damaged shards ---- */

static void test_damaged_shard(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "tokenize", "bad", "{corpora: [near], from: tokens}");
    const char *path = run_path(kit, "bad", "near/train.shard");
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, -3, SEEK_END);
    int byte = fgetc(file);
    fseek(file, -3, SEEK_END);
    fputc(byte ^ 4, file);
    fclose(file);
    expect(kit, "train", "s1", "{data: [{tokens: bad, corpus: near}], " SIZE ", steps: 3}", 3, "train.shard");
    assert_int_equal(truncate(path, 200), 0);
    expect(kit, "train", "s2", "{data: [{tokens: bad, corpus: near}], " SIZE ", steps: 3}", 3, "train.shard");
    /* The tokenize stage itself makes it again. */
    run_stage_ok(kit, "tokenize", "bad", "{corpora: [near], from: tokens}");
    run_stage_ok(kit, "train", "s3", "{data: [{tokens: bad, corpus: near}], " SIZE ", steps: 3}");
}

/* ---- paths as long as the system allows ---- */

static void test_long_paths(void **state) {
    run_kit *kit = *state;
    const char *yaml = "{" DATA ", " SIZE ", lr: 0.01, steps: 2, probe_points: 2}";
    int n_fine = 0, n_errors = 0;
    for (int length = 3900; length < 4096; length += 15) { /* one PATH_MAX has room for all of it, the next has not */
        ins_str name = {0};
        int base = (int)strlen(run_dir(kit, ""));
        while (base + (int)name.len < length) {
            int left = length - base - (int)name.len;
            for (int i = 0; i < (left < 201 ? left : 200); i++) ins_str_putc(&name, 'd');
            if (left > 201) ins_str_putc(&name, '/');
        }
        if (ins_dir_make(run_dir(kit, name.data), NULL) == INS_OK) {
            ins_status status = run_stage(kit, "train", name.data, yaml);
            n_fine += status == INS_OK;
            n_errors += status != INS_OK;
            if (status == INS_OK) kit->n_inputs--;
            if (status != INS_OK) assert_true(kit->err.text[0] && ins_status_exit_code(status) != 70);
        }
        ins_str_free(&name);
    }
    assert_true(n_fine > 0);
    assert_true(n_errors > 0);
}

/* ---- full disk ---- */

static void test_full_disk(void **state) {
    run_kit *kit = *state;
    const char *dir = run_dir(kit, "full");
    assert_ok(ins_dir_make(dir, NULL));
    if (geteuid() != 0 || mount("tmpfs", dir, "tmpfs", 0, "size=1500k") != 0) {
        print_message("not allowed to mount a small tmpfs: %s\n", strerror(errno));
        skip();
    }
    const char *yaml = "{" DATA ", " SIZE ", lr: 0.01, steps: 40, probe_every: 2, precision: f32}";
    ins_status status = run_stage(kit, "train", "full", yaml);
    ins_error err = kit->err;
    char found[512];
    int64_t step = -1, n = 0, *steps = NULL;
    ins_status after = ins_checkpoint_find(dir, -1, NULL, found, sizeof found, &step, NULL);
    ins_checkpoint_list(dir, &steps, &n, NULL);
    bool whole = true, leftovers = false;
    for (int64_t i = 0; i < n; i++)
        whole = whole && ins_checkpoint_find(dir, steps[i], NULL, found, sizeof found, NULL, NULL) == INS_OK;
    char **names = NULL;
    int64_t n_names = 0;
    ins_dir_list(run_path(kit, "full", "checkpoints"), &names, &n_names, NULL);
    for (int64_t i = 0; i < n_names; i++) leftovers = leftovers || strstr(names[i], ".tmp");
    ins_names_free(names, n_names);
    ins_free(steps);
    assert_int_equal(umount(dir), 0);
    assert_int_equal(status, INS_IO);
    assert_int_equal(ins_status_exit_code(status), 4);
    assert_non_null(strstr(err.hint, "full"));
    assert_non_null(strstr(err.hint, "earlier checkpoints are intact"));
    assert_int_equal(after, INS_OK);
    assert_true(step > 0 && n > 1);
    assert_true(whole);
    assert_false(leftovers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),         cmocka_unit_test(test_data),
        cmocka_unit_test(test_empty_corpus),    cmocka_unit_test(test_two_tokenizers),
        cmocka_unit_test(test_nonfinite_stops), cmocka_unit_test(test_damaged_shard),
        cmocka_unit_test(test_long_paths),      cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
