/* Shared parts of layernorm and rmsnorm. */
#include "op/op_norm.h"

ins_type ins_norm_stats(const ins_type *x) {
    ins_type stats = ins_type_drop(x, x->n_dims - 1);
    stats.dtype = ins_op_acc(x->dtype);
    return stats;
}

ins_status ins_norm_check(const ins_op_sig *sig, int x, int first, int n_vectors, ins_error *err) {
    const ins_type *type_x = sig->in[x];
    char type[96];
    INS_TRY(ins_op_check_float(sig, x, err));
    if (type_x->n_dims < 1 || ins_type_cols(type_x) < 1)
        return INS_FAIL(err, INS_USAGE, "%s: x %s has no columns to normalise", sig->op->head.name,
                        ins_type_format(type_x, type));
    ins_type vector = {.dtype = ins_op_acc(type_x->dtype), .n_dims = 1, .dims = {ins_type_cols(type_x)}};
    for (int i = first; i < first + n_vectors; i++)
        if (i < sig->n_in && sig->in[i]) INS_TRY(ins_op_check_type(sig, i, &vector, err));
    return INS_OK;
}

ins_norm_args ins_norm_base(const ins_type *x, double eps, double weight_offset, bool rms) {
    int64_t cols = ins_type_cols(x);
    return (ins_norm_args){.dtype = x->dtype,
                           .rms = rms,
                           .rows = ins_type_rows(x),
                           .cols = cols,
                           .eps = eps,
                           .weight_offset = weight_offset,
                           .ldx = cols,
                           .ldy = cols,
                           .ld_dy = cols,
                           .ld_dx = cols};
}

const void *ins_norm_optional(const ins_op_call *call, int input) {
    return input < call->sig->n_in && call->sig->in[input] ? call->in[input] : NULL;
}

void ins_norm_grad_types(ins_op_sig *sig, const ins_type *x) {
    const ins_norm_grad_attr *attr = sig->attr;
    ins_dtype acc = ins_op_acc(x->dtype);
    sig->out[0] = *x;
    sig->out[1] = (ins_type){.dtype = acc, .n_dims = 1, .dims = {attr->want_weight ? ins_type_cols(x) : 0}};
    if (sig->op->n_out > 2)
        sig->out[2] = (ins_type){.dtype = acc, .n_dims = 1, .dims = {attr->want_bias ? ins_type_cols(x) : 0}};
}

ins_value ins_norm_vector(ins_graph *g, ins_value v) {
    if (!ins_emit_ready(g, v)) return INS_NO_VALUE;
    return ins_cast(g, v, ins_op_acc(ins_graph_type(g, v)->dtype));
}

ins_value ins_norm_emit(ins_graph *g, const ins_op *op, double weight_offset, ins_value x, const ins_value vectors[2],
                        double eps, ins_dtype out_dtype) {
    ins_value in[3] = {x, ins_norm_vector(g, vectors[0]), ins_norm_vector(g, vectors[1])};
    ins_norm_attr attr = {eps, weight_offset};
    return ins_cast(g, ins_emit_one(g, op, &attr, in, op->n_in), out_dtype);
}
