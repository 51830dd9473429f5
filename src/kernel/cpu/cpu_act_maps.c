/* The maps that no Transformer spends time on: over blocks of f32, value and slope together; bf16 is converted block by
 * block.
 */
#include <math.h>

#include "kernel/cpu/cpu_act.h"
#include "kernel/cpu/vmath.h"

/* Fills value[i] = act(x[i]) and slope[i] = act'(x[i]); the one not wanted goes to a scratch block. */
typedef void (*act_map)(int64_t n, const float *restrict x, float *restrict value, float *restrict slope);

static void act_identity(int64_t n, const float *restrict x, float *restrict value, float *restrict slope) {
    for (int64_t i = 0; i < n; i++) value[i] = x[i], slope[i] = 1.0f;
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
    [INS_ACT_IDENTITY] = act_identity, [INS_ACT_TANH] = act_tanh,
    [INS_ACT_SOFTPLUS] = act_softplus, [INS_ACT_EXP] = act_exp,
    [INS_ACT_LOG] = act_log,           [INS_ACT_SQRT] = act_sqrt,
    [INS_ACT_RSQRT] = act_rsqrt,       [INS_ACT_RECIPROCAL] = act_reciprocal,
    [INS_ACT_SQUARE] = act_square,     [INS_ACT_NEG] = act_neg,
    [INS_ACT_ABS] = act_abs,           [INS_ACT_SIGN] = act_sign,
    [INS_ACT_SIN] = act_sin,           [INS_ACT_COS] = act_cos,
    [INS_ACT_ERF] = act_erf,
};

void INS_CPU(ins_act_block_forward)(const ins_act_args *args, int64_t at, int64_t end) {
    float in[CPU_BLOCK], value[CPU_BLOCK], slope[CPU_BLOCK];
    for (; at < end; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, end - at);
        act_maps[args->act](n, cpu_view(args->dtype, args->x, at, n, in), value, slope);
        cpu_store(args->dtype, value, args->y, at, n);
    }
}

void INS_CPU(ins_act_block_backward)(const ins_act_args *args, int64_t at, int64_t end, float *sum) {
    float in[CPU_BLOCK], value[CPU_BLOCK], slope[CPU_BLOCK], d_out[CPU_BLOCK];
    for (; at < end; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, end - at);
        act_maps[args->act](n, cpu_view(args->dtype, args->x, at, n, in), value, slope);
        const float *d_y = cpu_view(args->dtype, args->d_y, at, n, d_out);
        for (int64_t i = 0; i < n; i++) slope[i] *= d_y[i];
        if (args->accumulate) {
            const float *old = cpu_view(args->dtype, args->d_x, at, n, in);
            for (int64_t i = 0; i < n; i++) slope[i] += old[i];
        }
        cpu_store(args->dtype, slope, args->d_x, at, n);
        if (!sum) continue;
        const float *stored = cpu_view(args->dtype, args->d_x, at, n, in);
        for (int64_t i = 0; i < n; i++) sum[i] += stored[i];
        sum += n;
    }
}

void INS_CPU(ins_act_block_gated)(const ins_gated_args *args, int64_t r, bool forward) {
    float in[CPU_BLOCK], work[CPU_BLOCK], value[CPU_BLOCK], slope[CPU_BLOCK], d_out[CPU_BLOCK];
    for (int64_t c = 0; c < args->cols; c += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, args->cols - c);
        act_maps[args->act](n, cpu_view(args->dtype, args->gate, r * args->ld_gate + c, n, in), value, slope);
        const float *up = cpu_view(args->dtype, args->up, r * args->ld_up + c, n, work);
        if (forward) {
            for (int64_t i = 0; i < n; i++) value[i] *= up[i];
            cpu_store(args->dtype, value, args->y, r * args->ldy + c, n);
            continue;
        }
        const float *d_y = cpu_view(args->dtype, args->d_y, r * args->ld_dy + c, n, d_out);
        for (int64_t i = 0; i < n; i++) slope[i] *= d_y[i] * up[i], value[i] *= d_y[i];
        cpu_store(args->dtype, slope, args->d_gate, r * args->ld_dgate + c, n);
        cpu_store(args->dtype, value, args->d_up, r * args->ld_dup + c, n);
    }
}
