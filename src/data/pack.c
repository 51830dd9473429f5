/* Best fit decreasing in O(n log capacity): bins stand in lists by the room they have left, and a tree of bit sets
 * finds the smallest room that is large enough. */
#include "data/pack.h"

#include <string.h>

#include "base/mem.h"

#define LEVELS 6 /* 64^6 > any capacity */

/* Set of whole numbers below a limit; level 0 holds the numbers, bit b of level l+1 says that word b of level l is not
 * empty. */
typedef struct room_set {
    uint64_t *words[LEVELS];
    int n_levels;
} room_set;

static void room_set_free(room_set *set) {
    for (int level = 0; level < set->n_levels; level++) ins_free(set->words[level]);
}

static bool room_set_new(room_set *set, int64_t limit) {
    *set = (room_set){0};
    for (int64_t n = limit;;) {
        n = (n + 63) / 64;
        uint64_t *words = ins_calloc((size_t)n + 1, sizeof *words); /* one more: room_set_next may look past the end */
        if (!words) return false;
        set->words[set->n_levels++] = words;
        if (n == 1) return true;
    }
}

static void room_set_add(room_set *set, int64_t value) {
    for (int level = 0; level < set->n_levels; level++, value >>= 6) {
        set->words[level][value >> 6] |= UINT64_C(1) << (value & 63);
    }
}

static void room_set_remove(room_set *set, int64_t value) {
    for (int level = 0; level < set->n_levels; level++, value >>= 6) {
        set->words[level][value >> 6] &= ~(UINT64_C(1) << (value & 63));
        if (set->words[level][value >> 6]) return;
    }
}

/* Smallest member >= value, or -1. Values are below the limit the set was made with. */
static int64_t room_set_next(const room_set *set, int64_t value) {
    for (int level = 0; level < set->n_levels; level++) {
        uint64_t rest = set->words[level][value >> 6] & (~UINT64_C(0) << (value & 63));
        if (rest) {
            value = (value & ~(int64_t)63) | __builtin_ctzll(rest);
            while (level-- > 0) value = value << 6 | __builtin_ctzll(set->words[level][value]);
            return value;
        }
        value = (value >> 6) + 1; /* the next word, as a member of the level above */
    }
    return -1;
}

typedef struct packer {
    room_set rooms;
    int64_t *first_bin; /* [capacity + 1] newest bin with that much room, or -1 */
    int64_t *next_bin;  /* [n] the one before it, or -1 */
    int64_t *sorted;    /* [n] items, longest first */
    int64_t *starts;    /* [capacity + 2] counting sort */
} packer;

static void packer_free(packer *p) {
    room_set_free(&p->rooms);
    ins_free(p->first_bin);
    ins_free(p->next_bin);
    ins_free(p->sorted);
    ins_free(p->starts);
}

static ins_status packer_new(packer *p, int64_t n, int64_t capacity, ins_error *err) {
    bool ok = room_set_new(&p->rooms, capacity + 1);
    p->first_bin = ins_malloc((size_t)(capacity + 1) * sizeof *p->first_bin);
    p->next_bin = ins_malloc((size_t)(n + 1) * sizeof *p->next_bin);
    p->sorted = ins_malloc((size_t)(n + 1) * sizeof *p->sorted);
    p->starts = ins_calloc((size_t)capacity + 2, sizeof *p->starts);
    if (ok && p->first_bin && p->next_bin && p->sorted && p->starts) {
        memset(p->first_bin, 0xff, (size_t)(capacity + 1) * sizeof *p->first_bin);
        return INS_OK;
    }
    packer_free(p);
    return INS_FAIL(err, INS_NOMEM, "out of memory for packing %lld pieces", (long long)n);
}

/* Counting sort by length, longest first, stable. */
static void sort_items(packer *p, const int32_t *lengths, int64_t n, int64_t capacity) {
    for (int64_t i = 0; i < n; i++) p->starts[capacity - lengths[i] + 1]++;
    for (int64_t at = 1; at <= capacity; at++) p->starts[at] += p->starts[at - 1];
    for (int64_t i = 0; i < n; i++) p->sorted[p->starts[capacity - lengths[i]]++] = i;
}

ins_status ins_pack_bestfit(const int32_t *lengths, int64_t n, int64_t capacity, int64_t *bin_of, int64_t *n_bins,
                            ins_error *err) {
    packer p = {0};
    INS_TRY(packer_new(&p, n, capacity, err));
    sort_items(&p, lengths, n, capacity);
    int64_t bins = 0;
    for (int64_t at = 0; at < n; at++) {
        int64_t item = p.sorted[at], length = lengths[item];
        int64_t room = room_set_next(&p.rooms, length), bin;
        if (room < 0) {
            bin = bins++;
            room = capacity;
        } else {
            bin = p.first_bin[room];
            p.first_bin[room] = p.next_bin[bin];
            if (p.first_bin[room] < 0) room_set_remove(&p.rooms, room);
        }
        bin_of[item] = bin;
        room -= length;
        if (room == 0) continue; /* full */
        p.next_bin[bin] = p.first_bin[room];
        p.first_bin[room] = bin;
        room_set_add(&p.rooms, room);
    }
    packer_free(&p);
    *n_bins = bins;
    return INS_OK;
}
