/* Elementwise maps with their gradients, and gated products (SwiGLU, GeGLU). Dtypes: f32, f64, bf16. */
#ifndef INS_KERNEL_ACT_H
#define INS_KERNEL_ACT_H

#include "base/pool.h"
#include "tensor/tensor.h"

/* X(code, name, formula) */
#define INS_ACT_MAP(X)                                                                                                 \
    X(IDENTITY, "identity", "x")                                                                                       \
    X(GELU_TANH, "gelu_tanh", "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))")                                         \
    X(GELU_ERF, "gelu_erf", "x/2 (1 + erf(x/sqrt(2)))")                                                                \
    X(SILU, "silu", "x / (1 + exp(-x))")                                                                               \
    X(RELU, "relu", "max(x, 0)")                                                                                       \
    X(RELU2, "relu2", "max(x, 0)^2")                                                                                   \
    X(SIGMOID, "sigmoid", "1 / (1 + exp(-x))")                                                                         \
    X(TANH, "tanh", "tanh(x)")                                                                                         \
    X(SOFTPLUS, "softplus", "log(1 + exp(x))")                                                                         \
    X(EXP, "exp", "exp(x)")                                                                                            \
    X(LOG, "log", "log(x)")                                                                                            \
    X(SQRT, "sqrt", "sqrt(x)")                                                                                         \
    X(RSQRT, "rsqrt", "1/sqrt(x)")                                                                                     \
    X(RECIPROCAL, "reciprocal", "1/x")                                                                                 \
    X(SQUARE, "square", "x^2")                                                                                         \
    X(NEG, "neg", "-x")                                                                                                \
    X(ABS, "abs", "|x|, gradient sign(x), 0 at 0")                                                                     \
    X(SIGN, "sign", "sign(x), gradient 0")                                                                             \
    X(SIN, "sin", "sin(x)")                                                                                            \
    X(COS, "cos", "cos(x)")                                                                                            \
    X(ERF, "erf", "erf(x)")

typedef enum ins_act {
#define INS_ACT_ENUM(code, name, formula) INS_ACT_##code,
    INS_ACT_MAP(INS_ACT_ENUM)
#undef INS_ACT_ENUM
        INS_ACT_COUNT
} ins_act;

const char *ins_act_name(ins_act act);
bool ins_act_from_name(const char *name, ins_act *out);

typedef struct ins_act_args {
    ins_act act;
    ins_dtype dtype;
    int64_t n;
    const void *x; /* [n] */
    void *y;       /* forward: y = act(x); may be x */
    const void *d_y;
    void *d_x;       /* backward: d_x (+)= act'(x) d_y; may be d_y */
    bool accumulate; /* backward only */
    /* backward, optional: column sums of d_x as stored, in acc, in the order of ins_column_sum; n = rows * cols */
    void *sum; /* [cols] or NULL */
    int64_t cols;
    void *scratch; /* ins_act_backward_scratch bytes where sum is wanted */
} ins_act_args;

ins_status ins_act_forward(const ins_act_args *args, ins_pool *pool, ins_error *err);
size_t ins_act_backward_scratch(const ins_act_args *args);
ins_status ins_act_backward(const ins_act_args *args, ins_pool *pool, ins_error *err);

/* y = act(gate) * up. gate and up may be the halves of one [rows, 2*cols] tensor (ld = 2*cols). */
typedef struct ins_gated_args {
    ins_act act; /* SILU = SwiGLU, GELU_TANH or GELU_ERF = GeGLU, SIGMOID = GLU, RELU = ReGLU; any act works */
    ins_dtype dtype;
    int64_t rows, cols;
    const void *gate, *up;
    int64_t ld_gate, ld_up;
    void *y; /* forward */
    int64_t ldy;
    const void *d_y; /* backward: overwrites d_gate and d_up */
    int64_t ld_dy;
    void *d_gate, *d_up;
    int64_t ld_dgate, ld_dup;
} ins_gated_args;

ins_status ins_gated_forward(const ins_gated_args *args, ins_pool *pool, ins_error *err);
ins_status ins_gated_backward(const ins_gated_args *args, ins_pool *pool, ins_error *err);

#endif
