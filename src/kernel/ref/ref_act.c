/* Reference elementwise maps, their derivatives, and gated products. */
#include "kernel/act_impl.h"
#include "kernel/ref/ref.h"

static const ins_real act_gelu_c = (ins_real)0.79788456080286535588; /* sqrt(2/pi) */
static const ins_real act_gelu_k = (ins_real)0.044715;

static ins_real act_sigmoid(ins_real x) {
    return 1 / (1 + exp(-x));
}

static ins_real act_value(ins_act act, ins_real x) {
    switch (act) {
    case INS_ACT_IDENTITY:
        return x;
    case INS_ACT_GELU_TANH:
        return (ins_real)0.5 * x * (1 + tanh(act_gelu_c * (x + act_gelu_k * x * x * x)));
    case INS_ACT_GELU_ERF:
        return (ins_real)0.5 * x * erfc(-x * (ins_real)0.70710678118654752440);
    case INS_ACT_SILU:
        return x * act_sigmoid(x);
    case INS_ACT_RELU:
        return x > 0 ? x : 0;
    case INS_ACT_RELU2:
        return x > 0 ? x * x : 0;
    case INS_ACT_SIGMOID:
        return act_sigmoid(x);
    case INS_ACT_TANH:
        return tanh(x);
    case INS_ACT_SOFTPLUS:
        return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
    case INS_ACT_EXP:
        return exp(x);
    case INS_ACT_LOG:
        return log(x);
    case INS_ACT_SQRT:
        return sqrt(x);
    case INS_ACT_RSQRT:
        return 1 / sqrt(x);
    case INS_ACT_RECIPROCAL:
        return 1 / x;
    case INS_ACT_SQUARE:
        return x * x;
    case INS_ACT_NEG:
        return -x;
    case INS_ACT_ABS:
        return fabs(x);
    case INS_ACT_SIGN:
        return (ins_real)((x > 0) - (x < 0));
    case INS_ACT_SIN:
        return sin(x);
    case INS_ACT_COS:
        return cos(x);
    case INS_ACT_ERF:
        return erf(x);
    case INS_ACT_COUNT:
        break;
    }
    return 0;
}

static ins_real act_gelu_tanh_slope(ins_real x) {
    ins_real t = tanh(act_gelu_c * (x + act_gelu_k * x * x * x));
    return (ins_real)0.5 * (1 + t) + (ins_real)0.5 * x * (1 - t * t) * act_gelu_c * (1 + 3 * act_gelu_k * x * x);
}

static ins_real act_gelu_erf_slope(ins_real x) {
    ins_real cdf = (ins_real)0.5 * erfc(-x * (ins_real)0.70710678118654752440);
    return cdf + x * (ins_real)0.39894228040143267794 * exp(-x * x / 2);
}

static ins_real act_slope(ins_act act, ins_real x) {
    ins_real s;
    switch (act) {
    case INS_ACT_IDENTITY:
        return 1;
    case INS_ACT_GELU_TANH:
        return act_gelu_tanh_slope(x);
    case INS_ACT_GELU_ERF:
        return act_gelu_erf_slope(x);
    case INS_ACT_SILU:
        s = act_sigmoid(x);
        return s + x * s * (1 - s);
    case INS_ACT_RELU:
        return x > 0;
    case INS_ACT_RELU2:
        return x > 0 ? 2 * x : 0;
    case INS_ACT_SIGMOID:
        s = act_sigmoid(x);
        return s * (1 - s);
    case INS_ACT_TANH:
        s = tanh(x);
        return 1 - s * s;
    case INS_ACT_SOFTPLUS:
        return act_sigmoid(x);
    case INS_ACT_EXP:
        return exp(x);
    case INS_ACT_LOG:
        return 1 / x;
    case INS_ACT_SQRT:
        return (ins_real)0.5 / sqrt(x);
    case INS_ACT_RSQRT:
        return (ins_real)-0.5 / (x * sqrt(x));
    case INS_ACT_RECIPROCAL:
        return -1 / (x * x);
    case INS_ACT_SQUARE:
        return 2 * x;
    case INS_ACT_NEG:
        return -1;
    case INS_ACT_ABS:
        return (ins_real)((x > 0) - (x < 0));
    case INS_ACT_SIGN:
        return 0;
    case INS_ACT_SIN:
        return cos(x);
    case INS_ACT_COS:
        return -sin(x);
    case INS_ACT_ERF:
        return (ins_real)1.12837916709551257390 * exp(-x * x);
    case INS_ACT_COUNT:
        break;
    }
    return 0;
}

static void act_forward(const ins_act_args *args, ins_pool *pool) {
    (void)pool;
    const ins_real *x = args->x;
    ins_real *y = args->y;
    for (int64_t i = 0; i < args->n; i++) y[i] = act_value(args->act, x[i]);
}

static void act_backward(const ins_act_args *args, ins_pool *pool) {
    (void)pool;
    const ins_real *x = args->x, *d_y = args->d_y;
    ins_real *d_x = args->d_x;
    for (int64_t i = 0; i < args->n; i++) {
        ins_real grad = act_slope(args->act, x[i]) * d_y[i];
        d_x[i] = args->accumulate ? d_x[i] + grad : grad;
    }
}

static void act_gated_forward(const ins_gated_args *args, ins_pool *pool) {
    (void)pool;
    for (int64_t r = 0; r < args->rows; r++) {
        const ins_real *gate = (const ins_real *)args->gate + r * args->ld_gate;
        const ins_real *up = (const ins_real *)args->up + r * args->ld_up;
        ins_real *y = (ins_real *)args->y + r * args->ldy;
        for (int64_t c = 0; c < args->cols; c++) y[c] = act_value(args->act, gate[c]) * up[c];
    }
}

static void act_gated_backward(const ins_gated_args *args, ins_pool *pool) {
    (void)pool;
    for (int64_t r = 0; r < args->rows; r++) {
        const ins_real *gate = (const ins_real *)args->gate + r * args->ld_gate;
        const ins_real *up = (const ins_real *)args->up + r * args->ld_up;
        const ins_real *d_y = (const ins_real *)args->d_y + r * args->ld_dy;
        ins_real *d_gate = (ins_real *)args->d_gate + r * args->ld_dgate;
        ins_real *d_up = (ins_real *)args->d_up + r * args->ld_dup;
        for (int64_t c = 0; c < args->cols; c++) {
            ins_real value = act_value(args->act, gate[c]), slope = act_slope(args->act, gate[c]), grad = d_y[c];
            d_gate[c] = grad * up[c] * slope;
            d_up[c] = grad * value;
        }
    }
}

const ins_act_impl INS_REF(ins_ref_act) = {
    .head = INS_REF_HEAD,
    .forward = act_forward,
    .backward = act_backward,
    .gated_forward = act_gated_forward,
    .gated_backward = act_gated_backward,
};
