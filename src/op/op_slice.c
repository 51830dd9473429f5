/* slice: elements [start, start + length) of one dimension. */
#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct slice_attr {
    int64_t axis, start, length;
} slice_attr;

static ins_status slice_infer(ins_op_sig *sig, ins_error *err) {
    const slice_attr *attr = sig->attr;
    const ins_type *x = sig->in[0];
    char type[96];
    if (attr->axis < 0 || attr->axis >= x->n_dims)
        return INS_FAIL(err, INS_USAGE, "slice: axis %lld is outside x %s", (long long)attr->axis,
                        ins_type_format(x, type));
    int64_t extent = x->dims[attr->axis];
    if (attr->start < 0 || attr->length < 0 || attr->start > extent || attr->length > extent - attr->start)
        return INS_FAIL(err, INS_USAGE, "slice: start %lld and length %lld leave dimension %lld of x %s",
                        (long long)attr->start, (long long)attr->length, (long long)attr->axis,
                        ins_type_format(x, type));
    sig->out[0] = *x;
    sig->out[0].dims[attr->axis] = attr->length;
    return INS_OK;
}

static ins_status slice_run(const ins_op_call *call, ins_error *err) {
    const slice_attr *attr = call->sig->attr;
    const ins_type *x = call->sig->in[0];
    int axis = (int)attr->axis;
    int64_t inner = ins_dims_product(x->dims, axis + 1, x->n_dims);
    const char *first = (const char *)call->in[0] + (size_t)(attr->start * inner) * ins_dtype_size(x->dtype);
    ins_strided_args args = {.dtype = x->dtype,
                             .n_dims = 2,
                             .dims = {ins_dims_product(x->dims, 0, axis), attr->length * inner},
                             .src = first,
                             .stride_src = {x->dims[axis] * inner, 1},
                             .dst = call->out[0],
                             .stride_dst = {attr->length * inner, 1}};
    return ins_strided_copy(&args, call->pool, err);
}

static ins_status slice_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    slice_attr attr = *(const slice_attr *)a->sig->attr;
    ins_type type_x = *a->sig->in[0];
    if (a->need[0]) a->d_in[0] = ins_emit_pad(g, a->d_out[0], &type_x, (int)attr.axis, attr.start);
    return INS_OK;
}

ins_value ins_slice(ins_graph *g, ins_value x, int axis, int64_t start, int64_t length) {
    if (!ins_emit_ready(g, x)) return INS_NO_VALUE;
    axis = ins_emit_axis(g, "slice", x, axis);
    if (axis < 0) return INS_NO_VALUE;
    if (start == 0 && length == ins_graph_type(g, x)->dims[axis]) return x;
    return ins_emit_one(g, &ins_op_slice, &(slice_attr){axis, start, length}, &x, 1);
}

static const ins_op_sample slice_samples[] = {
    {.name = "last", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const slice_attr){1, 2, 3}},
    {.name = "first", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const slice_attr){0, 1, 4}},
    {.name = "middle", .n_in = 1, .in = {INS_F32(3, 2, 5, 3)}, .attr = &(const slice_attr){1, 4, 1}},
    {.name = "nothing", .n_in = 1, .in = {INS_F32(2, 2, 3)}, .attr = &(const slice_attr){1, 3, 0}},
    {0},
};

const ins_op ins_op_slice = {
    .head = {.family = "op", .name = "slice", .summary = "A range of one dimension.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(slice_attr),
    .flags = INS_OP_PURE_CHEAP,
    .infer = slice_infer,
    .run = slice_run,
    .grad = slice_grad,
    .flops = ins_op_flops_none,
    .samples = slice_samples,
};
