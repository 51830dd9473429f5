/* rmsnorm over the last dimension, and its gradient.
 *
 *   rstd = 1/sqrt(mean(x^2) + eps),   y = x rstd (weight + weight_offset)
 */
#include "op/op_norm.h"

enum { X, WEIGHT };                     /* rmsnorm */
enum { D_Y, G_X, RSTD, G_WEIGHT, ACC }; /* rmsnorm_grad */

static ins_status rmsnorm_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_norm_check(sig, X, WEIGHT, 1, err));
    sig->out[0] = *sig->in[X];
    sig->out[1] = ins_norm_stats(sig->in[X]);
    return INS_OK;
}

static ins_status rmsnorm_run(const ins_op_call *call, ins_error *err) {
    const ins_norm_attr *attr = call->sig->attr;
    ins_norm_args args = ins_norm_base(call->sig->in[X], attr->eps, attr->weight_offset, true);
    args.x = call->in[X];
    args.weight = ins_norm_optional(call, WEIGHT);
    args.y = call->out[0];
    args.rstd = call->out[1];
    return ins_norm_forward(&args, call->pool, err);
}

static ins_status rmsnorm_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    const ins_op_sig *sig = a->sig;
    if (a->d_out[1] != INS_NO_VALUE)
        return INS_FAIL(err, INS_USAGE, "rmsnorm: no gradient flows through the saved rstd");
    const ins_norm_attr *attr = sig->attr;
    bool need[2] = {a->need[X], sig->n_in > WEIGHT && a->need[WEIGHT]};
    ins_norm_grad_attr grad_attr = {attr->eps, attr->weight_offset, need[WEIGHT], 0};
    ins_value weight = sig->n_in > WEIGHT ? a->in[WEIGHT] : INS_NO_VALUE;
    ins_value d_y = ins_cast(g, a->d_out[0], sig->in[X]->dtype);
    ins_value in[4] = {d_y, a->in[X], a->out[1], weight}, out[2] = {-1, -1};
    ins_graph_emit(g, &ins_op_rmsnorm_grad, &grad_attr, in, 4, out);
    for (int i = 0; i < 2; i++)
        if (need[i]) a->d_in[i] = out[i];
    return INS_OK;
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
    {.name = "plain", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const ins_norm_attr){1e-5, 0}},
    {.name = "weight",
     .n_in = 2,
     .in = {INS_F32(3, 2, 3, 9), INS_F32(1, 9)},
     .attr = &(const ins_norm_attr){1e-6, 0},
     .keep_real = 1u << WEIGHT},
    {.name = "offset",
     .n_in = 2,
     .in = {INS_F32(2, 4, 33), INS_F32(1, 33)},
     .attr = &(const ins_norm_attr){1e-6, 1},
     .keep_real = 1u << WEIGHT},
    {.name = "no rows",
     .n_in = 2,
     .in = {INS_F32(2, 0, 9), INS_F32(1, 9)},
     .attr = &(const ins_norm_attr){1e-5, 0},
     .keep_real = 1u << WEIGHT},
    {0},
};

const ins_op ins_op_rmsnorm = {
    .head = {.family = "op",
             .name = "rmsnorm",
             .summary = "Root-mean-square normalisation of the last dimension.",
             .paper = "Root Mean Square Layer Normalization (Zhang and Sennrich, 2019)",
             .version = 1},
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

/* ---- gradient: d_x (+ acc, the gradient of the residual stream), d_weight -----------------------------------------
 */

static ins_status rmsnorm_grad_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_norm_check(sig, G_X, G_WEIGHT, 1, err));
    INS_TRY(ins_op_check_equal(sig, D_Y, G_X, err));
    ins_type stats = ins_norm_stats(sig->in[G_X]);
    INS_TRY(ins_op_check_type(sig, RSTD, &stats, err));
    if (sig->n_in > ACC && sig->in[ACC]) INS_TRY(ins_op_check_equal(sig, ACC, G_X, err));
    ins_norm_grad_types(sig, sig->in[G_X]);
    return INS_OK;
}

static ins_norm_args grad_args(const ins_op_sig *sig) {
    const ins_norm_grad_attr *attr = sig->attr;
    return ins_norm_base(sig->in[G_X], attr->eps, attr->weight_offset, true);
}

static size_t rmsnorm_grad_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_norm_args args = grad_args(sig);
    return ins_norm_backward_scratch(&args);
}

static ins_status rmsnorm_grad_run(const ins_op_call *call, ins_error *err) {
    const ins_norm_grad_attr *attr = call->sig->attr;
    ins_norm_args args = grad_args(call->sig);
    args.x = call->in[G_X];
    args.d_y = call->in[D_Y];
    args.rstd = (void *)(uintptr_t)call->in[RSTD]; /* read only in the backward kernel */
    args.weight = ins_norm_optional(call, G_WEIGHT);
    args.accumulate_dx = ins_op_take_acc(call);
    args.d_x = call->out[0];
    args.d_weight = attr->want_weight ? call->out[1] : NULL;
    args.scratch = call->scratch;
    return ins_norm_backward(&args, call->pool, err);
}

static ins_status rmsnorm_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    return ins_norm_grad_grad(g, a, false, G_WEIGHT, ACC);
}

static double rmsnorm_grad_flops(const ins_op_sig *sig) {
    return 10.0 * (double)ins_type_count(sig->in[G_X]);
}

/* rstd must be positive; the rest is arbitrary. */
static void fill_grad(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++)
        ((float *)data)[i] =
            input == RSTD ? 0.5f + 0.01f * (float)(i % 7) : (float)((i * 37 + 5 * input) % 61) / 20.0f - 1.5f;
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
    {0},
};

const ins_op ins_op_rmsnorm_grad = {
    .head = {.family = "op", .name = "rmsnorm_grad", .summary = "Gradient of rmsnorm.", .version = 1},
    .n_in_min = 3,
    .n_in = 5,
    .n_out = 2,
    .in_names = "d_y x rstd weight acc",
    .out_names = "d_x d_weight",
    .attr_size = sizeof(ins_norm_grad_attr),
    .flags = INS_OP_INPLACE | INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = rmsnorm_grad_infer,
    .run = rmsnorm_grad_run,
    .scratch = rmsnorm_grad_scratch,
    .grad = rmsnorm_grad_grad,
    .flops = rmsnorm_grad_flops,
    .samples = rmsnorm_grad_samples,
};
