/* The report: one page that stands alone, whose data survive whatever the texts of a run hold. */
#include "base/testing.h"

#include "format/json.h"
#include "recipe/store.h"
#include "report/report.h"

/* Text that would end the script element, open a comment, or break the JSON if it were put in as it is. */
static const char nasty[] = "</script><!-- \"quoted\\\" \x01 {{data}} \xc3\xa9";

static void exec(sqlite3 *db, const char *sql) {
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s: %s", sql, message);
}

static void write_file(const char *dir, const char *name, const char *text) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(ins_file_write_atomic(path, text, strlen(text), NULL));
}

/* A run as the recipe room leaves it, with two train stages and a corpus. */
static void make_run(const char *dir) {
    char path[256], *sql;
    ins_store *store = NULL;
    snprintf(path, sizeof path, "%s/metrics.db", dir);
    assert_ok(ins_store_open(path, false, &store, NULL));
    sqlite3 *db = ins_store_db(store);
    assert_ok(ins_store_info(store, "recipe", "two", NULL));
    exec(db, "INSERT INTO stage(name, definition, position, kind, state, seconds, tokens) VALUES"
             "('texts', 'texts', 0, 'build-data', 'done', 1, 0), ('base', 'base', 1, 'train', 'done', 2, 100),"
             "('more[arm=a,seed=1]', 'more', 2, 'train', 'running', 2, 50)");
    exec(db, "INSERT INTO axis VALUES('more[arm=a,seed=1]', 'arm', 'a'), ('more[arm=a,seed=1]', 'seed', '1')");
    exec(db, "INSERT INTO edge VALUES('base', 'texts', 'texts'), ('more[arm=a,seed=1]', 'base', 'base')");
    exec(db, "INSERT INTO claim VALUES('c', 0, 'text', 'base:bpb/x', '<', 2, 1.5, NULL, NULL, 'shown', '')");
    assert_ok(ins_store_value(store, "base", 1, 0, 0, "bpb/x", 3.5, NULL));
    assert_ok(ins_store_value(store, "base", 1, 10, 100, "bpb/x", 1.5, NULL));
    assert_ok(ins_store_value(store, "base", 1, 10, 100, "train/loss", 4.25, NULL));
    sql = sqlite3_mprintf("INSERT INTO sample VALUES('base', 1, 10, 100, 'sample/s', '%q')", nasty);
    exec(db, sql);
    sqlite3_free(sql);
    ins_store_close(store);
    write_file(dir, "recipe.lock.yaml", nasty);
    write_file(dir, "run.json", "{\"recipe\": \"two\"}");
    snprintf(path, sizeof path, "%s/stages/texts", dir);
    assert_ok(ins_dir_make(path, NULL));
    write_file(path, "corpus.json", "{\"reasons\": {\"length: too short\": 7}}");
}

static void read_page(const char *dir, const char *name, ins_str *page) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(ins_file_read(path, 1u << 24, page, NULL));
}

/* The JSON document of the page's data. */
static json_t *page_data(const ins_str *page) {
    static const char start[] = "<script>const RUN = ";
    const char *from = strstr(page->data, start), *to = from ? strstr(from, ";</script>") : NULL;
    assert_non_null(from);
    assert_non_null(to);
    from += strlen(start);
    json_error_t where;
    json_t *data = json_loadb(from, (size_t)(to - from), 0, &where);
    if (!data) fail_msg("the page's data are not JSON: %s, line %d", where.text, where.line);
    return data;
}

static int64_t count_of(const char *text, const char *what) {
    int64_t n = 0;
    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what)) n++;
    return n;
}

static void page_is_whole(void **state) {
    char dir[128];
    ins_str page = {0};
    (void)state;
    test_scratch_dir(dir, sizeof dir);
    make_run(dir);
    assert_ok(ins_report_write(dir, NULL, NULL));
    read_page(dir, "report.html", &page);
    assert_int_equal(strncmp(page.data, "<!doctype html>", 15), 0);
    assert_int_equal(count_of(page.data, "<script>"), 5);
    assert_int_equal(count_of(page.data, "</script>"), 5); /* so no text ended a script */
    assert_int_equal(count_of(page.data, "<style>"), 1);
    assert_null(strstr(page.data, "{{style}}"));
    assert_null(strstr(page.data, "{{chart}}"));
    assert_null(strstr(page.data, "src=\"")); /* nothing is loaded from elsewhere */
    assert_null(strstr(page.data, "href=\"http"));
    ins_str_free(&page);
    assert_ok(ins_dir_remove(dir, NULL));
}

static void data_come_through(void **state) {
    char dir[128];
    ins_str page = {0};
    (void)state;
    test_scratch_dir(dir, sizeof dir);
    make_run(dir);
    assert_ok(ins_report_write(dir, NULL, NULL));
    read_page(dir, "report.html", &page);
    json_t *data = page_data(&page);
    assert_int_equal(json_array_size(json_object_get(data, "stages")), 3);
    assert_int_equal(json_array_size(json_object_get(data, "claims")), 1);
    json_t *series = json_object_get(data, "series"), *one = json_array_get(series, 0);
    assert_int_equal(json_array_size(series), 2);
    assert_string_equal(json_string_value(json_object_get(one, "name")), "bpb/x");
    assert_int_equal(json_array_size(json_object_get(one, "step")), 2);
    assert_true(json_number_value(json_array_get(json_object_get(one, "value"), 1)) == 1.5);
    json_t *sample = json_array_get(json_object_get(data, "samples"), 0);
    assert_string_equal(json_string_value(json_object_get(sample, "text")), nasty);
    assert_string_equal(json_string_value(json_object_get(data, "lock")), nasty);
    json_t *corpus = json_array_get(json_object_get(data, "corpora"), 0);
    assert_string_equal(json_string_value(json_object_get(corpus, "folder")), "texts");
    assert_non_null(strstr(json_string_value(json_object_get(corpus, "text")), "too short"));
    assert_true(json_is_null(json_object_get(data, "claims_file"))); /* not written yet: the run goes on */
    json_decref(data);
    ins_str_free(&page);
    assert_ok(ins_dir_remove(dir, NULL));
}

/* The same run gives the same bytes, at another path too. */
static void same_bytes(void **state) {
    char dir[128], path[256];
    ins_str first = {0}, second = {0};
    (void)state;
    test_scratch_dir(dir, sizeof dir);
    make_run(dir);
    snprintf(path, sizeof path, "%s/other.html", dir);
    assert_ok(ins_report_write(dir, NULL, NULL));
    assert_ok(ins_report_write(dir, path, NULL));
    read_page(dir, "report.html", &first);
    read_page(dir, "other.html", &second);
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    ins_str_free(&first);
    ins_str_free(&second);
    assert_ok(ins_dir_remove(dir, NULL));
}

static void not_a_run(void **state) {
    char dir[128];
    ins_error err = {0};
    (void)state;
    test_scratch_dir(dir, sizeof dir);
    assert_int_equal(ins_report_write(dir, NULL, &err), INS_DATA);
    assert_non_null(strstr(err.text, "is not a run"));
    write_file(dir, "metrics.db", "this is no database, and long enough to be read as one");
    err = (ins_error){0};
    assert_int_not_equal(ins_report_write(dir, NULL, &err), INS_OK);
    assert_ok(ins_dir_remove(dir, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_is_whole),
        cmocka_unit_test(data_come_through),
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(not_a_run),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
