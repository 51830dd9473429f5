#include "base/testing.h"

#include <locale.h>
#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

static void appends(void **state) {
    (void)state;
    ins_str s = {0};
    ins_str_puts(&s, "");
    assert_string_equal(s.data, "");
    ins_str_append(&s, "a\0b", 3);
    ins_str_putc(&s, 'c');
    ins_str_printf(&s, "%d-%s", 42, "xyz");
    assert_int_equal(s.len, 10);
    assert_memory_equal(s.data, "a\0bc42-xyz", 11);
    for (int i = 0; i < 12; i++) ins_str_append(&s, s.data, s.len); /* a part of itself, over many reallocations */
    assert_int_equal(s.len, 10 << 12);
    assert_memory_equal(s.data + 10, "a\0bc42-xyz", 10);
    ins_str_clear(&s);
    assert_string_equal(s.data, "");
    ins_str_free(&s);
    assert_null(s.data);
}

static void out_of_memory_is_remembered(void **state) {
    (void)state;
    ins_str s = {0};
    ins_str_puts(&s, "start");
    ins_mem_fail_at(1);
    ins_str_printf(&s, "%0100d", 1);
    assert_true(s.oom);
    ins_str_puts(&s, "x");
    assert_string_equal(s.data, "start");
    ins_str_clear(&s);
    ins_str_puts(&s, "again");
    assert_string_equal(s.data, "again");
    ins_str_free(&s);
    s.len = 1;
    ins_str_append(&s, "x", SIZE_MAX);
    assert_true(s.oom);
    s = (ins_str){0};
}

static void escapes(void **state) {
    (void)state;
    ins_str s = {0};
    ins_str_json_escape(&s, "a\"\\\n\t\r\x01\x7f\xC3\xA9\xFF\xE2\x82", 13);
    assert_string_equal(s.data, "a\\\"\\\\\\n\\t\\r\\u0001\\u007f\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    ins_str_clear(&s);
    ins_str_json_escape(&s, "a\0b", 3);
    assert_string_equal(s.data, "a\\u0000b");
    ins_str_clear(&s);
    ins_str_html_escape(&s, "<a href=\"x\">&'</a>", 18);
    assert_string_equal(s.data, "&lt;a href=&quot;x&quot;&gt;&amp;&#39;&lt;/a&gt;");
    ins_str_clear(&s);
    ins_str_json_escape(&s, NULL, 0);
    ins_str_html_escape(&s, NULL, 0);
    assert_string_equal(s.data, "");
    ins_str_free(&s);
}

static void utf8_round_trip_of_all_code_points(void **state) {
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        char bytes[4];
        uint32_t back = 0;
        int len = ins_utf8_encode(cp, bytes);
        bool surrogate = cp >= 0xD800 && cp <= 0xDFFF;
        assert_int_equal(ins_utf8_decode((unsigned char *)bytes, (size_t)len, &back), len);
        assert_int_equal(back, surrogate ? 0xFFFD : cp);
        if (len > 1) assert_int_equal(ins_utf8_decode((unsigned char *)bytes, (size_t)len - 1, &back), 0);
    }
}

static void utf8_refuses_what_is_not_utf8(void **state) {
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xBF",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xC3",
                                      "\xC3(",
                                      "\xE0\x80\x80",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xED\xBF\xBF",
                                      "\xE2\x82",
                                      "\xF0\x80\x80\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "\xFE"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint32_t cp;
        char text[64];
        size_t at = 99;
        assert_int_equal(ins_utf8_decode((const unsigned char *)bad[i], strlen(bad[i]), &cp), 0);
        snprintf(text, sizeof text, "plain text, then %s", bad[i]);
        assert_false(ins_utf8_valid(text, strlen(text), &at));
        assert_int_equal(at, 17);
    }
    assert_true(ins_utf8_valid("", 0, NULL));
    assert_true(ins_utf8_valid("gr\xC3\xBC\xC3\x9F Gott, \xF0\x9F\x98\x80 and ascii", 28, NULL));
}

static void doubles_round_trip(void **state) {
    (void)state;
    char buf[32];
    assert_string_equal(ins_double_format(0.1, buf), "0.1");
    assert_string_equal(ins_double_format(1e-5, buf), "1e-05");
    assert_string_equal(ins_double_format(1.0, buf), "1");
    assert_string_equal(ins_double_format(-0.0, buf), "-0");
    assert_string_equal(ins_double_format(2.0 / 3.0, buf), "0.6666666666666666");
    assert_string_equal(ins_double_format(NAN, buf), "nan");
    assert_string_equal(ins_double_format(-INFINITY, buf), "-inf");
    ins_rng rng = ins_rng_start(ins_rng_derive(1, "doubles", 0), 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = ins_rng_u64(&rng);
        double value, back;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        ins_double_format(value, buf);
        assert_true(ins_double_parse(buf, &back));
        assert_true(memcmp(&value, &back, sizeof value) == 0);
    }
}

static void doubles_parse_strictly(void **state) {
    (void)state;
    static const char *const bad[] = {"",  " ", "1 ",  " 1",  "1,5", "0x10",  "1e",    "1e+",  "e5",
                                      ".", "+", "--1", "nan", "inf", "1e999", "1.2.3", "1_000"};
    double value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(ins_double_parse(bad[i], &value));
    assert_true(value == 7);
    assert_true(ins_double_parse("-1.5e+3", &value) && value == -1500);
    assert_true(ins_double_parse(".5", &value) && value == 0.5);
    assert_true(ins_double_parse("5.", &value) && value == 5);
}

static void the_locale_does_not_matter(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "fr_FR.utf8"};
    bool set = false;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !set; i++) set = setlocale(LC_NUMERIC, names[i]) != NULL;
    if (!set) skip(); /* no locale with a decimal comma on this machine */
    char buf[32];
    double value = 0;
    assert_string_equal(ins_double_format(1.5, buf), "1.5");
    assert_true(ins_double_parse("1.5", &value) && value == 1.5);
    setlocale(LC_NUMERIC, "C");
}

static void numbers_for_people(void **state) {
    (void)state;
    char buf[32];
    assert_string_equal(ins_human_size(0, buf), "0 B");
    assert_string_equal(ins_human_size(999, buf), "999 B");
    assert_string_equal(ins_human_size(999.6, buf), "1.00 kB");
    assert_string_equal(ins_human_size(1500000, buf), "1.50 MB");
    assert_string_equal(ins_human_size(-123456, buf), "-123 kB");
    assert_string_equal(ins_human_count(124439808, buf), "124M");
    assert_string_equal(ins_human_count(42, buf), "42");
    assert_string_equal(ins_human_count(1.234e10, buf), "12.3G");
    assert_string_equal(ins_human_count(3.25, buf), "3.25");
    ins_human_count(1e300, buf);
    assert_string_equal(ins_human_count(INFINITY, buf), "inf");
    assert_string_equal(ins_human_time(0, buf), "0 us");
    assert_string_equal(ins_human_time(0.0123, buf), "12.3 ms");
    assert_string_equal(ins_human_time(3.2, buf), "3.2 s");
    assert_string_equal(ins_human_time(59.96, buf), "1 min 0 s");
    assert_string_equal(ins_human_time(250, buf), "4 min 10 s");
    assert_string_equal(ins_human_time(3599.6, buf), "1 h 0 min");
    assert_string_equal(ins_human_time(7260, buf), "2 h 1 min");
    assert_string_equal(ins_human_time(86400.0 * 3 + 7200, buf), "3 d 2 h");
    assert_string_equal(ins_human_time(-2, buf), "-2.0 s");
    assert_string_equal(ins_human_time(NAN, buf), "?");
    ins_human_time(1e300, buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends),
        cmocka_unit_test(out_of_memory_is_remembered),
        cmocka_unit_test(escapes),
        cmocka_unit_test(utf8_round_trip_of_all_code_points),
        cmocka_unit_test(utf8_refuses_what_is_not_utf8),
        cmocka_unit_test(doubles_round_trip),
        cmocka_unit_test(doubles_parse_strictly),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(numbers_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
