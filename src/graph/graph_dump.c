/* Readable listing of a graph, one line a node. */
#include "graph/graph_impl.h"

#include "base/str.h"

static void dump_value(const ins_graph *g, ins_value v, ins_str *out) {
    char buf[96];
    ins_str_printf(out, "#%d %s", (int)v, ins_type_format(g->values[v].type, buf));
}

static void dump_node(const ins_graph *g, int64_t index, ins_str *out) {
    const graph_node *node = &g->nodes[index];
    const ins_op *op = node->sig->op;
    char word[48];
    ins_str_printf(out, "%lld %s(", (long long)index, op->head.name);
    const char *comma = "";
    for (int i = 0; i < node->sig->n_in; i++) {
        if (node->in[i] < 0) continue;
        ins_str_printf(out, "%s%s=", comma, ins_graph_word(op->in_names, i, word));
        dump_value(g, node->in[i], out);
        comma = ", ";
    }
    ins_str_puts(out, ") ->");
    for (int i = 0; i < node->sig->n_out; i++) {
        ins_str_puts(out, i ? ", " : " ");
        dump_value(g, node->out0 + i, out);
    }
    if (node->scope[0]) ins_str_printf(out, " %s", node->scope);
    ins_str_putc(out, '\n');
}

void ins_graph_dump(const ins_graph *g, ins_str *out) {
    static const char *const kinds[] = {"input", "param", "output", "tap"};
    for (int64_t i = 0; i < g->n_names; i++) {
        if (g->names[i].kind > GRAPH_PARAM) continue;
        ins_str_printf(out, "%s %s ", kinds[g->names[i].kind], g->names[i].text);
        dump_value(g, g->names[i].value, out);
        ins_str_putc(out, '\n');
    }
    for (int64_t i = 0; i < g->n_nodes; i++) dump_node(g, i, out);
    for (int64_t i = 0; i < g->n_names; i++) {
        if (g->names[i].kind <= GRAPH_PARAM) continue;
        ins_str_printf(out, "%s %s ", kinds[g->names[i].kind], g->names[i].text);
        dump_value(g, g->names[i].value, out);
        ins_str_putc(out, '\n');
    }
}
