/* linear_xent: language-model head and loss without the [N, V] logits.
 *
 *   z = x W^T,   nll_i = log sum_v exp(z_iv) - z_i,target,   loss = sum_i weights_i nll_i
 *
 * Three outputs: loss [], nll [N] (unweighted; 0 for ignored rows), correct [N] (1 where the target has the largest
 * logit). In training the planner drops this op: linear_xent_grad computes the same three outputs on its way.
 */
#include "op/op_linear_xent.h"

ins_status ins_linear_xent_check(const ins_op_sig *sig, ins_error *err) {
    const ins_linear_xent_attr *attr = sig->attr;
    const ins_type *x = sig->in[XENT_X], *w = sig->in[XENT_W];
    char type_x[96], type_w[96];
    INS_TRY(ins_op_check_float(sig, XENT_X, err));
    INS_TRY(ins_op_check_dims(sig, XENT_X, 2, err));
    INS_TRY(ins_op_check_dtype(sig, XENT_W, x->dtype, err));
    INS_TRY(ins_op_check_dims(sig, XENT_W, 2, err));
    int64_t width = w->dims[attr->in_out ? 0 : 1], vocab = w->dims[attr->in_out ? 1 : 0];
    if (x->dims[1] != width || vocab < 1)
        return INS_FAIL(err, INS_USAGE, "%s: x %s has %lld columns but w %s wants %lld", sig->op->head.name,
                        ins_type_format(x, type_x), (long long)x->dims[1], ins_type_format(w, type_w),
                        (long long)width);
    if (!(attr->label_smoothing >= 0 && attr->label_smoothing < 1) || !(attr->z_loss >= 0))
        return INS_FAIL(err, INS_USAGE, "%s: label smoothing %g must be in [0, 1) and z-loss %g at least 0",
                        sig->op->head.name, attr->label_smoothing, attr->z_loss);
    ins_type targets = {.dtype = INS_DTYPE_I32, .n_dims = 1, .dims = {x->dims[0]}};
    ins_type weights = ins_type_with(&targets, ins_op_acc(x->dtype));
    INS_TRY(ins_op_check_type(sig, XENT_TARGETS, &targets, err));
    return ins_op_check_type(sig, XENT_WEIGHTS, &weights, err);
}

void ins_linear_xent_types(ins_op_sig *sig, int first) {
    const ins_type *weights = sig->in[XENT_WEIGHTS];
    sig->out[first] = (ins_type){.dtype = weights->dtype};
    sig->out[first + 1] = sig->out[first + 2] = *weights;
}

ins_linear_xent_args ins_linear_xent_base(const ins_op_sig *sig, const ins_op_call *call) {
    const ins_linear_xent_attr *attr = sig->attr;
    const ins_type *x = sig->in[XENT_X], *w = sig->in[XENT_W];
    ins_linear_xent_args args = {.dtype = x->dtype,
                                 .n = x->dims[0],
                                 .d = x->dims[1],
                                 .v = w->dims[attr->in_out ? 1 : 0],
                                 .ldx = x->dims[1],
                                 .ldw = w->dims[1],
                                 .trans_w = attr->in_out != 0,
                                 .label_smoothing = attr->label_smoothing,
                                 .z_loss = attr->z_loss,
                                 .ld_dx = x->dims[1],
                                 .ld_dw = w->dims[1]};
    if (!call) return args;
    args.x = call->in[XENT_X];
    args.w = call->in[XENT_W];
    args.targets = call->in[XENT_TARGETS];
    args.weights = call->in[XENT_WEIGHTS];
    args.scratch = call->scratch;
    args.gemm_choices = call->gemm_choices;
    return args;
}

double ins_linear_xent_product(const ins_op_sig *sig) {
    return 2.0 * (double)sig->in[XENT_X]->dims[0] * (double)ins_type_count(sig->in[XENT_W]);
}

/* Targets below 7 (the samples' vocabulary), the third ignored; weights in [0.2, 0.5]. */
void ins_linear_xent_fill(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (input == XENT_TARGETS)
            ((int32_t *)data)[i] = i == 2 ? -1 : (int32_t)(5 * i % 7);
        else if (input == XENT_WEIGHTS)
            ((float *)data)[i] = 0.2f + 0.1f * (float)(i % 4);
        else
            ((float *)data)[i] = (float)((i * 37 + 11 * input) % 61) / 25.0f - 1.2f;
    }
}

static ins_status linear_xent_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_linear_xent_check(sig, err));
    ins_linear_xent_types(sig, 0);
    return INS_OK;
}

static size_t linear_xent_scratch(const ins_op_sig *sig, int n_threads) {
    (void)n_threads;
    ins_linear_xent_args args = ins_linear_xent_base(sig, NULL);
    return ins_linear_xent_scratch(&args);
}

static ins_status linear_xent_run(const ins_op_call *call, ins_error *err) {
    ins_linear_xent_args args = ins_linear_xent_base(call->sig, call);
    args.loss_sum = call->out[0];
    args.nll = call->out[1];
    args.correct = call->out[2];
    return ins_linear_xent_run(&args, call->pool, err);
}

/* A gradient into the loss alone keeps the forward op's weights, so that one op can do both. One into nll (losses made
 * of per-token or per-sequence likelihoods) is the gradient of a loss with row weights
 *   weights_i d_loss + d_nll_i.
 */
static ins_status linear_xent_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_linear_xent_attr attr = *(const ins_linear_xent_attr *)a->sig->attr;
    ins_value weights = a->in[XENT_WEIGHTS], d_loss = a->d_out[0], d_nll = a->d_out[1], nll = a->out[1];
    const bool need[4] = {a->need[XENT_X], a->need[XENT_W], false, a->need[XENT_WEIGHTS]};
    ins_type scalar = {.dtype = a->sig->in[XENT_WEIGHTS]->dtype};
    if (d_loss == INS_NO_VALUE && d_nll == INS_NO_VALUE) return INS_OK; /* only `correct`, which is a step function */
    ins_value factor = d_loss, rows = weights;
    if (d_nll != INS_NO_VALUE) {
        rows = d_loss == INS_NO_VALUE ? d_nll : ins_add(g, ins_mul(g, weights, d_loss), d_nll);
        factor = ins_fill(g, scalar, 1.0);
    }
    if (need[XENT_X] || need[XENT_W]) {
        ins_value in[5] = {a->in[XENT_X], a->in[XENT_W], a->in[XENT_TARGETS], rows, factor};
        ins_value out[5] = {-1, -1, -1, -1, -1};
        ins_graph_emit(g, &ins_op_linear_xent_grad, &attr, in, 5, out);
        if (need[XENT_X]) a->d_in[XENT_X] = out[0];
        if (need[XENT_W]) a->d_in[XENT_W] = out[1];
    }
    if (need[XENT_WEIGHTS] && d_loss != INS_NO_VALUE) a->d_in[XENT_WEIGHTS] = ins_mul(g, nll, d_loss);
    return INS_OK;
}

ins_value ins_linear_xent_smooth(ins_graph *g, ins_value x, ins_value w, bool in_out, ins_value targets,
                                 ins_value weights, double label_smoothing, double z_loss, ins_value *nll,
                                 ins_value *correct) {
    if (nll) *nll = INS_NO_VALUE;
    if (correct) *correct = INS_NO_VALUE;
    if (!ins_emit_ready(g, x) || !ins_emit_ready(g, w) || !ins_emit_ready(g, weights)) return INS_NO_VALUE;
    ins_dtype compute = ins_graph_compute(g);
    ins_linear_xent_attr attr = {in_out, label_smoothing, z_loss};
    ins_value in[4] = {ins_cast(g, x, compute), ins_cast(g, w, compute), targets,
                       ins_cast(g, weights, ins_op_acc(compute))};
    ins_value out[3] = {INS_NO_VALUE, INS_NO_VALUE, INS_NO_VALUE};
    ins_value loss = ins_graph_emit(g, &ins_op_linear_xent, &attr, in, 4, out);
    if (nll) *nll = out[1];
    if (correct) *correct = out[2];
    return loss;
}

ins_value ins_linear_xent(ins_graph *g, ins_value x, ins_value w, bool in_out, ins_value targets, ins_value weights,
                          ins_value *nll, ins_value *correct) {
    return ins_linear_xent_smooth(g, x, w, in_out, targets, weights, 0.0, 0.0, nll, correct);
}

static const ins_op_sample linear_xent_samples[] = {
    {.name = "plain",
     .n_in = 4,
     .in = {INS_F32(2, 5, 4), INS_F32(2, 7, 4), INS_I32(1, 5), INS_F32(1, 5)},
     .attr = &(const ins_linear_xent_attr){0, 0, 0},
     .fill = ins_linear_xent_fill,
     .keep_real = 1u << XENT_WEIGHTS},
    {.name = "in_out",
     .n_in = 4,
     .in = {INS_F32(2, 5, 4), INS_F32(2, 4, 7), INS_I32(1, 5), INS_F32(1, 5)},
     .attr = &(const ins_linear_xent_attr){1, 0, 0},
     .fill = ins_linear_xent_fill,
     .keep_real = 1u << XENT_WEIGHTS},
    {.name = "smooth",
     .n_in = 4,
     .in = {INS_F32(2, 5, 4), INS_F32(2, 7, 4), INS_I32(1, 5), INS_F32(1, 5)},
     .attr = &(const ins_linear_xent_attr){0, 0.1, 0.01},
     .fill = ins_linear_xent_fill,
     .keep_real = 1u << XENT_WEIGHTS},
    {.name = "no rows",
     .n_in = 4,
     .in = {INS_F32(2, 0, 4), INS_F32(2, 7, 4), INS_I32(1, 0), INS_F32(1, 0)},
     .attr = &(const ins_linear_xent_attr){0, 0, 0},
     .fill = ins_linear_xent_fill,
     .keep_real = 1u << XENT_WEIGHTS},
    {0},
};

const ins_op ins_op_linear_xent = {
    .head = {.family = "op",
             .name = "linear_xent",
             .summary = "Output layer and cross-entropy in one, without the logits in memory.",
             .version = 1},
    .n_in_min = 4,
    .n_in = 4,
    .n_out = 3,
    .in_names = "x w targets weights",
    .out_names = "loss nll correct",
    .attr_size = sizeof(ins_linear_xent_attr),
    .infer = linear_xent_infer,
    .run = linear_xent_run,
    .scratch = linear_xent_scratch,
    .grad = linear_xent_grad,
    .flops = ins_linear_xent_product,
    .samples = linear_xent_samples,
    .no_grad_out = 1u << 2,
};
