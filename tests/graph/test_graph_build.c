/* Building graphs: names, scopes, sharing of identical nodes, the first error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "toy_ops.h"

static const ins_type *vec(void) {
    static ins_type type;
    type = INS_TYPE(INS_DTYPE_F32, 8);
    return &type;
}

static ins_graph *new_graph(void) {
    ins_graph *g = NULL;
    assert_int_equal(ins_graph_new(INS_DTYPE_F32, INS_DTYPE_F32, &g, NULL), INS_OK);
    return g;
}

static void check_failed(ins_graph *g, const char *part) {
    ins_error err = {0};
    assert_int_not_equal(ins_graph_status(g, &err), INS_OK);
    if (!strstr(err.text, part)) fail_msg("'%s' is not in '%s'", part, err.text);
}

static void dtypes_that_go_together(void **state) {
    (void)state;
    static const struct {
        ins_dtype real, compute;
        bool ok;
    } cases[] = {{INS_DTYPE_F32, INS_DTYPE_F32, true},    {INS_DTYPE_F32, INS_DTYPE_BF16, true},
                 {INS_DTYPE_F64, INS_DTYPE_F64, true},    {INS_DTYPE_F64, INS_DTYPE_BF16, false},
                 {INS_DTYPE_BF16, INS_DTYPE_BF16, false}, {INS_DTYPE_F32, INS_DTYPE_F64, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ins_graph *g = NULL;
        ins_status status = ins_graph_new(cases[i].real, cases[i].compute, &g, NULL);
        assert_int_equal(status == INS_OK, cases[i].ok);
        if (!cases[i].ok) continue;
        assert_int_equal(ins_graph_real(g), cases[i].real);
        assert_int_equal(ins_graph_compute(g), cases[i].compute);
        ins_graph_free(g);
    }
    ins_graph_free(NULL);
}

static void identical_nodes_are_built_once(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", *vec()), y = ins_graph_input(g, "y", *vec());
    ins_value first = toy2(g, &toy_add, x, y);
    assert_int_equal(toy2(g, &toy_add, x, y), first);
    assert_int_not_equal(toy2(g, &toy_add, y, x), first);
    assert_int_not_equal(toy2(g, &toy_mul, x, y), first);
    assert_int_equal(toy_times(g, x, 2), toy_times(g, x, 2));
    assert_int_not_equal(toy_times(g, x, 2), toy_times(g, x, 3));
    int64_t before = ins_graph_n_nodes(g);
    for (int i = 0; i < 2000; i++) toy_times(g, first, (float)i);
    for (int i = 0; i < 2000; i++) toy_times(g, first, (float)i);
    assert_int_equal(ins_graph_n_nodes(g), before + 2000);
    assert_int_equal(ins_graph_status(g, NULL), INS_OK);
    ins_graph_free(g);
}

static void names(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", *vec()), w = ins_graph_param(g, "w", *vec());
    ins_value y = toy2(g, &toy_mul, x, w);
    ins_graph_tap(g, y, "layers.0.out");
    ins_graph_tap(g, y, "layers.0.out"); /* the same again: nothing */
    ins_graph_tap(g, toy2(g, &toy_add, x, w), "layers.0.out");
    ins_graph_output(g, y, "loss");
    ins_graph_output(g, y, "layers.0.out"); /* a tap may become an output */
    assert_int_equal(ins_graph_find(g, "x"), x);
    assert_int_equal(ins_graph_find(g, "w"), w);
    assert_int_equal(ins_graph_find(g, "loss"), y);
    assert_int_equal(ins_graph_find(g, "layers.0.out"), y);
    assert_int_equal(ins_graph_find(g, "nothing"), INS_NO_VALUE);
    assert_int_equal(ins_graph_n_taps(g), 2);
    assert_string_equal(ins_graph_tap_name(g, 0), "layers.0.out");
    assert_string_equal(ins_graph_tap_name(g, 1), "layers.0.out#2");
    assert_null(ins_graph_tap_name(g, 2));
    assert_int_equal(ins_graph_status(g, NULL), INS_OK);
    ins_graph_output(g, x, "loss");
    check_failed(g, "'loss' is used twice");
    ins_graph_free(g);
}

static void a_leaf_name_is_used_once(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_graph_input(g, "x", *vec());
    assert_int_equal(ins_graph_param(g, "x", *vec()), INS_NO_VALUE);
    check_failed(g, "'x' is used twice");
    ins_graph_free(g);
    g = new_graph();
    ins_value x = ins_graph_input(g, "x", *vec());
    ins_graph_output(g, x, "x");
    check_failed(g, "'x' is used twice");
    ins_graph_free(g);
}

static void the_first_error_stays(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", *vec());
    ins_value z = ins_graph_input(g, "z", INS_TYPE(INS_DTYPE_F32, 9));
    ins_graph_push_scope(g, "layers");
    ins_graph_push_scope(g, "3");
    ins_value bad = toy2(g, &toy_add, x, z);
    assert_int_equal(bad, INS_NO_VALUE);
    ins_graph_pop_scope(g);
    ins_graph_pop_scope(g);
    int64_t nodes = ins_graph_n_nodes(g);
    assert_int_equal(toy2(g, &toy_mul, bad, x), INS_NO_VALUE);
    assert_int_equal(toy2(g, &toy_mul, x, x), INS_NO_VALUE);
    assert_int_equal(ins_graph_fail(g, "another %d", 1), INS_NO_VALUE);
    assert_int_equal(ins_graph_n_nodes(g), nodes);
    assert_int_equal(ins_graph_type(g, bad)->n_dims, 0); /* a type that may be looked at */
    ins_error err = {0};
    assert_int_equal(ins_graph_status(g, &err), INS_USAGE);
    assert_string_equal(err.text, "add: types differ");
    char text[2048];
    ins_error_format(&err, text, sizeof text);
    assert_non_null(strstr(text, "in layers.3"));
    ins_plan *plan = NULL;
    assert_int_equal(ins_plan_new(g, NULL, 1, &plan, NULL), INS_USAGE);
    assert_null(plan);
    ins_graph_free(g);
}

static void bad_calls(void **state) {
    (void)state;
    for (int kind = 0; kind < 7; kind++) {
        ins_graph *g = new_graph();
        ins_value x = ins_graph_input(g, "x", *vec());
        ins_value three[3] = {x, x, x}, missing[2] = {x, INS_NO_VALUE}, unknown[2] = {x, 77};
        static const char *const parts[] = {
            "takes 2 to 2", "'y' of op add is missing", "not a value of this graph", "no attributes", "never opened",
            "has no value", "impossible type"};
        if (kind == 0) ins_graph_emit(g, &toy_add, NULL, three, 3, NULL);
        if (kind == 1) ins_graph_emit(g, &toy_add, NULL, missing, 2, NULL);
        if (kind == 2) ins_graph_emit(g, &toy_add, NULL, unknown, 2, NULL);
        if (kind == 3) ins_graph_emit(g, &toy_scale, NULL, &x, 1, NULL);
        if (kind == 4) ins_graph_pop_scope(g);
        if (kind == 5) ins_graph_output(g, INS_NO_VALUE, "y");
        if (kind == 6) {
            ins_type huge = {.dtype = INS_DTYPE_F32, .n_dims = 3, .dims = {1LL << 40, 1LL << 40, 1LL << 40}};
            ins_graph_input(g, "huge", huge);
        }
        check_failed(g, parts[kind]);
        ins_graph_free(g);
    }
}

static void listing(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", *vec());
    ins_graph_push_scope(g, "top");
    ins_value y = toy2(g, &toy_mul, x, x);
    ins_graph_pop_scope(g);
    ins_graph_output(g, y, "y");
    ins_str text = {0};
    ins_graph_dump(g, &text);
    assert_string_equal(text.data, "input x #0 f32[8]\n"
                                   "0 toy_mul(x=#0 f32[8], y=#0 f32[8]) -> #1 f32[8] top\n"
                                   "output y #1 f32[8]\n");
    ins_str_free(&text);
    ins_graph_free(g);
}

/* Build, plan, run with the k-th allocation failing, for every k until all succeed: an error each time, no leak. */
static ins_status all_of_it(void) {
    ins_graph *g = NULL;
    ins_plan *plan = NULL;
    ins_exec *exec = NULL;
    float data[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    ins_status status = ins_graph_new(INS_DTYPE_F32, INS_DTYPE_F32, &g, NULL);
    if (status == INS_OK) {
        ins_graph_push_scope(g, "top");
        ins_value x = ins_graph_input(g, "x", *vec()), y = x;
        for (int i = 0; i < 70; i++) y = toy2(g, &toy_mul, toy_times(g, y, 0.5f), x);
        ins_graph_pop_scope(g);
        ins_graph_tap(g, y, "tap");
        ins_graph_output(g, y, "y");
        status = ins_graph_status(g, NULL);
    }
    if (status == INS_OK) status = ins_plan_new(g, NULL, 1, &plan, NULL);
    if (status == INS_OK) status = ins_exec_new(plan, NULL, &exec, NULL);
    if (status == INS_OK) status = ins_exec_bind(exec, "x", data, NULL);
    if (status == INS_OK) status = ins_exec_run(exec, NULL);
    ins_exec_free(exec);
    ins_plan_free(plan);
    ins_graph_free(g);
    return status;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    uint64_t live = ins_mem_get_stats().live;
    ins_status status = INS_NOMEM;
    uint64_t k = 1;
    for (; status != INS_OK && k < 1000; k++) {
        ins_mem_fail_at(k);
        status = all_of_it();
        ins_mem_fail_at(0);
        assert_true(status == INS_OK || status == INS_NOMEM);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_int_equal(status, INS_OK);
    assert_true(k > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtypes_that_go_together),
        cmocka_unit_test(identical_nodes_are_built_once),
        cmocka_unit_test(names),
        cmocka_unit_test(a_leaf_name_is_used_once),
        cmocka_unit_test(the_first_error_stays),
        cmocka_unit_test(bad_calls),
        cmocka_unit_test(listing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    (void)toy_ops;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
