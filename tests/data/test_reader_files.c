/* Readers of files: text, jsonl, csv; patterns, packages, data: paths, digests. */
#include <zlib.h>
#include <zstd.h>

#include "data/reader_check.h"

static void text_splits(void **state) {
    (void)state;
    doc_list docs;
    const char text[] = "one\ntwo\n\n\nthree\n%\nfour\n";
    write_temp("a.txt", text, sizeof text - 1);
    must_read(yaml_of("it: {kind: text, path: %s}", temp_path("a.txt")), &docs);
    assert_int_equal(docs.n, 1);
    assert_field(docs, 0, "text", text);
    assert_field(docs, 0, "id", "a.txt");
    free_docs(&docs);
    must_read(yaml_of("it: {kind: text, path: %s, split: lines, group_size: 2}", temp_path("a.txt")), &docs);
    assert_int_equal(docs.n, 5);
    assert_field(docs, 2, "text", "three");
    assert_field(docs, 2, "id", "a.txt#2");
    assert_field(docs, 1, "group", "a.txt@0");
    assert_field(docs, 2, "group", "a.txt@1");
    assert_int_equal(docs.items[2].source.line, 5);
    free_docs(&docs);
    must_read(yaml_of("it: {kind: text, path: %s, split: blank-lines}", temp_path("a.txt")), &docs);
    assert_int_equal(docs.n, 2);
    assert_field(docs, 0, "text", "one\ntwo\n");
    assert_field(docs, 1, "text", "three\n%\nfour\n");
    assert_field(docs, 1, "group", "a.txt");
    free_docs(&docs);
    must_read(yaml_of("it: {kind: text, path: %s, split: separator}", temp_path("a.txt")), &docs);
    assert_int_equal(docs.n, 2);
    assert_field(docs, 1, "text", "four\n");
    free_docs(&docs);
}

/* Files of a pattern come sorted; the last file may be empty. */
static void many_files(void **state) {
    (void)state;
    doc_list docs;
    write_temp("m2.txt", "second\n", 7);
    write_temp("m1.txt", "first\n", 6);
    write_temp("m3.txt", "", 0);
    const char *pattern = temp_path("m*.txt");
    must_read(yaml_of("it: {kind: text, path: ['%s', '%s']}", pattern, pattern), &docs);
    assert_int_equal(docs.n, 2); /* each file once */
    assert_field(docs, 0, "text", "first\n");
    assert_field(docs, 1, "group", "m2.txt");
    free_docs(&docs);
}

static void missing_files(void **state) {
    (void)state;
    doc_list docs;
    ins_error err = {0};
    assert_int_equal(read_docs(yaml_of("it: {kind: text, path: '%s/none*.txt'}", temp_dir), &docs, &err), INS_DATA);
    assert_non_null(strstr(err.text, "none*.txt"));
    assert_int_equal(err.line, 1);
    ins_error_clear(&err);
    assert_int_equal(read_docs(yaml_of("it: {kind: text, path: '%s'}", temp_dir), &docs, &err), INS_DATA);
    assert_non_null(strstr(err.hint, "folder"));
    loaded_component loaded;
    ins_diag diag = {0};
    assert_false(load_component(&reader_table, "it: {kind: text}", &loaded, &diag));
    assert_non_null(strstr(diag.items[0].text, "needs a path"));
    ins_arena_free(loaded.arena);
    ins_diag_free(&diag);
}

static void data_paths(void **state) {
    (void)state;
    doc_list docs;
    ins_error err = {0};
    unsetenv("INSTAR_DATA");
    const char *yaml = "it: {kind: text, path: 'data:tinyshakespeare/input.txt'}";
    assert_int_equal(read_docs(yaml, &docs, &err), INS_ENV);
    assert_non_null(strstr(err.hint, "char-rnn"));
    setenv("INSTAR_DATA", temp_dir, 1);
    ins_error_clear(&err);
    assert_int_equal(read_docs(yaml, &docs, &err), INS_ENV);
    assert_non_null(strstr(err.text, "no folder"));
    assert_int_equal(ins_dir_make(temp_path("tinyshakespeare"), NULL), INS_OK);
    write_temp("tinyshakespeare/input.txt", "To be\n", 6);
    must_read(yaml, &docs);
    assert_field(docs, 0, "text", "To be\n");
    free_docs(&docs);
    assert_int_equal(read_docs("it: {kind: text, path: 'data:../x'}", &docs, NULL), INS_RECIPE);
    unsetenv("INSTAR_DATA");
}

static void unknown_packages(void **state) {
    (void)state;
    doc_list docs;
    ins_error err = {0};
    setenv("INSTAR_CACHE", temp_dir, 1);
    const char *yaml = "it: {kind: text, package: no-such-package-at-all}";
    assert_int_equal(read_docs(yaml, &docs, &err), INS_ENV);
    assert_non_null(strstr(err.hint, "fetch: true"));
    assert_int_equal(read_docs("it: {kind: text, package: '-o=Dir::Etc=/x'}", &docs, NULL), INS_RECIPE);
    assert_int_equal(read_docs("it: {kind: text, package: '../../etc'}", &docs, NULL), INS_RECIPE);
}

/* A package that was downloaded before is read from the cache, and its .deb enters the digest. */
static void cached_package(void **state) {
    (void)state;
    doc_list docs;
    char digest[1024];
    setenv("INSTAR_CACHE", temp_dir, 1);
    const char *folder = temp_path("downloads/deb/tiny-texts/root/usr/share/doc/tiny");
    assert_int_equal(ins_dir_make(folder, NULL), INS_OK);
    write_temp("downloads/deb/tiny-texts/root/usr/share/doc/tiny/a.txt", "cached\n", 7);
    write_temp("downloads/deb/tiny-texts/root/usr/share/doc/tiny/b.png", "x", 1);
    const char info[] = "{\"package\": \"tiny-texts\", \"version\": \"1.2-3\", \"sha256\": \"abcd\"}";
    write_temp("downloads/deb/tiny-texts/info.json", info, sizeof info - 1);
    must_read("it: {kind: text, package: tiny-texts}", &docs);
    assert_int_equal(docs.n, 1);
    assert_field(docs, 0, "text", "cached\n");
    free_docs(&docs);
    fingerprint_of("it: {kind: text, package: tiny-texts}", digest, sizeof digest);
    assert_non_null(strstr(digest, "deb tiny-texts 1.2-3 abcd\nfile a.txt 7 "));
    ins_error err = {0};
    assert_int_equal(read_docs("it: {kind: text, package: tiny-texts, match: '*.pdf'}", &docs, &err), INS_DATA);
}

static void digests_follow_contents(void **state) {
    (void)state;
    char one[512], two[512], three[512];
    char yaml[600];
    snprintf(yaml, sizeof yaml, "it: {kind: text, path: %s}", temp_path("d.txt"));
    write_temp("d.txt", "same\n", 5);
    fingerprint_of(yaml, one, sizeof one);
    write_temp("d.txt", "same\n", 5);
    fingerprint_of(yaml, two, sizeof two);
    write_temp("d.txt", "other", 5);
    fingerprint_of(yaml, three, sizeof three);
    assert_string_equal(one, two);
    assert_string_not_equal(one, three);
}

static const char json_lines[] =
    "{\"body\": \"caf\\u00e9\", \"n\": 3, \"ok\": true, \"none\": null, \"meta\": {\"title\": \"T\"},"
    " \"list\": [\"a\", \"b\"], \"mixed\": [1, \"b\"]}\n"
    "\n"
    "{\"body\": \"two\"}\n";

static size_t gzip_text(const char *text, size_t n, unsigned char *out, size_t size) {
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return size - z.avail_out;
}

static void check_json_docs(const char *path) {
    doc_list docs;
    must_read(yaml_of("it: {kind: jsonl, path: %s}", path), &docs);
    assert_int_equal(docs.n, 2);
    assert_field(docs, 0, "body", "caf\xc3\xa9");
    assert_field(docs, 0, "n", "3");
    assert_field(docs, 0, "ok", "true");
    assert_field(docs, 0, "none", "(none)");
    assert_field(docs, 0, "list", "a\nb");
    assert_field(docs, 0, "mixed", "[1,\"b\"]");
    assert_int_equal(docs.items[1].source.line, 3);
    free_docs(&docs);
    must_read(yaml_of("it: {kind: jsonl, path: %s, fields: {text: body, title: meta.title}}", path), &docs);
    assert_field(docs, 0, "text", "caf\xc3\xa9");
    assert_field(docs, 0, "title", "T");
    assert_field(docs, 0, "n", "(none)");
    assert_field(docs, 1, "title", "(none)");
    free_docs(&docs);
}

static void jsonl_plain_gz_zst(void **state) {
    (void)state;
    unsigned char packed[4096];
    size_t n = sizeof json_lines - 1;
    check_json_docs(write_temp("a.jsonl", json_lines, n));
    size_t size = gzip_text(json_lines, n, packed, sizeof packed);
    check_json_docs(write_temp("a.jsonl.gz", packed, size));
    doc_list docs;
    ins_error err = {0};
    const char *path = write_temp("cut.jsonl.gz", packed, size - 12);
    assert_int_equal(read_docs(yaml_of("it: {kind: jsonl, path: %s}", path), &docs, &err), INS_DATA);
    assert_non_null(strstr(err.text, "cut.jsonl.gz"));
    free_docs(&docs);
    size = ZSTD_compress(packed, sizeof packed, json_lines, n, 3);
    check_json_docs(write_temp("a.jsonl.zst", packed, size));
}

static void bad_jsonl(void **state) {
    (void)state;
    static const char *const bad[] = {"{\"a\": \"x\"}\n{\"a\": \n", "{\"a\": 1}\n[1, 2]\n",
                                      "{\"a\": 1}\n{\"a\":1,\"a\":2}\n", "{\"a\": 1}\n{\"a\": \"\xff\xfe\"}\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        doc_list docs;
        ins_error err = {0};
        const char *path = write_temp("bad.jsonl", bad[i], strlen(bad[i]));
        assert_int_equal(read_docs(yaml_of("it: {kind: jsonl, path: %s}", path), &docs, &err), INS_DATA);
        assert_string_equal(ins_path_base(err.file), "bad.jsonl");
        assert_int_equal(err.line, 2);
        free_docs(&docs);
    }
    loaded_component loaded;
    ins_diag diag = {0};
    assert_false(load_component(&reader_table, "it: {kind: jsonl, path: a, fields: [text]}", &loaded, &diag));
    ins_arena_free(loaded.arena);
    ins_diag_free(&diag);
}

static void csv_rows(void **state) {
    (void)state;
    doc_list docs;
    must_read(yaml_of("it: {kind: csv, path: %s/data/quotes.csv}", INS_FIXTURES), &docs);
    assert_int_equal(docs.n, 3);
    assert_field(docs, 0, "label", "joy");
    assert_field(docs, 0, "text", "She said \"yes\", and\nsmiled.");
    assert_field(docs, 1, "note", "");
    assert_field(docs, 2, "label", "calm");
    assert_field(docs, 2, "text", "");
    assert_int_equal(docs.items[1].source.line, 4);
    free_docs(&docs);
    must_read(yaml_of("it: {kind: csv, path: %s/data/quotes.csv, fields: {text: text, section: label}}", INS_FIXTURES),
              &docs);
    assert_field(docs, 1, "section", "rage");
    assert_field(docs, 1, "note", "(none)");
    free_docs(&docs);
    must_read(yaml_of("it: {kind: csv, path: %s/data/pairs.tsv, delimiter: tab, header: false, quotes: false, "
                      "names: [label, text]}",
                      INS_FIXTURES),
              &docs);
    assert_int_equal(docs.n, 2);
    assert_field(docs, 0, "text", "a \"good\" film");
    free_docs(&docs);
}

static void bad_csv(void **state) {
    (void)state;
    static const struct {
        const char *text, *what;
        int line;
    } bad[] = {{"a,b\n1,2\n\"x,3\n4,5\n", "never ends", 3},
               {"a,b\n1,2\n3\n", "1 fields", 3},
               {"a,b\n\"1\"x,2\n", "closing quote", 2},
               {"b,c\n1,2\n", "no column 'a'", 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        doc_list docs;
        ins_error err = {0};
        const char *path = write_temp("bad.csv", bad[i].text, strlen(bad[i].text));
        const char *yaml = yaml_of("it: {kind: csv, path: %s, fields: {text: a}}", path);
        assert_int_equal(read_docs(yaml, &docs, &err), INS_DATA);
        assert_non_null(strstr(err.text, bad[i].what));
        assert_string_equal(ins_path_base(err.file), "bad.csv");
        assert_int_equal(err.line, bad[i].line);
        free_docs(&docs);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_splits),
        cmocka_unit_test(many_files),
        cmocka_unit_test(missing_files),
        cmocka_unit_test(data_paths),
        cmocka_unit_test(unknown_packages),
        cmocka_unit_test(cached_package),
        cmocka_unit_test(digests_follow_contents),
        cmocka_unit_test(jsonl_plain_gz_zst),
        cmocka_unit_test(bad_jsonl),
        cmocka_unit_test(csv_rows),
        cmocka_unit_test(bad_csv),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
