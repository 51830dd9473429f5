/* Elementwise loops, casts, copies, reductions, embeddings and optimizers against naive loops written here. */
#include "kernel/embed.h"
#include "kernel/impls.h"
#include "kernel/optim_kernels.h"
#include "kernel/probe_machine.h"
#include "kernel/reduce.h"
#include "kernel_test.h"

static const ins_dtype real_dtypes[] = {INS_DTYPE_F32, INS_DTYPE_BF16, INS_DTYPE_F64};

static double binary_value(ins_binary op, double x, double y) {
    switch (op) {
    case INS_BINARY_ADD:
        return x + y;
    case INS_BINARY_SUB:
        return x - y;
    case INS_BINARY_MUL:
        return x * y;
    case INS_BINARY_DIV:
        return x / y;
    case INS_BINARY_MAX:
        return isnan(x) || isnan(y) ? NAN : x > y ? x : y;
    case INS_BINARY_MIN:
        return isnan(x) || isnan(y) ? NAN : x < y ? x : y;
    case INS_BINARY_POW:
        return pow(x, y);
    case INS_BINARY_EQUAL:
        return x == y;
    case INS_BINARY_LESS:
        return x < y;
    case INS_BINARY_LESS_EQUAL:
        return x <= y;
    default:
        return 0;
    }
}

/* Operand strides of a 3-dimensional broadcast: dense, row vector, column, scalar, permuted. */
static void binary_check(ins_binary op, ins_dtype dtype, const int64_t *dims, int kind_x, int kind_y) {
    const int64_t strides[5][3] = {
        {dims[1] * dims[2], dims[2], 1}, {0, 0, 1}, {dims[1], 1, 0}, {0, 0, 0}, {1, dims[0], dims[0] * dims[1]}};
    int64_t n = dims[0] * dims[1] * dims[2];
    kt_array x = kt_random(dtype, n, 0.5, 3, 1), y = kt_random(dtype, n, 0.5, 3, 2);
    kt_array one = kt_new(dtype, n), two = kt_new(dtype, n), want = kt_new(INS_DTYPE_F64, n);
    if (n > 0) kt_set(&x, 0, NAN), kt_set(&y, n - 1, kt_get(&x, n - 1));
    ins_binary_args args = {.op = op, .dtype = dtype, .n_dims = 3, .x = x.data, .y = y.data, .out = one.data};
    for (int d = 0; d < 3; d++)
        args.dims[d] = dims[d], args.stride_x[d] = strides[kind_x][d], args.stride_y[d] = strides[kind_y][d];
    assert_int_equal(ins_binary_apply(&args, NULL, NULL), INS_OK);
    args.out = two.data;
    assert_int_equal(ins_binary_apply(&args, kt_two, NULL), INS_OK);
    for (int64_t i = 0; i < n; i++) {
        int64_t index[3] = {i / (dims[1] * dims[2]), i / dims[2] % dims[1], i % dims[2]}, at_x = 0, at_y = 0;
        for (int d = 0; d < 3; d++) at_x += index[d] * strides[kind_x][d], at_y += index[d] * strides[kind_y][d];
        kt_set(&want, i, binary_value(op, kt_get(&x, at_x), kt_get(&y, at_y)));
    }
    kt_near(ins_binary_name(op), &one, &want, 0, 4 * kt_eps(dtype));
    kt_same_bits("binary", &one, &two);
    kt_free(&x), kt_free(&y), kt_free(&one), kt_free(&two), kt_free(&want);
}

static void binary_all(void) {
    static const int64_t shapes[][3] = {{2, 3, 5}, {1, 1, 1}, {3, 1, 700}, {0, 2, 2}, {1, 9, 2}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int op = 0; op < INS_BINARY_COUNT; op++)
            for (int kinds = 0; kinds < 25; kinds++)
                for (int d = 0; d < 3; d++)
                    binary_check((ins_binary)op, real_dtypes[d], shapes[s], kinds / 5, kinds % 5);
    static const int64_t large[3] = {1, 40, 1000};
    binary_check(INS_BINARY_ADD, INS_DTYPE_F32, large, 0, 1);
}

static void maps_all(void) {
    for (int d = 0; d < 3; d++)
        for (int64_t n = 0; n < 20000; n = n * 7 + 1) {
            ins_dtype dtype = real_dtypes[d];
            kt_array x = kt_random(dtype, n, -2, 2, 1), y = kt_random(dtype, n, -2, 2, 2),
                     want = kt_copy(&y, INS_DTYPE_F64);
            for (int64_t i = 0; i < n; i++) kt_set(&want, i, kt_get(&want, i) + 0.75 * kt_get(&x, i));
            assert_int_equal(ins_axpy_array(dtype, n, 0.75, x.data, y.data, kt_two, NULL), INS_OK);
            kt_near("axpy", &y, &want, kt_eps(dtype), 2 * kt_eps(dtype));
            for (int64_t i = 0; i < n; i++) kt_set(&want, i, 0.75 * kt_get(&x, i) - 0.5);
            assert_int_equal(ins_affine_array(dtype, n, 0.75, -0.5, x.data, x.data, kt_two, NULL), INS_OK);
            kt_near("affine", &x, &want, kt_eps(dtype), 2 * kt_eps(dtype));
            assert_int_equal(ins_fill_array(dtype, n, 1.5, y.data, kt_two, NULL), INS_OK);
            for (int64_t i = 0; i < n; i++) assert_true(kt_get(&y, i) == 1.5);
            for (int64_t i = 0; i < n; i++) kt_set(&want, i, kt_get(&x, i) + 1.5);
            assert_int_equal(ins_add_arrays(dtype, n, x.data, y.data, y.data, kt_two, NULL), INS_OK);
            kt_near("add", &y, &want, 0, 2 * kt_eps(dtype));
            ins_copy_bytes((size_t)n * ins_dtype_size(dtype), x.data, y.data, kt_two);
            kt_same_bits("copy", &x, &y);
            kt_free(&x), kt_free(&y), kt_free(&want);
        }
}

static void rows_all(void) {
    static const int64_t shapes[][2] = {{1, 1}, {7, 65}, {300, 3}, {5, 2100}, {0, 8}};
    for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
        for (int d = 0; d < 3; d++) {
            ins_dtype dtype = real_dtypes[d], acc = kt_acc(dtype);
            int64_t rows = shapes[s][0], cols = shapes[s][1], ld = cols + 3;
            kt_array x = kt_random(dtype, rows * ld, -1, 1, 1), bias = kt_random(acc, cols, -1, 1, 2);
            kt_array y = kt_copy(&x, dtype), want = kt_copy(&x, INS_DTYPE_F64);
            for (int64_t i = 0; i < rows * ld; i++)
                if (i % ld < cols) kt_set(&want, i, kt_get(&x, i) + kt_get(&bias, i % ld));
            ins_bias_args args = {dtype, rows, cols, x.data, ld, bias.data, y.data, ld};
            assert_int_equal(ins_bias_add(&args, kt_two, NULL), INS_OK);
            kt_near("bias", &y, &want, 0, 2 * kt_eps(dtype));
            kt_array sums = kt_copy(&bias, acc), total = kt_copy(&bias, INS_DTYPE_F64);
            for (int64_t i = 0; i < rows * ld; i++)
                if (i % ld < cols) kt_set(&total, i % ld, kt_get(&total, i % ld) + kt_get(&x, i));
            ins_column_sum_args sum = {.dtype = dtype, .rows = rows, .cols = cols, .x = x.data, .ldx = ld};
            sum.out = sums.data, sum.accumulate = true;
            assert_int_equal(ins_column_sum(&sum, kt_two, NULL), INS_OK);
            kt_near("column sum", &sums, &total, 1e-6 * sqrt((double)rows + 1), 0);
            kt_free(&x), kt_free(&bias), kt_free(&y), kt_free(&want), kt_free(&sums), kt_free(&total);
        }
}

static void test_elementwise(void **state) {
    (void)state;
    kt_each_level(binary_all), kt_each_level(maps_all), kt_each_level(rows_all);
}

static void strided_check(ins_dtype dtype, bool accumulate) {
    /* dst[j][i][k] (+)= src[i][j][k] with padding in both; then a flip of the last axis. */
    const int64_t dims[3] = {4, 3, 5};
    for (int flip = 0; flip < 2; flip++) {
        kt_array src = kt_random(dtype, 4 * 3 * 6, -9, 9, 1), dst = kt_random(dtype, 3 * 4 * 7, -9, 9, 2);
        kt_array want = kt_copy(&dst, dtype);
        ins_strided_args args = {.dtype = dtype,
                                 .n_dims = 3,
                                 .dims = {4, 3, 5},
                                 .src = src.data,
                                 .dst = dst.data,
                                 .stride_src = {18, 6, 1},
                                 .stride_dst = {7, 28, 1},
                                 .accumulate = accumulate};
        if (flip) args.stride_src[2] = -1, args.src = (char *)src.data + 4 * ins_dtype_size(dtype);
        for (int64_t i = 0; i < dims[0]; i++)
            for (int64_t j = 0; j < dims[1]; j++)
                for (int64_t k = 0; k < dims[2]; k++) {
                    double value = kt_get(&src, i * 18 + j * 6 + (flip ? 4 - k : k)),
                           old = kt_get(&want, i * 7 + j * 28 + k);
                    kt_set(&want, i * 7 + j * 28 + k, accumulate ? old + value : value);
                }
        assert_int_equal(ins_strided_copy(&args, kt_two, NULL), INS_OK);
        kt_same_bits("strided", &dst, &want);
        kt_free(&src), kt_free(&dst), kt_free(&want);
    }
}

static void strided_all(void) {
    for (int d = 0; d < 3; d++) strided_check(real_dtypes[d], true), strided_check(real_dtypes[d], false);
    strided_check(INS_DTYPE_I32, false);
}

static void test_strided(void **state) {
    (void)state;
    kt_each_level(strided_all);
}

static void cast_all(void) {
    for (int64_t n = 0; n < 40000; n = n * 13 + 1) {
        kt_array x = kt_random(INS_DTYPE_F32, n, -100, 100, 1), half = kt_new(INS_DTYPE_BF16, n),
                 back = kt_new(INS_DTYPE_F32, n);
        kt_array wide = kt_new(INS_DTYPE_F64, n), half2 = kt_new(INS_DTYPE_BF16, n);
        if (n > 5) {
            kt_set(&x, 0, NAN), kt_set(&x, 1, INFINITY), kt_set(&x, 2, -INFINITY), kt_set(&x, 3, -0.0);
            kt_set(&x, 4, 1.00390625), kt_set(&x, 5, 3.4e38); /* a tie; overflow */
        }
        assert_int_equal(ins_cast_array(INS_DTYPE_F32, INS_DTYPE_BF16, n, x.data, half.data, kt_two, NULL), INS_OK);
        for (int64_t i = 0; i < n; i++) {
            float value = (float)kt_get(&x, i);
            uint16_t got;
            memcpy(&got, (char *)half.data + i * 2, 2);
            assert_int_equal(got, ins_f32_to_bf16(value));
        }
        assert_int_equal(ins_cast_array(INS_DTYPE_BF16, INS_DTYPE_F32, n, half.data, back.data, kt_two, NULL), INS_OK);
        kt_near("bf16 to f32", &back, &half, 0, 0);
        assert_int_equal(ins_cast_array(INS_DTYPE_F32, INS_DTYPE_F64, n, x.data, wide.data, kt_two, NULL), INS_OK);
        kt_near("f32 to f64", &wide, &x, 0, 0);
        assert_int_equal(ins_cast_array(INS_DTYPE_F64, INS_DTYPE_BF16, n, wide.data, half2.data, kt_two, NULL), INS_OK);
        kt_same_bits("f64 to bf16", &half, &half2);
        kt_free(&x), kt_free(&half), kt_free(&back), kt_free(&wide), kt_free(&half2);
    }
}

static void test_cast(void **state) {
    (void)state;
    kt_each_level(cast_all);
    int64_t whole[2] = {-7, 3000000000};
    double wide[2];
    assert_int_equal(ins_cast_array(INS_DTYPE_I64, INS_DTYPE_F64, 2, whole, wide, NULL, NULL), INS_OK);
    assert_true(wide[0] == -7 && wide[1] == 3e9);
    /* 1 + 2^-8 + 2^-40 is above the tie, although f32 in between would make it one; 2^-150 rounds to the tiniest. */
    double odd[2] = {1 + 0x1p-8 + 0x1p-40, 1.5 * 0x1p-1};
    uint16_t half[2];
    assert_int_equal(ins_cast_array(INS_DTYPE_F64, INS_DTYPE_BF16, 2, odd, half, NULL, NULL), INS_OK);
    assert_int_equal(half[0], 0x3f81);
    assert_int_equal(half[1], 0x3f40);
    assert_int_equal(ins_cast_array(INS_DTYPE_F32, INS_DTYPE_I32, 1, odd, half, NULL, NULL), INS_BUG);
}

static void reduce_check(ins_dtype dtype, int64_t n) {
    kt_array x = kt_random(dtype, n, -1, 1, 1), y = kt_random(dtype, n, -1, 1, 2);
    double sum = 0, square = 0, dot = 0, max = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = kt_get(&x, i);
        sum += v, square += v * v, dot += v * kt_get(&y, i), max = fabs(v) > max ? fabs(v) : max;
    }
    double slack = 1e-12 * (double)(n + 1);
    assert_true(fabs(ins_reduce_sum(dtype, n, x.data, NULL) - sum) <= slack);
    assert_true(ins_reduce_sum(dtype, n, x.data, NULL) == ins_reduce_sum(dtype, n, x.data, kt_two));
    assert_true(fabs(ins_reduce_sumsq(dtype, n, x.data, kt_two) - square) <= slack);
    assert_true(fabs(ins_reduce_dot(dtype, n, x.data, y.data, kt_two) - dot) <= slack);
    assert_true(ins_reduce_maxabs(dtype, n, x.data, kt_two) == max);
    assert_true(ins_reduce_all_finite(dtype, n, x.data, kt_two));
    for (int64_t at = 0; at < n; at += n / 3 + 1) {
        double old = kt_get(&x, at);
        kt_set(&x, at, NAN);
        assert_false(ins_reduce_all_finite(dtype, n, x.data, kt_two));
        assert_true(isnan(ins_reduce_maxabs(dtype, n, x.data, kt_two)));
        kt_set(&x, at, -INFINITY);
        assert_false(ins_reduce_all_finite(dtype, n, x.data, kt_two));
        assert_true(ins_reduce_maxabs(dtype, n, x.data, kt_two) == INFINITY);
        kt_set(&x, at, old);
    }
    kt_free(&x), kt_free(&y);
}

static void axis_check(ins_reduce op, ins_dtype dtype, int64_t outer, int64_t axis, int64_t inner, bool accumulate) {
    kt_array x = kt_random(dtype, outer * axis * inner, -1, 1, 1), one = kt_random(dtype, outer * inner, -1, 1, 2);
    kt_array two = kt_copy(&one, dtype), want = kt_copy(&one, INS_DTYPE_F64);
    for (int64_t i = 0; i < outer * inner; i++) {
        double total = op == INS_REDUCE_MAX ? -INFINITY : op == INS_REDUCE_MIN ? INFINITY : 0;
        for (int64_t r = 0; r < axis; r++) {
            double v = kt_get(&x, (i / inner * axis + r) * inner + i % inner);
            total = op == INS_REDUCE_MAX   ? fmax(total, v)
                    : op == INS_REDUCE_MIN ? fmin(total, v)
                                           : total + (op == INS_REDUCE_SUMSQ ? v * v : v);
        }
        if (op == INS_REDUCE_MEAN) total /= (double)axis;
        kt_set(&want, i, accumulate ? kt_get(&want, i) + total : total);
    }
    ins_reduce_args args = {op, dtype, outer, axis, inner, x.data, one.data, accumulate};
    assert_int_equal(ins_reduce_axis(&args, NULL, NULL), INS_OK);
    args.out = two.data;
    assert_int_equal(ins_reduce_axis(&args, kt_two, NULL), INS_OK);
    kt_near(ins_reduce_name(op), &one, &want, 1e-6 * sqrt((double)axis + 1), 2e-6 + 2 * kt_eps(dtype));
    kt_same_bits("reduce", &one, &two);
    kt_free(&x), kt_free(&one), kt_free(&two), kt_free(&want);
}

static void reduce_all(void) {
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {40, 700, 1}, {1, 33, 300}, {2, 0, 3}, {700, 2, 1}};
    for (int d = 0; d < 3; d++) {
        for (int64_t n = 0; n < 200000; n = n * 11 + 1) reduce_check(real_dtypes[d], n);
        for (size_t s = 0; s < sizeof(shapes) / sizeof(shapes[0]); s++)
            for (int op = 0; op < INS_REDUCE_COUNT; op++)
                for (int add = 0; add < 2; add++)
                    axis_check((ins_reduce)op, real_dtypes[d], shapes[s][0], shapes[s][1], shapes[s][2], add);
        kt_array x = kt_random(real_dtypes[d], 3 * 1300, -1, 1, 5);
        int32_t index[3];
        kt_set(&x, 1100, 2), kt_set(&x, 1200, 2), kt_set(&x, 1300 + 4, NAN), kt_set(&x, 2 * 1300 + 1298, 3);
        assert_int_equal(ins_argmax_rows(real_dtypes[d], 3, 1299, x.data, 1300, index, kt_two, NULL), INS_OK);
        assert_int_equal(index[0], 1100);
        assert_true(index[1] != 4);
        assert_int_equal(index[2], 1298);
        assert_int_equal(ins_argmax_rows(real_dtypes[d], 3, 0, x.data, 1300, index, kt_two, NULL), INS_BUG);
        kt_free(&x);
    }
}

static void test_reduce(void **state) {
    (void)state;
    kt_each_level(reduce_all);
}

static void embed_check(ins_dtype dtype, int64_t n, int64_t v, int64_t width, bool accumulate) {
    ins_dtype acc = kt_acc(dtype);
    kt_array table = kt_random(dtype, v * width, -1, 1, 1), out = kt_random(dtype, n * width, -1, 1, 2);
    kt_array want = kt_copy(&out, INS_DTYPE_F64), ids = kt_new(INS_DTYPE_I32, n);
    kt_array d_table = kt_random(acc, v * width, -1, 1, 3), d_want = kt_copy(&d_table, INS_DTYPE_F64);
    for (int64_t i = 0; i < n; i++) ((int32_t *)ids.data)[i] = i % 6 == 4 ? -1 : (int32_t)(i * i % v);
    for (int64_t i = 0; i < v * width && !accumulate; i++) kt_set(&d_want, i, 0);
    for (int64_t i = 0; i < n * width; i++) {
        int64_t id = ((int32_t *)ids.data)[i / width];
        double value = id < 0 ? 0 : kt_get(&table, id * width + i % width);
        kt_set(&want, i, value + (accumulate ? kt_get(&want, i) : 0));
    }
    ins_embed_args args = {.dtype = dtype,
                           .n = n,
                           .v = v,
                           .d = width,
                           .ids = ids.data,
                           .table = table.data,
                           .out = out.data,
                           .accumulate = accumulate,
                           .d_out = out.data,
                           .d_table = d_table.data};
    assert_int_equal(ins_embed_forward(&args, kt_two, NULL), INS_OK);
    kt_near("embed", &out, &want, 0, 2 * kt_eps(dtype));
    for (int64_t i = 0; i < n * width; i++) {
        int64_t id = ((int32_t *)ids.data)[i / width], at = id * width + i % width;
        if (id >= 0) kt_set(&d_want, at, kt_get(&d_want, at) + kt_get(&out, i));
    }
    assert_int_equal(ins_embed_backward(&args, kt_two, NULL), INS_OK);
    kt_near("embed gradient", &d_table, &d_want, 1e-6 * (double)(n + 1), 0);
    if (n > 0) {
        ((int32_t *)ids.data)[0] = (int32_t)v;
        assert_int_equal(ins_embed_forward(&args, NULL, NULL), INS_BUG);
        assert_int_equal(ins_embed_backward(&args, NULL, NULL), INS_BUG);
    }
    kt_free(&table), kt_free(&out), kt_free(&want), kt_free(&ids), kt_free(&d_table), kt_free(&d_want);
}

static void embed_all(void) {
    for (int d = 0; d < 3; d++)
        for (int add = 0; add < 2; add++) {
            embed_check(real_dtypes[d], 50, 13, 70, add), embed_check(real_dtypes[d], 1, 1, 1, add);
            embed_check(real_dtypes[d], 0, 5, 600, add);
        }
}

static void test_embed(void **state) {
    (void)state;
    kt_each_level(embed_all);
}

static void optim_all(void) {
    for (int64_t n = 1; n < 100000; n = n * 29 + 3) {
        kt_array p = kt_random(INS_DTYPE_F32, n, -1, 1, 1), g = kt_random(INS_DTYPE_F32, n, -1, 1, 2),
                 buf = kt_random(INS_DTYPE_F32, n, -1, 1, 5);
        kt_array m = kt_random(INS_DTYPE_F32, n, -1, 1, 3), v = kt_random(INS_DTYPE_F32, n, 0, 1, 4),
                 half = kt_new(INS_DTYPE_BF16, n);
        kt_array want_p = kt_copy(&p, INS_DTYPE_F64), want_m = kt_copy(&m, INS_DTYPE_F64),
                 want_v = kt_copy(&v, INS_DTYPE_F64);
        ins_adamw_args args = {.n = n,
                               .p = p.data,
                               .g = g.data,
                               .m = m.data,
                               .v = v.data,
                               .p_bf16 = half.data,
                               .lr = 1e-2,
                               .beta1 = 0.9,
                               .beta2 = 0.95,
                               .eps = 1e-8,
                               .weight_decay = 0.1,
                               .bias1 = 0.19,
                               .bias2 = 0.0975,
                               .grad_scale = 0.5};
        for (int64_t i = 0; i < n; i++) {
            double grad = 0.5 * kt_get(&g, i), mean = 0.9 * kt_get(&m, i) + 0.1 * grad,
                   var = 0.95 * kt_get(&v, i) + 0.05 * grad * grad;
            double old = kt_get(&p, i);
            kt_set(&want_m, i, mean), kt_set(&want_v, i, var);
            kt_set(&want_p, i, old - 1e-2 * (mean / 0.19 / (sqrt(var / 0.0975) + 1e-8) + 0.1 * old));
        }
        ins_adamw(&args, kt_two);
        kt_near("adamw p", &p, &want_p, 2e-7, 1e-6), kt_near("adamw m", &m, &want_m, 2e-7, 0),
            kt_near("adamw v", &v, &want_v, 2e-7, 0);
        kt_near("adamw bf16", &half, &p, 0, kt_eps(INS_DTYPE_BF16));
        for (int nesterov = 0; nesterov < 2; nesterov++) {
            ins_sgd_args sgd = {.n = n,
                                .p = p.data,
                                .g = g.data,
                                .buf = buf.data,
                                .lr = 0.1,
                                .momentum = 0.9,
                                .weight_decay = 0.01,
                                .grad_scale = 2,
                                .nesterov = nesterov};
            for (int64_t i = 0; i < n; i++) {
                double old = kt_get(&p, i), grad = 2 * kt_get(&g, i) + 0.01 * old, next = 0.9 * kt_get(&buf, i) + grad;
                kt_set(&want_p, i, old - 0.1 * (nesterov ? grad + 0.9 * next : next));
            }
            ins_sgd(&sgd, kt_two);
            kt_near("sgd", &p, &want_p, 1e-6, 1e-6);
        }
        for (int64_t i = 0; i < n; i++) kt_set(&want_m, i, 0.75 * kt_get(&m, i) + 0.25 * kt_get(&p, i));
        ins_ema_update(n, 0.75, p.data, m.data, kt_two);
        kt_near("ema", &m, &want_m, 1e-6, 0);
        args.zero_grad = true;
        ins_adamw(&args, NULL);
        assert_true(ins_reduce_maxabs(INS_DTYPE_F32, n, g.data, NULL) == 0);
        kt_free(&p), kt_free(&g), kt_free(&m), kt_free(&v), kt_free(&half), kt_free(&buf);
        kt_free(&want_p), kt_free(&want_m), kt_free(&want_v);
    }
}

static void test_optim(void **state) {
    (void)state;
    kt_each_level(optim_all);
}

static void test_isa(void **state) {
    (void)state;
    ins_isa_level best = ins_isa_detect();
    ins_impl_choice rows[64];
    ins_isa_limit(INS_ISA_GENERIC);
    assert_int_equal(ins_isa_detect(), INS_ISA_GENERIC);
    assert_false(ins_isa_has_fast_bf16());
    int64_t n = ins_impl_choices(rows, 64);
    assert_true(n > 20 && n <= 64);
    assert_int_equal(ins_impl_choices(rows, 2), n);
    assert_string_equal(rows[0].kernel, "gemm");
    assert_string_equal(rows[0].impl, "cpu-generic");
    ins_isa_limit(INS_ISA_AMX);
    assert_int_equal(ins_isa_detect(), best);
    assert_string_equal(ins_isa_name(INS_ISA_AVX512_BF16), "avx512_bf16");
}

static void test_probes(void **state) {
    (void)state;
    assert_true(ins_probe_flops(INS_DTYPE_F32, NULL) > 1e8);
    assert_true(ins_probe_flops(INS_DTYPE_F64, kt_two) > 1e8);
    assert_true(ins_probe_flops(INS_DTYPE_BF16, NULL) > 1e8);
    assert_true(ins_probe_read_bandwidth(kt_two) > 1e8);
    assert_true(ins_probe_update_bandwidth(kt_two) > 1e8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elementwise), cmocka_unit_test(test_strided), cmocka_unit_test(test_cast),
        cmocka_unit_test(test_reduce),      cmocka_unit_test(test_embed),   cmocka_unit_test(test_optim),
        cmocka_unit_test(test_isa),         cmocka_unit_test(test_probes),
    };
    return cmocka_run_group_tests(tests, kt_setup, kt_teardown);
}
