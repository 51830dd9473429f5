/* What attention and attention_grad share. */
#ifndef INS_OP_ATTENTION_H
#define INS_OP_ATTENTION_H

#include "kernel/attention.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { ATTN_Q, ATTN_K, ATTN_V, ATTN_LO, ATTN_HI, ATTN_O, ATTN_LSE, ATTN_D_O };

typedef struct ins_attention_attr {
    int64_t n_heads, n_kv_heads;
    double scale;
    /* q, k and v are one value: the columns of [B, T, (H + 2 Hkv) K], in this order. It is given three times, and the
     * gradient op gives its gradient as d_q; d_k and d_v are not made. */
    int64_t packed;
} ins_attention_attr;

/* q k v lo hi against the attribute and each other. */
ins_status ins_attention_check(const ins_op_sig *sig, ins_error *err);
/* Type of o: [B, T, H*K]. */
ins_type ins_attention_out(const ins_op_sig *sig);
/* Type of lse: [B, H, T] in acc. */
ins_type ins_attention_lse(const ins_op_sig *sig);
/* Sizes, strides and the five inputs (call may be NULL: sizes only). */
ins_attention_args ins_attention_base(const ins_op_sig *sig, const ins_op_call *call);
/* 2 products of T x S x K per head: 4 B H T S K. */
double ins_attention_flops(const ins_op_sig *sig);
void ins_attention_fill(int input, const ins_type *type, void *data);

/* Gradient rule of attention_grad (attention_second.c). */
ins_status ins_attention_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err);

#endif
