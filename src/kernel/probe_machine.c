/* Measured limits of this machine. Bandwidths run on arrays of 128 MiB in all, several times any last-level share of a
 * small machine; every figure is the best of a few passes, because disturbance only ever slows one down. */
#include "kernel/probe_machine.h"

#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "kernel/elementwise.h"
#include "kernel/gemm_impl.h"
#include "kernel/impl.h"
#include "kernel/optim_kernels.h"
#include "kernel/probe_loops.h"
#include "kernel/reduce.h"

static ins_probe_loop probe_loop(ins_dtype dtype) {
#ifdef INS_KERNEL_X86
    ins_isa_level level = ins_isa_detect();
    if (dtype == INS_DTYPE_BF16 && level >= INS_ISA_AVX512_BF16) return ins_probe_bf16_dot;
    if (dtype == INS_DTYPE_F64) {
        if (level >= INS_ISA_AVX512) return ins_probe_f64_avx512;
        return level >= INS_ISA_AVX2 ? ins_probe_f64_avx2 : ins_probe_f64_generic;
    }
    if (level >= INS_ISA_AVX512) return ins_probe_f32_avx512;
    if (level >= INS_ISA_AVX2) return ins_probe_f32_avx2;
    return ins_probe_f32_generic;
#else
    return dtype == INS_DTYPE_F64 ? ins_probe_f64_generic : ins_probe_f32_generic;
#endif
}

double ins_probe_loop_rate(ins_dtype dtype, double seconds) {
    ins_probe_loop loop = probe_loop(dtype);
    float sink = 0;
    double best = 0, end = ins_now() + seconds;
    do {
        double start = ins_now(), flops = loop(20000, &sink), took = ins_now() - start;
        if (took > 0 && flops / took > best) best = flops / took;
    } while (ins_now() < end);
    return best;
}

typedef struct probe_flops_job {
    ins_probe_loop loop;
    double flops; /* of one task */
    int64_t rounds;
} probe_flops_job;

static void probe_flops_task(void *arg, int64_t task, int thread) {
    (void)thread;
    probe_flops_job *job = arg;
    float sink = 0;
    double flops = job->loop(job->rounds, &sink);
    if (task == 0) job->flops = flops;
}

/* Rate of a product that keeps AMX tiles busy; 0 when there is no memory for it. */
static double probe_tiles(ins_pool *pool) {
    const int64_t n = 1024;
    size_t operand = (size_t)(n * n) * 2, bytes = 4 * operand;
    void *data;
    if (ins_pages_alloc(bytes, true, &data, NULL) != INS_OK) return 0;
    char *base = data;
    ins_gemm_args args = {.m = n, .n = n, .k = n, .a = base, .lda = n, .b = base + operand, .ldb = n};
    args.c = base + 2 * operand, args.ldc = n, args.dtype_a = args.dtype_b = INS_DTYPE_BF16;
    double best = 0, flops = 2.0 * (double)(n * n * n), end = ins_now() + 0.1;
    do {
        double start = ins_now();
        if (ins_gemm(&args, pool, NULL) != INS_OK) break;
        double rate = flops / (ins_now() - start);
        if (rate > best) best = rate;
    } while (ins_now() < end);
    ins_pages_free(data, bytes);
    return best;
}

double ins_probe_flops(ins_dtype dtype, ins_pool *pool) {
    if (dtype == INS_DTYPE_BF16 && ins_isa_detect() == INS_ISA_AMX && ins_gemm_onednn()) return probe_tiles(pool);
    probe_flops_job job = {.loop = probe_loop(dtype), .rounds = 100000};
    if (dtype == INS_DTYPE_BF16 && !ins_isa_fast_dot()) job.loop = probe_loop(INS_DTYPE_F32);
    int64_t n_tasks = 4 * ins_pool_threads(pool);
    double best = 0, end = ins_now() + 0.1;
    do {
        double start = ins_now();
        ins_pool_run(pool, n_tasks, probe_flops_task, &job);
        double took = ins_now() - start, rate = job.flops * (double)n_tasks / took;
        if (took > 0 && rate > best) best = rate;
    } while (ins_now() < end);
    return best;
}

#define PROBE_BYTES ((size_t)128 << 20)

double ins_probe_read_bandwidth(ins_pool *pool) {
    void *data;
    if (ins_pages_alloc(PROBE_BYTES, true, &data, NULL) != INS_OK) return 0;
    int64_t n = (int64_t)(PROBE_BYTES / 4);
    if (ins_fill_array(INS_DTYPE_F32, n, 1e-3, data, pool, NULL) != INS_OK) {
        ins_pages_free(data, PROBE_BYTES);
        return 0;
    }
    double best = 0;
    for (int pass = 0; pass < 6; pass++) {
        double start = ins_now();
        volatile double sum = ins_reduce_maxabs(INS_DTYPE_F32, n, data, pool);
        (void)sum;
        double rate = (double)PROBE_BYTES / (ins_now() - start);
        if (rate > best) best = rate;
    }
    ins_pages_free(data, PROBE_BYTES);
    return best;
}

double ins_probe_update_bandwidth(ins_pool *pool) {
    void *data;
    if (ins_pages_alloc(PROBE_BYTES, true, &data, NULL) != INS_OK) return 0;
    int64_t n = (int64_t)(PROBE_BYTES / 16);
    float *arrays = data;
    ins_adamw_args args = {.n = n,
                           .p = arrays,
                           .g = arrays + n,
                           .m = arrays + 2 * n,
                           .v = arrays + 3 * n,
                           .lr = 1e-3,
                           .beta1 = 0.9,
                           .beta2 = 0.95,
                           .eps = 1e-8,
                           .bias1 = 1,
                           .bias2 = 1,
                           .grad_scale = 1};
    double best = 0;
    for (int pass = 0; pass < 5; pass++) {
        double start = ins_now();
        ins_adamw(&args, pool);
        double rate = 28.0 * (double)n / (ins_now() - start);
        if (rate > best) best = rate;
    }
    ins_pages_free(data, PROBE_BYTES);
    return best;
}
