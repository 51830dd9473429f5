/* Products through oneDNN, which also knows how to drive AMX tiles: one matmul primitive a block. Three rows:
 *   onednn          operands as they are
 *   onednn-packed   B first brought into the library's own layout. Nobody tells a product when its weights changed, so
 *                   this happens in every product; it pays where many rows share the weights.
 *   onednn-sgemm    the library's BLAS-like function
 */
#include <stdatomic.h>

#include "kernel/gemm_blocks.h"
#include "kernel/onednn/onednn_thread.h"

static bool onednn_block(const ins_gemm_block *block, void *context) {
    (void)context;
    const ins_gemm_args *args = &block->args;
    onednn_thread *thread = onednn_thread_get();
    if (!thread) return false;
    ins_dnnl_shape shape = onednn_shape(args);
    const ins_dnnl_matmul *matmul = onednn_matmul(thread, &shape, 0);
    return matmul &&
           ins_dnnl_matmul_run(&thread->dnnl, matmul, args->a, args->b, args->bias, args->c, thread->scratchpad.data);
}

static void onednn_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    ins_gemm_grid grid = ins_gemm_grid_make(args, batch->batch);
    ins_gemm_blocks_run(args, batch, &grid, pool, onednn_block, NULL);
}

/* ---- packed weights ---- */

typedef struct packed_job {
    const ins_gemm_args *args;
    const ins_gemm_grid *grid;
    char *packed;        /* one slot a column of blocks */
    size_t slot;         /* bytes */
    atomic_bool refused; /* by the library, or for want of memory */
} packed_job;

/* The shape whose layout column `across` of the grid has: its blocks of full height. */
static ins_dnnl_shape packed_shape(const packed_job *job, int64_t across) {
    ins_gemm_args args = *job->args;
    args.m = ins_min_i64(job->grid->mb, args.m);
    args.n = ins_min_i64(job->grid->nb, args.n - across * job->grid->nb);
    return onednn_shape(&args);
}

static void packed_fill(void *arg, int64_t across, int thread_index) {
    (void)thread_index;
    packed_job *job = arg;
    const ins_gemm_args *args = job->args;
    int64_t col = across * job->grid->nb;
    onednn_thread *thread = onednn_thread_get();
    ins_dnnl_shape shape = packed_shape(job, across);
    const ins_dnnl_pack *pack = thread ? onednn_pack(thread, &shape) : NULL;
    const void *plain = ins_at(args->b, args->dtype_b, args->trans_b ? col * args->ldb : col);
    if (!pack || pack->bytes > job->slot ||
        !ins_dnnl_pack_run(&thread->dnnl, pack, plain, job->packed + (size_t)across * job->slot,
                           thread->scratchpad.data))
        atomic_store_explicit(&job->refused, true, memory_order_relaxed);
}

static bool packed_block(const ins_gemm_block *block, void *context) {
    const packed_job *job = context;
    const ins_gemm_args *args = &block->args;
    onednn_thread *thread = onednn_thread_get();
    if (!thread) return false;
    ins_dnnl_shape shape = onednn_shape(args);
    const ins_dnnl_matmul *matmul = onednn_matmul(thread, &shape, ins_min_i64(job->grid->mb, job->args->m));
    return matmul &&
           ins_dnnl_matmul_run(&thread->dnnl, matmul, args->a, job->packed + (size_t)block->across * job->slot,
                               args->bias, args->c, thread->scratchpad.data);
}

/* Room for the packed B, or false. */
static bool packed_room(packed_job *job) {
    onednn_thread *thread = onednn_thread_get();
    if (!thread) return false;
    ins_dnnl_shape shape = packed_shape(job, 0);
    const ins_dnnl_pack *pack = onednn_pack(thread, &shape);
    if (!pack) return false;
    job->slot = (pack->bytes + 63) / 64 * 64;
    if (!onednn_reserve(&thread->packed, job->slot * (size_t)job->grid->n_n)) return false;
    job->packed = thread->packed.data;
    return true;
}

static void packed_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    ins_gemm_grid grid = ins_gemm_grid_make(args, batch->batch);
    packed_job job = {.args = args, .grid = &grid};
    bool shared = batch->batch == 1 || batch->stride_b == 0;
    if (!shared || !packed_room(&job)) {
        onednn_run(args, batch, pool);
        return;
    }
    ins_pool_run(pool, grid.n_n, packed_fill, &job);
    if (atomic_load_explicit(&job.refused, memory_order_relaxed))
        onednn_run(args, batch, pool);
    else
        ins_gemm_blocks_run(args, batch, &grid, pool, packed_block, &job);
}

/* ---- sgemm ---- */

static bool sgemm_block(const ins_gemm_block *block, void *context) {
    (void)context;
    const ins_gemm_args *args = &block->args;
    if (!onednn_thread_get()) return false; /* makes this thread's OpenMP team one thread */
    ins_dnnl_shape shape = onednn_shape(args);
    ins_gemm_args rest = *args;
    rest.bias = NULL, rest.accumulate = ins_gemm_block_bias(args);
    if (ins_dnnl_sgemm(&shape, args->a, args->b, rest.accumulate, args->c)) return true;
    const ins_gemm_batch one = {.batch = 1};
    ins_gemm_own(&rest)->run(&rest, &one, NULL); /* the bias is in C already */
    return true;
}

static void sgemm_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    ins_gemm_grid grid = ins_gemm_grid_make(args, batch->batch);
    ins_gemm_blocks_run(args, batch, &grid, pool, sgemm_block, NULL);
}

#define ONEDNN_DTYPES (INS_DTYPE_BIT(INS_DTYPE_F32) | INS_DTYPE_BIT(INS_DTYPE_BF16))
const ins_gemm_impl ins_onednn_gemm = {
    .head = {"onednn", INS_ISA_AVX2, ONEDNN_DTYPES}, .accepts = onednn_takes, .run = onednn_run, .from_library = true};
/* The default on processors with AMX. */
const ins_gemm_impl ins_onednn_gemm_amx = {.head = {"onednn", INS_ISA_AMX, INS_DTYPE_BIT(INS_DTYPE_BF16)},
                                           .accepts = onednn_takes,
                                           .run = onednn_run,
                                           .from_library = true};
const ins_gemm_impl ins_onednn_gemm_packed = {.head = {"onednn-packed", INS_ISA_AVX2, ONEDNN_DTYPES},
                                              .accepts = onednn_takes,
                                              .run = packed_run,
                                              .from_library = true};
const ins_gemm_impl ins_onednn_sgemm = {.head = {"onednn-sgemm", INS_ISA_AVX2, INS_DTYPE_BIT(INS_DTYPE_F32)},
                                        .accepts = onednn_takes,
                                        .run = sgemm_run,
                                        .from_library = true};
