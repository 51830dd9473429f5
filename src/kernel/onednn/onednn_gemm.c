/* bf16 products through oneDNN, which knows how to drive AMX tiles. C is cut into a fixed grid of blocks; each block is
 * one single-threaded call, so that results do not depend on the number of threads. A thread keeps the primitives it
 * has made until it ends; a block that oneDNN refuses is done by our own kernel.
 */
#include <pthread.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/gemm_impl.h"
#include "kernel/onednn/dnnl_api.h"

typedef struct onednn_entry {
    ins_dnnl_shape shape;
    ins_dnnl_matmul matmul;
    bool refused;
    struct onednn_entry *next;
} onednn_entry;

typedef struct onednn_thread {
    ins_dnnl dnnl;
    onednn_entry *entries;
    void *scratchpad;
    size_t scratchpad_bytes;
} onednn_thread;

static pthread_key_t onednn_key;
static bool onednn_key_made;
static pthread_once_t onednn_once = PTHREAD_ONCE_INIT;

static void onednn_thread_free(void *arg) {
    onednn_thread *state = arg;
    while (state->entries) {
        onednn_entry *entry = state->entries;
        state->entries = entry->next;
        if (!entry->refused) ins_dnnl_matmul_free(&entry->matmul);
        ins_free(entry);
    }
    ins_free(state->scratchpad);
    ins_dnnl_close(&state->dnnl);
    ins_free(state);
}

static void onednn_key_make(void) {
    onednn_key_made = pthread_key_create(&onednn_key, onednn_thread_free) == 0;
}

/* The calling thread's state, made at first use; NULL when that fails. */
static onednn_thread *onednn_thread_get(void) {
    if (pthread_once(&onednn_once, onednn_key_make) || !onednn_key_made) return NULL;
    onednn_thread *state = pthread_getspecific(onednn_key);
    if (state) return state;
    state = ins_calloc(1, sizeof(*state));
    if (!state) return NULL;
    if (!ins_dnnl_open(&state->dnnl)) {
        ins_free(state);
        return NULL;
    }
    if (pthread_setspecific(onednn_key, state) == 0) return state;
    onednn_thread_free(state);
    return NULL;
}

static bool onednn_same(const ins_dnnl_shape *x, const ins_dnnl_shape *y) {
    return x->m == y->m && x->n == y->n && x->k == y->k && x->lda == y->lda && x->ldb == y->ldb && x->ldc == y->ldc &&
           x->trans_a == y->trans_a && x->trans_b == y->trans_b && x->accumulate == y->accumulate &&
           x->bias == y->bias && x->bf16_out == y->bf16_out;
}

static bool onednn_reserve(onednn_thread *state, size_t bytes) {
    if (bytes <= state->scratchpad_bytes) return true;
    void *larger = ins_aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!larger) return false;
    ins_free(state->scratchpad);
    state->scratchpad = larger, state->scratchpad_bytes = bytes;
    return true;
}

/* The thread's primitive for a shape; NULL when there is none. */
static const onednn_entry *onednn_find(onednn_thread *state, const ins_dnnl_shape *shape) {
    for (onednn_entry *entry = state->entries; entry; entry = entry->next)
        if (onednn_same(&entry->shape, shape)) return entry->refused ? NULL : entry;
    onednn_entry *entry = ins_calloc(1, sizeof(*entry));
    if (!entry) return NULL;
    entry->shape = *shape;
    entry->refused = !ins_dnnl_matmul_new(&state->dnnl, shape, &entry->matmul);
    entry->next = state->entries, state->entries = entry;
    return entry->refused || !onednn_reserve(state, entry->matmul.scratchpad_bytes) ? NULL : entry;
}

static bool onednn_block(const ins_gemm_args *args) {
    onednn_thread *state = onednn_thread_get();
    if (!state) return false;
    ins_dnnl_shape shape = {.m = args->m,
                            .n = args->n,
                            .k = args->k,
                            .lda = args->lda,
                            .ldb = args->ldb,
                            .ldc = args->ldc,
                            .trans_a = args->trans_a,
                            .trans_b = args->trans_b,
                            .accumulate = args->accumulate,
                            .bias = args->bias != NULL,
                            .bf16_out = args->dtype_c == INS_DTYPE_BF16};
    const onednn_entry *entry = onednn_find(state, &shape);
    return entry &&
           ins_dnnl_matmul_run(&state->dnnl, &entry->matmul, args->a, args->b, args->bias, args->c, state->scratchpad);
}

typedef struct onednn_job {
    const ins_gemm_args *args;
    const ins_gemm_batch *batch;
    int64_t mb, nb, n_m, n_n;
} onednn_job;

static void onednn_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const onednn_job *job = arg;
    int64_t blocks = job->n_m * job->n_n, item = task / blocks, at = task % blocks;
    int64_t row = at % job->n_m * job->mb, col = at / job->n_m * job->nb;
    ins_gemm_args block = *job->args;
    const ins_gemm_batch *batch = job->batch;
    block.m = ins_min_i64(job->mb, block.m - row), block.n = ins_min_i64(job->nb, block.n - col);
    block.a = ins_at(block.a, INS_DTYPE_BF16, item * batch->stride_a + (block.trans_a ? row : row * block.lda));
    block.b = ins_at(block.b, INS_DTYPE_BF16, item * batch->stride_b + (block.trans_b ? col * block.ldb : col));
    block.c = (void *)(uintptr_t)ins_at(block.c, block.dtype_c, item * batch->stride_c + row * block.ldc + col);
    if (block.bias) block.bias = (const float *)block.bias + col;
    const ins_gemm_batch one = {.batch = 1};
    if (!onednn_block(&block)) ins_cpu_gemm_avx512.run(&block, &one, NULL);
}

/* Blocks of up to 512 x 512, more of them when the product is large enough to feed several threads. */
static void onednn_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    onednn_job job = {.args = args, .batch = batch};
    double flops = 2.0 * (double)args->m * (double)args->n * (double)args->k;
    int64_t wanted = ins_ceil_div(flops > 512e6 ? 8 : (int64_t)(flops / 64e6) + 1, batch->batch);
    job.n_m = ins_ceil_div(args->m, 512);
    job.n_n =
        ins_max_i64(ins_ceil_div(args->n, 512), ins_min_i64(ins_ceil_div(args->n, 64), ins_ceil_div(wanted, job.n_m)));
    job.mb = ins_ceil_div(ins_ceil_div(args->m, job.n_m), 32) * 32;
    job.nb = ins_ceil_div(ins_ceil_div(args->n, job.n_n), 32) * 32;
    job.n_m = ins_ceil_div(args->m, job.mb), job.n_n = ins_ceil_div(args->n, job.nb);
    ins_pool_run(pool, batch->batch * job.n_m * job.n_n, onednn_task, &job);
}

static bool onednn_accepts(const ins_gemm_args *args) {
    return args->k > 0 && ins_dnnl_available();
}

const ins_gemm_impl ins_onednn_gemm = {
    .head = {"onednn", INS_ISA_AMX, INS_DTYPE_BIT(INS_DTYPE_BF16)},
    .accepts = onednn_accepts,
    .run = onednn_run,
};
