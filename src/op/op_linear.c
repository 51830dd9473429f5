/* linear: y[.., n] = x[.., k] W (+ bias[n]) (+ acc[.., n]). W is [n, k] (Linear), or [k, n] with in_out (Conv1D).
 * x and W have one dtype; bias is in acc. bf16 products give bf16, or f32 with out_acc. The sum with acc happens in the
 * product (a residual stream costs no extra pass).
 *
 *   d_x = d_y W^T in x's dtype,   d_W = d_y^T x in acc,   d_bias = sum over rows of d_y in acc
 */
#include "kernel/gemm.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { X, W, BIAS, ACC };

typedef struct linear_attr {
    int32_t in_out;  /* W is [k, n] */
    int32_t out_acc; /* y in acc instead of x's dtype */
} linear_attr;

static bool has_input(const ins_op_sig *sig, int input) {
    return sig->n_in > input && sig->in[input];
}

static ins_status linear_infer(ins_op_sig *sig, ins_error *err) {
    const linear_attr *attr = sig->attr;
    const ins_type *x = sig->in[X], *w = sig->in[W];
    char type_x[96], type_w[96];
    INS_TRY(ins_op_check_float(sig, X, err));
    INS_TRY(ins_op_check_dtype(sig, W, x->dtype, err));
    INS_TRY(ins_op_check_dims(sig, W, 2, err));
    int64_t n = w->dims[attr->in_out ? 1 : 0], k = w->dims[attr->in_out ? 0 : 1];
    if (x->n_dims < 1 || ins_type_cols(x) != k)
        return INS_FAIL(err, INS_USAGE, "linear: x %s has %lld columns but w %s wants %lld", ins_type_format(x, type_x),
                        (long long)ins_type_cols(x), ins_type_format(w, type_w), (long long)k);
    sig->out[0] = ins_type_with(x, attr->out_acc ? ins_op_acc(x->dtype) : x->dtype);
    sig->out[0].dims[x->n_dims - 1] = n;
    ins_type bias = {.dtype = ins_op_acc(x->dtype), .n_dims = 1, .dims = {n}};
    if (has_input(sig, BIAS)) INS_TRY(ins_op_check_type(sig, BIAS, &bias, err));
    if (has_input(sig, ACC)) INS_TRY(ins_op_check_type(sig, ACC, &sig->out[0], err));
    return INS_OK;
}

static ins_status linear_run(const ins_op_call *call, ins_error *err) {
    const ins_op_sig *sig = call->sig;
    const linear_attr *attr = sig->attr;
    int64_t k = ins_type_cols(sig->in[X]), n = ins_type_cols(&sig->out[0]), rows = ins_type_rows(sig->in[X]);
    ins_gemm_args args = {.trans_b = !attr->in_out,
                          .m = rows,
                          .n = n,
                          .k = k,
                          .a = call->in[X],
                          .lda = k,
                          .b = call->in[W],
                          .ldb = attr->in_out ? n : k,
                          .c = call->out[0],
                          .ldc = n,
                          .dtype_a = sig->in[X]->dtype,
                          .dtype_b = sig->in[W]->dtype,
                          .dtype_c = sig->out[0].dtype,
                          .accumulate = ins_op_take_acc(call),
                          .bias = has_input(sig, BIAS) ? call->in[BIAS] : NULL,
                          .choices = call->gemm_choices};
    if (rows == 0 || n == 0) return INS_OK;
    return ins_gemm(&args, call->pool, err);
}

static ins_status linear_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    const ins_op_sig *sig = a->sig;
    bool in_out = ((const linear_attr *)sig->attr)->in_out != 0;
    ins_type type_x = *sig->in[X];
    int64_t rows = ins_type_rows(&type_x), k = ins_type_cols(&type_x), n = ins_type_cols(&sig->out[0]);
    ins_value x = a->in[X], w = a->in[W], d_y = a->d_out[0];
    bool need[4] = {a->need[X], a->need[W], sig->n_in > BIAS && a->need[BIAS], sig->n_in > ACC && a->need[ACC]};
    ins_value d = need[X] || need[W] ? ins_cast(g, d_y, type_x.dtype) : INS_NO_VALUE;
    if (need[X]) /* itself a linear map, with W read the other way: keeps the leading dimensions, and can add */
        a->d_in[X] = ins_emit_one(g, &ins_op_linear, &(linear_attr){!in_out, 0}, (const ins_value[]){d, w}, 2);
    if (need[W]) {
        ins_value d_rows = ins_reshape(g, d, 2, (const int64_t[]){rows, n});
        ins_value x_rows = ins_reshape(g, x, 2, (const int64_t[]){rows, k});
        a->d_in[W] = in_out ? ins_emit_matmul(g, x_rows, d_rows, true, false, true)
                            : ins_emit_matmul(g, d_rows, x_rows, true, false, true);
    }
    if (need[BIAS]) a->d_in[BIAS] = ins_emit_column_sum(g, d_y);
    if (need[ACC]) a->d_in[ACC] = d_y;
    return INS_OK;
}

static double linear_flops(const ins_op_sig *sig) {
    return 2.0 * (double)ins_type_count(sig->in[X]) * (double)ins_type_cols(&sig->out[0]);
}

ins_value ins_linear(ins_graph *g, ins_value x, ins_value w, ins_value bias, bool in_out, ins_dtype out_dtype) {
    if (!ins_emit_ready(g, x) || !ins_emit_ready(g, w)) return INS_NO_VALUE;
    ins_dtype compute = ins_graph_compute(g);
    x = ins_cast(g, x, compute);
    w = ins_cast(g, w, compute);
    if (bias != INS_NO_VALUE) bias = ins_cast(g, bias, ins_op_acc(compute));
    linear_attr attr = {in_out, out_dtype != compute && out_dtype == ins_op_acc(compute)};
    ins_value in[3] = {x, w, bias};
    return ins_cast(g, ins_emit_one(g, &ins_op_linear, &attr, in, bias == INS_NO_VALUE ? 2 : 3), out_dtype);
}

static const ins_op_sample linear_samples[] = {
    {.name = "plain", .n_in = 2, .in = {INS_F32(3, 2, 3, 7), INS_F32(2, 5, 7)}, .attr = &(const linear_attr){0, 0}},
    {.name = "bias",
     .n_in = 3,
     .in = {INS_F32(2, 6, 7), INS_F32(2, 5, 7), INS_F32(1, 5)},
     .attr = &(const linear_attr){0, 1},
     .keep_real = 1u << BIAS},
    {.name = "in_out",
     .n_in = 3,
     .in = {INS_F32(2, 6, 7), INS_F32(2, 7, 5), INS_F32(1, 5)},
     .attr = &(const linear_attr){1, 0},
     .keep_real = 1u << BIAS},
    {.name = "acc",
     .n_in = 4,
     .in = {INS_F32(2, 6, 7), INS_F32(2, 5, 7), INS_F32(1, 5), INS_F32(2, 6, 5)},
     .attr = &(const linear_attr){0, 1},
     .keep_real = 1u << BIAS | 1u << ACC},
    {.name = "vector", .n_in = 2, .in = {INS_F32(1, 7), INS_F32(2, 5, 7)}, .attr = &(const linear_attr){0, 0}},
    {.name = "no rows",
     .n_in = 3,
     .in = {INS_F32(2, 0, 7), INS_F32(2, 5, 7), INS_F32(1, 5)},
     .attr = &(const linear_attr){0, 0},
     .keep_real = 1u << BIAS},
    {0},
};

const ins_op ins_op_linear = {
    .head = {.family = "op",
             .name = "linear",
             .summary = "Affine map of the last dimension by a weight.",
             .version = 1},
    .n_in_min = 2,
    .n_in = 4,
    .n_out = 1,
    .in_names = "x w bias acc",
    .out_names = "out",
    .attr_size = sizeof(linear_attr),
    .flags = INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = linear_infer,
    .run = linear_run,
    .grad = linear_grad,
    .flops = linear_flops,
    .samples = linear_samples,
};
