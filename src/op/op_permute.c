/* permute: out[i0, i1, ..] with out dimension d = x dimension axes[d]. */
#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct permute_attr {
    int64_t n_dims;
    int64_t axes[INS_MAX_DIMS];
} permute_attr;

static ins_status permute_infer(ins_op_sig *sig, ins_error *err) {
    const permute_attr *attr = sig->attr;
    const ins_type *x = sig->in[0];
    char type[96];
    unsigned seen = 0;
    bool fits = attr->n_dims == x->n_dims;
    for (int d = 0; fits && d < x->n_dims; d++) {
        fits = attr->axes[d] >= 0 && attr->axes[d] < x->n_dims;
        if (fits) seen |= 1u << attr->axes[d];
    }
    if (!fits || seen != (1u << x->n_dims) - 1u)
        return INS_FAIL(err, INS_USAGE, "permute: the axes are no permutation of the %d dimensions of x %s", x->n_dims,
                        ins_type_format(x, type));
    sig->out[0] = *x;
    for (int d = 0; d < x->n_dims; d++) sig->out[0].dims[d] = x->dims[attr->axes[d]];
    return INS_OK;
}

static ins_status permute_run(const ins_op_call *call, ins_error *err) {
    const permute_attr *attr = call->sig->attr;
    const ins_type *out = &call->sig->out[0];
    ins_strided_args args = {.dtype = out->dtype, .n_dims = out->n_dims, .src = call->in[0], .dst = call->out[0]};
    int64_t strides[INS_MAX_DIMS] = {0};
    ins_op_dense_strides(call->sig->in[0], strides);
    ins_op_dense_strides(out, args.stride_dst);
    for (int d = 0; d < out->n_dims; d++) {
        args.dims[d] = out->dims[d];
        args.stride_src[d] = strides[attr->axes[d]];
    }
    ins_op_collapse(&args.n_dims, args.dims, args.stride_src, args.stride_dst);
    return ins_strided_copy(&args, call->pool, err);
}

static ins_status permute_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    const permute_attr *attr = a->sig->attr;
    int inverse[INS_MAX_DIMS] = {0};
    for (int d = 0; d < attr->n_dims; d++) inverse[attr->axes[d]] = d;
    if (a->need[0]) a->d_in[0] = ins_permute(g, a->d_out[0], inverse);
    return INS_OK;
}

ins_value ins_build_permute(ins_graph *g, ins_value x, const int *axes) {
    if (!ins_emit_ready(g, x)) return INS_NO_VALUE;
    permute_attr attr = {.n_dims = ins_graph_type(g, x)->n_dims};
    bool moves = false;
    for (int d = 0; d < attr.n_dims; d++) {
        attr.axes[d] = axes[d] < 0 ? axes[d] + attr.n_dims : axes[d];
        moves = moves || attr.axes[d] != d;
    }
    return moves ? ins_emit_one(g, &ins_op_permute, &attr, &x, 1) : x;
}

static const ins_op_sample permute_samples[] = {
    {.name = "transpose", .n_in = 1, .in = {INS_F32(2, 5, 7)}, .attr = &(const permute_attr){2, {1, 0}}},
    {.name = "heads", .n_in = 1, .in = {INS_F32(4, 2, 3, 4, 5)}, .attr = &(const permute_attr){4, {0, 2, 1, 3}}},
    {.name = "cycle", .n_in = 1, .in = {INS_F32(3, 2, 3, 4)}, .attr = &(const permute_attr){3, {2, 0, 1}}},
    {.name = "empty", .n_in = 1, .in = {INS_F32(2, 0, 4)}, .attr = &(const permute_attr){2, {1, 0}}},
    {0},
};

const ins_op ins_op_permute = {
    .head = {.family = "op", .name = "permute", .summary = "Dimensions in another order.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(permute_attr),
    .infer = permute_infer,
    .run = permute_run,
    .grad = permute_grad,
    .flops = ins_op_flops_none,
    .samples = permute_samples,
};
