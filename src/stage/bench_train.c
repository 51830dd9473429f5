/* Training speed on fixed shapes: see bench_train.h. */
#include "stage/bench_train.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "kernel/probe_machine.h"

enum { WARMUP = 2 };

static int compare_doubles(const void *x, const void *y) {
    double left = *(const double *)x, right = *(const double *)y;
    return left < right ? -1 : left > right;
}

ins_bench_spread ins_bench_spread_of(double *values, int64_t n) {
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    double median = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    return (ins_bench_spread){values[0], median, values[n - 1]};
}

ins_bench_probe ins_bench_probe_now(ins_dtype dtype, ins_pool *pool) {
    return (ins_bench_probe){ins_probe_flops(dtype, pool), ins_probe_read_bandwidth(pool),
                             ins_probe_update_bandwidth(pool)};
}

/* ---- memory of this process ---- */

/* Forget the peak so far (Linux; elsewhere it stays what it was). */
static void reset_peak_memory(void) {
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t ignored = write(file, "5", 1);
    (void)ignored;
    close(file);
}

static int64_t peak_memory(void) {
    char line[256];
    long long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %lld kB", &kib) == 1) break;
    if (file) fclose(file);
    struct rusage usage;
    if (kib == 0 && getrusage(RUSAGE_SELF, &usage) == 0) kib = (long long)usage.ru_maxrss;
    return (int64_t)kib * 1024;
}

static uint64_t page_faults(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)(usage.ru_minflt + usage.ru_majflt) : 0;
}

/* ---- measuring ---- */

typedef struct timing {
    ins_bench_run run;
    ins_bench_probe probes[INS_BENCH_MAX_ROUNDS + 1];
    double *ms, *update_ms; /* [steps], rounds one after the other */
} timing;

static double bound_ms(const ins_bench_work *work, double flops, double update) {
    return 1e3 * (work->flop / flops + work->bytes / update);
}

static ins_status time_round(timing *t, int64_t first, int64_t last, ins_bench_result *out, ins_error *err) {
    uint64_t allocs = ins_mem_get_stats().n_allocs, faults = page_faults();
    for (int64_t i = first; i < last; i++) {
        INS_TRY(ins_bench_run_step(&t->run, &t->ms[i], err));
        t->update_ms[i] = 1e3 * t->run.update_seconds;
    }
    out->steady_allocs += ins_mem_get_stats().n_allocs - allocs;
    out->steady_faults += page_faults() - faults;
    return INS_OK;
}

/* The rates of all ranks together: they probe at the same time, as they train. */
static ins_status probe(const ins_bench_setup *setup, ins_bench_probe *out, ins_error *err) {
    INS_TRY(ins_comm_barrier(setup->comm, err));
    ins_bench_probe own = ins_bench_probe_now(setup->dtype, setup->pool);
    double rates[] = {own.flops, own.read, own.update};
    INS_TRY(ins_comm_sum(setup->comm, rates, 3, err));
    *out = (ins_bench_probe){.flops = rates[0], .read = rates[1], .update = rates[2]};
    return INS_OK;
}

static ins_status sum_ranks(ins_comm *comm, ins_bench_result *out, ins_error *err) {
    double sums[] = {(double)out->peak_rss_bytes, (double)out->arena_bytes, (double)out->steady_allocs,
                     (double)out->steady_faults, out->threads};
    INS_TRY(ins_comm_sum(comm, sums, 5, err));
    out->peak_rss_bytes = (int64_t)sums[0], out->arena_bytes = (int64_t)sums[1];
    out->steady_allocs = (uint64_t)sums[2], out->steady_faults = (uint64_t)sums[3];
    out->threads = (int)sums[4];
    return INS_OK;
}

/* One probe more than rounds. The first comes before the model takes its memory, and memory is read before the second,
 * so that the peak is that of training alone. */
static ins_status measure(timing *t, const ins_bench_setup *setup, ins_bench_result *out, ins_error *err) {
    double warm = 0;
    INS_TRY(probe(setup, &t->probes[0], err));
    reset_peak_memory();
    INS_TRY(ins_comm_agree(setup->comm, ins_bench_run_new(setup, &t->run, err), err));
    INS_TRY(ins_bench_run_step(&t->run, &out->first_step_ms, err));
    for (int i = 1; i < WARMUP; i++) INS_TRY(ins_bench_run_step(&t->run, &warm, err));
    for (int64_t round = 0; round < out->n_rounds; round++) {
        int64_t first = out->steps * round / out->n_rounds, last = out->steps * (round + 1) / out->n_rounds;
        INS_TRY(time_round(t, first, last, out, err));
        if (round == 0) out->peak_rss_bytes = peak_memory();
        INS_TRY(probe(setup, &t->probes[round + 1], err));
    }
    out->arena_bytes = (int64_t)ins_plan_arena_bytes(ins_train_graph_plan(t->run.graph));
    out->work = ins_bench_run_work(&t->run);
    return sum_ranks(setup->comm, out, err);
}

static ins_status profile_step(timing *t, ins_str *profile, ins_error *err) {
    double ms = 0;
    ins_exec_profile(ins_train_graph_exec(t->run.graph), true);
    INS_TRY(ins_bench_run_step(&t->run, &ms, err));
    ins_exec_profile_dump(ins_train_graph_exec(t->run.graph), profile);
    return INS_OK;
}

static ins_bench_spread probe_spread(const timing *t, int64_t n, size_t offset, double unit) {
    double values[INS_BENCH_MAX_ROUNDS + 1] = {0};
    for (int64_t i = 0; i < n; i++) memcpy(&values[i], (const char *)&t->probes[i] + offset, sizeof values[i]);
    ins_bench_spread spread = ins_bench_spread_of(values, n);
    return (ins_bench_spread){spread.min / unit, spread.median / unit, spread.max / unit};
}

/* The bound that each probe alone gives: what its two rates are worth to this model. */
static bool is_unsteady(const timing *t, const ins_bench_work *work, int64_t n) {
    double bounds[INS_BENCH_MAX_ROUNDS + 1] = {0};
    for (int64_t i = 0; i < n; i++) bounds[i] = bound_ms(work, t->probes[i].flops, t->probes[i].update);
    ins_bench_spread spread = ins_bench_spread_of(bounds, n);
    return spread.max > (1 + INS_BENCH_UNSTEADY) * spread.min;
}

static void conclude(timing *t, ins_bench_result *out) {
    double ratios[INS_BENCH_MAX_ROUNDS] = {0};
    for (int64_t round = 0; round < out->n_rounds; round++) {
        int64_t first = out->steps * round / out->n_rounds, last = out->steps * (round + 1) / out->n_rounds;
        const ins_bench_probe *before = &t->probes[round], *after = before + 1;
        ins_bench_round *r = &out->rounds[round];
        r->ms = ins_bench_spread_of(t->ms + first, last - first).median;
        r->bound_ms = bound_ms(&out->work, (before->flops + after->flops) / 2, (before->update + after->update) / 2);
        ratios[round] = r->ratio = r->ms / r->bound_ms;
    }
    ins_bench_spread ms = ins_bench_spread_of(t->ms, out->steps), ratio = ins_bench_spread_of(ratios, out->n_rounds);
    out->ms_min = ms.min, out->ms_median = ms.median, out->ms_max = ms.max;
    out->ratio_min = ratio.min, out->ratio = ratio.median, out->ratio_max = ratio.max;
    out->update_ms = ins_bench_spread_of(t->update_ms, out->steps).median;
    out->bound_ms = out->ms_median / out->ratio;
    int64_t n = out->n_rounds + 1;
    out->peak_gflops = probe_spread(t, n, offsetof(ins_bench_probe, flops), 1e9);
    out->read_gbs = probe_spread(t, n, offsetof(ins_bench_probe, read), 1e9);
    out->update_gbs = probe_spread(t, n, offsetof(ins_bench_probe, update), 1e9);
    out->unsteady = is_unsteady(t, &out->work, n);
    out->tokens_per_s = (double)out->work.tokens / (out->ms_median * 1e-3);
    out->gflops = out->work.flop / (out->ms_median * 1e6);
}

ins_status ins_bench_train(const ins_bench_options *options, ins_pool *pool, ins_comm *comm, ins_str *profile,
                           ins_bench_result *out, ins_error *err) {
    timing t = {0};
    int64_t steps = options->steps ? options->steps : 20, rounds = options->rounds ? options->rounds : 5;
    if (steps < 1 || steps > 1000000 || rounds < 1 || rounds > INS_BENCH_MAX_ROUNDS)
        return INS_FAIL(err, INS_USAGE, "a benchmark has 1 to 1000000 steps in 1 to %d rounds", INS_BENCH_MAX_ROUNDS);
    ins_bench_setup setup = {
        .dtype = options->dtype, .gemm = options->gemm, .recompute = options->recompute, .pool = pool, .comm = comm};
    INS_TRY(ins_bench_shape_find(options->model, options->config, &setup.shape, err));
    *out = (ins_bench_result){.model = setup.shape->model,
                              .config = setup.shape->config,
                              .dtype = options->dtype,
                              .steps = steps,
                              .threads = ins_pool_threads(pool),
                              .ranks = ins_comm_size(comm),
                              .n_rounds = rounds < steps ? rounds : steps};
    t.ms = ins_calloc((size_t)steps, sizeof *t.ms);
    t.update_ms = ins_calloc((size_t)steps, sizeof *t.update_ms);
    ins_status status = INS_OK;
    if (!t.ms || !t.update_ms) status = INS_FAIL(err, INS_NOMEM, "no memory for the benchmark");
    if (status == INS_OK) status = measure(&t, &setup, out, err);
    if (status == INS_OK && profile) status = profile_step(&t, profile, err);
    if (status == INS_OK) conclude(&t, out);
    ins_bench_run_free(&t.run);
    ins_free(t.ms);
    ins_free(t.update_ms);
    return status;
}
