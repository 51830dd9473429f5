/* The heap: counted, and able to fail on purpose. */
#include "base/mem.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* The only process-wide state of the library: it has no influence on results. */
static atomic_uint_fast64_t mem_n_allocs;
static atomic_uint_fast64_t mem_live;
static atomic_uint_fast64_t mem_fail_in; /* 0 = never, 1 = next */

static bool mem_must_fail(void) {
    atomic_fetch_add_explicit(&mem_n_allocs, 1, memory_order_relaxed);
    uint_fast64_t left = atomic_load_explicit(&mem_fail_in, memory_order_relaxed);
    while (left != 0) {
        if (atomic_compare_exchange_weak_explicit(&mem_fail_in, &left, left - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return left == 1;
    }
    return false;
}

/* malloc refuses these itself; a sanitizer's stops the program. */
static bool mem_too_big(size_t size) {
    return size > PTRDIFF_MAX;
}

static void *mem_count(void *ptr) {
    if (ptr) atomic_fetch_add_explicit(&mem_live, 1, memory_order_relaxed);
    return ptr;
}

void *ins_malloc(size_t size) {
    if (mem_must_fail() || mem_too_big(size)) return NULL;
    return mem_count(malloc(size ? size : 1));
}

void *ins_calloc(size_t n, size_t size) {
    size_t total;
    if (mem_must_fail() || !ins_mul_size(n, size, &total) || mem_too_big(total)) return NULL;
    return mem_count(n && size ? calloc(n, size) : calloc(1, 1));
}

void *ins_realloc(void *ptr, size_t size) {
    if (mem_must_fail() || mem_too_big(size)) return NULL;
    void *grown = realloc(ptr, size ? size : 1);
    return ptr ? grown : mem_count(grown);
}

void ins_free(void *ptr) {
    if (!ptr) return;
    atomic_fetch_sub_explicit(&mem_live, 1, memory_order_relaxed);
    free(ptr);
}

char *ins_strdup(const char *s) {
    if (!s) return NULL;
    size_t size = strlen(s) + 1;
    char *copy = ins_malloc(size);
    if (copy) memcpy(copy, s, size);
    return copy;
}

void *ins_aligned_alloc(size_t align, size_t size) {
    if (mem_must_fail() || mem_too_big(size)) return NULL;
    void *ptr = NULL;
    if (align < sizeof(void *)) align = sizeof(void *);
    if (posix_memalign(&ptr, align, size ? size : 1) != 0) return NULL;
    return mem_count(ptr);
}

static size_t page_round(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (size == 0) size = 1;
    return (size + page - 1) / page * page;
}

ins_status ins_pages_alloc(size_t size, bool huge, void **out, ins_error *err) {
    size_t need = 0, padded = 0;
    bool aligned = huge && size >= HUGE_PAGE;
    bool fits = size <= PTRDIFF_MAX - HUGE_PAGE;
    if (fits) {
        need = page_round(size);
        padded = aligned ? need + HUGE_PAGE : need;
    }
    char *base = MAP_FAILED;
    if (!mem_must_fail() && fits) base = mmap(NULL, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) {
        INS_FAIL(err, INS_NOMEM, "out of memory: %.1f MB asked for in one block", (double)size / 1e6);
        ins_error_hint(err, "make the model, the batch or the sequence smaller, or free memory of other programs");
        return INS_NOMEM;
    }
    if (aligned) { /* cut the block so that it starts on a huge page */
        size_t skip = (HUGE_PAGE - (uintptr_t)base % HUGE_PAGE) % HUGE_PAGE;
        if (skip) munmap(base, skip);
        if (HUGE_PAGE > skip) munmap(base + skip + need, HUGE_PAGE - skip);
        base += skip;
        madvise(base, need, MADV_HUGEPAGE); /* advice only: a kernel without huge pages serves small ones */
    }
    mem_count(base);
    *out = base;
    return INS_OK;
}

void ins_pages_free(void *ptr, size_t size) {
    if (!ptr) return;
    atomic_fetch_sub_explicit(&mem_live, 1, memory_order_relaxed);
    munmap(ptr, page_round(size));
}

ins_mem_stats ins_mem_get_stats(void) {
    return (ins_mem_stats){.n_allocs = atomic_load(&mem_n_allocs), .live = atomic_load(&mem_live)};
}

void ins_mem_fail_at(uint64_t k) {
    atomic_store(&mem_fail_in, k);
}
