/* Speed of each kernel against the measured limits of this machine: GFLOP/s against the multiply-add peak, GB/s against
 * the bandwidth of the AdamW pattern. Shapes are those of training steps: a GPT-2 124M (4 x 64 tokens) and a model of
 * 4 layers, width 256 (16 x 256 tokens). Times are the best of a few repetitions.
 *
 *   bench_kernels [threads] [cpu]
 *
 * With `cpu`, times are those of the processor, not of the wall: for a busy machine, with 1 thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "kernel/act.h"
#include "kernel/attention.h"
#include "kernel/elementwise.h"
#include "kernel/embed.h"
#include "kernel/gemm.h"
#include "kernel/impls.h"
#include "kernel/isa.h"
#include "kernel/norm.h"
#include "kernel/optim_kernels.h"
#include "kernel/probe_machine.h"
#include "kernel/reduce.h"
#include "kernel/rope.h"
#include "kernel/softmax.h"
#include "kernel/xent.h"

typedef struct bench {
    ins_pool *pool;
    double peak_f32, peak_bf16, bandwidth;
    char *arena;
    size_t used, size;
} bench;

typedef ins_status (*bench_fn)(const void *args, ins_pool *pool, ins_error *err);

/* Memory filled with small values that are valid f32 and bf16. */
static void *take(bench *b, size_t bytes) {
    void *data = b->arena + b->used;
    b->used += (bytes + 4095) / 4096 * 4096;
    if (b->used > b->size) {
        fprintf(stderr, "bench arena too small\n");
        exit(1);
    }
    return data;
}

static bool cpu_clock;

static double bench_now(void) {
    struct timespec t;
    clock_gettime(cpu_clock ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double best_time(bench_fn fn, const void *args, ins_pool *pool) {
    double best = 1e30, total = 0;
    for (int run = 0; run < 20 && (run < 3 || total < 0.4); run++) {
        double start = bench_now();
        ins_error err = {0};
        if (fn(args, pool, &err) != INS_OK) {
            fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        double took = bench_now() - start;
        total += took;
        if (took < best) best = took;
    }
    return best;
}

static void report_flops(const bench *b, const char *what, ins_dtype dtype, double seconds, double flops) {
    double peak = dtype == INS_DTYPE_BF16 ? b->peak_bf16 : b->peak_f32;
    printf("%-44s %9.3f ms %8.1f GFLOP/s %5.1f%% of peak\n", what, seconds * 1e3, flops / seconds / 1e9,
           100 * flops / seconds / peak);
}

static void report_bytes(const bench *b, const char *what, double seconds, double bytes) {
    printf("%-44s %9.3f ms %8.1f GB/s    %5.1f%% of bandwidth\n", what, seconds * 1e3, bytes / seconds / 1e9,
           100 * bytes / seconds / b->bandwidth);
}

static ins_status run_gemm(const void *args, ins_pool *pool, ins_error *err) {
    return ins_gemm(args, pool, err);
}

static void bench_gemm(bench *b, ins_dtype dtype, int64_t rows, int64_t out, int64_t in) {
    b->used = 0;
    size_t size = ins_dtype_size(dtype);
    void *x = take(b, (size_t)(rows * in) * 4), *w = take(b, (size_t)(out * in) * 4),
         *y = take(b, (size_t)(rows * out) * 4);
    (void)size;
    ins_gemm_args base = {.dtype_a = dtype, .dtype_b = dtype, .dtype_c = INS_DTYPE_F32};
    ins_gemm_args fwd = base, d_x = base, d_w = base;
    fwd.trans_b = true, fwd.m = rows, fwd.n = out, fwd.k = in;
    fwd.a = x, fwd.lda = in, fwd.b = w, fwd.ldb = in, fwd.c = y, fwd.ldc = out;
    d_x.m = rows, d_x.n = in, d_x.k = out;
    d_x.a = y, d_x.lda = out, d_x.b = w, d_x.ldb = in, d_x.c = x, d_x.ldc = in;
    d_w.trans_a = true, d_w.m = out, d_w.n = in, d_w.k = rows;
    d_w.a = y, d_w.lda = out, d_w.b = x, d_w.ldb = in, d_w.c = w, d_w.ldc = in;
    const ins_gemm_args *parts[3] = {&fwd, &d_x, &d_w};
    static const char *const names[3] = {"y = x W^T", "d_x", "d_w"};
    for (int i = 0; i < 3; i++) {
        char what[96];
        snprintf(what, sizeof what, "gemm %s %s %lldx%lldx%lld", ins_dtype_name(dtype), names[i], (long long)rows,
                 (long long)out, (long long)in);
        report_flops(b, what, dtype, best_time(run_gemm, parts[i], b->pool), 2.0 * (double)(rows * out * in));
    }
}

static ins_status run_forward(const void *args, ins_pool *pool, ins_error *err) {
    return ins_attention_forward(args, pool, err);
}
static ins_status run_backward(const void *args, ins_pool *pool, ins_error *err) {
    return ins_attention_backward(args, pool, err);
}

static void bench_attention(bench *b, ins_dtype dtype, int64_t batch, int64_t time, int64_t heads) {
    b->used = 0;
    int64_t width = heads * 64, rows = batch * time;
    size_t bytes = (size_t)(rows * 3 * width) * ins_dtype_size(dtype), third = (size_t)width * ins_dtype_size(dtype);
    char *qkv = take(b, bytes), *d_qkv = take(b, bytes), *o = take(b, bytes), *d_o = take(b, bytes);
    int32_t *lo = take(b, (size_t)rows * 4), *hi = take(b, (size_t)rows * 4);
    for (int64_t i = 0; i < rows; i++) lo[i] = 0, hi[i] = (int32_t)(i % time) + 1;
    ins_attention_args args = {.dtype = dtype,
                               .batch = batch,
                               .n_q = time,
                               .n_k = time,
                               .n_heads = heads,
                               .n_kv_heads = heads,
                               .head_dim = 64,
                               .scale = 0.125,
                               .q = qkv,
                               .k = qkv + third,
                               .v = qkv + 2 * third,
                               .ldq = 3 * width,
                               .ldk = 3 * width,
                               .ldv = 3 * width,
                               .ldo = width,
                               .lo = lo,
                               .hi = hi,
                               .o = o,
                               .lse = take(b, (size_t)(rows * heads) * 4),
                               .d_o = d_o,
                               .ld_do = width,
                               .d_q = d_qkv,
                               .d_k = d_qkv + third,
                               .d_v = d_qkv + 2 * third,
                               .ld_dq = 3 * width,
                               .ld_dk = 3 * width,
                               .ld_dv = 3 * width};
    args.scratch = take(b, ins_attention_backward_scratch(&args, 2));
    /* Work of the visible half only: 2 products forward, 5 backward. */
    double product = 2.0 * (double)(batch * heads * 64) * (double)(time * (time + 1)) / 2;
    char what[96];
    snprintf(what, sizeof what, "attention %s forward %lldx%lld, %lld heads", ins_dtype_name(dtype), (long long)batch,
             (long long)time, (long long)heads);
    report_flops(b, what, INS_DTYPE_F32, best_time(run_forward, &args, b->pool), 2 * product);
    snprintf(what, sizeof what, "attention %s backward %lldx%lld, %lld heads", ins_dtype_name(dtype), (long long)batch,
             (long long)time, (long long)heads);
    report_flops(b, what, INS_DTYPE_F32, best_time(run_backward, &args, b->pool), 5 * product);
}

static ins_status run_xent(const void *args, ins_pool *pool, ins_error *err) {
    return ins_linear_xent_run(args, pool, err);
}

static void bench_xent(bench *b, ins_dtype dtype, int64_t n, int64_t d, int64_t v) {
    b->used = 0;
    int32_t *targets = take(b, (size_t)n * 4);
    for (int64_t i = 0; i < n; i++) targets[i] = (int32_t)(i * 7919 % v);
    ins_linear_xent_args args = {.dtype = dtype,
                                 .n = n,
                                 .d = d,
                                 .v = v,
                                 .x = take(b, (size_t)(n * d) * 4),
                                 .ldx = d,
                                 .w = take(b, (size_t)(v * d) * 4),
                                 .ldw = d,
                                 .targets = targets,
                                 .d_loss = 1,
                                 .d_x = take(b, (size_t)(n * d) * 4),
                                 .ld_dx = d,
                                 .d_w = take(b, (size_t)(v * d) * 4),
                                 .ld_dw = d};
    args.scratch = take(b, ins_linear_xent_scratch(&args));
    char what[96];
    snprintf(what, sizeof what, "linear_xent %s %lldx%lldx%lld", ins_dtype_name(dtype), (long long)n, (long long)d,
             (long long)v);
    report_flops(b, what, dtype, best_time(run_xent, &args, b->pool), 6.0 * (double)n * (double)d * (double)v);
}

static ins_status run_adamw(const void *args, ins_pool *pool, ins_error *err) {
    (void)err;
    ins_adamw(args, pool);
    return INS_OK;
}
static ins_status run_norm_forward(const void *args, ins_pool *pool, ins_error *err) {
    return ins_norm_forward(args, pool, err);
}
static ins_status run_norm_backward(const void *args, ins_pool *pool, ins_error *err) {
    return ins_norm_backward(args, pool, err);
}
static ins_status run_act_forward(const void *args, ins_pool *pool, ins_error *err) {
    return ins_act_forward(args, pool, err);
}
static ins_status run_act_backward(const void *args, ins_pool *pool, ins_error *err) {
    return ins_act_backward(args, pool, err);
}
static ins_status run_rope(const void *args, ins_pool *pool, ins_error *err) {
    return ins_rope_rotate(args, pool, err);
}
static ins_status run_softmax(const void *args, ins_pool *pool, ins_error *err) {
    return ins_softmax_forward(args, pool, err);
}
static ins_status run_columns(const void *args, ins_pool *pool, ins_error *err) {
    return ins_column_sum(args, pool, err);
}
static ins_status run_embed(const void *args, ins_pool *pool, ins_error *err) {
    return ins_embed_backward(args, pool, err);
}
static ins_status run_binary(const void *args, ins_pool *pool, ins_error *err) {
    return ins_binary_apply(args, pool, err);
}
static ins_status run_strided(const void *args, ins_pool *pool, ins_error *err) {
    return ins_strided_copy(args, pool, err);
}

static void bench_adamw(bench *b, int64_t n) {
    b->used = 0;
    size_t bytes = (size_t)n * 4;
    ins_adamw_args args = {.n = n,
                           .p = take(b, bytes),
                           .g = take(b, bytes),
                           .m = take(b, bytes),
                           .v = take(b, bytes),
                           .lr = 1e-4,
                           .beta1 = .9,
                           .beta2 = .95,
                           .eps = 1e-8,
                           .bias1 = 1,
                           .bias2 = 1,
                           .grad_scale = 1};
    report_bytes(b, "adamw 16 M parameters", best_time(run_adamw, &args, b->pool), 28.0 * (double)n);
}

static void bench_rows(bench *b, ins_dtype dtype, int64_t rows, int64_t cols) {
    b->used = 0;
    size_t bytes = (size_t)(rows * cols) * ins_dtype_size(dtype), size = bytes;
    void *x = take(b, bytes), *y = take(b, bytes), *d_x = take(b, bytes), *weight = take(b, (size_t)cols * 4);
    ins_norm_args norm = {.dtype = dtype,
                          .rows = rows,
                          .cols = cols,
                          .eps = 1e-5,
                          .x = x,
                          .ldx = cols,
                          .weight = weight,
                          .bias = weight,
                          .y = y,
                          .ldy = cols,
                          .mean = take(b, (size_t)rows * 4),
                          .rstd = take(b, (size_t)rows * 4),
                          .d_y = y,
                          .ld_dy = cols,
                          .d_x = d_x,
                          .ld_dx = cols,
                          .d_weight = take(b, (size_t)cols * 4),
                          .d_bias = take(b, (size_t)cols * 4)};
    norm.scratch = take(b, ins_norm_backward_scratch(&norm));
    ins_act_args act = {
        .act = INS_ACT_GELU_TANH, .dtype = dtype, .n = rows * cols, .x = x, .y = y, .d_y = y, .d_x = d_x};
    ins_softmax_args softmax = {.dtype = dtype, .rows = rows, .cols = cols, .x = x, .ldx = cols, .y = y, .ldy = cols};
    ins_column_sum_args columns = {.dtype = dtype, .rows = rows, .cols = cols, .x = x, .ldx = cols, .out = norm.d_bias};
    int32_t *positions = take(b, (size_t)rows * 4);
    for (int64_t i = 0; i < rows; i++) positions[i] = (int32_t)(i % 256);
    ins_rope_args rope = {.dtype = dtype,
                          .rows = rows,
                          .n_heads = cols / 64,
                          .head_dim = 64,
                          .rotary_dim = 64,
                          .theta = 10000,
                          .positions = positions,
                          .x = x,
                          .ldx = cols,
                          .y = y,
                          .ldy = cols};
    ins_binary_args add = {.op = INS_BINARY_ADD,
                           .dtype = dtype,
                           .n_dims = 1,
                           .dims = {rows * cols},
                           .x = x,
                           .y = y,
                           .stride_x = {1},
                           .stride_y = {1},
                           .out = d_x};
    ins_strided_args turn = {.dtype = dtype,
                             .n_dims = 3,
                             .dims = {cols / 64, rows, 64},
                             .src = x,
                             .stride_src = {64, cols, 1},
                             .dst = y,
                             .stride_dst = {rows * 64, 64, 1}};
    ins_embed_args embed = {.dtype = dtype,
                            .n = rows,
                            .v = 4096,
                            .d = cols,
                            .ids = positions,
                            .d_out = x,
                            .d_table = take(b, (size_t)(4096 * cols) * 4),
                            .accumulate = true};
    const struct {
        const char *name;
        bench_fn fn;
        const void *args;
        double arrays; /* passes over [rows, cols] */
    } runs[] = {{"layernorm forward", run_norm_forward, &norm, 2}, {"layernorm backward", run_norm_backward, &norm, 3},
                {"gelu_tanh forward", run_act_forward, &act, 2},   {"gelu_tanh backward", run_act_backward, &act, 3},
                {"softmax forward", run_softmax, &softmax, 2},     {"rope", run_rope, &rope, 2},
                {"column sum", run_columns, &columns, 1},          {"add", run_binary, &add, 3},
                {"head permute", run_strided, &turn, 2},           {"embed gradient", run_embed, &embed, 2}};
    for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
        char what[96];
        snprintf(what, sizeof what, "%s %s %lldx%lld", runs[i].name, ins_dtype_name(dtype), (long long)rows,
                 (long long)cols);
        report_bytes(b, what, best_time(runs[i].fn, runs[i].args, b->pool), runs[i].arrays * (double)size);
    }
}

static void bench_dtype(bench *b, ins_dtype dtype) {
    static const int64_t shapes[][3] = {{256, 768, 768},  {256, 2304, 768}, {256, 3072, 768},  {256, 768, 3072},
                                        {4096, 256, 256}, {4096, 768, 256}, {4096, 1024, 256}, {4096, 256, 1024}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        bench_gemm(b, dtype, shapes[i][0], shapes[i][1], shapes[i][2]);
    bench_attention(b, dtype, 4, 64, 12), bench_attention(b, dtype, 16, 256, 4);
    bench_xent(b, dtype, 256, 768, 50257), bench_xent(b, dtype, 4096, 256, 4096);
    bench_rows(b, dtype, 4096, 1024);
}

int main(int argc, char **argv) {
    bench b = {.size = (size_t)1 << 30};
    cpu_clock = argc > 2 && strcmp(argv[2], "cpu") == 0;
    ins_error err = {0};
    void *arena = NULL;
    if (ins_pool_new(argc > 1 ? atoi(argv[1]) : 0, &b.pool, &err) != INS_OK ||
        ins_pages_alloc(b.size, true, &arena, &err) != INS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    b.arena = arena;
    for (size_t i = 0; i < b.size / 4; i++) ((uint32_t *)arena)[i] = 0x3c803c00u + (uint32_t)(i % 61) * 0x10001u;
    b.peak_f32 = ins_probe_flops(INS_DTYPE_F32, b.pool), b.peak_bf16 = ins_probe_flops(INS_DTYPE_BF16, b.pool);
    b.bandwidth = ins_probe_update_bandwidth(b.pool);
    printf("isa %s, %d threads, f32 %.1f GFLOP/s, bf16 %.1f GFLOP/s, update %.1f GB/s, read %.1f GB/s\n",
           ins_isa_name(ins_isa_detect()), ins_pool_threads(b.pool), b.peak_f32 / 1e9, b.peak_bf16 / 1e9,
           b.bandwidth / 1e9, ins_probe_read_bandwidth(b.pool) / 1e9);
    ins_impl_choice choices[64];
    int64_t n = ins_impl_choices(choices, 64);
    for (int64_t i = 0; i < n && i < 64; i++)
        printf("  %-12s %-5s %s\n", choices[i].kernel, ins_dtype_name(choices[i].dtype), choices[i].impl);
    bench_adamw(&b, (int64_t)16 << 20);
    bench_dtype(&b, INS_DTYPE_F32);
    bench_dtype(&b, INS_DTYPE_BF16);
    ins_pages_free(arena, b.size);
    ins_pool_free(b.pool);
    return 0;
}
