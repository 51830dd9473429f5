/* Layer normalisation and RMS normalisation over the last dimension.
 *
 *   layer: xhat = (x - mean) * rstd, rstd = 1/sqrt(var + eps)     rms: xhat = x * rstd, rstd = 1/sqrt(mean(x^2) + eps)
 *   y = xhat * weight + bias
 *
 * x and y: f32, f64, bf16 (both the same), or f32 x with bf16 y: a residual stream stays f32 and what enters a matrix
 * product is bf16. weight, bias, mean, rstd and their gradients are in acc.
 */
#ifndef INS_KERNEL_NORM_H
#define INS_KERNEL_NORM_H

#include "base/pool.h"
#include "tensor/tensor.h"

typedef struct ins_norm_args {
    ins_dtype dtype;
    bool rms;
    bool y_bf16, d_y_bf16; /* y, d_y are bf16 though dtype (that of x and d_x) is f32 */
    int64_t rows, cols;
    double eps;
    const void *x; /* [rows, cols] */
    int64_t ldx;
    const void *weight;   /* [cols] or NULL (= 1) */
    double weight_offset; /* added to weight: 1 for Gemma-like norms, else 0 */
    const void *bias;     /* [cols] or NULL */
    void *y;              /* [rows, cols]; may be x */
    int64_t ldy;
    void *mean, *rstd; /* [rows]; outputs of forward (NULL = not wanted), inputs of backward; mean unused for rms */
    /* backward only */
    const void *d_y;
    int64_t ld_dy;
    void *d_x; /* NULL = not wanted; may be d_y */
    int64_t ld_dx;
    bool accumulate_dx;      /* add to d_x (residual stream) */
    void *d_x_copy;          /* [rows, cols] dense: d_x as bf16 (f64: as f64), or NULL */
    void *d_x_sum;           /* [cols] acc: column sums of d_x as stored, in the order of ins_column_sum, or NULL */
    void *d_weight, *d_bias; /* [cols] or NULL */
    bool accumulate_dw;      /* add to d_weight and d_bias */
    void *scratch;           /* ins_norm_backward_scratch bytes */
} ins_norm_args;

ins_status ins_norm_forward(const ins_norm_args *args, ins_pool *pool, ins_error *err);
size_t ins_norm_backward_scratch(const ins_norm_args *args);
ins_status ins_norm_backward(const ins_norm_args *args, ins_pool *pool, ins_error *err);

#endif
