/* Elementwise maps with derivatives, and gated products, over blocks of f32 (bf16 is converted block by block). */
#include <math.h>

#include "kernel/act_impl.h"
#include "kernel/cpu/vmath.h"

/* Fills value[i] = act(x[i]) and slope[i] = act'(x[i]); the one not wanted goes to a scratch block. */
typedef void (*act_map)(int64_t n, const float *restrict x, float *restrict value, float *restrict slope);

#define GELU_TWO_C 1.59576912f /* 2 sqrt(2/pi): 1 + tanh(u) = 2 sigmoid(2u) */
#define GELU_K     0.044715f

static void act_identity(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = x[i], slope[i] = 1.0f;
}

static void act_gelu_tanh(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) {
        float v = x[i], s = vm_sigmoid(GELU_TWO_C * v * (1.0f + GELU_K * v * v));
        value[i] = v * s;
        slope[i] = s + v * s * (1.0f - s) * GELU_TWO_C * (1.0f + 3.0f * GELU_K * v * v);
    }
}

static void act_gelu_erf(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) {
        float v = x[i], cdf = vm_normal_cdf(v);
        value[i] = v * cdf;
        slope[i] = cdf + v * 0.398942280f * vm_exp_neg(-0.5f * v * v);
    }
}

static void act_silu(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) {
        float v = x[i], s = vm_sigmoid(v);
        value[i] = v * s;
        slope[i] = s + v * s * (1.0f - s);
    }
}

static void act_relu(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = x[i] > 0 ? x[i] : 0.0f, slope[i] = x[i] > 0 ? 1.0f : 0.0f;
}

static void act_relu2(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] > 0 ? x[i] : 0.0f;
        value[i] = v * v, slope[i] = 2.0f * v;
    }
}

static void act_sigmoid(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) {
        float s = vm_sigmoid(x[i]);
        value[i] = s, slope[i] = s * (1.0f - s);
    }
}

static void act_tanh(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) {
        float t = vm_tanh(x[i]);
        value[i] = t, slope[i] = 1.0f - t * t;
    }
}

static void act_softplus(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = (x[i] > 0 ? x[i] : 0.0f) + log1pf(expf(-fabsf(x[i])));
    for (int64_t i = 0; i < n; i++) slope[i] = vm_sigmoid(x[i]);
}

static void act_exp(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = slope[i] = vm_exp(x[i]);
}

static void act_log(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = logf(x[i]);
    for (int64_t i = 0; i < n; i++) slope[i] = 1.0f / x[i];
}

static void act_sqrt(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = sqrtf(x[i]);
    for (int64_t i = 0; i < n; i++) slope[i] = 0.5f / value[i];
}

static void act_rsqrt(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = 1.0f / sqrtf(x[i]);
    for (int64_t i = 0; i < n; i++) slope[i] = -0.5f * value[i] / x[i];
}

static void act_reciprocal(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) {
        float inverse = 1.0f / x[i];
        value[i] = inverse, slope[i] = -inverse * inverse;
    }
}

static void act_square(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = x[i] * x[i], slope[i] = 2.0f * x[i];
}

static void act_neg(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = -x[i], slope[i] = -1.0f;
}

static float act_sign_of(float x) {
    return x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f;
}

static void act_abs(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = fabsf(x[i]), slope[i] = act_sign_of(x[i]);
}

static void act_sign(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = act_sign_of(x[i]), slope[i] = 0.0f;
}

static void act_sin(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = sinf(x[i]), slope[i] = cosf(x[i]);
}

static void act_cos(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = cosf(x[i]), slope[i] = -sinf(x[i]);
}

static void act_erf(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = vm_erf(x[i]), slope[i] = 1.12837917f * vm_exp_neg(-x[i] * x[i]);
}

static const act_map act_maps[INS_ACT_COUNT] = {
    [INS_ACT_IDENTITY] = act_identity, [INS_ACT_GELU_TANH] = act_gelu_tanh,
    [INS_ACT_GELU_ERF] = act_gelu_erf, [INS_ACT_SILU] = act_silu,
    [INS_ACT_RELU] = act_relu,         [INS_ACT_RELU2] = act_relu2,
    [INS_ACT_SIGMOID] = act_sigmoid,   [INS_ACT_TANH] = act_tanh,
    [INS_ACT_SOFTPLUS] = act_softplus, [INS_ACT_EXP] = act_exp,
    [INS_ACT_LOG] = act_log,           [INS_ACT_SQRT] = act_sqrt,
    [INS_ACT_RSQRT] = act_rsqrt,       [INS_ACT_RECIPROCAL] = act_reciprocal,
    [INS_ACT_SQUARE] = act_square,     [INS_ACT_NEG] = act_neg,
    [INS_ACT_ABS] = act_abs,           [INS_ACT_SIGN] = act_sign,
    [INS_ACT_SIN] = act_sin,           [INS_ACT_COS] = act_cos,
    [INS_ACT_ERF] = act_erf,
};

/* Elements of a task: enough to be worth a hand-over, a multiple of the block. */
#define ACT_CHUNK (16 * CPU_BLOCK)

static void act_forward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_act_args *args = arg;
    act_map map = act_maps[args->act];
    float in[CPU_BLOCK], value[CPU_BLOCK], slope[CPU_BLOCK];
    int64_t end = ins_min_i64(args->n, (task + 1) * ACT_CHUNK);
    for (int64_t at = task * ACT_CHUNK; at < end; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, end - at);
        map(n, cpu_view(args->dtype, args->x, at, n, in), value, slope);
        cpu_store(args->dtype, value, args->y, at, n);
    }
}

static void act_backward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const ins_act_args *args = arg;
    act_map map = act_maps[args->act];
    float in[CPU_BLOCK], value[CPU_BLOCK], slope[CPU_BLOCK], d_out[CPU_BLOCK];
    int64_t end = ins_min_i64(args->n, (task + 1) * ACT_CHUNK);
    for (int64_t at = task * ACT_CHUNK; at < end; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, end - at);
        map(n, cpu_view(args->dtype, args->x, at, n, in), value, slope);
        const float *d_y = cpu_view(args->dtype, args->d_y, at, n, d_out);
        for (int64_t i = 0; i < n; i++) slope[i] *= d_y[i];
        if (args->accumulate) {
            const float *old = cpu_view(args->dtype, args->d_x, at, n, in);
            for (int64_t i = 0; i < n; i++) slope[i] += old[i];
        }
        cpu_store(args->dtype, slope, args->d_x, at, n);
    }
}

static void act_forward(const ins_act_args *args, ins_pool *pool) {
    ins_act_args copy = *args;
    ins_pool_run(pool, ins_ceil_div(args->n, ACT_CHUNK), act_forward_task, &copy);
}

static void act_backward(const ins_act_args *args, ins_pool *pool) {
    ins_act_args copy = *args;
    ins_pool_run(pool, ins_ceil_div(args->n, ACT_CHUNK), act_backward_task, &copy);
}

typedef struct act_gated_job {
    const ins_gated_args *args;
    int64_t rows; /* a task */
} act_gated_job;

static void act_gated_row_forward(const ins_gated_args *args, int64_t r) {
    float in[CPU_BLOCK], work[CPU_BLOCK], value[CPU_BLOCK], slope[CPU_BLOCK];
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        act_maps[args->act](n, cpu_view(args->dtype, args->gate, r * args->ld_gate + c, n, in), value, slope);
        const float *up = cpu_view(args->dtype, args->up, r * args->ld_up + c, n, work);
        for (int64_t i = 0; i < n; i++) value[i] *= up[i];
        cpu_store(args->dtype, value, args->y, r * args->ldy + c, n);
    }
}

static void act_gated_row_backward(const ins_gated_args *args, int64_t r) {
    float in[CPU_BLOCK], work[CPU_BLOCK], value[CPU_BLOCK], slope[CPU_BLOCK], d_out[CPU_BLOCK];
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        act_maps[args->act](n, cpu_view(args->dtype, args->gate, r * args->ld_gate + c, n, in), value, slope);
        const float *up = cpu_view(args->dtype, args->up, r * args->ld_up + c, n, work);
        const float *d_y = cpu_view(args->dtype, args->d_y, r * args->ld_dy + c, n, d_out);
        for (int64_t i = 0; i < n; i++) slope[i] *= d_y[i] * up[i], value[i] *= d_y[i];
        cpu_store(args->dtype, slope, args->d_gate, r * args->ld_dgate + c, n);
        cpu_store(args->dtype, value, args->d_up, r * args->ld_dup + c, n);
    }
}

static void act_gated_forward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const act_gated_job *job = arg;
    int64_t end = ins_min_i64(job->args->rows, (task + 1) * job->rows);
    for (int64_t r = task * job->rows; r < end; r++) act_gated_row_forward(job->args, r);
}

static void act_gated_backward_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const act_gated_job *job = arg;
    int64_t end = ins_min_i64(job->args->rows, (task + 1) * job->rows);
    for (int64_t r = task * job->rows; r < end; r++) act_gated_row_backward(job->args, r);
}

static void act_gated_run(const ins_gated_args *args, ins_task_fn fn, ins_pool *pool) {
    act_gated_job job = {args, ins_max_i64(1, ACT_CHUNK / args->cols)};
    ins_pool_run(pool, ins_ceil_div(args->rows, job.rows), fn, &job);
}

static void act_gated_forward(const ins_gated_args *args, ins_pool *pool) {
    act_gated_run(args, act_gated_forward_task, pool);
}

static void act_gated_backward(const ins_gated_args *args, ins_pool *pool) {
    act_gated_run(args, act_gated_backward_task, pool);
}

const ins_act_impl INS_CPU(ins_cpu_act) = {
    .head = INS_CPU_HEAD,
    .forward = act_forward,
    .backward = act_backward,
    .gated_forward = act_gated_forward,
    .gated_backward = act_gated_backward,
};
