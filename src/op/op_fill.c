/* fill: a tensor of one number. A leaf: it has no inputs, so its gradient rule has nothing to do. */
#include <string.h>

#include "kernel/elementwise.h"
#include "op/op_common.h"
#include "op/op_emit.h"

typedef struct fill_attr {
    ins_type type;
    double value;
} fill_attr;

static ins_status fill_infer(ins_op_sig *sig, ins_error *err) {
    const fill_attr *attr = sig->attr;
    size_t bytes;
    char type[96];
    bool fillable = attr->type.dtype == INS_DTYPE_F32 || attr->type.dtype == INS_DTYPE_F64 ||
                    attr->type.dtype == INS_DTYPE_BF16 || attr->type.dtype == INS_DTYPE_I32;
    if (!fillable || !ins_type_check(&attr->type, &bytes))
        return INS_FAIL(err, INS_USAGE, "fill: cannot make %s (f32, f64, bf16 or i32 of a sane size)",
                        ins_type_format(&attr->type, type));
    sig->out[0] = attr->type;
    return INS_OK;
}

static ins_status fill_run(const ins_op_call *call, ins_error *err) {
    const fill_attr *attr = call->sig->attr;
    int64_t n = ins_type_count(&attr->type);
    if (attr->type.dtype != INS_DTYPE_I32)
        return ins_fill_array(attr->type.dtype, n, attr->value, call->out[0], call->pool, err);
    int32_t *out = call->out[0];
    for (int64_t i = 0; i < n; i++) out[i] = (int32_t)attr->value;
    return INS_OK;
}

ins_value ins_fill(ins_graph *g, ins_type type, double value) {
    fill_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.type = type;
    attr.value = value;
    return ins_emit_one(g, &ins_op_fill, &attr, NULL, 0);
}

static const ins_op_sample fill_samples[] = {
    {.name = "f32", .attr = &(const fill_attr){INS_F32(2, 3, 5), 1.25}},
    {.name = "i32", .attr = &(const fill_attr){INS_I32(1, 4), -3.0}},
    {.name = "scalar", .attr = &(const fill_attr){INS_F32(0, 0), 1.0}},
    {0},
};

const ins_op ins_op_fill = {
    .head = {.family = "op", .name = "fill", .summary = "A tensor filled with one number.", .version = 1},
    .n_in_min = 0,
    .n_in = 0,
    .n_out = 1,
    .in_names = "",
    .out_names = "out",
    .attr_size = sizeof(fill_attr),
    .flags = INS_OP_PURE_CHEAP,
    .infer = fill_infer,
    .run = fill_run,
    .nondiff_reason = "it has no inputs",
    .samples = fill_samples,
};
