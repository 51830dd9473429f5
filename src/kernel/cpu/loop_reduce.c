/* Sums, maxima and other folds. */
#include <math.h>

#include "kernel/cpu/loops.h"

static double fold_block(ins_fold kind, int64_t n, const real *x, const real *y) {
    double total = 0;
    real max = 0;
    int bad = 0;
    switch (kind) {
    case INS_FOLD_SUM:
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < n; i++) total += (double)x[i];
        break;
    case INS_FOLD_SUMSQ:
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < n; i++) total += (double)x[i] * (double)x[i];
        break;
    case INS_FOLD_DOT:
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < n; i++) total += (double)x[i] * (double)y[i];
        break;
    case INS_FOLD_MAXABS:
#pragma omp simd reduction(max : max) reduction(| : bad)
        for (int64_t i = 0; i < n; i++) {
            real size = x[i] < 0 ? -x[i] : x[i];
            max = size > max ? size : max;
            bad |= x[i] != x[i];
        }
        return bad ? (double)NAN : (double)max;
    case INS_FOLD_NOT_FINITE: /* x - x is 0 for finite x, else NaN */
#pragma omp simd reduction(| : bad)
        for (int64_t i = 0; i < n; i++) bad |= !(x[i] - x[i] == 0);
        return bad;
    }
    return total;
}

double INS_CPU(ins_loop_fold)(ins_fold kind, ins_dtype dtype, int64_t n, const void *x, const void *y) {
    real work_x[CPU_BLOCK], work_y[CPU_BLOCK];
    double total = 0;
    int64_t step = IS_REAL(dtype) ? 8 * CPU_BLOCK : CPU_BLOCK;
    for (int64_t at = 0; at < n; at += step) {
        int64_t count = ins_min_i64(step, n - at);
        const real *left = cpu_view(dtype, x, at, count, work_x);
        const real *right = y ? cpu_view(dtype, y, at, count, work_y) : left;
        double part = fold_block(kind, count, left, right);
        if (kind == INS_FOLD_MAXABS || kind == INS_FOLD_NOT_FINITE)
            total = part > total || part != part ? part : total;
        else
            total += part;
        if (total != total) return total;
    }
    return total;
}

/* ---- one axis ---------------------------------------------------------------------------------------------------- */

#define AXIS_WIDTH 256 /* columns of a task when inner > 1 */

static real axis_start(ins_reduce op) {
    return op == INS_REDUCE_MAX ? -(real)INFINITY : op == INS_REDUCE_MIN ? (real)INFINITY : 0;
}

static real axis_finish(const ins_reduce_args *args, real value) {
    return args->op == INS_REDUCE_MEAN ? value / (real)args->axis : value;
}

/* Last axis: one contiguous row. */
static real axis_row(const ins_reduce_args *args, int64_t at) {
    real work[CPU_BLOCK], total = axis_start(args->op);
    for (int64_t c = 0; c < args->axis; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->axis - c);
        const real *x = cpu_view(args->dtype, args->x, at + c, n, work);
        switch (args->op) {
        case INS_REDUCE_SUM:
        case INS_REDUCE_MEAN:
#pragma omp simd reduction(+ : total)
            for (int64_t i = 0; i < n; i++) total += x[i];
            break;
        case INS_REDUCE_SUMSQ:
#pragma omp simd reduction(+ : total)
            for (int64_t i = 0; i < n; i++) total += x[i] * x[i];
            break;
        case INS_REDUCE_MAX:
            for (int64_t i = 0; i < n; i++) total = x[i] > total || x[i] != x[i] ? x[i] : total;
            break;
        case INS_REDUCE_MIN:
            for (int64_t i = 0; i < n; i++) total = x[i] < total || x[i] != x[i] ? x[i] : total;
            break;
        case INS_REDUCE_COUNT:
            break;
        }
    }
    return axis_finish(args, total);
}

/* Another axis: n neighbouring columns, down the axis. */
static void axis_columns(const ins_reduce_args *args, int64_t at, int64_t n, real *total) {
    real work[AXIS_WIDTH];
    for (int64_t i = 0; i < n; i++) total[i] = axis_start(args->op);
    for (int64_t r = 0; r < args->axis; r++) {
        const real *x = cpu_view(args->dtype, args->x, at + r * args->inner, n, work);
        switch (args->op) {
        case INS_REDUCE_SUM:
        case INS_REDUCE_MEAN:
            for (int64_t i = 0; i < n; i++) total[i] += x[i];
            break;
        case INS_REDUCE_SUMSQ:
            for (int64_t i = 0; i < n; i++) total[i] += x[i] * x[i];
            break;
        case INS_REDUCE_MAX:
            for (int64_t i = 0; i < n; i++) total[i] = x[i] > total[i] || x[i] != x[i] ? x[i] : total[i];
            break;
        case INS_REDUCE_MIN:
            for (int64_t i = 0; i < n; i++) total[i] = x[i] < total[i] || x[i] != x[i] ? x[i] : total[i];
            break;
        case INS_REDUCE_COUNT:
            break;
        }
    }
    for (int64_t i = 0; i < n; i++) total[i] = axis_finish(args, total[i]);
}

static void axis_store(const ins_reduce_args *args, int64_t at, int64_t n, real *total) {
    real work[AXIS_WIDTH];
    if (args->accumulate) {
        const real *old = cpu_view(args->dtype, args->out, at, n, work);
        for (int64_t i = 0; i < n; i++) total[i] += old[i];
    }
    cpu_store(args->dtype, total, args->out, at, n);
}

static int64_t axis_rows_a_task(const ins_reduce_args *args) {
    return ins_max_i64(1, ins_min_i64(AXIS_WIDTH, LOOP_CHUNK / ins_max_i64(1, args->axis)));
}

static void axis_row_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_reduce_args *args = arg;
    int64_t rows = axis_rows_a_task(args), first = task * rows, n = ins_min_i64(rows, args->outer - first);
    real total[AXIS_WIDTH];
    for (int64_t i = 0; i < n; i++) total[i] = axis_row(args, (first + i) * args->axis);
    axis_store(args, first, n, total);
}

static void axis_column_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_reduce_args *args = arg;
    int64_t col_tasks = ins_ceil_div(args->inner, AXIS_WIDTH), row = task / col_tasks,
            col = task % col_tasks * AXIS_WIDTH;
    int64_t n = ins_min_i64(AXIS_WIDTH, args->inner - col);
    real total[AXIS_WIDTH];
    axis_columns(args, row * args->axis * args->inner + col, n, total);
    axis_store(args, row * args->inner + col, n, total);
}

void INS_CPU(ins_loop_reduce_axis)(const ins_reduce_args *args, ins_pool *pool) {
    ins_reduce_args copy = *args;
    if (args->inner == 1)
        ins_pool_run(pool, ins_ceil_div(args->outer, axis_rows_a_task(args)), axis_row_task, &copy);
    else
        ins_pool_run(pool, args->outer * ins_ceil_div(args->inner, AXIS_WIDTH), axis_column_task, &copy);
}

/* ---- arg max ----------------------------------------------------------------------------------------------------- */

typedef struct argmax_job {
    ins_dtype dtype;
    int64_t rows, cols, ldx, chunk;
    const void *x;
    int32_t *index;
} argmax_job;

static int32_t argmax_row(const argmax_job *job, int64_t r) {
    real work[CPU_BLOCK], best = -(real)INFINITY;
    int64_t found = 0;
    for (int64_t c = 0; c < job->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, job->cols - c);
        const real *x = cpu_view(job->dtype, job->x, r * job->ldx + c, n, work);
        real max = -(real)INFINITY;
#pragma omp simd reduction(max : max)
        for (int64_t i = 0; i < n; i++) max = x[i] > max ? x[i] : max;
        if (!(max > best)) continue;
        best = max, found = c;
        while (x[found - c] != max) found++;
    }
    return (int32_t)found;
}

static void argmax_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const argmax_job *job = arg;
    int64_t end = ins_min_i64(job->rows, (task + 1) * job->chunk);
    for (int64_t r = task * job->chunk; r < end; r++) job->index[r] = argmax_row(job, r);
}

void INS_CPU(ins_loop_argmax)(ins_dtype dtype, int64_t rows, int64_t cols, const void *x, int64_t ldx, int32_t *index,
                              ins_pool *pool) {
    argmax_job job = {dtype, rows, cols, ldx, ins_max_i64(1, LOOP_CHUNK / cols), x, index};
    ins_pool_run(pool, ins_ceil_div(rows, job.chunk), argmax_task, &job);
}
