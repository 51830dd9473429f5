/* JSON: strictness, typed getters, atomic writing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/json.h"
#include "format_temp.h"

static ins_status parse(const char *text, json_t **out, ins_error *err) {
    return ins_json_read_text(text, strlen(text), "c.json", out, err);
}

static void refusals(void **state) {
    (void)state;
    static const char *const bad[] = {"",        "{",       "{\"a\":1,\"a\":2}", "[1,]",      "{\"a\":\"\xff\"}",
                                      "[1] [2]", "nothing", "\"\\u0000\"",       "{\"a\" 1}", "[01]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *value = NULL;
        ins_error err = {0};
        if (parse(bad[i], &value, &err) != INS_DATA) fail_msg("accepted: %s", bad[i]);
        assert_null(value);
        assert_string_equal(err.file, "c.json");
    }
    json_t *value = NULL;
    ins_error err = {0};
    assert_int_equal(parse("{\n  \"a\": 1,\n  \"a\": 2\n}", &value, &err), INS_DATA);
    assert_int_equal(err.line, 3);
    char deep[8000];
    memset(deep, '[', sizeof deep);
    assert_int_equal(ins_json_read_text(deep, sizeof deep, "deep", &value, &err), INS_DATA);
}

static void getters(void **state) {
    (void)state;
    json_t *value = NULL;
    ins_error err = {0};
    assert_int_equal(parse("{\"s\":\"x\",\"i\":-5,\"r\":2.5}", &value, &err), INS_OK);
    const char *text;
    int64_t count;
    double number;
    assert_int_equal(ins_json_get_string(value, "s", &text, &err), INS_OK);
    assert_string_equal(text, "x");
    assert_int_equal(ins_json_get_int(value, "i", &count, &err), INS_OK);
    assert_int_equal(count, -5);
    assert_int_equal(ins_json_get_number(value, "i", &number, &err), INS_OK);
    assert_int_equal(ins_json_get_number(value, "r", &number, &err), INS_OK);
    assert_true(number == 2.5);
    assert_int_equal(ins_json_get_int(value, "r", &count, &err), INS_DATA);
    assert_non_null(strstr(err.text, "'r'"));
    assert_int_equal(ins_json_get_string(value, "absent", &text, &err), INS_DATA);
    assert_non_null(strstr(err.text, "missing"));
    assert_int_equal(ins_json_get_string(NULL, "s", &text, &err), INS_DATA);
    json_decref(value);
}

static void files(void **state) {
    (void)state;
    temp_dir temp = temp_make("c.json");
    ins_error err = {0};
    json_t *value = json_pack("{s:i, s:[s, f]}", "z", 1, "a", "x", 0.5), *back = NULL;
    assert_int_equal(ins_json_write_file(temp.path, value, true, &err), INS_OK);
    assert_int_equal(ins_json_read_file(temp.path, 1000, &back, &err), INS_OK);
    assert_true(json_equal(value, back));
    json_decref(back);
    back = NULL;
    assert_int_equal(ins_json_read_file(temp.path, 10, &back, &err), INS_DATA);
    assert_int_equal(ins_json_read_file("/nonexistent.json", 10, &back, &err), INS_IO);
    json_decref(value);
    temp_remove(&temp);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(refusals), cmocka_unit_test(getters), cmocka_unit_test(files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
