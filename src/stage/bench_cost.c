/* What one call of an op costs at least, and which implementation does it. */
#include <string.h>

#include "kernel/gemm.h"
#include "kernel/impls.h"
#include "stage/bench_kernels.h"

static bool is_one_of(const char *name, const char *const *names) {
    for (; *names; names++)
        if (strcmp(name, *names) == 0) return true;
    return false;
}

/* Index of an input by its name, or -1. */
static int input_named(const ins_op *op, const char *name) {
    size_t len = strlen(name);
    int index = 0;
    for (const char *word = op->in_names; word && *word; index++) {
        size_t n = strcspn(word, " ");
        if (n == len && memcmp(word, name, n) == 0) return index;
        word += n + strspn(word + n, " ");
    }
    return -1;
}

ins_dtype ins_bench_call_dtype(const ins_op_call *call) {
    for (int i = 0; i < call->sig->n_in; i++)
        if (call->sig->in[i] && call->sig->in[i]->dtype == INS_DTYPE_BF16) return INS_DTYPE_BF16;
    for (int i = 0; i < call->sig->n_in; i++)
        if (call->sig->in[i] && ins_dtype_is_float(call->sig->in[i]->dtype)) return call->sig->in[i]->dtype;
    return call->sig->n_out && ins_dtype_is_float(call->sig->out[0].dtype) ? call->sig->out[0].dtype : INS_DTYPE_F32;
}

/* ---- FLOP ---- */

/* Share of the query-key pairs that the mask shows. */
static double visible_share(const ins_op_call *call) {
    int lo = input_named(call->sig->op, "lo"), hi = input_named(call->sig->op, "hi"),
        k = input_named(call->sig->op, "k");
    if (lo < 0 || hi < 0 || k < 0 || !call->in[lo] || !call->in[hi]) return 1;
    const int32_t *first = call->in[lo], *end = call->in[hi];
    int64_t n = ins_type_count(call->sig->in[lo]), shown = 0;
    for (int64_t i = 0; i < n; i++) shown += end[i] > first[i] ? end[i] - first[i] : 0;
    return (double)shown / ((double)n * (double)call->sig->in[k]->dims[1]);
}

static double call_flop(const ins_op_call *call) {
    const ins_op_sig *sig = call->sig;
    if (sig->op->flops) return sig->op->flops(sig) * visible_share(call);
    double elements = 0;
    for (int i = 0; i < sig->n_out; i++)
        if (call->out[i]) elements += (double)ins_type_count(&sig->out[i]);
    return elements;
}

/* ---- bytes ---- */

/* Ops that touch as much of their first input as their first output has. */
static const char *const picking[] = {"slice", "pick", "embedding", NULL};
/* Ops that touch as much of their output (given `acc`, which shares its memory) as their first input has. */
static const char *const placing[] = {"embedding_grad", "pad", NULL};

static bool seen_before(const ins_op_call *call, int input) {
    for (int i = 0; i < input; i++)
        if (call->in[i] == call->in[input]) return true;
    return false;
}

static double call_bytes(const ins_op_call *call) {
    const ins_op_sig *sig = call->sig;
    const ins_op *op = sig->op;
    bool adds = (op->flags & INS_OP_ACCUMULATE) && op->acc_in < sig->n_in && sig->in[op->acc_in];
    double bytes = 0;
    for (int i = 0; i < sig->n_in; i++) {
        if (!sig->in[i] || !call->in[i] || seen_before(call, i)) continue;
        size_t size = ins_type_bytes(i == 0 && is_one_of(op->head.name, picking) ? &sig->out[0] : sig->in[i]);
        if (adds && i == op->acc_in && is_one_of(op->head.name, placing)) size = ins_type_bytes(sig->in[0]);
        bytes += (double)size;
    }
    for (int i = 0; i < sig->n_out; i++) {
        if (!call->out[i]) continue;
        bool part = adds && i == op->acc_out && is_one_of(op->head.name, placing);
        bytes += (double)ins_type_bytes(part ? sig->in[0] : &sig->out[i]);
    }
    return bytes;
}

ins_bench_cost ins_bench_cost_of(const ins_op_call *call) {
    return (ins_bench_cost){call_flop(call), call_bytes(call)};
}

/* ---- who ---- */

/* The kernel behind an op, in words of ins_impl_choices; what is not here is a loop ("elementwise"). */
static const char *const kernels[][2] = {
    {"attention", "attention"},
    {"attention_grad", "attention"},
    {"linear_xent", "linear_xent"},
    {"gated", "act"},
    {"linear_xent_grad", "linear_xent"},
    {"layernorm", "norm"},
    {"layernorm_grad", "norm"},
    {"rmsnorm", "norm"},
    {"rmsnorm_grad", "norm"},
    {"unary", "act"},
    {"unary_grad", "act"},
    {"gated_grad", "act"},
    {"softmax", "softmax"},
    {"softmax_grad", "softmax"},
    {"rope", "rope"},
    {"lstm", "lstm"},
    {"lstm_grad", "lstm"},
    {"adamw", "optim"},
};

const char *ins_bench_kernel_impl(const char *kernel, ins_dtype dtype) {
    ins_impl_choice choices[96];
    int64_t n = ins_impl_choices(choices, 96);
    for (int64_t i = 0; i < n && i < 96; i++)
        if (choices[i].dtype == dtype && strcmp(choices[i].kernel, kernel) == 0) return choices[i].impl;
    return "";
}

static bool is_product(const ins_op_call *call) {
    return strcmp(call->sig->op->head.name, "linear") == 0 || strcmp(call->sig->op->head.name, "matmul") == 0;
}

static const char *product_impl(const ins_op_call *call) {
    const ins_type *x = call->sig->in[0], *y = call->sig->in[1], *out = &call->sig->out[0];
    bool linear = strcmp(call->sig->op->head.name, "linear") == 0;
    int64_t n = ins_type_cols(out), m = linear ? ins_type_rows(out) : out->dims[out->n_dims - 2];
    bool trans_a = !linear && x->dims[x->n_dims - 2] != m;
    int64_t k = trans_a ? x->dims[x->n_dims - 2] : ins_type_cols(x);
    bool trans_b = ins_type_cols(y) == k && y->dims[y->n_dims - 2] == n;
    ins_gemm_args args = {.trans_a = trans_a,
                          .trans_b = trans_b,
                          .m = m,
                          .n = n,
                          .k = k,
                          .a = call->in[0],
                          .lda = ins_type_cols(x),
                          .b = call->in[1],
                          .ldb = ins_type_cols(y),
                          .c = call->out[0],
                          .ldc = n,
                          .dtype_a = x->dtype,
                          .dtype_b = y->dtype,
                          .dtype_c = out->dtype,
                          .choices = call->gemm_choices};
    return ins_gemm_impl_name(&args);
}

const char *ins_bench_impl_of(const ins_op_call *call) {
    if (is_product(call)) return product_impl(call);
    ins_dtype dtype = ins_bench_call_dtype(call);
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        if (strcmp(call->sig->op->head.name, kernels[i][0]) == 0) return ins_bench_kernel_impl(kernels[i][1], dtype);
    return ins_bench_kernel_impl("elementwise", dtype);
}
