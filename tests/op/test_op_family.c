/* What every op must do, checked over the whole family: descriptor complete, f32 and bf16 close to f64, equal bits on 1
 * and 2 threads, wrong types refused with a message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "op/op_samples.h"

static int count_words(const char *text) {
    int n = 0;
    for (bool inside = false; *text; text++) {
        if (*text != ' ' && !inside) n++;
        inside = *text != ' ';
    }
    return n;
}

static void test_descriptors(void **state) {
    (void)state;
    assert_true(ins_family_op.n >= 39);
    for (int64_t i = 0; i < ins_family_op.n; i++) {
        const ins_op *op = family_op(i);
        const char *name = op->head.name;
        assert_string_equal(op->head.family, "op");
        if (!op->head.summary || op->head.summary[strlen(op->head.summary) - 1] != '.')
            fail_msg("%s: the summary is no sentence", name);
        assert_true(op->head.version >= 1);
        assert_ptr_equal(ins_component_find(&ins_family_op, name), &op->head);
        assert_non_null(op->infer);
        if ((op->run == NULL) != ((op->flags & INS_OP_VIEW) != 0))
            fail_msg("%s: a view has no run, all others do", name);
        if (!op->grad && !op->nondiff_reason) fail_msg("%s: no gradient and no reason", name);
        assert_int_equal(count_words(op->in_names), op->n_in);
        assert_int_equal(count_words(op->out_names), op->n_out);
        assert_true(op->n_in_min <= op->n_in && op->n_in <= INS_OP_MAX_IN && op->n_out <= INS_OP_MAX_OUT);
        if (op->flags & INS_OP_ACCUMULATE) assert_true(op->acc_in >= op->n_in_min && op->acc_out < op->n_out);
        if (!op->samples || !op->samples->name) fail_msg("%s: no samples", name);
        for (const ins_op_sample *s = op->samples; s->name; s++)
            assert_true((s->attr != NULL) == (op->attr_size > 0) && s->n_in >= op->n_in_min && s->n_in <= op->n_in);
    }
}

typedef struct sample_result {
    int n_out;
    ins_type type[INS_OP_MAX_OUT];
    unsigned char *data[INS_OP_MAX_OUT];
} sample_result;

static void result_free(sample_result *r) {
    for (int i = 0; i < r->n_out; i++) free(r->data[i]);
}

static sample_result run_sample(const ins_op *op, const ins_op_sample *sample, ins_dtype dtype, bool like_bf16,
                                ins_pool *pool) {
    sample_graph s;
    sample_build(op, sample, dtype, like_bf16, &s);
    ins_error err = {0};
    sample_result r = {.n_out = op->n_out};
    ins_plan *plan = NULL;
    ins_exec *exec = NULL;
    char name[32];
    for (int i = 0; i < op->n_out; i++) {
        snprintf(name, sizeof name, "out%d", i);
        ins_graph_output(s.g, s.out[i], name);
    }
    grad_must(ins_plan_new(s.g, NULL, ins_pool_threads(pool), &plan, &err), &err, op->head.name);
    grad_must(ins_exec_new(plan, pool, &exec, &err), &err, op->head.name);
    for (int64_t i = 0; i < s.n; i++)
        grad_must(ins_exec_bind_value(exec, s.leaves[i].value, s.leaves[i].data, &err), &err, op->head.name);
    grad_must(ins_exec_run(exec, &err), &err, op->head.name);
    for (int i = 0; i < op->n_out; i++) {
        snprintf(name, sizeof name, "out%d", i);
        r.type[i] = *ins_graph_type(s.g, s.out[i]);
        size_t bytes = ins_type_bytes(&r.type[i]);
        r.data[i] = calloc(bytes + 1, 1);
        if (bytes) memcpy(r.data[i], ins_exec_data(exec, name), bytes);
    }
    ins_exec_free(exec);
    ins_plan_free(plan);
    sample_free(&s);
    return r;
}

static double element(const sample_result *r, int out, int64_t i) {
    switch (r->type[out].dtype) {
    case INS_DTYPE_F64:
        return ((const double *)(const void *)r->data[out])[i];
    case INS_DTYPE_F32:
        return (double)((const float *)(const void *)r->data[out])[i];
    case INS_DTYPE_BF16:
        return (double)ins_bf16_to_f32(((const uint16_t *)(const void *)r->data[out])[i]);
    case INS_DTYPE_I32:
        return ((const int32_t *)(const void *)r->data[out])[i];
    default:
        fail_msg("an output of an unexpected dtype");
        return 0;
    }
}

/* Largest difference, relative to the rms of the finite elements of the exact output; that of bf16 outputs counts
 * `narrow` times. Infinities must be equal. */
static double distance(const sample_result *have, const sample_result *want, double narrow) {
    double worst = 0;
    for (int out = 0; out < want->n_out; out++) {
        int64_t n = ins_type_count(&want->type[out]), n_finite = 0;
        double sum = 0;
        assert_true(ins_type_same_shape(&have->type[out], &want->type[out]));
        for (int64_t i = 0; i < n; i++) {
            double value = element(want, out, i);
            if (!isfinite(value)) continue;
            sum += value * value;
            n_finite++;
        }
        double rms = n_finite ? sqrt(sum / (double)n_finite) : 1;
        for (int64_t i = 0; i < n; i++) {
            double one = element(have, out, i), other = element(want, out, i);
            if (one == other) continue;
            double error = fabs(one - other) / fmax(rms, 1e-6);
            if (have->type[out].dtype == INS_DTYPE_BF16) error *= narrow;
            worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
        }
    }
    return worst;
}

static void compare_precision(ins_dtype dtype, double tolerance) {
    for (int64_t i = 0; i < ins_family_op.n; i++) {
        const ins_op *op = family_op(i);
        for (const ins_op_sample *sample = op->samples; sample->name; sample++) {
            sample_result exact = run_sample(op, sample, INS_DTYPE_F64, dtype == INS_DTYPE_BF16, NULL);
            sample_result rough = run_sample(op, sample, dtype, false, NULL);
            double error = distance(&rough, &exact, tolerance / 0.03);
            if (!(error <= tolerance))
                fail_msg("%s / %s in %s: error %.3g of the rms", op->head.name, sample->name, ins_dtype_name(dtype),
                         error);
            result_free(&exact);
            result_free(&rough);
        }
    }
}

static void test_f32_near_f64(void **state) {
    (void)state;
    compare_precision(INS_DTYPE_F32, 1e-5);
}

static void test_bf16_near_f64(void **state) {
    (void)state;
    compare_precision(INS_DTYPE_BF16, 0.03);
}

static void test_threads_equal(void **state) {
    (void)state;
    const ins_dtype dtypes[] = {INS_DTYPE_F32, INS_DTYPE_BF16, INS_DTYPE_F64};
    ins_error err = {0};
    ins_pool *pool = NULL;
    grad_must(ins_pool_new(2, &pool, &err), &err, "pool");
    for (int64_t i = 0; i < ins_family_op.n; i++)
        for (const ins_op_sample *sample = family_op(i)->samples; sample->name; sample++)
            for (int d = 0; d < 3; d++) {
                sample_result one = run_sample(family_op(i), sample, dtypes[d], false, NULL);
                sample_result two = run_sample(family_op(i), sample, dtypes[d], false, pool);
                for (int out = 0; out < one.n_out; out++)
                    assert_memory_equal(one.data[out], two.data[out], ins_type_bytes(&one.type[out]));
                result_free(&one);
                result_free(&two);
            }
    ins_pool_free(pool);
}

/* ---- shape rules under wrong types ---------------------------------------------------------------------------------
 */

enum { MUTATIONS = 9 };

static ins_type mutate(const ins_type *type, int how) {
    ins_type t = *type;
    int last = t.n_dims - 1;
    switch (how) {
    case 0:
        t.dtype = t.dtype == INS_DTYPE_F32 ? INS_DTYPE_I32 : INS_DTYPE_F32;
        break;
    case 1:
        t.dtype = t.dtype == INS_DTYPE_F32 ? INS_DTYPE_F64 : INS_DTYPE_I64;
        break;
    case 2:
        t.dtype = INS_DTYPE_U8;
        break;
    case 3:
        t.n_dims = 0;
        memset(t.dims, 0, sizeof t.dims);
        break;
    case 4:
        if (last >= 0) t.dims[last] += 1;
        break;
    case 5:
        if (last >= 0) t.dims[0] += 1;
        break;
    case 6:
        if (t.n_dims < INS_MAX_DIMS) t.dims[t.n_dims++] = 2;
        break;
    case 7:
        if (last >= 0) t.dims[last] = 0;
        break;
    case 8:
        t = (ins_type){t.dtype, INS_MAX_DIMS, {2, 1, 2, 1, 2, 3}};
        break;
    default:
        break;
    }
    return t;
}

static void test_wrong_types_refused(void **state) {
    (void)state;
    for (int64_t i = 0; i < ins_family_op.n; i++) {
        const ins_op *op = family_op(i);
        int n_refused = 0;
        for (const ins_op_sample *sample = op->samples; sample->name; sample++)
            for (int input = 0; input < sample->n_in; input++)
                for (int how = 0; how < MUTATIONS; how++) {
                    ins_op_sig sig = {.op = op, .attr = sample->attr, .n_in = sample->n_in, .n_out = op->n_out};
                    ins_error err = {0};
                    for (int k = 0; k < sample->n_in; k++) sig.in[k] = &sample->in[k];
                    ins_type wrong = mutate(&sample->in[input], how);
                    sig.in[input] = &wrong;
                    ins_status status = op->infer(&sig, &err);
                    if (status == INS_OK) { /* what is accepted must have sane outputs */
                        size_t bytes;
                        for (int k = 0; k < op->n_out; k++) assert_true(ins_type_check(&sig.out[k], &bytes));
                        continue;
                    }
                    n_refused++;
                    if (status != INS_USAGE || strstr(err.text, op->head.name) != err.text)
                        fail_msg("%s / %s input %d mutation %d: status %d, '%s'", op->head.name, sample->name, input,
                                 how, (int)status, err.text);
                }
        bool takes_any = strcmp(op->head.name, "stop_gradient") == 0 || strcmp(op->head.name, "cast") == 0;
        if (n_refused == 0 && op->n_in > 0 && !takes_any) fail_msg("%s: takes anything", op->head.name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors),         cmocka_unit_test(test_f32_near_f64),
        cmocka_unit_test(test_bf16_near_f64),       cmocka_unit_test(test_threads_equal),
        cmocka_unit_test(test_wrong_types_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
