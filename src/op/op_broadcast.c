/* broadcast: x repeated to a larger shape by numpy's rule. */
#include <string.h>

#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct broadcast_attr {
    int64_t n_dims;
    int64_t dims[INS_MAX_DIMS];
} broadcast_attr;

static ins_status broadcast_infer(ins_op_sig *sig, ins_error *err) {
    const broadcast_attr *attr = sig->attr;
    char type_x[96], type_want[96];
    ins_type want = {.dtype = sig->in[0]->dtype, .n_dims = (int)attr->n_dims}, both;
    size_t bytes;
    INS_TRY(ins_op_check_float(sig, 0, err));
    memcpy(want.dims, attr->dims, sizeof want.dims);
    if (attr->n_dims < 0 || attr->n_dims > INS_MAX_DIMS || !ins_type_check(&want, &bytes) ||
        !ins_op_broadcast_shape(sig->in[0], &want, &both) || !ins_type_same_shape(&both, &want))
        return INS_FAIL(err, INS_USAGE, "broadcast: x %s does not extend to %s", ins_type_format(sig->in[0], type_x),
                        ins_type_format(&want, type_want));
    sig->out[0] = want;
    return INS_OK;
}

static ins_status broadcast_run(const ins_op_call *call, ins_error *err) {
    const ins_type *out = &call->sig->out[0];
    ins_strided_args args = {.dtype = out->dtype, .n_dims = out->n_dims, .src = call->in[0], .dst = call->out[0]};
    for (int d = 0; d < out->n_dims; d++) args.dims[d] = out->dims[d];
    ins_op_broadcast_strides(call->sig->in[0], out, args.stride_src);
    ins_op_dense_strides(out, args.stride_dst);
    ins_op_collapse(&args.n_dims, args.dims, args.stride_src, args.stride_dst);
    return ins_strided_copy(&args, call->pool, err);
}

static ins_status broadcast_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_type type_x = *a->sig->in[0];
    if (a->need[0]) a->d_in[0] = ins_emit_sum_to(g, a->d_out[0], &type_x);
    return INS_OK;
}

ins_value ins_broadcast(ins_graph *g, ins_value x, ins_type type) {
    x = ins_cast(g, x, type.dtype);
    if (!ins_emit_ready(g, x)) return INS_NO_VALUE;
    if (ins_type_same_shape(ins_graph_type(g, x), &type)) return x;
    broadcast_attr attr = {.n_dims = type.n_dims};
    for (int d = 0; d < type.n_dims && d < INS_MAX_DIMS; d++) attr.dims[d] = type.dims[d];
    return ins_emit_one(g, &ins_op_broadcast, &attr, &x, 1);
}

static const ins_op_sample broadcast_samples[] = {
    {.name = "scalar", .n_in = 1, .in = {INS_F32(0, 0)}, .attr = &(const broadcast_attr){2, {3, 5}}},
    {.name = "row", .n_in = 1, .in = {INS_F32(1, 5)}, .attr = &(const broadcast_attr){3, {2, 3, 5}}},
    {.name = "column", .n_in = 1, .in = {INS_F32(2, 3, 1)}, .attr = &(const broadcast_attr){3, {2, 3, 5}}},
    {.name = "middle", .n_in = 1, .in = {INS_F32(3, 2, 1, 3)}, .attr = &(const broadcast_attr){3, {2, 4, 3}}},
    {0},
};

const ins_op ins_op_broadcast = {
    .head = {.family = "op", .name = "broadcast", .summary = "x repeated to a larger shape.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(broadcast_attr),
    .flags = INS_OP_PURE_CHEAP,
    .infer = broadcast_infer,
    .run = broadcast_run,
    .grad = broadcast_grad,
    .flops = ins_op_flops_none,
    .samples = broadcast_samples,
};
