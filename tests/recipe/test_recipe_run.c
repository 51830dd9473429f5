/* Running recipes: cache, store, resume, damaged entries, --only, claims and derived numbers of a whole run. */
#include "toy_stages.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include "format/json.h"
#include "recipe/run.h"

typedef struct workplace {
    char root[64], cache[128], run[128], messages[4096];
} workplace;

static void note(void *arg, ins_log_level level, const char *text) {
    workplace *w = arg;
    size_t used = strlen(w->messages);
    (void)level;
    snprintf(w->messages + used, sizeof w->messages - used, "%s\n", text);
}

static int setup(void **state) {
    workplace *w = calloc(1, sizeof *w);
    toy_folder(w->root);
    snprintf(w->cache, sizeof w->cache, "%s/cache", w->root);
    snprintf(w->run, sizeof w->run, "%s/run", w->root);
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

static ins_status run_with(workplace *w, const char *text, const char *only, ins_run_outcome *out, ins_error *err) {
    ins_recipe *recipe = toy_load(text);
    ins_log log = {.message = note, .arg = w};
    ins_run_options options = {
        .run_dir = w->run, .cache_dir = w->cache, .only = only, .tensorboard = true, .log = &log};
    w->messages[0] = '\0';
    ins_status status = ins_run(recipe, &options, out, err);
    ins_str json = {0};
    ins_run_outcome_to_json(out, &json);
    json_t *parsed = json_loads(json.data, 0, NULL); /* whatever happened, it is a JSON document */
    assert_non_null(parsed);
    json_decref(parsed);
    ins_str_free(&json);
    ins_run_outcome_free(out);
    ins_recipe_free(recipe);
    return status;
}

static void must_run(workplace *w, const char *text) {
    ins_run_outcome out;
    ins_error err = {0};
    ins_status status = run_with(w, text, NULL, &out, &err);
    if (status != INS_OK) print_error("%s\n", err.text);
    assert_int_equal(status, INS_OK);
}

static int64_t query(workplace *w, const char *sql) {
    char path[256];
    ins_store *store = NULL;
    sqlite3_stmt *statement = NULL;
    snprintf(path, sizeof path, "%s/metrics.db", w->run);
    assert_int_equal(ins_store_open(path, true, &store, NULL), INS_OK);
    assert_int_equal(sqlite3_prepare_v2(ins_store_db(store), sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    ins_store_close(store);
    return value;
}

static void read_text(const char *folder, const char *name, ins_str *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(ins_file_read(path, 1 << 20, text, NULL), INS_OK);
}

static void test_run_and_again(void **state) {
    workplace *w = *state;
    must_run(w, toy_recipe);
    assert_int_equal(toy.makes, 2);
    assert_int_equal(toy.splits, 1);
    assert_int_equal(toy.fits, 1 + 6 + 6);
    assert_int_equal(query(w, "SELECT count(*) FROM stage WHERE state='done' AND cached=0"), 16);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE stage='base' AND name='gauge/near'"), 4);
    assert_int_equal(query(w, "SELECT count(*) FROM sample WHERE stage='base'"), 3);
    assert_int_equal(query(w, "SELECT count(*) FROM axis WHERE stage='chat[arm=with,seed=2]'"), 2);
    assert_int_equal(query(w, "SELECT seed FROM metric WHERE stage='more[arm=with,seed=3]' LIMIT 1"), 3);
    ins_str text = {0};
    read_text(w->run, "stages/tokens/data.txt", &text);
    assert_string_equal(text.data, "near:text\nfar:other\n");
    ins_str_free(&text);
    read_text(w->run, "stages/more[arm=with,seed=3]/state.txt", &text);
    assert_string_equal(text.data, "5");
    ins_str_free(&text);
    read_text(w->run, "run.json", &text);
    assert_non_null(strstr(text.data, "\"state\": \"done\""));
    ins_str_free(&text);
    read_text(w->run, "claims.json", &text);
    assert_string_equal(text.data, "[]\n");
    ins_str_free(&text);
    must_run(w, toy_recipe); /* from the cache: not one stage runs */
    assert_int_equal(toy.makes + toy.splits + toy.fits, 2 + 1 + 13);
    assert_int_equal(query(w, "SELECT count(*) FROM stage WHERE state='done' AND cached=1"), 16);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE stage='base' AND name='gauge/near'"), 4);
}

/* Another folder for the run: everything comes from the cache, the metrics too. */
static void test_other_folder(void **state) {
    workplace *w = *state;
    must_run(w, toy_recipe);
    snprintf(w->run, sizeof w->run, "%s/other", w->root);
    must_run(w, toy_recipe);
    assert_int_equal(toy.fits, 13);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE name='gauge/near'"), 4 + 3 * (5 + 6) + 6 * 4);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE name='perf/rate' AND stage='base'"), 3);
    assert_int_equal(query(w, "SELECT count(*) FROM sample WHERE stage='base' AND text LIKE 'a\"b%'"), 3);
}

static void test_change_reruns_what_depends(void **state) {
    workplace *w = *state;
    static const char before[] =
        "stages:\n  a: {kind: make}\n  t: {kind: split, corpora: a}\n  m: {kind: fit, data: [{tokens: t}]}\n"
        "  n: {kind: fit, init: m}\n";
    static const char after[] =
        "stages:\n  a: {kind: make}\n  t: {kind: split, corpora: a}\n  m: {kind: fit, data: [{tokens: t}]}\n"
        "  n: {kind: fit, init: m, steps: 5}\n";
    must_run(w, before);
    must_run(w, after);
    assert_int_equal(toy.makes, 1);
    assert_int_equal(toy.splits, 1);
    assert_int_equal(toy.fits, 3);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE stage='n' AND name='gauge/near'"), 6);
    must_run(w, "stages:\n  a: {kind: make}\n"); /* stages that are gone are forgotten */
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE stage='n'"), 0);
    char path[256];
    struct stat info;
    snprintf(path, sizeof path, "%s/stages/n", w->run);
    assert_int_not_equal(lstat(path, &info), 0);
}

static void test_interrupt_and_resume(void **state) {
    workplace *w = *state;
    static const char text[] = "stages:\n  m: {kind: fit, steps: 6}\n";
    ins_run_outcome out;
    ins_error err = {0};
    ins_str whole = {0}, resumed = {0};
    must_run(w, text);
    read_text(w->run, "stages/m/metrics.jsonl", &whole);
    snprintf(w->cache, sizeof w->cache, "%s/cache2", w->root);
    snprintf(w->run, sizeof w->run, "%s/run2", w->root);
    toy.stop_at = 4;
    assert_int_equal(run_with(w, text, NULL, &out, &err), INS_INTERRUPTED);
    assert_int_equal(query(w, "SELECT count(*) FROM stage WHERE state='interrupted'"), 1);
    toy.stop_at = 0;
    char path[512];
    snprintf(path, sizeof path, "%s/stages/m/seconds.txt", w->run);
    assert_true(ins_file_exists(path));
    assert_int_equal(ins_file_write_atomic(path, "100.5", 5, NULL), INS_OK); /* it had taken so long */
    must_run(w, text);
    assert_int_equal(query(w, "SELECT count(*) FROM stage WHERE seconds > 100.5 AND seconds < 200"), 1);
    assert_false(ins_file_exists(path)); /* a whole stage has no such file, else no two were the same */
    assert_non_null(strstr(w->messages, "resume m"));
    read_text(w->run, "stages/m/metrics.jsonl", &resumed);
    assert_string_equal(whole.data, resumed.data);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE name='gauge/near'"), 7);
    assert_int_equal(query(w, "SELECT count(*) FROM sample"), 6);
    ins_str_free(&whole);
    ins_str_free(&resumed);
}

/* kill -9 between two records: a torn last line and records past the checkpoint must not survive the resume. */
static void test_torn_record(void **state) {
    workplace *w = *state;
    static const char text[] = "stages:\n  m: {kind: fit, steps: 6}\n";
    ins_run_outcome out;
    ins_error err = {0};
    char path[512];
    toy.stop_at = 4;
    assert_int_equal(run_with(w, text, NULL, &out, &err), INS_INTERRUPTED);
    snprintf(path, sizeof path, "%s/stages/m/metrics.jsonl", w->run);
    FILE *file = fopen(path, "a");
    fputs("{\"step\":5,\"tokens\":50,\"name\":\"gauge/near\",\"value\":99}\n{\"step\":5,\"tok", file);
    fclose(file);
    toy.stop_at = 0;
    must_run(w, text);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE name='gauge/near'"), 7);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE value=99"), 0);
    ins_str record = {0};
    read_text(w->run, "stages/m/metrics.jsonl", &record);
    assert_null(strstr(record.data, "99}"));
    ins_str_free(&record);
}

/* Killed between the stage's end and the engine's: the stage has nothing left to do, and its record stays. */
static void test_died_at_the_end(void **state) {
    workplace *w = *state;
    static const char text[] = "stages:\n  m: {kind: fit, steps: 6}\n";
    ins_run_outcome out;
    ins_error err = {0};
    ins_str record = {0};
    toy.stop_at = 6; /* after the last step */
    assert_int_equal(run_with(w, text, NULL, &out, &err), INS_INTERRUPTED);
    toy.stop_at = 0;
    must_run(w, text);
    read_text(w->run, "stages/m/metrics.jsonl", &record);
    assert_non_null(strstr(record.data, "\"step\":6,"));
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE name='gauge/near'"), 7);
    ins_str_free(&record);
}

static void overwrite(workplace *w, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/stages/%s", w->run, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_damaged_entries(void **state) {
    workplace *w = *state;
    static const char text[] =
        "stages:\n  near: {kind: make}\n  t: {kind: split, corpora: near}\n  m: {kind: fit, data: [{tokens: t}]}\n";
    static const char longer[] = "stages:\n  near: {kind: make}\n  t: {kind: split, corpora: near}\n  m: {kind: fit, "
                                 "data: [{tokens: t}], steps: 9}\n";
    must_run(w, text);
    overwrite(w, "near/data.txt", "shorter-or-longer"); /* another size: seen at once */
    must_run(w, text);
    assert_int_equal(toy.makes, 2);
    assert_non_null(strstr(w->messages, "is damaged"));
    overwrite(w, "near/manifest.json", "{\"format\":1,");
    must_run(w, text);
    assert_int_equal(toy.makes, 3);
    overwrite(w, "t/data.txt", "near:texT\n"); /* same size, other bytes: seen before a stage reads it */
    must_run(w, text);
    assert_int_equal(toy.splits, 1);
    must_run(w, longer);
    assert_int_equal(toy.splits, 2);
    assert_non_null(strstr(w->messages, "have changed"));
}

static void test_only(void **state) {
    workplace *w = *state;
    ins_run_outcome out;
    ins_error err = {0};
    assert_int_equal(run_with(w, toy_recipe, "base", &out, &err), INS_OK);
    assert_int_equal(toy.fits, 1);
    assert_int_equal(run_with(w, toy_recipe, "chat[arm=with,seed=1]", &out, &err), INS_OK);
    assert_int_equal(toy.fits, 3);
    assert_int_equal(run_with(w, toy_recipe, "chaat", &out, &err), INS_RECIPE);
    assert_non_null(strstr(err.text, "did you mean 'chat'?"));
}

/* --only after a change: what other stages measured under their old keys is not taken for new. */
static void test_only_forgets_old_metrics(void **state) {
    workplace *w = *state;
    static const char before[] = "stages:\n  m: {kind: fit}\n  n: {kind: fit, init: m}\n";
    static const char after[] = "stages:\n  m: {kind: fit, steps: 4}\n  n: {kind: fit, init: m}\n";
    ins_run_outcome out;
    ins_error err = {0};
    must_run(w, before);
    assert_int_equal(run_with(w, before, "m", &out, &err), INS_OK);
    assert_int_equal(query(w, "SELECT count(*) FROM stage WHERE state='done'"), 2);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE stage='n' AND name='gauge/near'"), 4);
    assert_int_equal(run_with(w, after, "m", &out, &err), INS_OK);
    assert_int_equal(query(w, "SELECT count(*) FROM stage WHERE state='done'"), 1);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE stage='n'"), 0);
    must_run(w, before); /* back again: all from the cache */
    assert_int_equal(toy.fits, 3);
    assert_int_equal(query(w, "SELECT count(*) FROM metric WHERE stage='n' AND name='gauge/near'"), 4);
}

static const char *reason_of(const json_t *claims, size_t i) {
    return json_string_value(json_object_get(json_array_get(claims, i), "reason"));
}

/* What was left out, or not finished, is called so: it counts as not shown, for another reason than its value. */
static void test_only_leaves_claims_open(void **state) {
    workplace *w = *state;
    static const char text[] = "stages:\n  m: {kind: fit}\n  n: {kind: fit, init: m, steps: 9}\n"
                               "claims:\n  - {id: one, metric: 'm:gauge/near', relation: '<', than: 100}\n"
                               "  - {id: two, metric: 'n:gauge/near', relation: '<', than: 'm:gauge/near'}\n";
    ins_run_outcome out;
    ins_error err = {0};
    for (int attempt = 0; attempt < 2; attempt++) {
        ins_str json = {0};
        assert_int_equal(run_with(w, text, "m", &out, &err), INS_OK);
        read_text(w->run, "claims.json", &json);
        json_t *claims = json_loads(json.data, 0, NULL);
        assert_null(reason_of(claims, 0));
        assert_string_equal(reason_of(claims, 1), "stage n was not run");
        assert_string_equal(json_string_value(json_object_get(json_array_get(claims, 1), "verdict")), "not shown");
        json_decref(claims);
        ins_str_free(&json);
        if (attempt == 1) break;
        toy.stop_at = 4; /* its metrics up to there are in the store then */
        assert_int_equal(run_with(w, text, NULL, &out, &err), INS_INTERRUPTED);
        toy.stop_at = 0;
    }
    must_run(w, text);
    assert_int_equal(query(w, "SELECT count(*) FROM claim WHERE value IS NOT NULL"), 2);
}

static void test_claims_of_a_run(void **state) {
    workplace *w = *state;
    static const char text[] =
        "stages:\n  base: {kind: fit}\n  more:\n    kind: fit\n    init: base\n    steps: 9\n"
        "    matrix: {seed: [1, 2, 3]}\n"
        "probes: [{kind: gauge, name: near}]\n"
        "claims:\n"
        "  - {id: falls, text: It falls., metric: 'more:gauge/near', relation: '<', than: 'base:gauge/near'}\n"
        "  - {id: rises, metric: 'more:gauge/near - base:gauge/near', relation: '>', than: 0}\n"
        "  - {id: unknown, metric: 'more:gauge/neer', relation: '>', than: 0}\n"
        "  - {id: short, metric: 'base:near@first', relation: '==', than: 11, tolerance: 1e-9}\n";
    must_run(w, text);
    ins_str json = {0};
    read_text(w->run, "claims.json", &json);
    json_t *claims = json_loads(json.data, 0, NULL);
    assert_int_equal(json_array_size(claims), 4);
    json_t *falls = json_array_get(claims, 0);
    assert_string_equal(json_string_value(json_object_get(falls, "verdict")), "shown");
    assert_int_equal(json_array_size(json_object_get(falls, "seeds")), 3);
    assert_true(json_number_value(json_object_get(falls, "low")) < json_number_value(json_object_get(falls, "value")));
    assert_true(json_number_value(json_object_get(falls, "high")) <
                json_number_value(json_object_get(falls, "target")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(claims, 1), "verdict")), "not shown");
    json_t *unknown = json_array_get(claims, 2);
    assert_string_equal(json_string_value(json_object_get(unknown, "verdict")), "not shown");
    assert_non_null(strstr(json_string_value(json_object_get(unknown, "reason")), "did you mean 'gauge/near'?"));
    assert_string_equal(json_string_value(json_object_get(json_array_get(claims, 3), "verdict")),
                        "weak"); /* one value, no interval */
    json_decref(claims);
    ins_str_free(&json);
    assert_int_equal(query(w, "SELECT count(*) FROM claim WHERE verdict='shown'"), 1);
    assert_int_equal(query(w, "SELECT count(*) FROM derived WHERE metric='gauge/near' AND parent='base'"), 3);
    assert_int_equal(query(w, "SELECT count(*) FROM derived WHERE change < 0 AND better='lower' AND recover_step > 0"),
                     3);
}

static void test_unusable_cache(void **state) {
    workplace *w = *state;
    ins_run_outcome out;
    ins_error err = {0};
    FILE *file = fopen(w->cache, "w");
    fclose(file);
    assert_int_equal(ins_status_exit_code(run_with(w, toy_recipe, NULL, &out, &err)), 4);
    assert_non_null(strstr(err.hint, "INSTAR_CACHE"));
}

/* Two processes run the same recipe with the same cache: every stage is made once. */
static void test_two_processes(void **state) {
    workplace *w = *state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        snprintf(w->run, sizeof w->run, "%s/run-child", w->root);
        ins_run_outcome out;
        _exit(run_with(w, toy_recipe, NULL, &out, NULL) == INS_OK ? toy.fits : 100);
    }
    int status = 0;
    must_run(w, toy_recipe);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status) + toy.fits, 13);
}

static void test_cache_keys_and_verify(void **state) {
    workplace *w = *state;
    ins_cache cache;
    char **keys = NULL, reason[256];
    int64_t n = 0;
    bool ok = false;
    must_run(w, toy_recipe);
    assert_int_equal(ins_cache_open(w->cache, &cache, NULL), INS_OK);
    assert_int_equal(ins_cache_keys(&cache, &keys, &n, NULL), INS_OK);
    assert_int_equal(n, 16);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(ins_cache_verify(&cache, keys[i], UINT64_MAX, &ok, reason, NULL), INS_OK);
        assert_true(ok);
    }
    ins_names_free(keys, n);
    overwrite(w, "near/data.txt", "texT");
    ins_recipe *recipe = toy_load(toy_recipe);
    assert_int_equal(ins_recipe_keys(recipe, NULL, NULL), INS_OK);
    assert_int_equal(ins_cache_verify(&cache, ins_recipe_find(recipe, "near")->key, UINT64_MAX, &ok, reason, NULL),
                     INS_OK);
    assert_false(ok);
    ins_recipe_free(recipe);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_run_and_again),
        TEST(test_other_folder),
        TEST(test_change_reruns_what_depends),
        TEST(test_interrupt_and_resume),
        TEST(test_torn_record),
        TEST(test_damaged_entries),
        TEST(test_died_at_the_end),
        TEST(test_only),
        TEST(test_claims_of_a_run),
        TEST(test_only_forgets_old_metrics),
        TEST(test_only_leaves_claims_open),
        TEST(test_unusable_cache),
        TEST(test_two_processes),
        TEST(test_cache_keys_and_verify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
