/* matmul: C = op(X) op(Y) (+ acc), 2-D or with equal leading batch dimensions. bf16 operands are summed in f32; C is
 * then bf16, or f32 with out_acc (weight gradients).
 */
#include "kernel/gemm.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { X, Y, ACC };

typedef struct matmul_attr {
    int32_t trans_x, trans_y; /* the operand is stored transposed */
    int32_t out_acc;          /* result in acc instead of x's dtype */
    int32_t reserved;
} matmul_attr;

/* Rows, columns and inner length of the product; inner_y is what y says it is. */
typedef struct product {
    int64_t m, n, k, inner_y, batch;
} product;

static product product_of(const ins_op_sig *sig) {
    const matmul_attr *attr = sig->attr;
    const ins_type *x = sig->in[X], *y = sig->in[Y];
    int last = x->n_dims - 1;
    return (product){
        .m = x->dims[attr->trans_x ? last : last - 1],
        .k = x->dims[attr->trans_x ? last - 1 : last],
        .inner_y = y->dims[attr->trans_y ? last : last - 1],
        .n = y->dims[attr->trans_y ? last - 1 : last],
        .batch = ins_dims_product(x->dims, 0, last - 1),
    };
}

static ins_status matmul_infer(ins_op_sig *sig, ins_error *err) {
    const matmul_attr *attr = sig->attr;
    const ins_type *x = sig->in[X], *y = sig->in[Y];
    char type_x[96], type_y[96];
    INS_TRY(ins_op_check_float(sig, X, err));
    INS_TRY(ins_op_check_dtype(sig, Y, x->dtype, err));
    bool batches = x->n_dims >= 2 && x->n_dims == y->n_dims;
    for (int d = 0; batches && d < x->n_dims - 2; d++) batches = x->dims[d] == y->dims[d];
    if (!batches)
        return INS_FAIL(err, INS_USAGE, "matmul: x %s and y %s must be matrices, or stacks of equally many",
                        ins_type_format(x, type_x), ins_type_format(y, type_y));
    product size = product_of(sig);
    if (size.k != size.inner_y)
        return INS_FAIL(err, INS_USAGE, "matmul: x %s%s has inner length %lld but y %s%s has %lld",
                        ins_type_format(x, type_x), attr->trans_x ? " (transposed)" : "", (long long)size.k,
                        ins_type_format(y, type_y), attr->trans_y ? " (transposed)" : "", (long long)size.inner_y);
    sig->out[0] = ins_type_with(x, attr->out_acc ? ins_op_acc(x->dtype) : x->dtype);
    sig->out[0].dims[x->n_dims - 2] = size.m;
    sig->out[0].dims[x->n_dims - 1] = size.n;
    if (sig->n_in > ACC && sig->in[ACC]) INS_TRY(ins_op_check_type(sig, ACC, &sig->out[0], err));
    return INS_OK;
}

static ins_status matmul_run(const ins_op_call *call, ins_error *err) {
    const matmul_attr *attr = call->sig->attr;
    product size = product_of(call->sig);
    ins_gemm_args args = {.trans_a = attr->trans_x != 0,
                          .trans_b = attr->trans_y != 0,
                          .m = size.m,
                          .n = size.n,
                          .k = size.k,
                          .a = call->in[X],
                          .lda = attr->trans_x ? size.m : size.k,
                          .b = call->in[Y],
                          .ldb = attr->trans_y ? size.k : size.n,
                          .c = call->out[0],
                          .ldc = size.n,
                          .dtype_a = call->sig->in[X]->dtype,
                          .dtype_b = call->sig->in[Y]->dtype,
                          .dtype_c = call->sig->out[0].dtype,
                          .accumulate = ins_op_take_acc(call),
                          .choices = call->gemm_choices};
    if (size.batch == 0 || size.m == 0 || size.n == 0) return INS_OK;
    if (size.batch == 1) return ins_gemm(&args, call->pool, err);
    ins_gemm_batch batch = {size.batch, size.m * size.k, size.k * size.n, size.m * size.n};
    return ins_gemm_batched(&args, &batch, call->pool, err);
}

/* C = op(X) op(Y):  d op(X) = dC op(Y)^T,  d op(Y) = op(X)^T dC, each transposed back where X or Y is. */
static ins_status matmul_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    const matmul_attr attr = *(const matmul_attr *)a->sig->attr;
    bool trans_x = attr.trans_x != 0, trans_y = attr.trans_y != 0;
    ins_value x = a->in[X], y = a->in[Y], d_out = a->d_out[0];
    bool need_acc = a->sig->n_in > ACC && a->need[ACC], need_y = a->need[Y];
    ins_value d = ins_cast(g, d_out, a->sig->in[X]->dtype);
    if (a->need[X])
        a->d_in[X] =
            trans_x ? ins_emit_matmul(g, y, d, trans_y, true, false) : ins_emit_matmul(g, d, y, false, !trans_y, false);
    if (need_y)
        a->d_in[Y] =
            trans_y ? ins_emit_matmul(g, d, x, true, trans_x, false) : ins_emit_matmul(g, x, d, !trans_x, false, false);
    if (need_acc) a->d_in[ACC] = d_out;
    return INS_OK;
}

static double matmul_flops(const ins_op_sig *sig) {
    product size = product_of(sig);
    return 2.0 * (double)size.batch * (double)size.m * (double)size.n * (double)size.k;
}

ins_value ins_emit_matmul(ins_graph *g, ins_value x, ins_value y, bool trans_x, bool trans_y, bool out_acc) {
    matmul_attr attr = {trans_x, trans_y, out_acc, 0};
    return ins_emit_one(g, &ins_op_matmul, &attr, (const ins_value[]){x, y}, 2);
}

ins_value ins_matmul(ins_graph *g, ins_value x, ins_value y, bool trans_x, bool trans_y) {
    return ins_emit_matmul(g, x, y, trans_x, trans_y, false);
}

static const ins_op_sample matmul_samples[] = {
    {.name = "plain", .n_in = 2, .in = {INS_F32(2, 5, 7), INS_F32(2, 7, 3)}, .attr = &(const matmul_attr){0}},
    {.name = "trans x",
     .n_in = 2,
     .in = {INS_F32(2, 7, 5), INS_F32(2, 7, 3)},
     .attr = &(const matmul_attr){1, 0, 0, 0}},
    {.name = "trans y",
     .n_in = 2,
     .in = {INS_F32(2, 5, 7), INS_F32(2, 3, 7)},
     .attr = &(const matmul_attr){0, 1, 1, 0}},
    {.name = "trans both",
     .n_in = 2,
     .in = {INS_F32(2, 7, 5), INS_F32(2, 3, 7)},
     .attr = &(const matmul_attr){1, 1, 0, 0}},
    {.name = "acc",
     .n_in = 3,
     .in = {INS_F32(2, 5, 7), INS_F32(2, 7, 3), INS_F32(2, 5, 3)},
     .attr = &(const matmul_attr){0}},
    {.name = "batch",
     .n_in = 2,
     .in = {INS_F32(4, 2, 3, 4, 5), INS_F32(4, 2, 3, 6, 5)},
     .attr = &(const matmul_attr){0, 1, 0, 0}},
    {.name = "empty inner", .n_in = 2, .in = {INS_F32(2, 2, 0), INS_F32(2, 0, 3)}, .attr = &(const matmul_attr){0}},
    {0},
};

const ins_op ins_op_matmul = {
    .head = {.family = "op", .name = "matmul", .summary = "Matrix product, plain or batched.", .version = 1},
    .n_in_min = 2,
    .n_in = 3,
    .n_out = 1,
    .in_names = "x y acc",
    .out_names = "out",
    .attr_size = sizeof(matmul_attr),
    .flags = INS_OP_ACCUMULATE,
    .acc_in = ACC,
    .acc_out = 0,
    .infer = matmul_infer,
    .run = matmul_run,
    .grad = matmul_grad,
    .flops = matmul_flops,
    .samples = matmul_samples,
};
