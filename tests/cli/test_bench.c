/* The bench command, as scripts call it: its fields, and that they agree with each other. No time is asserted.
 * labels: timing */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

static char program[512];

static char text[1 << 20];

static json_t *json_of(const char *command, const char *args, int want) {
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(text, 1, sizeof text - 1, pipe);
    text[n] = '\0';
    int status = pclose(pipe);
    if (WEXITSTATUS(status) != want) print_error("bench %s: code %d\n%s\n", args, WEXITSTATUS(status), text);
    assert_int_equal(WEXITSTATUS(status), want);
    if (want) return NULL;
    json_error_t problem;
    json_t *value = json_loads(text, 0, &problem);
    if (!value) print_error("bench %s: %s\n%s\n", args, problem.text, text);
    assert_non_null(value);
    return value;
}

static json_t *bench(const char *args, int want) {
    char command[1024];
    snprintf(command, sizeof command, "INSTAR_CACHE=/nonexistent %s bench %s 2>/dev/null", program, args);
    return json_of(command, args, want);
}

static double number(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    if (!json_is_number(value)) print_error("no number '%s'\n", name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void check_spread(const json_t *spread) {
    assert_int_equal(json_object_size(spread), 3);
    double min = number(spread, "min"), median = number(spread, "median"), max = number(spread, "max");
    assert_true(min > 0 && min <= median && median <= max);
}

static void close_to(double x, double y) {
    if (!(fabs(x - y) <= 1e-6 * fabs(y))) print_error("%.12g is not %.12g\n", x, y);
    assert_true(fabs(x - y) <= 1e-6 * fabs(y));
}

/* The fields that scripts read, and how they follow from each other. */
static void check_train(const json_t *r) {
    static const char *const names[] = {"tokens_per_s",   "gflops",      "peak_gflops", "read_gbs",
                                        "update_gbs",     "bound_ms",    "ratio",       "gflop",
                                        "peak_rss_bytes", "arena_bytes", "first_ms",    "update_ms"};
    const json_t *ms = json_object_get(r, "ms"), *probes = json_object_get(r, "probes");
    const json_t *rounds = json_object_get(r, "rounds"), *ratios = json_object_get(r, "ratios");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) assert_true(number(r, names[i]) > 0);
    assert_true(json_is_string(json_object_get(r, "chip")));
    check_spread(ms), check_spread(ratios);
    check_spread(json_object_get(probes, "peak_gflops"));
    check_spread(json_object_get(probes, "read_gbs")), check_spread(json_object_get(probes, "update_gbs"));
    double median = number(ms, "median");
    close_to(number(r, "ratio"), median / number(r, "bound_ms"));
    close_to(number(r, "ratio"), number(ratios, "median"));
    close_to(number(r, "tokens_per_s"), number(r, "tokens") / median * 1e3);
    close_to(number(r, "gflops"), number(r, "gflop") / median * 1e3);
    for (size_t i = 0; i < json_array_size(rounds); i++) {
        const json_t *round = json_array_get(rounds, i);
        double ratio = number(round, "ratio");
        close_to(ratio, number(round, "ms") / number(round, "bound_ms"));
        assert_true(ratio >= number(ratios, "min") && ratio <= number(ratios, "max"));
        /* P with the slowest and the fastest rates that were probed. */
        const json_t *peak = json_object_get(probes, "peak_gflops"), *update = json_object_get(probes, "update_gbs");
        double slow = number(r, "gflop") / number(peak, "min") + number(r, "bytes") * 1e-9 / number(update, "min");
        double fast = number(r, "gflop") / number(peak, "max") + number(r, "bytes") * 1e-9 / number(update, "max");
        assert_true(number(round, "bound_ms") <= 1.000001e3 * slow && number(round, "bound_ms") >= 0.999999e3 * fast);
    }
}

static void test_train(void **state) {
    (void)state;
    json_t *f32 = bench("train --config D --steps 3 --rounds 2 --json", 0);
    check_train(f32);
    assert_int_equal(json_array_size(json_object_get(f32, "rounds")), 2);
    assert_string_equal(json_string_value(json_object_get(f32, "dtype")), "f32");
    assert_string_equal(json_string_value(json_object_get(f32, "config")), "D");
    assert_true(number(f32, "parameters") == 4273664);
    /* 6 (12 L C^2 + V C) + 12 L C T a token */
    close_to(number(f32, "gflop"), 4096 * (6.0 * (12 * 4 * 65536 + 4096 * 256) + 12.0 * 4 * 256 * 256) * 1e-9);
    assert_true(number(f32, "steady_allocations") == 0);
    json_t *bf16 = bench("train --config D --steps 1 --dtype bf16 --json", 0);
    check_train(bf16);
    assert_string_equal(json_string_value(json_object_get(bf16, "dtype")), "bf16");
    close_to(number(f32, "bytes") - 28 * number(f32, "parameters"),
             2 * (number(bf16, "bytes") - 30 * number(bf16, "parameters")));
    json_decref(f32), json_decref(bf16);
}

/* Every op that does work has a row, and a row's numbers agree. */
static void check_kernels(const json_t *r) {
    const json_t *rows = json_object_get(r, "rows");
    double peak = number(r, "peak_gflops") * 1e9, peak_f32 = number(r, "peak_f32_gflops") * 1e9;
    double bandwidth = number(r, "update_gbs") * 1e9;
    size_t n_step = 0;
    assert_true(number(r, "read_gbs") > 0);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        bool bf16 = strcmp(json_string_value(json_object_get(row, "dtype")), "bf16") == 0;
        double bound = number(row, "flop") / (bf16 ? peak : peak_f32) + number(row, "bytes") / bandwidth;
        n_step += strcmp(json_string_value(json_object_get(row, "group")), "step") == 0;
        assert_true(number(row, "calls") >= 1 && number(row, "ms") > 0);
        close_to(number(row, "bound_ms"), 1e3 * bound);
        close_to(number(row, "ratio"), number(row, "ms") / number(row, "bound_ms"));
        assert_true(strlen(json_string_value(json_object_get(row, "shape"))) > 0);
        assert_true(strlen(json_string_value(json_object_get(row, "implementation"))) > 0);
    }
    assert_true(n_step >= 15 && json_array_size(rows) >= n_step + 40);
    for (size_t i = 0; i < json_array_size(json_object_get(r, "not_timed")); i++)
        print_error("not timed: %s\n", json_string_value(json_array_get(json_object_get(r, "not_timed"), i)));
    assert_int_equal(json_array_size(json_object_get(r, "not_timed")), 0);
}

static double step_flop(const json_t *r) {
    double flop = 0;
    for (size_t i = 0; i < json_array_size(json_object_get(r, "rows")); i++) {
        const json_t *row = json_array_get(json_object_get(r, "rows"), i);
        const char *op = json_string_value(json_object_get(row, "op"));
        bool product = strcmp(op, "linear") == 0 || strcmp(op, "matmul") == 0 || strncmp(op, "linear_xent", 11) == 0;
        if (product && strcmp(json_string_value(json_object_get(row, "group")), "step") == 0)
            flop += number(row, "flop") * number(row, "calls");
    }
    return flop;
}

static void test_kernels(void **state) {
    (void)state;
    json_t *f32 = bench("kernels --config D --steps 1 --json", 0);
    json_t *bf16 = bench("kernels --config D --steps 1 --dtype bf16 --json", 0);
    check_kernels(f32), check_kernels(bf16);
    /* The products of a step are those that its bound counts. */
    double want = 4096 * 6.0 * (12 * 4 * 65536 + 4096 * 256);
    assert_true(fabs(step_flop(f32) / want - 1) < 0.01 && fabs(step_flop(bf16) / want - 1) < 0.01);
    json_decref(f32), json_decref(bf16);
}

/* The scripts around it: peers that are not there are said to be absent, and results become tables. */
static void test_scripts(void **state) {
    (void)state;
    if (system("python3 -c 'import json' 2>/dev/null") != 0) skip();
    char command[2048], file[64] = "/tmp/instar-bench-XXXXXX";
    snprintf(command, sizeof command,
             "python3 -B %s/../../bench/peers/run.py --instar %s --configs D --dtypes f32 --rounds 2 --steps 1 "
             "--llmc /nonexistent --json 2>/dev/null",
             INS_FIXTURES, program);
    json_t *result = json_of(command, "peers", 0);
    json_t *programs = json_object_get(json_array_get(json_object_get(result, "cases"), 0), "programs");
    assert_int_equal(json_object_size(json_object_get(result, "absent")), 4);
    assert_int_equal(json_array_size(programs), 1);
    const json_t *own = json_array_get(programs, 0);
    assert_string_equal(json_string_value(json_object_get(own, "name")), "Instar");
    check_spread(json_object_get(own, "ms")), check_spread(json_object_get(own, "times_bound"));
    assert_true(number(json_object_get(own, "times_instar"), "max") == 1);
    assert_int_equal(json_array_size(json_object_get(own, "rounds")), 2);
    int descriptor = mkstemp(file);
    assert_true(descriptor >= 0);
    close(descriptor);
    assert_int_equal(json_dump_file(result, file, 0), 0);
    snprintf(command, sizeof command, "python3 -B %s/../../bench/tables.py %s", INS_FIXTURES, file);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    text[fread(text, 1, sizeof text - 1, pipe)] = '\0';
    assert_int_equal(pclose(pipe), 0);
    assert_non_null(strstr(text, "| D | f32 | Instar |"));
    remove(file);
    json_decref(result);
}

static void test_usage(void **state) {
    (void)state;
    bench("train --config E", 2), bench("train --config AB", 2), bench("train --dtype f16", 2);
    bench("train --model bert", 2), bench("train --gemm mkl", 2), bench("train --model llama --config A", 2),
        bench("kernels --model lstm", 2);
    bench("train --rounds 1000", 2), bench("sleep", 2), bench("", 2);
}

static int setup(void **state) {
    (void)state;
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 16);
    if (n <= 0) return -1;
    program[n] = '\0';
    for (int i = 0; i < 2; i++) *strrchr(program, '/') = '\0';
    strcat(program, "/instar");
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_train), cmocka_unit_test(test_kernels),
                                       cmocka_unit_test(test_scripts), cmocka_unit_test(test_usage)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
