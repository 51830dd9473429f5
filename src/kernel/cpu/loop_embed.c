/* Table look-up and its gradient. */
#include "kernel/cpu/loops.h"

typedef struct embed_job {
    const ins_embed_args *args;
    int64_t chunk; /* ids (forward) or table rows (clearing) of a task */
} embed_job;

static void embed_forward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const embed_job *job = arg;
    const ins_embed_args *args = job->args;
    real row[CPU_BLOCK], old[CPU_BLOCK];
    int64_t end = ins_min_i64(args->n, (task + 1) * job->chunk);
    for (int64_t i = task * job->chunk; i < end; i++)
        for (int64_t c = 0; c < args->d; c += CPU_BLOCK) {
            int64_t n = ins_min_i64(CPU_BLOCK, args->d - c), id = args->ids[i];
            if (id >= 0)
                cpu_load(args->dtype, args->table, id * args->d + c, n, row);
            else
                memset(row, 0, (size_t)n * sizeof(real));
            if (args->accumulate) {
                cpu_load(args->dtype, args->out, i * args->d + c, n, old);
                for (int64_t j = 0; j < n; j++) row[j] += old[j];
            }
            cpu_store(args->dtype, row, args->out, i * args->d + c, n);
        }
}

void INS_CPU(ins_loop_embed_forward)(const ins_embed_args *args, ins_pool *pool) {
    embed_job job = {args, ins_max_i64(1, LOOP_CHUNK / args->d)};
    ins_pool_run(pool, ins_ceil_div(args->n, job.chunk), embed_forward_task, &job);
}

static void embed_clear_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const embed_job *job = arg;
    int64_t first = task * job->chunk, n = ins_min_i64(job->chunk, job->args->v - first);
    memset((real *)job->args->d_table + first * job->args->d, 0, (size_t)(n * job->args->d) * sizeof(real));
}

/* A task owns a band of columns and takes all ids in order: no two tasks touch the same number. */
#define EMBED_BAND 64

static void embed_backward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_embed_args *args = ((const embed_job *)arg)->args;
    int64_t col = task * EMBED_BAND, n = ins_min_i64(EMBED_BAND, args->d - col);
    real work[EMBED_BAND];
    for (int64_t i = 0; i < args->n; i++) {
        if (args->ids[i] < 0) continue;
        const real *restrict grad = cpu_view(args->dtype, args->d_out, i * args->d + col, n, work);
        real *restrict row = (real *)args->d_table + args->ids[i] * args->d + col;
        for (int64_t c = 0; c < n; c++) row[c] += grad[c];
    }
}

void INS_CPU(ins_loop_embed_backward)(const ins_embed_args *args, ins_pool *pool) {
    embed_job job = {args, ins_max_i64(1, 8 * LOOP_CHUNK / args->d)};
    if (!args->accumulate) ins_pool_run(pool, ins_ceil_div(args->v, job.chunk), embed_clear_task, &job);
    ins_pool_run(pool, ins_ceil_div(args->d, EMBED_BAND), embed_backward_task, &job);
}
