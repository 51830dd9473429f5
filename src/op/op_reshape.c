/* reshape: the same elements under other dimensions. A view: no work, no memory. */
#include <string.h>

#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct reshape_attr {
    int64_t n_dims;
    int64_t dims[INS_MAX_DIMS];
} reshape_attr;

static ins_status reshape_infer(ins_op_sig *sig, ins_error *err) {
    const reshape_attr *attr = sig->attr;
    char type_x[96], type_out[96];
    if (attr->n_dims < 0 || attr->n_dims > INS_MAX_DIMS)
        return INS_FAIL(err, INS_USAGE, "reshape: %lld dimensions; at most %d are possible", (long long)attr->n_dims,
                        INS_MAX_DIMS);
    ins_type out = {.dtype = sig->in[0]->dtype, .n_dims = (int)attr->n_dims};
    memcpy(out.dims, attr->dims, sizeof out.dims);
    size_t bytes;
    if (!ins_type_check(&out, &bytes) || ins_type_count(&out) != ins_type_count(sig->in[0]))
        return INS_FAIL(err, INS_USAGE, "reshape: x %s has %lld elements and cannot become %s",
                        ins_type_format(sig->in[0], type_x), (long long)ins_type_count(sig->in[0]),
                        ins_type_format(&out, type_out));
    sig->out[0] = out;
    return INS_OK;
}

static ins_status reshape_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_type type_x = *a->sig->in[0];
    if (a->need[0]) a->d_in[0] = ins_emit_like(g, a->d_out[0], &type_x);
    return INS_OK;
}

/* Replaces the one dimension of -1 by what is left of n_elements; false when that is impossible. */
static bool resolve_unknown(reshape_attr *attr, int64_t n_elements) {
    int64_t known = 1;
    int unknown = -1;
    for (int d = 0; d < attr->n_dims; d++) {
        if (attr->dims[d] != -1) {
            if (attr->dims[d] < 0 || __builtin_mul_overflow(known, attr->dims[d], &known)) return false;
        } else if (unknown >= 0) {
            return false;
        } else {
            unknown = d;
        }
    }
    if (unknown < 0) return true;
    if (known == 0 || n_elements % known != 0) return false;
    attr->dims[unknown] = n_elements / known;
    return true;
}

ins_value ins_reshape(ins_graph *g, ins_value x, int n_dims, const int64_t *dims) {
    if (!ins_emit_ready(g, x)) return INS_NO_VALUE;
    char type[96];
    ins_type type_x = *ins_graph_type(g, x);
    if (n_dims < 0 || n_dims > INS_MAX_DIMS)
        return ins_graph_fail(g, "reshape: %d dimensions; at most %d are possible", n_dims, INS_MAX_DIMS);
    reshape_attr attr = {.n_dims = n_dims};
    for (int d = 0; d < n_dims; d++) attr.dims[d] = dims[d];
    if (!resolve_unknown(&attr, ins_type_count(&type_x)))
        return ins_graph_fail(g, "reshape: x %s cannot take the dimensions asked for (one -1 at most, equal count)",
                              ins_type_format(&type_x, type));
    bool same = n_dims == type_x.n_dims && memcmp(attr.dims, type_x.dims, (size_t)n_dims * sizeof attr.dims[0]) == 0;
    return same ? x : ins_emit_one(g, &ins_op_reshape, &attr, &x, 1);
}

static const ins_op_sample reshape_samples[] = {
    {.name = "flatten", .n_in = 1, .in = {INS_F32(3, 2, 3, 5)}, .attr = &(const reshape_attr){2, {6, 5}}},
    {.name = "to scalar", .n_in = 1, .in = {INS_F32(2, 1, 1)}, .attr = &(const reshape_attr){0, {0}}},
    {0},
};

const ins_op ins_op_reshape = {
    .head = {.family = "op", .name = "reshape", .summary = "The same elements under other dimensions.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(reshape_attr),
    .flags = INS_OP_VIEW,
    .infer = reshape_infer,
    .grad = reshape_grad,
    .flops = ins_op_flops_none,
    .samples = reshape_samples,
};
