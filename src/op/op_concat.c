/* concat: up to 12 tensors, one after the other along one dimension (the builder takes any number). */
#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct concat_attr {
    int64_t axis;
} concat_attr;

static ins_status concat_infer(ins_op_sig *sig, ins_error *err) {
    int64_t axis = ((const concat_attr *)sig->attr)->axis;
    const ins_type *first = sig->in[0];
    char type[96], type_first[96];
    if (axis < 0 || axis >= first->n_dims)
        return INS_FAIL(err, INS_USAGE, "concat: axis %lld is outside %s", (long long)axis,
                        ins_type_format(first, type));
    ins_type out = *first;
    for (int i = 1; i < sig->n_in; i++) {
        if (!sig->in[i]) continue;
        ins_type part = *sig->in[i];
        int64_t extent = part.n_dims == first->n_dims ? part.dims[axis] : 0;
        if (part.n_dims == first->n_dims) part.dims[axis] = first->dims[axis];
        if (!ins_type_equal(&part, first) || __builtin_add_overflow(out.dims[axis], extent, &out.dims[axis]))
            return INS_FAIL(err, INS_USAGE, "concat: part %d is %s, which does not continue %s along dimension %lld",
                            i + 1, ins_type_format(sig->in[i], type), ins_type_format(first, type_first),
                            (long long)axis);
    }
    sig->out[0] = out;
    return INS_OK;
}

static ins_status concat_run(const ins_op_call *call, ins_error *err) {
    const ins_type *out = &call->sig->out[0];
    int axis = (int)((const concat_attr *)call->sig->attr)->axis;
    int64_t outer = ins_dims_product(out->dims, 0, axis), inner = ins_dims_product(out->dims, axis + 1, out->n_dims);
    int64_t at = 0;
    for (int i = 0; i < call->sig->n_in; i++) {
        if (!call->sig->in[i]) continue;
        int64_t width = call->sig->in[i]->dims[axis] * inner;
        ins_strided_args args = {.dtype = out->dtype,
                                 .n_dims = 2,
                                 .dims = {outer, width},
                                 .src = call->in[i],
                                 .stride_src = {width, 1},
                                 .dst = (char *)call->out[0] + (size_t)at * ins_dtype_size(out->dtype),
                                 .stride_dst = {out->dims[axis] * inner, 1}};
        INS_TRY(ins_strided_copy(&args, call->pool, err));
        at += width;
    }
    return INS_OK;
}

static ins_status concat_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    int axis = (int)((const concat_attr *)a->sig->attr)->axis, n_in = a->sig->n_in;
    int64_t extent[INS_OP_MAX_IN] = {0}, at = 0;
    for (int i = 0; i < n_in; i++) extent[i] = a->sig->in[i] ? a->sig->in[i]->dims[axis] : 0;
    ins_value d_out = a->d_out[0];
    for (int i = 0; i < n_in; i++) {
        if (a->need[i]) a->d_in[i] = ins_slice(g, d_out, axis, at, extent[i]);
        at += extent[i];
    }
    return INS_OK;
}

ins_value ins_concat(ins_graph *g, const ins_value *parts, int n, int axis) {
    if (n < 1) return ins_graph_fail(g, "concat: there are no parts");
    if (!ins_emit_ready(g, parts[0])) return INS_NO_VALUE;
    axis = ins_emit_axis(g, "concat", parts[0], axis);
    if (axis < 0) return INS_NO_VALUE;
    if (n == 1) return parts[0];
    concat_attr attr = {axis};
    if (n <= INS_OP_MAX_IN) return ins_emit_one(g, &ins_op_concat, &attr, parts, n);
    /* A tree: 12 groups of nearly equal length, so that n parts are copied log12(n) times. */
    ins_value groups[INS_OP_MAX_IN];
    int done = 0;
    for (int i = 0; i < INS_OP_MAX_IN; i++) {
        int end = (int)((int64_t)n * (i + 1) / INS_OP_MAX_IN);
        groups[i] = ins_concat(g, parts + done, end - done, axis);
        done = end;
    }
    return ins_emit_one(g, &ins_op_concat, &attr, groups, INS_OP_MAX_IN);
}

static const ins_op_sample concat_samples[] = {
    {.name = "last",
     .n_in = 3,
     .in = {INS_F32(2, 5, 3), INS_F32(2, 5, 1), INS_F32(2, 5, 4)},
     .attr = &(const concat_attr){1}},
    {.name = "first", .n_in = 2, .in = {INS_F32(2, 2, 3), INS_F32(2, 4, 3)}, .attr = &(const concat_attr){0}},
    {.name = "middle", .n_in = 2, .in = {INS_F32(3, 2, 1, 3), INS_F32(3, 2, 2, 3)}, .attr = &(const concat_attr){1}},
    {.name = "one", .n_in = 1, .in = {INS_F32(1, 3)}, .attr = &(const concat_attr){0}},
    {0},
};

const ins_op ins_op_concat = {
    .head = {.family = "op", .name = "concat", .summary = "Tensors one after the other.", .version = 1},
    .n_in_min = 1,
    .n_in = INS_OP_MAX_IN,
    .n_out = 1,
    .in_names = "part1 part2 part3 part4 part5 part6 part7 part8 part9 part10 part11 part12",
    .out_names = "out",
    .attr_size = sizeof(concat_attr),
    .infer = concat_infer,
    .run = concat_run,
    .grad = concat_grad,
    .flops = ins_op_flops_none,
    .samples = concat_samples,
};
