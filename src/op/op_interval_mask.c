/* interval_mask: [B,T,S] with 0 where lo <= key < hi and -inf elsewhere: what fused attention does not need, and plain
 * attention adds to its scores.
 */
#include <math.h>

#include "op/op_common.h"
#include "op/op_emit.h"

enum { LO, HI };

typedef struct interval_mask_attr {
    int64_t dtype; /* f32 or f64 */
    int64_t n_keys;
} interval_mask_attr;

static ins_status interval_mask_infer(ins_op_sig *sig, ins_error *err) {
    const interval_mask_attr *attr = sig->attr;
    INS_TRY(ins_op_check_dtype(sig, LO, INS_DTYPE_I32, err));
    INS_TRY(ins_op_check_dims(sig, LO, 2, err));
    INS_TRY(ins_op_check_equal(sig, HI, LO, err));
    if ((attr->dtype != INS_DTYPE_F32 && attr->dtype != INS_DTYPE_F64) || attr->n_keys < 0)
        return INS_FAIL(err, INS_USAGE, "interval_mask: the result must be f32 or f64, with at least 0 keys");
    sig->out[0] = ins_type_with(sig->in[LO], (ins_dtype)attr->dtype);
    sig->out[0].n_dims = 3;
    sig->out[0].dims[2] = attr->n_keys;
    return INS_OK;
}

static ins_status interval_mask_run(const ins_op_call *call, ins_error *err) {
    (void)err;
    const interval_mask_attr *attr = call->sig->attr;
    const int32_t *lo = call->in[LO], *hi = call->in[HI];
    int64_t rows = ins_type_count(call->sig->in[LO]);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t key = 0; key < attr->n_keys; key++) {
            bool seen = key >= lo[row] && key < hi[row];
            if (attr->dtype == INS_DTYPE_F64)
                ((double *)call->out[0])[row * attr->n_keys + key] = seen ? 0.0 : -INFINITY;
            else
                ((float *)call->out[0])[row * attr->n_keys + key] = seen ? 0.0f : -INFINITY;
        }
    }
    return INS_OK;
}

ins_value ins_emit_interval_mask(ins_graph *g, ins_value lo, ins_value hi, int64_t n_keys, ins_dtype dtype) {
    interval_mask_attr attr = {(int64_t)dtype, n_keys};
    return ins_emit_one(g, &ins_op_interval_mask, &attr, (const ins_value[]){lo, hi}, 2);
}

static void fill_bounds(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) ((int32_t *)data)[i] = input == LO ? (int32_t)(i % 2) - 1 : (int32_t)(i + 1);
}

static const ins_op_sample interval_mask_samples[] = {
    {.name = "causal",
     .n_in = 2,
     .in = {INS_I32(2, 2, 4), INS_I32(2, 2, 4)},
     .attr = &(const interval_mask_attr){INS_DTYPE_F32, 5},
     .fill = fill_bounds},
    {0},
};

const ins_op ins_op_interval_mask = {
    .head = {.family = "op",
             .name = "interval_mask",
             .summary = "Additive attention mask of one key interval per query.",
             .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "lo hi",
    .out_names = "mask",
    .attr_size = sizeof(interval_mask_attr),
    .infer = interval_mask_infer,
    .run = interval_mask_run,
    .nondiff_reason = "its inputs are integers",
    .samples = interval_mask_samples,
};
