/* Every differentiable op: its gradient, and the gradient of its gradient, against central differences in f64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "op/op_samples.h"

/* Gradient ops with inputs that their forward op saved (o and lse, mean and rstd). Their rule is the derivative with
 * those as functions of the other inputs, so it is checked through the forward op, by the second-order test.
 */
static bool has_saved_inputs(const ins_op *op) {
    static const char *const names[] = {"attention_grad", "layernorm_grad", "rmsnorm_grad"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(op->head.name, names[i]) == 0) return true;
    return false;
}

static void test_first_order(void **state) {
    (void)state;
    int64_t n_samples = 0;
    for (int64_t i = 0; i < ins_family_op.n; i++) {
        const ins_op *op = family_op(i);
        if (!op->grad || has_saved_inputs(op)) continue;
        bool any = false;
        for (const ins_op_sample *sample = op->samples; sample->name; sample++) {
            sample_graph s;
            sample_build(op, sample, INS_DTYPE_F64, false, &s);
            ins_value loss = sample_loss(op, &s);
            if (loss != INS_NO_VALUE) {
                grad_report report = grad_check(s.g, loss, s.leaves, s.n);
                bool stops = strcmp(op->head.name, "stop_gradient") == 0;
                if (!stops && report.worst > GRAD_TOLERANCE)
                    fail_msg("%s / %s: error %.3g, %s", op->head.name, sample->name, report.worst, report.where);
                if (stops) assert_true(report.rms == 0);
                any = any || report.n_checked > 0;
                n_samples++;
            }
            sample_free(&s);
        }
        if (!any) fail_msg("%s: no sample checked its gradient", op->head.name);
    }
    assert_true(n_samples > 80);
}

/* loss2 = sum of squares of all first derivatives of (loss + loss^2): its gradient needs every second derivative. */
static ins_value second_loss(sample_graph *s, ins_value loss) {
    ins_error err = {0};
    ins_value wrt[MAX_LEAVES], d_wrt[MAX_LEAVES], total = INS_NO_VALUE;
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->leaves[i].n_check != 0) wrt[n++] = s->leaves[i].value;
    ins_value curved = ins_add(s->g, loss, ins_unary_map(s->g, INS_SQUARE, ins_scale(s->g, loss, 0.3)));
    grad_must(ins_graph_gradients(s->g, curved, wrt, n, d_wrt, &err), &err, "first gradient");
    for (int64_t i = 0; i < n; i++) {
        if (d_wrt[i] == INS_NO_VALUE) continue;
        ins_value part = ins_sum_all(s->g, ins_unary_map(s->g, INS_SQUARE, d_wrt[i]));
        total = total == INS_NO_VALUE ? part : ins_add(s->g, total, part);
    }
    return total;
}

static void test_second_order(void **state) {
    (void)state;
    for (int64_t i = 0; i < ins_family_op.n; i++) {
        const ins_op *op = family_op(i);
        if (!op->grad || has_saved_inputs(op)) continue;
        for (const ins_op_sample *sample = op->samples; sample->name; sample++) {
            sample_graph s;
            sample_build(op, sample, INS_DTYPE_F64, false, &s);
            ins_value loss = sample_loss(op, &s);
            ins_value loss2 = loss == INS_NO_VALUE ? loss : second_loss(&s, loss);
            if (loss2 != INS_NO_VALUE) {
                for (int64_t k = 0; k < s.n; k++)
                    if (s.leaves[k].n_check != 0) s.leaves[k].n_check = 12;
                grad_report report = grad_check(s.g, loss2, s.leaves, s.n);
                if (report.worst > GRAD_TOLERANCE)
                    fail_msg("%s / %s: error %.3g, %s", op->head.name, sample->name, report.worst, report.where);
            }
            sample_free(&s);
        }
    }
}

/* Saved statistics carry no gradient: a loss on them is refused. */
static void test_statistics_refuse_gradients(void **state) {
    (void)state;
    static const char *const names[] = {"attention", "layernorm", "rmsnorm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const ins_op *op = (const ins_op *)(const void *)ins_component_find(&ins_family_op, names[i]);
        sample_graph s;
        sample_build(op, op->samples, INS_DTYPE_F64, false, &s);
        ins_error err = {0};
        ins_value x = s.leaves[0].value, d_x;
        ins_value loss = ins_sum_all(s.g, s.out[1]);
        assert_int_equal(ins_graph_gradients(s.g, loss, &x, 1, &d_x, &err), INS_USAGE);
        assert_non_null(strstr(err.text, names[i]));
        sample_free(&s);
    }
}

/* The check itself must see an error of one part in ten thousand. */
static void test_the_check_can_fail(void **state) {
    (void)state;
    ins_error err = {0};
    ins_graph *g = NULL;
    grad_must(ins_graph_new(INS_DTYPE_F64, INS_DTYPE_F64, &g, &err), &err, "graph");
    ins_value x = ins_graph_input(g, "x", INS_TYPE(INS_DTYPE_F64, 5));
    double numbers[5];
    grad_random(numbers, 5, "x", 0);
    /* x + 1e-4 stop_gradient(x): the value moves by 1.0001, the gradient says 1 */
    ins_value bent = ins_add(g, x, ins_scale(g, ins_stop_gradient(g, x), 1e-4));
    grad_leaf leaf = {.value = x, .data = numbers, .n_check = -1};
    grad_report report = grad_check(g, ins_sum_all(g, bent), &leaf, 1);
    assert_true(report.worst > 5e-5);
    assert_int_equal(report.n_checked, 5);
    ins_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_order),
        cmocka_unit_test(test_second_order),
        cmocka_unit_test(test_statistics_refuse_gradients),
        cmocka_unit_test(test_the_check_can_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
