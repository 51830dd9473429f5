/* Static graph: built once per batch shape, differentiated, planned, then run every step.
 *
 * Ops are pure functions, so a node that is built twice (same op, attributes and inputs) is one node.
 *
 *   ins_graph_new -> inputs, parameters, builders (op/build.h), ins_graph_output -> ins_graph_gradients
 *   -> ins_plan_new -> ins_exec_new -> bind -> run, run, run
 */
#ifndef INS_GRAPH_GRAPH_H
#define INS_GRAPH_GRAPH_H

#include "op/build.h"

/* real: F32 or F64. compute: dtype of matrix products (F32, BF16; F64 with real F64). */
ins_status ins_graph_new(ins_dtype real, ins_dtype compute, ins_graph **out, ins_error *err);
void ins_graph_free(ins_graph *g);

/* Leaves bound by the caller before each run (ins_exec_bind). Names are unique. Parameters are leaves too: their memory
 * is a row of a slab. */
ins_value ins_graph_input(ins_graph *g, const char *name, ins_type type);
ins_value ins_graph_param(ins_graph *g, const char *name, ins_type type);
ins_value ins_graph_find(const ins_graph *g, const char *name); /* input, parameter, output or tap; or INS_NO_VALUE */

/* Keep v to the end of the run under this name. An output may be bound to the caller's memory (gradients to a slab). */
void ins_graph_output(ins_graph *g, ins_value v, const char *name);
/* After the gradients: what the graph casts a parameter to, in the compute dtype, becomes a leaf named NAME + suffix,
 * to be bound like the parameter. For owners who keep parameters in both dtypes: the cast leaves every run. */
ins_status ins_graph_detach_casts(ins_graph *g, const char *suffix, ins_error *err);
/* Name an activation ("layers.3.mlp_out"). Costs nothing unless the plan is asked to keep it. A name that is used again
 * (a model built twice into one graph) gets "#2", "#3", ... */
void ins_graph_tap(ins_graph *g, ins_value v, const char *name);
/* All names of taps, in build order. */
int64_t ins_graph_n_taps(const ins_graph *g);
const char *ins_graph_tap_name(const ins_graph *g, int64_t i);

/* Names for the ops that follow, in messages and profiles ("layers.3"); nests by push/pop. */
void ins_graph_push_scope(ins_graph *g, const char *name);
void ins_graph_pop_scope(ins_graph *g);

/* Reverse mode: emit ops for d loss / d wrt[i] into the same graph; d_wrt[i] is INS_NO_VALUE where loss does not depend
 * on wrt[i]. May be called on the result of a previous call (gradients of gradients). loss must be a scalar. */
ins_status ins_graph_gradients(ins_graph *g, ins_value loss, const ins_value *wrt, int64_t n, ins_value *d_wrt,
                               ins_error *err);

int64_t ins_graph_n_nodes(const ins_graph *g);
/* Readable listing: one line a node, "12 linear(x=#3 f32[256, 768], w=...) -> #13 f32[...] layers.0". */
void ins_graph_dump(const ins_graph *g, ins_str *out);

/* ---- plan ------------------------------------------------------------------------------------------------------ */
typedef struct ins_plan ins_plan;
/* Less memory for more time; the results are the same bits.
 *   cheap    what is cheap to compute is computed again in the backward pass: norms, activation functions, casts
 *   layers   of each layer ("layers.N" scope) only its input is kept; the backward pass computes the layer again */
typedef enum ins_recompute { INS_RECOMPUTE_NONE, INS_RECOMPUTE_CHEAP, INS_RECOMPUTE_LAYERS } ins_recompute;
enum { INS_RECOMPUTES = 3 };
typedef struct ins_plan_options {
    const char *const *keep_taps; /* taps to keep to the end; NULL-ended, or NULL */
    bool no_fusion;               /* tests: plain graph */
    bool no_reuse;                /* tests: every value its own memory */
    ins_recompute recompute;
    struct ins_gemm_choices *gemm_choices; /* who makes matrix products (kernel/gemm_choice.h); outlives the plan */
} ins_plan_options;

/* Dead code removal, fusions (loss into its gradient pass, accumulation in place), order, memory offsets. The graph
 * must outlive the plan. n_threads: those of the pool that will run it, or more (scratch memory depends on it). */
ins_status ins_plan_new(const ins_graph *g, const ins_plan_options *options, int n_threads, ins_plan **out,
                        ins_error *err);
void ins_plan_free(ins_plan *plan);
size_t ins_plan_arena_bytes(const ins_plan *plan);    /* activations + scratch: what ins_exec_new allocates */
size_t ins_plan_external_bytes(const ins_plan *plan); /* inputs, parameters, bound outputs */
double ins_plan_flops(const ins_plan *plan);          /* of one run, all ops */
double ins_plan_matmul_flops(const ins_plan *plan);   /* linear, matmul, attention, head, once each: for MFU */
double ins_plan_again_flops(const ins_plan *plan);    /* what recompute adds, and the memory traffic of it */
double ins_plan_again_bytes(const ins_plan *plan);

/* ---- executor -------------------------------------------------------------------------------------------------- */
typedef struct ins_exec ins_exec;
ins_status ins_exec_new(const ins_plan *plan, ins_pool *pool, ins_exec **out, ins_error *err);
void ins_exec_free(ins_exec *exec);

/* Memory of a leaf or a named output: `data` has ins_type_bytes, outlives the runs and overlaps no other binding. An
 * output that is not bound lives in memory of the executor (made by the first run); NULL unbinds. INS_USAGE
 * for an unknown name or a value that the plan does not have (an unused input is fine: INS_OK, ignored). */
ins_status ins_exec_bind(ins_exec *exec, const char *name, void *data, ins_error *err);
/* Same by value; INS_NO_VALUE is ignored. */
ins_status ins_exec_bind_value(ins_exec *exec, ins_value v, void *data, ins_error *err);
/* Memory of an output or kept tap after a run (NULL if there is none). */
const void *ins_exec_data(const ins_exec *exec, const char *name);

/* One run: no allocation, deterministic for any thread count. INS_USAGE names an unbound leaf. */
ins_status ins_exec_run(ins_exec *exec, ins_error *err);
/* Same, checking every float output: INS_NUMERIC names the first op that made a non-finite value, and its scope. */
ins_status ins_exec_run_checked(ins_exec *exec, ins_error *err);

/* Somebody who wants outputs before the run is over (gradients that go to other processes). Both functions are called
 * on the thread of the run, between ops: `ready` once a run for each watched output, when its memory will not be
 * written again in this run; `tick` after every op. */
typedef struct ins_exec_watcher {
    void (*ready)(void *arg, int64_t index); /* of the list of outputs */
    void (*tick)(void *arg);
    void *arg;
} ins_exec_watcher;
/* outputs: names; NULL entries and names that the graph does not have are never ready. n 0 = watch no more. Allocates:
 * before the first run. */
ins_status ins_exec_watch(ins_exec *exec, const char *const *outputs, int64_t n, const ins_exec_watcher *watcher,
                          ins_error *err);

/* Seconds per op name of the last profiled run, largest first; for `instar bench` and reports. */
void ins_exec_profile(ins_exec *exec, bool on);
void ins_exec_profile_dump(const ins_exec *exec, ins_str *out);

#endif
