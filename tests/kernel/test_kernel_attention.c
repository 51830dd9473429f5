/* Attention against the f64 reference, and the reference against a plain softmax: masks, groups, levels, threads. */
#include "kernel/attention.h"
#include "kernel_test.h"

typedef enum mask_kind {
    MASK_CAUSAL,
    MASK_FULL,
    MASK_PREFIX,
    MASK_DOCUMENTS,
    MASK_WINDOW,
    MASK_HOLES,
    MASK_COUNT
} mask_kind;

typedef struct attention_case {
    int64_t batch, n_q, n_k, heads, kv_heads, hd;
    mask_kind mask;
} attention_case;

typedef struct attention_data {
    kt_array q, k, v, o, lse, d_o, d_q, d_k, d_v, lo, hi;
    void *scratch;
    ins_attention_args args;
} attention_data;

static void mask_row(const attention_case *t, int64_t row, int32_t *lo, int32_t *hi) {
    int32_t i = (int32_t)row, n_k = (int32_t)t->n_k;
    *lo = 0, *hi = i + 1;
    switch (t->mask) {
    case MASK_CAUSAL:
        break;
    case MASK_FULL:
        *lo = -3, *hi = n_k + 7;
        break; /* clipped */
    case MASK_PREFIX:
        *hi = i + 1 > n_k / 3 ? i + 1 : n_k / 3;
        break;
    case MASK_DOCUMENTS:
        *lo = i / 21 * 21;
        break;
    case MASK_WINDOW:
        *lo = i > 10 ? i - 10 : 0;
        break;
    default: /* empty rows in between, and intervals that go up and down */
        *lo = i % 3 ? (i * 37) % n_k : 5, *hi = i % 3 ? *lo + i % 29 : 5;
    }
}

static kt_array attention_random(const attention_case *t, ins_dtype source, ins_dtype dtype, int64_t rows, int64_t ld,
                                 uint64_t seed) {
    (void)t;
    kt_array x = kt_random(source, rows * ld, -2, 2, seed), y = kt_copy(&x, dtype);
    kt_free(&x);
    return y;
}

static attention_data attention_make(const attention_case *t, ins_dtype source, ins_dtype dtype) {
    attention_data d = {0};
    int64_t ldq = t->heads * t->hd + 3, ldk = t->kv_heads * t->hd + 2, rows_q = t->batch * t->n_q,
            rows_k = t->batch * t->n_k;
    d.q = attention_random(t, source, dtype, rows_q, ldq, 1), d.k = attention_random(t, source, dtype, rows_k, ldk, 2);
    d.v = attention_random(t, source, dtype, rows_k, ldk, 3),
    d.d_o = attention_random(t, source, dtype, rows_q, ldq, 4);
    d.o = attention_random(t, source, dtype, rows_q, ldq, 5),
    d.d_q = attention_random(t, source, dtype, rows_q, ldq, 6);
    d.d_k = attention_random(t, source, dtype, rows_k, ldk, 7),
    d.d_v = attention_random(t, source, dtype, rows_k, ldk, 8);
    d.lse = kt_random(kt_acc(dtype), t->batch * t->heads * t->n_q, 0, 1, 9);
    d.lo = kt_new(INS_DTYPE_I32, rows_q), d.hi = kt_new(INS_DTYPE_I32, rows_q);
    for (int64_t i = 0; i < rows_q; i++) mask_row(t, i % t->n_q, (int32_t *)d.lo.data + i, (int32_t *)d.hi.data + i);
    d.args = (ins_attention_args){.dtype = dtype,
                                  .batch = t->batch,
                                  .n_q = t->n_q,
                                  .n_k = t->n_k,
                                  .n_heads = t->heads,
                                  .n_kv_heads = t->kv_heads,
                                  .head_dim = t->hd,
                                  .scale = 1 / sqrt((double)t->hd),
                                  .q = d.q.data,
                                  .k = d.k.data,
                                  .v = d.v.data,
                                  .ldq = ldq,
                                  .ldk = ldk,
                                  .ldv = ldk,
                                  .ldo = ldq,
                                  .lo = d.lo.data,
                                  .hi = d.hi.data,
                                  .o = d.o.data,
                                  .lse = d.lse.data,
                                  .d_o = d.d_o.data,
                                  .ld_do = ldq,
                                  .d_q = d.d_q.data,
                                  .d_k = d.d_k.data,
                                  .d_v = d.d_v.data,
                                  .ld_dq = ldq,
                                  .ld_dk = ldk,
                                  .ld_dv = ldk};
    d.scratch = aligned_alloc(64, ins_attention_backward_scratch(&d.args, 2) + 64);
    d.args.scratch = d.scratch;
    return d;
}

static void attention_drop(attention_data *d) {
    kt_free(&d->q), kt_free(&d->k), kt_free(&d->v), kt_free(&d->o), kt_free(&d->lse), kt_free(&d->d_o);
    kt_free(&d->d_q), kt_free(&d->d_k), kt_free(&d->d_v), kt_free(&d->lo), kt_free(&d->hi);
    free(d->scratch);
}

static void attention_run(attention_data *d, ins_pool *pool) {
    assert_int_equal(ins_attention_forward(&d->args, pool, NULL), INS_OK);
    assert_int_equal(ins_attention_backward(&d->args, pool, NULL), INS_OK);
}

static void attention_check(const attention_case *t, ins_dtype dtype) {
    attention_data want = attention_make(t, dtype, INS_DTYPE_F64), one = attention_make(t, dtype, dtype);
    attention_data two = attention_make(t, dtype, dtype);
    attention_run(&want, NULL), attention_run(&one, NULL), attention_run(&two, kt_two);
    /* bf16: o is rounded before backward uses it. */
    double eps = kt_eps(dtype), absolute = dtype == INS_DTYPE_F32 ? 3e-5 : 12 * eps, relative = 40 * eps;
    kt_near("o", &one.o, &want.o, absolute, relative);
    kt_near("lse", &one.lse, &want.lse, 2e-6, 2e-6);
    kt_near("d_q", &one.d_q, &want.d_q, absolute, relative);
    kt_near("d_k", &one.d_k, &want.d_k, 4 * absolute, relative);
    kt_near("d_v", &one.d_v, &want.d_v, 4 * absolute, relative);
    kt_same_bits("o", &one.o, &two.o), kt_same_bits("lse", &one.lse, &two.lse);
    kt_same_bits("d_q", &one.d_q, &two.d_q), kt_same_bits("d_k", &one.d_k, &two.d_k);
    kt_same_bits("d_v", &one.d_v, &two.d_v);
    attention_drop(&want), attention_drop(&one), attention_drop(&two);
}

static void attention_masks(void) {
    static const attention_case shapes[] = {
        {2, 70, 70, 2, 2, 64, 0}, {1, 33, 33, 4, 2, 16, 0}, {1, 131, 131, 1, 1, 24, 0},
        {1, 9, 40, 2, 1, 80, 0},  {3, 1, 1, 1, 1, 1, 0},    {1, 5, 200, 3, 3, 7, 0},
    };
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int mask = 0; mask < MASK_COUNT; mask++) {
            attention_case t = shapes[s];
            t.mask = (mask_kind)mask;
            attention_check(&t, INS_DTYPE_F32);
            attention_check(&t, INS_DTYPE_BF16);
        }
}

static void test_masks(void **state) {
    (void)state;
    kt_each_level(attention_masks);
}

/* The reference itself against a softmax written from its definition, and its gradients against central differences. */
static double naive_loss(const attention_data *d) {
    const ins_attention_args *a = &d->args;
    const double *q = a->q, *k = a->k, *v = a->v, *w = a->d_o;
    double loss = 0, p[256];
    for (int64_t b = 0; b < a->batch; b++)
        for (int64_t h = 0; h < a->n_heads; h++)
            for (int64_t t = 0; t < a->n_q; t++) {
                int64_t kvh = h / (a->n_heads / a->n_kv_heads), lo = a->lo[b * a->n_q + t], hi = a->hi[b * a->n_q + t];
                double sum = 0;
                if (lo < 0) lo = 0;
                if (hi > a->n_k) hi = a->n_k;
                for (int64_t j = lo; j < hi; j++) {
                    double s = 0;
                    for (int64_t c = 0; c < a->head_dim; c++)
                        s += q[(b * a->n_q + t) * a->ldq + h * a->head_dim + c] *
                             k[(b * a->n_k + j) * a->ldk + kvh * a->head_dim + c];
                    sum += p[j] = exp(s * a->scale);
                }
                for (int64_t j = lo; j < hi; j++)
                    for (int64_t c = 0; c < a->head_dim; c++)
                        loss += p[j] / sum * v[(b * a->n_k + j) * a->ldv + kvh * a->head_dim + c] *
                                w[(b * a->n_q + t) * a->ldo + h * a->head_dim + c];
            }
    return loss;
}

static void check_difference(attention_data *d, kt_array *x, const kt_array *grad, int64_t at) {
    double *value = (double *)x->data + at, old = *value, h = 1e-5;
    *value = old + h;
    double up = naive_loss(d);
    *value = old - h;
    double down = naive_loss(d);
    *value = old;
    assert_true(fabs((up - down) / (2 * h) - kt_get(grad, at)) < 1e-7);
}

static void test_reference(void **state) {
    (void)state;
    for (int mask = 0; mask < MASK_COUNT; mask++) {
        attention_case t = {2, 7, 9, 4, 2, 5, (mask_kind)mask};
        attention_data d = attention_make(&t, INS_DTYPE_F64, INS_DTYPE_F64);
        attention_run(&d, NULL);
        double loss = 0;
        for (int64_t r = 0; r < t.batch * t.n_q; r++)
            for (int64_t c = 0; c < t.heads * t.hd; c++)
                loss += kt_get(&d.o, r * d.args.ldo + c) * kt_get(&d.d_o, r * d.args.ldo + c);
        assert_true(fabs(loss - naive_loss(&d)) < 1e-10);
        for (int64_t r = 0; r < t.batch * t.n_q; r++) check_difference(&d, &d.q, &d.d_q, r * d.args.ldq + r % 20);
        for (int64_t r = 0; r < t.batch * t.n_k; r++) {
            check_difference(&d, &d.k, &d.d_k, r * d.args.ldk + r % 10);
            check_difference(&d, &d.v, &d.d_v, r * d.args.ldk + r % 10);
        }
        attention_drop(&d);
    }
}

static void test_empty_rows(void **state) {
    (void)state;
    attention_case t = {1, 6, 12, 1, 1, 8, MASK_HOLES};
    attention_data d = attention_make(&t, INS_DTYPE_F32, INS_DTYPE_F32);
    attention_run(&d, NULL);
    for (int64_t c = 0; c < 8; c++) { /* row 0 has the interval [5, 5) */
        assert_true(kt_get(&d.o, c) == 0);
        assert_true(kt_get(&d.d_q, c) == 0);
    }
    assert_true(kt_get(&d.lse, 0) == -INFINITY);
    attention_drop(&d);
}

/* A key cache: longer batches of keys than the keys in use. */
static void test_cache_stride(void **state) {
    (void)state;
    attention_case t = {2, 1, 30, 2, 1, 16, MASK_FULL};
    attention_data d = attention_make(&t, INS_DTYPE_F32, INS_DTYPE_F32);
    assert_int_equal(ins_attention_forward(&d.args, NULL, NULL), INS_OK);
    kt_array want = kt_copy(&d.o, INS_DTYPE_F32), k = kt_random(INS_DTYPE_F32, 2 * 50 * d.args.ldk, 5, 6, 1);
    kt_array v = kt_random(INS_DTYPE_F32, 2 * 50 * d.args.ldk, 5, 6, 1);
    for (int64_t i = 0; i < 60 * d.args.ldk; i++) {
        int64_t at = i / (30 * d.args.ldk) * 50 * d.args.ldk + i % (30 * d.args.ldk);
        kt_set(&k, at, kt_get(&d.k, i)), kt_set(&v, at, kt_get(&d.v, i));
    }
    d.args.k = k.data, d.args.v = v.data, d.args.batch_stride_k = d.args.batch_stride_v = 50 * d.args.ldk;
    assert_int_equal(ins_attention_forward(&d.args, NULL, NULL), INS_OK);
    kt_same_bits("cached", &d.o, &want);
    kt_free(&want), kt_free(&k), kt_free(&v);
    attention_drop(&d);
}

/* A row has the same bits alone, among a few and among many: decoding agrees with training, whatever is batched. */
static void rows_alone(const attention_case *t, ins_dtype dtype) {
    static const int64_t counts[] = {1, 2, 3, 5, 8, 9, 40};
    attention_data all = attention_make(t, dtype, dtype);
    assert_int_equal(ins_attention_forward(&all.args, kt_two, NULL), INS_OK);
    size_t size = ins_dtype_size(dtype), row_bytes = (size_t)(t->heads * t->hd) * size;
    float *lse = malloc((size_t)(t->heads * 40) * sizeof *lse);
    char *o = malloc(40 * row_bytes);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int64_t row = 0; row + counts[i] <= t->n_q; row += counts[i] + 23) {
            ins_attention_args few = all.args;
            few.n_q = counts[i], few.q = (const char *)few.q + (size_t)(row * few.ldq) * size;
            few.lo += row, few.hi += row, few.o = o, few.ldo = t->heads * t->hd, few.lse = lse;
            assert_int_equal(ins_attention_forward(&few, NULL, NULL), INS_OK);
            for (int64_t r = 0; r < counts[i]; r++) {
                const char *want = (const char *)all.args.o + (size_t)((row + r) * all.args.ldo) * size;
                assert_memory_equal(o + (size_t)r * row_bytes, want, row_bytes);
                for (int64_t h = 0; h < t->heads; h++)
                    assert_memory_equal(lse + h * counts[i] + r, (float *)all.args.lse + h * t->n_q + row + r, 4);
            }
        }
    free(lse), free(o);
    attention_drop(&all);
}

static void rows_alone_shapes(void) {
    static const attention_case shapes[] = {
        {1, 150, 150, 4, 2, 64, 0}, {1, 300, 70, 2, 2, 80, 0}, {1, 150, 150, 8, 1, 7, 0}, {1, 90, 200, 1, 1, 33, 0}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int mask = 0; mask < MASK_COUNT; mask++) {
            attention_case t = shapes[s];
            t.mask = (mask_kind)mask;
            rows_alone(&t, INS_DTYPE_F32);
            rows_alone(&t, INS_DTYPE_BF16);
        }
}

static void test_rows_alone(void **state) {
    (void)state;
    kt_each_level(rows_alone_shapes);
}

static void test_bad_arguments(void **state) {
    (void)state;
    ins_attention_args args = {.batch = 1, .n_q = 1, .n_k = 1, .n_heads = 3, .n_kv_heads = 2, .head_dim = 4};
    assert_int_equal(ins_attention_forward(&args, NULL, NULL), INS_BUG);
    args.n_kv_heads = 3, args.head_dim = 300;
    assert_int_equal(ins_attention_forward(&args, NULL, NULL), INS_BUG);
    args.head_dim = 4, args.dtype = INS_DTYPE_I32, args.ldq = args.ldk = args.ldv = args.ldo = 12;
    assert_int_equal(ins_attention_forward(&args, NULL, NULL), INS_BUG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),    cmocka_unit_test(test_masks),      cmocka_unit_test(test_empty_rows),
        cmocka_unit_test(test_cache_stride), cmocka_unit_test(test_rows_alone), cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
