/* Parameters that are kept twice: what the graph casts a parameter to becomes a leaf of its own. */
#include "graph/graph_impl.h"

#include <stdio.h>
#include <string.h>

/* The parameter's name, or NULL: v is no parameter. */
static const char *param_name(const ins_graph *g, ins_value v) {
    for (int64_t i = 0; i < g->n_names; i++)
        if (g->names[i].kind == GRAPH_PARAM && g->names[i].value == v) return g->names[i].text;
    return NULL;
}

ins_status ins_graph_detach_casts(ins_graph *g, const char *suffix, ins_error *err) {
    INS_TRY(ins_graph_status(g, err));
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const graph_node *node = &g->nodes[i];
        if (strcmp(node->sig->op->head.name, "cast") != 0 || node->sig->out[0].dtype != g->compute) continue;
        const char *param = param_name(g, node->in[0]);
        if (!param) continue;
        char name[320];
        snprintf(name, sizeof name, "%s%s", param, suffix);
        if (ins_graph_name_find(g, name) >= 0)
            return INS_FAIL(err, INS_BUG, "the graph has a value called '%s' already", name);
        g->values[node->out0].node = -1;
        ins_graph_name_add(g, name, node->out0, GRAPH_PARAM);
        INS_TRY(ins_graph_status(g, err));
    }
    return INS_OK;
}
