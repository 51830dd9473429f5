/* pad: zeros (or acc) of a larger shape with x added at [start, start + length) of one dimension: the adjoint of slice.
 * With acc only the range is touched, so the gradient of n slices of one tensor costs one pass, not n.
 */
#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { X, ACC };

typedef struct pad_attr {
    int64_t axis, start, extent; /* extent: size of the dimension in the result */
} pad_attr;

static ins_status pad_infer(ins_op_sig *sig, ins_error *err) {
    const pad_attr *attr = sig->attr;
    const ins_type *x = sig->in[X];
    char type[96];
    INS_TRY(ins_op_check_float(sig, X, err));
    if (attr->axis < 0 || attr->axis >= x->n_dims)
        return INS_FAIL(err, INS_USAGE, "pad: axis %lld is outside x %s", (long long)attr->axis,
                        ins_type_format(x, type));
    if (attr->start < 0 || attr->start > attr->extent || x->dims[attr->axis] > attr->extent - attr->start)
        return INS_FAIL(err, INS_USAGE, "pad: dimension %lld of x %s does not fit at %lld into %lld",
                        (long long)attr->axis, ins_type_format(x, type), (long long)attr->start,
                        (long long)attr->extent);
    sig->out[0] = *x;
    sig->out[0].dims[attr->axis] = attr->extent;
    if (sig->n_in > ACC && sig->in[ACC]) INS_TRY(ins_op_check_type(sig, ACC, &sig->out[0], err));
    return INS_OK;
}

static ins_status pad_run(const ins_op_call *call, ins_error *err) {
    const pad_attr *attr = call->sig->attr;
    const ins_type *x = call->sig->in[X], *out = &call->sig->out[0];
    int axis = (int)attr->axis;
    bool add = ins_op_take_acc(call);
    if (!add) INS_TRY(ins_fill_array(out->dtype, ins_type_count(out), 0.0, call->out[0], call->pool, err));
    int64_t inner = ins_dims_product(x->dims, axis + 1, x->n_dims), length = x->dims[axis];
    ins_strided_args args = {.dtype = x->dtype,
                             .n_dims = 2,
                             .dims = {ins_dims_product(x->dims, 0, axis), length * inner},
                             .src = call->in[X],
                             .stride_src = {length * inner, 1},
                             .dst = (char *)call->out[0] + (size_t)(attr->start * inner) * ins_dtype_size(x->dtype),
                             .stride_dst = {attr->extent * inner, 1},
                             .accumulate = add};
    return ins_strided_copy(&args, call->pool, err);
}

static ins_status pad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    pad_attr attr = *(const pad_attr *)a->sig->attr;
    int64_t length = a->sig->in[X]->dims[attr.axis];
    ins_value d_out = a->d_out[0];
    bool need_acc = a->sig->n_in > ACC && a->need[ACC];
    if (a->need[X]) a->d_in[X] = ins_slice(g, d_out, (int)attr.axis, attr.start, length);
    if (need_acc) a->d_in[ACC] = d_out;
    return INS_OK;
}

ins_value ins_emit_pad(ins_graph *g, ins_value v, const ins_type *full, int axis, int64_t start) {
    return ins_emit_one(g, &ins_op_pad, &(pad_attr){axis, start, full->dims[axis]}, &v, 1);
}

static const ins_op_sample pad_samples[] = {
    {.name = "last", .n_in = 1, .in = {INS_F32(2, 5, 3)}, .attr = &(const pad_attr){1, 2, 7}},
    {.name = "middle", .n_in = 1, .in = {INS_F32(3, 2, 2, 3)}, .attr = &(const pad_attr){1, 3, 5}},
    {.name = "acc", .n_in = 2, .in = {INS_F32(2, 5, 3), INS_F32(2, 5, 7)}, .attr = &(const pad_attr){1, 4, 7}},
    {0},
};

const ins_op ins_op_pad = {
    .head = {.family = "op", .name = "pad", .summary = "x inside zeros of a larger shape.", .version = 1},
    .n_in_min = 1,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x acc",
    .out_names = "out",
    .attr_size = sizeof(pad_attr),
    .flags = INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = pad_infer,
    .run = pad_run,
    .grad = pad_grad,
    .flops = ins_op_flops_none,
    .samples = pad_samples,
};
