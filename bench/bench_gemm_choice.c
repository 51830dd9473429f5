/* Every matrix product of the training steps of `instar bench train`, by every implementation that takes it: our own
 * kernels, oneDNN (operands as they are, weights packed in each call, sgemm), OpenBLAS. Candidates take turns on
 * operands that rotate through more memory than the caches hold; medians, as a share of the multiply-add peak that was
 * probed in the same run. The last lines say what the best choice of each product would save in a step.
 *
 *   bench_gemm_choice CONFIGS [f32|bf16|both] [threads] [level]      e.g. bench_gemm_choice AD f32 2 avx2
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "kernel/gemm_choice_impl.h"
#include "kernel/probe_machine.h"

#define ARENA      ((size_t)768 << 20)
#define COLD_BYTES ((size_t)96 << 20) /* a rotation is larger than this, where the arena has room */
enum { MAX_RUNS = 15, MIN_RUNS = 3 };
#define RUN_BUDGET 0.35 /* seconds for one product */

typedef struct bench_config {
    char name;
    int64_t tokens, width, layers, vocab;
} bench_config;
static const bench_config configs[] = {
    {'A', 256, 768, 12, 50304}, {'B', 1024, 768, 12, 50304}, {'C', 2048, 384, 6, 8192}, {'D', 4096, 256, 4, 4096}};

static const char *const columns[] = {"own", "onednn", "onednn-packed", "onednn-sgemm", "openblas"};
enum { N_COLUMNS = sizeof columns / sizeof columns[0] };

typedef struct bench {
    ins_pool *pool;
    char *arena;
    double peak;
    double own, best, library[N_COLUMNS]; /* seconds of a step: own, best of each, each where it takes the product */
} bench;

static void fail_on(ins_status status, const ins_error *err) {
    if (status == INS_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

static int compare_times(const void *x, const void *y) {
    double left = *(const double *)x, right = *(const double *)y;
    return left < right ? -1 : left > right;
}

static size_t page_up(size_t bytes) {
    return (bytes + 4095) / 4096 * 4096 + 4096; /* one page apart, so that arrays do not share cache sets */
}

static int column_of(const ins_gemm_impl *impl) {
    for (int c = 1; c < N_COLUMNS; c++)
        if (strcmp(impl->head.name, columns[c]) == 0) return c;
    return 0;
}

/* Where a product's operands lie in one set of them, and how many sets make up COLD_BYTES. */
typedef struct bench_sets {
    size_t b, bias, c, bytes, n;
} bench_sets;

static bench_sets sets_of(const ins_gemm_args *args) {
    size_t size = ins_dtype_size(args->dtype_a);
    bench_sets sets = {.b = page_up((size_t)(args->m * args->k) * size)};
    sets.bias = sets.b + page_up((size_t)(args->n * args->k) * size);
    sets.c = sets.bias + page_up((size_t)args->n * 4);
    sets.bytes = sets.c + page_up((size_t)(args->m * args->n) * ins_dtype_size(args->dtype_c));
    sets.n = COLD_BYTES / sets.bytes + 1;
    if (sets.n * sets.bytes > ARENA) sets.n = ARENA / sets.bytes;
    return sets;
}

/* Small numbers, as f32 and as pairs of bf16. */
static void fill(const bench *b, const bench_sets *sets) {
    for (size_t i = 0; i < sets->n * sets->bytes / 4; i++)
        ((uint32_t *)(void *)b->arena)[i] = 0x3c803c00u + (uint32_t)(i % 61) * 0x10001u;
}

static ins_gemm_args operands(const bench *b, const ins_gemm_args *shape, const bench_sets *sets, size_t turn) {
    ins_gemm_args args = *shape;
    char *at = b->arena + sets->bytes * (turn % sets->n);
    args.a = at, args.b = at + sets->b, args.c = at + sets->c;
    if (args.bias) args.bias = at + sets->bias;
    args.lda = args.trans_a ? args.m : args.k, args.ldb = args.trans_b ? args.k : args.n, args.ldc = args.n;
    return args;
}

static void bench_product(bench *b, const char *what, const ins_gemm_args *shape, int64_t count) {
    const ins_gemm_impl *candidates[INS_GEMM_CANDIDATES];
    const ins_gemm_batch one = {.batch = 1};
    double times[N_COLUMNS][MAX_RUNS];
    const bench_sets sets = sets_of(shape);
    ins_gemm_args args = operands(b, shape, &sets, 0);
    int n = ins_gemm_candidates(&args, candidates), runs = -1;
    size_t turn = 0;
    fill(b, &sets);
    double started = ins_now();
    for (; runs < MAX_RUNS && (runs < MIN_RUNS || ins_now() - started < RUN_BUDGET); runs++)
        for (int i = 0; i < n; i++) {
            args = operands(b, shape, &sets, turn++);
            double begin = ins_now();
            candidates[i]->run(&args, &one, b->pool);
            if (runs >= 0) times[column_of(candidates[i])][runs] = ins_now() - begin;
        }
    double flops = 2.0 * (double)(shape->m * shape->n * shape->k), medians[N_COLUMNS] = {0};
    int best = 0;
    for (int i = 0; i < n; i++) {
        int c = column_of(candidates[i]);
        qsort(times[c], (size_t)runs, sizeof times[c][0], compare_times);
        medians[c] = times[c][runs / 2];
        if (medians[c] < medians[best]) best = c;
    }
    printf("  %-32s", what);
    for (int c = 0; c < N_COLUMNS; c++) {
        if (medians[c] > 0)
            printf(" %8.3f %3.0f%%", medians[c] * 1e3, 100 * flops / medians[c] / b->peak);
        else
            printf(" %13s", "-");
        b->library[c] += (medians[c] > 0 ? medians[c] : medians[0]) * (double)count;
    }
    printf("  %s %.2f\n", columns[best], medians[0] / medians[best]);
    fflush(stdout);
    b->own += medians[0] * (double)count, b->best += medians[best] * (double)count;
}

/* y = x W^T + bias, d_x = d_y W, d_W = d_y^T x. */
static void bench_linear(bench *b, ins_dtype dtype, const bench_config *config, const char *name, int64_t n,
                         int64_t k) {
    static const float has_bias = 0;
    int64_t tokens = config->tokens, layers = config->layers;
    const ins_gemm_args base = {.dtype_a = dtype, .dtype_b = dtype, .dtype_c = dtype};
    ins_gemm_args args = base;
    char what[64];
    args.trans_b = true, args.m = tokens, args.n = n, args.k = k, args.bias = &has_bias;
    snprintf(what, sizeof what, "%-4s y   %lld x %lld x %lld", name, (long long)tokens, (long long)n, (long long)k);
    bench_product(b, what, &args, layers);
    args = base, args.m = tokens, args.n = k, args.k = n;
    snprintf(what, sizeof what, "%-4s d_x %lld x %lld x %lld", name, (long long)tokens, (long long)k, (long long)n);
    bench_product(b, what, &args, layers);
    args = base, args.trans_a = true, args.dtype_c = INS_DTYPE_F32, args.m = n, args.n = k, args.k = tokens;
    snprintf(what, sizeof what, "%-4s d_w %lld x %lld x %lld", name, (long long)n, (long long)k, (long long)tokens);
    bench_product(b, what, &args, layers);
}

/* The loss head goes through rows in chunks of at most 64 MiB of logits. */
static void bench_head(bench *b, ins_dtype dtype, const bench_config *config) {
    int64_t most = ((int64_t)64 << 20) / (4 * config->vocab), chunks = (config->tokens + most - 1) / most;
    int64_t rows = (config->tokens + chunks - 1) / chunks, width = config->width, vocab = config->vocab;
    const ins_gemm_args base = {.dtype_a = dtype, .dtype_b = dtype, .dtype_c = INS_DTYPE_F32};
    ins_gemm_args args = base;
    char what[64];
    args.trans_b = true, args.m = rows, args.n = vocab, args.k = width;
    snprintf(what, sizeof what, "head z   %lld x %lld x %lld", (long long)rows, (long long)vocab, (long long)width);
    bench_product(b, what, &args, chunks);
    args = base, args.dtype_c = dtype, args.m = rows, args.n = width, args.k = vocab;
    snprintf(what, sizeof what, "head d_x %lld x %lld x %lld", (long long)rows, (long long)width, (long long)vocab);
    bench_product(b, what, &args, chunks);
    args = base, args.trans_a = true, args.m = vocab, args.n = width, args.k = rows, args.accumulate = chunks > 1;
    snprintf(what, sizeof what, "head d_w %lld x %lld x %lld", (long long)vocab, (long long)width, (long long)rows);
    bench_product(b, what, &args, chunks);
}

static void bench_config_run(bench *b, const bench_config *config, ins_dtype dtype) {
    int64_t width = config->width;
    b->peak = ins_probe_flops(dtype, b->pool), b->own = b->best = 0;
    memset(b->library, 0, sizeof b->library);
    printf("%c %s, peak %.0f GFLOP/s; ms and share of the peak\n  %-32s", config->name, ins_dtype_name(dtype),
           b->peak / 1e9, "");
    for (int c = 0; c < N_COLUMNS; c++) printf(" %13s", columns[c]);
    printf("  best, its gain\n");
    bench_linear(b, dtype, config, "qkv", 3 * width, width);
    bench_linear(b, dtype, config, "proj", width, width);
    bench_linear(b, dtype, config, "up", 4 * width, width);
    bench_linear(b, dtype, config, "down", width, 4 * width);
    bench_head(b, dtype, config);
    printf("  %-32s", "all of a step, ms");
    for (int c = 0; c < N_COLUMNS; c++) printf(" %13.1f", b->library[c] * 1e3);
    printf("  best of each %.1f: %.1f ms, %.1f %% less (peak now %.0f)\n", b->best * 1e3, (b->own - b->best) * 1e3,
           100 * (b->own - b->best) / b->own, ins_probe_flops(dtype, b->pool) / 1e9);
}

int main(int argc, char **argv) {
    bench b = {0};
    ins_error err = {0};
    void *arena = NULL;
    const char *names = argc > 1 ? argv[1] : "ABCD", *dtypes = argc > 2 ? argv[2] : "both";
    for (int level = 0; argc > 4 && level < INS_ISA_COUNT; level++)
        if (strcmp(argv[4], ins_isa_name((ins_isa_level)level)) == 0) ins_isa_limit((ins_isa_level)level);
    ins_str machine = {0};
    ins_gemm_machine(&machine);
    printf("%s\n", machine.data);
    ins_str_free(&machine);
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
