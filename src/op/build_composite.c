/* Builders that are compositions of several ops: cross-entropy from logits, LSTM. */
#include "base/mem.h"
#include "op/op_common.h"
#include "op/op_emit.h"

ins_value ins_xent(ins_graph *g, ins_value logits, ins_value targets, ins_value weights, ins_value *nll) {
    if (nll) *nll = INS_NO_VALUE;
    if (!ins_emit_ready(g, logits)) return INS_NO_VALUE;
    ins_value real = ins_cast(g, logits, ins_op_acc(ins_graph_type(g, logits)->dtype));
    ins_value each = ins_scale(g, ins_emit_pick(g, ins_log_softmax(g, real), targets), -1.0);
    if (nll) *nll = each;
    return ins_sum_all(g, ins_mul(g, each, weights));
}

/* One LSTM step: gates [B, 4H] in the order i f g o, cell [B, H] or INS_NO_VALUE (zero).
 *   c = sigmoid(f) c + sigmoid(i) tanh(g),   h = sigmoid(o) tanh(c)
 */
static ins_value lstm_step(ins_graph *g, ins_value gates, int64_t hidden, ins_value *cell) {
    ins_value in = ins_unary_map(g, INS_SIGMOID, ins_slice(g, gates, 1, 0, hidden));
    ins_value candidate = ins_unary_map(g, INS_TANH, ins_slice(g, gates, 1, 2 * hidden, hidden));
    ins_value out = ins_unary_map(g, INS_SIGMOID, ins_slice(g, gates, 1, 3 * hidden, hidden));
    ins_value fresh = ins_mul(g, in, candidate);
    if (*cell != INS_NO_VALUE) {
        ins_value forget = ins_unary_map(g, INS_SIGMOID, ins_slice(g, gates, 1, hidden, hidden));
        fresh = ins_add(g, ins_mul(g, forget, *cell), fresh);
    }
    *cell = fresh;
    return ins_mul(g, out, ins_unary_map(g, INS_TANH, fresh));
}

static ins_value lstm_unroll(ins_graph *g, ins_value projected, ins_value w_hh, const ins_type *type,
                             ins_value *steps) {
    int64_t batch = type->dims[0], time = type->dims[1], hidden = type->dims[2] / 4;
    ins_value cell = INS_NO_VALUE, state = INS_NO_VALUE;
    for (int64_t t = 0; t < time; t++) {
        ins_value gates = ins_reshape(g, ins_slice(g, projected, 1, t, 1), 2, (const int64_t[]){batch, 4 * hidden});
        if (state != INS_NO_VALUE)
            gates = ins_add(g, gates, ins_linear(g, state, w_hh, INS_NO_VALUE, false, ins_graph_real(g)));
        state = lstm_step(g, gates, hidden, &cell);
        steps[t] = ins_reshape(g, state, 3, (const int64_t[]){batch, 1, hidden});
    }
    return ins_concat(g, steps, (int)time, 1);
}

ins_value ins_lstm(ins_graph *g, ins_value x, ins_value w_ih, ins_value w_hh, ins_value bias) {
    if (!ins_emit_ready(g, x) || !ins_emit_ready(g, w_hh)) return INS_NO_VALUE;
    char type_x[96], type_w[96];
    ins_type type = *ins_graph_type(g, x), recurrent = *ins_graph_type(g, w_hh);
    if (type.n_dims != 3 || type.dims[1] < 1 || type.dims[1] > INT32_MAX)
        return ins_graph_fail(g, "lstm: x must be [batch, time, width], not %s", ins_type_format(&type, type_x));
    ins_value projected = ins_linear(g, x, w_ih, bias, false, ins_graph_real(g));
    if (!ins_emit_ready(g, projected)) return INS_NO_VALUE;
    ins_type gates = *ins_graph_type(g, projected);
    if (recurrent.n_dims != 2 || recurrent.dims[0] != gates.dims[2] || 4 * recurrent.dims[1] != gates.dims[2])
        return ins_graph_fail(g, "lstm: w_hh %s must be [4 H, H] with the 4 H = %lld rows of w_ih",
                              ins_type_format(&recurrent, type_w), (long long)gates.dims[2]);
    ins_value *steps = ins_malloc((size_t)type.dims[1] * sizeof steps[0]);
    if (!steps) return ins_graph_fail(g, "lstm: no memory for %lld time steps", (long long)type.dims[1]);
    ins_value out = lstm_unroll(g, projected, w_hh, &gates, steps);
    ins_free(steps);
    return out;
}
