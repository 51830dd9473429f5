/* unary_grad: d_x = act'(x) d_y, and its column sums: the gradient of a bias before the map. Its own gradient needs
 * act'', which is composed of differentiable ops, so derivatives of any order exist.
 */
#include "op/op_common.h"
#include "op/op_unary.h"

enum { D_Y, X };
enum { D_X, SUM };

static ins_status unary_grad_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_unary_check(sig, err));
    INS_TRY(ins_op_check_float(sig, X, err));
    INS_TRY(ins_op_check_equal(sig, D_Y, X, err));
    sig->out[0] = *sig->in[X];
    sig->out[SUM] =
        (ins_type){.dtype = ins_op_acc(sig->in[X]->dtype), .n_dims = 1, .dims = {ins_type_cols(sig->in[X])}};
    return INS_OK;
}

static ins_act_args args_of(const ins_op_sig *sig) {
    const ins_type *type = &sig->out[D_X];
    ins_act_args args = {.dtype = type->dtype, .n = ins_type_count(type), .cols = ins_type_cols(type)};
    ins_unary_act(((const ins_unary_attr *)sig->attr)->kind, &args.act);
    return args;
}

static size_t unary_grad_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_act_args args = args_of(sig);
    return ins_act_backward_scratch(&args);
}

static ins_status unary_grad_run(const ins_op_call *call, ins_error *err) {
    ins_act_args args = args_of(call->sig);
    args.x = call->in[X];
    args.d_y = call->in[D_Y];
    args.d_x = call->out[D_X];
    args.sum = call->out[SUM];
    args.scratch = call->scratch;
    return ins_act_backward(&args, call->pool, err);
}

ins_value ins_emit_unary_grad(ins_graph *g, ins_unary kind, ins_value d_y, ins_value x) {
    if (!ins_emit_ready(g, d_y) || !ins_emit_ready(g, x)) return INS_NO_VALUE;
    d_y = ins_cast(g, d_y, ins_graph_type(g, x)->dtype);
    return ins_emit_one(g, &ins_op_unary_grad, &(ins_unary_attr){(int64_t)kind}, (const ins_value[]){d_y, x}, 2);
}

/* 1 - 2 sigmoid(x) */
static ins_value one_minus_2s(ins_graph *g, ins_value x) {
    return ins_add_scalar(g, ins_scale(g, ins_unary_map(g, INS_SIGMOID, x), -2.0), 1.0);
}

/* With t = tanh(u), u = c (x + k x^3): act'' = (1 - t^2) (u' - x t u'^2 + x u''/2), u' = c (1 + 3 k x^2), u'' = 6 c k
 * x.
 */
static ins_value gelu_tanh_second(ins_graph *g, ins_value x, ins_value z) {
    const double c = 0.79788456080286535588, k = 0.044715;
    ins_value x2 = ins_unary_map(g, INS_SQUARE, x);
    ins_value du = ins_add_scalar(g, ins_scale(g, x2, 3 * k * c), c);
    ins_value u = ins_mul(g, x, ins_add_scalar(g, ins_scale(g, x2, k * c), c));
    ins_value t = ins_unary_map(g, INS_TANH, u);
    ins_value middle = ins_mul(g, ins_mul(g, x, t), ins_unary_map(g, INS_SQUARE, du));
    ins_value sum = ins_add(g, ins_sub(g, du, middle), ins_scale(g, x2, 3 * c * k));
    return ins_mul(g, ins_emit_unary_grad(g, INS_TANH, z, u), sum);
}

/* act'' = phi(x) (2 - x^2), phi the normal density. */
static ins_value gelu_erf_second(ins_graph *g, ins_value x, ins_value z) {
    const double inv_sqrt_2pi = 0.39894228040143267794;
    ins_value x2 = ins_unary_map(g, INS_SQUARE, x);
    ins_value phi = ins_scale(g, ins_unary_map(g, INS_EXP, ins_scale(g, x2, -0.5)), inv_sqrt_2pi);
    return ins_mul(g, z, ins_mul(g, phi, ins_add_scalar(g, ins_scale(g, x2, -1.0), 2.0)));
}

/* factor * rsqrt(x)^power * z, power odd */
static ins_value rsqrt_power(ins_graph *g, ins_value x, ins_value z, double factor, int power) {
    ins_value r = ins_unary_map(g, INS_RSQRT, x);
    ins_value r2 = ins_unary_map(g, INS_SQUARE, r);
    ins_value product = ins_mul(g, z, r);
    for (int i = 1; i < power; i += 2) product = ins_mul(g, product, r2);
    return ins_scale(g, product, factor);
}

ins_value ins_emit_unary_second(ins_graph *g, ins_unary kind, ins_value x, ins_value z) {
    switch (kind) {
    case INS_GELU_TANH:
        return gelu_tanh_second(g, x, z);
    case INS_GELU_ERF:
        return gelu_erf_second(g, x, z);
    case INS_SILU: { /* s' (2 + x (1 - 2s)) */
        ins_value sum = ins_add_scalar(g, ins_mul(g, x, one_minus_2s(g, x)), 2.0);
        return ins_mul(g, ins_emit_unary_grad(g, INS_SIGMOID, z, x), sum);
    }
    case INS_RELU2:
        return ins_scale(g, ins_emit_unary_grad(g, INS_RELU, z, x), 2.0);
    case INS_SIGMOID: /* s' (1 - 2s) */
        return ins_mul(g, ins_emit_unary_grad(g, INS_SIGMOID, z, x), one_minus_2s(g, x));
    case INS_TANH: /* -2 t t' */
        return ins_scale(g, ins_mul(g, ins_emit_unary_grad(g, INS_TANH, z, x), ins_unary_map(g, INS_TANH, x)), -2.0);
    case INS_EXP:
        return ins_emit_unary_grad(g, INS_EXP, z, x);
    case INS_LOG:
        return ins_scale(g, ins_div(g, z, ins_unary_map(g, INS_SQUARE, x)), -1.0);
    case INS_SQRT:
        return rsqrt_power(g, x, z, -0.25, 3);
    case INS_SQUARE:
        return ins_scale(g, z, 2.0);
    case INS_RSQRT:
        return rsqrt_power(g, x, z, 0.75, 5);
    case INS_SOFTPLUS:
        return ins_emit_unary_grad(g, INS_SIGMOID, z, x);
    case INS_RELU:
    case INS_NEG:
    case INS_ABS:
    case INS_UNARY_COUNT:
        break;
    }
    return INS_NO_VALUE;
}

static ins_status unary_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_unary kind = (ins_unary)((const ins_unary_attr *)a->sig->attr)->kind;
    ins_value d_y = a->in[D_Y], x = a->in[X], d_out = a->d_out[0];
    bool need_x = a->need[X];
    if (a->need[D_Y]) a->d_in[D_Y] = ins_emit_unary_grad(g, kind, d_out, x);
    if (need_x) a->d_in[X] = ins_emit_unary_second(g, kind, x, ins_mul(g, d_y, d_out));
    return INS_OK;
}

/* d_y of both signs, x in [0.2, 2.6]. */
static void fill_positive(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    float low = input == X ? 0.2f : -1.2f;
    for (int64_t i = 0; i < n; i++) ((float *)data)[i] = low + (float)((i * 37 + 5) % 61) / 25.0f;
}

#define SAMPLE(kind_)                                                                                                  \
    .n_in = 2, .in = {INS_F32(2, 3, 11), INS_F32(2, 3, 11)}, .attr = &(const ins_unary_attr) {                         \
        kind_                                                                                                          \
    }
static const ins_op_sample unary_grad_samples[] = {
    {.name = "gelu_tanh", SAMPLE(INS_GELU_TANH)},
    {.name = "gelu_erf", SAMPLE(INS_GELU_ERF)},
    {.name = "silu", SAMPLE(INS_SILU)},
    {.name = "relu", SAMPLE(INS_RELU), .kink = 1},
    {.name = "relu2", SAMPLE(INS_RELU2), .kink = 1},
    {.name = "sigmoid", SAMPLE(INS_SIGMOID)},
    {.name = "tanh", SAMPLE(INS_TANH)},
    {.name = "exp", SAMPLE(INS_EXP)},
    {.name = "log", SAMPLE(INS_LOG), .fill = fill_positive},
    {.name = "sqrt", SAMPLE(INS_SQRT), .fill = fill_positive},
    {.name = "square", SAMPLE(INS_SQUARE)},
    {.name = "neg", SAMPLE(INS_NEG)},
    {.name = "abs", SAMPLE(INS_ABS), .kink = 1},
    {.name = "rsqrt", SAMPLE(INS_RSQRT), .fill = fill_positive},
    {.name = "softplus", SAMPLE(INS_SOFTPLUS)},
    {0},
};

const ins_op ins_op_unary_grad = {
    .head = {.family = "op", .name = "unary_grad", .summary = "Gradient of an element-wise map.", .version = 2},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 2,
    .in_names = "d_y x",
    .out_names = "d_x sum",
    .attr_size = sizeof(ins_unary_attr),
    .flags = INS_OP_INPLACE,
    .infer = unary_grad_infer,
    .run = unary_grad_run,
    .scratch = unary_grad_scratch,
    .grad = unary_grad_grad,
    .samples = unary_grad_samples,
    .no_grad_out = 1u << SUM,
    .sum_out = SUM,
};
