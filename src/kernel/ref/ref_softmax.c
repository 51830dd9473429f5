/* Reference softmax and log-softmax. */
#include "kernel/ref/ref.h"
#include "kernel/softmax_impl.h"

static void softmax_forward(const ins_softmax_args *args, ins_pool *pool) {
    (void)pool;
    for (int64_t r = 0; r < args->rows; r++) {
        const ins_real *x = (const ins_real *)args->x + r * args->ldx;
        ins_real *y = (ins_real *)args->y + r * args->ldy, max = -INFINITY, sum = 0;
        for (int64_t c = 0; c < args->cols; c++) max = x[c] > max ? x[c] : max;
        if (max == -INFINITY) max = 0; /* all masked: exp gives 0 everywhere */
        for (int64_t c = 0; c < args->cols; c++) sum += exp(x[c] - max);
        ins_real log_sum = log(sum), inverse = sum > 0 ? 1 / sum : (sum == 0 ? 0 : sum);
        for (int64_t c = 0; c < args->cols; c++)
            if (args->log)
                y[c] = sum == 0 ? -INFINITY : x[c] - max - log_sum;
            else
                y[c] = exp(x[c] - max) * inverse;
    }
}

static void softmax_backward(const ins_softmax_args *args, ins_pool *pool) {
    (void)pool;
    for (int64_t r = 0; r < args->rows; r++) {
        const ins_real *y = (const ins_real *)args->y + r * args->ldy;
        const ins_real *d_y = (const ins_real *)args->d_y + r * args->ld_dy;
        ins_real *d_x = (ins_real *)args->d_x + r * args->ld_dx, sum = 0;
        for (int64_t c = 0; c < args->cols; c++) sum += args->log ? d_y[c] : d_y[c] * y[c];
        for (int64_t c = 0; c < args->cols; c++) d_x[c] = args->log ? d_y[c] - exp(y[c]) * sum : y[c] * (d_y[c] - sum);
    }
}

const ins_softmax_impl INS_REF(ins_ref_softmax) = {
    .head = INS_REF_HEAD, .forward = softmax_forward, .backward = softmax_backward};
