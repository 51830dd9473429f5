/* Emitters that belong to no single op. */
#include "op/op_emit.h"

#include "op/op_common.h"

bool ins_emit_ready(const ins_graph *g, ins_value v) {
    return v != INS_NO_VALUE && ins_graph_status(g, NULL) == INS_OK;
}

ins_value ins_emit_one(ins_graph *g, const ins_op *op, const void *attr, const ins_value *in, int n_in) {
    ins_value out[INS_OP_MAX_OUT];
    return ins_graph_emit(g, op, attr, in, n_in, out);
}

ins_value ins_emit_like(ins_graph *g, ins_value v, const ins_type *t) {
    ins_type shape = *t;
    return ins_reshape(g, v, shape.n_dims, shape.dims);
}

int ins_emit_axis(ins_graph *g, const char *who, ins_value x, int axis) {
    const ins_type *t = ins_graph_type(g, x);
    int from_front = axis < 0 ? axis + t->n_dims : axis;
    if (from_front >= 0 && from_front < t->n_dims) return from_front;
    char type[96];
    ins_graph_fail(g, "%s: axis %d is outside x %s", who, axis, ins_type_format(t, type));
    return -1;
}

void ins_emit_promote(ins_graph *g, ins_value *x, ins_value *y) {
    if (!ins_emit_ready(g, *x) || !ins_emit_ready(g, *y)) return;
    ins_dtype dtype_x = ins_graph_type(g, *x)->dtype, dtype_y = ins_graph_type(g, *y)->dtype;
    if (dtype_x == dtype_y || !ins_dtype_is_float(dtype_x) || !ins_dtype_is_float(dtype_y)) return;
    bool any_f64 = dtype_x == INS_DTYPE_F64 || dtype_y == INS_DTYPE_F64;
    ins_dtype wide = any_f64 ? INS_DTYPE_F64 : INS_DTYPE_F32;
    *x = ins_cast(g, *x, wide);
    *y = ins_cast(g, *y, wide);
}

/* Is `to`, without its leading 1s, the tail of `from`? Then the sum is one pass over rows. */
static bool is_tail(const ins_type *from, const ins_type *to) {
    int first = 0;
    while (first < to->n_dims && to->dims[first] == 1) first++;
    int offset = from->n_dims - to->n_dims;
    for (int d = first; d < to->n_dims; d++)
        if (to->dims[d] != from->dims[d + offset]) return false;
    return true;
}

ins_value ins_emit_sum_to(ins_graph *g, ins_value v, const ins_type *to) {
    ins_type want = *to;
    if (!ins_emit_ready(g, v)) return INS_NO_VALUE;
    ins_type have = *ins_graph_type(g, v);
    if (ins_type_same_shape(&have, &want)) return v;
    int64_t n_want = ins_type_count(&want);
    if (n_want == 1) return ins_emit_like(g, ins_sum_all(g, v), &want);
    if (n_want > 0 && is_tail(&have, &want)) {
        int64_t rows = ins_type_count(&have) / n_want;
        ins_value flat = ins_reshape(g, v, 2, (const int64_t[]){rows, n_want});
        return ins_emit_like(g, ins_emit_column_sum(g, flat), &want);
    }
    int offset = have.n_dims - want.n_dims;
    for (int d = have.n_dims - 1; d >= 0; d--) {
        bool broadcast = d < offset || want.dims[d - offset] != have.dims[d];
        if (broadcast) v = ins_sum_axis(g, v, d);
    }
    return ins_emit_like(g, v, &want);
}
