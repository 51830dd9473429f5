/* Fused scaled-dot-product attention with grouped key/value heads.
 *
 *   s[i,j] = scale * q_i . k_j   for lo[i] <= j < hi[i]
 *   p = softmax_j(s);  o_i = sum_j p[i,j] v_j;  lse_i = log sum_j exp(s[i,j])
 *
 * The mask is a key interval per query row: causal (0, i+1), full (0, Tk), prefix, intra-document, sliding window and
 * padding are all of this form. An empty interval gives o = 0, lse = -inf and no gradient.
 * Dtypes: f32, f64, bf16 (q k v o and their gradients bf16, arithmetic f32). lse is in acc.
 * Head h of query row t of batch b: q + (b * Tq + t) * ldq + h * hd. Query head h uses kv head h / (H / Hkv).
 */
#ifndef INS_KERNEL_ATTENTION_H
#define INS_KERNEL_ATTENTION_H

#include "base/pool.h"
#include "tensor/tensor.h"

typedef struct ins_attention_args {
    ins_dtype dtype;
    int64_t batch;
    int64_t n_q, n_k;                       /* Tq, Tk: query and key rows a batch item */
    int64_t n_heads, n_kv_heads;            /* H, Hkv; H % Hkv == 0 */
    int64_t head_dim;                       /* hd <= 256 */
    double scale;                           /* usually 1/sqrt(hd) */
    const void *q, *k, *v;                  /* [B,Tq,H*hd], [B,Tk,Hkv*hd] twice */
    int64_t ldq, ldk, ldv, ldo;             /* row strides */
    int64_t batch_stride_k, batch_stride_v; /* 0 = Tk * ldk, Tk * ldv (set for key caches) */
    const int32_t *lo, *hi;                 /* [B,Tq]; values outside [0, Tk] are clipped */
    void *o;                                /* [B,Tq,H*hd]; output, input of backward */
    void *lse;                              /* [B,H,Tq] acc; output (NULL = not wanted), input of backward */
    /* backward only */
    const void *d_o; /* [B,Tq,H*hd] */
    int64_t ld_do;
    void *d_q, *d_k, *d_v;       /* overwritten; may be columns of one tensor; d_k, d_v NULL = not wanted */
    int64_t ld_dq, ld_dk, ld_dv; /* batch strides are Tq * ld_dq, Tk * ld_dk, Tk * ld_dv */
    void *scratch;               /* ins_attention_backward_scratch bytes */
} ins_attention_args;

ins_status ins_attention_forward(const ins_attention_args *args, ins_pool *pool, ins_error *err);

/* Bytes of args->scratch that backward needs with pools of up to n_threads threads. */
size_t ins_attention_backward_scratch(const ins_attention_args *args, int n_threads);
ins_status ins_attention_backward(const ins_attention_args *args, ins_pool *pool, ins_error *err);

#endif
