/* The command itself, as scripts call it: exit codes, messages, JSON, resuming, the contract's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

/* A folder to work in, and the program beside the tests. */
static char work[64], program[512];

/* What a command printed and how it ended. */
typedef struct answer {
    int code;
    char out[200000], err[20000];
} answer;

static void slurp(const char *name, char *text, size_t size) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", work, name);
    FILE *file = fopen(path, "r");
    size_t n = file ? fread(text, 1, size - 1, file) : 0;
    if (file) fclose(file);
    text[n] = '\0';
}

static void spit(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", work, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* Run `instar ARGS` through the shell in the work folder. */
static answer *instar(const char *args) {
    static answer a;
    char command[2048];
    snprintf(command, sizeof command, "cd %s && INSTAR_CACHE=%s/cache %s %s >out.txt 2>err.txt", work, work, program,
             args);
    int status = system(command);
    a.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    slurp("out.txt", a.out, sizeof a.out);
    slurp("err.txt", a.err, sizeof a.err);
    return &a;
}

/* The same, with the exit code that it must have. */
static answer *must(const char *args, int code) {
    answer *a = instar(args);
    if (a->code != code) print_error("instar %s: code %d\n%s%s\n", args, a->code, a->out, a->err);
    assert_int_equal(a->code, code);
    return a;
}

static json_t *must_json(const char *args) {
    answer *a = must(args, 0);
    json_error_t problem;
    json_t *value = json_loads(a->out, 0, &problem);
    if (!value) print_error("instar %s: %s\n%s\n", args, problem.text, a->out);
    assert_non_null(value);
    return value;
}

static void expect_text(const char *text, const char *part) {
    if (!strstr(text, part)) print_error("no '%s' in:\n%s\n", part, text);
    assert_non_null(strstr(text, part));
}

static const char recipe[] =
    "recipe: small\n"
    "stages:\n"
    "  corpus:\n"
    "    kind: build-data\n"
    "    sources: [{kind: text, path: 'text-*.txt', split: lines, group_size: 1}]\n"
    "    valid: 0.2\n"
    "  tokens: {kind: tokenize, corpora: [corpus], tokenizer: {kind: byte}}\n"
    "  base:\n"
    "    kind: train\n"
    "    data: [{tokens: tokens, corpus: corpus}]\n"
    "    model: {preset: llama, layers: 1, width: 32, heads: 2}\n"
    "    context: 32\n"
    "    batch: 256\n"
    "    steps: 20\n"
    "    probe_points: 3\n"
    "    precision: f32\n"
    "  samples: {kind: generate, model: base, prompts: [the], chat: false, precision: f32, sampling: {max_tokens: 4}}\n"
    "probes:\n"
    "  - {kind: bpb, name: held-out, tokens: tokens, corpus: corpus, split: valid}\n"
    "claims:\n"
    "  - {id: learns, metric: 'base:bpb/held-out', relation: '<', than: 'base:bpb/held-out@first'}\n"
    "  - {id: wonder, metric: 'base:bpb/held-out', relation: '<', than: 0.01}\n";

static int setup(void **state) {
    (void)state;
    char text[40000];
    size_t used = 0;
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    assert_true(n > 0);
    program[n] = '\0';
    *strrchr(program, '/') = '\0';
    snprintf(strrchr(program, '/'), 16, "/instar"); /* build/tests/test_cli -> build/instar */
    snprintf(work, sizeof work, "/tmp/instar-test-XXXXXX");
    assert_non_null(mkdtemp(work));
    for (int i = 0; i < 400; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "line %d: the cat number %d sat on mat %d\n", i,
                                 i * 7 % 13, i * i % 17);
    spit("text-1.txt", text);
    spit("small.yaml", recipe);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", work);
    return system(command);
}

static void test_usage(void **state) {
    (void)state;
    expect_text(must("", 0)->out, "usage: instar COMMAND");
    expect_text(must("--version", 0)->out, "instar ");
    expect_text(must("runn", 2)->err, "did you mean 'run'?");
    expect_text(must("run small.yaml --sett a=b", 2)->err, "did you mean '--set'?");
    expect_text(must("run", 2)->err, "something is missing");
    expect_text(must("run small.yaml --dir", 2)->err, "--dir needs a value");
    expect_text(must("run small.yaml --threads two", 2)->err, "needs a number");
    expect_text(must("run small.yaml other.yaml", 2)->err, "'other.yaml' is too much");
    expect_text(must("check nothing.yaml", 2)->err, "nothing.yaml");
    expect_text(must("serve x", 2)->err, "this version has no 'instar serve'");
    must("run --help", 0);
    expect_text(must("help run", 0)->out, "--strict");
}

static void test_check(void **state) {
    (void)state;
    must("check small.yaml", 0);
    spit("bad.yaml",
         "stages:\n  corpus: {kind: build-dat}\n  tokens: {kind: tokenize, corpora: [corpus], vocabb: 3}\n");
    answer *a = must("check bad.yaml", 2);
    expect_text(a->err, "bad.yaml:2:18: error: unknown kind of stage 'build-dat' (did you mean 'build-data'?)");
    expect_text(a->err, "bad.yaml:3:");
    expect_text(must("check small.yaml --set stages.base.stepz=3", 2)->err,
                "--set stages.base.stepz=3: error: unknown option 'stepz'");
    expect_text(must("check small.yaml --set stages.bose.steps=3", 2)->err,
                "stage 'bose' needs a kind (did you mean 'base'?)");
    spit("cycle.yaml", "stages:\n  a: {kind: train, init: b}\n  b: {kind: train, init: a}\n");
    expect_text(must("check cycle.yaml", 2)->err, "form a cycle");
    spit("torn.yaml", "stages: {a: [\n");
    expect_text(must("check torn.yaml", 2)->err, "torn.yaml:");
}

static void check_run_result(const json_t *result, bool cached) {
    json_t *stages = json_object_get(result, "stages"), *stage;
    size_t i;
    assert_int_equal(json_array_size(stages), 4);
    json_array_foreach(stages, i, stage) {
        assert_int_equal(json_is_true(json_object_get(stage, "cached")), cached);
        assert_int_equal(strlen(json_string_value(json_object_get(stage, "key"))), 64);
        assert_true(json_is_number(json_object_get(stage, "seconds")));
    }
    assert_int_equal(json_integer_value(json_object_get(json_array_get(stages, 2), "steps")), 20);
    json_t *claim = json_array_get(json_object_get(result, "claims"), 0);
    assert_string_equal(json_string_value(json_object_get(claim, "verdict")), "shown");
    claim = json_array_get(json_object_get(result, "claims"), 1);
    assert_string_equal(json_string_value(json_object_get(claim, "verdict")), "not shown");
}

static void expect_file(const char *name) {
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s/runs/small/%s", work, name);
    if (stat(path, &info) != 0) print_error("no %s\n", path);
    assert_int_equal(stat(path, &info), 0);
}

static void test_run(void **state) {
    (void)state;
    json_t *result = must_json("run small.yaml --json");
    check_run_result(result, false);
    json_decref(result);
    static const char *const files[] = {"report.html",
                                        "metrics.db",
                                        "claims.json",
                                        "recipe.lock.yaml",
                                        "run.json",
                                        "stages/base/checkpoints",
                                        "stages/samples/samples.jsonl",
                                        "tensorboard/base"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) expect_file(files[i]);
    result = must_json("run small.yaml --json");
    check_run_result(result, true);
    json_decref(result);
    must("run small.yaml --strict", 1);
    json_t *plan = must_json("plan small.yaml --json");
    json_t *base = json_array_get(json_object_get(plan, "stages"), 2);
    assert_true(json_is_true(json_object_get(base, "cached")));
    assert_true(json_integer_value(json_object_get(base, "params")) > 0);
    json_decref(plan);
}

static void test_after_the_run(void **state) {
    (void)state;
    answer *a = must("metrics runs/small --name 'bpb/held-out' --csv", 0);
    assert_int_equal(strncmp(a->out, "stage,seed,step,tokens,name,value\nbase,1,0,", 42), 0);
    json_decref(must_json("metrics runs/small --json"));
    expect_text(must("watch runs/small", 0)->out, "not shown");
    expect_text(must("report runs/small --out r.html", 0)->out, "r.html");
    expect_text(must("why small.yaml base", 0)->out, "is cached");
    a = must("why small.yaml base --set stages.base.steps=21", 0);
    expect_text(a->out, "steps  20 ->  21");
    json_t *why = must_json("why small.yaml samples --set stages.base.steps=21 --json");
    json_t *change = json_array_get(json_object_get(why, "changes"), 0);
    assert_string_equal(json_string_value(json_object_get(change, "what")), "input");
    assert_string_equal(json_string_value(json_object_get(change, "path")), "base");
    json_decref(why);
    expect_text(must("why small.yaml bse", 2)->err, "did you mean 'base'?");
    expect_text(must("metrics runs/none", 4)->err, "there is no store");
    expect_text(must("show-batch small.yaml base --rows 1", 0)->out, "row 0, from corpus");
    expect_text(must("data stats runs/small:corpus", 0)->out, "train");
    json_decref(must_json("data head runs/small:corpus --n 2 --json"));
    json_decref(must_json("data stats runs/small:tokens --json"));
}

static void test_models(void **state) {
    (void)state;
    json_t *text = must_json("generate runs/small:base --prompt the --max-tokens 5 --greedy --json");
    assert_int_equal(json_array_size(json_object_get(text, "ids")), json_array_size(json_object_get(text, "logprobs")));
    json_decref(text);
    json_t *loss = must_json("logits runs/small:base --ids '[[1,2,3],[4,5]]' --out l.npy --loss");
    assert_true(json_number_value(json_object_get(loss, "loss")) > 0);
    json_decref(loss);
    expect_text(must("logits runs/small:base --ids '[[1,99999]]' --loss", 2)->err, "token id");
    expect_text(must("generate runs/small:bas --prompt x", 3)->err, "did you mean 'base'?");
    expect_text(must("generate nowhere --prompt x", 3)->err, "there is no 'nowhere'");
    must("export runs/small:base hub", 0);
    must("generate hub --prompt the --max-tokens 2", 0);
    expect_text(must("export runs/small:base hub", 2)->err, "exists already");
    spit("lines.jsonl", "\"caf\\u00e9 \\u0000\"\n\"\"\n");
    spit("ids.jsonl", must("tokenizer encode runs/small:tokens <lines.jsonl", 0)->out);
    expect_text(must("tokenizer decode runs/small:tokens <ids.jsonl", 0)->out, "\"caf\xc3\xa9 \\u0000\"\n\"\"\n");
    expect_text(must("tokenizer train --kind bpe --vocab 300 --out t.json text-1.txt", 0)->out, "t.json");
    must("tokenizer encode t.json <lines.jsonl", 0);
    expect_text(must("tokenizer train --kind bpee --out t2.json text-1.txt", 2)->err, "did you mean 'bpe'?");
}

static void test_components(void **state) {
    (void)state;
    json_t *families = must_json("list --json");
    assert_true(json_array_size(families) >= 10);
    size_t i;
    json_t *family;
    json_array_foreach(families, i, family) {
        char args[128];
        snprintf(args, sizeof args, "help %s --json", json_string_value(json_object_get(family, "family")));
        json_decref(must_json(args));
    }
    json_decref(families);
    expect_text(must("help stage train", 0)->out, "schedule");
    expect_text(must("help stage tran", 2)->err, "did you mean 'train'?");
    expect_text(must("list stagez", 2)->err, "did you mean 'stage'?");
    expect_text(must("help model", 0)->out, "kv_heads");
    expect_text(must("list sampling", 0)->out, "options");
    json_decref(must_json("doctor --no-speed --json"));
    must("init start.yaml", 0);
    must("check start.yaml", 0);
    must("init start.yaml", 2);
}

/* Every "$ref" of a JSON Schema leads somewhere. */
static int64_t check_references(const json_t *root, const json_t *node) {
    int64_t n = 0;
    const char *key;
    size_t i;
    json_t *item;
    const char *ref = json_string_value(json_object_get(node, "$ref"));
    if (ref) {
        assert_memory_equal(ref, "#/$defs/", 8);
        if (!json_object_get(json_object_get(root, "$defs"), ref + 8)) fail_msg("no %s", ref);
        n++;
    }
    json_object_foreach((json_t *)(uintptr_t)node, key, item) n += check_references(root, item);
    json_array_foreach(node, i, item) n += check_references(root, item);
    return n;
}

static void test_schema(void **state) {
    (void)state;
    json_t *root = must_json("schema"), *defs = json_object_get(root, "$defs");
    assert_true(check_references(root, root) > 20);
    assert_non_null(json_object_get(json_object_get(json_object_get(defs, "model"), "properties"), "kv_heads"));
    json_t *stage =
               json_object_get(json_object_get(json_object_get(root, "properties"), "stages"), "additionalProperties"),
           *rules = json_object_get(stage, "allOf"), *rule;
    size_t i, n_train = 0;
    json_array_foreach(rules, i, rule) {
        json_t *options = json_object_get(json_object_get(rule, "then"), "properties");
        assert_non_null(json_object_get(options, "kind")); /* what the engine takes is no unknown option */
        assert_non_null(json_object_get(options, "matrix"));
        json_t *model = json_object_get(json_object_get(options, "model"), "anyOf");
        const json_t *ref = json_object_get(json_array_get(model, 0), "$ref");
        n_train += ref && strcmp(json_string_value(ref), "#/$defs/model") == 0;
    }
    assert_int_equal(n_train, 1);
    json_decref(root);
}

/* docs/reference is what `instar docs` writes: run `make docs` after changing options. */
static void test_reference_in_step(void **state) {
    (void)state;
    char command[1024];
    must("docs reference", 0);
    snprintf(command, sizeof command, "diff -ru %s/../../docs/reference %s/reference >&2", INS_FIXTURES, work);
    assert_int_equal(system(command), 0);
}

/* Stop a run with Ctrl-C, go on, and find the bytes of an unbroken run. */
static void test_interrupt(void **state) {
    (void)state;
    char command[2048];
    int code = -1;
    snprintf(command, sizeof command,
             "cd %s && export INSTAR_CACHE=%s/cache2; %s run small.yaml --dir r2 --only base --set "
             "stages.base.steps=4000 2>err.txt >/dev/null & "
             "pid=$!; while ! test -e %s/r2/stages/base; do sleep 0.05; done; sleep 0.3; kill -INT $pid; wait $pid",
             work, work, program, work);
    int status = system(command);
    code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    char err[4000];
    slurp("err.txt", err, sizeof err);
    if (code != 130) print_error("%s\n", err);
    assert_int_equal(code, 130);
    expect_text(err, "to go on: instar run small.yaml");
}

/* One kill of each stage kind; the long form is `make test-long`. */
static void test_verify_resume(void **state) {
    (void)state;
    json_t *result = must_json("verify-resume small.yaml --kills 2 --seed 3 --set stages.base.resume_every=0.01 --set "
                               "stages.base.steps=60 --json");
    assert_true(json_is_true(json_object_get(result, "equal")));
    assert_int_equal(json_array_size(json_object_get(result, "stages")), 4);
    assert_int_equal(json_integer_value(json_object_get(result, "kills")), 8);
    json_decref(result);
}

static void test_bad_environment(void **state) {
    (void)state;
    char command[1024];
    spit("file", "");
    snprintf(command, sizeof command, "cd %s && INSTAR_CACHE=file/cache %s run small.yaml 2>err.txt >/dev/null", work,
             program);
    int status = system(command);
    assert_int_equal(WEXITSTATUS(status), 4);
    char err[4000];
    slurp("err.txt", err, sizeof err);
    expect_text(err, "INSTAR_CACHE");
    spit("gone.yaml", "stages:\n  corpus: {kind: build-data, sources: [{kind: text, path: 'gone-*.txt'}]}\n");
    answer *a = instar("run gone.yaml");
    if (a->code != 3 && a->code != 4) print_error("%d %s\n", a->code, a->err);
    assert_true(a->code == 3 || a->code == 4);
    expect_text(a->err, "gone-*.txt");
    /* A run that failed reports how far it came. */
    a = must("run small.yaml --dir r3 --set stages.base.lr=1e6", 5);
    expect_text(a->out, "report  r3/report.html");
    assert_null(strstr(a->out, "claims"));
    char *page = calloc(1, 2000000), *found = NULL;
    slurp("r3/report.html", page, 2000000);
    found = strstr(page, "\"failed\"");
    free(page);
    assert_non_null(found);
    expect_text(must("run small.yaml --dir r4 --only tokens", 0)->out, "not run    learns");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_after_the_run),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_components),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_reference_in_step),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_verify_resume),
        cmocka_unit_test(test_bad_environment),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
