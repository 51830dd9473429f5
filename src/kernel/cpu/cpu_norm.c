/* Layer norm and RMS norm. A row is worked on in blocks of f32, statistics in f32 over lanes. */
#include <math.h>

#include "kernel/cpu/cpu.h"
#include "kernel/norm_impl.h"

typedef struct norm_job {
    const ins_norm_args *args;
    int64_t chunk; /* rows a task */
} norm_job;

static float norm_sum(const ins_norm_args *args, int64_t r) {
    float work[CPU_BLOCK], sum = 0;
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        const float *x = cpu_view(args->dtype, args->x, r * args->ldx + c, n, work);
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; i++) sum += x[i];
    }
    return sum;
}

static float norm_square_sum(const ins_norm_args *args, int64_t r, float mean) {
    float work[CPU_BLOCK], sum = 0;
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        const float *x = cpu_view(args->dtype, args->x, r * args->ldx + c, n, work);
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    }
    return sum;
}

static void norm_forward_row(const ins_norm_args *args, int64_t r) {
    float mean = args->rms ? 0.0f : norm_sum(args, r) / (float)args->cols;
    float rstd = 1.0f / sqrtf(norm_square_sum(args, r, mean) / (float)args->cols + (float)args->eps);
    float work[CPU_BLOCK], offset = (float)args->weight_offset;
    const float *weight = args->weight, *bias = args->bias;
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        const float *x = cpu_view(args->dtype, args->x, r * args->ldx + c, n, work);
        float out[CPU_BLOCK];
        if (weight)
            for (int64_t i = 0; i < n; i++) out[i] = (x[i] - mean) * rstd * (weight[c + i] + offset);
        else
            for (int64_t i = 0; i < n; i++) out[i] = (x[i] - mean) * rstd;
        if (bias)
            for (int64_t i = 0; i < n; i++) out[i] += bias[c + i];
        cpu_store(args->dtype, out, args->y, r * args->ldy + c, n);
    }
    if (args->mean) ((float *)args->mean)[r] = mean;
    if (args->rstd) ((float *)args->rstd)[r] = rstd;
}

static void norm_forward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const norm_job *job = arg;
    int64_t end = ins_min_i64(job->args->rows, (task + 1) * job->chunk);
    for (int64_t r = task * job->chunk; r < end; r++) norm_forward_row(job->args, r);
}

/* Blocks of one row: x_hat, and g = d_y * weight. */
typedef struct norm_block {
    float x_hat[CPU_BLOCK], grad[CPU_BLOCK], work[CPU_BLOCK];
    const float *d_y;
} norm_block;

static void norm_load_block(const ins_norm_args *args, int64_t r, int64_t c, int64_t n, norm_block *b) {
    float mean = args->rms ? 0.0f : ((const float *)args->mean)[r], rstd = ((const float *)args->rstd)[r];
    const float *x = cpu_view(args->dtype, args->x, r * args->ldx + c, n, b->work);
    for (int64_t i = 0; i < n; i++) b->x_hat[i] = (x[i] - mean) * rstd;
    b->d_y = cpu_view(args->dtype, args->d_y, r * args->ld_dy + c, n, b->work);
    const float *weight = args->weight, *d_y = b->d_y;
    float offset = (float)args->weight_offset;
    if (weight)
        for (int64_t i = 0; i < n; i++) b->grad[i] = d_y[i] * (weight[c + i] + offset);
    else
        memcpy(b->grad, d_y, (size_t)n * 4);
}

/* One row: partial d_weight and d_bias (NULL = not wanted), and d_x. */
static void norm_backward_row(const ins_norm_args *args, int64_t r, float *d_weight, float *d_bias) {
    norm_block b;
    float sum = 0, dot = 0, rstd = ((const float *)args->rstd)[r];
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        norm_load_block(args, r, c, n, &b);
        const float *restrict d_y = b.d_y;
        if (d_weight)
            for (int64_t i = 0; i < n; i++) d_weight[c + i] += d_y[i] * b.x_hat[i];
        if (d_bias)
            for (int64_t i = 0; i < n; i++) d_bias[c + i] += d_y[i];
#pragma omp simd reduction(+ : sum, dot)
        for (int64_t i = 0; i < n; i++) sum += b.grad[i], dot += b.grad[i] * b.x_hat[i];
    }
    if (!args->d_x) return;
    sum = args->rms ? 0.0f : sum / (float)args->cols, dot /= (float)args->cols;
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        norm_load_block(args, r, c, n, &b);
        for (int64_t i = 0; i < n; i++) b.grad[i] = rstd * (b.grad[i] - sum - b.x_hat[i] * dot);
        if (args->accumulate_dx) {
            const float *old = cpu_view(args->dtype, args->d_x, r * args->ld_dx + c, n, b.work);
            for (int64_t i = 0; i < n; i++) b.grad[i] += old[i];
        }
        cpu_store(args->dtype, b.grad, args->d_x, r * args->ld_dx + c, n);
    }
}

static void norm_backward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const norm_job *job = arg;
    const ins_norm_args *args = job->args;
    float *partial = args->scratch ? (float *)args->scratch + task * 2 * args->cols : NULL;
    float *d_weight = args->d_weight ? partial : NULL, *d_bias = args->d_bias ? partial + args->cols : NULL;
    if (d_weight) memset(d_weight, 0, (size_t)args->cols * 4);
    if (d_bias) memset(d_bias, 0, (size_t)args->cols * 4);
    int64_t end = ins_min_i64(args->rows, (task + 1) * job->chunk);
    for (int64_t r = task * job->chunk; r < end; r++) norm_backward_row(args, r, d_weight, d_bias);
}

/* Sum of the chunks' partial rows, in order of the chunks. */
static void norm_sum_partials(const ins_norm_args *args, int64_t chunks, int64_t offset, float *out) {
    const float *partial = (const float *)args->scratch + offset;
    if (!args->accumulate_dw) memset(out, 0, (size_t)args->cols * 4);
    for (int64_t i = 0; i < chunks; i++)
        for (int64_t c = 0; c < args->cols; c++) out[c] += partial[i * 2 * args->cols + c];
}

static void norm_forward(const ins_norm_args *args, ins_pool *pool) {
    norm_job job = {args, ins_max_i64(1, 8192 / args->cols)};
    ins_pool_run(pool, ins_ceil_div(args->rows, job.chunk), norm_forward_task, &job);
}

static void norm_backward(const ins_norm_args *args, ins_pool *pool) {
    norm_job job = {args, ins_norm_chunk_rows(args->rows)};
    int64_t chunks = ins_ceil_div(args->rows, job.chunk);
    ins_pool_run(pool, chunks, norm_backward_task, &job);
    if (args->d_weight) norm_sum_partials(args, chunks, 0, args->d_weight);
    if (args->d_bias) norm_sum_partials(args, chunks, args->cols, args->d_bias);
}

const ins_norm_impl INS_CPU(ins_cpu_norm) = {.head = INS_CPU_HEAD, .forward = norm_forward, .backward = norm_backward};
