/* Strings to numbers. */
#include "data/strmap.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

struct ins_strmap_slot {
    const char *key; /* NULL = free */
    int64_t value;
};

void ins_strmap_free(ins_strmap *map) {
    ins_free(map->slots);
    *map = (ins_strmap){0};
}

/* The key's slot, or the free one where it belongs. */
static struct ins_strmap_slot *find(const ins_strmap *map, const char *key) {
    uint64_t mask = (uint64_t)map->cap - 1, at = ins_hash64(key, strlen(key), 0) & mask;
    while (map->slots[at].key && strcmp(map->slots[at].key, key) != 0) at = (at + 1) & mask;
    return map->slots + at;
}

int64_t ins_strmap_get(const ins_strmap *map, const char *key) {
    if (map->cap == 0) return -1;
    const struct ins_strmap_slot *slot = find(map, key);
    return slot->key ? slot->value : -1;
}

static ins_status grow(ins_strmap *map, ins_error *err) {
    ins_strmap wider = {.n = map->n, .cap = map->cap ? 2 * map->cap : 1024};
    wider.slots = ins_calloc((size_t)wider.cap, sizeof *wider.slots);
    if (!wider.slots) return INS_FAIL(err, INS_NOMEM, "out of memory for an index of %lld names", (long long)map->n);
    for (int64_t i = 0; i < map->cap; i++) {
        if (map->slots[i].key) *find(&wider, map->slots[i].key) = map->slots[i];
    }
    ins_free(map->slots);
    *map = wider;
    return INS_OK;
}

ins_status ins_strmap_add(ins_strmap *map, const char *key, int64_t value, bool *added, ins_error *err) {
    if (2 * (map->n + 1) > map->cap) INS_TRY(grow(map, err));
    struct ins_strmap_slot *slot = find(map, key);
    *added = slot->key == NULL;
    if (*added) {
        *slot = (struct ins_strmap_slot){key, value};
        map->n++;
    }
    return INS_OK;
}
