/* Package records and the questions made from them. */
#include "data/packages.h"
#include "data/reader_check.h"

#define LISTS "path: ['" INS_FIXTURES "/data/small_Packages', '" INS_FIXTURES "/data/small_Translation-*']"

static void descriptions(void **state) {
    (void)state;
    doc_list docs;
    must_read("it: {kind: debian, " LISTS "}", &docs);
    assert_int_equal(docs.n, 3); /* orphan has no description; the second hello is not taken */
    assert_field(docs, 0, "id", "hello");
    assert_field(docs, 0, "group", "hello");
    assert_field(docs, 0, "version", "2.10-3");
    assert_field(docs, 0, "section", "devel");
    assert_field(docs, 0, "title", "example package based on GNU hello");
    assert_field(docs, 0, "tags", "devel::examples, interface::commandline, role::program");
    assert_field(docs, 0, "text",
                 "The GNU hello program produces a familiar, friendly greeting.  It allows non-programmers to use a "
                 "classic computer science tool which would otherwise be unavailable to them.\n\n"
                 "Seriously, though:\n * it is an example of a list\n * it has two items\n\nLast paragraph.");
    assert_field(docs, 1, "id", "libgrep-dev");
    assert_field(docs, 1, "group", "grep-lib");
    assert_field(docs, 2, "group", "grep-lib");
    assert_field(docs, 2, "text", "Shared library.");
    assert_field(docs, 2, "homepage", "(none)");
    assert_field(docs, 0, "text_en", "(none)");
    free_docs(&docs);
    must_read("it: {kind: debian, unwrap: false, " LISTS "}", &docs);
    assert_non_null(strstr(field_of_doc(docs.items, "text"), "greeting.  It\nallows"));
    free_docs(&docs);
}

static void translated(void **state) {
    (void)state;
    doc_list docs;
    must_read("it: {kind: debian, language: da, " LISTS "}", &docs);
    assert_int_equal(docs.n, 1);
    assert_field(docs, 0, "title", "eksempelpakke baseret p\xc3\xa5 GNU hello");
    assert_field(docs, 0, "text", "Programmet GNU hello laver en velkendt, venlig hilsen.");
    assert_field(docs, 0, "title_en", "example package based on GNU hello");
    free_docs(&docs);
    assert_int_equal(read_docs("it: {kind: debian, language: '../x', " LISTS "}", &docs, NULL), INS_RECIPE);
}

static void broken_list(void **state) {
    (void)state;
    doc_list docs;
    ins_error err = {0};
    const char text[] = "Package: a\nVersion: 1\nno colon here\n";
    const char *path = write_temp("broken_Packages", text, sizeof text - 1);
    assert_int_equal(read_docs(yaml_of("it: {kind: debian, path: %s}", path), &docs, &err), INS_DATA);
    assert_int_equal(err.line, 3);
}

static void package_text(void **state) {
    (void)state;
    static const struct {
        const char *field, *text;
    } cases[] = {
        {" one\n two\n .\n three", "one two\n\nthree"},
        {" a:\n  - x\n    more\n  - y\n back", "a:\n - x more\n - y\nback"},
        {" code:\n   int x;\n   int y;\n end", "code:\n  int x;\n  int y;\nend"},
        {" 1. first\n 2. second", "1. first\n2. second"},
        {" .\n\n", ""},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ins_str out = {0};
        ins_package_text(cases[i].field, true, &out);
        assert_string_equal(out.data ? out.data : "", cases[i].text);
        ins_str_free(&out);
    }
}

static void questions(void **state) {
    (void)state;
    doc_list docs, again, other;
    must_read("it: {kind: package-qa, varied: false, choices: 3, " LISTS "}", &docs);
    assert_int_equal(docs.n, 9);
    assert_field(docs, 0, "id", "hello:section");
    assert_field(docs, 0, "kind", "section");
    assert_field(docs, 0, "prompt",
                 "hello: example package based on GNU hello\nWhich section is the package hello in?");
    assert_field(docs, 0, "response", "devel");
    assert_field(docs, 1, "prompt", "What is hello?");
    assert_field(docs, 1, "response", "example package based on GNU hello");
    assert_field(docs, 2, "prompt", "Which package is this: example package based on GNU hello?");
    assert_field(docs, 2, "response", "hello");
    assert_field(docs, 3, "group", "grep-lib");
    for (int i = 0; i < 9; i += 3) { /* the answer points at the right choice; choices differ */
        char choices[256], *list[3];
        snprintf(choices, sizeof choices, "%s", field_of_doc(docs.items + i, "choices"));
        list[0] = choices;
        for (int c = 1; c < 3; c++) {
            list[c] = strchr(list[c - 1], '\n');
            assert_non_null(list[c]);
            *list[c]++ = 0;
        }
        assert_null(strchr(list[2], '\n'));
        int answer = atoi(field_of_doc(docs.items + i, "answer"));
        assert_in_range(answer, 0, 2);
        assert_field(docs, i, "response", list[answer]);
        assert_string_not_equal(list[0], list[1]);
        assert_string_not_equal(list[1], list[2]);
    }
    free_docs(&docs);
    must_read("it: {kind: package-qa, kinds: [section, which], per_package: 1, " LISTS "}", &docs);
    must_read("it: {kind: package-qa, kinds: [section, which], per_package: 1, " LISTS "}", &again);
    assert_int_equal(docs.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_not_equal(field_of_doc(docs.items + i, "kind"), "what");
        assert_field(docs, i, "prompt", field_of_doc(again.items + i, "prompt"));
    }
    free_docs(&docs);
    free_docs(&again);
    int differ = 0; /* seeds change phrasings */
    must_read("it: {kind: package-qa, " LISTS "}", &docs);
    must_read("it: {kind: package-qa, seed: 5, " LISTS "}", &other);
    for (int i = 0; i < 9; i++) {
        differ += strcmp(field_of_doc(docs.items + i, "prompt"), field_of_doc(other.items + i, "prompt")) != 0;
    }
    assert_true(differ > 0);
    free_docs(&docs);
    free_docs(&other);
    loaded_component loaded;
    ins_diag diag = {0};
    assert_false(load_component(&reader_table, "it: {kind: package-qa, kinds: [sections]}", &loaded, &diag));
    assert_string_equal(diag.items[0].hint, "section");
    ins_arena_free(loaded.arena);
    ins_diag_free(&diag);
}

/* A description that two packages share is asked for neither. */
static void ambiguous_questions(void **state) {
    (void)state;
    doc_list docs;
    const char text[] = "Package: one\nVersion: 1\nSection: x\nDescription: same\n long\n\n"
                        "Package: two\nVersion: 1\nSection: y\nDescription: same\n long\n\n"
                        "Package: tre\nVersion: 1\nSection: y\nDescription: own\n long\n";
    const char *path = write_temp("shared_Packages", text, sizeof text - 1);
    must_read(yaml_of("it: {kind: package-qa, kinds: which, path: %s}", path), &docs);
    assert_int_equal(docs.n, 1);
    assert_field(docs, 0, "response", "tre");
    free_docs(&docs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptions), cmocka_unit_test(translated), cmocka_unit_test(broken_list),
        cmocka_unit_test(package_text), cmocka_unit_test(questions),  cmocka_unit_test(ambiguous_questions),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
