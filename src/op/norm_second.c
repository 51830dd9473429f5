/* Second derivatives of layernorm and rmsnorm, from plain ops: the gradient rule of layernorm_grad and rmsnorm_grad.
 *
 * With xhat the normalised x, r = rstd, m columns, gy = d_y weight and the symmetric map
 *   Pi(u) = u - mean(u) - xhat mean(u xhat)          (without mean(u) for rmsnorm)
 * the first gradient is
 *   d_x = r Pi(gy),   d_weight = sum d_y xhat,   d_bias = sum d_y
 * With c, e, f the gradients of those three:
 *   to gy:    r Pi(c)
 *   to xhat:  e d_y - r (c mean(gy xhat) + gy mean(c xhat))
 *   to r:     rowsum(c Pi(gy))
 * and d xhat / d x = r Pi, d r / d x = -r^2 xhat / m. The statistics are computed again from x, so that the result can
 * be differentiated further.
 */
#include "op/op_norm.h"

typedef struct second {
    ins_graph *g;
    bool centre; /* layernorm */
    ins_value xhat, r;
} second;

/* Row mean as a column, [.., 1]. */
static ins_value mean_of(ins_graph *g, ins_value u) {
    if (!ins_emit_ready(g, u)) return INS_NO_VALUE;
    ins_type column = *ins_graph_type(g, u);
    column.dims[column.n_dims - 1] = 1;
    return ins_emit_like(g, ins_mean_axis(g, u, -1), &column);
}

static ins_value project(const second *s, ins_value u) {
    ins_graph *g = s->g;
    ins_value along = ins_mul(g, s->xhat, mean_of(g, ins_mul(g, u, s->xhat)));
    ins_value rest = ins_sub(g, u, along);
    return s->centre ? ins_sub(g, rest, mean_of(g, u)) : rest;
}

static void statistics(second *s, ins_value x, double eps) {
    ins_graph *g = s->g;
    ins_value centred = s->centre ? ins_sub(g, x, mean_of(g, x)) : x;
    ins_value variance = mean_of(g, ins_unary_map(g, INS_SQUARE, centred));
    s->r = ins_unary_map(g, INS_RSQRT, ins_add_scalar(g, variance, eps));
    s->xhat = ins_mul(g, centred, s->r);
}

static ins_value plus(ins_graph *g, ins_value x, ins_value y) {
    if (x == INS_NO_VALUE) return y;
    return y == INS_NO_VALUE ? x : ins_add(g, x, y);
}

/* What flows into x through xhat and r. */
static ins_value into_x(const second *s, ins_value to_xhat, ins_value to_r, int64_t cols) {
    ins_graph *g = s->g;
    ins_value through_xhat = ins_mul(g, s->r, project(s, to_xhat));
    if (to_r == INS_NO_VALUE) return through_xhat;
    ins_value slope = ins_scale(g, ins_mul(g, s->xhat, ins_unary_map(g, INS_SQUARE, s->r)), -1.0 / (double)cols);
    return ins_add(g, through_xhat, ins_mul(g, slope, to_r));
}

ins_status ins_norm_grad_grad(ins_graph *g, const ins_op_grad *a, int centre, ins_error *err) {
    (void)err;
    int weight_in = INS_NORM_WEIGHT(centre), acc_in = INS_NORM_ACC(centre);
    const ins_norm_grad_attr attr = *(const ins_norm_grad_attr *)a->sig->attr;
    const ins_type type = *a->sig->in[INS_NORM_X];
    ins_dtype acc = ins_op_acc(type.dtype);
    int n_in = a->sig->n_in;
    ins_value x = ins_cast(g, a->in[INS_NORM_X], acc), d_y = ins_cast(g, a->in[INS_NORM_D_Y], acc),
              weight = INS_NO_VALUE;
    bool need_weight = n_in > weight_in && a->need[weight_in];
    if (n_in > weight_in && a->in[weight_in] != INS_NO_VALUE)
        weight = ins_add_scalar(g, a->in[weight_in], attr.weight_offset);
    ins_value c = a->d_out[0], e = a->d_out[1], f = centre ? a->d_out[2] : INS_NO_VALUE;
    second s = {.g = g, .centre = centre != 0};
    statistics(&s, x, attr.eps);
    ins_value to_gy = INS_NO_VALUE, to_xhat = INS_NO_VALUE, to_r = INS_NO_VALUE;
    if (c != INS_NO_VALUE) {
        c = ins_cast(g, c, acc);
        ins_value gy = weight == INS_NO_VALUE ? d_y : ins_mul(g, d_y, weight);
        to_gy = ins_mul(g, s.r, project(&s, c));
        ins_value both = ins_add(g, ins_mul(g, c, mean_of(g, ins_mul(g, gy, s.xhat))),
                                 ins_mul(g, gy, mean_of(g, ins_mul(g, c, s.xhat))));
        to_xhat = ins_scale(g, ins_mul(g, both, s.r), -1.0);
        to_r = ins_scale(g, mean_of(g, ins_mul(g, c, project(&s, gy))), (double)ins_type_cols(&type));
    }
    ins_value to_dy = to_gy != INS_NO_VALUE && weight != INS_NO_VALUE ? ins_mul(g, to_gy, weight) : to_gy;
    if (e != INS_NO_VALUE) {
        to_xhat = plus(g, to_xhat, ins_mul(g, d_y, e));
        to_dy = plus(g, to_dy, ins_mul(g, s.xhat, e));
    }
    if (f != INS_NO_VALUE) to_dy = plus(g, to_dy, ins_broadcast(g, f, ins_type_with(&type, acc)));
    if (a->need[INS_NORM_D_Y]) a->d_in[INS_NORM_D_Y] = ins_cast(g, to_dy, type.dtype);
    if (a->need[INS_NORM_X] && to_xhat != INS_NO_VALUE)
        a->d_in[INS_NORM_X] = ins_cast(g, into_x(&s, to_xhat, to_r, ins_type_cols(&type)), type.dtype);
    if (need_weight && to_gy != INS_NO_VALUE) a->d_in[weight_in] = ins_emit_column_sum(g, ins_mul(g, d_y, to_gy));
    if (n_in > acc_in && a->need[acc_in]) a->d_in[acc_in] = a->d_out[0];
    return INS_OK;
}
