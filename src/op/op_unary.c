/* unary: out = act(x), one of the maps of ins_unary. */
#include "op/op_unary.h"

#include "op/op_common.h"

static const ins_act acts[INS_UNARY_COUNT] = {
    [INS_GELU_TANH] = INS_ACT_GELU_TANH,
    [INS_GELU_ERF] = INS_ACT_GELU_ERF,
    [INS_SILU] = INS_ACT_SILU,
    [INS_RELU] = INS_ACT_RELU,
    [INS_RELU2] = INS_ACT_RELU2,
    [INS_SIGMOID] = INS_ACT_SIGMOID,
    [INS_TANH] = INS_ACT_TANH,
    [INS_EXP] = INS_ACT_EXP,
    [INS_LOG] = INS_ACT_LOG,
    [INS_SQRT] = INS_ACT_SQRT,
    [INS_SQUARE] = INS_ACT_SQUARE,
    [INS_NEG] = INS_ACT_NEG,
    [INS_ABS] = INS_ACT_ABS,
    [INS_RSQRT] = INS_ACT_RSQRT,
    [INS_SOFTPLUS] = INS_ACT_SOFTPLUS,
};

bool ins_unary_act(int64_t kind, ins_act *out) {
    if (kind < 0 || kind >= INS_UNARY_COUNT) return false;
    *out = acts[kind];
    return true;
}

ins_status ins_unary_check(const ins_op_sig *sig, ins_error *err) {
    const ins_unary_attr *attr = sig->attr;
    ins_act act;
    if (ins_unary_act(attr->kind, &act)) return INS_OK;
    return INS_FAIL(err, INS_USAGE, "%s: there is no map number %lld (0 to %d)", sig->op->head.name,
                    (long long)attr->kind, INS_UNARY_COUNT - 1);
}

static ins_status unary_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_unary_check(sig, err));
    INS_TRY(ins_op_check_float(sig, 0, err));
    sig->out[0] = *sig->in[0];
    return INS_OK;
}

static ins_status unary_run(const ins_op_call *call, ins_error *err) {
    const ins_unary_attr *attr = call->sig->attr;
    const ins_type *type = &call->sig->out[0];
    ins_act_args args = {.dtype = type->dtype, .n = ins_type_count(type), .x = call->in[0], .y = call->out[0]};
    ins_unary_act(attr->kind, &args.act);
    return ins_act_forward(&args, call->pool, err);
}

static ins_status unary_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    const ins_unary_attr *attr = a->sig->attr;
    if (a->need[0]) a->d_in[0] = ins_emit_unary_grad(g, (ins_unary)attr->kind, a->d_out[0], a->in[0]);
    return INS_OK;
}

ins_value ins_unary_map(ins_graph *g, ins_unary kind, ins_value x) {
    return ins_emit_one(g, &ins_op_unary, &(ins_unary_attr){(int64_t)kind}, &x, 1);
}

/* In [0.2, 2.6]: for log, sqrt and rsqrt. */
static void fill_positive(int input, const ins_type *type, void *data) {
    (void)input;
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) ((float *)data)[i] = 0.2f + (float)((i * 37 + 5) % 61) / 25.0f;
}

#define SAMPLE(kind_)                                                                                                  \
    .n_in = 1, .in = {INS_F32(2, 3, 11)}, .attr = &(const ins_unary_attr) {                                            \
        kind_                                                                                                          \
    }
static const ins_op_sample unary_samples[] = {
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

const ins_op ins_op_unary = {
    .head = {.family = "op",
             .name = "unary",
             .summary = "An element-wise map: an activation, exp, log, sqrt and the like.",
             .version = 2},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(ins_unary_attr),
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = unary_infer,
    .run = unary_run,
    .grad = unary_grad,
    .samples = unary_samples,
};
