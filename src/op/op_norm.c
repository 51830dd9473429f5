/* layernorm, rmsnorm and their gradients: the shared whole, see op_norm.h. */
#include "op/op_norm.h"

static bool has_input(const ins_op_sig *sig, int input) {
    return input < sig->n_in && sig->in[input];
}

/* x without its last dimension, in acc. */
static ins_type stats_type(const ins_type *x) {
    ins_type stats = ins_type_drop(x, x->n_dims - 1);
    stats.dtype = ins_op_acc(x->dtype);
    return stats;
}

/* x is float with a last dimension; the vectors from `first` to `last` are acc[D] where given. */
static ins_status check(const ins_op_sig *sig, int x, int first, int last, ins_error *err) {
    const ins_type *type_x = sig->in[x];
    char type[96];
    INS_TRY(ins_op_check_float(sig, x, err));
    if (type_x->n_dims < 1 || ins_type_cols(type_x) < 1)
        return INS_FAIL(err, INS_USAGE, "%s: x %s has no columns to normalise", sig->op->head.name,
                        ins_type_format(type_x, type));
    ins_type vector = {.dtype = ins_op_acc(type_x->dtype), .n_dims = 1, .dims = {ins_type_cols(type_x)}};
    for (int i = first; i <= last; i++)
        if (has_input(sig, i)) INS_TRY(ins_op_check_type(sig, i, &vector, err));
    return INS_OK;
}

/* Sizes and strides of dense x, y, d_y, d_x. */
static ins_norm_args base_args(const ins_type *x, double eps, double weight_offset, int centre) {
    int64_t cols = ins_type_cols(x);
    return (ins_norm_args){.dtype = x->dtype,
                           .rms = !centre,
                           .rows = ins_type_rows(x),
                           .cols = cols,
                           .eps = eps,
                           .weight_offset = weight_offset,
                           .ldx = cols,
                           .ldy = cols,
                           .ld_dy = cols,
                           .ld_dx = cols};
}

static const void *optional(const ins_op_call *call, int input) {
    return has_input(call->sig, input) ? call->in[input] : NULL;
}

/* ---- forward ---- */

static bool narrows(const ins_type *x, const ins_norm_attr *attr) {
    return attr->y_bf16 && x->dtype == INS_DTYPE_F32;
}

ins_status ins_norm_infer(ins_op_sig *sig, int centre, ins_error *err) {
    const ins_type *x = sig->in[INS_NORM_IN_X];
    INS_TRY(check(sig, INS_NORM_IN_X, INS_NORM_IN_WEIGHT, INS_NORM_IN_BIAS, err));
    sig->out[0] = ins_type_with(x, narrows(x, sig->attr) ? INS_DTYPE_BF16 : x->dtype);
    for (int i = 1; i <= 1 + centre; i++) sig->out[i] = stats_type(x);
    return INS_OK;
}

ins_status ins_norm_run(const ins_op_call *call, int centre, ins_error *err) {
    const ins_norm_attr *attr = call->sig->attr;
    const ins_type *x = call->sig->in[INS_NORM_IN_X];
    ins_norm_args args = base_args(x, attr->eps, attr->weight_offset, centre);
    args.y_bf16 = narrows(x, attr);
    args.x = call->in[INS_NORM_IN_X];
    args.weight = optional(call, INS_NORM_IN_WEIGHT);
    args.bias = optional(call, INS_NORM_IN_BIAS);
    args.y = call->out[0];
    args.mean = centre ? call->out[1] : NULL;
    args.rstd = call->out[1 + centre];
    return ins_norm_forward(&args, call->pool, err);
}

/* d_y in a dtype that the gradient op takes: that of x, or bf16 beside f32. */
static ins_value take_d_y(ins_graph *g, ins_value d_y, ins_dtype dtype_x) {
    ins_dtype dtype = ins_graph_type(g, d_y)->dtype;
    return dtype_x == INS_DTYPE_F32 && dtype == INS_DTYPE_BF16 ? d_y : ins_cast(g, d_y, dtype_x);
}

ins_status ins_norm_grad(ins_graph *g, const ins_op_grad *a, int centre, const ins_op *grad_op, ins_error *err) {
    const ins_op_sig *sig = a->sig;
    for (int i = 1; i <= 1 + centre; i++)
        if (a->d_out[i] != INS_NO_VALUE)
            return INS_FAIL(err, INS_USAGE, "%s: no gradient flows through the saved statistics", sig->op->head.name);
    const ins_norm_attr *attr = sig->attr;
    bool need[3];
    for (int i = 0; i < 3; i++) need[i] = i < sig->n_in && a->need[i];
    ins_norm_grad_attr grad_attr = {attr->eps, attr->weight_offset, need[INS_NORM_IN_WEIGHT], need[INS_NORM_IN_BIAS]};
    ins_value in[INS_OP_MAX_IN], out[INS_OP_MAX_OUT];
    in[INS_NORM_D_Y] = take_d_y(g, a->d_out[0], sig->in[INS_NORM_IN_X]->dtype);
    in[INS_NORM_X] = a->in[INS_NORM_IN_X];
    for (int i = 1; i <= 1 + centre; i++) in[1 + i] = a->out[i];
    in[INS_NORM_WEIGHT(centre)] = sig->n_in > INS_NORM_IN_WEIGHT ? a->in[INS_NORM_IN_WEIGHT] : INS_NO_VALUE;
    ins_graph_emit(g, grad_op, &grad_attr, in, INS_NORM_ACC(centre), out);
    for (int i = 0; i < 3; i++)
        if (need[i]) a->d_in[i] = out[i];
    return INS_OK;
}

/* Cast of a weight or bias to acc; passes INS_NO_VALUE through. */
static ins_value vector(ins_graph *g, ins_value v) {
    if (!ins_emit_ready(g, v)) return INS_NO_VALUE;
    return ins_cast(g, v, ins_op_acc(ins_graph_type(g, v)->dtype));
}

ins_value ins_norm_emit(ins_graph *g, const ins_op *op, double weight_offset, ins_value x, const ins_value vectors[2],
                        double eps, ins_dtype out_dtype) {
    ins_value in[3] = {x, vector(g, vectors[0]), vector(g, vectors[1])};
    ins_norm_attr attr = {eps, weight_offset, out_dtype == INS_DTYPE_BF16};
    return ins_cast(g, ins_emit_one(g, op, &attr, in, op->n_in), out_dtype);
}

/* ---- gradient ---- */

ins_status ins_norm_grad_infer(ins_op_sig *sig, int centre, ins_error *err) {
    const ins_norm_grad_attr *attr = sig->attr;
    int weight = INS_NORM_WEIGHT(centre), acc_in = INS_NORM_ACC(centre);
    INS_TRY(check(sig, INS_NORM_X, weight, weight, err));
    const ins_type *x = sig->in[INS_NORM_X];
    ins_type narrow = ins_type_with(x, INS_DTYPE_BF16);
    if (x->dtype != INS_DTYPE_F32 || !ins_type_equal(sig->in[INS_NORM_D_Y], &narrow))
        INS_TRY(ins_op_check_equal(sig, INS_NORM_D_Y, INS_NORM_X, err));
    ins_type stats = stats_type(x);
    for (int i = 2; i <= INS_NORM_RSTD(centre); i++) INS_TRY(ins_op_check_type(sig, i, &stats, err));
    if (has_input(sig, acc_in)) INS_TRY(ins_op_check_equal(sig, acc_in, INS_NORM_X, err));
    ins_dtype acc = ins_op_acc(x->dtype);
    sig->out[0] = *x;
    sig->out[1] = (ins_type){.dtype = acc, .n_dims = 1, .dims = {attr->want_weight ? ins_type_cols(x) : 0}};
    if (centre) sig->out[2] = (ins_type){.dtype = acc, .n_dims = 1, .dims = {attr->want_bias ? ins_type_cols(x) : 0}};
    sig->out[INS_NORM_COPY(centre)] = x->dtype == INS_DTYPE_F64 ? *x : narrow;
    sig->out[INS_NORM_SUM(centre)] = (ins_type){.dtype = acc, .n_dims = 1, .dims = {ins_type_cols(x)}};
    return INS_OK;
}

static ins_norm_args grad_args(const ins_op_sig *sig, int centre) {
    const ins_norm_grad_attr *attr = sig->attr;
    return base_args(sig->in[INS_NORM_X], attr->eps, attr->weight_offset, centre);
}

size_t ins_norm_grad_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_norm_args args = grad_args(sig, 0);
    return ins_norm_backward_scratch(&args);
}

ins_status ins_norm_grad_run(const ins_op_call *call, int centre, ins_error *err) {
    const ins_op_sig *sig = call->sig;
    const ins_norm_grad_attr *attr = sig->attr;
    ins_norm_args args = grad_args(sig, centre);
    args.d_y_bf16 = args.dtype == INS_DTYPE_F32 && sig->in[INS_NORM_D_Y]->dtype == INS_DTYPE_BF16;
    args.x = call->in[INS_NORM_X];
    args.d_y = call->in[INS_NORM_D_Y];
    args.mean = centre ? (void *)(uintptr_t)call->in[2] : NULL; /* read only in the backward kernel */
    args.rstd = (void *)(uintptr_t)call->in[INS_NORM_RSTD(centre)];
    args.weight = optional(call, INS_NORM_WEIGHT(centre));
    args.accumulate_dx = ins_op_take_acc(call);
    args.d_x = call->out[0];
    args.d_weight = attr->want_weight ? call->out[1] : NULL;
    args.d_bias = centre && attr->want_bias ? call->out[2] : NULL;
    args.d_x_copy = call->out[INS_NORM_COPY(centre)];
    args.d_x_sum = call->out[INS_NORM_SUM(centre)];
    args.scratch = call->scratch;
    return ins_norm_backward(&args, call->pool, err);
}

void ins_norm_fill_grad(int input, const ins_type *type, void *data, int centre) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        float value = (float)((i * 37 + 5 * input) % 61) / 20.0f - 1.5f;
        if (centre && input == 2) value *= 0.1f;
        ((float *)data)[i] = input == INS_NORM_RSTD(centre) ? 0.5f + 0.01f * (float)(i % 7) : value;
    }
}
