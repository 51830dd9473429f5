/* Second derivatives of linear_xent, from plain ops: the gradient rule of linear_xent_grad. Makes the [N, V] logits,
 * which the fused op avoids; whoever asks for second derivatives pays for them.
 *
 * With Z = x W^T, P = softmax(Z), lse its log denominator, Y the target distribution (1 - s) onehot + s/V, and the row
 * factor w_i = weights_i d_loss (0 where there is no target):
 *
 *   A = 1 + 2 z_loss lse,   E = P A - Y,   G = w E,   d_x = G W,   d_w = G^T x
 */
#include "op/op_linear_xent.h"

typedef struct second {
    ins_graph *g;
    ins_linear_xent_attr attr;
    int64_t rows, vocab;
    ins_dtype acc;
    ins_value x, w, targets, weights, d_loss;
    ins_value present;      /* [N]: 1 where there is a target */
    ins_value p, factor, e; /* P; A as [N,1], INS_NO_VALUE without z_loss; E */
    ins_value row_factor;   /* w as [N,1] */
} second;

/* u [N,D] times W^T, and G [N,V] times W, for both ways that W is stored. */
static ins_value times_w_transposed(const second *s, ins_value u, ins_value w) {
    return ins_matmul(s->g, u, w, false, !s->attr.in_out);
}
static ins_value times_w(const second *s, ins_value u) {
    return ins_matmul(s->g, u, s->w, false, s->attr.in_out != 0);
}
/* G^T u in the layout of W. */
static ins_value like_w(const second *s, ins_value grad, ins_value u) {
    return s->attr.in_out ? ins_matmul(s->g, u, grad, true, false) : ins_matmul(s->g, grad, u, true, false);
}

static ins_value as_column(const second *s, ins_value v) {
    return ins_reshape(s->g, v, 2, (const int64_t[]){s->rows, 1});
}

static ins_value row_sum(const second *s, ins_value v) {
    return ins_sum_axis(s->g, v, 1);
}

static void first_gradient(second *s) {
    ins_graph *g = s->g;
    double smooth = s->attr.label_smoothing;
    ins_value z = times_w_transposed(s, s->x, s->w);
    s->p = ins_softmax(g, z);
    s->factor = INS_NO_VALUE;
    ins_value weighted = s->p;
    if (s->attr.z_loss > 0) { /* z - log softmax(z) is lse in every column */
        ins_value lse = ins_mean_axis(g, ins_sub(g, z, ins_log_softmax(g, z)), 1);
        s->factor = as_column(s, ins_add_scalar(g, ins_scale(g, lse, 2 * s->attr.z_loss), 1));
        weighted = ins_mul(g, s->p, s->factor);
    }
    ins_value onehot = ins_emit_unpick(g, ins_fill(g, INS_TYPE(s->acc, s->rows), 1), s->targets, s->vocab);
    ins_value wanted = ins_add_scalar(g, ins_scale(g, onehot, 1 - smooth), smooth / (double)s->vocab);
    s->e = ins_sub(g, weighted, wanted);
    s->present = row_sum(s, onehot);
    s->row_factor = as_column(s, ins_mul(g, ins_mul(g, s->weights, s->present), s->d_loss));
}

/* The gradient of Z, from that of G. */
static ins_value into_logits(const second *s, ins_value c_g) {
    ins_graph *g = s->g;
    ins_value c_e = ins_mul(g, c_g, s->row_factor);
    if (s->factor == INS_NO_VALUE) return ins_emit_softmax_grad(g, false, c_e, s->p);
    ins_value through_p = ins_emit_softmax_grad(g, false, ins_mul(g, c_e, s->factor), s->p);
    ins_value c_lse = ins_scale(g, as_column(s, row_sum(s, ins_mul(g, c_e, s->p))), 2 * s->attr.z_loss);
    return ins_add(g, through_p, ins_mul(g, s->p, c_lse));
}

static ins_value plus(ins_graph *g, ins_value x, ins_value y) {
    if (x == INS_NO_VALUE) return y;
    return y == INS_NO_VALUE ? x : ins_add(g, x, y);
}

ins_status ins_linear_xent_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    const ins_op_sig *sig = a->sig;
    enum { D_LOSS = XENT_WEIGHTS + 1, ACC };
    for (int i = 2; i < 5; i++)
        if (a->d_out[i] != INS_NO_VALUE)
            return INS_FAIL(err, INS_USAGE, "linear_xent_grad: gradients of its loss go through op linear_xent");
    const ins_type type_x = *sig->in[XENT_X], type_w = *sig->in[XENT_W];
    second s = {.g = g, .attr = *(const ins_linear_xent_attr *)sig->attr, .rows = type_x.dims[0]};
    s.acc = ins_op_acc(type_x.dtype);
    s.vocab = type_w.dims[s.attr.in_out ? 1 : 0];
    s.x = ins_cast(g, a->in[XENT_X], s.acc);
    s.w = ins_cast(g, a->in[XENT_W], s.acc);
    s.targets = a->in[XENT_TARGETS];
    s.weights = a->in[XENT_WEIGHTS];
    s.d_loss = a->in[D_LOSS];
    first_gradient(&s);
    ins_value c_x = a->d_out[0], c_w = a->d_out[1], grad = ins_mul(g, s.e, s.row_factor), c_g = INS_NO_VALUE;
    ins_value to_x = INS_NO_VALUE, to_w = INS_NO_VALUE;
    if (c_x != INS_NO_VALUE) {
        c_x = ins_cast(g, c_x, s.acc);
        c_g = times_w_transposed(&s, c_x, s.w);
        to_w = like_w(&s, grad, c_x);
    }
    if (c_w != INS_NO_VALUE) {
        c_g = plus(g, c_g, times_w_transposed(&s, s.x, c_w));
        to_x = ins_matmul(g, grad, c_w, false, s.attr.in_out != 0);
    }
    if (a->need[XENT_X] || a->need[XENT_W]) {
        ins_value c_z = into_logits(&s, c_g);
        if (a->need[XENT_X]) a->d_in[XENT_X] = ins_cast(g, plus(g, to_x, times_w(&s, c_z)), type_x.dtype);
        if (a->need[XENT_W]) a->d_in[XENT_W] = ins_cast(g, plus(g, to_w, like_w(&s, c_z, s.x)), type_w.dtype);
    }
    ins_value to_row = ins_mul(g, row_sum(&s, ins_mul(g, c_g, s.e)), s.present);
    if (a->need[XENT_WEIGHTS]) a->d_in[XENT_WEIGHTS] = ins_mul(g, to_row, s.d_loss);
    if (a->need[D_LOSS]) a->d_in[D_LOSS] = ins_sum_all(g, ins_mul(g, to_row, s.weights));
    if (sig->n_in > ACC && a->need[ACC]) a->d_in[ACC] = a->d_out[1];
    return INS_OK;
}
