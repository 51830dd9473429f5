/* Why a stage is not cached, and plans. */
#include "toy_stages.h"

#include "recipe/plan.h"
#include "recipe/run.h"
#include "recipe/why.h"

typedef struct workplace {
    char root[64], cache[128], run[128], file[128];
} workplace;

static int setup(void **state) {
    workplace *w = calloc(1, sizeof *w);
    toy_folder(w->root);
    snprintf(w->cache, sizeof w->cache, "%s/cache", w->root);
    snprintf(w->run, sizeof w->run, "%s/run", w->root);
    snprintf(w->file, sizeof w->file, "%s/in.txt", w->root);
    memset(&toy, 0, sizeof toy);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    workplace *w = *state;
    ins_dir_remove(w->root, NULL);
    free(w);
    return 0;
}

static void run(workplace *w, const char *text) {
    ins_recipe *recipe = toy_load(text);
    ins_run_options options = {.run_dir = w->run, .cache_dir = w->cache};
    ins_run_outcome out;
    ins_error err = {0};
    ins_status status = ins_run(recipe, &options, &out, &err);
    if (status != INS_OK) print_error("%s\n", err.text);
    assert_int_equal(status, INS_OK);
    ins_run_outcome_free(&out);
    ins_recipe_free(recipe);
}

/* Does `why` name the change? Returns the number of changes. */
static int64_t expect_change(workplace *w, const char *text, const char *stage, const char *what, const char *path,
                             const char *before, const char *after) {
    ins_recipe *recipe = toy_load(text);
    ins_cache cache;
    ins_why why;
    assert_int_equal(ins_recipe_keys(recipe, NULL, NULL), INS_OK);
    assert_int_equal(ins_cache_open(w->cache, &cache, NULL), INS_OK);
    assert_int_equal(ins_why_stage(recipe, ins_recipe_find(recipe, stage), &cache, w->run, recipe->arena, &why, NULL),
                     INS_OK);
    assert_false(why.cached);
    assert_non_null(why.other_key);
    bool found = false;
    for (int64_t i = 0; i < why.n_changes; i++) {
        const ins_why_change *c = &why.changes[i];
        bool same = strcmp(c->what, what) == 0 && strcmp(c->path, path) == 0;
        same = same && (!before || (c->before && strcmp(c->before, before) == 0)) &&
               (!after || (c->after && strcmp(c->after, after) == 0));
        found = found || same;
        if (!same) print_message("%s %s: %s -> %s\n", c->what, c->path, c->before, c->after);
    }
    assert_true(found);
    int64_t n = why.n_changes;
    ins_recipe_free(recipe);
    return n;
}

#define HEAD "stages:\n  near: {kind: make}\n  tokens: {kind: split, corpora: near}\n"

static void test_why(void **state) {
    workplace *w = *state;
    run(w, HEAD "  base: {kind: fit, data: [{tokens: tokens}]}\n  chat: {kind: fit, init: base, steps: 9}\n");
    ins_recipe *recipe = toy_load(HEAD "  base: {kind: fit, data: [{tokens: tokens}]}\n");
    ins_cache cache;
    ins_why why;
    assert_int_equal(ins_recipe_keys(recipe, NULL, NULL), INS_OK);
    assert_int_equal(ins_cache_open(w->cache, &cache, NULL), INS_OK);
    assert_int_equal(ins_why_stage(recipe, ins_recipe_find(recipe, "base"), &cache, w->run, recipe->arena, &why, NULL),
                     INS_OK);
    assert_true(why.cached);
    assert_non_null(why.made);
    ins_recipe_free(recipe);
    assert_int_equal(expect_change(w, HEAD "  base: {kind: fit, data: [{tokens: tokens}], steps: 5}\n", "base",
                                   "option", "steps", "3", "5"),
                     1);
    expect_change(w, HEAD "  base: {kind: fit, data: [{tokens: tokens, weight: 2}]}\n", "base", "option",
                  "data[0].weight", NULL, NULL);
    expect_change(w, HEAD "  base: {kind: fit, seed: 7, data: [{tokens: tokens}]}\n", "base", "seed", "seed", "1", "7");
    expect_change(
        w, HEAD "  base: {kind: fit, data: [{tokens: tokens}], steps: 5}\n  chat: {kind: fit, init: base, steps: 9}\n",
        "chat", "input", "base", NULL, NULL);
    expect_change(w, HEAD "  base: {kind: fit, data: [{tokens: tokens}, {tokens: tokens}]}\n", "base", "option",
                  "data[1]", NULL, NULL);
}

/* Without the run's lock file the nearest entry of the cache is found. */
static void test_nearest(void **state) {
    workplace *w = *state;
    run(w, "stages:\n  far: {kind: fit, steps: 9, lr: 0.5}\n  base: {kind: fit, steps: 4}\n");
    snprintf(w->run, sizeof w->run, "%s/nothing", w->root);
    assert_int_equal(expect_change(w, "stages:\n  renamed: {kind: fit, steps: 9, lr: 0.25}\n", "renamed", "option",
                                   "lr", "0.5", "0.25"),
                     1);
}

static void test_outside_files(void **state) {
    workplace *w = *state;
    char text[512];
    snprintf(text, sizeof text, "stages:\n  near: {kind: make, file: %s}\n", w->file);
    assert_int_equal(ins_file_write_atomic(w->file, "x", 1, NULL), INS_OK);
    run(w, text);
    assert_int_equal(ins_file_write_atomic(w->file, "y", 1, NULL), INS_OK);
    assert_int_equal(expect_change(w, text, "near", "outside files", "files", "\"x\"", "\"y\""), 1);
}

static void test_nothing_yet(void **state) {
    workplace *w = *state;
    ins_recipe *recipe = toy_load("stages:\n  base: {kind: fit}\n");
    ins_cache cache;
    ins_why why;
    assert_int_equal(ins_recipe_keys(recipe, NULL, NULL), INS_OK);
    assert_int_equal(ins_cache_open(w->cache, &cache, NULL), INS_OK);
    assert_int_equal(ins_why_stage(recipe, &recipe->instances[0], &cache, NULL, recipe->arena, &why, NULL), INS_OK);
    assert_false(why.cached);
    assert_null(why.other_key);
    ins_recipe_free(recipe);
}

static void test_plan(void **state) {
    workplace *w = *state;
    static const char text[] = HEAD "  base: {kind: fit, data: [{tokens: tokens}], steps: 6}\n";
    run(w, HEAD);
    ins_recipe *recipe = toy_load(text);
    ins_cache cache;
    ins_plan_row *rows = NULL;
    assert_int_equal(ins_recipe_keys(recipe, NULL, NULL), INS_OK);
    assert_int_equal(ins_cache_open(w->cache, &cache, NULL), INS_OK);
    assert_int_equal(ins_plan_recipe(recipe, &cache, NULL, NULL, recipe->arena, &rows, NULL), INS_OK);
    assert_true(rows[0].cached && rows[1].cached && !rows[2].cached);
    assert_false(rows[0].known);
    assert_true(rows[2].known);
    assert_true(rows[2].plan.flop == 6);
    ins_recipe_free(recipe);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_why), TEST(test_nearest), TEST(test_outside_files),
                                       TEST(test_nothing_yet), TEST(test_plan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
