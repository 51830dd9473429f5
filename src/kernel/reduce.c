#include "kernel/reduce.h"

#include <math.h>

#include "kernel/gemm_impl.h"
#include "kernel/loop_impl.h"

#define REDUCE_CHUNK     32768
#define REDUCE_MAX_PARTS 1024

static const char *const reduce_names[INS_REDUCE_COUNT] = {
#define REDUCE_NAME(code, name) [INS_REDUCE_##code] = name,
    INS_REDUCE_MAP(REDUCE_NAME)
#undef REDUCE_NAME
};

const char *ins_reduce_name(ins_reduce op) {
    return (unsigned)op < INS_REDUCE_COUNT ? reduce_names[op] : "unknown";
}

typedef struct reduce_job {
    const ins_loop_impl *impl;
    ins_fold kind;
    ins_dtype dtype;
    int64_t n, chunk;
    const void *x, *y;
    double parts[REDUCE_MAX_PARTS];
} reduce_job;

static void reduce_task(void *arg, int64_t task, int thread) {
    (void)thread;
    reduce_job *job = arg;
    int64_t at = task * job->chunk, n = ins_min_i64(job->chunk, job->n - at);
    const void *y = job->y ? ins_at(job->y, job->dtype, at) : NULL;
    job->parts[task] = job->impl->fold(job->kind, job->dtype, n, ins_at(job->x, job->dtype, at), y);
}

/* Parts are added as a balanced tree: neighbours first. */
static double reduce_tree(double *parts, int64_t n) {
    for (int64_t step = 1; step < n; step *= 2)
        for (int64_t i = 0; i + step < n; i += 2 * step) parts[i] += parts[i + step];
    return parts[0];
}

static double reduce_run(ins_fold kind, ins_dtype dtype, int64_t n, const void *x, const void *y, ins_pool *pool) {
    reduce_job job = {.impl = ins_loop_pick(dtype), .kind = kind, .dtype = dtype, .n = n, .x = x, .y = y};
    if (!job.impl) return (double)NAN;
    if (n <= 0) return 0;
    job.chunk = ins_max_i64(REDUCE_CHUNK, ins_ceil_div(n, REDUCE_MAX_PARTS));
    int64_t parts = ins_ceil_div(n, job.chunk);
    ins_pool_run(pool, parts, reduce_task, &job);
    if (kind == INS_FOLD_SUM || kind == INS_FOLD_SUMSQ || kind == INS_FOLD_DOT) return reduce_tree(job.parts, parts);
    double max = 0;
    for (int64_t i = 0; i < parts; i++)
        if (job.parts[i] > max || isnan(job.parts[i])) max = job.parts[i];
    return max;
}

double ins_reduce_sum(ins_dtype dtype, int64_t n, const void *x, ins_pool *pool) {
    return reduce_run(INS_FOLD_SUM, dtype, n, x, NULL, pool);
}

double ins_reduce_sumsq(ins_dtype dtype, int64_t n, const void *x, ins_pool *pool) {
    return reduce_run(INS_FOLD_SUMSQ, dtype, n, x, NULL, pool);
}

double ins_reduce_maxabs(ins_dtype dtype, int64_t n, const void *x, ins_pool *pool) {
    return reduce_run(INS_FOLD_MAXABS, dtype, n, x, NULL, pool);
}

double ins_reduce_dot(ins_dtype dtype, int64_t n, const void *x, const void *y, ins_pool *pool) {
    return reduce_run(INS_FOLD_DOT, dtype, n, x, y, pool);
}

bool ins_reduce_all_finite(ins_dtype dtype, int64_t n, const void *x, ins_pool *pool) {
    return reduce_run(INS_FOLD_NOT_FINITE, dtype, n, x, NULL, pool) == 0;
}

ins_status ins_reduce_axis(const ins_reduce_args *args, ins_pool *pool, ins_error *err) {
    if ((unsigned)args->op >= INS_REDUCE_COUNT)
        return INS_FAIL(err, INS_BUG, "no reduction has the number %d", args->op);
    const ins_loop_impl *impl = ins_loop_pick(args->dtype);
    if (!impl) return ins_impl_none("reduce", args->dtype, err);
    if (args->outer > 0 && args->inner > 0) impl->reduce_axis(args, pool);
    return INS_OK;
}

ins_status ins_argmax_rows(ins_dtype dtype, int64_t rows, int64_t cols, const void *x, int64_t ldx, int32_t *index,
                           ins_pool *pool, ins_error *err) {
    const ins_loop_impl *impl = ins_loop_pick(dtype);
    if (!impl) return ins_impl_none("argmax", dtype, err);
    if (cols < 1) return INS_FAIL(err, INS_BUG, "arg max of empty rows");
    if (rows > 0) impl->argmax(dtype, rows, cols, x, ldx, index, pool);
    return INS_OK;
}
