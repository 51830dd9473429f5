/* The graph as it is built: values, nodes, scopes, the first error. */
#include "graph/graph_impl.h"

#include <stdio.h>
#include <string.h>

ins_status ins_graph_new(ins_dtype real, ins_dtype compute, ins_graph **out, ins_error *err) {
    bool real_ok = real == INS_DTYPE_F32 || real == INS_DTYPE_F64;
    bool compute_ok = compute == real || (real == INS_DTYPE_F32 && compute == INS_DTYPE_BF16);
    if (!real_ok || !compute_ok) {
        ins_status status = INS_FAIL(err, INS_USAGE, "a graph of real %s cannot compute in %s", ins_dtype_name(real),
                                     ins_dtype_name(compute));
        ins_error_hint(err, "use f32 with f32 or bf16, or f64 with f64");
        return status;
    }
    ins_graph *g = ins_calloc(1, sizeof *g);
    if (!g) return INS_FAIL(err, INS_NOMEM, "no memory for a graph");
    g->real = real;
    g->compute = compute;
    g->arena = ins_arena_new(0);
    graph_scope *top = g->arena ? ins_arena_alloc(g->arena, sizeof *top) : NULL;
    if (!top) {
        ins_graph_free(g);
        return INS_FAIL(err, INS_NOMEM, "no memory for a graph");
    }
    top->path = "";
    g->scope = top;
    *out = g;
    return INS_OK;
}

void ins_graph_free(ins_graph *g) {
    if (!g) return;
    ins_free(g->nodes);
    ins_free(g->values);
    ins_free(g->node_table);
    ins_free(g->node_hashes);
    ins_graph_names_free(g);
    ins_arena_free(g->arena);
    ins_free(g);
}

bool ins_graph_grow(void **items, int64_t *cap, int64_t needed, size_t item_size) {
    if (needed <= *cap) return true;
    int64_t new_cap = *cap < 32 ? 64 : *cap * 2;
    size_t bytes;
    if (!ins_mul_size((size_t)new_cap, item_size, &bytes)) return false;
    void *grown = ins_realloc(*items, bytes);
    if (!grown) return false;
    *items = grown;
    *cap = new_cap;
    return true;
}

/* ---- errors ---- */

bool ins_graph_failed(const ins_graph *g) {
    return g->error.status != INS_OK;
}

bool ins_graph_has(const ins_graph *g, ins_value v) {
    return v >= 0 && v < g->n_values;
}

ins_value ins_graph_keep_error(ins_graph *g, const ins_error *err) {
    if (ins_graph_failed(g)) return INS_NO_VALUE;
    g->error = *err;
    if (g->scope->path[0]) ins_error_frame(&g->error, "in %s", g->scope->path);
    return INS_NO_VALUE;
}

ins_value ins_graph_out_of_memory(ins_graph *g) {
    ins_error err = {0};
    INS_FAIL(&err, INS_NOMEM, "no memory for a graph of %lld nodes", (long long)g->n_nodes);
    return ins_graph_keep_error(g, &err);
}

ins_value ins_graph_fail(ins_graph *g, const char *fmt, ...) {
    char text[sizeof g->error.text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    ins_error err = {0};
    INS_FAIL(&err, INS_USAGE, "%s", text);
    return ins_graph_keep_error(g, &err);
}

ins_status ins_graph_status(const ins_graph *g, ins_error *err) {
    if (err && ins_graph_failed(g)) *err = g->error;
    return g->error.status;
}

/* ---- scopes ---- */

void ins_graph_push_scope(ins_graph *g, const char *name) {
    graph_scope *scope = ins_arena_alloc(g->arena, sizeof *scope);
    char *path = !scope              ? NULL
                 : g->scope->path[0] ? ins_arena_printf(g->arena, "%s.%s", g->scope->path, name)
                                     : ins_arena_strdup(g->arena, name);
    if (!path) {
        ins_graph_out_of_memory(g);
        return;
    }
    scope->path = path;
    scope->parent = g->scope;
    g->scope = scope;
}

void ins_graph_pop_scope(ins_graph *g) {
    if (g->scope->parent)
        g->scope = g->scope->parent;
    else
        ins_graph_fail(g, "a scope is closed that was never opened");
}

/* ---- values ---- */

static ins_value add_value(ins_graph *g, const ins_type *type, int64_t node) {
    void *items = g->values;
    bool ok = g->n_values < INT32_MAX - 1 && ins_graph_grow(&items, &g->cap_values, g->n_values + 1, sizeof *g->values);
    g->values = items;
    if (!ok) return ins_graph_out_of_memory(g);
    g->values[g->n_values] = (graph_value){.type = type, .node = (int32_t)node};
    return (ins_value)g->n_values++;
}

static ins_value add_leaf(ins_graph *g, const char *name, const ins_type *type, graph_name_kind kind) {
    if (ins_graph_failed(g)) return INS_NO_VALUE;
    size_t bytes;
    char buf[96];
    if (!ins_type_check(type, &bytes))
        return ins_graph_fail(g, "'%s' has an impossible type %s", name, ins_type_format(type, buf));
    int64_t known = ins_graph_name_find(g, name);
    if (known >= 0) return ins_graph_fail(g, "the name '%s' is used twice in the graph", name);
    ins_type *copy = ins_arena_alloc(g->arena, sizeof *copy);
    if (!copy) return ins_graph_out_of_memory(g);
    *copy = *type;
    ins_value v = add_value(g, copy, -1);
    if (v >= 0) ins_graph_name_add(g, name, v, kind);
    return ins_graph_failed(g) ? INS_NO_VALUE : v;
}

ins_value ins_graph_input(ins_graph *g, const char *name, ins_type type) {
    return add_leaf(g, name, &type, GRAPH_INPUT);
}

ins_value ins_graph_param(ins_graph *g, const char *name, ins_type type) {
    return add_leaf(g, name, &type, GRAPH_PARAM);
}

const ins_type *ins_graph_type(const ins_graph *g, ins_value v) {
    static const ins_type none = {.dtype = INS_DTYPE_F32}; /* so that builders may look at it after a failure */
    return ins_graph_has(g, v) ? g->values[v].type : &none;
}

ins_dtype ins_graph_real(const ins_graph *g) {
    return g->real;
}
ins_dtype ins_graph_compute(const ins_graph *g) {
    return g->compute;
}
int64_t ins_graph_n_nodes(const ins_graph *g) {
    return g->n_nodes;
}

/* ---- nodes ---- */

const char *ins_graph_word(const char *words, int i, char buf[48]) {
    const char *at = words ? words : "";
    for (; i > 0 && *at; i--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    size_t n = strcspn(at, " ");
    snprintf(buf, 48, "%.*s", n ? (int)n : 1, n ? at : "?");
    return buf;
}

/* Copy the inputs to a full-width list, with INS_NO_VALUE past the end. False: a failure was recorded, or an input is
 * missing because the graph failed before. */
static bool take_inputs(ins_graph *g, const ins_op *op, const void *attr, const ins_value *in, int n_in,
                        ins_value *full) {
    char word[48];
    if (n_in < op->n_in_min || n_in > op->n_in || n_in > INS_OP_MAX_IN) {
        ins_graph_fail(g, "op %s takes %d to %d inputs, not %d", op->head.name, op->n_in_min, op->n_in, n_in);
        return false;
    }
    if (op->attr_size && !attr) {
        ins_graph_fail(g, "op %s is given no attributes", op->head.name);
        return false;
    }
    for (int i = 0; i < INS_OP_MAX_IN; i++) full[i] = i < n_in && in[i] >= 0 ? in[i] : INS_NO_VALUE;
    for (int i = 0; i < n_in; i++) {
        if (i < op->n_in_min && full[i] < 0) {
            ins_graph_fail(g, "input '%s' of op %s is missing", ins_graph_word(op->in_names, i, word), op->head.name);
            return false;
        }
        if (full[i] >= 0 && !ins_graph_has(g, full[i])) {
            ins_graph_fail(g, "input '%s' of op %s is not a value of this graph", ins_graph_word(op->in_names, i, word),
                           op->head.name);
            return false;
        }
    }
    return true;
}

/* The shape rule's verdict in a signature of the graph's arena; NULL after a recorded failure. */
static ins_op_sig *infer(ins_graph *g, const ins_op *op, const void *attr, const ins_value *in, int n_in) {
    ins_op_sig *sig = ins_arena_alloc(g->arena, sizeof *sig);
    void *attr_copy = op->attr_size && sig ? ins_arena_alloc(g->arena, op->attr_size) : NULL;
    if (!sig || (op->attr_size && !attr_copy)) {
        ins_graph_out_of_memory(g);
        return NULL;
    }
    if (op->attr_size) memcpy(attr_copy, attr, op->attr_size);
    sig->op = op;
    sig->attr = attr_copy;
    sig->n_in = n_in;
    sig->n_out = op->n_out;
    for (int i = 0; i < n_in; i++) sig->in[i] = in[i] >= 0 ? g->values[in[i]].type : NULL;
    ins_error err = {0};
    if (op->infer(sig, &err) != INS_OK) {
        if (err.status == INS_OK)
            INS_FAIL(&err, INS_BUG, "the shape rule of op %s failed without a message", op->head.name);
        ins_error_frame(&err, "op %s", op->head.name);
        ins_graph_keep_error(g, &err);
        return NULL;
    }
    for (int i = 0; i < op->n_out; i++) {
        size_t bytes;
        char buf[96], word[48];
        if (ins_type_check(&sig->out[i], &bytes)) continue;
        ins_graph_fail(g, "output '%s' of op %s has an impossible type %s", ins_graph_word(op->out_names, i, word),
                       op->head.name, ins_type_format(&sig->out[i], buf));
        return NULL;
    }
    return sig;
}

static bool append_node(ins_graph *g, const ins_op_sig *sig, const ins_value *in) {
    ins_value *kept = ins_arena_alloc(g->arena, INS_OP_MAX_IN * sizeof *kept);
    void *items = g->nodes;
    bool ok = kept && ins_graph_grow(&items, &g->cap_nodes, g->n_nodes + 1, sizeof *g->nodes);
    g->nodes = items;
    if (!ok) {
        ins_graph_out_of_memory(g);
        return false;
    }
    memcpy(kept, in, INS_OP_MAX_IN * sizeof *kept);
    ins_value out0 = (ins_value)g->n_values;
    for (int i = 0; i < sig->n_out; i++)
        if (add_value(g, &sig->out[i], g->n_nodes) < 0) return false;
    g->nodes[g->n_nodes++] = (graph_node){.sig = sig, .in = kept, .out0 = out0, .scope = g->scope->path};
    return true;
}

ins_value ins_graph_emit(ins_graph *g, const ins_op *op, const void *attr, const ins_value *in, int n_in,
                         ins_value *out) {
    for (int i = 0; out && i < op->n_out; i++) out[i] = INS_NO_VALUE;
    ins_value full[INS_OP_MAX_IN];
    if (ins_graph_failed(g) || !take_inputs(g, op, attr, in, n_in, full)) return INS_NO_VALUE;
    uint64_t hash = ins_graph_node_hash(op, attr, full);
    int64_t index = ins_graph_node_find(g, hash, op, attr, full);
    if (index < 0) {
        const ins_op_sig *sig = infer(g, op, attr, full, n_in);
        if (!sig || !append_node(g, sig, full)) return INS_NO_VALUE;
        index = g->n_nodes - 1;
        if (!ins_graph_node_remember(g, hash, index)) return ins_graph_out_of_memory(g);
    }
    ins_value out0 = g->nodes[index].out0;
    for (int i = 0; out && i < op->n_out; i++) out[i] = out0 + i;
    return out0;
}
