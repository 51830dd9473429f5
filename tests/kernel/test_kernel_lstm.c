/* The LSTM layer against the f64 reference: odd sizes, levels, threads, documents in one row, state from outside. */
#include "kernel/lstm.h"
#include "kernel_test.h"

typedef struct lstm_case {
    int64_t batch, time, hidden;
    bool documents, state, extra;
} lstm_case;

typedef struct lstm_data {
    kt_array w, positions, h0, c0, x, gates, h, c, d_h, d_c, d_gates, d_x, h_prev, d_h0, d_c0;
    void *scratch;
    ins_lstm_args args;
} lstm_data;

/* Values that every dtype has. */
static kt_array rounded(ins_dtype source, ins_dtype dtype, int64_t n, double size, uint64_t seed) {
    kt_array x = kt_random(source, n, -size, size, seed), y = kt_copy(&x, dtype);
    kt_free(&x);
    return y;
}

static lstm_data lstm_make(const lstm_case *t, ins_dtype source, ins_dtype dtype) {
    lstm_data d = {0};
    ins_dtype acc = kt_acc(dtype);
    int64_t rows = t->batch * t->time, n = rows * t->hidden, n_state = t->batch * t->hidden;
    d.w = rounded(source, dtype, 4 * t->hidden * t->hidden, 1.7 / sqrt((double)t->hidden), 1);
    d.positions = kt_new(INS_DTYPE_I32, rows);
    for (int64_t i = 0; i < rows; i++) kt_set(&d.positions, i, (double)(i % t->time * (i % 11 != 7 && i % 11 != 8)));
    if (t->state)
        for (int64_t row = 1; row < t->batch; row += 2) kt_set(&d.positions, row * t->time, 5);
    d.h0 = rounded(source, acc, n_state, 1, 2), d.c0 = rounded(source, acc, n_state, 1, 3);
    d.x = rounded(source, acc, 4 * n, 2, 4);
    d.d_h = rounded(source, dtype, n, 1, 5), d.d_c = rounded(source, acc, n, 1, 6);
    d.d_gates = rounded(source, acc, 4 * n, 1, 7);
    kt_array *const out[] = {&d.gates, &d.h, &d.c, &d.d_x, &d.h_prev, &d.d_h0, &d.d_c0};
    const int64_t sizes[] = {4 * n, n, n, 4 * n, n, n_state, n_state};
    for (int i = 0; i < 7; i++) out[i][0] = kt_new(i == 1 || i == 4 ? dtype : acc, sizes[i]);
    d.args = (ins_lstm_args){.dtype = dtype,
                             .batch = t->batch,
                             .time = t->time,
                             .hidden = t->hidden,
                             .w = d.w.data,
                             .positions = t->documents ? d.positions.data : NULL,
                             .h0 = t->state ? d.h0.data : NULL,
                             .c0 = t->state ? d.c0.data : NULL,
                             .x = d.x.data,
                             .gates = d.gates.data,
                             .h = d.h.data,
                             .c = d.c.data,
                             .d_h = d.d_h.data,
                             .d_c = t->extra ? d.d_c.data : NULL,
                             .d_gates = t->extra ? d.d_gates.data : NULL,
                             .d_x = d.d_x.data,
                             .h_prev = d.h_prev.data,
                             .d_h0 = t->state ? d.d_h0.data : NULL,
                             .d_c0 = t->state ? d.d_c0.data : NULL};
    size_t bytes = ins_lstm_scratch(&d.args);
    d.scratch = malloc(bytes + 1);
    memset(d.scratch, 0xff, bytes + 1); /* NaN: nothing is read that was not written */
    d.args.scratch = d.scratch;
    return d;
}

static void lstm_drop(lstm_data *d) {
    kt_array *const all[] = {&d->w,   &d->positions, &d->h0,      &d->c0,  &d->x,      &d->gates, &d->h,   &d->c,
                             &d->d_h, &d->d_c,       &d->d_gates, &d->d_x, &d->h_prev, &d->d_h0,  &d->d_c0};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kt_free(all[i]);
    assert_int_equal(((unsigned char *)d->scratch)[ins_lstm_scratch(&d->args)], 0xff);
    free(d->scratch);
}

static void lstm_run(lstm_data *d, ins_pool *pool) {
    assert_int_equal(ins_lstm_forward(&d->args, pool, NULL), INS_OK);
    assert_int_equal(ins_lstm_backward(&d->args, pool, NULL), INS_OK);
}

static void lstm_same(const lstm_data *x, const lstm_data *y) {
    kt_same_bits("gates", &x->gates, &y->gates), kt_same_bits("h", &x->h, &y->h), kt_same_bits("c", &x->c, &y->c);
    kt_same_bits("d_x", &x->d_x, &y->d_x), kt_same_bits("h_prev", &x->h_prev, &y->h_prev);
    if (x->args.d_h0) kt_same_bits("d_h0", &x->d_h0, &y->d_h0), kt_same_bits("d_c0", &x->d_c0, &y->d_c0);
}

static void lstm_check(const lstm_case *t, ins_dtype dtype) {
    lstm_data want = lstm_make(t, dtype, INS_DTYPE_F64), one = lstm_make(t, dtype, dtype);
    lstm_data two = lstm_make(t, dtype, dtype);
    two.args.gates = two.x.data; /* over each other */
    lstm_run(&want, NULL), lstm_run(&one, NULL), lstm_run(&two, kt_two);
    memcpy(two.gates.data, two.x.data, (size_t)two.x.n * 4);
    /* bf16: the state is rounded at each step; errors of a step travel on. */
    double absolute = dtype == INS_DTYPE_F32 ? 5e-6 : 0.02, relative = dtype == INS_DTYPE_F32 ? 5e-6 : 0.02;
    kt_near("gates", &one.gates, &want.gates, absolute, relative);
    kt_near("h", &one.h, &want.h, absolute, relative);
    kt_near("c", &one.c, &want.c, 2 * absolute, relative);
    kt_near("d_x", &one.d_x, &want.d_x, 4 * absolute, 2 * relative);
    kt_near("h_prev", &one.h_prev, &want.h_prev, absolute, relative);
    if (t->state) kt_near("d_h0", &one.d_h0, &want.d_h0, 4 * absolute, 2 * relative);
    if (t->state) kt_near("d_c0", &one.d_c0, &want.d_c0, 4 * absolute, 2 * relative);
    lstm_same(&one, &two);
    lstm_drop(&want), lstm_drop(&one), lstm_drop(&two);
}

static void lstm_shapes(void) {
    static const int64_t shapes[][3] = {{1, 1, 1},   {3, 5, 7},  {2, 9, 16},   {17, 4, 33},
                                        {29, 3, 31}, {5, 6, 64}, {1, 12, 130}, {14, 2, 150}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int how = 0; how < 8; how++) {
            lstm_case t = {shapes[s][0], shapes[s][1], shapes[s][2], how & 1, how >> 1 & 1, how >> 2 & 1};
            lstm_check(&t, INS_DTYPE_F32);
            lstm_check(&t, INS_DTYPE_BF16);
        }
}

static void test_shapes(void **state) {
    (void)state;
    kt_each_level(lstm_shapes);
}

/* Two documents in one row give what they give in two rows, bit for bit, forward and backward. */
static void lstm_packing(void) {
    enum { TIME = 8, FIRST = 5, HIDDEN = 37 };
    const lstm_case t = {1, TIME, HIDDEN, true, false, false};
    for (int d = 0; d < 2; d++) {
        ins_dtype dtype = d ? INS_DTYPE_BF16 : INS_DTYPE_F32;
        lstm_data packed = lstm_make(&t, dtype, dtype);
        for (int i = 0; i < TIME; i++) kt_set(&packed.positions, i, i < FIRST ? i : i - FIRST);
        lstm_run(&packed, NULL);
        for (int part = 0; part < 2; part++) {
            int64_t start = part ? FIRST : 0, n = part ? TIME - FIRST : FIRST, one = ins_dtype_size(dtype) == 2 ? 2 : 4;
            const lstm_case alone = {1, n, HIDDEN, false, false, false};
            lstm_data single = lstm_make(&alone, dtype, dtype);
            memcpy(single.x.data, (float *)packed.x.data + start * 4 * HIDDEN, (size_t)(n * 4 * HIDDEN) * 4);
            memcpy(single.d_h.data, (char *)packed.d_h.data + start * HIDDEN * one, (size_t)(n * HIDDEN * one));
            lstm_run(&single, NULL);
            assert_memory_equal(single.h.data, (char *)packed.h.data + start * HIDDEN * one, n * HIDDEN * one);
            assert_memory_equal(single.h_prev.data, (char *)packed.h_prev.data + start * HIDDEN * one,
                                n * HIDDEN * one);
            assert_memory_equal(single.d_x.data, (float *)packed.d_x.data + start * 4 * HIDDEN, n * 16 * HIDDEN);
            lstm_drop(&single);
        }
        lstm_drop(&packed);
    }
}

static void test_packing(void **state) {
    (void)state;
    kt_each_level(lstm_packing);
}

/* Steps one at a time, with the state handed on, give the bits of the whole sequence; so does a row by itself. */
static void lstm_stepping(void) {
    enum { BATCH = 5, TIME = 4, HIDDEN = 40 };
    const lstm_case t = {BATCH, TIME, HIDDEN, false, false, false}, step = {1, 1, HIDDEN, false, true, false};
    lstm_data whole = lstm_make(&t, INS_DTYPE_F32, INS_DTYPE_F32);
    lstm_run(&whole, kt_two);
    for (int row = 0; row < BATCH; row++) {
        lstm_data s = lstm_make(&step, INS_DTYPE_F32, INS_DTYPE_F32);
        memset(s.h0.data, 0, HIDDEN * 4), memset(s.c0.data, 0, HIDDEN * 4);
        for (int at = row * TIME; at < (row + 1) * TIME; at++) {
            memcpy(s.x.data, (float *)whole.x.data + at * 4 * HIDDEN, 16 * HIDDEN);
            assert_int_equal(ins_lstm_forward(&s.args, NULL, NULL), INS_OK);
            assert_memory_equal(s.h.data, (float *)whole.h.data + at * HIDDEN, 4 * HIDDEN);
            memcpy(s.h0.data, s.h.data, HIDDEN * 4), memcpy(s.c0.data, s.c.data, HIDDEN * 4);
        }
        lstm_drop(&s);
    }
    lstm_drop(&whole);
}

static void test_stepping(void **state) {
    (void)state;
    kt_each_level(lstm_stepping);
}

/* Outputs that nobody wants may be missing. */
static void test_missing_outputs(void **state) {
    (void)state;
    const lstm_case t = {3, 4, 20, true, false, false};
    for (int dtype = 0; dtype < 2; dtype++) {
        lstm_data all = lstm_make(&t, INS_DTYPE_F32, dtype ? INS_DTYPE_F64 : INS_DTYPE_F32);
        lstm_data few = lstm_make(&t, INS_DTYPE_F32, dtype ? INS_DTYPE_F64 : INS_DTYPE_F32);
        lstm_run(&all, NULL);
        few.args.c = few.args.h = NULL;
        assert_int_equal(ins_lstm_forward(&few.args, NULL, NULL), INS_OK);
        kt_same_bits("gates", &all.gates, &few.gates);
        all.args.d_h = NULL, all.args.h_prev = NULL;
        assert_int_equal(ins_lstm_backward(&all.args, NULL, NULL), INS_OK);
        for (int64_t i = 0; i < all.d_x.n; i++) assert_true(kt_get(&all.d_x, i) == 0);
        lstm_drop(&all), lstm_drop(&few);
    }
}

static void test_refusals(void **state) {
    (void)state;
    ins_error err = {0};
    ins_lstm_args args = {.dtype = INS_DTYPE_F32, .batch = 1, .time = 1, .hidden = -1};
    assert_int_equal(ins_lstm_forward(&args, NULL, &err), INS_BUG);
    args = (ins_lstm_args){.dtype = INS_DTYPE_I32, .batch = 1, .time = 1, .hidden = 1};
    assert_int_equal(ins_lstm_forward(&args, NULL, &err), INS_BUG);
    args.dtype = INS_DTYPE_F32;
    assert_int_equal(ins_lstm_backward(&args, NULL, &err), INS_BUG);
    assert_string_equal(ins_lstm_impl_name(INS_DTYPE_F64), "ref-f64");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),          cmocka_unit_test(test_packing),  cmocka_unit_test(test_stepping),
        cmocka_unit_test(test_missing_outputs), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
