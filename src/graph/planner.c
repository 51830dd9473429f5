/* Plans: what is needed of a graph, and the passes that turn it into steps and memory. */
#include "graph/planner.h"

#include <string.h>

void *ins_plan_work(ins_plan *plan, int64_t n, size_t item_size, ins_error *err) {
    size_t bytes;
    void *items = ins_mul_size((size_t)(n + 1), item_size, &bytes) ? ins_arena_alloc(plan->work, bytes) : NULL;
    if (!items) INS_FAIL(err, INS_NOMEM, "no memory to plan a graph of %lld nodes", (long long)plan->g->n_nodes);
    return items;
}

static void *keep(ins_plan *plan, int64_t n, size_t item_size, ins_error *err) {
    size_t bytes;
    void *items = ins_mul_size((size_t)(n + 1), item_size, &bytes) ? ins_arena_alloc(plan->arena, bytes) : NULL;
    if (!items) INS_FAIL(err, INS_NOMEM, "no memory to plan a graph of %lld nodes", (long long)plan->g->n_nodes);
    return items;
}

/* ---- tools of the passes ---- */

int32_t *ins_plan_producers(ins_plan *plan, ins_error *err) {
    int32_t *producer = ins_plan_work(plan, plan->n_values, sizeof *producer, err);
    if (!producer) return NULL;
    for (int64_t v = 0; v < plan->n_values; v++) producer[v] = PLAN_NONE;
    for (int64_t i = 0; i < plan->n_nodes; i++)
        for (int j = 0; j < plan->nodes[i].sig->n_out; j++) producer[plan->nodes[i].out0 + j] = (int32_t)i;
    return producer;
}

void ins_plan_compact(ins_plan *plan, const bool *drop) {
    int64_t n = 0;
    for (int64_t i = 0; i < plan->n_nodes; i++)
        if (!drop[i]) plan->nodes[n++] = plan->nodes[i];
    plan->n_nodes = n;
}

void ins_plan_replace(ins_plan *plan, const ins_value *by) {
    for (int64_t i = 0; i < plan->n_nodes; i++)
        for (int j = 0; j < INS_OP_MAX_IN; j++)
            while (plan->nodes[i].in[j] >= 0 && by[plan->nodes[i].in[j]] >= 0)
                plan->nodes[i].in[j] = by[plan->nodes[i].in[j]];
    for (int64_t i = 0; i < plan->n_outputs; i++)
        while (by[plan->outputs[i].value] >= 0) plan->outputs[i].value = by[plan->outputs[i].value];
}

ins_value *ins_plan_classes(ins_plan *plan, ins_error *err) {
    ins_value *class_of = ins_plan_work(plan, plan->n_values, sizeof *class_of, err);
    if (!class_of) return NULL;
    for (int64_t v = 0; v < plan->n_values; v++) class_of[v] = (ins_value)v;
    for (int64_t i = 0; i < plan->n_nodes; i++)
        if (ins_plan_is_view(&plan->nodes[i])) class_of[plan->nodes[i].out0] = class_of[plan->nodes[i].in[0]];
    return class_of;
}

/* ---- collecting: outputs, kept taps, and the nodes that they need ---- */

static ins_status add_output(ins_plan *plan, int64_t name) {
    plan->outputs[plan->n_outputs++] =
        (plan_output){.name = name, .value = plan->g->names[name].value, .storage = PLAN_NONE, .copy_from = PLAN_NONE};
    return INS_OK;
}

static ins_status find_tap(const ins_graph *g, const char *text, int64_t *name, ins_error *err) {
    *name = ins_graph_name_find(g, text);
    if (*name >= 0 && g->names[*name].kind >= GRAPH_OUTPUT) return INS_OK;
    ins_status status = INS_FAIL(err, INS_USAGE, "the graph has no tap '%s'", text);
    const char *nearest = ins_graph_name_nearest(g, text);
    if (nearest) ins_error_hint(err, "did you mean '%s'?", nearest);
    return status;
}

static ins_status collect_outputs(ins_plan *plan, const ins_plan_options *options, ins_error *err) {
    const ins_graph *g = plan->g;
    plan->outputs = keep(plan, g->n_names, sizeof *plan->outputs, err);
    bool *taken = ins_plan_work(plan, g->n_names, sizeof *taken, err);
    if (!plan->outputs || !taken) return INS_NOMEM;
    for (int64_t i = 0; i < g->n_names; i++) {
        if (g->names[i].kind != GRAPH_OUTPUT) continue;
        add_output(plan, i);
        taken[i] = true;
    }
    for (const char *const *tap = options ? options->keep_taps : NULL; tap && *tap; tap++) {
        int64_t name;
        INS_TRY(find_tap(g, *tap, &name, err));
        if (!taken[name]) add_output(plan, name);
        taken[name] = true;
    }
    if (plan->n_outputs) return INS_OK;
    ins_status status = INS_FAIL(err, INS_USAGE, "the graph has no output, so there is nothing to run");
    ins_error_hint(err, "name a value with ins_graph_output or keep a tap");
    return status;
}

/* Is an output of node i live? A node whose output became a leaf (ins_graph_detach_casts) is not needed. */
static bool is_needed(const ins_graph *g, const bool *live, int64_t i) {
    const graph_node *node = &g->nodes[i];
    bool any = false;
    for (int j = 0; j < node->sig->n_out; j++) any |= live[node->out0 + j];
    return any && g->values[node->out0].node >= 0;
}

ins_status ins_plan_collect(ins_plan *plan, const ins_plan_options *options, ins_error *err) {
    const ins_graph *g = plan->g;
    plan->n_values = plan->n_graph_values = g->n_values;
    INS_TRY(collect_outputs(plan, options, err));
    bool *live = ins_plan_work(plan, g->n_values, sizeof *live, err);
    plan->nodes = keep(plan, g->n_nodes, sizeof *plan->nodes, err);
    if (!live || !plan->nodes) return INS_NOMEM;
    for (int64_t i = 0; i < plan->n_outputs; i++) live[plan->outputs[i].value] = true;
    for (int64_t i = g->n_nodes - 1; i >= 0; i--)
        for (int j = 0; j < g->nodes[i].sig->n_in && is_needed(g, live, i); j++)
            if (g->nodes[i].in[j] >= 0) live[g->nodes[i].in[j]] = true;
    for (int64_t i = 0; i < g->n_nodes; i++) {
        const graph_node *from = &g->nodes[i];
        if (!is_needed(g, live, i)) continue;
        plan_node *node = &plan->nodes[plan->n_nodes++];
        *node = (plan_node){
            .sig = from->sig, .scope = from->scope, .out0 = from->out0, .scratch = PLAN_NONE, .acc_from = PLAN_NONE};
        node->backward = g->n_forward > 0 && i >= g->n_forward;
        memcpy(node->in, from->in, sizeof node->in);
    }
    return INS_OK;
}

/* ---- cost ---- */

static double node_flops(const ins_op_sig *sig) {
    if (sig->op->flags & INS_OP_VIEW) return 0;
    if (sig->op->flops) return sig->op->flops(sig);
    double elements = 0;
    for (int j = 0; j < sig->n_out; j++) elements += (double)ins_type_count(&sig->out[j]);
    return elements;
}

/* What an op reads and writes at least. */
static double node_bytes(const ins_op_sig *sig) {
    double bytes = 0;
    for (int j = 0; j < sig->n_in; j++) bytes += sig->in[j] ? (double)ins_type_bytes(sig->in[j]) : 0;
    for (int j = 0; j < sig->n_out; j++) bytes += (double)ins_type_bytes(&sig->out[j]);
    return bytes;
}

/* What counts as useful work in "model FLOP utilisation": products with a matrix, and attention. */
static bool is_matmul(const ins_op *op) {
    static const char *const prefixes[] = {"linear", "matmul", "attention", "lstm"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(op->head.name, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

static void count_flops(ins_plan *plan) {
    for (int64_t i = 0; i < plan->n_nodes; i++) {
        double flops = node_flops(plan->nodes[i].sig);
        plan->flops += flops;
        if (plan->nodes[i].again) {
            plan->again_flops += flops;
            plan->again_bytes += node_bytes(plan->nodes[i].sig);
        } else if (is_matmul(plan->nodes[i].sig->op)) {
            plan->matmul_flops += flops;
        }
    }
}

/* ---- the plan ---- */

static ins_status build(ins_plan *plan, const ins_plan_options *options, ins_error *err) {
    INS_TRY(ins_plan_collect(plan, options, err));
    if (plan->fuse) INS_TRY(ins_plan_fuse_forward(plan, err));
    INS_TRY(ins_plan_order(plan, err));
    if (plan->fuse) INS_TRY(ins_plan_fuse_sums(plan, err));
    if (plan->recompute == INS_RECOMPUTE_CHEAP) INS_TRY(ins_plan_recompute_cheap(plan, err));
    if (plan->recompute == INS_RECOMPUTE_LAYERS) INS_TRY(ins_plan_recompute_layers(plan, err));
    if (plan->fuse) INS_TRY(ins_plan_fuse_echoes(plan, err));
    INS_TRY(ins_plan_assign(plan, err));
    INS_TRY(ins_plan_place(plan, err));
    count_flops(plan);
    return INS_OK;
}

ins_status ins_plan_new(const ins_graph *g, const ins_plan_options *options, int n_threads, ins_plan **out,
                        ins_error *err) {
    INS_TRY(ins_graph_status(g, err));
    ins_plan *plan = ins_calloc(1, sizeof *plan);
    if (!plan) return INS_FAIL(err, INS_NOMEM, "no memory for a plan");
    plan->g = g;
    plan->n_threads = n_threads > 0 ? n_threads : 1;
    plan->fuse = !options || !options->no_fusion;
    plan->reuse = !options || !options->no_reuse;
    plan->recompute = options ? options->recompute : INS_RECOMPUTE_NONE;
    plan->gemm_choices = options ? options->gemm_choices : NULL;
    plan->arena = ins_arena_new(0);
    plan->work = ins_arena_new(0);
    ins_status status =
        plan->arena && plan->work ? build(plan, options, err) : INS_FAIL(err, INS_NOMEM, "no memory for a plan");
    ins_arena_free(plan->work);
    plan->work = NULL;
    if (status != INS_OK) {
        ins_plan_free(plan);
        return status;
    }
    *out = plan;
    return INS_OK;
}

void ins_plan_free(ins_plan *plan) {
    if (!plan) return;
    ins_arena_free(plan->work);
    ins_arena_free(plan->arena);
    ins_free(plan);
}

size_t ins_plan_arena_bytes(const ins_plan *plan) {
    return plan->arena_bytes;
}
size_t ins_plan_external_bytes(const ins_plan *plan) {
    return plan->external_bytes;
}
double ins_plan_flops(const ins_plan *plan) {
    return plan->flops;
}
double ins_plan_matmul_flops(const ins_plan *plan) {
    return plan->matmul_flops;
}
double ins_plan_again_flops(const ins_plan *plan) {
    return plan->again_flops;
}
double ins_plan_again_bytes(const ins_plan *plan) {
    return plan->again_bytes;
}
