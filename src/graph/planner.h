/* Inside of a plan: for the files of this room and its tests.
 *
 * A plan is an ordered list of nodes (one step each) and a list of storages. A storage is one piece of memory; values
 * that may share bytes (views, results written over their input, accumulations) have the same storage.
 */
#ifndef INS_GRAPH_PLANNER_H
#define INS_GRAPH_PLANNER_H

#include "graph/graph_impl.h"

#define PLAN_ALIGN 64 /* bytes: a cache line and the widest vector */
#define PLAN_NONE  (-1)

typedef struct plan_node {
    const ins_op_sig *sig;
    const char *scope;
    ins_value in[INS_OP_MAX_IN];
    ins_value out0;
    int32_t scratch;  /* storage, or PLAN_NONE */
    int32_t acc_from; /* storage that is copied to out[acc_out] before the run, or PLAN_NONE */
    bool backward;    /* added by a gradient */
    bool again;       /* repeats an earlier node */
} plan_node;

typedef enum plan_where { PLAN_LEAF, PLAN_OUTPUT, PLAN_ARENA } plan_where;

typedef struct plan_storage {
    plan_where where;
    ins_value leaf;      /* PLAN_LEAF */
    const char *name;    /* leaf or output; NULL in the arena */
    size_t bytes;        /* of the value */
    size_t offset;       /* in the arena, or in the block of outputs that the caller did not bind */
    int64_t first, last; /* steps between which it holds something that is needed; last = n_nodes: to the end */
} plan_storage;

typedef struct plan_output {
    int64_t name; /* index in the graph's names */
    ins_value value;
    int32_t storage;
    int32_t copy_from; /* storage that is copied here at the end of a run, or PLAN_NONE */
} plan_output;

struct ins_plan {
    const ins_graph *g;
    int n_threads;
    bool fuse, reuse;
    ins_recompute recompute;
    struct ins_gemm_choices *gemm_choices; /* NULL = our own kernels */
    int64_t n_graph_values;                /* of the graph when the plan was made */
    int64_t n_values;                      /* those, and what planning added behind them */
    plan_node *nodes;
    int64_t n_nodes;
    ins_value *class_of; /* [n_values] what a value is a view of; itself when it is none */
    int32_t *storage_of; /* [n_values] PLAN_NONE = not in the plan */
    plan_storage *storages;
    int64_t n_storages;
    plan_output *outputs;
    int64_t n_outputs;
    size_t arena_bytes, output_bytes, external_bytes;
    double flops, matmul_flops, again_flops, again_bytes;
    ins_arena *arena; /* all lists above */
    ins_arena *work;  /* lists that only planning needs; freed before the plan is handed out */
};

/* The passes, in this order. Each leaves a valid plan. */
ins_status ins_plan_collect(ins_plan *plan, const ins_plan_options *options, ins_error *err); /* planner.c */
ins_status ins_plan_fuse_forward(ins_plan *plan, ins_error *err);                             /* planner_fuse.c */
ins_status ins_plan_order(ins_plan *plan, ins_error *err);                                    /* planner_order.c */
ins_status ins_plan_fuse_sums(ins_plan *plan, ins_error *err);                                /* planner_sums.c */
ins_status ins_plan_recompute_cheap(ins_plan *plan, ins_error *err);  /* planner_recompute.c, when asked */
ins_status ins_plan_recompute_layers(ins_plan *plan, ins_error *err); /* planner_layers.c, when asked */
ins_status ins_plan_fuse_echoes(ins_plan *plan, ins_error *err);      /* planner_echo.c */
ins_status ins_plan_assign(ins_plan *plan, ins_error *err);           /* planner_assign.c */
ins_status ins_plan_place(ins_plan *plan, ins_error *err);            /* planner_place.c */

/* Nodes that run again (planner_repeat.c): begin, add them with consumers before producers, end. */
typedef struct plan_repeat {
    plan_node node;
    int64_t before; /* it runs just before this node of the old order */
} plan_repeat;
typedef struct plan_repeats {
    plan_repeat *copies;
    int64_t n_copies;
    ins_value *again; /* by value: its repeated twin, or INS_NO_VALUE */
    ins_value next;   /* free number of a value */
} plan_repeats;
ins_status ins_plan_repeats_begin(plan_repeats *r, ins_plan *plan, ins_error *err);
void ins_plan_repeat(plan_repeats *r, const ins_plan *plan, int64_t index, int64_t before);
/* Nodes behind the border read the twins; border PLAN_NONE: nodes of the backward pass do. */
ins_status ins_plan_repeats_end(const plan_repeats *r, ins_plan *plan, int64_t border, ins_error *err);

/* Zeroed list of n items that lives as long as planning; NULL after recording INS_NOMEM. */
void *ins_plan_work(ins_plan *plan, int64_t n, size_t item_size, ins_error *err);
/* Index of the node that makes each value, or PLAN_NONE (leaves, values outside the plan); [n_values], NULL on OOM. */
int32_t *ins_plan_producers(ins_plan *plan, ins_error *err);
/* Drop the nodes with drop[i], keeping the order of the others. */
void ins_plan_compact(ins_plan *plan, const bool *drop);
/* Replace values by[v] >= 0 everywhere (inputs and outputs of the plan). */
void ins_plan_replace(ins_plan *plan, const ins_value *by);
/* Views of one value are one class: class_of[v] is the value that is seen. [n_values]; NULL on OOM. */
ins_value *ins_plan_classes(ins_plan *plan, ins_error *err);

/* Bytes that a storage takes, with what separates it from the next. */
static inline size_t ins_plan_padded(size_t bytes) {
    return ((bytes ? bytes : 1) + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static inline bool ins_plan_is_view(const plan_node *node) {
    return (node->sig->op->flags & INS_OP_VIEW) != 0;
}

#endif
