/* Shared parts of the ops: checks with shapes in their messages, accumulation, broadcasting. */
#include "op/op_common.h"

#include <string.h>

#include "kernel/elementwise.h"

ins_dtype ins_op_acc(ins_dtype dtype) {
    return dtype == INS_DTYPE_F64 ? INS_DTYPE_F64 : INS_DTYPE_F32;
}

const char *ins_op_in_name(const ins_op *op, int input, char buf[32]) {
    const char *word = op->in_names;
    for (int skipped = 0; skipped < input && *word; skipped++) {
        word += strcspn(word, " ");
        word += strspn(word, " ");
    }
    size_t len = strcspn(word, " ");
    if (len > 31) len = 31;
    memcpy(buf, word, len);
    buf[len] = '\0';
    return buf;
}

ins_status ins_op_check_float(const ins_op_sig *sig, int input, ins_error *err) {
    ins_dtype dtype = sig->in[input]->dtype;
    if (dtype == INS_DTYPE_F32 || dtype == INS_DTYPE_F64 || dtype == INS_DTYPE_BF16) return INS_OK;
    char name[32], type[96];
    INS_FAIL(err, INS_USAGE, "%s: %s must be f32, f64 or bf16, not %s", sig->op->head.name,
             ins_op_in_name(sig->op, input, name), ins_type_format(sig->in[input], type));
    ins_error_hint(err, "convert it with ins_cast first");
    return INS_USAGE;
}

ins_status ins_op_check_dtype(const ins_op_sig *sig, int input, ins_dtype want, ins_error *err) {
    if (sig->in[input]->dtype == want) return INS_OK;
    char name[32], type[96];
    return INS_FAIL(err, INS_USAGE, "%s: %s must be %s, not %s", sig->op->head.name,
                    ins_op_in_name(sig->op, input, name), ins_dtype_name(want), ins_type_format(sig->in[input], type));
}

ins_status ins_op_check_dims(const ins_op_sig *sig, int input, int n_dims, ins_error *err) {
    if (sig->in[input]->n_dims == n_dims) return INS_OK;
    char name[32], type[96];
    return INS_FAIL(err, INS_USAGE, "%s: %s must have %d dimension%s, not %s", sig->op->head.name,
                    ins_op_in_name(sig->op, input, name), n_dims, n_dims == 1 ? "" : "s",
                    ins_type_format(sig->in[input], type));
}

ins_status ins_op_check_equal(const ins_op_sig *sig, int input, int other, ins_error *err) {
    if (ins_type_equal(sig->in[input], sig->in[other])) return INS_OK;
    char name[32], name_other[32], type[96], type_other[96];
    return INS_FAIL(err, INS_USAGE, "%s: %s %s and %s %s must have equal type", sig->op->head.name,
                    ins_op_in_name(sig->op, input, name), ins_type_format(sig->in[input], type),
                    ins_op_in_name(sig->op, other, name_other), ins_type_format(sig->in[other], type_other));
}

ins_status ins_op_check_type(const ins_op_sig *sig, int input, const ins_type *want, ins_error *err) {
    if (ins_type_equal(sig->in[input], want)) return INS_OK;
    char name[32], type[96], type_want[96];
    return INS_FAIL(err, INS_USAGE, "%s: %s must be %s, not %s", sig->op->head.name,
                    ins_op_in_name(sig->op, input, name), ins_type_format(want, type_want),
                    ins_type_format(sig->in[input], type));
}

ins_status ins_op_check_count(const ins_op_sig *sig, int input, int64_t want, ins_error *err) {
    if (ins_type_count(sig->in[input]) == want) return INS_OK;
    char name[32], type[96];
    return INS_FAIL(err, INS_USAGE, "%s: %s must have %lld elements, not %s", sig->op->head.name,
                    ins_op_in_name(sig->op, input, name), (long long)want, ins_type_format(sig->in[input], type));
}

ins_type ins_type_with(const ins_type *t, ins_dtype dtype) {
    ins_type out = *t;
    out.dtype = dtype;
    return out;
}

ins_type ins_type_drop(const ins_type *t, int axis) {
    ins_type out = *t;
    for (int d = axis; d + 1 < t->n_dims; d++) out.dims[d] = t->dims[d + 1];
    out.n_dims--;
    out.dims[out.n_dims] = 0;
    return out;
}

int64_t ins_dims_product(const int64_t *dims, int first, int last) {
    int64_t product = 1;
    for (int d = first; d < last; d++) product *= dims[d];
    return product;
}

bool ins_op_take_acc(const ins_op_call *call) {
    const ins_op *op = call->sig->op;
    if (op->acc_in >= call->sig->n_in || !call->in[op->acc_in]) return false;
    void *out = call->out[op->acc_out];
    if (out && out != call->in[op->acc_in])
        ins_copy_bytes(ins_type_bytes(&call->sig->out[op->acc_out]), call->in[op->acc_in], out, call->pool);
    return true;
}

double ins_op_scalar(ins_dtype dtype, const void *data) {
    if (dtype == INS_DTYPE_F64) return *(const double *)data;
    if (dtype == INS_DTYPE_BF16) return (double)ins_bf16_to_f32(*(const uint16_t *)data);
    return (double)*(const float *)data;
}

void ins_op_set_scalar(ins_dtype dtype, void *data, double value) {
    if (dtype == INS_DTYPE_F64)
        *(double *)data = value;
    else if (dtype == INS_DTYPE_BF16)
        *(uint16_t *)data = ins_f32_to_bf16((float)value);
    else
        *(float *)data = (float)value;
}

bool ins_op_broadcast_shape(const ins_type *x, const ins_type *y, ins_type *out) {
    const ins_type *longer = x->n_dims >= y->n_dims ? x : y;
    const ins_type *shorter = x->n_dims >= y->n_dims ? y : x;
    ins_type shape = ins_type_with(longer, x->dtype);
    int offset = longer->n_dims - shorter->n_dims;
    for (int d = 0; d < shorter->n_dims; d++) {
        int64_t extent = shorter->dims[d], other = longer->dims[d + offset];
        if (extent != other && extent != 1 && other != 1) return false;
        shape.dims[d + offset] = extent == 1 ? other : extent;
    }
    *out = shape;
    return true;
}

void ins_op_dense_strides(const ins_type *t, int64_t strides[INS_MAX_DIMS]) {
    int64_t stride = 1;
    for (int d = t->n_dims - 1; d >= 0; d--) {
        strides[d] = stride;
        stride *= t->dims[d];
    }
}

void ins_op_broadcast_strides(const ins_type *t, const ins_type *to, int64_t strides[INS_MAX_DIMS]) {
    int64_t own[INS_MAX_DIMS] = {0};
    ins_op_dense_strides(t, own);
    int offset = to->n_dims - t->n_dims;
    for (int d = 0; d < to->n_dims; d++) {
        bool there = d >= offset && t->dims[d - offset] == to->dims[d];
        strides[d] = there ? own[d - offset] : 0;
    }
}

void ins_op_collapse(int *n_dims, int64_t *dims, int64_t *strides, int64_t *more_strides) {
    int kept = 0;
    for (int d = 0; d < *n_dims; d++) {
        if (dims[d] == 1) continue;
        bool merges = kept > 0 && strides[kept - 1] == strides[d] * dims[d] &&
                      more_strides[kept - 1] == more_strides[d] * dims[d];
        int at = merges ? kept - 1 : kept;
        dims[at] = merges ? dims[at] * dims[d] : dims[d];
        strides[at] = strides[d];
        more_strides[at] = more_strides[d];
        if (!merges) kept++;
    }
    *n_dims = kept;
}

double ins_op_flops_none(const ins_op_sig *sig) {
    (void)sig;
    return 0;
}
