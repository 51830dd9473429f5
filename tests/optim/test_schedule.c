/* Schedules at points worked out by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "format/yaml.h"
#include "optim/optim.h"

const ins_family *const ins_families[] = {&ins_family_schedule, NULL};

/* Factor of a schedule with options from YAML text. */
static double factor(const char *name, const char *yaml, int64_t step, int64_t n_steps) {
    ins_arena *arena = ins_arena_new(0);
    const ins_schedule *s = (const ins_schedule *)ins_component_find(&ins_family_schedule, name);
    assert_non_null(s);
    ins_node *node = NULL;
    assert_int_equal(ins_yaml_read_text(yaml, strlen(yaml), "test", arena, &node, NULL), INS_OK);
    void *options = ins_arena_alloc(arena, s->head.options->size);
    ins_diag diag = {0};
    if (!ins_opt_parse(s->head.options, node, options, arena, NULL, &diag)) fail_msg("%s", diag.items[0].text);
    double value = s->factor(options, step, n_steps);
    ins_diag_free(&diag);
    ins_arena_free(arena);
    return value;
}

static void expect(const char *name, const char *yaml, int64_t step, int64_t n_steps, double wanted) {
    double value = factor(name, yaml, step, n_steps);
    if (fabs(value - wanted) > 1e-12) fail_msg("%s %s step %d: %.15g, not %.15g", name, yaml, (int)step, value, wanted);
}

static void test_warmup(void **state) {
    (void)state;
    static const char *const all[] = {"constant", "linear", "cosine", "wsd", "inverse_sqrt"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        expect(all[i], "{warmup: 10}", 0, 100, 0.1); /* the first step already moves */
        expect(all[i], "{warmup: 10}", 4, 100, 0.5);
        expect(all[i], "{warmup: 10}", 9, 100, 1);
        expect(all[i], "{warmup: 10}", 10, 100, 1);
        expect(all[i], "{warmup: 0, warmup_share: 0.2}", 9, 100, 0.5);
        expect(all[i], "{warmup: 0, warmup_share: 0}", 0, 100, 1);
        expect(all[i], "{warmup: 10, start: 0.5}", 4, 100, 0.75); /* re-warming */
        expect(all[i], "{warmup: 10, start: 0.5}", 9, 100, 1);
        expect(all[i], "{warmup: 500}", 49, 100, 0.5); /* longer than the stage: all of it */
    }
}

static void test_constant(void **state) {
    (void)state;
    expect("constant", "{}", 0, 100, 1);
    expect("constant", "{}", 99, 100, 1);
    expect("constant", "{}", 1000, 100, 1);
}

static void test_linear(void **state) {
    (void)state;
    expect("linear", "{warmup: 20}", 60, 100, 0.5);
    expect("linear", "{warmup: 20}", 100, 100, 0);
    expect("linear", "{warmup: 20, min_factor: 0.1}", 60, 100, 0.55);
    expect("linear", "{warmup: 20, min_factor: 0.1}", 100, 100, 0.1);
    expect("linear", "{warmup: 20, min: 0.1}", 1000, 100, 0.1);
}

static void test_cosine(void **state) {
    (void)state;
    expect("cosine", "{warmup: 20}", 60, 100, 0.5);
    expect("cosine", "{warmup: 20}", 40, 100, 0.5 * (1 + sqrt(0.5)));
    expect("cosine", "{warmup: 20, min_factor: 0.1}", 60, 100, 0.55);
    expect("cosine", "{warmup: 20, min_factor: 0.1}", 100, 100, 0.1);
}

static void test_inverse_sqrt(void **state) {
    (void)state;
    expect("inverse_sqrt", "{warmup: 10}", 40, 100, 0.5); /* sqrt(10 / 40) */
    expect("inverse-sqrt", "{warmup: 10, timescale: 100}", 310, 1000, 0.5);
    expect("inverse_sqrt", "{warmup: 10, min_factor: 0.6}", 40, 100, 0.6);
    expect("inverse_sqrt", "{warmup_share: 0}", 3, 100, 0.5);
}

static void test_wsd(void **state) {
    (void)state;
    expect("wsd", "{warmup: 10, decay_share: 0.2, shape: linear}", 50, 100, 1);
    expect("wsd", "{warmup: 10, decay_share: 0.2, shape: linear}", 80, 100, 1);
    expect("wsd", "{warmup: 10, decay_share: 0.2, shape: linear}", 90, 100, 0.5);
    expect("wsd", "{warmup: 10, decay_share: 0.2, shape: linear}", 100, 100, 0);
    expect("wsd", "{warmup: 10, decay_share: 0.2, shape: cosine, min_factor: 0.5}", 90, 100, 0.75);
    expect("wsd", "{warmup: 10, decay_share: 0.2, shape: sqrt}", 85, 100, 0.5);
    expect("wsd", "{warmup: 10, decay_share: 0}", 99, 100, 1);
}

/* Never outside [0, 1], whatever the length. */
static void test_range(void **state) {
    (void)state;
    for (int64_t f = 0; f < ins_family_schedule.n; f++)
        for (int64_t n_steps = 1; n_steps < 9; n_steps++)
            for (int64_t step = 0; step < n_steps + 3; step++) {
                double value = factor(ins_family_schedule.items[f]->name, "{warmup_share: 0.3}", step, n_steps);
                assert_true(value >= 0 && value <= 1);
            }
}

static void test_check(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    const ins_component *wsd = ins_component_find(&ins_family_schedule, "wsd");
    ins_node *node = NULL;
    const char *yaml = "{warmup_share: 0.6, decay_share: 0.5}";
    assert_int_equal(ins_yaml_read_text(yaml, strlen(yaml), "test", arena, &node, NULL), INS_OK);
    void *options = ins_arena_alloc(arena, wsd->options->size);
    ins_diag diag = {0};
    assert_true(ins_opt_parse(wsd->options, node, options, arena, NULL, &diag));
    wsd->check(options, (ins_pos){0}, &diag);
    assert_int_equal(diag.n, 1);
    ins_diag_free(&diag);
    ins_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warmup), cmocka_unit_test(test_constant),     cmocka_unit_test(test_linear),
        cmocka_unit_test(test_cosine), cmocka_unit_test(test_inverse_sqrt), cmocka_unit_test(test_wsd),
        cmocka_unit_test(test_range),  cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
