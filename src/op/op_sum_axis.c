/* sum_axis: the sum over one dimension, which is dropped. Same dtype as x; bf16 is summed in f32 and rounded once. */
#include "kernel/reduce.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct sum_axis_attr {
    int64_t axis; /* from the front */
} sum_axis_attr;

static ins_status sum_axis_infer(ins_op_sig *sig, ins_error *err) {
    const sum_axis_attr *attr = sig->attr;
    char type[96];
    INS_TRY(ins_op_check_float(sig, 0, err));
    if (attr->axis < 0 || attr->axis >= sig->in[0]->n_dims)
        return INS_FAIL(err, INS_USAGE, "sum_axis: axis %lld is outside x %s", (long long)attr->axis,
                        ins_type_format(sig->in[0], type));
    sig->out[0] = ins_type_drop(sig->in[0], (int)attr->axis);
    return INS_OK;
}

static ins_status sum_axis_run(const ins_op_call *call, ins_error *err) {
    const ins_type *x = call->sig->in[0];
    int axis = (int)((const sum_axis_attr *)call->sig->attr)->axis;
    ins_reduce_args args = {.op = INS_REDUCE_SUM,
                            .dtype = x->dtype,
                            .outer = ins_dims_product(x->dims, 0, axis),
                            .axis = x->dims[axis],
                            .inner = ins_dims_product(x->dims, axis + 1, x->n_dims),
                            .x = call->in[0],
                            .out = call->out[0]};
    return ins_reduce_axis(&args, call->pool, err);
}

static ins_status sum_axis_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_type type_x = *a->sig->in[0], kept = type_x;
    if (!a->need[0]) return INS_OK;
    kept.dims[((const sum_axis_attr *)a->sig->attr)->axis] = 1;
    ins_value d_out = ins_cast(g, a->d_out[0], type_x.dtype);
    a->d_in[0] = ins_broadcast(g, ins_emit_like(g, d_out, &kept), type_x);
    return INS_OK;
}

ins_value ins_sum_axis(ins_graph *g, ins_value x, int axis) {
    if (!ins_emit_ready(g, x)) return INS_NO_VALUE;
    axis = ins_emit_axis(g, "sum_axis", x, axis);
    if (axis < 0) return INS_NO_VALUE;
    return ins_emit_one(g, &ins_op_sum_axis, &(sum_axis_attr){axis}, &x, 1);
}

ins_value ins_mean_axis(ins_graph *g, ins_value x, int axis) {
    if (!ins_emit_ready(g, x)) return INS_NO_VALUE;
    axis = ins_emit_axis(g, "mean_axis", x, axis);
    if (axis < 0) return INS_NO_VALUE;
    int64_t extent = ins_graph_type(g, x)->dims[axis];
    if (extent == 0) return ins_graph_fail(g, "mean_axis: dimension %d of x is empty", axis);
    return ins_scale(g, ins_sum_axis(g, x, axis), 1.0 / (double)extent);
}

static const ins_op_sample sum_axis_samples[] = {
    {.name = "last", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const sum_axis_attr){1}},
    {.name = "first", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const sum_axis_attr){0}},
    {.name = "middle", .n_in = 1, .in = {INS_F32(3, 2, 5, 3)}, .attr = &(const sum_axis_attr){1}},
    {0},
};

const ins_op ins_op_sum_axis = {
    .head = {.family = "op", .name = "sum_axis", .summary = "Sum over one dimension.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(sum_axis_attr),
    .infer = sum_axis_infer,
    .run = sum_axis_run,
    .grad = sum_axis_grad,
    .samples = sum_axis_samples,
};
