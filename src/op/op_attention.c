/* attention: fused scaled-dot-product attention. q [B,T,H*K], k and v [B,S,Hkv*K]; query t sees keys lo <= j < hi.
 * Packed, they are columns of one value [B,T,(H+2Hkv)*K], so that a fused projection needs no copies.
 * Second output: lse [B,H,T], the logarithm of each softmax denominator, kept for the gradient.
 */
#include "op/op_attention.h"

static int64_t attention_head_dim(const ins_op_sig *sig) {
    const ins_attention_attr *attr = sig->attr;
    return sig->in[ATTN_Q]->dims[2] / (attr->n_heads + (attr->packed ? 2 * attr->n_kv_heads : 0));
}

/* Do the sizes of q and k go together? */
static bool attention_fits(const ins_op_sig *sig) {
    const ins_attention_attr *attr = sig->attr;
    const ins_type *q = sig->in[ATTN_Q], *k = sig->in[ATTN_K];
    if (attr->packed) return ins_type_equal(q, k) && q->dims[2] % (attr->n_heads + 2 * attr->n_kv_heads) == 0;
    return q->dims[2] % attr->n_heads == 0 && k->dims[2] % attr->n_kv_heads == 0 &&
           q->dims[2] / attr->n_heads == k->dims[2] / attr->n_kv_heads && q->dims[0] == k->dims[0];
}

ins_status ins_attention_check(const ins_op_sig *sig, ins_error *err) {
    const ins_attention_attr *attr = sig->attr;
    const ins_type *q = sig->in[ATTN_Q], *k = sig->in[ATTN_K];
    const char *name = sig->op->head.name;
    char type_q[96], type_k[96];
    INS_TRY(ins_op_check_float(sig, ATTN_Q, err));
    INS_TRY(ins_op_check_dims(sig, ATTN_Q, 3, err));
    INS_TRY(ins_op_check_dims(sig, ATTN_K, 3, err));
    INS_TRY(ins_op_check_dtype(sig, ATTN_K, q->dtype, err));
    INS_TRY(ins_op_check_equal(sig, ATTN_V, ATTN_K, err));
    if (attr->n_heads < 1 || attr->n_kv_heads < 1 || attr->n_heads % attr->n_kv_heads != 0)
        return INS_FAIL(err, INS_USAGE, "%s: %lld heads do not share %lld key/value heads evenly", name,
                        (long long)attr->n_heads, (long long)attr->n_kv_heads);
    if (!attention_fits(sig))
        return INS_FAIL(err, INS_USAGE, "%s: q %s with %lld heads and k %s with %lld do not go together", name,
                        ins_type_format(q, type_q), (long long)attr->n_heads, ins_type_format(k, type_k),
                        (long long)attr->n_kv_heads);
    if (attention_head_dim(sig) > 256)
        return INS_FAIL(err, INS_USAGE, "%s: heads of size %lld are too large (at most 256)", name,
                        (long long)attention_head_dim(sig));
    ins_type bounds = {.dtype = INS_DTYPE_I32, .n_dims = 2, .dims = {q->dims[0], q->dims[1]}};
    INS_TRY(ins_op_check_type(sig, ATTN_LO, &bounds, err));
    return ins_op_check_type(sig, ATTN_HI, &bounds, err);
}

ins_type ins_attention_out(const ins_op_sig *sig) {
    ins_type out = *sig->in[ATTN_Q];
    out.dims[2] = ((const ins_attention_attr *)sig->attr)->n_heads * attention_head_dim(sig);
    return out;
}

ins_type ins_attention_lse(const ins_op_sig *sig) {
    const ins_type *q = sig->in[ATTN_Q];
    int64_t n_heads = ((const ins_attention_attr *)sig->attr)->n_heads;
    return (ins_type){.dtype = ins_op_acc(q->dtype), .n_dims = 3, .dims = {q->dims[0], n_heads, q->dims[1]}};
}

/* Element `at` of memory that may be missing. */
static const void *attention_at(const void *base, int64_t at, ins_dtype dtype) {
    return base ? (const char *)base + (size_t)at * ins_dtype_size(dtype) : NULL;
}

ins_attention_args ins_attention_base(const ins_op_sig *sig, const ins_op_call *call) {
    const ins_attention_attr *attr = sig->attr;
    const ins_type *q = sig->in[ATTN_Q], *k = sig->in[ATTN_K];
    int64_t hd = attention_head_dim(sig), at_k = attr->packed ? attr->n_heads * hd : 0;
    int64_t at_v = attr->packed ? at_k + attr->n_kv_heads * hd : 0;
    ins_attention_args args = {.dtype = q->dtype,
                               .batch = q->dims[0],
                               .n_q = q->dims[1],
                               .n_k = k->dims[1],
                               .n_heads = attr->n_heads,
                               .n_kv_heads = attr->n_kv_heads,
                               .head_dim = hd,
                               .scale = attr->scale,
                               .ldq = q->dims[2],
                               .ldk = k->dims[2],
                               .ldv = k->dims[2],
                               .ldo = attr->n_heads * hd,
                               .ld_do = attr->n_heads * hd,
                               .ld_dq = q->dims[2],
                               .ld_dk = k->dims[2],
                               .ld_dv = k->dims[2]};
    if (!call) return args;
    args.q = call->in[ATTN_Q];
    args.k = attention_at(call->in[ATTN_K], at_k, q->dtype);
    args.v = attention_at(call->in[ATTN_V], at_v, q->dtype);
    args.lo = call->in[ATTN_LO];
    args.hi = call->in[ATTN_HI];
    return args;
}

double ins_attention_flops(const ins_op_sig *sig) {
    ins_type out = ins_attention_out(sig);
    return 4.0 * (double)ins_type_count(&out) * (double)sig->in[ATTN_K]->dims[1];
}

/* Causal rows over S keys of which each sees a few; one row sees nothing. */
void ins_attention_fill(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type), width = ins_type_cols(type);
    for (int64_t i = 0; i < n; i++) {
        int32_t row = (int32_t)(i % width);
        if (input == ATTN_LO)
            ((int32_t *)data)[i] = row > 3 ? 2 : 0;
        else if (input == ATTN_HI)
            ((int32_t *)data)[i] = i == 2 ? 0 : row + 1;
        else
            ((float *)data)[i] = (float)((i * 37 + 11 * input) % 61) / 25.0f - 1.2f;
    }
}

static ins_status attention_infer(ins_op_sig *sig, ins_error *err) {
    INS_TRY(ins_attention_check(sig, err));
    sig->out[0] = ins_attention_out(sig);
    sig->out[1] = ins_attention_lse(sig);
    return INS_OK;
}

static ins_status attention_run(const ins_op_call *call, ins_error *err) {
    if (((const ins_attention_attr *)call->sig->attr)->packed && call->in[ATTN_K] != call->in[ATTN_Q])
        return INS_FAIL(err, INS_BUG, "packed attention of several values");
    ins_attention_args args = ins_attention_base(call->sig, call);
    args.o = call->out[0];
    args.lse = call->out[1];
    return ins_attention_forward(&args, call->pool, err);
}

static ins_status attention_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    if (a->d_out[1] != INS_NO_VALUE)
        return INS_FAIL(err, INS_USAGE, "attention: no gradient flows through the saved lse");
    ins_attention_attr attr = *(const ins_attention_attr *)a->sig->attr;
    ins_value d_o = ins_cast(g, a->d_out[0], a->sig->in[ATTN_Q]->dtype), out[3] = {-1, -1, -1};
    ins_value in[8] = {a->in[ATTN_Q],  a->in[ATTN_K], a->in[ATTN_V], a->in[ATTN_LO],
                       a->in[ATTN_HI], a->out[0],     a->out[1],     d_o};
    ins_graph_emit(g, &ins_op_attention_grad, &attr, in, 8, out);
    for (int i = 0; i < (attr.packed ? 1 : 3); i++)
        if (a->need[i]) a->d_in[i] = out[i];
    return INS_OK;
}

ins_value ins_attention(ins_graph *g, ins_value q, ins_value k, ins_value v, ins_value lo, ins_value hi, int n_heads,
                        int n_kv_heads, double scale) {
    ins_attention_attr attr = {n_heads, n_kv_heads, scale, 0};
    return ins_emit_one(g, &ins_op_attention, &attr, (const ins_value[]){q, k, v, lo, hi}, 5);
}

ins_value ins_attention_packed(ins_graph *g, ins_value qkv, ins_value lo, ins_value hi, int n_heads, int n_kv_heads,
                               double scale) {
    ins_attention_attr attr = {n_heads, n_kv_heads, scale, 1};
    return ins_emit_one(g, &ins_op_attention, &attr, (const ins_value[]){qkv, qkv, qkv, lo, hi}, 5);
}

static const ins_op_sample attention_samples[] = {
    {.name = "causal",
     .n_in = 5,
     .in = {INS_F32(3, 2, 6, 8), INS_F32(3, 2, 6, 8), INS_F32(3, 2, 6, 8), INS_I32(2, 2, 6), INS_I32(2, 2, 6)},
     .attr = &(const ins_attention_attr){2, 2, 0.5, 0},
     .fill = ins_attention_fill},
    {.name = "grouped",
     .n_in = 5,
     .in = {INS_F32(3, 1, 5, 12), INS_F32(3, 1, 7, 6), INS_F32(3, 1, 7, 6), INS_I32(2, 1, 5), INS_I32(2, 1, 5)},
     .attr = &(const ins_attention_attr){4, 2, 0.577, 0},
     .fill = ins_attention_fill},
    {.name = "no batch",
     .n_in = 5,
     .in = {INS_F32(3, 0, 6, 8), INS_F32(3, 0, 6, 8), INS_F32(3, 0, 6, 8), INS_I32(2, 0, 6), INS_I32(2, 0, 6)},
     .attr = &(const ins_attention_attr){2, 2, 0.5, 0},
     .fill = ins_attention_fill},
    {.name = "no keys",
     .n_in = 5,
     .in = {INS_F32(3, 1, 3, 8), INS_F32(3, 1, 0, 8), INS_F32(3, 1, 0, 8), INS_I32(2, 1, 3), INS_I32(2, 1, 3)},
     .attr = &(const ins_attention_attr){2, 2, 0.5, 0},
     .fill = ins_attention_fill},
    {0},
};

const ins_op ins_op_attention = {
    .head = {.family = "op",
             .name = "attention",
             .summary = "Fused attention with a key interval per query and grouped key/value heads.",
             .paper = "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness (Dao et al., 2022)",
             .version = 2},
    .n_in_min = 5,
    .n_in = 5,
    .n_out = 2,
    .in_names = "q k v lo hi",
    .out_names = "o lse",
    .attr_size = sizeof(ins_attention_attr),
    .infer = attention_infer,
    .run = attention_run,
    .grad = attention_grad,
    .flops = ins_attention_flops,
    .samples = attention_samples,
    .no_grad_out = 1u << 1,
};
