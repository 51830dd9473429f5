/* Loading recipes: defaults, matrices, references, instances, keys, and what is wrong with recipes. */
#include "toy_stages.h"

static const ins_instance *get(const ins_recipe *recipe, const char *name) {
    const ins_instance *instance = ins_recipe_find(recipe, name);
    if (!instance) print_error("no instance %s\n", name);
    assert_non_null(instance);
    return instance;
}

static void test_instances(void **state) {
    (void)state;
    ins_recipe *recipe = toy_load(toy_recipe);
    assert_string_equal(recipe->name, "toy");
    assert_int_equal(recipe->n_instances, 4 + 6 + 6);
    const ins_instance *more = get(recipe, "more[arm=with,seed=2]");
    assert_int_equal(more->seed, 2);
    assert_int_equal(((const toy_fit *)more->variant->options)->steps, 5);
    const ins_instance *chat = get(recipe, "chat[arm=with,seed=2]");
    assert_int_equal(chat->seed, 2);
    assert_ptr_equal(&recipe->instances[chat->inputs[0]], more);
    assert_string_equal(chat->input_refs[0], "more");
    assert_int_equal(get(recipe, "base")->seed, 1);
    for (int64_t i = 0; i < recipe->n_instances; i++)
        for (int64_t k = 0; k < recipe->instances[i].n_inputs; k++) assert_true(recipe->instances[i].inputs[k] < i);
    ins_recipe_free(recipe);
}

static void test_common_probes(void **state) {
    (void)state;
    ins_recipe *recipe = toy_load(toy_recipe);
    const toy_fit *fit = get(recipe, "base")->variant->options;
    assert_int_equal(fit->probes.n, 1);
    assert_string_equal(((const toy_gauge *)fit->probes.items[0].options)->name, "near");
    ins_recipe_free(recipe);
    recipe = toy_load("stages:\n  near: {kind: make}\n  tokens: {kind: split, corpora: near}\n"
                      "  one: {kind: fit, probes: [{kind: gauge, name: own}]}\n  two: {kind: fit, probes: []}\n"
                      "  three: {kind: fit, probes: [{kind: gauge, name: near}]}\n"
                      "probes: [{kind: gauge, name: near, tokens: tokens}]\n");
    fit = get(recipe, "one")->variant->options;
    assert_int_equal(fit->probes.n, 2);
    assert_string_equal(((const toy_gauge *)fit->probes.items[1].options)->name, "own");
    fit = get(recipe, "two")->variant->options;
    assert_int_equal(fit->probes.n, 0);
    fit = get(recipe, "three")->variant->options;
    assert_int_equal(fit->probes.n, 1);
    assert_null(((const toy_gauge *)fit->probes.items[0].options)->tokens);
    ins_recipe_free(recipe);
}

static void test_defaults_and_sets(void **state) {
    (void)state;
    static const char text[] = "defaults:\n  train: {lr: 0.5, steps: 7}\nstages:\n  base: {kind: fit, steps: 9}\n";
    static const char *const sets[] = {"stages.base.lr=0.25", "seed=4"};
    ins_recipe *recipe = toy_load(text);
    const toy_fit *fit = get(recipe, "base")->variant->options;
    assert_true(fit->lr == 0.5);
    assert_int_equal(fit->steps, 9);
    ins_recipe_free(recipe);
    ins_diag diag = {0};
    recipe = toy_load_with(text, sets, 2, &diag);
    assert_non_null(recipe);
    fit = get(recipe, "base")->variant->options;
    assert_true(fit->lr == 0.25);
    assert_int_equal(get(recipe, "base")->seed, 4);
    ins_recipe_free(recipe);
    static const char *const bad[] = {"stages.base.lrr=0.25"};
    assert_null(toy_load_with(text, bad, 1, &diag));
    char line[2048];
    ins_error_format(&diag.items[0], line, sizeof line);
    assert_non_null(strstr(line, "--set stages.base.lrr=0.25: error: unknown option 'lrr'"));
    ins_diag_free(&diag);
    static const char *const no_equals[] = {"stages.base.lr"};
    assert_null(toy_load_with(text, no_equals, 1, &diag));
    assert_int_equal(ins_status_exit_code(diag.items[0].status), 2);
    ins_diag_free(&diag);
}

static void test_matrix_scalar_axis(void **state) {
    (void)state;
    ins_recipe *recipe = toy_load("stages:\n  base:\n    kind: fit\n    matrix: {lr: [0.1, 1e-3], steps: [2, 3]}\n"
                                  "  one: {kind: fit, init: 'base[lr=1e-3]', seed: 9}\n");
    assert_int_equal(recipe->n_instances, 4 + 2);
    const toy_fit *fit = get(recipe, "base[lr=1e-3,steps=3]")->variant->options;
    assert_true(fit->lr == 1e-3);
    assert_int_equal(fit->steps, 3);
    const ins_instance *one = get(recipe, "one[steps=3]");
    assert_ptr_equal(&recipe->instances[one->inputs[0]], get(recipe, "base[lr=1e-3,steps=3]"));
    assert_int_equal(one->seed, 9);
    ins_recipe_free(recipe);
}

static void test_problems(void **state) {
    (void)state;
    toy_expect_problem("stages:\n  base: {kind: fit, stepz: 3}\n", "did you mean 'steps'?", "toy.yaml:2:");
    toy_expect_problem("stagez: {}\nstages:\n  base: {kind: fit}\n", "unknown key 'stagez'", "did you mean 'stages'?");
    toy_expect_problem("stages:\n  base: {kind: fitt}\n", "unknown kind of stage 'fitt' (did you mean 'fit'?)",
                       "toy.yaml:2:16");
    toy_expect_problem("stages:\n  base: {steps: 3}\n", "stage 'base' needs a kind", "toy.yaml:2:3");
    toy_expect_problem("stages:\n  base: {kind: fit, init: bose}\n", "there is no stage 'bose' (did you mean 'base'?)",
                       "toy.yaml:2:");
    toy_expect_problem("stages:\n  a: {kind: make}\n  b: {kind: fit, init: a}\n",
                       "must name a stage that gives model, but 'a' (make)", "toy.yaml:3:");
    toy_expect_problem("stages:\n  a: {kind: fit, init: b}\n  b: {kind: fit, init: a}\n",
                       "cycle: 'a' needs 'b' (init, 2:24), 'b' needs 'a' (init, 3:24)", NULL);
    toy_expect_problem("stages:\n  a: {kind: fit, init: a}\n", "cycle: 'a' needs 'a'", NULL);
    toy_expect_problem("stages: {}\n", "no stages", NULL);
    toy_expect_problem("[1]\n", "a recipe must be a map", "toy.yaml:1:1");
    toy_expect_problem("stages:\n  a: {kind: make, copies: many}\n", "copies", "toy.yaml:2:");
    toy_expect_problem("stages:\n  a: {kind: make, copies: 0}\n", "copies", "toy.yaml:2:");
    toy_expect_problem("seed: -1\nstages:\n  a: {kind: make}\n", "'seed' must be", "toy.yaml:1:7");
    toy_expect_problem("stages:\n  a: {kind: make, matrix: {seed: [1, x]}}\n", "a seed must be", "toy.yaml:2:");
    toy_expect_problem("stages:\n  a: {kind: make, matrix: {copies: 3}}\n", "must be a list of values", "toy.yaml:2:");
    toy_expect_problem("stages:\n  a: {kind: make, matrix: {copies: [1, 1]}}\n", "stands twice", "toy.yaml:2:");
    toy_expect_problem("stages:\n  a: {kind: make, matrix: {arm: {x: {copis: 2}}}}\n", "did you mean 'copies'?",
                       "toy.yaml:2:");
    toy_expect_problem("stages:\n  a: {kind: fit, matrix: {seed: [1, 2]}}\n  b: {kind: fit, init: 'a[seed=3]'}\n",
                       "has no value '3'", "toy.yaml:3:");
    toy_expect_problem("stages:\n  a: {kind: fit, matrix: {seed: [1, 2]}}\n  b: {kind: fit, init: 'a[sed=1]'}\n",
                       "has no axis 'sed'", NULL);
    toy_expect_problem("stages:\n  a: {kind: fit, matrix: {seed: [1, 2]}}\n  b: {kind: fit, init: 'a[seed='}\n",
                       "no reference to a stage", NULL);
    toy_expect_problem(
        "stages:\n  a: {kind: fit, matrix: {seed: [1, 2]}}\n  b: {kind: fit, init: a, matrix: {seed: [1, 2, 3]}}\n",
        "two different lists", NULL);
    toy_expect_problem("stages:\n  a/b: {kind: make}\n", "can't be the name of a stage", "toy.yaml:2:3");
    toy_expect_problem("stages:\n  a: {kind: make}\n  a: {kind: make}\n", "toy.yaml:3:3", NULL);
    toy_expect_problem("defaults: {mak: {}}\nstages:\n  a: {kind: make}\n",
                       "unknown kind of stage 'mak' (did you mean 'make'?)", NULL);
    toy_expect_problem("stages:\n  a: {kind: make\n", "toy.yaml:", NULL);
}

static void test_probe_cycle(void **state) {
    (void)state;
    toy_expect_problem("stages:\n  near: {kind: make}\n  tokens: {kind: split, corpora: near, from: other}\n"
                       "  other: {kind: split, corpora: near, from: tokens}\n",
                       "form a cycle", NULL);
    toy_expect_problem(
        "stages:\n  m: {kind: fit, init: m2}\n  m2: {kind: fit, init: m}\nprobes: [{kind: gauge, tokens: missing}]\n",
        "there is no stage 'missing'", "toy.yaml:4:");
}

static void test_all_at_once(void **state) {
    (void)state;
    ins_diag diag = {0};
    assert_null(toy_load_with(
        "bad: 1\nstages:\n  a: {kind: mak}\n  b: {kind: fit, stepz: 1, init: nowhere}\n  c:\n    kind: fit\n"
        "    matrix: {seed: [1, 2, 3]}\n    lrr: 1\n",
        NULL, 0, &diag));
    assert_int_equal(diag.n, 5); /* c's problem, in three variants, counts once */
    for (int64_t i = 1; i < diag.n; i++) assert_true(diag.items[i].line >= diag.items[i - 1].line);
    ins_diag_free(&diag);
}

static void key_of(const char *text, const char *name, char key[65]) {
    ins_recipe *recipe = toy_load(text);
    ins_error err = {0};
    assert_int_equal(ins_recipe_keys(recipe, NULL, &err), INS_OK);
    memcpy(key, get(recipe, name)->key, 65);
    assert_int_equal(strlen(key), 64);
    ins_recipe_free(recipe);
}

static void test_keys(void **state) {
    (void)state;
    char base[65], other[65];
    key_of("stages:\n  a: {kind: make}\n  t: {kind: split, corpora: a}\n  m: {kind: fit, data: [{tokens: t}]}\n", "m",
           base);
    /* renamed, reordered, defaults written out, options that change nothing */
    key_of("stages:\n  m2: {kind: fit, steps: 3, data: [{tokens: t9, weight: 1}]}\n  t9: {corpora: [a], kind: split}\n"
           "  a: {kind: make, threads: 7}\n",
           "m2", other);
    assert_string_equal(base, other);
    /* a change far up */
    key_of("stages:\n  a: {kind: make, text: new}\n  t: {kind: split, corpora: a}\n  m: {kind: fit, data: [{tokens: "
           "t}]}\n",
           "m", other);
    assert_string_not_equal(base, other);
    key_of(
        "seed: 2\nstages:\n  a: {kind: make}\n  t: {kind: split, corpora: a}\n  m: {kind: fit, data: [{tokens: t}]}\n",
        "m", other);
    assert_string_not_equal(base, other);
    key_of(
        "stages:\n  a: {kind: make}\n  t: {kind: split, corpora: a}\n  m: {kind: fit, data: [{tokens: t}], steps: 4}\n",
        "m", other);
    assert_string_not_equal(base, other);
    /* lists of inputs show their names in what a stage leaves */
    key_of("stages:\n  b: {kind: make}\n  t: {kind: split, corpora: b}\n  m: {kind: fit, data: [{tokens: t}]}\n", "m",
           other);
    assert_string_not_equal(base, other);
}

static void test_outside_file(void **state) {
    (void)state;
    char folder[64], path[128], text[256], one[65], two[65];
    ins_error err = {0};
    toy_folder(folder);
    snprintf(path, sizeof path, "%s/in.txt", folder);
    snprintf(text, sizeof text, "stages:\n  a: {kind: make, file: %s}\n", path);
    assert_int_equal(ins_file_write_atomic(path, "x", 1, &err), INS_OK);
    key_of(text, "a", one);
    assert_int_equal(ins_file_write_atomic(path, "y", 1, &err), INS_OK);
    key_of(text, "a", two);
    assert_string_not_equal(one, two);
    unlink(path);
    ins_recipe *recipe = toy_load(text);
    assert_int_not_equal(ins_recipe_keys(recipe, NULL, &err), INS_OK);
    assert_int_equal(err.line, 2);
    assert_non_null(strstr(err.frames[0], "stage a"));
    ins_recipe_free(recipe);
    ins_dir_remove(folder, NULL);
}

static void test_lock_text(void **state) {
    (void)state;
    ins_recipe *recipe = toy_load(toy_recipe);
    ins_error err = {0};
    ins_str text = {0};
    assert_int_equal(ins_recipe_keys(recipe, NULL, &err), INS_OK);
    assert_int_equal(ins_recipe_lock_text(recipe, &text, &err), INS_OK);
    assert_non_null(strstr(text.data, "more[arm=with,seed=3]"));
    assert_non_null(strstr(text.data, "steps: 5"));
    assert_non_null(strstr(text.data, "near: \"near\""));
    ins_str_free(&text);
    ins_recipe_free(recipe);
}

/* Every allocation fails once: no crash, no leak, an error each time. */
static void test_allocation_failures(void **state) {
    (void)state;
    for (uint64_t k = 1; k < 100000; k++) {
        ins_diag diag = {0};
        ins_mem_fail_at(k);
        ins_recipe *recipe = toy_load_with(toy_recipe, NULL, 0, &diag);
        ins_mem_fail_at(0);
        ins_diag_free(&diag);
        if (!recipe) continue;
        ins_recipe_free(recipe);
        return;
    }
    fail();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_common_probes),
        cmocka_unit_test(test_defaults_and_sets),
        cmocka_unit_test(test_matrix_scalar_axis),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_probe_cycle),
        cmocka_unit_test(test_all_at_once),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_outside_file),
        cmocka_unit_test(test_lock_text),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
