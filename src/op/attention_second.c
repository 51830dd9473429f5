/* Second derivatives of attention, from plain ops: what the gradient rule of attention_grad emits. Needs B H T S
 * numbers of memory, which the fused op avoids; whoever asks for second derivatives pays for them.
 *
 * The first gradient, for each head, with s = scale Q K^T + mask, P = softmax(s):
 *
 *   dV = P^T dO,   dP = dO V^T,   dS = P (dP - rowsum(P dP)),   dQ = scale dS K,   dK = scale dS^T Q
 *
 * The saved o and lse are functions of q, k and v, so everything is differentiated as a function of q, k, v and d_o.
 */
#include "op/op_attention.h"

/* One multi-head problem in the form [B, H, T or S, K], in acc. */
typedef struct second {
    ins_graph *g;
    int64_t batch, heads, kv_heads, n_q, n_k, head_dim;
    double scale;
    ins_dtype acc;
} second;

/* [B, n, H*K] -> [B, H, n, K]; key and value heads are repeated for their group of query heads. */
static ins_value to_heads(const second *s, ins_value x, int64_t n, int64_t heads) {
    if (x == INS_NO_VALUE) return x;
    ins_graph *g = s->g;
    int64_t group = s->heads / heads;
    ins_value v = ins_reshape(g, ins_cast(g, x, s->acc), 4, (const int64_t[]){s->batch, n, heads, s->head_dim});
    v = ins_permute(g, v, (const int[]){0, 2, 1, 3});
    if (group == 1) return v;
    v = ins_reshape(g, v, 5, (const int64_t[]){s->batch, heads, 1, n, s->head_dim});
    v = ins_broadcast(g, v, INS_TYPE(s->acc, s->batch, heads, group, n, s->head_dim));
    return ins_reshape(g, v, 4, (const int64_t[]){s->batch, s->heads, n, s->head_dim});
}

/* The adjoint of to_heads. */
static ins_value from_heads(const second *s, ins_value x, int64_t n, int64_t heads) {
    if (x == INS_NO_VALUE) return x;
    ins_graph *g = s->g;
    int64_t group = s->heads / heads;
    if (group > 1) {
        x = ins_reshape(g, x, 5, (const int64_t[]){s->batch, heads, group, n, s->head_dim});
        x = ins_sum_axis(g, x, 2);
    }
    x = ins_permute(g, x, (const int[]){0, 2, 1, 3});
    return ins_reshape(g, x, 3, (const int64_t[]){s->batch, n, heads * s->head_dim});
}

static ins_value plus(ins_graph *g, ins_value x, ins_value y) {
    if (x == INS_NO_VALUE) return y;
    return y == INS_NO_VALUE ? x : ins_add(g, x, y);
}

/* factor * op(x) op(y), or nothing when x or y is missing */
static ins_value product(const second *s, double factor, ins_value x, ins_value y, bool trans_x, bool trans_y) {
    if (x == INS_NO_VALUE || y == INS_NO_VALUE) return INS_NO_VALUE;
    return ins_scale(s->g, ins_matmul(s->g, x, y, trans_x, trans_y), factor);
}

typedef struct heads {
    ins_value q, k, v, d_o;  /* inputs */
    ins_value p, d_p, d_s;   /* of the first gradient */
    ins_value c_q, c_k, c_v; /* gradients of d_q, d_k, d_v */
    ins_value out_q, out_k, out_v, out_d_o;
} heads;

static void first_gradient(const second *s, heads *h, ins_value mask) {
    ins_graph *g = s->g;
    ins_value scores = product(s, s->scale, h->q, h->k, false, true);
    ins_value shaped = ins_reshape(g, mask, 4, (const int64_t[]){s->batch, 1, s->n_q, s->n_k});
    h->p = ins_softmax(g, ins_add(g, scores, shaped));
    h->d_p = ins_matmul(g, h->d_o, h->v, false, true);
    h->d_s = ins_emit_softmax_grad(g, false, h->d_p, h->p);
}

/* Sum over keys, kept as [B, H, T, 1]. */
static ins_value row_sum(const second *s, ins_value x) {
    ins_value sum = ins_sum_axis(s->g, x, -1);
    return ins_reshape(s->g, sum, 4, (const int64_t[]){s->batch, s->heads, s->n_q, 1});
}

static void differentiate(const second *s, heads *h) {
    ins_graph *g = s->g;
    /* through dQ = scale dS K and dK = scale dS^T Q */
    ins_value c_s =
        plus(g, product(s, s->scale, h->c_q, h->k, false, true), product(s, s->scale, h->q, h->c_k, false, true));
    h->out_k = product(s, s->scale, h->d_s, h->c_q, true, false);
    h->out_q = product(s, s->scale, h->d_s, h->c_k, false, false);
    /* through dV = P^T dO */
    ins_value c_p = product(s, 1, h->d_o, h->c_v, false, true);
    h->out_d_o = product(s, 1, h->p, h->c_v, false, false);
    h->out_v = INS_NO_VALUE;
    if (c_s != INS_NO_VALUE) { /* through dS, then dP = dO V^T */
        ins_value centred = ins_sub(g, h->d_p, row_sum(s, ins_mul(g, h->p, h->d_p)));
        ins_value rest = ins_mul(g, h->d_p, row_sum(s, ins_mul(g, c_s, h->p)));
        c_p = plus(g, c_p, ins_sub(g, ins_mul(g, c_s, centred), rest));
        ins_value c_d_p = ins_emit_softmax_grad(g, false, c_s, h->p);
        h->out_d_o = plus(g, h->out_d_o, ins_matmul(g, c_d_p, h->v, false, false));
        h->out_v = ins_matmul(g, c_d_p, h->d_o, true, false);
    }
    /* through P = softmax(scale Q K^T + mask) */
    ins_value c_scores = ins_emit_softmax_grad(g, false, c_p, h->p);
    h->out_q = plus(g, h->out_q, product(s, s->scale, c_scores, h->k, false, false));
    h->out_k = plus(g, h->out_k, product(s, s->scale, c_scores, h->q, true, false));
}

/* Columns of the part `which` (q, k, v) of a packed value; the value itself when it is not packed. */
static ins_value part(const second *s, bool packed, ins_value v, int which) {
    if (!packed || v == INS_NO_VALUE) return v;
    int64_t n_q = s->heads * s->head_dim, n_kv = s->kv_heads * s->head_dim;
    return ins_slice(s->g, v, 2, which == ATTN_Q ? 0 : n_q + (which - ATTN_K) * n_kv, which == ATTN_Q ? n_q : n_kv);
}

/* Gradients of q, k and v back to the inputs of the op. */
static void give_inputs(const second *s, const heads *h, bool packed, const ins_op_grad *a) {
    ins_graph *g = s->g;
    ins_dtype dtype = a->sig->in[ATTN_Q]->dtype;
    ins_value d[3] = {from_heads(s, h->out_q, s->n_q, s->heads), from_heads(s, h->out_k, s->n_k, s->kv_heads),
                      from_heads(s, h->out_v, s->n_k, s->kv_heads)};
    if (packed && a->need[ATTN_Q]) {
        if (d[2] == INS_NO_VALUE) d[2] = ins_fill(g, *ins_graph_type(g, d[1]), 0);
        a->d_in[ATTN_Q] = ins_cast(g, ins_concat(g, d, 3, 2), dtype);
    }
    for (int i = 0; i < 3 && !packed; i++)
        if (a->need[i] && d[i] != INS_NO_VALUE) a->d_in[i] = ins_cast(g, d[i], dtype);
    if (a->need[ATTN_D_O]) a->d_in[ATTN_D_O] = ins_cast(g, from_heads(s, h->out_d_o, s->n_q, s->heads), dtype);
}

ins_status ins_attention_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    const ins_attention_attr attr = *(const ins_attention_attr *)a->sig->attr;
    const ins_attention_args args = ins_attention_base(a->sig, NULL);
    const bool packed = attr.packed != 0;
    const second s = {.g = g,
                      .batch = args.batch,
                      .heads = attr.n_heads,
                      .kv_heads = attr.n_kv_heads,
                      .n_q = args.n_q,
                      .n_k = args.n_k,
                      .head_dim = args.head_dim,
                      .scale = attr.scale,
                      .acc = ins_op_acc(args.dtype)};
    heads h = {.d_o = to_heads(&s, a->in[ATTN_D_O], s.n_q, s.heads)};
    ins_value in[3], d_out[3];
    for (int i = 0; i < 3; i++) {
        in[i] = part(&s, packed, a->in[i], i);
        d_out[i] = packed ? part(&s, true, a->d_out[0], i) : a->d_out[i];
    }
    h.q = to_heads(&s, in[ATTN_Q], s.n_q, s.heads), h.c_q = to_heads(&s, d_out[0], s.n_q, s.heads);
    h.k = to_heads(&s, in[ATTN_K], s.n_k, s.kv_heads), h.c_k = to_heads(&s, d_out[1], s.n_k, s.kv_heads);
    h.v = to_heads(&s, in[ATTN_V], s.n_k, s.kv_heads), h.c_v = to_heads(&s, d_out[2], s.n_k, s.kv_heads);
    first_gradient(&s, &h, ins_emit_interval_mask(g, a->in[ATTN_LO], a->in[ATTN_HI], s.n_k, s.acc));
    differentiate(&s, &h);
    give_inputs(&s, &h, packed, a);
    return INS_OK;
}
