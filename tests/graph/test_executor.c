/* Binding memory to a plan and running it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "run_graph.h"
#include "toy_ops.h"

enum { N = 8 };

static ins_type vec(void) {
    return INS_TYPE(INS_DTYPE_F32, N);
}

static ins_graph *new_graph(void) {
    ins_graph *g = NULL;
    assert_int_equal(ins_graph_new(INS_DTYPE_F32, INS_DTYPE_F32, &g, NULL), INS_OK);
    return g;
}

static void fill(float *data, float start, float step) {
    for (int i = 0; i < N; i++) data[i] = start + step * (float)i;
}

static void bind(const built *b, const char *name, void *data) {
    ins_error err = {0};
    must(ins_exec_bind(b->exec, name, data, &err), &err, "bind");
}

static void all_equal(const float *data, float start, float step) {
    assert_non_null(data);
    for (int i = 0; i < N; i++) assert_true(data[i] == start + step * (float)i);
}

/* A leaf, a view of a leaf, one value under two names, a value that is read after it became an output. */
static void outputs_that_need_a_copy(void **state) {
    (void)state;
    for (int reuse = 0; reuse < 2; reuse++) {
        ins_graph *g = new_graph();
        ins_value x = ins_graph_input(g, "x", vec());
        ins_value y = toy_times(g, x, 2), z = toy_times(g, y, 3);
        ins_graph_output(g, x, "leaf");
        ins_graph_output(g, toy1(g, &toy_view, x), "leaf view");
        ins_graph_output(g, y, "y");
        ins_graph_output(g, y, "y again");
        ins_graph_output(g, toy1(g, &toy_view, y), "y view");
        ins_graph_output(g, z, "z");
        built b = build_exec(g, true, reuse, 1);
        float in[N], y_out[N], again[N];
        bind(&b, "x", in);
        bind(&b, "y", y_out);
        bind(&b, "y again", again);
        for (int run = 1; run < 3; run++) {
            fill(in, (float)run, 1);
            run_exec(&b);
            float start = (float)run;
            all_equal(in, start, 1); /* nothing writes to a leaf */
            all_equal(ins_exec_data(b.exec, "leaf"), start, 1);
            all_equal(ins_exec_data(b.exec, "leaf view"), start, 1);
            all_equal(ins_exec_data(b.exec, "y view"), 2 * start, 2);
            all_equal(ins_exec_data(b.exec, "z"), 6 * start, 6);
            all_equal(y_out, 2 * start, 2);
            all_equal(again, 2 * start, 2);
            assert_ptr_not_equal(ins_exec_data(b.exec, "leaf"), in);
        }
        free_exec(&b);
        ins_graph_free(g);
    }
}

static void memory_may_be_bound_anew(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec());
    ins_value y = toy2(g, &toy_fma, x, x);
    ins_value sum = toy2(g, &toy_add, y, toy2(g, &toy_fma, x, toy_times(g, x, 2)));
    ins_graph_output(g, sum, "sum"); /* a chain of accumulations in the caller's memory */
    built b = build_exec(g, true, true, 1);
    float in[2][N], out[2][N];
    for (int i = 0; i < 2; i++) {
        fill(in[i], (float)i + 1, 0);
        memset(out[i], 0x7f, sizeof out[i]);
        bind(&b, "x", in[i]);
        assert_int_equal(ins_exec_bind_value(b.exec, sum, out[i], NULL), INS_OK);
        run_exec(&b);
        all_equal(out[i], 3 * in[i][0] * in[i][0], 0);
    }
    all_equal(out[0], 3, 0);
    bind(&b, "sum", NULL); /* back to memory of its own */
    run_exec(&b);
    assert_ptr_not_equal(ins_exec_data(b.exec, "sum"), out[1]);
    all_equal(ins_exec_data(b.exec, "sum"), 12, 0);
    free_exec(&b);
    ins_graph_free(g);
}

static void wrong_bindings(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec()), w = ins_graph_param(g, "weight", vec());
    ins_value unused = ins_graph_input(g, "unused", vec());
    ins_value y = toy2(g, &toy_mul, x, w);
    ins_graph_tap(g, toy_times(g, y, 2), "tap");
    ins_value inner = toy_times(g, y, 5);
    ins_graph_output(g, toy_times(g, inner, 2), "y");
    built b = build_exec(g, true, true, 1);
    float data[N] = {0};
    ins_error err = {0};
    assert_int_equal(ins_exec_bind(b.exec, "wieght", data, &err), INS_USAGE);
    assert_non_null(strstr(err.hint, "'weight'"));
    assert_int_equal(ins_exec_bind(b.exec, "tap", data, &err), INS_USAGE);
    assert_non_null(strstr(err.hint, "keep_taps"));
    assert_int_equal(ins_exec_bind_value(b.exec, inner, data, &err), INS_USAGE);
    assert_int_equal(ins_exec_bind_value(b.exec, 1000, data, &err), INS_USAGE);
    assert_int_equal(ins_exec_bind_value(b.exec, INS_NO_VALUE, data, &err), INS_OK);
    assert_int_equal(ins_exec_bind_value(b.exec, unused, data, &err), INS_OK);
    assert_int_equal(ins_exec_bind(b.exec, "unused", data, &err), INS_OK);
    assert_null(ins_exec_data(b.exec, "tap"));
    assert_null(ins_exec_data(b.exec, "nothing"));
    assert_null(ins_exec_data(b.exec, "unused"));
    bind(&b, "x", data);
    assert_int_equal(ins_exec_run(b.exec, &err), INS_USAGE);
    assert_non_null(strstr(err.text, "'weight' is not bound"));
    bind(&b, "weight", data);
    run_exec(&b);
    bind(&b, "x", NULL);
    assert_int_equal(ins_exec_run(b.exec, &err), INS_USAGE);
    assert_non_null(strstr(err.text, "'x' is not bound"));
    ins_exec *exec = NULL;
    ins_pool *pool = NULL;
    assert_int_equal(ins_pool_new(2, &pool, NULL), INS_OK);
    assert_int_equal(ins_exec_new(b.plan, pool, &exec, &err), INS_BUG); /* planned for one thread's scratch */
    ins_pool_free(pool);
    free_exec(&b);
    ins_exec_free(NULL);
    ins_plan_free(NULL);
    ins_graph_free(g);
}

static void kept_taps(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec());
    ins_value y = toy_times(g, x, 2);
    ins_graph_tap(g, y, "middle");
    ins_graph_tap(g, x, "start");
    ins_graph_output(g, toy_times(g, y, 2), "y");
    const char *const keep[] = {"middle", "start", "middle", NULL};
    ins_plan_options options = {.keep_taps = keep};
    built b = {0};
    assert_int_equal(ins_plan_new(g, &options, 1, &b.plan, NULL), INS_OK);
    assert_int_equal(ins_exec_new(b.plan, NULL, &b.exec, NULL), INS_OK);
    float in[N];
    fill(in, 1, 1);
    bind(&b, "x", in);
    run_exec(&b);
    all_equal(ins_exec_data(b.exec, "middle"), 2, 2);
    all_equal(ins_exec_data(b.exec, "start"), 1, 1);
    all_equal(ins_exec_data(b.exec, "y"), 4, 4);
    free_exec(&b);
    ins_graph_free(g);
}

static void a_checked_run_names_the_first_bad_op(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec());
    ins_value y = toy_times(g, x, 2);
    ins_graph_push_scope(g, "layers.1");
    y = toy1(g, &toy_log, y);
    ins_graph_pop_scope(g);
    ins_graph_output(g, toy_times(g, y, 2), "y");
    built b = build_exec(g, true, true, 1);
    float in[N];
    bind(&b, "x", in);
    ins_error err = {0};
    fill(in, 1, 1);
    assert_int_equal(ins_exec_run_checked(b.exec, &err), INS_OK);
    in[N - 1] = 0; /* log 0 */
    assert_int_equal(ins_exec_run_checked(b.exec, &err), INS_NUMERIC);
    assert_non_null(strstr(err.text, "op toy_log"));
    assert_non_null(strstr(err.text, "'out'"));
    assert_non_null(strstr(err.text, "layers.1"));
    assert_int_equal(ins_exec_run(b.exec, &err), INS_OK); /* the plain run does not look */
    in[2] = NAN;
    assert_int_equal(ins_exec_run_checked(b.exec, &err), INS_NUMERIC);
    assert_non_null(strstr(err.text, "'x'"));
    free_exec(&b);
    ins_graph_free(g);
}

static void runs_allocate_nothing(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec()), y = x;
    for (int i = 0; i < 20; i++) y = toy2(g, &toy_mul, toy1(g, &toy_prefix, y), x);
    ins_graph_output(g, y, "y");
    ins_graph_output(g, x, "copy");
    built b = build_exec(g, true, true, 1);
    float in[N], out[N];
    fill(in, 0.5f, 0.01f);
    bind(&b, "x", in);
    run_exec(&b);
    uint64_t before = ins_mem_get_stats().n_allocs;
    for (int i = 0; i < 10; i++) {
        bind(&b, "x", in);
        bind(&b, "y", i % 2 ? out : NULL);
        run_exec(&b);
        assert_int_equal(ins_exec_run_checked(b.exec, NULL), INS_OK);
    }
    assert_int_equal(ins_mem_get_stats().n_allocs, before);
    free_exec(&b);
    ins_graph_free(g);
}

static void profile(void **state) {
    (void)state;
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec());
    ins_graph_output(g, toy2(g, &toy_mul, toy1(g, &toy_prefix, x), toy_times(g, x, 2)), "y");
    built b = build_exec(g, true, true, 1);
    float in[N];
    fill(in, 1, 1);
    bind(&b, "x", in);
    ins_str text = {0};
    ins_exec_profile_dump(b.exec, &text);
    assert_non_null(strstr(text.data, "no profiled run"));
    ins_exec_profile(b.exec, true);
    run_exec(&b);
    ins_str_clear(&text);
    ins_exec_profile_dump(b.exec, &text);
    assert_non_null(strstr(text.data, "toy_mul"));
    assert_non_null(strstr(text.data, "toy_prefix"));
    assert_non_null(strstr(text.data, "GFLOP/s"));
    assert_non_null(strstr(text.data, "all                           3"));
    ins_str_free(&text);
    free_exec(&b);
    ins_graph_free(g);
}

static ins_status refuse(const ins_op_call *call, ins_error *err) {
    (void)call;
    return INS_FAIL(err, INS_DATA, "an id is out of range");
}

static void a_failing_op_is_named(void **state) {
    (void)state;
    static const ins_op failing = TOY_OP("toy_failing", .n_in_min = 1, .n_in = 1, .n_out = 1, .in_names = "x",
                                         .out_names = "out", .infer = toy_infer_same, .run = refuse);
    ins_graph *g = new_graph();
    ins_value x = ins_graph_input(g, "x", vec());
    ins_graph_push_scope(g, "embed");
    ins_graph_output(g, toy1(g, &failing, x), "y");
    built b = build_exec(g, true, true, 1);
    float in[N] = {0};
    bind(&b, "x", in);
    ins_error err = {0};
    assert_int_equal(ins_exec_run(b.exec, &err), INS_DATA);
    char text[2048];
    ins_error_format(&err, text, sizeof text);
    assert_non_null(strstr(text, "toy_failing in embed"));
    free_exec(&b);
    ins_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_that_need_a_copy),
        cmocka_unit_test(memory_may_be_bound_anew),
        cmocka_unit_test(wrong_bindings),
        cmocka_unit_test(kept_taps),
        cmocka_unit_test(a_checked_run_names_the_first_bad_op),
        cmocka_unit_test(runs_allocate_nothing),
        cmocka_unit_test(profile),
        cmocka_unit_test(a_failing_op_is_named),
    };
    (void)toy_ops;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
