/* Softmax and log-softmax, row by row in blocks of f32. */
#include <math.h>

#include "kernel/cpu/vmath.h"
#include "kernel/softmax_impl.h"

typedef struct softmax_job {
    const ins_softmax_args *args;
    int64_t chunk; /* rows a task */
} softmax_job;

static float softmax_row_max(const ins_softmax_args *args, int64_t r) {
    float work[CPU_BLOCK], max = -INFINITY;
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        const float *x = cpu_view(args->dtype, args->x, r * args->ldx + c, n, work);
        max = cpu_max(x, n, max);
    }
    return max;
}

static float softmax_row_sum(const ins_softmax_args *args, int64_t r, float max) {
    float work[CPU_BLOCK], sum = 0;
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        const float *x = cpu_view(args->dtype, args->x, r * args->ldx + c, n, work);
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < n; i++) sum += vm_exp_neg(x[i] - max);
    }
    return sum;
}

static void softmax_forward_row(const ins_softmax_args *args, int64_t r) {
    float max = softmax_row_max(args, r);
    if (max == -INFINITY) max = 0; /* all masked: exp gives 0 everywhere */
    float sum = softmax_row_sum(args, r, max), log_sum = logf(sum);
    float inverse = sum > 0 ? 1.0f / sum : (sum == 0 ? 0.0f : sum);
    float work[CPU_BLOCK], out[CPU_BLOCK];
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        const float *x = cpu_view(args->dtype, args->x, r * args->ldx + c, n, work);
        if (args->log && sum == 0)
            for (int64_t i = 0; i < n; i++) out[i] = -INFINITY;
        else if (args->log)
            for (int64_t i = 0; i < n; i++) out[i] = (x[i] - max) - log_sum;
        else
            for (int64_t i = 0; i < n; i++) out[i] = vm_exp_neg(x[i] - max) * inverse;
        cpu_store(args->dtype, out, args->y, r * args->ldy + c, n);
    }
}

static void softmax_backward_row(const ins_softmax_args *args, int64_t r) {
    float work_y[CPU_BLOCK], work_g[CPU_BLOCK], out[CPU_BLOCK], sum = 0;
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        const float *y = cpu_view(args->dtype, args->y, r * args->ldy + c, n, work_y);
        const float *d_y = cpu_view(args->dtype, args->d_y, r * args->ld_dy + c, n, work_g);
        if (args->log) {
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < n; i++) sum += d_y[i];
        } else {
#pragma omp simd reduction(+ : sum)
            for (int64_t i = 0; i < n; i++) sum += d_y[i] * y[i];
        }
    }
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        const float *y = cpu_view(args->dtype, args->y, r * args->ldy + c, n, work_y);
        const float *d_y = cpu_view(args->dtype, args->d_y, r * args->ld_dy + c, n, work_g);
        if (args->log)
            for (int64_t i = 0; i < n; i++) out[i] = d_y[i] - vm_exp(y[i]) * sum;
        else
            for (int64_t i = 0; i < n; i++) out[i] = y[i] * (d_y[i] - sum);
        cpu_store(args->dtype, out, args->d_x, r * args->ld_dx + c, n);
    }
}

static void softmax_forward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const softmax_job *job = arg;
    int64_t end = ins_min_i64(job->args->rows, (task + 1) * job->chunk);
    for (int64_t r = task * job->chunk; r < end; r++) softmax_forward_row(job->args, r);
}

static void softmax_backward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const softmax_job *job = arg;
    int64_t end = ins_min_i64(job->args->rows, (task + 1) * job->chunk);
    for (int64_t r = task * job->chunk; r < end; r++) softmax_backward_row(job->args, r);
}

static void softmax_run(const ins_softmax_args *args, ins_task_fn fn, ins_pool *pool) {
    softmax_job job = {args, ins_max_i64(1, 8192 / args->cols)};
    ins_pool_run(pool, ins_ceil_div(args->rows, job.chunk), fn, &job);
}

static void softmax_forward(const ins_softmax_args *args, ins_pool *pool) {
    softmax_run(args, softmax_forward_task, pool);
}

static void softmax_backward(const ins_softmax_args *args, ins_pool *pool) {
    softmax_run(args, softmax_backward_task, pool);
}

const ins_softmax_impl INS_CPU(ins_cpu_softmax) = {
    .head = INS_CPU_HEAD, .forward = softmax_forward, .backward = softmax_backward};
