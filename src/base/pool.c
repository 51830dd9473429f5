/* Persistent workers that spin for a while, then sleep on a futex.
 *
 * One run: the caller writes `job` and opens the ticket, everybody takes tasks from it, and each thread that finds none
 * left adds what it has done to `done`. A thread that has taken a task keeps the run open until it has been counted, so
 * it may read the job; one that wakes up late finds no task and is not waited for. A run that is over in a microsecond
 * costs no more than that.
 *
 *   ticket: bits 0..31 tasks left, bits 32..63 number of the run
 */
#include "base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pool_impl.h"

#define POOL_MAX_THREADS 4096
#define POOL_MAX_TASKS   (INT64_C(1) << 30) /* of one run; longer lists are cut */
#define POOL_STACK       ((size_t)8 << 20)
#define POOL_STACK_USED  ((size_t)1 << 20)
/* Longer than the pauses between the ops of a step, shorter than what another program would notice. */
#define POOL_SPIN_NS 100000

typedef struct pool_worker {
    ins_pool *pool;
    pthread_t handle;
    int index;
} pool_worker;

typedef struct pool_job {
    ins_task_fn fn;
    void *arg;
    int64_t first; /* number of the first task: of a list that was cut */
    uint32_t n_tasks;
} pool_job;

struct ins_pool {
    int n_threads;
    bool spin;               /* not when there are more threads than cores */
    pthread_mutex_t callers; /* one run at a time */
    pool_worker *workers;    /* n_threads - 1 */
    int n_started;
    ins_workspace *workspace;
    /* One cache line: what a run begins with. */
    _Alignas(64) _Atomic uint64_t ticket;
    pool_job job;
    _Atomic uint32_t epoch; /* futex word of the workers: changes when there is something to look at */
    _Atomic uint32_t sleepers;
    _Atomic bool stop;
    /* Another: what it ends with. */
    _Alignas(64) _Atomic uint32_t done; /* tasks done by workers; futex word of the caller */
    _Atomic uint32_t caller_sleeps;
};

/* Index in the run that this thread works for, -1 outside of any: tells nested calls. */
static _Thread_local int pool_index = -1;

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n) {
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Wait for *word to differ from seen, for a short time. */
static bool spin_changed(const ins_pool *pool, _Atomic uint32_t *word, uint32_t seen) {
    if (!pool->spin) return atomic_load(word) != seen;
    int64_t until = now_ns() + POOL_SPIN_NS;
    do {
        for (int i = 0; i < 64; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != seen) return true;
            cpu_relax();
        }
    } while (now_ns() < until);
    return false;
}

/* Take a task of the open run, if one is left. */
static bool pool_take(ins_pool *pool, int64_t *task) {
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_relaxed);
    do {
        if ((uint32_t)ticket == 0) return false;
    } while (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket - 1, memory_order_acq_rel,
                                                    memory_order_relaxed));
    *task = pool->job.first + (int64_t)(pool->job.n_tasks - (uint32_t)ticket);
    return true;
}

/* How many this thread has done. The job stays what it is from the first task taken to the call of pool_count. */
static uint32_t pool_work(ins_pool *pool, int index) {
    int64_t task;
    uint32_t n = 0;
    pool_index = index;
    for (; pool_take(pool, &task); n++) pool->job.fn(pool->job.arg, task, index);
    pool_index = -1;
    return n;
}

static void pool_count(ins_pool *pool, uint32_t n) {
    if (n == 0) return;
    atomic_fetch_add(&pool->done, n);
    if (atomic_load(&pool->caller_sleeps)) futex_wake(&pool->done, 1);
}

/* Kernels keep tiles and panels on the stack. Which thread runs which kernel first is a matter of luck, so without this
 * a page fault could come in any step. */
static __attribute__((noinline)) void touch_stack(void) {
    volatile char pages[POOL_STACK_USED];
    for (size_t at = 0; at < sizeof pages; at += 4096) pages[at] = 0;
}

static void *worker_main(void *arg) {
    pool_worker *worker = arg;
    ins_pool *pool = worker->pool;
    touch_stack();
    for (;;) {
        uint32_t seen = atomic_load(&pool->epoch);
        if (atomic_load(&pool->stop)) return NULL;
        pool_count(pool, pool_work(pool, worker->index));
        if (spin_changed(pool, &pool->epoch, seen)) continue;
        atomic_fetch_add(&pool->sleepers, 1);
        futex_wait(&pool->epoch, seen); /* returns at once when epoch moved on since */
        atomic_fetch_sub(&pool->sleepers, 1);
    }
}

static void pool_notify(ins_pool *pool, int n) {
    atomic_fetch_add(&pool->epoch, 1);
    if (atomic_load(&pool->sleepers)) futex_wake(&pool->epoch, n);
}

/* Wait until the workers have done n tasks. */
static void pool_join(ins_pool *pool, uint32_t n) {
    for (;;) {
        uint32_t seen = atomic_load(&pool->done);
        if (seen == n) return;
        if (spin_changed(pool, &pool->done, seen)) continue;
        atomic_store(&pool->caller_sleeps, 1);
        if (atomic_load(&pool->done) == seen) futex_wait(&pool->done, seen);
        atomic_store(&pool->caller_sleeps, 0);
    }
}

static void pool_run_some(ins_pool *pool, const pool_job *job) {
    int helpers = pool->n_threads - 1, wanted = (int)job->n_tasks - 1;
    pool->job = *job;
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    uint64_t number = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store(&pool->ticket, number << 32 | job->n_tasks);
    pool_notify(pool, wanted < helpers ? wanted : helpers);
    pool_join(pool, job->n_tasks - pool_work(pool, 0));
}

void ins_pool_run(ins_pool *pool, int64_t n_tasks, ins_task_fn fn, void *arg) {
    if (!pool || pool->n_threads == 1 || n_tasks <= 1 || pool_index >= 0) {
        int index = pool_index >= 0 ? pool_index : 0;
        for (int64_t task = 0; task < n_tasks; task++) fn(arg, task, index);
        return;
    }
    pthread_mutex_lock(&pool->callers);
    for (int64_t first = 0; first < n_tasks; first += POOL_MAX_TASKS) {
        int64_t n = n_tasks - first < POOL_MAX_TASKS ? n_tasks - first : POOL_MAX_TASKS;
        const pool_job job = {.fn = fn, .arg = arg, .first = first, .n_tasks = (uint32_t)n};
        pool_run_some(pool, &job);
    }
    pthread_mutex_unlock(&pool->callers);
}

typedef struct range_job {
    ins_range_fn fn;
    void *arg;
    int64_t n, chunk;
} range_job;

static void range_task(void *arg, int64_t task, int thread) {
    const range_job *job = arg;
    int64_t begin = task * job->chunk;
    int64_t end = job->n - begin < job->chunk ? job->n : begin + job->chunk;
    job->fn(job->arg, begin, end, thread);
}

void ins_pool_run_range(ins_pool *pool, int64_t n, int64_t chunk, ins_range_fn fn, void *arg) {
    if (n <= 0) return;
    if (chunk < 1) chunk = 1;
    range_job job = {.fn = fn, .arg = arg, .n = n, .chunk = chunk};
    ins_pool_run(pool, n / chunk + (n % chunk != 0), range_task, &job);
}

/* The calling thread is thread 0, if its stack is large enough to look at. */
static void touch_caller_stack(void) {
    pthread_attr_t attr;
    void *low;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attr) != 0) return;
    bool known = pthread_attr_getstack(&attr, &low, &size) == 0;
    pthread_attr_destroy(&attr);
    char here;
    if (known && (size_t)(&here - (char *)low) > 4 * POOL_STACK_USED) touch_stack();
}

static ins_status pool_start(ins_pool *pool, ins_error *err) {
    sigset_t all, old;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, POOL_STACK);
    sigfillset(&all); /* signals go to the program's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    ins_status status = INS_OK;
    for (int i = 0; i + 1 < pool->n_threads && status == INS_OK; i++) {
        pool_worker *worker = &pool->workers[i];
        worker->pool = pool;
        worker->index = i + 1;
        int code = pthread_create(&worker->handle, &attr, worker_main, worker);
        if (code != 0) {
            status = INS_FAIL(err, INS_ENV, "cannot start thread %d of %d", i + 2, pool->n_threads);
            ins_error_hint(err, "use fewer threads (--threads N) or raise the limit of processes (ulimit -u)");
            break;
        }
        char name[16];
        snprintf(name, sizeof name, "instar-%d", (i + 1) % 10000);
        pthread_setname_np(worker->handle, name);
        pool->n_started++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    touch_caller_stack();
    return status;
}

ins_status ins_pool_new(int n_threads, ins_pool **out, ins_error *err) {
    int cpus = ins_cpu_count();
    if (n_threads == 0) n_threads = cpus < POOL_MAX_THREADS ? cpus : POOL_MAX_THREADS;
    if (n_threads < 0 || n_threads > POOL_MAX_THREADS)
        return INS_FAIL(err, INS_USAGE, "%d threads asked for; 1 to %d are possible, 0 means all cores", n_threads,
                        POOL_MAX_THREADS);
    ins_pool *pool = ins_aligned_alloc(64, sizeof *pool);
    if (!pool) return INS_FAIL(err, INS_NOMEM, "out of memory while starting the thread pool");
    *pool = (ins_pool){.n_threads = n_threads, .spin = n_threads <= cpus};
    pool->workers = ins_calloc((size_t)n_threads, sizeof *pool->workers);
    pool->workspace = ins_workspace_new(pool);
    if (!pool->workers || !pool->workspace) {
        ins_workspace_free(pool->workspace);
        ins_free(pool->workers);
        ins_free(pool);
        return INS_FAIL(err, INS_NOMEM, "out of memory while starting the thread pool");
    }
    pthread_mutex_init(&pool->callers, NULL);
    ins_status status = pool_start(pool, err);
    if (status != INS_OK) {
        ins_pool_free(pool);
        return status;
    }
    *out = pool;
    return INS_OK;
}

void ins_pool_free(ins_pool *pool) {
    if (!pool) return;
    atomic_store(&pool->stop, true);
    pool_notify(pool, INT_MAX);
    for (int i = 0; i < pool->n_started; i++) pthread_join(pool->workers[i].handle, NULL);
    pthread_mutex_destroy(&pool->callers);
    ins_workspace_free(pool->workspace);
    ins_free(pool->workers);
    ins_free(pool);
}

int ins_pool_threads(const ins_pool *pool) {
    return pool ? pool->n_threads : 1;
}

ins_workspace *ins_pool_workspace(ins_pool *pool) {
    return pool ? pool->workspace : NULL;
}
