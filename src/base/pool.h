/* Thread pool. Work is split by shape, never by thread count: callers choose n_tasks from the problem's size, and the
 * result of a task must not depend on which thread runs it. So 1 and 2 threads give equal bits.
 */
#ifndef INS_BASE_POOL_H
#define INS_BASE_POOL_H

#include "base/status.h"

typedef struct ins_pool ins_pool;

/* n_threads 0 = all cores the process may use (affinity and cgroup quota). The calling thread is thread 0. */
ins_status ins_pool_new(int n_threads, ins_pool **out, ins_error *err);
void ins_pool_free(ins_pool *pool);
int ins_pool_threads(const ins_pool *pool); /* NULL pool = 1 */
int ins_cpu_count(void);                    /* cores the process may use */

typedef void (*ins_task_fn)(void *arg, int64_t task, int thread);

/* Run fn for task 0..n_tasks-1; returns when all are done. Tasks are handed out in order. pool NULL = run here.
 * No allocation. Nested calls run serially on the calling thread. */
void ins_pool_run(ins_pool *pool, int64_t n_tasks, ins_task_fn fn, void *arg);

/* The same over a range of n items in fixed chunks: fn gets [begin, end). The cut depends on n and chunk only. */
typedef void (*ins_range_fn)(void *arg, int64_t begin, int64_t end, int thread);
void ins_pool_run_range(ins_pool *pool, int64_t n, int64_t chunk, ins_range_fn fn, void *arg);

/* Make the pages of a fresh block be there, each thread its share; the contents stay. Without it the first use does. */
void ins_pages_touch(void *ptr, size_t size, ins_pool *pool);

#endif
