/* Bump allocation in a chain of blocks. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define ARENA_RED_ZONE            16
#define arena_poison(ptr, size)   __asan_poison_memory_region((ptr), (size))
#define arena_unpoison(ptr, size) __asan_unpoison_memory_region((ptr), (size))
#else
#define ARENA_RED_ZONE            0
#define arena_poison(ptr, size)   ((void)(ptr), (void)(size))
#define arena_unpoison(ptr, size) ((void)(ptr), (void)(size))
#endif

#define ARENA_ALIGN 16

typedef struct arena_block arena_block;
struct arena_block {
    arena_block *next;
    size_t size, used; /* of the bytes after the header */
};
_Static_assert(sizeof(arena_block) <= 32, "the header takes 32 bytes");
#define ARENA_HEADER 32

struct ins_arena {
    arena_block *first, *current;
    size_t block_size;
};

static char *block_data(arena_block *block) {
    return (char *)block + ARENA_HEADER;
}

static arena_block *block_new(size_t size) {
    size_t total;
    if (!ins_add_size(size, ARENA_HEADER, &total)) return NULL;
    arena_block *block = ins_malloc(total);
    if (!block) return NULL;
    *block = (arena_block){.size = size};
    arena_poison(block_data(block), size);
    return block;
}

ins_arena *ins_arena_new(size_t block_size) {
    ins_arena *arena = ins_calloc(1, sizeof *arena);
    if (!arena) return NULL;
    arena->block_size = block_size ? block_size : 65536;
    arena->first = arena->current = block_new(arena->block_size);
    if (!arena->first) {
        ins_free(arena);
        return NULL;
    }
    return arena;
}

void ins_arena_free(ins_arena *arena) {
    if (!arena) return;
    for (arena_block *block = arena->first, *next; block; block = next) {
        next = block->next;
        arena_unpoison(block_data(block), block->size);
        ins_free(block);
    }
    ins_free(arena);
}

void ins_arena_reset(ins_arena *arena) {
    for (arena_block *block = arena->first; block; block = block->next) {
        arena_poison(block_data(block), block->size);
        block->used = 0;
    }
    arena->current = arena->first;
}

void *ins_arena_alloc(ins_arena *arena, size_t size) {
    size_t need;
    if (!ins_add_size(size ? size : 1, ARENA_ALIGN - 1 + ARENA_RED_ZONE, &need)) return NULL;
    need = need / ARENA_ALIGN * ARENA_ALIGN;
    arena_block *block = arena->current;
    while (block->size - block->used < need && block->next && block->next->used == 0) block = block->next;
    if (block->size - block->used < need) {
        arena_block *fresh = block_new(need > arena->block_size ? need : arena->block_size);
        if (!fresh) return NULL;
        fresh->next = block->next;
        block->next = fresh;
        block = fresh;
    }
    arena->current = block;
    char *ptr = block_data(block) + block->used;
    block->used += need;
    arena_unpoison(ptr, size ? size : 1);
    memset(ptr, 0, size ? size : 1);
    return ptr;
}

char *ins_arena_strndup(ins_arena *arena, const char *s, size_t n) {
    if (!s || n == SIZE_MAX) return NULL;
    char *copy = ins_arena_alloc(arena, n + 1);
    if (copy && n) memcpy(copy, s, n);
    return copy;
}

char *ins_arena_strdup(ins_arena *arena, const char *s) {
    return s ? ins_arena_strndup(arena, s, strlen(s)) : NULL;
}

char *ins_arena_printf(ins_arena *arena, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = len < 0 ? NULL : ins_arena_alloc(arena, (size_t)len + 1);
    if (text) vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}
