#include "base/testing.h"

#include <errno.h>

#include "base/mem.h"
#include "base/status.h"

static void exit_codes(void **state) {
    (void)state;
    assert_int_equal(ins_status_exit_code(INS_OK), 0);
    assert_int_equal(ins_status_exit_code(INS_RECIPE), 2);
    assert_int_equal(ins_status_exit_code(INS_DATA), 3);
    assert_int_equal(ins_status_exit_code(INS_NOMEM), 4);
    assert_int_equal(ins_status_exit_code(INS_NUMERIC), 5);
    assert_int_equal(ins_status_exit_code(INS_BUG), 70);
    assert_int_equal(ins_status_exit_code(INS_INTERRUPTED), 130);
    assert_string_equal(ins_status_word(INS_MODEL), "model file");
}

static void message_with_place_frames_and_hint(void **state) {
    (void)state;
    ins_error err;
    assert_int_equal(INS_FAIL(&err, INS_RECIPE, "unknown key '%s'", "steqs"), INS_RECIPE);
    ins_error_at(&err, (ins_pos){"r.yaml", 7, 3});
    ins_error_hint(&err, "did you mean '%s'?", "steps");
    ins_error_frame(&err, "stage '%s'", "base");
    ins_error_frame(&err, "recipe");
    char buf[256];
    size_t len = ins_error_format(&err, buf, sizeof buf);
    assert_string_equal(buf,
                        "r.yaml:7:3: error: unknown key 'steqs' (stage 'base'; recipe)\n  hint: did you mean 'steps'?");
    assert_int_equal(len, strlen(buf));
    char small[12];
    assert_int_equal(ins_error_format(&err, small, sizeof small), len);
    assert_string_equal(small, "r.yaml:7:3:");
    assert_int_equal(ins_error_format(&err, NULL, 0), len);
    ins_error_clear(&err);
    assert_int_equal(err.status, INS_OK);
    assert_int_equal(ins_error_format(&err, buf, sizeof buf), strlen("error: ok"));
}

static void place_without_line(void **state) {
    (void)state;
    ins_error err;
    char buf[128];
    INS_FAIL(&err, INS_DATA, "empty");
    ins_error_at(&err, (ins_pos){"corpus.txt", 0, 0});
    ins_error_format(&err, buf, sizeof buf);
    assert_string_equal(buf, "corpus.txt: error: empty");
    ins_error_at(&err, (ins_pos){NULL, 0, 0});
    ins_error_format(&err, buf, sizeof buf);
    assert_string_equal(buf, "error: empty");
}

static void a_bug_says_where(void **state) {
    (void)state;
    ins_error err;
    char buf[512];
    INS_FAIL(&err, INS_BUG, "impossible");
    ins_error_format(&err, buf, sizeof buf);
    assert_non_null(strstr(buf, "test_status.c:"));
}

static void arguments_may_point_into_the_error(void **state) {
    (void)state;
    ins_error err;
    INS_FAIL(&err, INS_DATA, "inner");
    INS_FAIL(&err, INS_MODEL, "outer: %s", err.text);
    assert_string_equal(err.text, "outer: inner");
    ins_error_hint(&err, "%s!", err.text);
    ins_error_hint(&err, "%s?", err.hint);
    assert_string_equal(err.hint, "outer: inner!?");
}

static void no_control_bytes_and_a_clean_cut(void **state) {
    (void)state;
    ins_error err;
    INS_FAIL(&err, INS_DATA, "line\nbreak \x1b[31m");
    assert_string_equal(err.text, "line break  [31m");
    char text[4000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2) memcpy(text + i, "\xC3\xA9", 2);
    text[3998] = '\0';
    for (int shift = 0; shift < 3; shift++) {
        INS_FAIL(&err, INS_DATA, "%.*s%s", shift, "abc", text);
        size_t len = strlen(err.text);
        assert_true(len < sizeof err.text);
        assert_string_equal(err.text + len - 3, "...");
        assert_true(ins_utf8_valid(err.text, len, NULL));
    }
}

static void errno_and_hint(void **state) {
    (void)state;
    ins_error err;
    errno = ENOSPC;
    assert_int_equal(INS_FAIL_ERRNO(&err, "cannot write '%s'", "x"), INS_IO);
    assert_non_null(strstr(err.text, "cannot write 'x': No space left"));
    assert_non_null(strstr(err.hint, "disk is full"));
    errno = ENOMEM;
    assert_int_equal(INS_FAIL_ERRNO(&err, "cannot map"), INS_NOMEM);
    errno = EACCES;
    assert_int_equal(INS_FAIL_ERRNO(NULL, "x"), INS_IO);
}

static void null_error_is_fine(void **state) {
    (void)state;
    assert_int_equal(INS_FAIL(NULL, INS_DATA, "x"), INS_DATA);
    ins_error_hint(NULL, "x");
    ins_error_frame(NULL, "x");
    ins_error_at(NULL, (ins_pos){0});
    ins_error_clear(NULL);
}

static void too_many_frames_keep_the_innermost(void **state) {
    (void)state;
    ins_error err;
    INS_FAIL(&err, INS_DATA, "x");
    for (int i = 0; i < 50; i++) ins_error_frame(&err, "frame %d", i);
    assert_int_equal(err.n_frames, INS_ERROR_FRAMES);
    assert_string_equal(err.frames[0], "frame 0");
}

static void long_file_name_keeps_its_end(void **state) {
    (void)state;
    ins_error err;
    char name[2000];
    memset(name, 'd', sizeof name);
    memcpy(name + sizeof name - 8, "/r.yaml", 8);
    INS_FAIL(&err, INS_DATA, "x");
    ins_error_at(&err, (ins_pos){name, 1, 1});
    assert_string_equal(err.file + strlen(err.file) - 7, "/r.yaml");
}

static void diag_collects_and_caps(void **state) {
    (void)state;
    ins_diag diag = {0};
    for (int i = 0; i < 250; i++) ins_diag_add(&diag, INS_RECIPE, (ins_pos){"f", i, 1}, "do it", "problem %d", i);
    assert_int_equal(diag.n, 200);
    assert_int_equal(diag.n_dropped, 50);
    assert_string_equal(diag.items[199].text, "problem 199");
    assert_string_equal(diag.items[7].hint, "do it");
    assert_int_equal(diag.items[7].line, 7);
    ins_diag_free(&diag);
    assert_int_equal(diag.n, 0);
    ins_mem_fail_at(1);
    ins_diag_add(&diag, INS_RECIPE, (ins_pos){0}, NULL, "x");
    ins_mem_fail_at(0);
    assert_int_equal(diag.n_dropped, 1);
    ins_diag_free(&diag);
}

static void diag_sorts_by_place(void **state) {
    (void)state;
    ins_diag diag = {0};
    ins_diag_add(&diag, INS_RECIPE, (ins_pos){"b", 1, 1}, NULL, "5");
    ins_diag_add(&diag, INS_RECIPE, (ins_pos){"a", 9, 2}, NULL, "3");
    ins_diag_add(&diag, INS_RECIPE, (ins_pos){"a", 2, 7}, NULL, "1");
    ins_diag_add(&diag, INS_RECIPE, (ins_pos){"a", 9, 2}, NULL, "4");
    ins_diag_add(&diag, INS_RECIPE, (ins_pos){"a", 2, 8}, NULL, "2");
    ins_diag_add(&diag, INS_RECIPE, (ins_pos){NULL, 0, 0}, NULL, "0");
    ins_diag_sort(&diag);
    for (int i = 0; i < 6; i++) assert_int_equal(diag.items[i].text[0], '0' + i);
    ins_diag_free(&diag);
}

static void nearest_names(void **state) {
    (void)state;
    static const char *const names[] = {"layers", "heads", "learning_rate", "batch", "lr"};
    assert_string_equal(ins_nearest_name("laers", names, 5), "layers");
    assert_string_equal(ins_nearest_name("LAYERS", names, 5), "layers");
    assert_string_equal(ins_nearest_name("haeds", names, 5), "heads");
    assert_string_equal(ins_nearest_name("learn_rate", names, 5), "learning_rate");
    assert_string_equal(ins_nearest_name("rl", names, 5), "lr");
    assert_null(ins_nearest_name("x", names, 5));
    assert_null(ins_nearest_name("tokenizer", names, 5));
    assert_null(ins_nearest_name("", names, 5));
    assert_null(ins_nearest_name(NULL, names, 5));
    assert_null(ins_nearest_name("layers", names, 0));
    /* "ca" -> "abc" is 3 in optimal string alignment: past the limit of 2 */
    static const char *const abc[] = {"abc"};
    assert_null(ins_nearest_name("ca", abc, 1));
    char longest[4096];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_null(ins_nearest_name(longest, names, 5));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(message_with_place_frames_and_hint),
        cmocka_unit_test(place_without_line),
        cmocka_unit_test(a_bug_says_where),
        cmocka_unit_test(arguments_may_point_into_the_error),
        cmocka_unit_test(no_control_bytes_and_a_clean_cut),
        cmocka_unit_test(errno_and_hint),
        cmocka_unit_test(null_error_is_fine),
        cmocka_unit_test(too_many_frames_keep_the_innermost),
        cmocka_unit_test(long_file_name_keeps_its_end),
        cmocka_unit_test(diag_collects_and_caps),
        cmocka_unit_test(diag_sorts_by_place),
        cmocka_unit_test(nearest_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
