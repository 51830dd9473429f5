/* Reverse-mode differentiation. The gradient is made of ops in the same graph, so it can be differentiated again.
 *
 * adjoint[v] = d loss / d v. Nodes are visited from the loss backwards; each op's rule turns the adjoints of its
 * outputs into contributions to the adjoints of its inputs, and contributions to one value are summed in that (fixed)
 * order.
 */
#include "graph/graph_impl.h"

#include <string.h>

typedef struct backward {
    ins_graph *g;
    ins_value loss;
    int64_t n_values;   /* values before the gradient was added */
    bool *depends;      /* [n_values] the value is float and depends on one of wrt */
    ins_value *adjoint; /* [n_values] INS_NO_VALUE = no gradient has reached it */
} backward;

/* The one op that dependence does not pass, whatever its gradient rule says. */
static bool stops_gradient(const ins_op *op) {
    return strcmp(op->head.name, "stop_gradient") == 0;
}

static void mark_dependence(backward *b, const ins_value *wrt, int64_t n) {
    const ins_graph *g = b->g;
    for (int64_t i = 0; i < n; i++)
        if (ins_graph_has(g, wrt[i]) && ins_dtype_is_float(g->values[wrt[i]].type->dtype)) b->depends[wrt[i]] = true;
    for (int64_t i = 0; i <= g->values[b->loss].node; i++) {
        const graph_node *node = &g->nodes[i];
        if (stops_gradient(node->sig->op)) continue;
        bool depends = false;
        for (int j = 0; j < node->sig->n_in; j++) depends |= node->in[j] >= 0 && b->depends[node->in[j]];
        for (int j = 0; depends && j < node->sig->n_out; j++)
            b->depends[node->out0 + j] |= ins_dtype_is_float(node->sig->out[j].dtype);
    }
}

/* A gradient has its value's shape and dtype; that of a bf16 value may be f32. */
static ins_status check_contribution(const backward *b, const graph_node *node, int input, ins_value d_in,
                                     ins_error *err) {
    const ins_type *value = ins_graph_type(b->g, node->in[input]);
    const ins_type *grad = ins_graph_type(b->g, d_in);
    bool dtype_ok = grad->dtype == value->dtype || (value->dtype == INS_DTYPE_BF16 && grad->dtype == INS_DTYPE_F32);
    if (dtype_ok && ins_type_same_shape(value, grad)) return INS_OK;
    char buf_value[96], buf_grad[96], word[48];
    return INS_FAIL(err, INS_BUG, "op %s: the gradient of input '%s' is %s, but the input is %s",
                    node->sig->op->head.name, ins_graph_word(node->sig->op->in_names, input, word),
                    ins_type_format(grad, buf_grad), ins_type_format(value, buf_value));
}

static ins_value sum(ins_graph *g, ins_value so_far, ins_value more) {
    if (so_far < 0) return more;
    if (ins_graph_type(g, so_far)->dtype != ins_graph_type(g, more)->dtype) {
        so_far = ins_cast(g, so_far, INS_DTYPE_F32);
        more = ins_cast(g, more, INS_DTYPE_F32);
    }
    return ins_add(g, so_far, more);
}

static ins_status fail_nondifferentiable(const graph_node *node, ins_error *err) {
    const ins_op *op = node->sig->op;
    ins_status status = INS_FAIL(err, INS_USAGE, "the gradient has to pass op %s%s%s, which is not differentiable: %s",
                                 op->head.name, node->scope[0] ? " in " : "", node->scope,
                                 op->nondiff_reason ? op->nondiff_reason : "it has no gradient rule");
    ins_error_hint(err, "cut the path with stop_gradient, or build the loss without this op");
    return status;
}

static ins_status visit(backward *b, int64_t index, ins_error *err) {
    const graph_node node = b->g->nodes[index]; /* a copy: rules add nodes */
    bool reached = false, need[INS_OP_MAX_IN] = {false}, needed = false;
    ins_value out[INS_OP_MAX_OUT], d_out[INS_OP_MAX_OUT], d_in[INS_OP_MAX_IN];
    for (int i = 0; i < INS_OP_MAX_OUT; i++) {
        out[i] = i < node.sig->n_out ? node.out0 + i : INS_NO_VALUE;
        d_out[i] = out[i] >= 0 ? b->adjoint[out[i]] : INS_NO_VALUE;
        reached |= d_out[i] >= 0;
    }
    for (int i = 0; i < INS_OP_MAX_IN; i++) {
        d_in[i] = INS_NO_VALUE;
        need[i] = node.in[i] >= 0 && b->depends[node.in[i]];
        needed |= need[i];
    }
    if (!reached || !needed || stops_gradient(node.sig->op)) return INS_OK;
    if (!node.sig->op->grad) return fail_nondifferentiable(&node, err);

    graph_scope here = {.path = node.scope, .parent = b->g->scope};
    b->g->scope = &here;
    ins_op_grad rule = {.sig = node.sig, .in = node.in, .out = out, .d_out = d_out, .need = need, .d_in = d_in};
    ins_status status = node.sig->op->grad(b->g, &rule, err);
    if (status == INS_OK) status = ins_graph_status(b->g, err);
    for (int i = 0; status == INS_OK && i < node.sig->n_in; i++) {
        if (!need[i] || d_in[i] < 0) continue;
        status = check_contribution(b, &node, i, d_in[i], err);
        if (status == INS_OK) b->adjoint[node.in[i]] = sum(b->g, b->adjoint[node.in[i]], d_in[i]);
    }
    if (status == INS_OK) status = ins_graph_status(b->g, err);
    b->g->scope = here.parent;
    if (status != INS_OK)
        ins_error_frame(err, "gradient of op %s%s%s", node.sig->op->head.name, node.scope[0] ? " in " : "", node.scope);
    return status;
}

static ins_status run_backward(backward *b, const ins_value *wrt, int64_t n, ins_error *err) {
    mark_dependence(b, wrt, n);
    if (!b->depends[b->loss]) return INS_OK;
    b->adjoint[b->loss] = ins_fill(b->g, *ins_graph_type(b->g, b->loss), 1.0);
    INS_TRY(ins_graph_status(b->g, err));
    for (int64_t i = b->g->values[b->loss].node; i >= 0; i--) INS_TRY(visit(b, i, err));
    return INS_OK;
}

ins_status ins_graph_gradients(ins_graph *g, ins_value loss, const ins_value *wrt, int64_t n, ins_value *d_wrt,
                               ins_error *err) {
    INS_TRY(ins_graph_status(g, err));
    char buf[96];
    if (!ins_graph_has(g, loss)) return INS_FAIL(err, INS_USAGE, "the loss is not a value of the graph");
    const ins_type *type = ins_graph_type(g, loss);
    if (type->n_dims != 0 || !ins_dtype_is_float(type->dtype)) {
        ins_status status =
            INS_FAIL(err, INS_USAGE, "the loss must be a float scalar, not %s", ins_type_format(type, buf));
        ins_error_hint(err, "sum or average it to one number first");
        return status;
    }
    if (g->n_forward == 0) g->n_forward = g->n_nodes;
    backward b = {.g = g, .loss = loss, .n_values = g->n_values};
    b.depends = ins_calloc((size_t)b.n_values, sizeof *b.depends);
    b.adjoint = ins_malloc((size_t)b.n_values * sizeof *b.adjoint);
    ins_status status = INS_OK;
    if (!b.depends || !b.adjoint) {
        status = INS_FAIL(err, INS_NOMEM, "no memory to differentiate a graph of %lld nodes", (long long)g->n_nodes);
    } else {
        for (int64_t i = 0; i < b.n_values; i++) b.adjoint[i] = INS_NO_VALUE;
        status = run_backward(&b, wrt, n, err);
    }
    for (int64_t i = 0; status == INS_OK && i < n; i++)
        d_wrt[i] = wrt[i] >= 0 && wrt[i] < b.n_values ? b.adjoint[wrt[i]] : INS_NO_VALUE;
    ins_free(b.depends);
    ins_free(b.adjoint);
    return status;
}
