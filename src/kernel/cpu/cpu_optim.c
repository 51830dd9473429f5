/* Optimizer updates in one pass over memory, in fixed chunks. */
#include <math.h>

#include "kernel/cpu/cpu.h"
#include "kernel/optim_impl.h"

#define OPTIM_CHUNK 32768

/* The constants of one AdamW call in f32, folded so that an element costs one root and one division:
 * m/bias1 / (sqrt(v/bias2) + eps) = (m root2/bias1) / (sqrt(v) + eps root2), root2 = sqrt(bias2). */
typedef struct adamw_job {
    const ins_adamw_args *args;
    float grad_scale, beta1, one_minus1, beta2, one_minus2, step, eps, keep;
} adamw_job;

/* From this many elements on, the bf16 copy is written past the caches: it would only push out what is needed, and a
 * plain store reads the line first. */
#define OPTIM_STREAM ((int64_t)4 << 20)

/* A block of new weights, still in L1, as bf16. */
INS_INLINE void optim_copy_bf16(const float *p, int64_t n, uint16_t *restrict half, bool stream) {
#if defined(__AVX__)
    if (stream && n % 32 == 0 && (uintptr_t)half % 64 == 0) {
        _Alignas(64) uint16_t line[CPU_BLOCK];
        cpu_store(INS_DTYPE_BF16, p, line, 0, n);
        for (int64_t i = 0; i < n; i += 16)
            _mm256_stream_si256((__m256i *)(void *)(half + i), _mm256_load_si256((const __m256i *)(void *)(line + i)));
        return;
    }
#endif
    (void)stream;
    cpu_store(INS_DTYPE_BF16, p, half, 0, n);
}

/* Streamed stores are seen by others only behind this. */
INS_INLINE void optim_fence(void) {
#if defined(__AVX__)
    _mm_sfence();
#endif
}

INS_INLINE void adamw_block(const adamw_job *job, int64_t n, float *restrict p, const float *restrict g,
                            float *restrict m, float *restrict v) {
    const adamw_job c = *job;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float grad = g[i] * c.grad_scale;
        float mean = c.beta1 * m[i] + c.one_minus1 * grad;
        float var = c.beta2 * v[i] + c.one_minus2 * grad * grad;
        m[i] = mean, v[i] = var;
        p[i] = c.keep * p[i] - c.step * mean / (sqrtf(var) + c.eps);
    }
}

static void adamw_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const adamw_job *job = arg;
    const ins_adamw_args *args = job->args;
    int64_t end = ins_min_i64(args->n, (task + 1) * OPTIM_CHUNK);
    bool stream = args->n >= OPTIM_STREAM;
    for (int64_t at = task * OPTIM_CHUNK; at < end; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, end - at);
        adamw_block(job, n, args->p + at, args->g + at, args->m + at, args->v + at);
        if (args->zero_grad) memset((float *)(uintptr_t)args->g + at, 0, (size_t)n * 4);
        if (args->p_bf16) optim_copy_bf16(args->p + at, n, args->p_bf16 + at, stream);
    }
    if (args->p_bf16 && stream) optim_fence();
}

static void adamw_run(const ins_adamw_args *args, ins_pool *pool) {
    double root2 = sqrt(args->bias2);
    adamw_job job = {
        .args = args,
        .grad_scale = (float)args->grad_scale,
        .beta1 = (float)args->beta1,
        .one_minus1 = (float)(1 - args->beta1),
        .beta2 = (float)args->beta2,
        .one_minus2 = (float)(1 - args->beta2),
        .step = (float)(args->lr * root2 / args->bias1),
        .eps = (float)(args->eps * root2),
        .keep = (float)(1 - args->lr * args->weight_decay),
    };
    ins_pool_run(pool, ins_ceil_div(args->n, OPTIM_CHUNK), adamw_task, &job);
}

INS_INLINE void sgd_block(const ins_sgd_args *args, int64_t begin, int64_t n) {
    float *restrict p = args->p + begin;
    const float *restrict g = args->g + begin;
    float lr = (float)args->lr, momentum = (float)args->momentum;
    float decay = (float)args->weight_decay, grad_scale = (float)args->grad_scale;
    if (args->buf) {
        float *restrict buf = args->buf + begin;
        float look = args->nesterov ? momentum : 1.0f, now = args->nesterov ? 1.0f : 0.0f;
        for (int64_t i = 0; i < n; i++) {
            float grad = grad_scale * g[i] + decay * p[i];
            buf[i] = momentum * buf[i] + grad;
            p[i] -= lr * (now * grad + look * buf[i]);
        }
    } else {
        for (int64_t i = 0; i < n; i++) p[i] -= lr * (grad_scale * g[i] + decay * p[i]);
    }
}

static void sgd_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_sgd_args *args = arg;
    int64_t end = ins_min_i64(args->n, (task + 1) * OPTIM_CHUNK);
    bool stream = args->n >= OPTIM_STREAM;
    for (int64_t at = task * OPTIM_CHUNK; at < end; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, end - at);
        sgd_block(args, at, n);
        if (args->p_bf16) optim_copy_bf16(args->p + at, n, args->p_bf16 + at, stream);
    }
    if (args->p_bf16 && stream) optim_fence();
}

static void sgd_run(const ins_sgd_args *args, ins_pool *pool) {
    ins_sgd_args copy = *args;
    ins_pool_run(pool, ins_ceil_div(args->n, OPTIM_CHUNK), sgd_task, &copy);
}

typedef struct ema_job {
    int64_t n;
    float decay;
    const float *p;
    float *avg;
} ema_job;

static void ema_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ema_job *job = arg;
    int64_t begin = task * OPTIM_CHUNK, n = ins_min_i64(OPTIM_CHUNK, job->n - begin);
    const float *restrict p = job->p + begin;
    float *restrict avg = job->avg + begin, fresh = 1.0f - job->decay;
    for (int64_t i = 0; i < n; i++) avg[i] += fresh * (p[i] - avg[i]);
}

static void ema_run(int64_t n, double decay, const float *p, float *avg, ins_pool *pool) {
    ema_job job = {n, (float)decay, p, avg};
    ins_pool_run(pool, ins_ceil_div(n, OPTIM_CHUNK), ema_task, &job);
}

const ins_optim_impl INS_CPU(ins_cpu_optim) = {
    .head = INS_CPU_HEAD, .adamw = adamw_run, .sgd = sgd_run, .ema = ema_run};
