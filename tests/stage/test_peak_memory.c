/* labels: timing
 * Memory of training on the benchmarks' shapes: what is planned is what is taken, and a step that is like the one
 * before takes no page and no allocation. (No assertion on time; alone, because others' memory is in the way.) */
#include "base/testing.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem_system.h"
#include "objective/train_graph.h"
#include "stage/bench_setup.h"
#include "stage/train_run.h"

typedef struct measured {
    double planned, grown; /* bytes */
    int64_t faults;
    uint64_t allocs;
} measured;

static int64_t page_faults(void) {
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return (int64_t)(usage.ru_minflt + usage.ru_majflt);
}

static double planned_bytes(const ins_bench_run *run, ins_recompute recompute) {
    ins_trainer_cost costs[INS_RECOMPUTES];
    const ins_trainer_options options = {.objective = run->objective,
                                         .optimizer = run->optimizer,
                                         .compute = run->dtype,
                                         .context = run->shape->cols,
                                         .micro_rows = run->shape->rows,
                                         .n_micro = 1};
    assert_ok(ins_trainer_costs(run->model, &options, false, run->pool, costs, NULL));
    return (double)costs[recompute].bytes;
}

static measured train(char config, ins_dtype dtype, ins_recompute recompute) {
    ins_pool *pool = NULL;
    ins_bench_run run;
    double ms;
    ins_bench_setup setup = {.dtype = dtype, .recompute = recompute};
    assert_ok(ins_pool_new(2, &pool, NULL));
    setup.pool = pool;
    assert_ok(ins_bench_shape_find("gpt2", config, &setup.shape, NULL));
    int64_t before = ins_mem_resident();
    assert_true(before > 0);
    assert_ok(ins_bench_run_new(&setup, &run, NULL));
    for (int i = 0; i < 2; i++) assert_ok(ins_bench_run_step(&run, &ms, NULL));
    page_faults(); /* once before it counts: the code of the call itself */
    uint64_t allocs = ins_mem_get_stats().n_allocs;
    int64_t faults = page_faults();
    for (int i = 2; i < 4; i++) assert_ok(ins_bench_run_step(&run, &ms, NULL));
    measured m = {.faults = page_faults() - faults, .allocs = ins_mem_get_stats().n_allocs - allocs};
    m.grown = (double)(ins_mem_resident() - before);
    m.planned = planned_bytes(&run, recompute);
    ins_bench_run_free(&run);
    ins_pool_free(pool);
    return m;
}

/* In a process of its own, so that nothing is left of the one before. */
static measured train_alone(char config, ins_dtype dtype, ins_recompute recompute) {
    int ends[2], status = 0;
    measured m = {0};
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        m = train(config, dtype, recompute);
        ssize_t sent = write(ends[1], &m, sizeof m);
        _exit(sent == sizeof m ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &m, sizeof m), sizeof m);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return m;
}

/* What the first steps touch besides: code of the kernels, stacks of the threads. */
#define PROCESS_BYTES INS_TRAIN_PROCESS_BYTES

static void the_plan_is_what_is_taken(void **state) {
    (void)state;
    static const ins_dtype dtypes[] = {INS_DTYPE_F32, INS_DTYPE_BF16, INS_DTYPE_F32, INS_DTYPE_F32};
    static const ins_recompute ways[] = {INS_RECOMPUTE_NONE, INS_RECOMPUTE_NONE, INS_RECOMPUTE_CHEAP,
                                         INS_RECOMPUTE_LAYERS};
    double grown[4];
    for (int i = 0; i < 4; i++) {
        measured m = train_alone('D', dtypes[i], ways[i]);
        printf("D %s, recompute %d: planned %.1f MB, taken %.1f MB (%.3f), %lld faults\n", ins_dtype_name(dtypes[i]),
               (int)ways[i], m.planned / 1e6, m.grown / 1e6, m.planned / m.grown, (long long)m.faults);
        assert_true(m.planned + PROCESS_BYTES >= m.grown);
        assert_true(m.planned <= 1.05 * m.grown);
        assert_int_equal(m.allocs, 0);
        assert_int_equal(m.faults, 0);
        grown[i] = m.grown;
    }
    assert_true(grown[1] < 0.8 * grown[0]);
    assert_true(grown[2] < 0.8 * grown[0]);
    assert_true(grown[3] < 0.5 * grown[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_is_what_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
