/* softmax_grad, from the output y of softmax:
 *
 *   plain: d_x = y (d_y - sum(y d_y))        log: d_x = d_y - exp(y) sum(d_y)        (sums over the row)
 */
#include "kernel/softmax.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { D_Y, Y };

typedef struct softmax_grad_attr {
    int64_t log_form;
} softmax_grad_attr;

static ins_status softmax_grad_infer(ins_op_sig *sig, ins_error *err) {
    char type[96];
    INS_TRY(ins_op_check_float(sig, Y, err));
    INS_TRY(ins_op_check_equal(sig, D_Y, Y, err));
    if (sig->in[Y]->n_dims < 1)
        return INS_FAIL(err, INS_USAGE, "softmax_grad: y %s has no dimension to sum over",
                        ins_type_format(sig->in[Y], type));
    sig->out[0] = *sig->in[Y];
    return INS_OK;
}

static ins_status softmax_grad_run(const ins_op_call *call, ins_error *err) {
    const ins_type *type = &call->sig->out[0];
    int64_t cols = ins_type_cols(type);
    ins_softmax_args args = {.dtype = type->dtype,
                             .log = ((const softmax_grad_attr *)call->sig->attr)->log_form != 0,
                             .rows = ins_type_rows(type),
                             .cols = cols,
                             .y = (void *)(uintptr_t)call->in[Y], /* read only in the backward kernel */
                             .ldy = cols,
                             .d_y = call->in[D_Y],
                             .ld_dy = cols,
                             .d_x = call->out[0],
                             .ld_dx = cols};
    return ins_softmax_backward(&args, call->pool, err);
}

/* Sum over each row, kept as a column: [.., 1]. */
static ins_value row_sum(ins_graph *g, ins_value x) {
    if (!ins_emit_ready(g, x)) return INS_NO_VALUE;
    ins_type kept = *ins_graph_type(g, x);
    kept.dims[kept.n_dims - 1] = 1;
    return ins_emit_like(g, ins_sum_axis(g, x, -1), &kept);
}

/* With c the gradient of d_x. plain: the map of d_y is its own adjoint, and
 *   d y = c (d_y - sum(y d_y)) - d_y sum(c y).       log: d d_y = c - sum(c exp(y)),  d y = -c exp(y) sum(d_y)
 */
static ins_status softmax_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_value d_y = a->in[D_Y], y = a->in[Y], c = a->d_out[0];
    bool need_dy = a->need[D_Y], need_y = a->need[Y];
    if (((const softmax_grad_attr *)a->sig->attr)->log_form) {
        ins_value c_exp = ins_mul(g, c, ins_unary_map(g, INS_EXP, y));
        if (need_dy) a->d_in[D_Y] = ins_sub(g, c, row_sum(g, c_exp));
        if (need_y) a->d_in[Y] = ins_scale(g, ins_mul(g, c_exp, row_sum(g, d_y)), -1.0);
        return INS_OK;
    }
    if (need_dy) a->d_in[D_Y] = ins_emit_softmax_grad(g, false, c, y);
    if (need_y) {
        ins_value centred = ins_sub(g, d_y, row_sum(g, ins_mul(g, y, d_y)));
        ins_value rest = ins_mul(g, d_y, row_sum(g, ins_mul(g, c, y)));
        a->d_in[Y] = ins_sub(g, ins_mul(g, c, centred), rest);
    }
    return INS_OK;
}

ins_value ins_emit_softmax_grad(ins_graph *g, bool log_form, ins_value d_y, ins_value y) {
    if (!ins_emit_ready(g, d_y) || !ins_emit_ready(g, y)) return INS_NO_VALUE;
    d_y = ins_cast(g, d_y, ins_graph_type(g, y)->dtype);
    return ins_emit_one(g, &ins_op_softmax_grad, &(softmax_grad_attr){log_form}, (const ins_value[]){d_y, y}, 2);
}

static const ins_op_sample softmax_grad_samples[] = {
    {.name = "plain", .n_in = 2, .in = {INS_F32(2, 5, 7), INS_F32(2, 5, 7)}, .attr = &(const softmax_grad_attr){0}},
    {.name = "log", .n_in = 2, .in = {INS_F32(2, 5, 7), INS_F32(2, 5, 7)}, .attr = &(const softmax_grad_attr){1}},
    {0},
};

const ins_op ins_op_softmax_grad = {
    .head = {.family = "op", .name = "softmax_grad", .summary = "Gradient of softmax or log-softmax.", .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "d_y y",
    .out_names = "d_x",
    .attr_size = sizeof(softmax_grad_attr),
    .flags = INS_OP_INPLACE,
    .infer = softmax_grad_infer,
    .run = softmax_grad_run,
    .grad = softmax_grad_grad,
    .samples = softmax_grad_samples,
};
