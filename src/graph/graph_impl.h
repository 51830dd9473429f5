/* Inside of the graph: for the files of this room only.
 *
 * Nodes are kept in build order, which is a topological order: a node's inputs are leaves or outputs of earlier nodes.
 * Signatures, input lists, names and scopes live in the graph's arena and never move, so plans may point at them.
 */
#ifndef INS_GRAPH_GRAPH_IMPL_H
#define INS_GRAPH_GRAPH_IMPL_H

#include "base/mem.h"
#include "graph/graph.h"

typedef struct graph_node {
    const ins_op_sig *sig; /* op, attributes, types */
    const ins_value *in;   /* INS_OP_MAX_IN entries; missing ones are INS_NO_VALUE */
    ins_value out0;        /* outputs are the values out0 .. out0 + sig->n_out - 1 */
    const char *scope;     /* "layers.3"; "" at the top */
} graph_node;

typedef struct graph_value {
    const ins_type *type;
    int32_t node; /* index of the producer, or -1 for a leaf */
} graph_value;

typedef enum graph_name_kind { GRAPH_INPUT, GRAPH_PARAM, GRAPH_OUTPUT, GRAPH_TAP } graph_name_kind;

typedef struct graph_name {
    const char *text;
    ins_value value;
    graph_name_kind kind;
    uint64_t hash;
} graph_name;

typedef struct graph_scope {
    const char *path;
    struct graph_scope *parent;
} graph_scope;

struct ins_graph {
    ins_dtype real, compute;
    ins_arena *arena;
    ins_error error; /* first failure of a builder; status INS_OK while there is none */

    graph_node *nodes;
    int64_t n_nodes, cap_nodes;
    int64_t n_forward; /* nodes before the first gradient was added; 0 = none was */
    graph_value *values;
    int64_t n_values, cap_values;

    graph_name *names;
    int64_t n_names, cap_names;
    int32_t *name_table; /* open addressing, index + 1; 0 = free */
    int64_t name_slots;
    int32_t *taps; /* indexes of names, build order */
    int64_t n_taps, cap_taps;

    int32_t *node_table; /* identical nodes are built once; index + 1, 0 = free */
    uint64_t *node_hashes;
    int64_t node_slots;

    graph_scope *scope;
};

/* Make room for one more element; false when out of memory. */
bool ins_graph_grow(void **items, int64_t *cap, int64_t needed, size_t item_size);

/* Keep a failure with its status; the first one wins. Returns INS_NO_VALUE. */
ins_value ins_graph_keep_error(ins_graph *g, const ins_error *err);
ins_value ins_graph_out_of_memory(ins_graph *g);
bool ins_graph_failed(const ins_graph *g);
bool ins_graph_has(const ins_graph *g, ins_value v);

/* Names (graph_names.c). */
int64_t ins_graph_name_find(const ins_graph *g, const char *text); /* index, or -1 */
void ins_graph_name_add(ins_graph *g, const char *text, ins_value v, graph_name_kind kind);
const char *ins_graph_name_nearest(const ins_graph *g, const char *text); /* may be NULL */
void ins_graph_names_free(ins_graph *g);

/* Identical nodes (graph_share.c). */
uint64_t ins_graph_node_hash(const ins_op *op, const void *attr, const ins_value *in);
int64_t ins_graph_node_find(const ins_graph *g, uint64_t hash, const ins_op *op, const void *attr, const ins_value *in);
bool ins_graph_node_remember(ins_graph *g, uint64_t hash, int64_t index);

/* i-th word of a space-separated list, for messages; "?" past the end. */
const char *ins_graph_word(const char *words, int i, char buf[48]);

#endif
