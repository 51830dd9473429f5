/* rmsnorm over the last dimension, and its gradient.
 *
 *   rstd = 1/sqrt(mean(x^2) + eps),   y = x rstd (weight + weight_offset)
 */
#include "op/op_norm.h"

enum { X, WEIGHT };                     /* rmsnorm */
enum { D_Y, G_X, RSTD, G_WEIGHT, ACC }; /* rmsnorm_grad */

static ins_status rmsnorm_infer(ins_op_sig *sig, ins_error *err) {
    return ins_norm_infer(sig, 0, err);
}
static ins_status rmsnorm_run(const ins_op_call *call, ins_error *err) {
    return ins_norm_run(call, 0, err);
}
static ins_status rmsnorm_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    return ins_norm_grad(g, a, 0, &ins_op_rmsnorm_grad, err);
}

ins_value ins_rmsnorm(ins_graph *g, ins_value x, ins_value weight, double eps, ins_dtype out_dtype) {
    return ins_rmsnorm_offset(g, x, weight, 0.0, eps, out_dtype);
}

ins_value ins_rmsnorm_offset(ins_graph *g, ins_value x, ins_value weight, double weight_offset, double eps,
                             ins_dtype out_dtype) {
    const ins_value vectors[2] = {weight, INS_NO_VALUE};
    return ins_norm_emit(g, &ins_op_rmsnorm, weight_offset, x, vectors, eps, out_dtype);
}

static double rmsnorm_flops(const ins_op_sig *sig) {
    return 4.0 * (double)ins_type_count(sig->in[0]);
}

static const ins_op_sample rmsnorm_samples[] = {
    {.name = "plain", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const ins_norm_attr){1e-5, 0, 0}},
    {.name = "weight",
     .n_in = 2,
     .in = {INS_F32(3, 2, 3, 9), INS_F32(1, 9)},
     .attr = &(const ins_norm_attr){1e-6, 0, 0},
     .keep_real = 1u << WEIGHT},
    {.name = "offset",
     .n_in = 2,
     .in = {INS_F32(2, 4, 33), INS_F32(1, 33)},
     .attr = &(const ins_norm_attr){1e-6, 1, 0},
     .keep_real = 1u << WEIGHT},
    {.name = "narrow y",
     .n_in = 2,
     .in = {INS_F32(2, 4, 33), INS_F32(1, 33)},
     .attr = &(const ins_norm_attr){1e-6, 0, 1},
     .keep_real = 1u << X | 1u << WEIGHT},
    {.name = "no rows",
     .n_in = 2,
     .in = {INS_F32(2, 0, 9), INS_F32(1, 9)},
     .attr = &(const ins_norm_attr){1e-5, 0, 0},
     .keep_real = 1u << WEIGHT},
    {0},
};

const ins_op ins_op_rmsnorm = {
    .head = {.family = "op",
             .name = "rmsnorm",
             .summary = "Root-mean-square normalisation of the last dimension.",
             .paper = "Root Mean Square Layer Normalization (Zhang and Sennrich, 2019)",
             .version = 2},
    .n_in_min = 1,
    .n_in = 2,
    .n_out = 2,
    .in_names = "x weight",
    .out_names = "y rstd",
    .attr_size = sizeof(ins_norm_attr),
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = rmsnorm_infer,
    .run = rmsnorm_run,
    .grad = rmsnorm_grad,
    .flops = rmsnorm_flops,
    .samples = rmsnorm_samples,
    .no_grad_out = 1u << 1,
};

/* ---- gradient ---- */

static ins_status rmsnorm_grad_infer(ins_op_sig *sig, ins_error *err) {
    return ins_norm_grad_infer(sig, 0, err);
}
static ins_status rmsnorm_grad_run(const ins_op_call *call, ins_error *err) {
    return ins_norm_grad_run(call, 0, err);
}
static ins_status rmsnorm_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    return ins_norm_grad_grad(g, a, 0, err);
}

static double rmsnorm_grad_flops(const ins_op_sig *sig) {
    return 10.0 * (double)ins_type_count(sig->in[G_X]);
}

static void fill_grad(int input, const ins_type *type, void *data) {
    ins_norm_fill_grad(input, type, data, 0);
}

static const ins_op_sample rmsnorm_grad_samples[] = {
    {.name = "weight",
     .n_in = 4,
     .in = {INS_F32(3, 2, 3, 9), INS_F32(3, 2, 3, 9), INS_F32(2, 2, 3), INS_F32(1, 9)},
     .attr = &(const ins_norm_grad_attr){1e-5, 0, 1, 0},
     .fill = fill_grad,
     .keep_real = 1u << RSTD | 1u << G_WEIGHT},
    {.name = "acc",
     .n_in = 5,
     .in = {INS_F32(2, 5, 9), INS_F32(2, 5, 9), INS_F32(1, 5), INS_F32(1, 9), INS_F32(2, 5, 9)},
     .attr = &(const ins_norm_grad_attr){1e-5, 1, 1, 0},
     .fill = fill_grad,
     .keep_real = 1u << RSTD | 1u << G_WEIGHT},
    {.name = "narrow d_y",
     .n_in = 5,
     .in = {INS_F32(2, 37, 18), INS_F32(2, 37, 18), INS_F32(1, 37), INS_F32(1, 18), INS_F32(2, 37, 18)},
     .attr = &(const ins_norm_grad_attr){1e-5, 0, 1, 0},
     .fill = fill_grad,
     .keep_real = 1u << G_X | 1u << RSTD | 1u << G_WEIGHT | 1u << ACC},
    {0},
};

const ins_op ins_op_rmsnorm_grad = {
    .head = {.family = "op", .name = "rmsnorm_grad", .summary = "Gradient of rmsnorm.", .version = 2},
    .n_in_min = 3,
    .n_in = 5,
    .n_out = 4,
    .in_names = "d_y x rstd weight acc",
    .out_names = "d_x d_weight copy sum",
    .attr_size = sizeof(ins_norm_grad_attr),
    .flags = INS_OP_INPLACE | INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = rmsnorm_grad_infer,
    .run = rmsnorm_grad_run,
    .scratch = ins_norm_grad_scratch,
    .grad = rmsnorm_grad_grad,
    .flops = rmsnorm_grad_flops,
    .samples = rmsnorm_grad_samples,
    .no_grad_out = 1u << 2 | 1u << 3,
    .copy_out = INS_NORM_COPY(0),
    .sum_out = INS_NORM_SUM(0),
};
