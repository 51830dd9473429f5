/* Layer norm and RMS norm. Statistics are f32 sums over lanes; the backward pass takes four rows at a time, so that
 * weights and partial sums are read once for them. A row lies in L1 between its passes.
 */
#include <math.h>

#include "kernel/cpu/vio.h"
#include "kernel/norm_impl.h"

typedef struct norm_job {
    const ins_norm_args *args;
    int64_t chunk; /* rows a task */
} norm_job;

/* What is multiplied to the normalised x at column c. */
INS_INLINE vf norm_scale(const ins_norm_args *args, int64_t c, int64_t n) {
    vf offset = vf_set((float)args->weight_offset);
    if (!args->weight) return vf_set(1.0f);
    return vio_load_n(false, args->weight, c, n, vf_set(0)) + offset;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* sum (x - mean)^power over a row */
INS_INLINE float norm_row_sum(const bool x_half, const int power, const ins_norm_args *args, int64_t at, float mean) {
    vf sums[4] = {0}, shift = vf_set(mean);
    int64_t cols = args->cols, c = 0;
    for (; c + 4 * VL <= cols; c += 4 * VL) {
        CPU_UNROLL
        for (int k = 0; k < 4; k++) {
            vf x = vio_load(x_half, args->x, at + c + k * VL) - shift;
            sums[k] += power == 2 ? x * x : x;
        }
    }
    for (; c < cols; c += VL) {
        vf x = vio_load_n(x_half, args->x, at + c, ins_min_i64(VL, cols - c), shift) - shift;
        sums[0] += power == 2 ? x * x : x;
    }
    return vio_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

INS_INLINE void norm_forward_row(const bool x_half, const bool y_half, const ins_norm_args *args, int64_t r) {
    int64_t at = r * args->ldx, to = r * args->ldy, cols = args->cols;
    float mean = args->rms ? 0.0f : norm_row_sum(x_half, 1, args, at, 0) / (float)cols;
    float rstd = 1.0f / sqrtf(norm_row_sum(x_half, 2, args, at, mean) / (float)cols + (float)args->eps);
    vf shift = vf_set(mean), factor = vf_set(rstd), zero = vf_set(0);
    for (int64_t c = 0; c < cols; c += VL) {
        int64_t n = ins_min_i64(VL, cols - c);
        vf y = (vio_load_n(x_half, args->x, at + c, n, shift) - shift) * factor;
        if (args->weight) y *= norm_scale(args, c, n);
        if (args->bias) y += vio_load_n(false, args->bias, c, n, zero);
        vio_store_n(y_half, args->y, to + c, n, y);
    }
    if (args->mean) ((float *)args->mean)[r] = mean;
    if (args->rstd) ((float *)args->rstd)[r] = rstd;
}

static void norm_forward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const norm_job *job = arg;
    const ins_norm_args *args = job->args;
    int64_t end = ins_min_i64(args->rows, (task + 1) * job->chunk);
    for (int64_t r = task * job->chunk; r < end; r++) {
        if (args->dtype == INS_DTYPE_BF16)
            norm_forward_row(true, true, args, r);
        else if (args->y_bf16)
            norm_forward_row(false, true, args, r);
        else
            norm_forward_row(false, false, args, r);
    }
}

static void norm_forward(const ins_norm_args *args, ins_pool *pool) {
    norm_job job = {args, ins_max_i64(1, 16384 / args->cols)};
    ins_pool_run(pool, ins_ceil_div(args->rows, job.chunk), norm_forward_task, &job);
}

/* ---- backward: g = d_y weight,  d_x = rstd (g - mean(g) - xhat mean(g xhat)) ----------------------------------------
 */

#define NORM_ROWS 4

/* Rows that are worked on together. parts: partial sums of the chunk, NULL = not wanted. */
typedef struct norm_block {
    const ins_norm_args *args;
    int64_t row;
    vf mean[NORM_ROWS], rstd[NORM_ROWS];
    vf sum[NORM_ROWS], dot[NORM_ROWS]; /* of g, of g xhat; then their means */
    float *parts[INS_NORM_PARTS];
} norm_block;

INS_INLINE void norm_reduce_columns(const int count, const bool x_half, const bool dy_half, norm_block *b, int64_t c,
                                    int64_t n) {
    const ins_norm_args *args = b->args;
    float *d_weight = b->parts[INS_NORM_PART_WEIGHT], *d_bias = b->parts[INS_NORM_PART_BIAS];
    vf zero = vf_set(0), scale = norm_scale(args, c, n);
    vf to_weight = d_weight ? vio_load_n(false, d_weight, c, n, zero) : zero;
    vf to_bias = d_bias ? vio_load_n(false, d_bias, c, n, zero) : zero;
    CPU_UNROLL
    for (int k = 0; k < count; k++) {
        vf x = vio_load_n(x_half, args->x, (b->row + k) * args->ldx + c, n, zero);
        vf d_y = vio_load_n(dy_half, args->d_y, (b->row + k) * args->ld_dy + c, n, zero);
        vf x_hat = (x - b->mean[k]) * b->rstd[k], grad = d_y * scale;
        to_weight += d_y * x_hat;
        to_bias += d_y;
        b->sum[k] += grad;
        b->dot[k] += grad * x_hat;
    }
    if (d_weight) vio_store_n(false, d_weight, c, n, to_weight);
    if (d_bias) vio_store_n(false, d_bias, c, n, to_bias);
}

INS_INLINE void norm_write_columns(const int count, const bool x_half, const bool dy_half, const norm_block *b,
                                   int64_t c, int64_t n) {
    const ins_norm_args *args = b->args;
    float *d_sum = b->parts[INS_NORM_PART_SUM];
    vf zero = vf_set(0), scale = norm_scale(args, c, n);
    vf total = d_sum ? vio_load_n(false, d_sum, c, n, zero) : zero;
    CPU_UNROLL
    for (int k = 0; k < count; k++) {
        int64_t r = b->row + k, to = r * args->ld_dx + c;
        vf x = vio_load_n(x_half, args->x, r * args->ldx + c, n, zero);
        vf d_y = vio_load_n(dy_half, args->d_y, r * args->ld_dy + c, n, zero);
        vf x_hat = (x - b->mean[k]) * b->rstd[k];
        vf d_x = b->rstd[k] * (d_y * scale - b->sum[k] - x_hat * b->dot[k]);
        if (args->accumulate_dx) d_x += vio_load_n(x_half, args->d_x, to, n, zero);
        if (args->d_x_copy) vio_store_n(true, args->d_x_copy, r * args->cols + c, n, d_x);
        total += vio_keep_n(x_half, args->d_x, to, n, d_x);
    }
    if (d_sum) vio_store_n(false, d_sum, c, n, total);
}

INS_INLINE void norm_backward_rows(const int count, const bool x_half, const bool dy_half, norm_block *b) {
    const ins_norm_args *args = b->args;
    int64_t cols = args->cols, whole = cols / VL * VL;
    CPU_UNROLL
    for (int k = 0; k < count; k++) {
        b->mean[k] = vf_set(args->rms ? 0.0f : ((const float *)args->mean)[b->row + k]);
        b->rstd[k] = vf_set(((const float *)args->rstd)[b->row + k]);
        b->sum[k] = b->dot[k] = vf_set(0);
    }
    for (int64_t c = 0; c < whole; c += VL) norm_reduce_columns(count, x_half, dy_half, b, c, VL);
    if (whole < cols) norm_reduce_columns(count, x_half, dy_half, b, whole, cols - whole);
    if (!args->d_x) return;
    CPU_UNROLL
    for (int k = 0; k < count; k++) {
        b->sum[k] = vf_set(args->rms ? 0.0f : vio_sum(b->sum[k]) / (float)cols);
        b->dot[k] = vf_set(vio_sum(b->dot[k]) / (float)cols);
    }
    for (int64_t c = 0; c < whole; c += VL) norm_write_columns(count, x_half, dy_half, b, c, VL);
    if (whole < cols) norm_write_columns(count, x_half, dy_half, b, whole, cols - whole);
}

INS_INLINE void norm_backward_chunk(const bool x_half, const bool dy_half, norm_block *b, int64_t end) {
    for (; b->row + NORM_ROWS <= end; b->row += NORM_ROWS) norm_backward_rows(NORM_ROWS, x_half, dy_half, b);
    for (; b->row < end; b->row++) norm_backward_rows(1, x_half, dy_half, b);
}

static void norm_backward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const norm_job *job = arg;
    const ins_norm_args *args = job->args;
    norm_block b = {.args = args, .row = task * job->chunk};
    const void *wanted[INS_NORM_PARTS] = {args->d_weight, args->d_bias, args->d_x ? args->d_x_sum : NULL};
    for (int i = 0; i < INS_NORM_PARTS; i++) {
        if (!wanted[i]) continue;
        b.parts[i] = (float *)args->scratch + (task * INS_NORM_PARTS + i) * args->cols;
        memset(b.parts[i], 0, (size_t)args->cols * 4);
    }
    int64_t end = ins_min_i64(args->rows, (task + 1) * job->chunk);
    if (args->dtype == INS_DTYPE_BF16)
        norm_backward_chunk(true, true, &b, end);
    else if (args->d_y_bf16)
        norm_backward_chunk(false, true, &b, end);
    else
        norm_backward_chunk(false, false, &b, end);
}

/* Sum of the chunks' partial rows, in order of the chunks. */
static void norm_sum_parts(const ins_norm_args *args, int64_t chunks, int part, bool add, float *out) {
    if (!add) memset(out, 0, (size_t)args->cols * 4);
    for (int64_t i = 0; i < chunks; i++) {
        const float *partial = (const float *)args->scratch + (i * INS_NORM_PARTS + part) * args->cols;
        for (int64_t c = 0; c < args->cols; c++) out[c] += partial[c];
    }
}

static void norm_backward(const ins_norm_args *args, ins_pool *pool) {
    norm_job job = {args, ins_sum_chunk_rows(args->rows)};
    int64_t chunks = ins_ceil_div(args->rows, job.chunk);
    ins_pool_run(pool, chunks, norm_backward_task, &job);
    if (args->d_weight) norm_sum_parts(args, chunks, INS_NORM_PART_WEIGHT, args->accumulate_dw, args->d_weight);
    if (args->d_bias) norm_sum_parts(args, chunks, INS_NORM_PART_BIAS, args->accumulate_dw, args->d_bias);
    if (args->d_x && args->d_x_sum) norm_sum_parts(args, chunks, INS_NORM_PART_SUM, false, args->d_x_sum);
}

const ins_norm_impl INS_CPU(ins_cpu_norm) = {.head = INS_CPU_HEAD, .forward = norm_forward, .backward = norm_backward};
