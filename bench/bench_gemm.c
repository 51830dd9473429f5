/* Matrix products of training steps against the multiply-add peak, probed in the same run: forward (y = x W^T), input
 * gradient and weight gradient of every linear layer of the configurations of `instar bench train`, and their loss
 * heads. Operands rotate through more memory than the caches hold, as they do in a step. Times are the median.
 *
 *   bench_gemm CONFIGS [f32|bf16|both] [threads] [level]      e.g. bench_gemm AD both 2 avx2
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "kernel/gemm.h"
#include "kernel/isa.h"
#include "kernel/probe_machine.h"
#include "kernel/xent.h"

#define ARENA      ((size_t)1 << 30)
#define COLD_BYTES ((size_t)96 << 20) /* a rotation is larger than this */
#define MAX_RUNS   24
#define RUN_BUDGET 0.25 /* seconds for one shape */

typedef struct bench_config {
    char name;
    int64_t tokens, width, layers, vocab;
} bench_config;
static const bench_config configs[] = {
    {'A', 256, 768, 12, 50304}, {'B', 1024, 768, 12, 50304}, {'C', 2048, 384, 6, 8192}, {'D', 4096, 256, 4, 4096}};

typedef struct bench {
    ins_pool *pool;
    char *arena;
    double peak;
    double spent, flops; /* of a configuration: layers counted */
} bench;

static double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_times(const void *x, const void *y) {
    double left = *(const double *)x, right = *(const double *)y;
    return left < right ? -1 : left > right;
}

static size_t page_up(size_t bytes) {
    return (bytes + 4095) / 4096 * 4096 + 4096; /* one page apart, so that arrays do not share cache sets */
}

static void fail_on(ins_status status, const ins_error *err) {
    if (status == INS_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static void report(bench *b, const char *what, double seconds, double flops, int64_t count) {
    printf("  %-34s %9.3f ms %8.1f GFLOP/s %5.1f %%\n", what, seconds * 1e3, flops / seconds / 1e9,
           100 * flops / seconds / b->peak);
    fflush(stdout);
    b->spent += seconds * (double)count, b->flops += flops * (double)count;
}

/* Median over runs, each on the next copy of the operands. */
static void bench_product(bench *b, const char *what, const ins_gemm_args *shape, int64_t count) {
    size_t size = ins_dtype_size(shape->dtype_a), size_c = ins_dtype_size(shape->dtype_c);
    size_t bytes_a = page_up((size_t)(shape->m * shape->k) * size),
           bytes_b = page_up((size_t)(shape->n * shape->k) * size);
    size_t set = bytes_a + bytes_b + page_up((size_t)(shape->m * shape->n) * size_c);
    size_t sets = COLD_BYTES / set + 1;
    if (sets * set > ARENA) sets = ARENA / set;
    double times[MAX_RUNS], start = bench_now();
    int runs = 0;
    for (; runs < MAX_RUNS && (runs < 3 || bench_now() - start < RUN_BUDGET); runs++) {
        char *at = b->arena + set * ((size_t)runs % sets);
        ins_gemm_args args = *shape;
        args.a = at, args.b = at + bytes_a, args.c = at + bytes_a + bytes_b;
        args.lda = args.trans_a ? args.m : args.k, args.ldb = args.trans_b ? args.k : args.n, args.ldc = args.n;
        ins_error err = {0};
        double begin = bench_now();
        fail_on(ins_gemm(&args, b->pool, &err), &err);
        times[runs] = bench_now() - begin;
    }
    qsort(times, (size_t)runs, sizeof times[0], compare_times);
    report(b, what, times[runs / 2], 2.0 * (double)(shape->m * shape->n * shape->k), count);
}

static void bench_linear(bench *b, ins_dtype dtype, const bench_config *config, const char *name, int64_t n,
                         int64_t k) {
    int64_t tokens = config->tokens, layers = config->layers;
    char what[64];
    ins_gemm_args base = {.dtype_a = dtype, .dtype_b = dtype, .dtype_c = dtype}, args = base;
    args.trans_b = true, args.m = tokens, args.n = n, args.k = k;
    snprintf(what, sizeof what, "%-5s y    %5lld x %5lld x %5lld", name, (long long)tokens, (long long)n, (long long)k);
    bench_product(b, what, &args, layers);
    args = base, args.m = tokens, args.n = k, args.k = n;
    snprintf(what, sizeof what, "%-5s d_x  %5lld x %5lld x %5lld", name, (long long)tokens, (long long)k, (long long)n);
    bench_product(b, what, &args, layers);
    args = base, args.trans_a = true, args.dtype_c = INS_DTYPE_F32, args.m = n, args.n = k, args.k = tokens;
    snprintf(what, sizeof what, "%-5s d_w  %5lld x %5lld x %5lld", name, (long long)n, (long long)k, (long long)tokens);
    bench_product(b, what, &args, layers);
}

static void bench_head(bench *b, ins_dtype dtype, const bench_config *config) {
    int64_t n = config->tokens, d = config->width, v = config->vocab;
    size_t size = ins_dtype_size(dtype), at = page_up((size_t)n * 4);
    int32_t *targets = (int32_t *)(void *)b->arena;
    for (int64_t i = 0; i < n; i++) targets[i] = (int32_t)(i * 7919 % v);
    ins_linear_xent_args args = {.dtype = dtype,
                                 .n = n,
                                 .d = d,
                                 .v = v,
                                 .ldx = d,
                                 .ldw = d,
                                 .targets = targets,
                                 .d_loss = 1,
                                 .ld_dx = d,
                                 .ld_dw = d};
    args.x = b->arena + at, at += page_up((size_t)(n * d) * size);
    args.d_x = b->arena + at, at += page_up((size_t)(n * d) * size);
    args.w = b->arena + at, at += page_up((size_t)(v * d) * size);
    args.d_w = b->arena + at, at += page_up((size_t)(v * d) * 4);
    args.scratch = b->arena + at, at += ins_linear_xent_scratch(&args);
    if (at > ARENA) return;
    double times[MAX_RUNS], start = bench_now();
    int runs = 0;
    for (; runs < MAX_RUNS && (runs < 3 || bench_now() - start < 2 * RUN_BUDGET); runs++) {
        ins_error err = {0};
        double begin = bench_now();
        fail_on(ins_linear_xent_run(&args, b->pool, &err), &err);
        times[runs] = bench_now() - begin;
    }
    qsort(times, (size_t)runs, sizeof times[0], compare_times);
    char what[64];
    snprintf(what, sizeof what, "head xent %5lld x %5lld x %5lld", (long long)n, (long long)v, (long long)d);
    report(b, what, times[runs / 2], 6.0 * (double)(n * d * v), 1);
}

static void bench_config_run(bench *b, const bench_config *config, ins_dtype dtype) {
    int64_t width = config->width;
    ins_gemm_args probe = {.trans_b = true, .m = config->tokens, .n = width, .k = width, .dtype_a = dtype};
    probe.dtype_b = probe.dtype_c = dtype;
    b->peak = ins_probe_flops(dtype, b->pool), b->spent = b->flops = 0;
    printf("%c %s: peak %.1f GFLOP/s, %s\n", config->name, ins_dtype_name(dtype), b->peak / 1e9,
           ins_gemm_impl_name(&probe));
    for (size_t i = 0; i < ARENA / 4; i += 1)
        ((uint32_t *)(void *)b->arena)[i] = 0x3c803c00u + (uint32_t)(i % 61) * 0x10001u;
    bench_linear(b, dtype, config, "qkv", 3 * width, width);
    bench_linear(b, dtype, config, "proj", width, width);
    bench_linear(b, dtype, config, "up", 4 * width, width);
    bench_linear(b, dtype, config, "down", width, 4 * width);
    printf("  %-34s %9.1f ms %8.1f GFLOP/s %5.1f %%\n", "linear layers of a step", b->spent * 1e3,
           b->flops / b->spent / 1e9, 100 * b->flops / b->spent / b->peak);
    bench_head(b, dtype, config);
    double peak = ins_probe_flops(dtype, b->pool);
    printf("  %-34s %9.1f ms %8.1f GFLOP/s %5.1f %%  (peak now %.1f)\n", "all", b->spent * 1e3,
           b->flops / b->spent / 1e9, 100 * b->flops / b->spent / b->peak, peak / 1e9);
}

int main(int argc, char **argv) {
    bench b = {0};
    ins_error err = {0};
    void *arena = NULL;
    const char *names = argc > 1 ? argv[1] : "ABCD", *dtypes = argc > 2 ? argv[2] : "both";
    for (int level = 0; argc > 4 && level < INS_ISA_COUNT; level++)
        if (strcmp(argv[4], ins_isa_name((ins_isa_level)level)) == 0) ins_isa_limit((ins_isa_level)level);
    fail_on(ins_pool_new(argc > 3 ? atoi(argv[3]) : 0, &b.pool, &err), &err);
    fail_on(ins_pages_alloc(ARENA, true, &arena, &err), &err);
    b.arena = arena;
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        if (!strchr(names, configs[i].name)) continue;
        if (strcmp(dtypes, "bf16") != 0) bench_config_run(&b, &configs[i], INS_DTYPE_F32);
        if (strcmp(dtypes, "f32") != 0) bench_config_run(&b, &configs[i], INS_DTYPE_BF16);
    }
    ins_pages_free(arena, ARENA);
    ins_pool_free(b.pool);
    return 0;
}
