/* Elementwise arithmetic with numpy-like strides, casts, fills and strided copies. */
#ifndef INS_KERNEL_ELEMENTWISE_H
#define INS_KERNEL_ELEMENTWISE_H

#include "base/pool.h"
#include "tensor/tensor.h"

/* X(code, name). Comparisons give 1 or 0 in the same dtype. */
#define INS_BINARY_MAP(X)                                                                                              \
    X(ADD, "add")                                                                                                      \
    X(SUB, "sub")                                                                                                      \
    X(MUL, "mul")                                                                                                      \
    X(DIV, "div")                                                                                                      \
    X(MAX, "max")                                                                                                      \
    X(MIN, "min")                                                                                                      \
    X(POW, "pow")                                                                                                      \
    X(EQUAL, "equal")                                                                                                  \
    X(LESS, "less")                                                                                                    \
    X(LESS_EQUAL, "less_equal")

typedef enum ins_binary {
#define INS_BINARY_ENUM(code, name) INS_BINARY_##code,
    INS_BINARY_MAP(INS_BINARY_ENUM)
#undef INS_BINARY_ENUM
        INS_BINARY_COUNT
} ins_binary;
const char *ins_binary_name(ins_binary op);

/* out[...] = x op y. out is dense with shape dims; a stride of 0 broadcasts. f32, f64, bf16 (all three the same).
 * out may be x or y when that operand is dense. */
typedef struct ins_binary_args {
    ins_binary op;
    ins_dtype dtype;
    int n_dims; /* 0 = scalar */
    int64_t dims[INS_MAX_DIMS];
    const void *x, *y;
    int64_t stride_x[INS_MAX_DIMS], stride_y[INS_MAX_DIMS]; /* elements */
    void *out;
} ins_binary_args;
ins_status ins_binary_apply(const ins_binary_args *args, ins_pool *pool, ins_error *err);

/* Shorthands over dense arrays of n elements; f32, f64, bf16. */
ins_status ins_add_arrays(ins_dtype dtype, int64_t n, const void *x, const void *y, void *out, ins_pool *pool,
                          ins_error *err);
ins_status ins_mul_arrays(ins_dtype dtype, int64_t n, const void *x, const void *y, void *out, ins_pool *pool,
                          ins_error *err);

/* y += alpha * x */
ins_status ins_axpy_array(ins_dtype dtype, int64_t n, double alpha, const void *x, void *y, ins_pool *pool,
                          ins_error *err);
/* y = alpha * x + beta; y may be x */
ins_status ins_affine_array(ins_dtype dtype, int64_t n, double alpha, double beta, const void *x, void *y,
                            ins_pool *pool, ins_error *err);
ins_status ins_fill_array(ins_dtype dtype, int64_t n, double value, void *y, ins_pool *pool, ins_error *err);
void ins_copy_bytes(size_t bytes, const void *x, void *y, ins_pool *pool); /* must not overlap */

/* Between any two of f32, f64, bf16, f16; and from i32, i64, u8, u16, bool to a float dtype. Round to nearest even. */
ins_status ins_cast_array(ins_dtype from, ins_dtype to, int64_t n, const void *x, void *y, ins_pool *pool,
                          ins_error *err);

/* y[r, c] = x[r, c] + bias[c]; bias in acc; y may be x. */
typedef struct ins_bias_args {
    ins_dtype dtype;
    int64_t rows, cols;
    const void *x;
    int64_t ldx;
    const void *bias;
    void *y;
    int64_t ldy;
} ins_bias_args;
ins_status ins_bias_add(const ins_bias_args *args, ins_pool *pool, ins_error *err);

/* out[c] (+)= sum_r x[r, c]; x f32, f64 or bf16, out in acc. The bias gradient. */
typedef struct ins_column_sum_args {
    ins_dtype dtype;
    int64_t rows, cols;
    const void *x;
    int64_t ldx;
    void *out;
    bool accumulate;
    void *scratch; /* ins_column_sum_scratch bytes, or NULL: slower, the same bits */
} ins_column_sum_args;
size_t ins_column_sum_scratch(const ins_column_sum_args *args);
ins_status ins_column_sum(const ins_column_sum_args *args, ins_pool *pool, ins_error *err);

/* dst[index . stride_dst] (+)= src[index . stride_src] for every index below dims: permute, slice, concatenate, expand
 * (stride_src 0), flip (negative strides). Any dtype for a plain copy; accumulate needs a float dtype and no two
 * indices with the same destination. */
typedef struct ins_strided_args {
    ins_dtype dtype;
    int n_dims;
    int64_t dims[INS_MAX_DIMS];
    const void *src;
    int64_t stride_src[INS_MAX_DIMS]; /* elements */
    void *dst;
    int64_t stride_dst[INS_MAX_DIMS];
    bool accumulate;
} ins_strided_args;
ins_status ins_strided_copy(const ins_strided_args *args, ins_pool *pool, ins_error *err);

#endif
