/* layernorm over the last dimension, and its gradient.
 *
 *   xhat = (x - mean) rstd,   rstd = 1/sqrt(var + eps),   y = xhat weight + bias
 */
#include "op/op_norm.h"

enum { X, WEIGHT, BIAS };                     /* layernorm */
enum { D_Y, G_X, MEAN, RSTD, G_WEIGHT, ACC }; /* layernorm_grad */

static ins_status layernorm_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_norm_check(sig, X, WEIGHT, 2, err));
    sig->out[0] = *sig->in[X];
    sig->out[1] = sig->out[2] = ins_norm_stats(sig->in[X]);
    return INS_OK;
}

static ins_status layernorm_run(const ins_op_call *call, ins_error *err) {
    const ins_norm_attr *attr = call->sig->attr;
    ins_norm_args args = ins_norm_base(call->sig->in[X], attr->eps, attr->weight_offset, false);
    args.x = call->in[X];
    args.weight = ins_norm_optional(call, WEIGHT);
    args.bias = ins_norm_optional(call, BIAS);
    args.y = call->out[0];
    args.mean = call->out[1];
    args.rstd = call->out[2];
    return ins_norm_forward(&args, call->pool, err);
}

static ins_status layernorm_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    const ins_op_sig *sig = a->sig;
    if (a->d_out[1] != INS_NO_VALUE || a->d_out[2] != INS_NO_VALUE)
        return INS_FAIL(err, INS_USAGE, "layernorm: no gradient flows through the saved mean and rstd");
    const ins_norm_attr *attr = sig->attr;
    bool need[3] = {a->need[X], sig->n_in > WEIGHT && a->need[WEIGHT], sig->n_in > BIAS && a->need[BIAS]};
    ins_norm_grad_attr grad_attr = {attr->eps, attr->weight_offset, need[WEIGHT], need[BIAS]};
    ins_value weight = sig->n_in > WEIGHT ? a->in[WEIGHT] : INS_NO_VALUE;
    ins_value d_y = ins_cast(g, a->d_out[0], sig->in[X]->dtype);
    ins_value in[5] = {d_y, a->in[X], a->out[1], a->out[2], weight}, out[3] = {-1, -1, -1};
    ins_graph_emit(g, &ins_op_layernorm_grad, &grad_attr, in, 5, out);
    for (int i = 0; i < 3; i++)
        if (need[i]) a->d_in[i] = out[i];
    return INS_OK;
}

ins_value ins_layernorm(ins_graph *g, ins_value x, ins_value weight, ins_value bias, double eps, ins_dtype out_dtype) {
    return ins_norm_emit(g, &ins_op_layernorm, 0.0, x, (const ins_value[]){weight, bias}, eps, out_dtype);
}

static double layernorm_flops(const ins_op_sig *sig) {
    return 8.0 * (double)ins_type_count(sig->in[0]);
}

static const ins_op_sample layernorm_samples[] = {
    {.name = "plain", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const ins_norm_attr){1e-5, 0}},
    {.name = "weight and bias",
     .n_in = 3,
     .in = {INS_F32(3, 2, 3, 9), INS_F32(1, 9), INS_F32(1, 9)},
     .attr = &(const ins_norm_attr){1e-5, 0},
     .keep_real = 1u << WEIGHT | 1u << BIAS},
    {.name = "weight",
     .n_in = 2,
     .in = {INS_F32(2, 4, 33), INS_F32(1, 33)},
     .attr = &(const ins_norm_attr){1e-6, 1},
     .keep_real = 1u << WEIGHT},
    {.name = "no rows",
     .n_in = 3,
     .in = {INS_F32(2, 0, 9), INS_F32(1, 9), INS_F32(1, 9)},
     .attr = &(const ins_norm_attr){1e-5, 0},
     .keep_real = 1u << WEIGHT | 1u << BIAS},
    {0},
};

const ins_op ins_op_layernorm = {
    .head = {.family = "op",
             .name = "layernorm",
             .summary = "Layer normalisation of the last dimension.",
             .paper = "Layer Normalization (Ba, Kiros and Hinton, 2016)",
             .version = 1},
    .n_in_min = 1,
    .n_in = 3,
    .n_out = 3,
    .in_names = "x weight bias",
    .out_names = "y mean rstd",
    .attr_size = sizeof(ins_norm_attr),
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = layernorm_infer,
    .run = layernorm_run,
    .grad = layernorm_grad,
    .flops = layernorm_flops,
    .samples = layernorm_samples,
    .no_grad_out = 1u << 1 | 1u << 2,
};

/* ---- gradient: d_x (+ acc, the gradient of the residual stream), d_weight, d_bias ---------------------------------
 */

static ins_status layernorm_grad_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_norm_check(sig, G_X, G_WEIGHT, 1, err));
    INS_TRY(ins_op_check_equal(sig, D_Y, G_X, err));
    ins_type stats = ins_norm_stats(sig->in[G_X]);
    INS_TRY(ins_op_check_type(sig, MEAN, &stats, err));
    INS_TRY(ins_op_check_type(sig, RSTD, &stats, err));
    if (sig->n_in > ACC && sig->in[ACC]) INS_TRY(ins_op_check_equal(sig, ACC, G_X, err));
    ins_norm_grad_types(sig, sig->in[G_X]);
    return INS_OK;
}

static ins_norm_args grad_args(const ins_op_sig *sig) {
    const ins_norm_grad_attr *attr = sig->attr;
    return ins_norm_base(sig->in[G_X], attr->eps, attr->weight_offset, false);
}

static size_t layernorm_grad_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_norm_args args = grad_args(sig);
    return ins_norm_backward_scratch(&args);
}

static ins_status layernorm_grad_run(const ins_op_call *call, ins_error *err) {
    const ins_norm_grad_attr *attr = call->sig->attr;
    ins_norm_args args = grad_args(call->sig);
    args.x = call->in[G_X];
    args.d_y = call->in[D_Y];
    args.mean = (void *)(uintptr_t)call->in[MEAN]; /* read only in the backward kernel */
    args.rstd = (void *)(uintptr_t)call->in[RSTD];
    args.weight = ins_norm_optional(call, G_WEIGHT);
    args.accumulate_dx = ins_op_take_acc(call);
    args.d_x = call->out[0];
    args.d_weight = attr->want_weight ? call->out[1] : NULL;
    args.d_bias = attr->want_bias ? call->out[2] : NULL;
    args.scratch = call->scratch;
    return ins_norm_backward(&args, call->pool, err);
}

static ins_status layernorm_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    return ins_norm_grad_grad(g, a, true, G_WEIGHT, ACC);
}

static double layernorm_grad_flops(const ins_op_sig *sig) {
    return 14.0 * (double)ins_type_count(sig->in[G_X]);
}

/* rstd must be positive; the rest is arbitrary. */
static void fill_grad(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        float value = (float)((i * 37 + 5 * input) % 61) / 20.0f - 1.5f;
        ((float *)data)[i] = input == RSTD ? 0.5f + 0.01f * (float)(i % 7) : input == MEAN ? 0.1f * value : value;
    }
}

static const ins_op_sample layernorm_grad_samples[] = {
    {.name = "weight and bias",
     .n_in = 5,
     .in = {INS_F32(3, 2, 3, 9), INS_F32(3, 2, 3, 9), INS_F32(2, 2, 3), INS_F32(2, 2, 3), INS_F32(1, 9)},
     .attr = &(const ins_norm_grad_attr){1e-5, 0, 1, 1},
     .fill = fill_grad,
     .keep_real = 1u << MEAN | 1u << RSTD | 1u << G_WEIGHT},
    {.name = "acc",
     .n_in = 6,
     .in = {INS_F32(2, 5, 9), INS_F32(2, 5, 9), INS_F32(1, 5), INS_F32(1, 5), INS_F32(1, 9), INS_F32(2, 5, 9)},
     .attr = &(const ins_norm_grad_attr){1e-5, 0, 1, 0},
     .fill = fill_grad,
     .keep_real = 1u << MEAN | 1u << RSTD | 1u << G_WEIGHT},
    {0},
};

const ins_op ins_op_layernorm_grad = {
    .head = {.family = "op", .name = "layernorm_grad", .summary = "Gradient of layernorm.", .version = 1},
    .n_in_min = 4,
    .n_in = 6,
    .n_out = 3,
    .in_names = "d_y x mean rstd weight acc",
    .out_names = "d_x d_weight d_bias",
    .attr_size = sizeof(ins_norm_grad_attr),
    .flags = INS_OP_INPLACE | INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = layernorm_grad_infer,
    .run = layernorm_grad_run,
    .scratch = layernorm_grad_scratch,
    .grad = layernorm_grad_grad,
    .flops = layernorm_grad_flops,
    .samples = layernorm_grad_samples,
};
