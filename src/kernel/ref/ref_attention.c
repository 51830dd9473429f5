/* Reference attention, one query row at a time; backward recomputes the probabilities from lse. */
#include "kernel/attention_impl.h"
#include "kernel/ref/ref.h"

typedef struct attention_row {
    const ins_attention_args *args;
    int64_t batch, head, kv_head, row;
    ins_key_range keys;
} attention_row;

static attention_row attention_row_make(const ins_attention_args *args, int64_t batch, int64_t head, int64_t row) {
    attention_row r = {args, batch, head, head / (args->n_heads / args->n_kv_heads), row, {0, 0}};
    r.keys = ins_attention_range(args, batch, row);
    return r;
}

static const ins_real *attention_key(const attention_row *r, int64_t j) {
    const ins_attention_args *args = r->args;
    return (const ins_real *)args->k +
           ins_attention_k_at(args, args->ldk, args->batch_stride_k, r->batch, r->kv_head, j);
}

static const ins_real *attention_value(const attention_row *r, int64_t j) {
    const ins_attention_args *args = r->args;
    return (const ins_real *)args->v +
           ins_attention_k_at(args, args->ldv, args->batch_stride_v, r->batch, r->kv_head, j);
}

static ins_real attention_dot(const ins_real *x, const ins_real *y, int64_t n) {
    ins_real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void attention_forward_row(const attention_row *r) {
    const ins_attention_args *args = r->args;
    const ins_real *q = (const ins_real *)args->q + ins_attention_q_at(args, args->ldq, r->batch, r->head, r->row);
    ins_real *o = (ins_real *)args->o + ins_attention_q_at(args, args->ldo, r->batch, r->head, r->row);
    ins_real max = -INFINITY, sum = 0, scale = (ins_real)args->scale;
    for (int64_t j = r->keys.begin; j < r->keys.end; j++) {
        ins_real score = scale * attention_dot(q, attention_key(r, j), args->head_dim);
        max = score > max ? score : max;
    }
    for (int64_t c = 0; c < args->head_dim; c++) o[c] = 0;
    for (int64_t j = r->keys.begin; j < r->keys.end; j++) {
        ins_real p = exp(scale * attention_dot(q, attention_key(r, j), args->head_dim) - max);
        const ins_real *v = attention_value(r, j);
        sum += p;
        for (int64_t c = 0; c < args->head_dim; c++) o[c] += p * v[c];
    }
    for (int64_t c = 0; c < args->head_dim && sum > 0; c++) o[c] /= sum;
    ins_real *lse = args->lse;
    if (lse) lse[(r->batch * args->n_heads + r->head) * args->n_q + r->row] = max + (sum > 0 ? log(sum) : 0);
}

static void attention_forward(const ins_attention_args *args, ins_pool *pool) {
    (void)pool;
    for (int64_t b = 0; b < args->batch; b++)
        for (int64_t h = 0; h < args->n_heads; h++)
            for (int64_t t = 0; t < args->n_q; t++) {
                attention_row r = attention_row_make(args, b, h, t);
                attention_forward_row(&r);
            }
}

/* d_v_j += p d_o;  ds = p (d_o . v_j - D) scale, D = d_o . o;  d_q += ds k_j;  d_k_j += ds q */
static void attention_backward_row(const attention_row *r) {
    const ins_attention_args *args = r->args;
    int64_t hd = args->head_dim;
    const ins_real *q = (const ins_real *)args->q + ins_attention_q_at(args, args->ldq, r->batch, r->head, r->row);
    const ins_real *o = (const ins_real *)args->o + ins_attention_q_at(args, args->ldo, r->batch, r->head, r->row);
    const ins_real *d_o =
        (const ins_real *)args->d_o + ins_attention_q_at(args, args->ld_do, r->batch, r->head, r->row);
    ins_real *d_q = (ins_real *)args->d_q + ins_attention_q_at(args, args->ld_dq, r->batch, r->head, r->row);
    ins_real lse = ((const ins_real *)args->lse)[(r->batch * args->n_heads + r->head) * args->n_q + r->row];
    ins_real scale = (ins_real)args->scale, delta = attention_dot(d_o, o, hd);
    for (int64_t c = 0; c < hd; c++) d_q[c] = 0;
    for (int64_t j = r->keys.begin; j < r->keys.end; j++) {
        const ins_real *k = attention_key(r, j), *v = attention_value(r, j);
        int64_t at_k = ins_attention_k_at(args, args->ld_dk, 0, r->batch, r->kv_head, j);
        int64_t at_v = ins_attention_k_at(args, args->ld_dv, 0, r->batch, r->kv_head, j);
        ins_real p = exp(scale * attention_dot(q, k, hd) - lse);
        ins_real d_score = p * (attention_dot(d_o, v, hd) - delta) * scale;
        for (int64_t c = 0; c < hd; c++) {
            d_q[c] += d_score * k[c];
            if (args->d_v) ((ins_real *)args->d_v)[at_v + c] += p * d_o[c];
            if (args->d_k) ((ins_real *)args->d_k)[at_k + c] += d_score * q[c];
        }
    }
}

static void attention_backward(const ins_attention_args *args, ins_pool *pool) {
    (void)pool;
    int64_t cols = args->n_kv_heads * args->head_dim;
    for (int64_t j = 0; j < args->batch * args->n_k; j++)
        for (int64_t c = 0; c < cols; c++) {
            if (args->d_k) ((ins_real *)args->d_k)[j * args->ld_dk + c] = 0;
            if (args->d_v) ((ins_real *)args->d_v)[j * args->ld_dv + c] = 0;
        }
    for (int64_t b = 0; b < args->batch; b++)
        for (int64_t h = 0; h < args->n_heads; h++)
            for (int64_t t = 0; t < args->n_q; t++) {
                attention_row r = attention_row_make(args, b, h, t);
                attention_backward_row(&r);
            }
}

const ins_attention_impl INS_REF(ins_ref_attention) = {
    .head = INS_REF_HEAD, .forward = attention_forward, .backward = attention_backward};
