/* Heap and arenas. All heap memory of the library goes through ins_malloc and friends, so that tests can count it and
 * make the k-th allocation fail.
 */
#ifndef INS_BASE_MEM_H
#define INS_BASE_MEM_H

#include "base/status.h"

void *ins_malloc(size_t size); /* NULL on failure; size 0 gives a unique pointer */
void *ins_calloc(size_t n, size_t size);
void *ins_realloc(void *ptr, size_t size);
void ins_free(void *ptr);
char *ins_strdup(const char *s);
void *ins_aligned_alloc(size_t align, size_t size); /* free with ins_free */

/* Big, long-lived, page-aligned, zeroed memory (mmap, MADV_HUGEPAGE when asked and >= 2 MiB). */
ins_status ins_pages_alloc(size_t size, bool huge, void **out, ins_error *err);
void ins_pages_free(void *ptr, size_t size);

typedef struct ins_mem_stats {
    uint64_t n_allocs; /* calls of malloc/calloc/realloc/pages since start, all threads */
    uint64_t live;     /* blocks allocated and not yet freed */
} ins_mem_stats;
ins_mem_stats ins_mem_get_stats(void);
/* Test hook: make the k-th allocation from now fail (1 = next); 0 = never. */
void ins_mem_fail_at(uint64_t k);

/* Checked arithmetic: false on overflow. */
static inline bool ins_mul_size(size_t x, size_t y, size_t *out) {
    return !__builtin_mul_overflow(x, y, out);
}
static inline bool ins_add_size(size_t x, size_t y, size_t *out) {
    return !__builtin_add_overflow(x, y, out);
}

/* Arena: bump allocation, freed all at once. Not thread-safe. Red zones are poisoned under ASan. */
typedef struct ins_arena ins_arena;
ins_arena *ins_arena_new(size_t block_size);          /* 0 = 64 KiB; NULL on OOM */
void ins_arena_free(ins_arena *arena);                /* NULL is fine */
void ins_arena_reset(ins_arena *arena);               /* keep the blocks, forget the contents */
void *ins_arena_alloc(ins_arena *arena, size_t size); /* zeroed, 16-byte aligned; NULL on OOM */
char *ins_arena_strdup(ins_arena *arena, const char *s);
char *ins_arena_strndup(ins_arena *arena, const char *s, size_t n);
char *ins_arena_printf(ins_arena *arena, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
