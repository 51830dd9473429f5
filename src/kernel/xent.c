/* Fused output layer and cross-entropy: per chunk of rows one product for the logits, the rows' loss and gradient in
 * place, one product for d_x and one for d_w. */
#include "kernel/xent.h"

#include <string.h>

#include "kernel/elementwise.h"
#include "kernel/gemm.h"
#include "kernel/gemm_impl.h"
#include "kernel/xent_impl.h"

#define XENT_CHUNK_BYTES ((int64_t)64 << 20)

const ins_impl_head *const ins_xent_impls[] = {INS_CPU_LIST(ins_cpu_xent), &ins_ref_xent_f32.head,
                                               &ins_ref_xent_f64.head, NULL};

typedef struct xent_job {
    const ins_linear_xent_args *args;
    const ins_xent_impl *impl;
    ins_dtype acc;
    int64_t row0, n_rows; /* the chunk */
    int64_t ldz;          /* row stride of the logits, acc elements */
    double *losses;       /* [N] weighted loss of each row */
    char *logits;         /* [chunk, ldz] acc */
} xent_job;

static int64_t xent_ldz(const ins_linear_xent_args *args) {
    return (args->v + 15) / 16 * 16;
}

static int64_t xent_chunk_rows(const ins_linear_xent_args *args) {
    int64_t row_bytes = ins_max_i64(64, xent_ldz(args) * (int64_t)ins_acc_size(args->dtype));
    int64_t most = ins_max_i64(1, XENT_CHUNK_BYTES / row_bytes);
    return ins_ceil_div(args->n, ins_ceil_div(args->n, most));
}

size_t ins_linear_xent_scratch(const ins_linear_xent_args *args) {
    if (args->n <= 0) return 0;
    size_t losses = ((size_t)args->n * sizeof(double) + 63) / 64 * 64;
    return losses + (size_t)(xent_chunk_rows(args) * xent_ldz(args)) * ins_acc_size(args->dtype);
}

static double xent_acc_get(ins_dtype acc, const void *src, int64_t at) {
    return acc == INS_DTYPE_F64 ? ((const double *)src)[at] : (double)((const float *)src)[at];
}

static void xent_acc_set(ins_dtype acc, void *dst, int64_t at, double value) {
    if (!dst) return;
    if (acc == INS_DTYPE_F64)
        ((double *)dst)[at] = value;
    else
        ((float *)dst)[at] = (float)value;
}

static bool xent_wants_grad(const ins_linear_xent_args *args) {
    return args->d_x || args->d_w || args->d_bias;
}

static void xent_row_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const xent_job *job = arg;
    const ins_linear_xent_args *args = job->args;
    int64_t at = job->row0 + task;
    double weight = args->weights ? xent_acc_get(job->acc, args->weights, at) : 1;
    char *z = job->logits + task * job->ldz * (int64_t)ins_acc_size(job->acc);
    ins_xent_row row = {.v = args->v,
                        .target = args->targets[at],
                        .smoothing = args->label_smoothing,
                        .z_loss = args->z_loss,
                        .factor = weight * args->d_loss,
                        .grad = xent_wants_grad(args),
                        .grad_bf16 = args->dtype == INS_DTYPE_BF16,
                        .z = z};
    if (row.target >= 0)
        job->impl->row(&row);
    else if (row.grad)
        memset(z, 0, (size_t)job->ldz * ins_acc_size(job->acc));
    job->losses[at] = row.target >= 0 ? weight * row.nll : 0;
    xent_acc_set(job->acc, args->nll, at, row.nll);
    xent_acc_set(job->acc, args->correct, at, row.correct);
}

static ins_status xent_logits(const xent_job *job, ins_pool *pool, ins_error *err) {
    const ins_linear_xent_args *args = job->args;
    ins_gemm_args gemm = {
        .trans_b = !args->trans_w,
        .m = job->n_rows,
        .n = args->v,
        .k = args->d,
        .a = ins_at(args->x, args->dtype, job->row0 * args->ldx),
        .lda = args->ldx,
        .b = args->w,
        .ldb = args->ldw,
        .c = job->logits,
        .ldc = job->ldz,
        .dtype_a = args->dtype,
        .dtype_b = args->dtype,
        .dtype_c = job->acc,
        .bias = args->bias,
        .choices = args->gemm_choices,
    };
    return ins_gemm(&gemm, pool, err);
}

static ins_status xent_d_x(const xent_job *job, int64_t ld, ins_pool *pool, ins_error *err) {
    const ins_linear_xent_args *args = job->args;
    ins_gemm_args gemm = {
        .trans_b = args->trans_w,
        .m = job->n_rows,
        .n = args->d,
        .k = args->v,
        .a = job->logits,
        .lda = ld,
        .b = args->w,
        .ldb = args->ldw,
        .c = (char *)(uintptr_t)ins_at(args->d_x, args->dtype, job->row0 * args->ld_dx),
        .ldc = args->ld_dx,
        .dtype_a = args->dtype,
        .dtype_b = args->dtype,
        .dtype_c = args->dtype,
        .choices = args->gemm_choices,
    };
    return ins_gemm(&gemm, pool, err);
}

/* d_w[V,D] += dz^T x, or with trans_w d_w[D,V] += x^T dz. */
static ins_status xent_d_w(const xent_job *job, int64_t ld, bool accumulate, ins_pool *pool, ins_error *err) {
    const ins_linear_xent_args *args = job->args;
    const void *x = ins_at(args->x, args->dtype, job->row0 * args->ldx);
    ins_gemm_args gemm = {
        .trans_a = true,
        .m = args->trans_w ? args->d : args->v,
        .n = args->trans_w ? args->v : args->d,
        .k = job->n_rows,
        .a = args->trans_w ? x : job->logits,
        .lda = args->trans_w ? args->ldx : ld,
        .b = args->trans_w ? job->logits : x,
        .ldb = args->trans_w ? ld : args->ldx,
        .c = args->d_w,
        .ldc = args->ld_dw,
        .dtype_a = args->dtype,
        .dtype_b = args->dtype,
        .dtype_c = job->acc,
        .accumulate = accumulate,
        .choices = args->gemm_choices,
    };
    return ins_gemm(&gemm, pool, err);
}

static ins_status xent_chunk(const xent_job *job, ins_pool *pool, ins_error *err) {
    const ins_linear_xent_args *args = job->args;
    bool accumulate = args->accumulate_dw || job->row0 > 0;
    INS_TRY(xent_logits(job, pool, err));
    ins_pool_run(pool, job->n_rows, xent_row_task, (void *)(uintptr_t)job);
    /* Gradients in bf16 fill the first half of each row of logits. */
    int64_t ld = args->dtype == INS_DTYPE_BF16 ? 2 * job->ldz : job->ldz;
    if (args->d_x) INS_TRY(xent_d_x(job, ld, pool, err));
    if (args->d_w) INS_TRY(xent_d_w(job, ld, accumulate, pool, err));
    if (!args->d_bias) return INS_OK;
    ins_column_sum_args sum = {.dtype = args->dtype,
                               .rows = job->n_rows,
                               .cols = args->v,
                               .x = job->logits,
                               .ldx = ld,
                               .out = args->d_bias,
                               .accumulate = accumulate};
    return ins_column_sum(&sum, pool, err);
}

static void xent_zero(const ins_linear_xent_args *args, ins_dtype acc) {
    size_t size = ins_acc_size(acc);
    int64_t rows = args->trans_w ? args->d : args->v, cols = args->trans_w ? args->v : args->d;
    for (int64_t r = 0; args->d_w && r < rows; r++)
        memset((char *)args->d_w + (size_t)(r * args->ld_dw) * size, 0, (size_t)cols * size);
    if (args->d_bias) memset(args->d_bias, 0, (size_t)args->v * size);
}

static ins_status xent_check(const ins_linear_xent_args *args, ins_error *err) {
    for (int64_t i = 0; i < args->n; i++)
        if (args->targets[i] >= args->v)
            return INS_FAIL(err, INS_BUG, "target %d of row %lld is outside of a vocabulary of %lld", args->targets[i],
                            (long long)i, (long long)args->v);
    if (args->n > 0 && !args->scratch) return INS_FAIL(err, INS_BUG, "loss without scratch");
    return INS_OK;
}

ins_status ins_linear_xent_run(const ins_linear_xent_args *args, ins_pool *pool, ins_error *err) {
    xent_job job = {.args = args, .acc = args->dtype == INS_DTYPE_F64 ? INS_DTYPE_F64 : INS_DTYPE_F32};
    job.impl = ins_impl_pick(ins_xent_impls, args->dtype);
    if (!job.impl) return ins_impl_none("linear_xent", args->dtype, err);
    INS_TRY(xent_check(args, err));
    double total = 0;
    if (args->n <= 0 && !args->accumulate_dw) xent_zero(args, job.acc);
    if (args->n > 0) {
        job.losses = args->scratch;
        job.logits = (char *)args->scratch + ((size_t)args->n * sizeof(double) + 63) / 64 * 64;
        job.ldz = xent_ldz(args);
        int64_t chunk = xent_chunk_rows(args);
        for (job.row0 = 0; job.row0 < args->n; job.row0 += chunk) {
            job.n_rows = ins_min_i64(chunk, args->n - job.row0);
            INS_TRY(xent_chunk(&job, pool, err));
        }
        for (int64_t i = 0; i < args->n; i++) total += job.losses[i];
    }
    xent_acc_set(job.acc, args->loss_sum, 0, total);
    return INS_OK;
}
