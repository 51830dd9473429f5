/* Reference LSTM: one row and one step at a time. */
#include "kernel/lstm_impl.h"
#include "kernel/ref/ref.h"

static ins_real lstm_sigmoid(ins_real z) {
    return 1 / (1 + exp(-z));
}

/* Row `row`'s h or c before step t; NULL = zero. */
static const ins_real *lstm_before(const ins_lstm_args *args, const void *states, const void *first, int64_t row,
                                   int64_t t) {
    int64_t hidden = args->hidden;
    if (args->positions && args->positions[row * args->time + t] == 0) return NULL;
    if (t > 0) return (const ins_real *)states + (row * args->time + t - 1) * hidden;
    return first ? (const ins_real *)first + row * hidden : NULL;
}

/* state: h, c before step t, replaced by those after it; next: room for a new h. */
static void lstm_step(const ins_lstm_args *args, int64_t row, int64_t t, ins_real *state, ins_real *next) {
    int64_t hidden = args->hidden, at = row * args->time + t;
    const ins_real *w = args->w, *x = (const ins_real *)args->x + at * 4 * hidden;
    ins_real *gates = (ins_real *)args->gates + at * 4 * hidden, *h = state, *c = state + hidden;
    for (int64_t u = 0; ins_lstm_begins(args, row, t) && u < hidden; u++) h[u] = c[u] = 0;
    for (int64_t n = 0; n < 4 * hidden; n++) {
        ins_real z = x[n];
        for (int64_t k = 0; k < hidden; k++) z += w[n * hidden + k] * h[k];
        gates[n] = n / hidden == 2 ? tanh(z) : lstm_sigmoid(z);
    }
    for (int64_t u = 0; u < hidden; u++) {
        c[u] = gates[hidden + u] * c[u] + gates[u] * gates[2 * hidden + u];
        next[u] = gates[3 * hidden + u] * tanh(c[u]);
    }
    memcpy(h, next, (size_t)hidden * sizeof *h);
    if (args->h) memcpy((ins_real *)args->h + at * hidden, h, (size_t)hidden * sizeof *h);
    if (args->c) memcpy((ins_real *)args->c + at * hidden, c, (size_t)hidden * sizeof *c);
}

static void lstm_forward(const ins_lstm_args *args, ins_pool *pool) {
    (void)pool;
    int64_t hidden = args->hidden;
    ins_real *state = args->scratch;
    for (int64_t row = 0; row < args->batch; row++) {
        for (int64_t u = 0; args->h0 && u < hidden; u++) {
            state[u] = ((const ins_real *)args->h0)[row * hidden + u];
            state[hidden + u] = ((const ins_real *)args->c0)[row * hidden + u];
        }
        for (int64_t t = 0; t < args->time; t++) lstm_step(args, row, t, state, state + 2 * hidden);
    }
}

/* d_h, d_c: what step t + 1 sends back; replaced by what step t does. */
static void lstm_step_back(const ins_lstm_args *args, int64_t row, int64_t t, ins_real *d_h, ins_real *d_c) {
    int64_t hidden = args->hidden, at = row * args->time + t;
    const ins_real *gates = (const ins_real *)args->gates + at * 4 * hidden, *w = args->w;
    const ins_real *c = (const ins_real *)args->c + at * hidden;
    const ins_real *c_prev = lstm_before(args, args->c, args->c0, row, t);
    const ins_real *h_prev = lstm_before(args, args->h, args->h0, row, t);
    const ins_real *more_h = args->d_h ? (const ins_real *)args->d_h + at * hidden : NULL;
    const ins_real *more_c = args->d_c ? (const ins_real *)args->d_c + at * hidden : NULL;
    const ins_real *more = args->d_gates ? (const ins_real *)args->d_gates + at * 4 * hidden : NULL;
    ins_real *d_z = (ins_real *)args->d_x + at * 4 * hidden;
    for (int64_t u = 0; u < hidden; u++) {
        const ins_real in = gates[u], forget = gates[hidden + u], fresh = gates[2 * hidden + u];
        const ins_real out = gates[3 * hidden + u], squashed = tanh(c[u]);
        ins_real dh = d_h[u] + (more_h ? more_h[u] : 0);
        ins_real dc = d_c[u] + (more_c ? more_c[u] : 0) + dh * out * (1 - squashed * squashed);
        ins_real d[4] = {dc * fresh, c_prev ? dc * c_prev[u] : 0, dc * in, dh * squashed};
        for (int gate = 0; gate < 4; gate++) d[gate] += more ? more[gate * hidden + u] : 0;
        d_z[u] = d[0] * in * (1 - in);
        d_z[hidden + u] = d[1] * forget * (1 - forget);
        d_z[2 * hidden + u] = d[2] * (1 - fresh * fresh);
        d_z[3 * hidden + u] = d[3] * out * (1 - out);
        d_c[u] = c_prev ? dc * forget : 0;
        if (args->h_prev) ((ins_real *)args->h_prev)[at * hidden + u] = h_prev ? h_prev[u] : 0;
    }
    for (int64_t k = 0; k < hidden; k++) {
        ins_real sum = 0;
        for (int64_t n = 0; h_prev && n < 4 * hidden; n++) sum += d_z[n] * w[n * hidden + k];
        d_h[k] = sum;
    }
}

static void lstm_backward(const ins_lstm_args *args, ins_pool *pool) {
    (void)pool;
    int64_t hidden = args->hidden;
    ins_real *d_h = args->scratch, *d_c = d_h + hidden;
    for (int64_t row = 0; row < args->batch; row++) {
        for (int64_t u = 0; u < 2 * hidden; u++) d_h[u] = 0;
        for (int64_t t = args->time - 1; t >= 0; t--) lstm_step_back(args, row, t, d_h, d_c);
        for (int64_t u = 0; u < hidden; u++) {
            if (args->d_h0) ((ins_real *)args->d_h0)[row * hidden + u] = d_h[u];
            if (args->d_c0) ((ins_real *)args->d_c0)[row * hidden + u] = d_c[u];
        }
    }
}

const ins_lstm_impl INS_REF(ins_ref_lstm) = {.head = INS_REF_HEAD, .forward = lstm_forward, .backward = lstm_backward};
