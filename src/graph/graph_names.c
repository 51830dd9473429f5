/* Names of leaves, outputs and taps. One table: a name means one value. */
#include "graph/graph_impl.h"

#include "base/hash.h"

#include <string.h>

int64_t ins_graph_name_find(const ins_graph *g, const char *text) {
    if (!g->name_slots || !text) return -1;
    uint64_t mask = (uint64_t)g->name_slots - 1;
    uint64_t hash = ins_hash64(text, strlen(text), 0);
    for (uint64_t at = hash & mask; g->name_table[at]; at = (at + 1) & mask) {
        int64_t index = g->name_table[at] - 1;
        if (g->names[index].hash == hash && strcmp(g->names[index].text, text) == 0) return index;
    }
    return -1;
}

static void put(ins_graph *g, int64_t index) {
    uint64_t mask = (uint64_t)g->name_slots - 1;
    uint64_t at = g->names[index].hash & mask;
    while (g->name_table[at]) at = (at + 1) & mask;
    g->name_table[at] = (int32_t)(index + 1);
}

static bool reserve(ins_graph *g) {
    void *items = g->names;
    bool ok = ins_graph_grow(&items, &g->cap_names, g->n_names + 1, sizeof *g->names);
    g->names = items;
    if (!ok) return false;
    if (2 * (g->n_names + 1) <= g->name_slots) return true;
    int64_t slots = g->name_slots ? 2 * g->name_slots : 128;
    int32_t *table = ins_calloc((size_t)slots, sizeof *table);
    if (!table) return false;
    ins_free(g->name_table);
    g->name_table = table;
    g->name_slots = slots;
    for (int64_t i = 0; i < g->n_names; i++) put(g, i);
    return true;
}

void ins_graph_name_add(ins_graph *g, const char *text, ins_value v, graph_name_kind kind) {
    const char *copy = ins_arena_strdup(g->arena, text);
    if (!copy || !reserve(g)) {
        ins_graph_out_of_memory(g);
        return;
    }
    g->names[g->n_names] =
        (graph_name){.text = copy, .value = v, .kind = kind, .hash = ins_hash64(copy, strlen(copy), 0)};
    put(g, g->n_names++);
}

void ins_graph_names_free(ins_graph *g) {
    ins_free(g->names);
    ins_free(g->name_table);
    ins_free(g->taps);
}

ins_value ins_graph_find(const ins_graph *g, const char *name) {
    int64_t index = ins_graph_name_find(g, name);
    return index < 0 ? INS_NO_VALUE : g->names[index].value;
}

const char *ins_graph_name_nearest(const ins_graph *g, const char *text) {
    const char **all = ins_malloc((size_t)(g->n_names + 1) * sizeof *all);
    if (!all) return NULL;
    for (int64_t i = 0; i < g->n_names; i++) all[i] = g->names[i].text;
    const char *nearest = ins_nearest_name(text, all, g->n_names);
    ins_free(all);
    return nearest;
}

void ins_graph_output(ins_graph *g, ins_value v, const char *name) {
    if (ins_graph_failed(g)) return;
    if (!ins_graph_has(g, v)) {
        ins_graph_fail(g, "output '%s' has no value", name);
        return;
    }
    int64_t known = ins_graph_name_find(g, name);
    if (known < 0) {
        ins_graph_name_add(g, name, v, GRAPH_OUTPUT);
        return;
    }
    graph_name *old = &g->names[known];
    if (old->value != v || old->kind == GRAPH_INPUT || old->kind == GRAPH_PARAM)
        ins_graph_fail(g, "the name '%s' is used twice in the graph", name);
    else
        old->kind = GRAPH_OUTPUT; /* a tap of the same value: the stronger wish wins */
}

/* A model that is built twice into one graph (policy and reference, two views) names its taps twice: the second one of
 * a name gets "#2", the third "#3". */
void ins_graph_tap(ins_graph *g, ins_value v, const char *name) {
    if (ins_graph_failed(g) || !ins_graph_has(g, v)) return;
    const char *text = name;
    for (int copy = 2;; copy++) {
        int64_t known = ins_graph_name_find(g, text);
        if (known < 0) break;
        if (g->names[known].value == v && g->names[known].kind >= GRAPH_OUTPUT) return;
        text = ins_arena_printf(g->arena, "%s#%d", name, copy);
        if (!text) {
            ins_graph_out_of_memory(g);
            return;
        }
    }
    void *items = g->taps;
    bool ok = ins_graph_grow(&items, &g->cap_taps, g->n_taps + 1, sizeof *g->taps);
    g->taps = items;
    if (!ok) {
        ins_graph_out_of_memory(g);
        return;
    }
    ins_graph_name_add(g, text, v, GRAPH_TAP);
    if (!ins_graph_failed(g)) g->taps[g->n_taps++] = (int32_t)(g->n_names - 1);
}

int64_t ins_graph_n_taps(const ins_graph *g) {
    return g->n_taps;
}

const char *ins_graph_tap_name(const ins_graph *g, int64_t i) {
    return i >= 0 && i < g->n_taps ? g->names[g->taps[i]].text : NULL;
}
