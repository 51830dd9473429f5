#include "base/testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "base/pool.h"

typedef struct tally {
    _Atomic int *hits;
    _Atomic int wrong_thread;
    int n_threads;
} tally;

static void count_task(void *arg, int64_t task, int thread) {
    tally *t = arg;
    atomic_fetch_add_explicit(&t->hits[task], 1, memory_order_relaxed);
    if (thread < 0 || thread >= t->n_threads) atomic_fetch_add(&t->wrong_thread, 1);
}

static void every_task_once(void **state) {
    (void)state;
    static _Atomic int hits[3000];
    for (int n_threads = 1; n_threads <= 5; n_threads++) {
        ins_pool *pool = NULL;
        assert_ok(ins_pool_new(n_threads, &pool, NULL));
        assert_int_equal(ins_pool_threads(pool), n_threads);
        for (int64_t n = 0; n <= 3000; n = n < 20 ? n + 1 : n * 2) {
            memset((void *)hits, 0, sizeof hits);
            tally t = {.hits = hits, .n_threads = n_threads};
            ins_pool_run(pool, n, count_task, &t);
            for (int64_t i = 0; i < 3000; i++) assert_int_equal(hits[i], i < n);
            assert_int_equal(t.wrong_thread, 0);
        }
        ins_pool_free(pool);
    }
}

typedef struct sums {
    const float *values;
    double partial[64];
} sums;

static void sum_chunk(void *arg, int64_t task, int thread) {
    (void)thread;
    sums *s = arg;
    float sum = 0;
    for (int64_t i = 0; i < 1000; i++) sum += s->values[task * 1000 + i];
    s->partial[task] = sum;
}

static void one_and_two_threads_give_equal_bits(void **state) {
    (void)state;
    float *values = ins_malloc(64000 * sizeof *values);
    for (int i = 0; i < 64000; i++) values[i] = 1.0f / (float)(i + 1);
    sums alone = {.values = values}, pair = {.values = values};
    ins_pool *pool = NULL;
    assert_ok(ins_pool_new(2, &pool, NULL));
    ins_pool_run(NULL, 64, sum_chunk, &alone);
    for (int round = 0; round < 50; round++) {
        memset(pair.partial, 0, sizeof pair.partial);
        ins_pool_run(pool, 64, sum_chunk, &pair);
        assert_memory_equal(alone.partial, pair.partial, sizeof alone.partial);
    }
    ins_pool_free(pool);
    ins_free(values);
}

static void slow_task(void *arg, int64_t task, int thread) {
    (void)thread;
    _Atomic int *done = arg;
    usleep(task == 0 ? 10 : 700); /* the caller is ready first and has to wait */
    atomic_store_explicit(&done[task], 1, memory_order_relaxed);
}

static void a_run_returns_when_all_is_done(void **state) {
    (void)state;
    ins_pool *pool = NULL;
    assert_ok(ins_pool_new(3, &pool, NULL));
    for (int round = 0; round < 60; round++) {
        _Atomic int done[3] = {0};
        ins_pool_run(pool, 3, slow_task, (void *)done);
        for (int i = 0; i < 3; i++) assert_int_equal(atomic_load(&done[i]), 1);
    }
    ins_pool_free(pool);
}

static void mark_range(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    _Atomic int *marks = arg;
    for (int64_t i = begin; i < end; i++) atomic_fetch_add_explicit(&marks[i], 1, memory_order_relaxed);
    if (end - begin > 7) atomic_fetch_add(&marks[1000], 1);
}

static void ranges_cover_every_item_once(void **state) {
    (void)state;
    static _Atomic int marks[1001];
    ins_pool *pool = NULL;
    assert_ok(ins_pool_new(2, &pool, NULL));
    for (int64_t n = 0; n <= 1000; n = n * 2 + 1) {
        memset((void *)marks, 0, sizeof marks);
        ins_pool_run_range(pool, n, 7, mark_range, (void *)marks);
        for (int64_t i = 0; i < 1000; i++) assert_int_equal(marks[i], i < n);
        assert_int_equal(marks[1000], 0); /* no chunk was longer than 7 */
    }
    ins_pool_run_range(pool, -5, 7, mark_range, NULL);
    ins_pool_free(pool);
}

typedef struct nest {
    ins_pool *pool;
    _Atomic int64_t inner_hits, wrong;
} nest;

typedef struct nest_inner {
    nest *outer;
    int thread;
} nest_inner;

static void inner_task(void *arg, int64_t task, int thread) {
    (void)task;
    nest_inner *inner = arg;
    atomic_fetch_add(&inner->outer->inner_hits, 1);
    if (thread != inner->thread) atomic_fetch_add(&inner->outer->wrong, 1);
}

static void outer_task(void *arg, int64_t task, int thread) {
    (void)task;
    nest *outer = arg;
    nest_inner inner = {outer, thread};
    ins_pool_run(outer->pool, 10, inner_task, &inner);
}

static void nested_runs_stay_on_their_thread(void **state) {
    (void)state;
    nest outer = {0};
    assert_ok(ins_pool_new(3, &outer.pool, NULL));
    for (int round = 0; round < 200; round++) ins_pool_run(outer.pool, 20, outer_task, &outer);
    assert_int_equal(outer.inner_hits, 200 * 20 * 10);
    assert_int_equal(outer.wrong, 0);
    ins_pool_free(outer.pool);
}

static void nothing_task(void *arg, int64_t task, int thread) {
    (void)arg;
    (void)task;
    (void)thread;
}

static void empty_runs_are_cheap_and_do_not_allocate(void **state) {
    (void)state;
    ins_pool *pool = NULL;
    assert_ok(ins_pool_new(2, &pool, NULL));
    uint64_t n_allocs = ins_mem_get_stats().n_allocs;
    double start = ins_now();
    for (int i = 0; i < 100000; i++) ins_pool_run(pool, 2, nothing_task, NULL);
    double seconds = ins_now() - start;
    assert_int_equal(ins_mem_get_stats().n_allocs, n_allocs);
    assert_true(seconds < 20); /* 0.05 s on an idle machine; sanitizers and busy machines are slow */
    ins_pool_free(pool);
}

static void pauses_between_runs_put_workers_to_sleep(void **state) {
    (void)state;
    static _Atomic int hits[8];
    memset((void *)hits, 0, sizeof hits);
    tally t = {.hits = hits, .n_threads = 4};
    ins_pool *pool = NULL;
    assert_ok(ins_pool_new(4, &pool, NULL));
    for (int round = 0; round < 100; round++) {
        usleep(round % 10 == 0 ? 2000 : (useconds_t)(round * 3)); /* around the time that a worker spins */
        ins_pool_run(pool, 8, count_task, &t);
    }
    for (int i = 0; i < 8; i++) assert_int_equal(hits[i], 100);
    ins_pool_free(pool);
}

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Workers wait awake for the next op of a step, not for the next step of a user. */
static void idle_workers_leave_the_cores_to_others(void **state) {
    (void)state;
    ins_pool *pool = NULL;
    assert_ok(ins_pool_new(2, &pool, NULL));
    const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};
    ins_pool_run(pool, 8, nothing_task, NULL);
    double before = cpu_seconds();
    nanosleep(&pause, NULL);
    assert_true(cpu_seconds() - before < 0.01);
    ins_pool_free(pool);
}

static void *call_many(void *arg) {
    nest *outer = arg;
    for (int i = 0; i < 300; i++) ins_pool_run(outer->pool, 5, outer_task, outer);
    return NULL;
}

static void several_callers_take_turns(void **state) {
    (void)state;
    nest outer = {0};
    pthread_t threads[3];
    assert_ok(ins_pool_new(2, &outer.pool, NULL));
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, call_many, &outer), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(outer.inner_hits, 3 * 300 * 5 * 10);
    ins_pool_free(outer.pool);
}

static void creation(void **state) {
    (void)state;
    ins_pool *pool = NULL;
    ins_error err;
    assert_int_equal(ins_pool_new(-1, &pool, &err), INS_USAGE);
    assert_int_equal(ins_pool_new(1000000, &pool, &err), INS_USAGE);
    assert_null(pool);
    uint64_t live = ins_mem_get_stats().live;
    for (uint64_t k = 1; k <= 2; k++) {
        ins_mem_fail_at(k);
        assert_int_equal(ins_pool_new(2, &pool, &err), INS_NOMEM);
    }
    ins_mem_fail_at(0);
    assert_int_equal(ins_mem_get_stats().live, live);
    assert_ok(ins_pool_new(0, &pool, NULL));
    assert_int_equal(ins_pool_threads(pool), ins_cpu_count());
    ins_pool_free(pool);
    ins_pool_free(NULL);
    assert_int_equal(ins_pool_threads(NULL), 1);
}

static void put_file(const char *dir, const char *name, const char *text) {
    char path[600], folder[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(folder, sizeof folder, "%.*s", (int)(ins_path_base(path) - path), path);
    assert_ok(ins_dir_make(folder, NULL));
    assert_ok(ins_file_write_atomic(path, text, strlen(text), NULL));
}

static int cgroup_cpus_in(const char *dir, const char *membership) {
    char proc[600];
    put_file(dir, "proc", membership);
    snprintf(proc, sizeof proc, "%s/proc", dir);
    return ins_cgroup_cpus(proc, dir);
}

static void control_group_quotas(void **state) {
    (void)state;
    char dir[256];
    test_scratch_dir(dir, sizeof dir);
    put_file(dir, "cpu.max", "max 100000\n");
    put_file(dir, "slice/cpu.max", "250000 100000\n");
    put_file(dir, "slice/job/cpu.max", "max 100000\n");
    put_file(dir, "tight/cpu.max", "50000 100000\n");
    assert_int_equal(cgroup_cpus_in(dir, "0::/\n"), 0);
    assert_int_equal(cgroup_cpus_in(dir, "0::/slice/job\n"), 3); /* the parent limits, 2.5 rounded up */
    assert_int_equal(cgroup_cpus_in(dir, "0::/tight\n"), 1);
    assert_int_equal(cgroup_cpus_in(dir, "0::/not/there\n"), 0);
    assert_int_equal(cgroup_cpus_in(dir, "0::/../../etc\n"), 0);
    assert_int_equal(cgroup_cpus_in(dir, "nonsense\n\n::\n"), 0);
    put_file(dir, "cpu,cpuacct/box/cpu.cfs_quota_us", "400000\n");
    put_file(dir, "cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
    put_file(dir, "cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put_file(dir, "cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_int_equal(cgroup_cpus_in(dir, "4:memory:/box\n3:cpu,cpuacct:/box\n2:cpuset:/box\n"), 4);
    assert_int_equal(cgroup_cpus_in(dir, "2:cpuset:/box\n"), 0);
    assert_int_equal(ins_cgroup_cpus("/nowhere/at/all", dir), 0);
    assert_true(ins_cpu_count() >= 1);
    assert_ok(ins_dir_remove(dir, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_once),
        cmocka_unit_test(one_and_two_threads_give_equal_bits),
        cmocka_unit_test(a_run_returns_when_all_is_done),
        cmocka_unit_test(ranges_cover_every_item_once),
        cmocka_unit_test(nested_runs_stay_on_their_thread),
        cmocka_unit_test(empty_runs_are_cheap_and_do_not_allocate),
        cmocka_unit_test(pauses_between_runs_put_workers_to_sleep),
        cmocka_unit_test(idle_workers_leave_the_cores_to_others),
        cmocka_unit_test(several_callers_take_turns),
        cmocka_unit_test(creation),
        cmocka_unit_test(control_group_quotas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
