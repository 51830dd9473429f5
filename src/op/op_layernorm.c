/* layernorm over the last dimension, and its gradient.
 *
 *   xhat = (x - mean) rstd,   rstd = 1/sqrt(var + eps),   y = xhat weight + bias
 */
#include "op/op_norm.h"

enum { X, WEIGHT, BIAS };                     /* layernorm */
enum { D_Y, G_X, MEAN, RSTD, G_WEIGHT, ACC }; /* layernorm_grad */

static ins_status layernorm_infer(ins_op_sig *sig, ins_error *err) {
    return ins_norm_infer(sig, 1, err);
}
static ins_status layernorm_run(const ins_op_call *call, ins_error *err) {
    return ins_norm_run(call, 1, err);
}
static ins_status layernorm_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    return ins_norm_grad(g, a, 1, &ins_op_layernorm_grad, err);
}

ins_value ins_layernorm(ins_graph *g, ins_value x, ins_value weight, ins_value bias, double eps, ins_dtype out_dtype) {
    return ins_norm_emit(g, &ins_op_layernorm, 0.0, x, (const ins_value[]){weight, bias}, eps, out_dtype);
}

static double layernorm_flops(const ins_op_sig *sig) {
    return 8.0 * (double)ins_type_count(sig->in[0]);
}

static const ins_op_sample layernorm_samples[] = {
    {.name = "plain", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const ins_norm_attr){1e-5, 0, 0}},
    {.name = "weight and bias",
     .n_in = 3,
     .in = {INS_F32(3, 2, 3, 9), INS_F32(1, 9), INS_F32(1, 9)},
     .attr = &(const ins_norm_attr){1e-5, 0, 0},
     .keep_real = 1u << WEIGHT | 1u << BIAS},
    {.name = "weight",
     .n_in = 2,
     .in = {INS_F32(2, 4, 33), INS_F32(1, 33)},
     .attr = &(const ins_norm_attr){1e-6, 1, 0},
     .keep_real = 1u << WEIGHT},
    {.name = "narrow y",
     .n_in = 3,
     .in = {INS_F32(2, 5, 33), INS_F32(1, 33), INS_F32(1, 33)},
     .attr = &(const ins_norm_attr){1e-5, 0, 1},
     .keep_real = 1u << X | 1u << WEIGHT | 1u << BIAS},
    {.name = "no rows",
     .n_in = 3,
     .in = {INS_F32(2, 0, 9), INS_F32(1, 9), INS_F32(1, 9)},
     .attr = &(const ins_norm_attr){1e-5, 0, 0},
     .keep_real = 1u << WEIGHT | 1u << BIAS},
    {0},
};

const ins_op ins_op_layernorm = {
    .head = {.family = "op",
             .name = "layernorm",
             .summary = "Layer normalisation of the last dimension.",
             .paper = "Layer Normalization (Ba, Kiros and Hinton, 2016)",
             .version = 2},
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

/* ---- gradient ---- */

static ins_status layernorm_grad_infer(ins_op_sig *sig, ins_error *err) {
    return ins_norm_grad_infer(sig, 1, err);
}
static ins_status layernorm_grad_run(const ins_op_call *call, ins_error *err) {
    return ins_norm_grad_run(call, 1, err);
}
static ins_status layernorm_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    return ins_norm_grad_grad(g, a, 1, err);
}

static double layernorm_grad_flops(const ins_op_sig *sig) {
    return 14.0 * (double)ins_type_count(sig->in[G_X]);
}

static void fill_grad(int input, const ins_type *type, void *data) {
    ins_norm_fill_grad(input, type, data, 1);
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
    {.name = "narrow d_y",
     .n_in = 6,
     .in = {INS_F32(2, 37, 18), INS_F32(2, 37, 18), INS_F32(1, 37), INS_F32(1, 37), INS_F32(1, 18), INS_F32(2, 37, 18)},
     .attr = &(const ins_norm_grad_attr){1e-5, 0, 1, 1},
     .fill = fill_grad,
     .keep_real = 1u << G_X | 1u << MEAN | 1u << RSTD | 1u << G_WEIGHT | 1u << ACC},
    {0},
};

const ins_op ins_op_layernorm_grad = {
    .head = {.family = "op", .name = "layernorm_grad", .summary = "Gradient of layernorm.", .version = 2},
    .n_in_min = 4,
    .n_in = 6,
    .n_out = 5,
    .in_names = "d_y x mean rstd weight acc",
    .out_names = "d_x d_weight d_bias copy sum",
    .attr_size = sizeof(ins_norm_grad_attr),
    .flags = INS_OP_INPLACE | INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = layernorm_grad_infer,
    .run = layernorm_grad_run,
    .scratch = ins_norm_grad_scratch,
    .grad = layernorm_grad_grad,
    .flops = layernorm_grad_flops,
    .samples = layernorm_grad_samples,
    .no_grad_out = 1u << 3 | 1u << 4,
    .copy_out = INS_NORM_COPY(1),
    .sum_out = INS_NORM_SUM(1),
};
