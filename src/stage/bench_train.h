/* Training speed on fixed shapes (bench_setup.h), against the machine's own bound probed in the same process.
 *
 *   P = FLOP of matrix products and attention / multiply-add peak + bytes / bandwidth of the AdamW pattern
 *
 * The steps are cut into rounds and the machine is probed before, between and after them, because shared hosts change
 * their speed within seconds. A round's bound is P at the mean of the two probes around it; a round's ratio is its
 * median step over that bound.
 */
#ifndef INS_STAGE_BENCH_TRAIN_H
#define INS_STAGE_BENCH_TRAIN_H

#include "base/pool.h"
#include "base/str.h"
#include "stage/bench_setup.h"

#define INS_BENCH_MAX_ROUNDS 32

typedef struct ins_bench_spread {
    double min, median, max;
} ins_bench_spread;

typedef struct ins_bench_options {
    const char *model; /* NULL = "gpt2" */
    char config;       /* 0 = 'D' */
    ins_dtype dtype;   /* F32 or BF16 */
    ins_gemm_policy gemm;
    ins_recompute recompute;
    int64_t steps;  /* timed, after two that are not; 0 = 20 */
    int64_t rounds; /* 0 = 5; no more than steps */
} ins_bench_options;

typedef struct ins_bench_round {
    double ms, bound_ms, ratio;
} ins_bench_round;

typedef struct ins_bench_result {
    const char *model;
    char config; /* 0 for models that have one shape */
    ins_dtype dtype;
    int64_t steps, n_rounds;
    int threads, ranks; /* threads of all ranks */
    ins_bench_round rounds[INS_BENCH_MAX_ROUNDS];
    double ms_min, ms_median, ms_max;                   /* of all timed steps */
    double update_ms;                                   /* the optimizer's part, median */
    double first_step_ms;                               /* memory is touched for the first time */
    double tokens_per_s, gflops;                        /* of the median step */
    ins_bench_spread peak_gflops, read_gbs, update_gbs; /* probes */
    bool unsteady;   /* the bounds of single probes differ by more than INS_BENCH_UNSTEADY */
    double bound_ms; /* P that goes with the median step: ms_median / ratio */
    double ratio;    /* median of the rounds */
    double ratio_min, ratio_max;
    ins_bench_work work;
    int64_t peak_rss_bytes; /* of training, probes left out */
    int64_t arena_bytes;
    uint64_t steady_allocs, steady_faults; /* heap allocations and page faults in the timed steps */
} ins_bench_result;

#define INS_BENCH_UNSTEADY 0.15

/* profile (may be NULL) gets the time per op. With ranks (comm; else NULL) the rows of a step are shared out, and what
 * is reported, probes and memory too, is of all of them. */
ins_status ins_bench_train(const ins_bench_options *options, ins_pool *pool, ins_comm *comm, ins_str *profile,
                           ins_bench_result *out, ins_error *err);

/* Sorts. n >= 1. */
ins_bench_spread ins_bench_spread_of(double *values, int64_t n);

/* The three rates, all threads. */
typedef struct ins_bench_probe {
    double flops, read, update; /* FLOP/s, bytes/s */
} ins_bench_probe;
ins_bench_probe ins_bench_probe_now(ins_dtype dtype, ins_pool *pool);

#endif
