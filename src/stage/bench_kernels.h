/* Speed of every op against its own bound, where it is used: inside of a training step, and, for the ops that the
 * step lacks, inside of a graph that is made of them.
 *
 *   bound = FLOP / multiply-add peak of its type + bytes / bandwidth of the AdamW pattern
 *
 * FLOP are the op's own count (attention: of the pairs that its mask shows); bytes are its inputs and outputs, each
 * once, or what is touched of them where an op picks. Data that a step leaves in a cache can be used faster than the
 * bandwidth of memory, so that a ratio below 1 is possible for ops that only move data.
 */
#ifndef INS_STAGE_BENCH_KERNELS_H
#define INS_STAGE_BENCH_KERNELS_H

#include "stage/bench_train.h"

typedef struct ins_bench_kernel {
    bool in_step;     /* part of the training step; else of the graph of other ops */
    const char *op;   /* "linear"; "adamw" for the optimizer */
    const char *what; /* "256x768 2304x768 > 256x2304" */
    ins_dtype dtype;  /* bf16 when an input is, else that of its first float input */
    int64_t calls;    /* of this op with these shapes in one run */
    double ms;        /* of one call, median of the repetitions */
    double bound_ms, flop, bytes;
    const char *impl; /* "cpu-avx512" */
} ins_bench_kernel;

typedef struct ins_bench_kernels {
    ins_arena *arena;
    ins_bench_kernel *rows; /* the step first, then the others; each by time, longest first */
    int64_t n, cap;
    ins_bench_probe probe; /* means of before and after */
    double peak_f32;       /* FLOP/s, for the f32 ops of a bf16 step */
    const char *not_timed; /* ops of the registry that have no row, and do work */
} ins_bench_kernels;

/* Shapes of gpt2 with the options' config; steps is the number of repetitions, 0 = 5. On failure too,
 * ins_bench_kernels_free is due. */
ins_status ins_bench_kernels_run(const ins_bench_options *options, ins_pool *pool, ins_bench_kernels *out,
                                 ins_error *err);
void ins_bench_kernels_free(ins_bench_kernels *kernels);

/* bench_ops.c: a graph that uses the ops which training steps of gpt2 lack, at that shape, and its gradients; ready to
 * run. */
typedef struct ins_bench_ops {
    ins_graph *graph;
    ins_plan *plan;
    ins_exec *exec;
    void *memory; /* of the leaves */
    size_t bytes;
} ins_bench_ops;
ins_status ins_bench_ops_new(const ins_bench_setup *setup, int64_t width, ins_bench_ops *out, ins_error *err);
void ins_bench_ops_free(ins_bench_ops *ops);

/* bench_cost.c: what a call costs at least, and who does it. */
typedef struct ins_bench_cost {
    double flop, bytes;
} ins_bench_cost;
ins_bench_cost ins_bench_cost_of(const ins_op_call *call);
/* The type whose peak is the bound: bf16 when an input is, else that of the first float input. */
ins_dtype ins_bench_call_dtype(const ins_op_call *call);
/* Name of what runs a kernel ("norm") for a type; "" for a kernel that is not known. */
const char *ins_bench_kernel_impl(const char *kernel, ins_dtype dtype);
const char *ins_bench_impl_of(const ins_op_call *call);

#endif
