/* Identical nodes are built once: every op is a pure function of its attributes and inputs, so a second node with the
 * same op, attributes and inputs is the first one. (Casting a weight twice costs one cast.)
 */
#include "graph/graph_impl.h"

#include "base/hash.h"

#include <string.h>

uint64_t ins_graph_node_hash(const ins_op *op, const void *attr, const ins_value *in) {
    uint64_t hash = ins_hash64(in, INS_OP_MAX_IN * sizeof *in, (uint64_t)(uintptr_t)op);
    return op->attr_size ? ins_hash64(attr, op->attr_size, hash) : hash;
}

static bool same_node(const graph_node *node, const ins_op *op, const void *attr, const ins_value *in) {
    return node->sig->op == op && memcmp(node->in, in, INS_OP_MAX_IN * sizeof *in) == 0 &&
           (op->attr_size == 0 || memcmp(node->sig->attr, attr, op->attr_size) == 0);
}

int64_t ins_graph_node_find(const ins_graph *g, uint64_t hash, const ins_op *op, const void *attr,
                            const ins_value *in) {
    if (!g->node_slots) return -1;
    uint64_t mask = (uint64_t)g->node_slots - 1;
    for (uint64_t at = hash & mask; g->node_table[at]; at = (at + 1) & mask) {
        int64_t index = g->node_table[at] - 1;
        if (g->node_hashes[at] == hash && same_node(&g->nodes[index], op, attr, in)) return index;
    }
    return -1;
}

static void put(int32_t *table, uint64_t *hashes, int64_t slots, uint64_t hash, int32_t entry) {
    uint64_t mask = (uint64_t)slots - 1;
    uint64_t at = hash & mask;
    while (table[at]) at = (at + 1) & mask;
    table[at] = entry;
    hashes[at] = hash;
}

bool ins_graph_node_remember(ins_graph *g, uint64_t hash, int64_t index) {
    if (2 * (index + 1) > g->node_slots) {
        int64_t slots = g->node_slots ? 2 * g->node_slots : 256;
        int32_t *table = ins_calloc((size_t)slots, sizeof *table);
        uint64_t *hashes = ins_calloc((size_t)slots, sizeof *hashes);
        if (!table || !hashes) {
            ins_free(table);
            ins_free(hashes);
            return false;
        }
        for (int64_t i = 0; i < g->node_slots; i++)
            if (g->node_table[i]) put(table, hashes, slots, g->node_hashes[i], g->node_table[i]);
        ins_free(g->node_table);
        ins_free(g->node_hashes);
        g->node_table = table;
        g->node_hashes = hashes;
        g->node_slots = slots;
    }
    put(g->node_table, g->node_hashes, g->node_slots, hash, (int32_t)(index + 1));
    return true;
}
