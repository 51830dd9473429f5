/* Elementwise arithmetic over strided operands, in blocks of `real`. */
#include <math.h>

#include "kernel/cpu/loops.h"
#include "kernel/cpu/vio.h"

/* ---- x op y ---------------------------------------------------------------------------------------------------- */

typedef struct binary_job {
    const ins_binary_args *args;
    int64_t inner, rows; /* elements of the last dimension; rows of it */
    int64_t rows_a_task, cols_a_task, col_tasks;
} binary_job;

static void binary_block(ins_binary op, int64_t n, const real *x, const real *y, real *out) {
    switch (op) {
    case INS_BINARY_ADD:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] + y[i];
        break;
    case INS_BINARY_SUB:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] - y[i];
        break;
    case INS_BINARY_MUL:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] * y[i];
        break;
    case INS_BINARY_DIV:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] / y[i];
        break;
    case INS_BINARY_MAX: /* NaN if either is NaN */
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] > y[i] || x[i] != x[i] ? x[i] : y[i];
        break;
    case INS_BINARY_MIN:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] < y[i] || x[i] != x[i] ? x[i] : y[i];
        break;
    case INS_BINARY_POW:
        for (int64_t i = 0; i < n; i++)
            out[i] = sizeof(real) == 4 ? (real)powf((float)x[i], (float)y[i]) : (real)pow(x[i], y[i]);
        break;
    case INS_BINARY_EQUAL:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] == y[i] ? (real)1 : (real)0;
        break;
    case INS_BINARY_LESS:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] < y[i] ? (real)1 : (real)0;
        break;
    case INS_BINARY_LESS_EQUAL:
#pragma omp simd
        for (int64_t i = 0; i < n; i++) out[i] = x[i] <= y[i] ? (real)1 : (real)0;
        break;
    case INS_BINARY_COUNT:
        break;
    }
}

/* n values from index `at`, `stride` apart, as a dense block. */
static const real *loop_gather(ins_dtype dtype, const void *src, int64_t at, int64_t stride, int64_t n, real *work) {
    if (stride == 1) return cpu_view(dtype, src, at, n, work);
    if (stride == 0) {
        cpu_load(dtype, src, at, 1, work);
        for (int64_t i = 1; i < n; i++) work[i] = work[0];
    } else {
        for (int64_t i = 0; i < n; i++) cpu_load(dtype, src, at + i * stride, 1, work + i);
    }
    return work;
}

static int64_t loop_offset(int n_dims, const int64_t *dims, const int64_t *stride, int64_t row) {
    int64_t at = 0;
    for (int d = n_dims - 2; d >= 0; d--) at += row % dims[d] * stride[d], row /= dims[d];
    return at;
}

static void binary_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const binary_job *job = arg;
    const ins_binary_args *args = job->args;
    int last = args->n_dims - 1;
    int64_t row0 = task / job->col_tasks * job->rows_a_task, col0 = task % job->col_tasks * job->cols_a_task;
    int64_t row1 = ins_min_i64(job->rows, row0 + job->rows_a_task),
            col1 = ins_min_i64(job->inner, col0 + job->cols_a_task);
    int64_t step_x = args->stride_x[last], step_y = args->stride_y[last];
    real work_x[CPU_BLOCK], work_y[CPU_BLOCK], work_out[CPU_BLOCK];
    for (int64_t r = row0; r < row1; r++) {
        int64_t at_x = loop_offset(args->n_dims, args->dims, args->stride_x, r);
        int64_t at_y = loop_offset(args->n_dims, args->dims, args->stride_y, r);
        for (int64_t c = col0; c < col1; c += CPU_BLOCK) {
            int64_t n = ins_min_i64(CPU_BLOCK, col1 - c), at = r * job->inner + c;
            const real *x = loop_gather(args->dtype, args->x, at_x + c * step_x, step_x, n, work_x);
            const real *y = loop_gather(args->dtype, args->y, at_y + c * step_y, step_y, n, work_y);
            binary_block(args->op, n, x, y, cpu_target(args->dtype, args->out, at, work_out));
            cpu_put(args->dtype, work_out, args->out, at, n);
        }
    }
}

void INS_CPU(ins_loop_binary)(const ins_binary_args *args, ins_pool *pool) {
    binary_job job = {.args = args, .inner = args->dims[args->n_dims - 1], .rows = 1};
    for (int d = 0; d < args->n_dims - 1; d++) job.rows *= args->dims[d];
    job.cols_a_task = ins_min_i64(job.inner, LOOP_CHUNK);
    job.col_tasks = ins_ceil_div(job.inner, job.cols_a_task);
    job.rows_a_task = ins_max_i64(1, LOOP_CHUNK / job.inner);
    ins_pool_run(pool, ins_ceil_div(job.rows, job.rows_a_task) * job.col_tasks, binary_task, &job);
}

/* ---- y = alpha x + beta, y += alpha x, bf16 <-> f32 -------------------------------------------------------------- */

typedef struct map_job {
    ins_dtype dtype_x, dtype_y;
    int64_t n;
    real alpha, beta;
    bool add;
    const void *x;
    void *y;
} map_job;

static void map_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const map_job *job = arg;
    real work_x[CPU_BLOCK], work_y[CPU_BLOCK], out[CPU_BLOCK], alpha = job->alpha, beta = job->beta;
    int64_t end = ins_min_i64(job->n, (task + 1) * LOOP_CHUNK);
    for (int64_t at = task * LOOP_CHUNK; at < end; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, end - at);
        const real *x = cpu_view(job->dtype_x, job->x, at, n, work_x);
        if (job->add) {
            const real *y = cpu_view(job->dtype_y, job->y, at, n, work_y);
            for (int64_t i = 0; i < n; i++) out[i] = y[i] + alpha * x[i];
        } else {
            for (int64_t i = 0; i < n; i++) out[i] = alpha * x[i] + beta;
        }
        cpu_store(job->dtype_y, out, job->y, at, n);
    }
}

void INS_CPU(ins_loop_affine)(ins_dtype dtype, int64_t n, double alpha, double beta, const void *x, void *y,
                              ins_pool *pool) {
    map_job job = {dtype, dtype, n, (real)alpha, (real)beta, false, x, y};
    ins_pool_run(pool, ins_ceil_div(n, LOOP_CHUNK), map_task, &job);
}

void INS_CPU(ins_loop_axpy)(ins_dtype dtype, int64_t n, double alpha, const void *x, void *y, ins_pool *pool) {
    map_job job = {dtype, dtype, n, (real)alpha, 0, true, x, y};
    ins_pool_run(pool, ins_ceil_div(n, LOOP_CHUNK), map_task, &job);
}

#ifndef INS_CPU_F64
static void cast_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const map_job *job = arg;
    int64_t at = task * LOOP_CHUNK, n = ins_min_i64(LOOP_CHUNK, job->n - at);
    if (job->dtype_x == INS_DTYPE_F32)
        cpu_store(INS_DTYPE_BF16, (const float *)job->x + at, job->y, at, n);
    else
        cpu_load(INS_DTYPE_BF16, job->x, at, n, (float *)job->y + at);
}

void INS_CPU(ins_loop_to_bf16)(int64_t n, const void *x, void *y, ins_pool *pool) {
    map_job job = {INS_DTYPE_F32, INS_DTYPE_BF16, n, 1, 0, false, x, y};
    ins_pool_run(pool, ins_ceil_div(n, LOOP_CHUNK), cast_task, &job);
}

void INS_CPU(ins_loop_from_bf16)(int64_t n, const void *x, void *y, ins_pool *pool) {
    map_job job = {INS_DTYPE_BF16, INS_DTYPE_F32, n, 1, 0, false, x, y};
    ins_pool_run(pool, ins_ceil_div(n, LOOP_CHUNK), cast_task, &job);
}
#endif

/* ---- rows: bias, column sums ------------------------------------------------------------------------------------- */

static void bias_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_bias_args *args = arg;
    int64_t chunk = ins_max_i64(1, LOOP_CHUNK / args->cols), end = ins_min_i64(args->rows, (task + 1) * chunk);
    real work[CPU_BLOCK], out[CPU_BLOCK];
    for (int64_t r = task * chunk; r < end; r++)
        for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
            int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
            const real *x = cpu_view(args->dtype, args->x, r * args->ldx + c, n, work);
            const real *bias = (const real *)args->bias + c;
            for (int64_t i = 0; i < n; i++) out[i] = x[i] + bias[i];
            cpu_store(args->dtype, out, args->y, r * args->ldy + c, n);
        }
}

void INS_CPU(ins_loop_bias_add)(const ins_bias_args *args, ins_pool *pool) {
    ins_bias_args copy = *args;
    ins_pool_run(pool, ins_ceil_div(args->rows, ins_max_i64(1, LOOP_CHUNK / args->cols)), bias_task, &copy);
}

#ifndef INS_CPU_F64
/* sum[0..n) += rows [row, end) of columns [col, col + n), one after the other; eight rows a pass over `sum`. */
INS_INLINE void column_add_rows(const bool half, const int rows, const ins_column_sum_args *args, int64_t row,
                                int64_t col, int64_t n, float *sum) {
    for (int64_t c = 0; c < n; c += VL) {
        int64_t part = ins_min_i64(VL, n - c);
        vf zero = vf_set(0), total = vio_load_n(false, sum, c, part, zero);
        CPU_UNROLL
        for (int k = 0; k < rows; k++) total += vio_load_n(half, args->x, (row + k) * args->ldx + col + c, part, zero);
        vio_store_n(false, sum, c, part, total);
    }
}

INS_INLINE void column_add_of(const bool half, const ins_column_sum_args *args, int64_t row, int64_t end, int64_t col,
                              int64_t n, float *sum) {
    for (; row + 8 <= end; row += 8) column_add_rows(half, 8, args, row, col, n, sum);
    for (; row < end; row++) column_add_rows(half, 1, args, row, col, n, sum);
}

static void column_add(const ins_column_sum_args *args, int64_t row, int64_t end, int64_t col, int64_t n, real *sum) {
    if (args->dtype == INS_DTYPE_BF16)
        column_add_of(true, args, row, end, col, n, sum);
    else
        column_add_of(false, args, row, end, col, n, sum);
}
#else
static void column_add(const ins_column_sum_args *args, int64_t row, int64_t end, int64_t col, int64_t n, real *sum) {
    for (; row < end; row++) {
        const real *x = (const real *)args->x + row * args->ldx + col;
        for (int64_t i = 0; i < n; i++) sum[i] += x[i];
    }
}
#endif

static void column_put(const ins_column_sum_args *args, int64_t col, int64_t n, const real *sum) {
    real *out = (real *)args->out + col;
    for (int64_t i = 0; i < n; i++) out[i] = args->accumulate ? out[i] + sum[i] : sum[i];
}

/* A task owns some columns and goes down all rows. */
#define COLUMN_WIDTH 128

static void column_band_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_column_sum_args *args = arg;
    int64_t col = task * COLUMN_WIDTH, n = ins_min_i64(COLUMN_WIDTH, args->cols - col);
    int64_t chunk = ins_sum_chunk_rows(args->rows);
    real total[COLUMN_WIDTH] = {0};
    for (int64_t row = 0; row < args->rows; row += chunk) {
        real sum[COLUMN_WIDTH] = {0};
        column_add(args, row, ins_min_i64(args->rows, row + chunk), col, n, sum);
        for (int64_t i = 0; i < n; i++) total[i] += sum[i];
    }
    column_put(args, col, n, total);
}

/* A task owns a chunk of rows and leaves its sums in the scratch: memory is read in long runs. */
static void column_chunk_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_column_sum_args *args = arg;
    int64_t chunk = ins_sum_chunk_rows(args->rows), row = task * chunk;
    real *sum = (real *)args->scratch + task * args->cols;
    memset(sum, 0, (size_t)args->cols * sizeof(real));
    column_add(args, row, ins_min_i64(args->rows, row + chunk), 0, args->cols, sum);
}

static void column_join_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_column_sum_args *args = arg;
    int64_t col = task * CPU_BLOCK, n = ins_min_i64(CPU_BLOCK, args->cols - col);
    int64_t chunks = ins_ceil_div(args->rows, ins_sum_chunk_rows(args->rows));
    real total[CPU_BLOCK] = {0};
    for (int64_t i = 0; i < chunks; i++) {
        const real *sum = (const real *)args->scratch + i * args->cols + col;
        for (int64_t c = 0; c < n; c++) total[c] += sum[c];
    }
    column_put(args, col, n, total);
}

void INS_CPU(ins_loop_column_sum)(const ins_column_sum_args *args, ins_pool *pool) {
    ins_column_sum_args copy = *args;
    if (!args->scratch || args->rows <= 0) {
        ins_pool_run(pool, ins_ceil_div(args->cols, COLUMN_WIDTH), column_band_task, &copy);
        return;
    }
    ins_pool_run(pool, ins_ceil_div(args->rows, ins_sum_chunk_rows(args->rows)), column_chunk_task, &copy);
    ins_pool_run(pool, ins_ceil_div(args->cols, CPU_BLOCK), column_join_task, &copy);
}

/* ---- dst += src over strides ------------------------------------------------------------------------------------- */

static void strided_add_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_strided_args *args = arg;
    int last = args->n_dims - 1;
    int64_t inner = args->dims[last], step_src = args->stride_src[last], step_dst = args->stride_dst[last];
    int64_t rows = 1, chunk = ins_max_i64(1, LOOP_CHUNK / inner);
    for (int d = 0; d < last; d++) rows *= args->dims[d];
    real work_src[CPU_BLOCK], work_dst[CPU_BLOCK], out[CPU_BLOCK];
    for (int64_t r = task * chunk; r < ins_min_i64(rows, (task + 1) * chunk); r++) {
        int64_t at_src = loop_offset(args->n_dims, args->dims, args->stride_src, r);
        int64_t at_dst = loop_offset(args->n_dims, args->dims, args->stride_dst, r);
        for (int64_t c = 0; c < inner; c += CPU_BLOCK) {
            int64_t n = ins_min_i64(CPU_BLOCK, inner - c);
            const real *src = loop_gather(args->dtype, args->src, at_src + c * step_src, step_src, n, work_src);
            const real *dst = loop_gather(args->dtype, args->dst, at_dst + c * step_dst, step_dst, n, work_dst);
            for (int64_t i = 0; i < n; i++) out[i] = dst[i] + src[i];
            if (step_dst == 1) {
                cpu_store(args->dtype, out, args->dst, at_dst + c, n);
                continue;
            }
            for (int64_t i = 0; i < n; i++) cpu_store(args->dtype, out + i, args->dst, at_dst + (c + i) * step_dst, 1);
        }
    }
}

void INS_CPU(ins_loop_strided_add)(const ins_strided_args *args, ins_pool *pool) {
    ins_strided_args copy = *args;
    int64_t inner = args->dims[args->n_dims - 1], rows = 1;
    for (int d = 0; d < args->n_dims - 1; d++) rows *= args->dims[d];
    ins_pool_run(pool, ins_ceil_div(rows, ins_max_i64(1, LOOP_CHUNK / inner)), strided_add_task, &copy);
}
