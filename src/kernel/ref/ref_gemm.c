/* Reference matrix product: C[m,n] (+)= op(A) op(B) + bias, the sum over k in order. */
#include "kernel/gemm_impl.h"
#include "kernel/ref/ref.h"

#define GEMM_REF_ROWS 16

typedef struct gemm_job {
    const ins_gemm_args *args;
    const ins_gemm_batch *batch;
    int64_t row_tasks;
} gemm_job;

static void gemm_row(const ins_gemm_args *args, const ins_real *mat_a, const ins_real *mat_b, ins_real *row_c,
                     int64_t i) {
    const ins_real *bias = args->bias;
    for (int64_t j = 0; j < args->n; j++)
        row_c[j] = (args->accumulate ? row_c[j] : (ins_real)0) + (bias ? bias[j] : (ins_real)0);
    for (int64_t p = 0; p < args->k; p++) {
        ins_real left = args->trans_a ? mat_a[p * args->lda + i] : mat_a[i * args->lda + p];
        if (args->trans_b)
            for (int64_t j = 0; j < args->n; j++) row_c[j] += left * mat_b[j * args->ldb + p];
        else
            for (int64_t j = 0; j < args->n; j++) row_c[j] += left * mat_b[p * args->ldb + j];
    }
}

static void gemm_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const gemm_job *job = arg;
    const ins_gemm_args *args = job->args;
    int64_t item = task / job->row_tasks, first = task % job->row_tasks * GEMM_REF_ROWS;
    const ins_real *mat_a = (const ins_real *)args->a + item * job->batch->stride_a;
    const ins_real *mat_b = (const ins_real *)args->b + item * job->batch->stride_b;
    ins_real *mat_c = (ins_real *)args->c + item * job->batch->stride_c;
    for (int64_t i = first; i < ins_min_i64(args->m, first + GEMM_REF_ROWS); i++)
        gemm_row(args, mat_a, mat_b, mat_c + i * args->ldc, i);
}

static void gemm_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    gemm_job job = {args, batch, ins_ceil_div(args->m, GEMM_REF_ROWS)};
    ins_pool_run(pool, batch->batch * job.row_tasks, gemm_task, &job);
}

const ins_gemm_impl INS_REF(ins_ref_gemm) = {.head = INS_REF_HEAD, .run = gemm_run};
