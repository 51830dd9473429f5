/* Second derivatives of lstm, from plain ops: the gradient rule of lstm_grad. Unrolls all time steps, which the fused
 * op avoids; whoever asks for second derivatives pays for them.
 *
 * The backward pass is written as values of six kinds, one step at a time and gate by gate, and those are then walked
 * from the last to the first. With s = tanh(c) and keep = 0 where the state begins anew:
 *
 *   dh = rh + d_h;   dc = rc + d_c + dh o (1 - s^2)
 *   dz_i = (dc g + e_i) i (1-i);   dz_f = (dc keep c' + e_f) f (1-f)
 *   dz_g = (dc i + e_g) (1-g^2);   dz_o = (dh s + e_o) o (1-o)
 *   rc' = keep dc f;   rh' = keep sum_gates dz W_gate
 */
#include "base/mem.h"
#include "op/op_lstm.h"

typedef enum term_kind { TERM_LEAF, TERM_ADD, TERM_MUL, TERM_KEEP, TERM_TANH, TERM_ONE_MINUS, TERM_PRODUCT } term_kind;

/* All are [B,H], but for W_gate [H,H]. A term's number is its place in the list; NOTHING is a term that is zero. */
typedef struct term {
    term_kind kind;
    int64_t x, y;
    ins_value value, adjoint;
    ins_value mask; /* [B,1], of TERM_KEEP */
} term;

enum { NOTHING = -1 };

typedef struct unrolled {
    ins_graph *g;
    const ins_op_grad *a;
    int64_t batch, time, hidden;
    ins_dtype acc;
    ins_value keep; /* [B,T,1], or INS_NO_VALUE */
    term *terms;
    int64_t n, cap;
    bool failed;
    int64_t w[4], c0;                         /* terms */
    int64_t *gates, *c, *d_h, *d_c, *d_gates; /* terms; gates and d_gates [T,4], the others [T] */
} unrolled;

static int64_t term_add(unrolled *u, term_kind kind, int64_t x, int64_t y, ins_value value, ins_value mask) {
    if (u->n == u->cap) {
        int64_t cap = u->cap ? 2 * u->cap : 256;
        term *terms = ins_realloc(u->terms, (size_t)cap * sizeof *terms);
        if (!terms) {
            u->failed = true;
            return NOTHING;
        }
        u->terms = terms, u->cap = cap;
    }
    u->terms[u->n] = (term){kind, x, y, value, INS_NO_VALUE, mask};
    return u->n++;
}

static int64_t leaf(unrolled *u, ins_value value) {
    return value == INS_NO_VALUE ? NOTHING : term_add(u, TERM_LEAF, NOTHING, NOTHING, value, INS_NO_VALUE);
}

static ins_value value_of(const unrolled *u, int64_t x) {
    return u->terms[x].value;
}

static int64_t plus(unrolled *u, int64_t x, int64_t y) {
    if (x == NOTHING || y == NOTHING) return x == NOTHING ? y : x;
    return term_add(u, TERM_ADD, x, y, ins_add(u->g, value_of(u, x), value_of(u, y)), INS_NO_VALUE);
}

static int64_t times(unrolled *u, int64_t x, int64_t y) {
    if (x == NOTHING || y == NOTHING) return NOTHING;
    return term_add(u, TERM_MUL, x, y, ins_mul(u->g, value_of(u, x), value_of(u, y)), INS_NO_VALUE);
}

static int64_t one_minus(unrolled *u, int64_t x) {
    if (x == NOTHING) return NOTHING; /* out of memory: nothing is used */
    ins_value value = ins_add_scalar(u->g, ins_scale(u->g, value_of(u, x), -1), 1);
    return term_add(u, TERM_ONE_MINUS, x, NOTHING, value, INS_NO_VALUE);
}

static int64_t squashed(unrolled *u, int64_t x) {
    if (x == NOTHING) return NOTHING;
    return term_add(u, TERM_TANH, x, NOTHING, ins_unary_map(u->g, INS_TANH, value_of(u, x)), INS_NO_VALUE);
}

static int64_t kept(unrolled *u, int64_t x, int64_t t) {
    if (x == NOTHING || u->keep == INS_NO_VALUE) return x;
    ins_value mask = ins_reshape(u->g, ins_slice(u->g, u->keep, 1, t, 1), 2, (const int64_t[]){u->batch, 1});
    return term_add(u, TERM_KEEP, x, NOTHING, ins_mul(u->g, value_of(u, x), mask), mask);
}

static int64_t product(unrolled *u, int64_t x, int64_t w) {
    if (x == NOTHING || w == NOTHING) return NOTHING;
    ins_value value = ins_matmul(u->g, value_of(u, x), value_of(u, w), false, false);
    return term_add(u, TERM_PRODUCT, x, w, value, INS_NO_VALUE);
}

/* ---- the backward pass in terms ---- */

/* Columns [at, at + H) of step t of v [B,T,..] as a leaf. */
static int64_t step_leaf(unrolled *u, ins_value v, int64_t t, int64_t at) {
    if (v == INS_NO_VALUE) return NOTHING;
    ins_value step = ins_slice(u->g, ins_slice(u->g, ins_cast(u->g, v, u->acc), 1, t, 1), 2, at, u->hidden);
    return leaf(u, ins_reshape(u->g, step, 2, (const int64_t[]){u->batch, u->hidden}));
}

static bool declare(unrolled *u) {
    const ins_op_grad *a = u->a;
    ins_graph *g = u->g;
    u->gates = ins_malloc((size_t)(11 * u->time + 1) * sizeof *u->gates);
    if (!u->gates) return false;
    u->d_gates = u->gates + 4 * u->time, u->c = u->d_gates + 4 * u->time, u->d_h = u->c + u->time;
    u->d_c = u->d_h + u->time;
    ins_value w = ins_cast(g, a->in[BACK_W], u->acc);
    for (int q = 0; q < 4; q++) u->w[q] = leaf(u, ins_slice(g, w, 0, q * u->hidden, u->hidden));
    u->c0 = leaf(u, ins_lstm_value(a, BACK_C0));
    for (int64_t t = 0; t < u->time; t++) {
        for (int q = 0; q < 4; q++) {
            u->gates[4 * t + q] = step_leaf(u, a->in[BACK_GATES], t, q * u->hidden);
            u->d_gates[4 * t + q] = step_leaf(u, ins_lstm_value(a, BACK_D_GATES), t, q * u->hidden);
        }
        u->c[t] = step_leaf(u, a->in[BACK_C], t, 0);
        u->d_h[t] = step_leaf(u, ins_lstm_value(a, BACK_D_H), t, 0);
        u->d_c[t] = step_leaf(u, ins_lstm_value(a, BACK_D_C), t, 0);
    }
    return !u->failed;
}

static void seed(unrolled *u, int64_t x, ins_value adjoint) {
    if (x == NOTHING || adjoint == INS_NO_VALUE) return;
    ins_value *sum = &u->terms[x].adjoint;
    *sum = *sum == INS_NO_VALUE ? adjoint : ins_add(u->g, *sum, adjoint);
}

/* The adjoint of columns of an output [B,T,..]. */
static void seed_step(unrolled *u, int64_t x, ins_value output, int64_t t, int64_t at) {
    if (x == NOTHING || output == INS_NO_VALUE) return;
    ins_value step = ins_slice(u->g, ins_slice(u->g, output, 1, t, 1), 2, at, u->hidden);
    seed(u, x, ins_reshape(u->g, step, 2, (const int64_t[]){u->batch, u->hidden}));
}

/* rh, rc: what step t + 1 sends back; replaced by what step t sends. */
static void step_back(unrolled *u, int64_t t, int64_t *rh, int64_t *rc) {
    const int64_t *gate = u->gates + 4 * t, *extra = u->d_gates + 4 * t;
    int64_t in = gate[0], forget = gate[1], fresh = gate[2], out = gate[3];
    int64_t s = squashed(u, u->c[t]), before = t > 0 ? u->c[t - 1] : u->c0;
    int64_t dh = plus(u, *rh, u->d_h[t]), slope = one_minus(u, times(u, s, s));
    int64_t dc = plus(u, plus(u, *rc, u->d_c[t]), times(u, times(u, dh, out), slope));
    int64_t d[4];
    d[0] = times(u, plus(u, times(u, dc, fresh), extra[0]), times(u, in, one_minus(u, in)));
    d[1] = times(u, plus(u, times(u, dc, kept(u, before, t)), extra[1]), times(u, forget, one_minus(u, forget)));
    d[2] = times(u, plus(u, times(u, dc, in), extra[2]), one_minus(u, times(u, fresh, fresh)));
    d[3] = times(u, plus(u, times(u, dh, s), extra[3]), times(u, out, one_minus(u, out)));
    *rh = *rc = NOTHING;
    for (int q = 0; q < 4; q++) {
        seed_step(u, d[q], u->a->d_out[BACK_D_X], t, q * u->hidden);
        if (before != NOTHING) *rh = plus(u, *rh, product(u, d[q], u->w[q]));
    }
    *rh = kept(u, *rh, t);
    if (before != NOTHING) *rc = kept(u, times(u, dc, forget), t);
}

/* Adjoints from the last term to the first. */
static void walk(unrolled *u) {
    ins_graph *g = u->g;
    for (int64_t i = u->n - 1; i >= 0; i--) {
        const term now = u->terms[i];
        ins_value d = now.adjoint;
        if (d == INS_NO_VALUE) continue;
        switch (now.kind) {
        case TERM_LEAF:
            break;
        case TERM_ADD:
            seed(u, now.x, d);
            seed(u, now.y, d);
            break;
        case TERM_MUL:
            seed(u, now.x, ins_mul(g, d, value_of(u, now.y)));
            seed(u, now.y, ins_mul(g, d, value_of(u, now.x)));
            break;
        case TERM_KEEP:
            seed(u, now.x, ins_mul(g, d, now.mask));
            break;
        case TERM_TANH:
            seed(u, now.x, ins_emit_unary_grad(g, INS_TANH, d, value_of(u, now.x)));
            break;
        case TERM_ONE_MINUS:
            seed(u, now.x, ins_scale(g, d, -1));
            break;
        case TERM_PRODUCT:
            seed(u, now.x, ins_matmul(g, d, value_of(u, now.y), false, true));
            seed(u, now.y, ins_matmul(g, value_of(u, now.x), d, true, false));
            break;
        }
    }
}

/* ---- the inputs' gradients ---- */

static ins_value adjoint_or_zero(const unrolled *u, int64_t x) {
    ins_value v = x == NOTHING ? INS_NO_VALUE : u->terms[x].adjoint;
    return v == INS_NO_VALUE ? ins_fill(u->g, INS_TYPE(u->acc, u->batch, u->hidden), 0) : v;
}

/* [B,T,parts H] from the adjoints of terms [T, parts]. */
static ins_value gather(unrolled *u, const int64_t *terms, int parts) {
    ins_value *steps = ins_malloc((size_t)u->time * sizeof *steps), each[4];
    if (!steps) {
        u->failed = true;
        return INS_NO_VALUE;
    }
    for (int64_t t = 0; t < u->time; t++) {
        for (int q = 0; q < parts; q++) each[q] = adjoint_or_zero(u, terms[t * parts + q]);
        ins_value step = ins_concat(u->g, each, parts, 1);
        steps[t] = ins_reshape(u->g, step, 3, (const int64_t[]){u->batch, 1, parts * u->hidden});
    }
    ins_value all = ins_concat(u->g, steps, (int)u->time, 1);
    ins_free(steps);
    return all;
}

/* h_prev is h one step later, and h0 before that. */
static void through_h_prev(unrolled *u) {
    const ins_op_grad *a = u->a;
    ins_graph *g = u->g;
    ins_value d = a->d_out[BACK_H_PREV];
    if (d == INS_NO_VALUE) return;
    d = ins_cast(g, d, u->acc);
    if (u->keep != INS_NO_VALUE) d = ins_mul(g, d, u->keep);
    const ins_type full = ins_type_with(a->sig->in[BACK_H], u->acc);
    if (a->need[BACK_H])
        a->d_in[BACK_H] =
            ins_cast(g, ins_emit_pad(g, ins_slice(g, d, 1, 1, u->time - 1), &full, 1, 0), a->sig->in[BACK_H]->dtype);
    if (ins_lstm_value(a, BACK_H0) != INS_NO_VALUE && a->need[BACK_H0])
        a->d_in[BACK_H0] = ins_reshape(g, ins_slice(g, d, 1, 0, 1), 2, (const int64_t[]){u->batch, u->hidden});
}

static void collect(unrolled *u) {
    const ins_op_grad *a = u->a;
    ins_graph *g = u->g;
    const ins_type type_w = *a->sig->in[BACK_W];
    if (a->need[BACK_W]) {
        ins_value parts[4];
        for (int q = 0; q < 4; q++) {
            parts[q] = u->terms[u->w[q]].adjoint;
            if (parts[q] == INS_NO_VALUE) parts[q] = ins_fill(g, INS_TYPE(u->acc, u->hidden, u->hidden), 0);
        }
        a->d_in[BACK_W] = ins_cast(g, ins_concat(g, parts, 4, 0), type_w.dtype);
    }
    if (a->need[BACK_GATES]) a->d_in[BACK_GATES] = gather(u, u->gates, 4);
    if (a->need[BACK_C]) a->d_in[BACK_C] = gather(u, u->c, 1);
    bool has[BACK_INPUTS];
    for (int i = 0; i < BACK_INPUTS; i++) has[i] = ins_lstm_value(a, i) != INS_NO_VALUE && a->need[i];
    if (has[BACK_C0]) a->d_in[BACK_C0] = adjoint_or_zero(u, u->c0);
    if (has[BACK_D_H]) a->d_in[BACK_D_H] = ins_cast(g, gather(u, u->d_h, 1), type_w.dtype);
    if (has[BACK_D_C]) a->d_in[BACK_D_C] = gather(u, u->d_c, 1);
    if (has[BACK_D_GATES]) a->d_in[BACK_D_GATES] = gather(u, u->d_gates, 4);
    through_h_prev(u);
}

static void differentiate(unrolled *u) {
    ins_graph *g = u->g;
    ins_value positions = ins_lstm_value(u->a, BACK_POSITIONS);
    if (positions != INS_NO_VALUE) { /* 1 where position > 0 */
        ins_value zero = ins_fill(g, *ins_graph_type(g, positions), 0);
        u->keep = ins_unary_map(g, INS_EXP, ins_emit_interval_mask(g, zero, positions, 1, u->acc));
    }
    int64_t rh = NOTHING, rc = NOTHING;
    for (int64_t t = u->time - 1; t >= 0 && !u->failed; t--) step_back(u, t, &rh, &rc);
    if (u->failed) return;
    seed(u, rh, u->a->d_out[BACK_D_H0]);
    seed(u, rc, u->a->d_out[BACK_D_C0]);
    walk(u);
    collect(u);
}

ins_status ins_lstm_grad_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    const ins_type gates = *a->sig->in[BACK_GATES];
    unrolled u = {.g = g,
                  .a = a,
                  .batch = gates.dims[0],
                  .time = gates.dims[1],
                  .hidden = gates.dims[2] / 4,
                  .acc = gates.dtype,
                  .keep = INS_NO_VALUE};
    if (u.time == 0) return INS_OK; /* all outputs are empty or zero */
    if (u.time > INT32_MAX) return INS_FAIL(err, INS_USAGE, "lstm_grad: too many steps for second derivatives");
    if (declare(&u)) differentiate(&u);
    ins_free(u.gates);
    ins_free(u.terms);
    return u.failed || !u.n ? INS_FAIL(err, INS_NOMEM, "lstm_grad: no memory for %lld steps", (long long)u.time)
                            : INS_OK;
}
