/* Differentiable ops: the descriptor that every op_*.c ends with, and what an op may ask of the graph that it is built
 * into. One file per op: shape rule, run (through kernels), gradient as ops, cost, samples.
 *
 * Values are numbers of a graph. Builders never fail in the middle of a model: the first error is kept in the graph,
 * the builder returns INS_NO_VALUE, and later builders given INS_NO_VALUE or a failed graph do nothing. Check
 * ins_graph_status() once at the end.
 */
#ifndef INS_OP_OP_H
#define INS_OP_OP_H

#include "base/pool.h"
#include "option/component.h"
#include "tensor/tensor.h"

typedef struct ins_graph ins_graph;
typedef struct ins_op ins_op;
typedef int32_t ins_value;
#define INS_NO_VALUE   (-1)
#define INS_OP_MAX_IN  12
#define INS_OP_MAX_OUT 6

/* What a shape rule sees. A missing optional input has in[i] == NULL. */
typedef struct ins_op_sig {
    const ins_op *op;
    const void *attr;
    int n_in, n_out;
    const ins_type *in[INS_OP_MAX_IN];
    ins_type out[INS_OP_MAX_OUT]; /* infer fills these */
} ins_op_sig;

/* One execution. Pointers of missing inputs are NULL; an output after the first may be NULL when nobody reads it.
 * Outputs never alias inputs, except where the op's flags allow it and the planner chose so. */
typedef struct ins_op_call {
    const ins_op_sig *sig;
    const void *in[INS_OP_MAX_IN];
    void *out[INS_OP_MAX_OUT];
    void *scratch; /* op->scratch(sig, threads) bytes, 64-byte aligned; NULL when 0 */
    ins_pool *pool;
    struct ins_gemm_choices *gemm_choices; /* who makes matrix products; NULL = our own kernels */
} ins_op_call;

/* What a gradient rule sees. d_out[i] is INS_NO_VALUE when no gradient flows into that output. The rule emits ops and
 * sets d_in[i] for the inputs with need[i]; leaving INS_NO_VALUE means zero. The gradient of a bf16 value may be bf16
 * or f32; all others have their value's dtype. */
typedef struct ins_op_grad {
    const ins_op_sig *sig;
    const ins_value *in, *out, *d_out;
    const bool *need;
    ins_value *d_in;
} ins_op_grad;

enum {
    INS_OP_VIEW = 1,       /* out[0] is in[0] under another shape: no run, no memory */
    INS_OP_INPLACE = 2,    /* out[0] may be written over in[0] when that is its last use and the bytes are equal */
    INS_OP_ACCUMULATE = 4, /* has an optional input `acc_in` that is added to out[acc_out]; given, they share memory */
    INS_OP_PURE_CHEAP = 8, /* cheap to recompute from its inputs */
};

/* A sample for the generic tests: input types and attributes, built by code so that odd shapes are easy. */
typedef struct ins_op_sample {
    const char *name;
    int n_in;
    ins_type in[INS_OP_MAX_IN]; /* float inputs are declared F32; the f64 test turns them into F64 */
    const void *attr;
    /* Inputs that are integers or must lie in a range are filled by this (NULL = normal(0,1) for floats). */
    void (*fill)(int input, const ins_type *type, void *data);
    double kink;        /* |x| below 10 h of a kink at 0 is skipped when > 0 */
    unsigned keep_real; /* bit i: input i stays f32 when the sample runs in bf16 (norm weights, biases, loss weights) */
} ins_op_sample;

struct ins_op {
    ins_component head; /* family "op" */
    int n_in_min, n_in; /* the first n_in_min inputs are required, up to n_in in all */
    int n_out;
    const char *in_names, *out_names; /* space-separated, for messages */
    size_t attr_size;                 /* bytes of the attribute struct (plain data, copied, hashed) */
    unsigned flags;
    int acc_in, acc_out; /* with INS_OP_ACCUMULATE */
    ins_status (*infer)(ins_op_sig *sig, ins_error *err);
    ins_status (*run)(const ins_op_call *call, ins_error *err);
    size_t (*scratch)(const ins_op_sig *sig, int n_threads);                /* NULL = none */
    ins_status (*grad)(ins_graph *g, const ins_op_grad *a, ins_error *err); /* NULL = not differentiable */
    const char *nondiff_reason;                                             /* required when grad is NULL */
    double (*flops)(const ins_op_sig *sig);                                 /* NULL = elements of the outputs */
    const ins_op_sample *samples;                                           /* ended by a sample with name NULL */
    unsigned no_grad_out; /* bit i: no gradient flows through output i (saved statistics, counts) */
    /* Outputs that repeat out[0], for a planner that finds a cast or a column_sum of it: its numbers in bf16, its
     * column sums in acc, with the bits of those ops. 0 = none. Graphs do not use them. */
    int copy_out, sum_out;
};

/* ---- what an op may ask of its graph; implemented by the graph room -------------------------------------------- */

/* Add a node. in has n_in entries (INS_NO_VALUE = missing optional). out gets op->n_out values. Returns out[0]. */
ins_value ins_graph_emit(ins_graph *g, const ins_op *op, const void *attr, const ins_value *in, int n_in,
                         ins_value *out);
const ins_type *ins_graph_type(const ins_graph *g, ins_value v);
ins_dtype ins_graph_real(const ins_graph *g);    /* F32, or F64 in gradient checks */
ins_dtype ins_graph_compute(const ins_graph *g); /* dtype of matrix products: F32, F64 or BF16 */
/* Keep an error found by a builder (first one wins); returns INS_NO_VALUE. */
ins_value ins_graph_fail(ins_graph *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
ins_status ins_graph_status(const ins_graph *g, ins_error *err); /* INS_OK, or the first error copied into err */

extern const ins_family ins_family_op;

#endif
