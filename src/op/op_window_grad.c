/* window_grad: the adjoint of window. d_out [B,T,n D], positions i32 [B,T] -> d_x [B,T,D], summed in acc in the order
 * of the positions that saw it:
 *
 *   d_x[b,t,d] = sum over j < n of d_out[b,t+j, (n-1-j) D + d] where t + j < T and j <= positions[b,t+j]
 */
#include <string.h>

#include "op/op_window.h"

static ins_status window_grad_infer(ins_op_sig *sig, ins_error *err) {
    int64_t n = ((const ins_window_attr *)sig->attr)->n;
    INS_TRY(ins_window_check(sig, n > 0 ? n : 1, err));
    sig->out[0] = *sig->in[0];
    sig->out[0].dims[2] /= n;
    return INS_OK;
}

enum { COLUMNS = 256 }; /* columns summed at once */

/* sum[0..n) += part[0..n) */
static void add_f32(float *restrict sum, ins_dtype dtype, const void *part, int64_t at, int64_t n) {
    if (dtype == INS_DTYPE_F32) {
        const float *restrict from = (const float *)part + at;
        for (int64_t i = 0; i < n; i++) sum[i] += from[i];
    } else {
        const uint16_t *restrict from = (const uint16_t *)part + at;
        for (int64_t i = 0; i < n; i++) sum[i] += ins_bf16_to_f32(from[i]);
    }
}

static void store_f32(const float *sum, ins_dtype dtype, void *out, int64_t at, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (dtype == INS_DTYPE_F32)
            ((float *)out)[at + i] = sum[i];
        else
            ((uint16_t *)out)[at + i] = ins_f32_to_bf16(sum[i]);
    }
}

/* Columns [first, first + width) of one row. */
static void window_grad_row(const ins_op_call *call, int64_t row, int64_t first, int64_t width) {
    const ins_type *d_out = call->sig->in[0];
    const int32_t *positions = call->in[1];
    int64_t n = ((const ins_window_attr *)call->sig->attr)->n, time = d_out->dims[1], left = time - row % time;
    int64_t size = d_out->dims[2] / n, to = row * size + first;
    float sum[COLUMNS] = {0};
    double exact[COLUMNS] = {0};
    for (int64_t j = 0; j < n && j < left; j++) {
        if (j > positions[row + j]) continue;
        int64_t at = (row + j) * n * size + (n - 1 - j) * size + first;
        if (d_out->dtype == INS_DTYPE_F64)
            for (int64_t i = 0; i < width; i++) exact[i] += ((const double *)call->in[0])[at + i];
        else
            add_f32(sum, d_out->dtype, call->in[0], at, width);
    }
    if (d_out->dtype == INS_DTYPE_F64)
        memcpy((double *)call->out[0] + to, exact, (size_t)width * sizeof(double));
    else
        store_f32(sum, d_out->dtype, call->out[0], to, width);
}

static void window_grad_rows(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    const ins_op_call *call = arg;
    int64_t size = call->sig->out[0].dims[2];
    for (int64_t row = begin; row < end; row++)
        for (int64_t first = 0; first < size; first += COLUMNS)
            window_grad_row(call, row, first, size - first < COLUMNS ? size - first : COLUMNS);
}

static ins_status window_grad_run(const ins_op_call *call, ins_error *err) {
    (void)err;
    const ins_type *d_out = call->sig->in[0];
    ins_pool_run_range(call->pool, d_out->dims[0] * d_out->dims[1], INS_WINDOW_CHUNK, window_grad_rows,
                       (void *)(uintptr_t)call);
    return INS_OK;
}

static ins_status window_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    int64_t n = ((const ins_window_attr *)a->sig->attr)->n;
    if (a->need[0]) a->d_in[0] = ins_window(g, ins_cast(g, a->d_out[0], a->sig->in[0]->dtype), a->in[1], n);
    return INS_OK;
}

static const ins_op_sample window_grad_samples[] = {
    {.name = "documents",
     .n_in = 2,
     .in = {INS_F32(3, 2, 7, 12), INS_I32(2, 2, 7)},
     .attr = &(const ins_window_attr){4},
     .fill = ins_window_fill},
    {0},
};

const ins_op ins_op_window_grad = {
    .head = {.family = "op", .name = "window_grad", .summary = "Gradient of window.", .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "d_out positions",
    .out_names = "d_x",
    .attr_size = sizeof(ins_window_attr),
    .infer = window_grad_infer,
    .run = window_grad_run,
    .grad = window_grad_grad,
    .flops = ins_op_flops_none,
    .samples = window_grad_samples,
};
