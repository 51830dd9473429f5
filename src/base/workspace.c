/* Memory that runs share: see workspace.h. */
#include "base/workspace.h"

#include <pthread.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/pool_impl.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif
#define TOUCH_CHUNK (INT64_C(8) << 20)

/* ---- touching ---- */

static void touch_range(void *arg, int64_t begin, int64_t end, int thread) {
    (void)thread;
    char *data = (char *)arg + begin;
    if (madvise(data, (size_t)(end - begin), MADV_POPULATE_WRITE) == 0) return;
    for (int64_t at = 0; at < end - begin; at += 4096) { /* no page is smaller */
        volatile char *byte = data + at;
        /* cppcheck-suppress selfAssignment */
        *byte = *byte;
    }
}

void ins_pages_touch(void *ptr, size_t size, ins_pool *pool) {
    ins_pool_run_range(pool, (int64_t)size, TOUCH_CHUNK, touch_range, ptr);
}

/* ---- the block ---- */

struct ins_workspace {
    ins_pool *pool;
    pthread_mutex_t lock;
    void *data;
    size_t bytes;
    bool taken, touched;
    int64_t n_users;
};

static void drop(ins_workspace *space) {
    ins_pages_free(space->data, space->bytes);
    space->data = NULL;
    space->bytes = 0;
}

ins_workspace *ins_workspace_new(ins_pool *pool) {
    ins_workspace *space = ins_calloc(1, sizeof *space);
    if (!space) return NULL;
    space->pool = pool;
    pthread_mutex_init(&space->lock, NULL);
    return space;
}

void ins_workspace_free(ins_workspace *space) {
    if (!space) return;
    drop(space);
    pthread_mutex_destroy(&space->lock);
    ins_free(space);
}

void ins_workspace_join(ins_workspace *space) {
    if (!space) return;
    pthread_mutex_lock(&space->lock);
    space->n_users++;
    pthread_mutex_unlock(&space->lock);
}

void ins_workspace_leave(ins_workspace *space) {
    if (!space) return;
    pthread_mutex_lock(&space->lock);
    space->n_users--;
    if (space->n_users == 0 && !space->taken) drop(space);
    pthread_mutex_unlock(&space->lock);
}

/* What was there is dropped, not moved. */
static ins_status grow(ins_workspace *space, size_t bytes, ins_error *err) {
    drop(space);
    INS_TRY(ins_pages_alloc(bytes, true, &space->data, err));
    space->bytes = bytes;
    space->touched = false;
    return INS_OK;
}

static bool try_take(ins_workspace *space) {
    pthread_mutex_lock(&space->lock);
    bool mine = !space->taken;
    space->taken = true;
    pthread_mutex_unlock(&space->lock);
    return mine;
}

ins_status ins_workspace_reserve(ins_workspace *space, size_t bytes, ins_error *err) {
    if (!space || !try_take(space)) return INS_OK;
    ins_status status = space->bytes < bytes ? grow(space, bytes, err) : INS_OK;
    ins_workspace_give(space);
    return status;
}

ins_status ins_workspace_take(ins_workspace *space, size_t bytes, void **out, ins_error *err) {
    *out = NULL;
    if (!try_take(space)) return INS_OK;
    ins_status status = space->bytes < bytes ? grow(space, bytes, err) : INS_OK;
    if (status != INS_OK) {
        ins_workspace_give(space);
        return status;
    }
    if (!space->touched) ins_pages_touch(space->data, space->bytes, space->pool);
    space->touched = true;
    *out = space->data;
    return INS_OK;
}

void ins_workspace_give(ins_workspace *space) {
    pthread_mutex_lock(&space->lock);
    space->taken = false;
    if (space->n_users == 0) drop(space);
    pthread_mutex_unlock(&space->lock);
}

size_t ins_workspace_bytes(const ins_workspace *space) {
    return space ? space->bytes : 0;
}
