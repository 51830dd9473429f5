#include "base/testing.h"

#include <math.h>

#include "option/option.h"

static void whole_numbers(void **state) {
    (void)state;
    int64_t value = 7;
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      "1.0",
                                      "1e3",
                                      " 1",
                                      "1 ",
                                      "0x10",
                                      "1_000",
                                      "--1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(ins_parse_int(bad[i], &value));
    assert_int_equal(value, 7);
    assert_true(ins_parse_int("9223372036854775807", &value) && value == INT64_MAX);
    assert_true(ins_parse_int("-9223372036854775808", &value) && value == INT64_MIN);
    assert_true(ins_parse_int("+007", &value) && value == 7);
    assert_true(ins_parse_int("-0", &value) && value == 0);
}

static void sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } good[] = {{"0", 0},
                {"12", 12},
                {"-3", -3},
                {"10k", 10000},
                {"10K", 10000},
                {"2M", 2000000},
                {"1G", 1000000000},
                {"3T", INT64_C(3000000000000)},
                {"4Ki", 4096},
                {"1.5Mi", 1572864},
                {"0.5Gi", 536870912},
                {"1Ti", INT64_C(1) << 40},
                {"1.5M", 1500000},
                {"0.001k", 1},
                {"1e6", 1000000},
                {"1.25e2", 125},
                {"100e-2", 1},
                {"10 MB", 10000000},
                {"4KiB", 4096},
                {"512B", 512},
                {"9223372036854775807", INT64_MAX},
                {"0.000", 0},
                {"0e40", 0}};
    int64_t value;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!ins_parse_size(good[i].text, &value)) fail_msg("'%s' is refused", good[i].text);
        assert_true(value == good[i].value);
    }
    static const char *const bad[] = {"",
                                      "k",
                                      "1.5",
                                      "1.",
                                      ".",
                                      "1..2",
                                      "1.2.3k",
                                      "10m",
                                      "10kk",
                                      "10 k B",
                                      "10Kb",
                                      "0x10",
                                      "1e",
                                      "1e-1",
                                      "0.0001k",
                                      "9223372036854775808",
                                      "10000P",
                                      "1e19",
                                      "1e999999999",
                                      "- 1",
                                      "10k ",
                                      "99999999999999999999999999999999999999999999",
                                      "0.1Ki",
                                      "inf"};
    value = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (ins_parse_size(bad[i], &value)) fail_msg("'%s' is taken as %lld", bad[i], (long long)value);
    assert_int_equal(value, 7);
}

static void floats(void **state) {
    (void)state;
    double value;
    assert_true(ins_parse_float("3e-4", &value) && value == 3e-4);
    assert_true(ins_parse_float(".inf", &value) && isinf(value) && value > 0);
    assert_true(ins_parse_float("-inf", &value) && isinf(value) && value < 0);
    assert_false(ins_parse_float("nan", &value));
    assert_false(ins_parse_float(".nan", &value));
    assert_false(ins_parse_float("infinity", &value));
    assert_false(ins_parse_float("1%", &value));
}

static void durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double seconds;
    } good[] = {{"90", 90},      {"90s", 90},       {"1.5", 1.5},       {"5min", 300},  {"2h", 7200}, {"1d", 86400},
                {"250ms", 0.25}, {"1h30min", 5400}, {"1h 30min", 5400}, {"10 sec", 10}, {"0", 0}};
    double value;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!ins_parse_duration(good[i].text, &value)) fail_msg("'%s' is refused", good[i].text);
        assert_true(value == good[i].seconds);
    }
    static const char *const bad[] = {"", "h", "5m", "-5", "-5s", "5 weeks", "1h30", "1..2s", "s5", "inf", "5minutes"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) assert_false(ins_parse_duration(bad[i], &value));
}

static void booleans(void **state) {
    (void)state;
    bool value = false;
    assert_true(ins_parse_bool("true", &value) && value);
    assert_true(ins_parse_bool("No", &value) && !value);
    assert_true(ins_parse_bool("ON", &value) && value);
    assert_true(ins_parse_bool("off", &value) && !value);
    assert_false(ins_parse_bool("1", &value));
    assert_false(ins_parse_bool("", &value));
    assert_false(ins_parse_bool("y", &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers), cmocka_unit_test(sizes),    cmocka_unit_test(floats),
        cmocka_unit_test(durations),     cmocka_unit_test(booleans),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
