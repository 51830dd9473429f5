/* Who makes the matrix products of a train stage: measured once, kept for the machine and for the stage. */
#include "format/json.h"
#include "kernel/gemm_choice.h"
#include "stage/stage_run.h"

#define RECIPE_OF(gemm, batch)                                                                                         \
    "{data: [{tokens: tokens, corpus: near}], model: {preset: llama, layers: 1, width: 32, heads: 2, max_positions: "  \
    "64}, context: 32, batch: " #batch                                                                                 \
    ", micro_rows: 3, precision: f32, steps: 12, lr: 0.01, probe_points: 3, gemm: " gemm "}"
#define RECIPE(gemm) RECIPE_OF(gemm, 128)

static bool has_onednn(void) {
    ins_gemm_library libraries[INS_GEMM_LIBRARIES];
    ins_gemm_libraries_find(libraries);
    return libraries[0].found;
}

static int setup(void **state) {
    run_kit *kit = calloc(1, sizeof *kit);
    run_open(kit, 1);
    run_make_tokens(kit);
    kit->cache_dir = run_dir(kit, "cache");
    *state = kit;
    return 0;
}
static int teardown(void **state) {
    run_kit *kit = *state;
    run_close(kit);
    free(kit);
    return 0;
}

static json_t *read_json(run_kit *kit, const char *folder, const char *file) {
    json_t *root = NULL;
    assert_ok(ins_json_read_file(run_path(kit, folder, file), 1 << 20, &root, &kit->err));
    return root;
}
static void write_json(run_kit *kit, const char *folder, const char *file, json_t *root) {
    assert_ok(ins_json_write_file(run_path(kit, folder, file), root, true, NULL));
    json_decref(root);
}

/* The products of a record or of the one machine of a store. */
static json_t *record_products(json_t *root) {
    return json_object_get(json_object_get(root, "gemm"), "products");
}
static json_t *store_products(json_t *root) {
    json_t *machines = json_object_get(root, "machines");
    assert_int_equal(json_object_size(machines), 1);
    return json_object_iter_value(json_object_iter(machines));
}

static void set_all(json_t *products, const char *impl) {
    const char *product;
    json_t *ignored;
    void *next;
    assert_true(json_object_size(products) > 5);
    json_object_foreach_safe(products, next, product, ignored)
        assert_int_equal(json_object_set_new(products, product, json_string(impl)), 0);
}
static void assert_all(const json_t *products, const char *impl) {
    const char *product;
    const json_t *got;
    assert_true(json_object_size(products) > 5);
    json_object_foreach((json_t *)(uintptr_t)products, product, got) assert_string_equal(json_string_value(got), impl);
}

static void stop_once(run_kit *kit, const char *name, const char *yaml, int64_t step) {
    kit->stop = 0, kit->stop_metric = "train/loss", kit->stop_step = step;
    assert_int_equal(run_stage(kit, "train", name, yaml), INS_INTERRUPTED);
    kit->stop = 0, kit->stop_metric = NULL;
}

/* Own kernels leave no trace: neither a store nor a record. */
static void test_own(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "train", "own", RECIPE("own"));
    json_t *root = read_json(kit, "own", "train.json");
    assert_null(json_object_get(root, "gemm"));
    json_decref(root);
    assert_false(ins_file_exists(run_path(kit, "cache", "gemm.json")));
}

/* Whatever was measured: from scratch with the store, and broken and resumed, the bytes are the same. */
static void test_measured_twice(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "train", "first", RECIPE("measured"));
    assert_true(!has_onednn() || ins_file_exists(run_path(kit, "cache", "gemm.json")));
    run_stage_ok(kit, "train", "second", RECIPE("measured"));
    run_assert_same_checkpoints(kit, "first", "second");
    stop_once(kit, "broken", RECIPE("measured"), 3);
    run_stage_ok(kit, "train", "broken", RECIPE("measured"));
    run_assert_same_checkpoints(kit, "first", "broken");
    json_t *first = read_json(kit, "first", "train.json"), *broken = read_json(kit, "broken", "train.json");
    assert_true(json_equal(json_object_get(first, "gemm"), json_object_get(broken, "gemm")));
    json_decref(first), json_decref(broken);
}

/* A stage that goes on takes what it began with, whatever the machine's store says by then. */
static void test_resume_takes_the_record(void **state) {
    run_kit *kit = *state;
    if (!has_onednn()) skip();
    run_stage_ok(kit, "train", "library", RECIPE("onednn"));
    run_stage_ok(kit, "train", "plain", RECIPE("own"));
    run_stage_ok(kit, "train", "filler", RECIPE("measured")); /* makes the store */
    json_t *store = read_json(kit, "cache", "gemm.json");
    set_all(store_products(store), "onednn");
    write_json(kit, "cache", "gemm.json", store);
    stop_once(kit, "kept", RECIPE("measured"), 3);
    json_t *record = read_json(kit, "kept", "train.json");
    assert_all(record_products(record), "onednn");
    json_decref(record);
    store = read_json(kit, "cache", "gemm.json");
    set_all(store_products(store), "own");
    write_json(kit, "cache", "gemm.json", store);
    run_stage_ok(kit, "train", "kept", RECIPE("measured"));
    run_assert_same_checkpoints(kit, "library", "kept");
    run_stage_ok(kit, "train", "fresh", RECIPE("measured"));
    run_assert_same_checkpoints(kit, "plain", "fresh");
}

/* A library that is gone: own kernels go on, and the user is told. */
static void test_lost_library(void **state) {
    run_kit *kit = *state;
    stop_once(kit, "lost", RECIPE("onednn"), 3);
    json_t *record = read_json(kit, "lost", "train.json");
    set_all(record_products(record), "onednn-of-another-day");
    write_json(kit, "lost", "train.json", record);
    run_stage_ok(kit, "train", "lost", RECIPE("onednn"));
    assert_non_null(strstr(kit->last_warning, "library that is not here"));
    record = read_json(kit, "lost", "train.json");
    assert_all(record_products(record), "own");
    json_decref(record);
}

static void test_other_machine(void **state) {
    run_kit *kit = *state;
    if (!has_onednn()) skip();
    stop_once(kit, "moved", RECIPE("onednn"), 3);
    json_t *record = read_json(kit, "moved", "train.json");
    json_object_set_new(json_object_get(record, "gemm"), "machine", json_string("another one"));
    write_json(kit, "moved", "train.json", record);
    run_stage_ok(kit, "train", "moved", RECIPE("onednn"));
    assert_non_null(strstr(kit->last_warning, "another machine"));
}

/* A record whose choices are damaged is no record: the stage begins anew. */
static void test_damaged_record(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "train", "sound", RECIPE("onednn"));
    stop_once(kit, "damaged", RECIPE("onednn"), 3);
    json_t *record = read_json(kit, "damaged", "train.json");
    json_object_set_new(json_object_get(record, "gemm"), "products", json_integer(3));
    write_json(kit, "damaged", "train.json", record);
    run_stage_ok(kit, "train", "damaged", RECIPE("onednn"));
    run_assert_same_checkpoints(kit, "sound", "damaged");
}

static void write_text(run_kit *kit, const char *file, const char *content) {
    ins_str text = {0};
    ins_str_puts(&text, content);
    run_write(kit, file, &text);
    ins_str_free(&text);
}

static void test_damaged_store(void **state) {
    run_kit *kit = *state;
    static const char *const contents[] = {"{\"format\": 1, \"machi", "[]", "{\"format\": 9, \"machines\": {}}",
                                           "{\"format\": 1, \"machines\": 4}"};
    if (!has_onednn()) skip();
    assert_ok(ins_dir_make(kit->cache_dir, NULL));
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        write_text(kit, "cache/gemm.json", contents[i]);
        kit->last_warning[0] = '\0';
        run_stage_ok(kit, "train", ins_arena_printf(kit->arena, "store%d", (int)i), RECIPE("measured"));
        assert_non_null(strstr(kit->last_warning, "measured again"));
        json_t *store = read_json(kit, "cache", "gemm.json");
        assert_true(json_object_size(store_products(store)) > 5);
        json_decref(store);
    }
}

/* One bad row does not spoil the file's other rows for good, nor the stage. */
static void test_damaged_row(void **state) {
    run_kit *kit = *state;
    if (!has_onednn()) skip();
    run_stage_ok(kit, "train", "rows", RECIPE("measured"));
    json_t *store = read_json(kit, "cache", "gemm.json");
    json_object_set_new(store_products(store), "f32>f32 nonsense", json_string("onednn"));
    write_json(kit, "cache", "gemm.json", store);
    run_stage_ok(kit, "train", "rows2", RECIPE("measured"));
    assert_non_null(strstr(kit->last_warning, "measured again"));
    run_stage_ok(kit, "train", "rows3", RECIPE_OF("measured", 192)); /* other shapes: the store is written again */
    kit->last_warning[0] = '\0';
    run_stage_ok(kit, "train", "rows4", RECIPE("measured"));
    assert_string_equal(kit->last_warning, "");
}

static void test_unwritable_store(void **state) {
    run_kit *kit = *state;
    const char *usual = kit->cache_dir;
    if (!has_onednn()) skip();
    write_text(kit, "file", "not a folder");
    kit->cache_dir = run_path(kit, "file", "cache");
    run_stage_ok(kit, "train", "unwritable", RECIPE("measured"));
    assert_non_null(strstr(kit->last_warning, "not kept"));
    kit->cache_dir = NULL;
    kit->last_warning[0] = '\0';
    run_stage_ok(kit, "train", "nowhere", RECIPE("measured"));
    assert_string_equal(kit->last_warning, "");
    kit->cache_dir = usual;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_measured_twice),
        cmocka_unit_test(test_resume_takes_the_record),
        cmocka_unit_test(test_lost_library),
        cmocka_unit_test(test_other_machine),
        cmocka_unit_test(test_damaged_record),
        cmocka_unit_test(test_damaged_store),
        cmocka_unit_test(test_damaged_row),
        cmocka_unit_test(test_unwritable_store),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
