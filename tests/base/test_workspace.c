/* The memory that runs on one pool share. */
#include "base/testing.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/workspace.h"

static ins_pool *new_pool(int n) {
    ins_pool *pool = NULL;
    assert_int_equal(ins_pool_new(n, &pool, NULL), INS_OK);
    return pool;
}

static void *take(ins_workspace *space, size_t bytes) {
    void *data = NULL;
    assert_int_equal(ins_workspace_take(space, bytes, &data, NULL), INS_OK);
    return data;
}

static void it_grows_and_stays(void **state) {
    (void)state;
    ins_pool *pool = new_pool(2);
    ins_workspace *space = ins_pool_workspace(pool);
    assert_null(ins_pool_workspace(NULL));
    ins_workspace_join(space);
    assert_int_equal(ins_workspace_bytes(space), 0);
    char *first = take(space, 1000);
    assert_non_null(first);
    assert_int_equal((uintptr_t)first % 64, 0);
    memset(first, 1, 1000);
    ins_workspace_give(space);
    assert_int_equal(ins_workspace_reserve(space, 3 << 20, NULL), INS_OK);
    assert_true(ins_workspace_bytes(space) >= 3 << 20);
    char *second = take(space, 5000);
    second[(3 << 20) - 1] = 1;
    ins_workspace_give(space);
    uint64_t before = ins_mem_get_stats().n_allocs;
    assert_ptr_equal(take(space, 3 << 20), second); /* no larger than it is: the same memory, no allocation */
    ins_workspace_give(space);
    assert_int_equal(ins_mem_get_stats().n_allocs, before);
    ins_workspace_join(space);
    ins_workspace_leave(space);
    assert_true(ins_workspace_bytes(space) >= 3 << 20); /* somebody is left */
    assert_non_null(take(space, 100));
    ins_workspace_leave(space); /* in the middle of a run */
    assert_true(ins_workspace_bytes(space) >= 3 << 20);
    ins_workspace_give(space);
    assert_int_equal(ins_workspace_bytes(space), 0);
    ins_pool_free(pool);
}

static void one_at_a_time(void **state) {
    (void)state;
    ins_pool *pool = new_pool(1);
    ins_workspace *space = ins_pool_workspace(pool);
    ins_workspace_join(space);
    char *data = take(space, 100);
    assert_non_null(data);
    assert_null(take(space, 100));
    assert_int_equal(ins_workspace_reserve(space, 1 << 20, NULL), INS_OK); /* later, then */
    data[99] = 1;
    ins_workspace_give(space);
    assert_non_null(take(space, 1 << 20));
    ins_workspace_give(space);
    ins_pool_free(pool);
}

static void no_memory(void **state) {
    (void)state;
    ins_pool *pool = new_pool(1);
    ins_workspace *space = ins_pool_workspace(pool);
    ins_error err = {0};
    void *data = NULL;
    assert_int_equal(ins_workspace_reserve(space, SIZE_MAX / 4, &err), INS_NOMEM);
    assert_int_equal(ins_workspace_take(space, SIZE_MAX / 4, &data, &err), INS_NOMEM);
    assert_null(data);
    assert_non_null(take(space, 64)); /* it was given back */
    ins_workspace_give(space);
    ins_pool_free(pool);
    ins_mem_fail_at(2); /* the pool, then its workers' list or workspace */
    assert_int_equal(ins_pool_new(2, &pool, &err), INS_NOMEM);
    ins_mem_fail_at(3);
    assert_int_equal(ins_pool_new(2, &pool, &err), INS_NOMEM);
    ins_mem_fail_at(0);
}

static int64_t resident(const char *data, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char there[4096];
    int64_t n = 0;
    assert_in_range(bytes / page, 1, sizeof there);
    assert_int_equal(mincore((void *)(uintptr_t)data, bytes, there), 0);
    for (size_t i = 0; i < bytes / page; i++) n += there[i] & 1;
    return n * (int64_t)page;
}

static void touched_before_it_is_used(void **state) {
    (void)state;
    ins_pool *pool = new_pool(2);
    ins_workspace *space = ins_pool_workspace(pool);
    const size_t bytes = 9 << 20; /* more than one chunk */
    ins_workspace_join(space);
    assert_int_equal(ins_workspace_reserve(space, bytes, NULL), INS_OK);
    char *data = take(space, bytes);
    assert_int_equal(resident(data, bytes), bytes);
    ins_workspace_give(space);
    void *block = NULL;
    assert_int_equal(ins_pages_alloc(bytes, false, &block, NULL), INS_OK);
    ((char *)block)[5000] = 7;
    ins_pages_touch(block, bytes, pool);
    assert_int_equal(resident(block, bytes), bytes);
    assert_int_equal(((char *)block)[5000], 7);
    ins_pages_free(block, bytes);
    ins_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_grows_and_stays),
        cmocka_unit_test(one_at_a_time),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(touched_before_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
