/* cast: another dtype, rounded to nearest even. Its gradient keeps the wider dtype: the gradient of a bf16 value may be
 * f32, so only a gradient narrower than its f32 or f64 value is widened.
 */
#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct cast_attr {
    int64_t dtype; /* an ins_dtype */
} cast_attr;

static ins_status cast_infer(ins_op_sig *sig, ins_error *err) {
    const cast_attr *attr = sig->attr;
    ins_dtype from = sig->in[0]->dtype, to = (ins_dtype)attr->dtype;
    bool from_ok = ins_dtype_is_float(from) || from == INS_DTYPE_I32 || from == INS_DTYPE_I64 || from == INS_DTYPE_U8 ||
                   from == INS_DTYPE_U16 || from == INS_DTYPE_BOOL;
    char type[96];
    if (attr->dtype < 0 || attr->dtype >= INS_DTYPE_COUNT || !ins_dtype_is_float(to) || !from_ok)
        return INS_FAIL(err, INS_USAGE, "cast: cannot turn x %s into %s", ins_type_format(sig->in[0], type),
                        attr->dtype < 0 || attr->dtype >= INS_DTYPE_COUNT ? "an unknown dtype" : ins_dtype_name(to));
    sig->out[0] = ins_type_with(sig->in[0], to);
    return INS_OK;
}

static ins_status cast_run(const ins_op_call *call, ins_error *err) {
    const ins_type *from = call->sig->in[0], *to = &call->sig->out[0];
    if (from->dtype == to->dtype) {
        ins_copy_bytes(ins_type_bytes(to), call->in[0], call->out[0], call->pool);
        return INS_OK;
    }
    return ins_cast_array(from->dtype, to->dtype, ins_type_count(to), call->in[0], call->out[0], call->pool, err);
}

static ins_status cast_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    ins_dtype dtype = a->sig->in[0]->dtype;
    if (!a->need[0] || !ins_dtype_is_float(dtype)) return INS_OK;
    bool keeps = dtype == INS_DTYPE_BF16 && ins_graph_type(g, a->d_out[0])->dtype == INS_DTYPE_F32;
    a->d_in[0] = keeps ? a->d_out[0] : ins_cast(g, a->d_out[0], dtype);
    return INS_OK;
}

ins_value ins_cast(ins_graph *g, ins_value x, ins_dtype dtype) {
    if (!ins_emit_ready(g, x)) return INS_NO_VALUE;
    if (ins_graph_type(g, x)->dtype == dtype) return x;
    return ins_emit_one(g, &ins_op_cast, &(cast_attr){(int64_t)dtype}, &x, 1);
}

static void fill_ids(int input, const ins_type *type, void *data) {
    (void)input;
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) ((int32_t *)data)[i] = (int32_t)(i * i) - 3;
}

static const ins_op_sample cast_samples[] = {
    {.name = "wider", .n_in = 1, .in = {INS_F32(2, 3, 7)}, .attr = &(const cast_attr){INS_DTYPE_F64}},
    {.name = "from i32", .n_in = 1, .in = {INS_I32(1, 9)}, .attr = &(const cast_attr){INS_DTYPE_F64}, .fill = fill_ids},
    {0},
};

const ins_op ins_op_cast = {
    .head = {.family = "op", .name = "cast", .summary = "The same numbers in another dtype.", .version = 1},
    .n_in_min = 1,
    .n_in = 1,
    .n_out = 1,
    .in_names = "x",
    .out_names = "out",
    .attr_size = sizeof(cast_attr),
    .flags = INS_OP_PURE_CHEAP,
    .infer = cast_infer,
    .run = cast_run,
    .grad = cast_grad,
    .samples = cast_samples,
};
