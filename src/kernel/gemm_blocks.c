#include "kernel/gemm_blocks.h"

#include <string.h>

enum { GRID_BLOCK = 512, GRID_UNIT = 32, GRID_NARROW = 64 };
#define GRID_FLOPS_FULL 512e6 /* from here on a product is cut into at least 8 blocks */
#define GRID_FLOPS_EACH 64e6

ins_gemm_grid ins_gemm_grid_make(const ins_gemm_args *args, int64_t batch) {
    double flops = 2.0 * (double)args->m * (double)args->n * (double)args->k;
    int64_t wanted = ins_ceil_div(flops > GRID_FLOPS_FULL ? 8 : (int64_t)(flops / GRID_FLOPS_EACH) + 1, batch);
    ins_gemm_grid grid = {.n_m = ins_ceil_div(args->m, GRID_BLOCK)};
    int64_t across = ins_min_i64(ins_ceil_div(args->n, GRID_NARROW), ins_ceil_div(wanted, grid.n_m));
    grid.n_n = ins_max_i64(ins_ceil_div(args->n, GRID_BLOCK), across);
    grid.mb = ins_ceil_div(ins_ceil_div(args->m, grid.n_m), GRID_UNIT) * GRID_UNIT;
    grid.nb = ins_ceil_div(ins_ceil_div(args->n, grid.n_n), GRID_UNIT) * GRID_UNIT;
    grid.n_m = ins_ceil_div(args->m, grid.mb), grid.n_n = ins_ceil_div(args->n, grid.nb);
    return grid;
}

typedef struct blocks_job {
    const ins_gemm_args *args;
    const ins_gemm_batch *batch;
    const ins_gemm_grid *grid;
    ins_gemm_block_fn run;
    void *context;
} blocks_job;

static ins_gemm_block blocks_at(const blocks_job *job, int64_t task) {
    const ins_gemm_grid *grid = job->grid;
    const ins_gemm_batch *batch = job->batch;
    int64_t at = task % (grid->n_m * grid->n_n);
    ins_gemm_block block = {
        .args = *job->args, .item = task / (grid->n_m * grid->n_n), .down = at % grid->n_m, .across = at / grid->n_m};
    ins_gemm_args *args = &block.args;
    int64_t row = block.down * grid->mb, col = block.across * grid->nb;
    args->m = ins_min_i64(grid->mb, args->m - row), args->n = ins_min_i64(grid->nb, args->n - col);
    args->a = ins_at(args->a, args->dtype_a, block.item * batch->stride_a + (args->trans_a ? row : row * args->lda));
    args->b = ins_at(args->b, args->dtype_b, block.item * batch->stride_b + (args->trans_b ? col * args->ldb : col));
    args->c = (void *)(uintptr_t)ins_at(args->c, args->dtype_c, block.item * batch->stride_c + row * args->ldc + col);
    if (args->bias) args->bias = (const float *)args->bias + col;
    return block;
}

static void blocks_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const blocks_job *job = arg;
    const ins_gemm_batch one = {.batch = 1};
    ins_gemm_block block = blocks_at(job, task);
    if (!job->run(&block, job->context)) ins_gemm_own(&block.args)->run(&block.args, &one, NULL);
}

void ins_gemm_blocks_run(const ins_gemm_args *args, const ins_gemm_batch *batch, const ins_gemm_grid *grid,
                         ins_pool *pool, ins_gemm_block_fn run, void *context) {
    blocks_job job = {.args = args, .batch = batch, .grid = grid, .run = run, .context = context};
    ins_pool_run(pool, batch->batch * grid->n_m * grid->n_n, blocks_task, &job);
}

bool ins_gemm_block_bias(const ins_gemm_args *args) {
    const float *bias = args->bias;
    if (!bias) return args->accumulate;
    for (int64_t row = 0; row < args->m; row++) {
        float *c = (float *)args->c + row * args->ldc;
        if (!args->accumulate)
            memcpy(c, bias, (size_t)args->n * sizeof *c);
        else
            for (int64_t col = 0; col < args->n; col++) c[col] += bias[col];
    }
    return true;
}
