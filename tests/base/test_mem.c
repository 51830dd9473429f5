#include "base/testing.h"

#include "base/mem.h"
#include "base/mem_system.h"

static void counts_and_fails_on_demand(void **state) {
    (void)state;
    ins_mem_stats before = ins_mem_get_stats();
    void *first = ins_malloc(0), *second = ins_calloc(3, 5), *third = ins_aligned_alloc(64, 100);
    assert_non_null(first);
    assert_true(first != second);
    assert_int_equal((uintptr_t)third % 64, 0);
    assert_int_equal(ins_mem_get_stats().live, before.live + 3);
    second = ins_realloc(second, 1000);
    char *text = ins_strdup("abc");
    assert_string_equal(text, "abc");
    assert_int_equal(ins_mem_get_stats().n_allocs, before.n_allocs + 5);
    ins_mem_fail_at(2);
    void *fourth = ins_malloc(1);
    assert_non_null(fourth);
    assert_null(ins_realloc(second, 1 << 20)); /* the block stays */
    void *fifth = ins_malloc(1);
    assert_non_null(fifth);
    ins_free(first);
    ins_free(second);
    ins_free(third);
    ins_free(fourth);
    ins_free(fifth);
    ins_free(text);
    ins_free(NULL);
    assert_int_equal(ins_mem_get_stats().live, before.live);
}

static void impossible_sizes_fail(void **state) {
    (void)state;
    volatile size_t huge = SIZE_MAX / 2 + 2; /* volatile: the compiler would warn of the size */
    assert_null(ins_malloc(huge));
    assert_null(ins_calloc(huge, 2));
    assert_null(ins_calloc(2, huge / 2));
    assert_null(ins_realloc(NULL, huge));
    assert_null(ins_aligned_alloc(64, huge));
    ins_error err;
    void *pages = NULL;
    assert_int_equal(ins_pages_alloc(SIZE_MAX, true, &pages, &err), INS_NOMEM);
    assert_int_equal(ins_pages_alloc(SIZE_MAX / 4, true, &pages, &err), INS_NOMEM);
    assert_null(pages);
    assert_true(err.hint[0]);
    ins_mem_fail_at(1);
    assert_int_equal(ins_pages_alloc(1, false, &pages, &err), INS_NOMEM);
}

static void pages_are_zero_and_aligned(void **state) {
    (void)state;
    uint64_t live = ins_mem_get_stats().live;
    const size_t sizes[] = {0, 1, 4096, 4097, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, 5000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int huge = 0; huge < 2; huge++) {
            void *ptr = NULL;
            assert_ok(ins_pages_alloc(sizes[i], huge, &ptr, NULL));
            unsigned char *bytes = ptr;
            assert_int_equal((uintptr_t)ptr % 4096, 0);
            if (huge && sizes[i] >= 2 << 20) assert_int_equal((uintptr_t)ptr % (2 << 20), 0);
            unsigned sum = 0;
            for (size_t at = 0; at < sizes[i]; at += 511) sum |= bytes[at];
            assert_int_equal(sum, 0);
            if (sizes[i]) bytes[0] = bytes[sizes[i] - 1] = 1;
            ins_pages_free(ptr, sizes[i]);
        }
    }
    ins_pages_free(NULL, 100);
    assert_int_equal(ins_mem_get_stats().live, live);
}

static void checked_arithmetic(void **state) {
    (void)state;
    size_t out = 0;
    assert_true(ins_mul_size(1u << 20, 1u << 20, &out));
    assert_true(out == (size_t)1 << 40);
    assert_false(ins_mul_size(SIZE_MAX / 2 + 1, 2, &out));
    assert_true(ins_add_size(SIZE_MAX - 1, 1, &out));
    assert_false(ins_add_size(SIZE_MAX, 1, &out));
}

static void arena_gives_zeroed_disjoint_memory(void **state) {
    (void)state;
    uint64_t live = ins_mem_get_stats().live;
    ins_arena *arena = ins_arena_new(256);
    unsigned char *blocks[200];
    for (int round = 0; round < 3; round++) {
        uint64_t n_allocs = ins_mem_get_stats().n_allocs;
        for (int i = 0; i < 200; i++) {
            size_t size = (size_t)(i * 7 % 400);
            blocks[i] = ins_arena_alloc(arena, size);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            for (size_t k = 0; k < size; k++) assert_int_equal(blocks[i][k], 0);
            memset(blocks[i], i + 1, size);
        }
        for (int i = 0; i < 200; i++)
            for (size_t k = 0; k < (size_t)(i * 7 % 400); k++) assert_int_equal(blocks[i][k], (i + 1) & 255);
        if (round > 0) assert_int_equal(ins_mem_get_stats().n_allocs, n_allocs); /* blocks are used again */
        ins_arena_reset(arena);
    }
    assert_null(ins_arena_alloc(arena, SIZE_MAX));
    assert_null(ins_arena_alloc(arena, SIZE_MAX - 20));
    ins_arena_free(arena);
    ins_arena_free(NULL);
    assert_int_equal(ins_mem_get_stats().live, live);
}

static void arena_texts(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    assert_string_equal(ins_arena_strdup(arena, "abc"), "abc");
    assert_string_equal(ins_arena_strndup(arena, "abcdef", 2), "ab");
    assert_string_equal(ins_arena_strndup(arena, "", 0), "");
    assert_null(ins_arena_strdup(arena, NULL));
    char *text = ins_arena_printf(arena, "%0100000d", 7);
    assert_int_equal(strlen(text), 100000);
    ins_arena_free(arena);
    ins_mem_fail_at(1);
    assert_null(ins_arena_new(0));
    ins_mem_fail_at(2);
    assert_null(ins_arena_new(0));
    ins_mem_fail_at(0);
    arena = ins_arena_new(64);
    ins_mem_fail_at(1);
    assert_null(ins_arena_alloc(arena, 1000));
    assert_non_null(ins_arena_alloc(arena, 1000));
    ins_arena_free(arena);
}

static void put_file(const char *dir, const char *name, const char *text) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    for (char *slash = strchr(path + strlen(dir) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        assert_ok(ins_dir_make(path, NULL));
        *slash = '/';
    }
    assert_ok(ins_file_write_atomic(path, text, strlen(text), NULL));
}

static int64_t available(const char *dir, const char *meminfo, const char *groups) {
    char mem[600], cgroup[600];
    put_file(dir, "meminfo", meminfo);
    put_file(dir, "cgroup", groups);
    snprintf(mem, sizeof mem, "%s/meminfo", dir);
    snprintf(cgroup, sizeof cgroup, "%s/cgroup", dir);
    return ins_mem_available_in(mem, cgroup, dir);
}

static void memory_of_the_system(void **state) {
    (void)state;
    char dir[256];
    static const char meminfo[] = "MemTotal: 9000 kB\nMemFree:  10 kB\nMemAvailable:    8000 kB\n";
    test_scratch_dir(dir, sizeof dir);
    assert_int_equal(available(dir, meminfo, "0::/box/app\n"), 8000 * 1024);
    put_file(dir, "box/app/memory.max", "max\n");
    put_file(dir, "box/memory.max", "4096000\n");
    put_file(dir, "box/memory.current", "1000000\n");
    assert_int_equal(available(dir, meminfo, "0::/box/app\n"), 3096000);
    put_file(dir, "box/memory.stat", "anon 5\ninactive_file 400000\n");
    assert_int_equal(available(dir, meminfo, "0::/box/app\n"), 3496000);
    put_file(dir, "box/memory.current", "5000000\n"); /* beyond it: as good as nothing, but known */
    assert_int_equal(available(dir, meminfo, "0::/box/app\n"), 1);
    put_file(dir, "memory/v1/memory.limit_in_bytes", "2000000\n");
    put_file(dir, "memory/v1/memory.usage_in_bytes", "500000\n");
    assert_int_equal(available(dir, meminfo, "3:cpu:/v1\n4:memory:/v1\n"), 1500000);
    put_file(dir, "memory/v1/memory.limit_in_bytes", "9223372036854771712\n"); /* none */
    assert_int_equal(available(dir, meminfo, "4:memory:/v1\n"), 8000 * 1024);
    assert_int_equal(available(dir, "nonsense\n", "4:memory:/v1\n"), 0);
    assert_true(ins_mem_available() > 0);
    int64_t before = ins_mem_resident();
    void *block = NULL;
    const size_t bytes = 32 << 20;
    assert_true(before > 0);
    assert_ok(ins_pages_alloc(bytes, true, &block, NULL));
    memset(block, 1, bytes);
    assert_true(ins_mem_resident() - before > (int64_t)bytes / 2);
    ins_pages_free(block, bytes);
    assert_ok(ins_dir_remove(dir, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_and_fails_on_demand),
        cmocka_unit_test(impossible_sizes_fail),
        cmocka_unit_test(pages_are_zero_and_aligned),
        cmocka_unit_test(checked_arithmetic),
        cmocka_unit_test(arena_gives_zeroed_disjoint_memory),
        cmocka_unit_test(arena_texts),
        cmocka_unit_test(memory_of_the_system),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
