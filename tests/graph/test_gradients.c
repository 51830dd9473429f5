/* Gradients of whole networks against central differences in f64, gradients of gradients, and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>

#include "run_graph.h"
#include "small_models.h"
#include "toy_ops.h"

typedef ins_value (*model_fn)(ins_graph *g);

static ins_graph *new_graph(ins_dtype real, ins_dtype compute) {
    ins_graph *g = NULL;
    assert_int_equal(ins_graph_new(real, compute, &g, NULL), INS_OK);
    return g;
}

static void bind_leaves(const built *b, const leaf_data *l) {
    ins_error err = {0};
    for (int i = 0; i < l->n; i++) must(ins_exec_bind(b->exec, l->name[i], l->data[i], &err), &err, l->name[i]);
}

static double loss_at(const built *b) {
    run_exec(b);
    return *(const double *)ins_exec_data(b->exec, "loss");
}

/* |d - (f(x + h) - f(x - h)) / 2h| <= 1e-6 rms(d) for every element of every float leaf. */
static void check_model(model_fn model) {
    ins_graph *g = new_graph(INS_DTYPE_F64, INS_DTYPE_F64);
    ins_error err = {0};
    ins_value d_leaf[MAX_LEAVES], loss = model(g);
    ins_graph_output(g, loss, "loss");
    must(add_gradients(g, loss, d_leaf, &err), &err, "gradients");
    leaf_data l = make_leaves(g, 1);
    built b = build_exec(g, true, true, 1);
    bind_leaves(&b, &l);
    run_exec(&b);
    int n_checked = 0;
    for (int i = 0; i < l.n; i++) {
        if (d_leaf[i] < 0) continue;
        double *x = l.data[i], *d = malloc((size_t)l.count[i] * sizeof *d), sum_sq = 0;
        char name[64];
        snprintf(name, sizeof name, "d %s", l.name[i]);
        run_exec(&b);
        memcpy(d, ins_exec_data(b.exec, name), (size_t)l.count[i] * sizeof *d);
        for (int64_t k = 0; k < l.count[i]; k++) sum_sq += d[k] * d[k];
        double rms = sqrt(sum_sq / (double)l.count[i]), h = 1e-5;
        assert_true(rms > 1e-6); /* a gradient that is zero everywhere would check nothing */
        for (int64_t k = 0; k < l.count[i]; k++) {
            double keep = x[k];
            x[k] = keep + h;
            double up = loss_at(&b);
            x[k] = keep - h;
            double down = loss_at(&b);
            x[k] = keep;
            double error = fabs(d[k] - (up - down) / (2 * h));
            if (!(error <= 1e-6 * rms))
                fail_msg("d %s[%lld] = %.12g, difference %.12g, rms %.3g", l.name[i], (long long)k, d[k],
                         (up - down) / (2 * h), rms);
            n_checked++;
        }
        free(d);
    }
    assert_true(n_checked > 40);
    free_leaves(&l);
    free_exec(&b);
    ins_graph_free(g);
}

static void mlp(void **state) {
    (void)state;
    check_model(model_mlp);
}
static void attention_block(void **state) {
    (void)state;
    check_model(model_block);
}
static void lstm(void **state) {
    (void)state;
    check_model(model_lstm);
}
static void tied_language_model(void **state) {
    (void)state;
    check_model(model_tied);
}

/* f = sum x^3: f' = 3 x^2, and d (f' . v) / dx = 6 x v, and once more 6 v. */
static void a_cube_three_times(void **state) {
    (void)state;
    ins_graph *g = new_graph(INS_DTYPE_F64, INS_DTYPE_F64);
    ins_value x = ins_graph_input(g, "x", REAL(4)), v = ins_graph_input(g, "v", REAL(4));
    ins_value f = ins_sum_all(g, ins_mul(g, x, ins_mul(g, x, x))), d[3];
    ins_error err = {0};
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"d1", "d2", "d3"};
        must(ins_graph_gradients(g, f, &x, 1, &d[i], &err), &err, names[i]);
        ins_graph_output(g, d[i], names[i]);
        f = ins_sum_all(g, ins_mul(g, d[i], v));
    }
    built b = build_exec(g, true, true, 1);
    double at[4] = {1, -2, 0.5, 3}, along[4] = {1, 2, 3, 4};
    assert_int_equal(ins_exec_bind(b.exec, "x", at, NULL), INS_OK);
    assert_int_equal(ins_exec_bind(b.exec, "v", along, NULL), INS_OK);
    run_exec(&b);
    for (int i = 0; i < 4; i++) {
        assert_true(fabs(((const double *)ins_exec_data(b.exec, "d1"))[i] - 3 * at[i] * at[i]) < 1e-12);
        assert_true(fabs(((const double *)ins_exec_data(b.exec, "d2"))[i] - 6 * at[i] * along[i]) < 1e-12);
        assert_true(fabs(((const double *)ins_exec_data(b.exec, "d3"))[i] - 6 * along[i] * along[i]) < 1e-12);
    }
    free_exec(&b);
    ins_graph_free(g);
}

/* tanh MLP without a norm: gradients of gradients need second rules of linear, tanh, square and sum only. */
static ins_value plain_mlp(ins_graph *g) {
    ins_value x = ins_graph_input(g, "x", REAL(5, WIDTH));
    ins_value w1 = ins_graph_param(g, "w1", REAL(6, WIDTH)), b1 = ins_graph_param(g, "b1", REAL(6));
    ins_value w2 = ins_graph_param(g, "w2", REAL(3, 6));
    ins_value h = ins_unary_map(g, INS_TANH, ins_linear(g, x, w1, b1, false, ins_graph_real(g)));
    return scalar_loss(g, ins_linear(g, h, w2, INS_NO_VALUE, false, ins_graph_real(g)));
}

/* H v by a gradient of (gradient . v), against (gradient(w + h v) - gradient(w - h v)) / 2h. */
static void hessian_vector_product(void **state) {
    (void)state;
    ins_graph *g = new_graph(INS_DTYPE_F64, INS_DTYPE_F64);
    ins_value loss = plain_mlp(g), w = ins_graph_find(g, "w1"), d = INS_NO_VALUE, hv = INS_NO_VALUE;
    ins_value v = ins_graph_input(g, "v", REAL(6, WIDTH));
    ins_error err = {0};
    must(ins_graph_gradients(g, loss, &w, 1, &d, &err), &err, "gradient");
    must(ins_graph_gradients(g, ins_sum_all(g, ins_mul(g, d, v)), &w, 1, &hv, &err), &err, "second gradient");
    ins_graph_output(g, d, "d");
    ins_graph_output(g, hv, "hv");
    built b = build_exec(g, true, true, 1);
    leaf_data l = make_leaves(g, 2);
    bind_leaves(&b, &l);
    enum { N_W = 6 * WIDTH };
    double product[N_W], up[N_W], down[N_W], sum_sq = 0, h = 1e-5;
    double *weight = NULL, *along = NULL;
    for (int i = 0; i < l.n; i++) {
        if (strcmp(l.name[i], "w1") == 0) weight = l.data[i];
        if (strcmp(l.name[i], "v") == 0) along = l.data[i];
    }
    run_exec(&b);
    memcpy(product, ins_exec_data(b.exec, "hv"), sizeof product);
    for (int k = 0; k < N_W; k++) weight[k] += h * along[k];
    run_exec(&b);
    memcpy(up, ins_exec_data(b.exec, "d"), sizeof up);
    for (int k = 0; k < N_W; k++) weight[k] -= 2 * h * along[k];
    run_exec(&b);
    memcpy(down, ins_exec_data(b.exec, "d"), sizeof down);
    for (int k = 0; k < N_W; k++) sum_sq += product[k] * product[k];
    double rms = sqrt(sum_sq / N_W);
    assert_true(rms > 1e-3);
    for (int k = 0; k < N_W; k++) assert_true(fabs(product[k] - (up[k] - down[k]) / (2 * h)) <= 1e-6 * rms);
    free_leaves(&l);
    free_exec(&b);
    ins_graph_free(g);
}

static void no_path_no_gradient(void **state) {
    (void)state;
    ins_graph *g = new_graph(INS_DTYPE_F32, INS_DTYPE_F32);
    ins_value x = ins_graph_input(g, "x", REAL(4)), y = ins_graph_input(g, "y", REAL(4));
    ins_value z = ins_graph_input(g, "z", REAL(4)), ids = ints(g, "ids", 4);
    /* y only through stop_gradient; x has a second, stopped path */
    ins_value stopped = ins_stop_gradient(g, ins_mul(g, x, y));
    ins_value loss = ins_sum_all(g, ins_mul(g, x, stopped));
    ins_value wrt[6] = {x, y, z, ids, INS_NO_VALUE, stopped}, d[6];
    ins_error err = {0};
    must(ins_graph_gradients(g, loss, wrt, 6, d, &err), &err, "gradients");
    assert_true(d[0] >= 0);
    for (int i = 1; i < 5; i++) assert_int_equal(d[i], INS_NO_VALUE);
    assert_true(d[5] >= 0); /* an inner value may be asked for */
    ins_graph_output(g, d[0], "d x");
    ins_graph_output(g, d[5], "d stopped");
    built b = build_exec(g, true, true, 1);
    float at[4] = {1, 2, 3, 4}, other[4] = {5, 6, 7, 8};
    assert_int_equal(ins_exec_bind(b.exec, "x", at, NULL), INS_OK);
    assert_int_equal(ins_exec_bind(b.exec, "y", other, NULL), INS_OK);
    run_exec(&b);
    for (int i = 0; i < 4; i++) {
        assert_true(((const float *)ins_exec_data(b.exec, "d x"))[i] == at[i] * other[i]);
        assert_true(((const float *)ins_exec_data(b.exec, "d stopped"))[i] == at[i]);
    }
    free_exec(&b);
    ins_graph_free(g);
}

static void refusals(void **state) {
    (void)state;
    ins_graph *g = new_graph(INS_DTYPE_F32, INS_DTYPE_F32);
    ins_value x = ins_graph_input(g, "x", REAL(4)), d = INS_NO_VALUE;
    ins_error err = {0};
    assert_int_equal(ins_graph_gradients(g, x, &x, 1, &d, &err), INS_USAGE);
    assert_non_null(strstr(err.text, "f32[4]"));
    assert_int_equal(ins_graph_gradients(g, INS_NO_VALUE, &x, 1, &d, &err), INS_USAGE);

    ins_graph_push_scope(g, "quantise");
    ins_value rounded = toy1(g, &toy_round, x);
    ins_graph_pop_scope(g);
    ins_value loss = ins_sum_all(g, rounded);
    assert_int_equal(ins_graph_gradients(g, loss, &x, 1, &d, &err), INS_USAGE);
    assert_non_null(strstr(err.text, "toy_round in quantise"));
    assert_non_null(strstr(err.text, "rounding is flat almost everywhere"));
    assert_int_equal(d, INS_NO_VALUE);
    /* not on a path that is needed: fine */
    ins_value y = ins_graph_input(g, "y", REAL(4));
    assert_int_equal(ins_graph_gradients(g, ins_sum_all(g, ins_mul(g, rounded, y)), &y, 1, &d, &err), INS_OK);
    assert_true(d >= 0);

    loss = ins_scale(g, toy1(g, &toy_total, x), 2); /* its rule gives a scalar for a vector */
    assert_int_equal(ins_graph_gradients(g, loss, &x, 1, &d, &err), INS_BUG);
    assert_non_null(strstr(err.text, "toy_total"));
    ins_graph_free(g);
}

/* With bf16 products the gradients of f32 parameters are f32, and near those of f32 products. */
static void mixed_precision(void **state) {
    (void)state;
    double norm[2] = {0}, dot = 0;
    float *flat[2];
    int64_t n = 0;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        ins_graph *g = new_graph(INS_DTYPE_F32, bf16 ? INS_DTYPE_BF16 : INS_DTYPE_F32);
        ins_error err = {0};
        ins_value d_leaf[MAX_LEAVES], loss = model_tied(g);
        ins_graph_output(g, loss, "loss");
        must(add_gradients(g, loss, d_leaf, &err), &err, "gradients");
        leaf_data l = make_leaves(g, 3);
        built b = build_exec(g, true, true, 1);
        bind_leaves(&b, &l);
        run_exec(&b);
        flat[bf16] = malloc(100000);
        n = 0;
        for (int i = 0; i < l.n; i++) {
            if (d_leaf[i] < 0) continue;
            char name[64];
            snprintf(name, sizeof name, "d %s", l.name[i]);
            assert_int_equal(ins_graph_type(g, d_leaf[i])->dtype, INS_DTYPE_F32);
            memcpy(flat[bf16] + n, ins_exec_data(b.exec, name), (size_t)l.count[i] * sizeof(float));
            n += l.count[i];
        }
        free_leaves(&l);
        free_exec(&b);
        ins_graph_free(g);
    }
    for (int64_t i = 0; i < n; i++) {
        dot += (double)flat[0][i] * flat[1][i];
        for (int k = 0; k < 2; k++) norm[k] += (double)flat[k][i] * flat[k][i];
    }
    assert_true(norm[0] > 0);
    assert_true(dot / sqrt(norm[0] * norm[1]) > 0.999);
    assert_true(fabs(sqrt(norm[1] / norm[0]) - 1) < 0.02);
    assert_memory_not_equal(flat[0], flat[1], (size_t)n * sizeof(float));
    free(flat[0]);
    free(flat[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mlp),
        cmocka_unit_test(attention_block),
        cmocka_unit_test(lstm),
        cmocka_unit_test(tied_language_model),
        cmocka_unit_test(a_cube_three_times),
        cmocka_unit_test(hessian_vector_product),
        cmocka_unit_test(no_path_no_gradient),
        cmocka_unit_test(refusals),
        cmocka_unit_test(mixed_precision),
    };
    (void)toy_ops;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
