/* Reference norms. */
#include "kernel/norm_impl.h"
#include "kernel/ref/ref.h"

static ins_real norm_weight(const ins_norm_args *args, int64_t c) {
    const ins_real *weight = args->weight;
    return weight ? weight[c] + (ins_real)args->weight_offset : 1;
}

/* y and d_y of an f32 norm may be bf16, as the args say. */
static ins_real norm_get(bool bf16, const void *src, int64_t at) {
    return bf16 ? (ins_real)ins_bf16_to_f32(((const uint16_t *)src)[at]) : ((const ins_real *)src)[at];
}
static void norm_put(bool bf16, void *dst, int64_t at, ins_real value) {
    if (bf16)
        ((uint16_t *)dst)[at] = ins_f32_to_bf16((float)value);
    else
        ((ins_real *)dst)[at] = value;
}

static void norm_forward(const ins_norm_args *args, ins_pool *pool) {
    (void)pool;
    const ins_real *bias = args->bias;
    for (int64_t r = 0; r < args->rows; r++) {
        const ins_real *x = (const ins_real *)args->x + r * args->ldx;
        ins_real mean = 0, var = 0;
        for (int64_t c = 0; c < args->cols && !args->rms; c++) mean += x[c];
        mean /= (ins_real)args->cols;
        for (int64_t c = 0; c < args->cols; c++) var += (x[c] - mean) * (x[c] - mean);
        ins_real rstd = 1 / sqrt(var / (ins_real)args->cols + (ins_real)args->eps);
        for (int64_t c = 0; c < args->cols; c++)
            norm_put(args->y_bf16, args->y, r * args->ldy + c,
                     (x[c] - mean) * rstd * norm_weight(args, c) + (bias ? bias[c] : 0));
        if (args->mean) ((ins_real *)args->mean)[r] = mean;
        if (args->rstd) ((ins_real *)args->rstd)[r] = rstd;
    }
}

/* d_x = rstd (g - mean(g) - xhat mean(g xhat)), g = d_y weight; without the first mean for rms. */
static void norm_backward_dx(const ins_norm_args *args, int64_t r, ins_real mean, ins_real rstd) {
    const ins_real *x = (const ins_real *)args->x + r * args->ldx;
    ins_real *d_x = (ins_real *)args->d_x + r * args->ld_dx, *d_x_sum = args->d_x_sum;
    int64_t from = r * args->ld_dy;
    ins_real sum = 0, dot = 0;
    for (int64_t c = 0; c < args->cols; c++) {
        ins_real grad = norm_get(args->d_y_bf16, args->d_y, from + c) * norm_weight(args, c);
        sum += grad;
        dot += grad * (x[c] - mean) * rstd;
    }
    sum = args->rms ? 0 : sum / (ins_real)args->cols;
    dot /= (ins_real)args->cols;
    for (int64_t c = 0; c < args->cols; c++) {
        ins_real grad = norm_get(args->d_y_bf16, args->d_y, from + c) * norm_weight(args, c);
        grad = rstd * (grad - sum - (x[c] - mean) * rstd * dot);
        d_x[c] = args->accumulate_dx ? d_x[c] + grad : grad;
        if (args->d_x_copy) norm_put(sizeof(ins_real) == 4, args->d_x_copy, r * args->cols + c, d_x[c]);
        if (d_x_sum) d_x_sum[c] += d_x[c];
    }
}

static void norm_backward(const ins_norm_args *args, ins_pool *pool) {
    (void)pool;
    ins_real *d_weight = args->d_weight, *d_bias = args->d_bias, *d_x_sum = args->d_x_sum;
    for (int64_t c = 0; c < args->cols && d_x_sum; c++) d_x_sum[c] = 0;
    for (int64_t c = 0; c < args->cols && !args->accumulate_dw; c++) {
        if (d_weight) d_weight[c] = 0;
        if (d_bias) d_bias[c] = 0;
    }
    for (int64_t r = 0; r < args->rows; r++) {
        const ins_real *x = (const ins_real *)args->x + r * args->ldx;
        ins_real mean = args->rms ? 0 : ((const ins_real *)args->mean)[r], rstd = ((const ins_real *)args->rstd)[r];
        for (int64_t c = 0; c < args->cols; c++) {
            ins_real d_y = norm_get(args->d_y_bf16, args->d_y, r * args->ld_dy + c);
            if (d_weight) d_weight[c] += d_y * (x[c] - mean) * rstd;
            if (d_bias) d_bias[c] += d_y;
        }
        if (args->d_x) norm_backward_dx(args, r, mean, rstd);
    }
}

const ins_norm_impl INS_REF(ins_ref_norm) = {.head = INS_REF_HEAD, .forward = norm_forward, .backward = norm_backward};
