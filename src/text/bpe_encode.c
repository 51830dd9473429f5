/* One pre-token into ids: repeated merging of the pair of lowest rank, leftmost first, behind a bounded cache. */
#include <string.h>

#include "base/hash.h"
#include "text/text_internal.h"

#define SHORT_PIECE 64 /* up to here a plain scan for the best pair beats a heap */

#define CACHE_SLOTS    ((uint64_t)1 << 16)
#define CACHE_MAX_USED ((int64_t)(CACHE_SLOTS / 2))
#define CACHE_KEYS     ((size_t)1 << 20) /* bytes of cached pre-tokens */
#define CACHE_IDS      ((size_t)1 << 18)

struct text_cache_slot {
    uint32_t hash; /* 0 = empty */
    uint32_t key, ids;
    uint8_t n_key, n_ids;
};

ins_token_cache *ins_token_cache_new(const ins_tokenizer *tok) {
    (void)tok; /* any tokenizer: a cache must only ever be used with one */
    ins_token_cache *cache = ins_calloc(1, sizeof *cache);
    if (!cache) return NULL;
    cache->slots = ins_calloc(CACHE_SLOTS, sizeof *cache->slots);
    cache->keys = ins_malloc(CACHE_KEYS);
    cache->ids = ins_malloc(CACHE_IDS * sizeof *cache->ids);
    if (cache->slots && cache->keys && cache->ids) return cache;
    ins_token_cache_free(cache);
    return NULL;
}

void ins_token_cache_free(ins_token_cache *cache) {
    if (!cache) return;
    ins_free(cache->slots);
    ins_free(cache->keys);
    ins_free(cache->ids);
    ins_free(cache);
}

/* The slot of this pre-token, or the empty slot where it belongs. */
static struct text_cache_slot *cache_slot(const ins_token_cache *cache, const unsigned char *bytes, size_t n,
                                          uint32_t hash) {
    uint64_t at = hash & (CACHE_SLOTS - 1);
    for (; cache->slots[at].hash; at = (at + 1) & (CACHE_SLOTS - 1)) {
        const struct text_cache_slot *slot = &cache->slots[at];
        if (slot->hash == hash && slot->n_key == n && memcmp(cache->keys + slot->key, bytes, n) == 0) break;
    }
    return &cache->slots[at];
}

static void cache_store(ins_token_cache *cache, const unsigned char *bytes, size_t n, uint32_t hash, const int32_t *ids,
                        size_t n_ids) {
    if (cache->n_used >= CACHE_MAX_USED || n > CACHE_KEYS - cache->n_keys || n_ids > CACHE_IDS - cache->n_ids) {
        memset(cache->slots, 0, CACHE_SLOTS * sizeof *cache->slots); /* full: start again */
        cache->n_used = 0;
        cache->n_keys = cache->n_ids = 0;
    }
    struct text_cache_slot *slot = cache_slot(cache, bytes, n, hash);
    *slot = (struct text_cache_slot){hash, (uint32_t)cache->n_keys, (uint32_t)cache->n_ids, (uint8_t)n, (uint8_t)n_ids};
    memcpy(cache->keys + cache->n_keys, bytes, n);
    memcpy(cache->ids + cache->n_ids, ids, n_ids * sizeof *ids);
    cache->n_keys += n;
    cache->n_ids += n_ids;
    cache->n_used++;
}

static uint32_t rank_of(const ins_tokenizer *tok, int32_t left, int32_t right, int32_t *joined) {
    const text_merge *merge = text_find_merge(tok, left, right);
    if (!merge) return TEXT_NO_RANK;
    *joined = merge->id;
    return merge->rank;
}

/* ids[n] in place; returns the new length. rank[i], joined[i] belong to the pair (i, i + 1). */
static size_t merge_short(const ins_tokenizer *tok, int32_t *ids, size_t n) {
    uint32_t rank[SHORT_PIECE];
    int32_t joined[SHORT_PIECE];
    for (size_t i = 0; i + 1 < n; i++) rank[i] = rank_of(tok, ids[i], ids[i + 1], &joined[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == TEXT_NO_RANK) break;
        ids[best] = joined[best];
        size_t behind = n - best - 2; /* tokens behind the pair */
        memmove(ids + best + 1, ids + best + 2, behind * sizeof *ids);
        if (behind > 0) {
            memmove(rank + best + 1, rank + best + 2, (behind - 1) * sizeof *rank);
            memmove(joined + best + 1, joined + best + 2, (behind - 1) * sizeof *joined);
        }
        n--;
        if (best + 1 < n) rank[best] = rank_of(tok, ids[best], ids[best + 1], &joined[best]);
        if (best > 0) rank[best - 1] = rank_of(tok, ids[best - 1], ids[best], &joined[best - 1]);
    }
    return n;
}

/* ---- long pre-tokens: a heap of pairs over a linked list ---- */

typedef struct heap_item {
    uint32_t rank;
    uint32_t at;         /* left token's position */
    int32_t left, right; /* what stood there when the item was made: others mean that it is stale */
    int32_t joined;
} heap_item;

typedef struct long_piece {
    const ins_tokenizer *tok;
    int32_t *ids; /* by position; -1 = joined to its left neighbour */
    uint32_t *next, *before;
    heap_item *heap;
    size_t n_heap;
} long_piece;

static bool item_before(const heap_item *x, const heap_item *y) {
    return x->rank != y->rank ? x->rank < y->rank : x->at < y->at;
}

static void heap_push(long_piece *piece, uint32_t at, size_t n) {
    uint32_t right = piece->next[at];
    if (right >= n) return;
    heap_item item = {.at = at, .left = piece->ids[at], .right = piece->ids[right]};
    item.rank = rank_of(piece->tok, item.left, item.right, &item.joined);
    if (item.rank == TEXT_NO_RANK) return;
    size_t hole = piece->n_heap++;
    while (hole > 0 && item_before(&item, &piece->heap[(hole - 1) / 2])) {
        piece->heap[hole] = piece->heap[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    piece->heap[hole] = item;
}

static heap_item heap_pop(long_piece *piece) {
    heap_item top = piece->heap[0], last = piece->heap[--piece->n_heap];
    size_t hole = 0;
    for (;;) {
        size_t child = 2 * hole + 1;
        if (child >= piece->n_heap) break;
        if (child + 1 < piece->n_heap && item_before(&piece->heap[child + 1], &piece->heap[child])) child++;
        if (!item_before(&piece->heap[child], &last)) break;
        piece->heap[hole] = piece->heap[child];
        hole = child;
    }
    if (piece->n_heap > 0) piece->heap[hole] = last;
    return top;
}

static size_t merge_heap(long_piece *piece, size_t n) {
    for (size_t i = 0; i < n; i++) {
        piece->next[i] = (uint32_t)i + 1;
        piece->before[i] = (uint32_t)i - 1; /* of 0: wraps to a value that is never used */
    }
    for (size_t i = 0; i + 1 < n; i++) heap_push(piece, (uint32_t)i, n);
    while (piece->n_heap > 0) {
        heap_item item = heap_pop(piece);
        uint32_t right = piece->next[item.at];
        if (piece->ids[item.at] != item.left || right >= n || piece->ids[right] != item.right) continue;
        piece->ids[item.at] = item.joined;
        piece->ids[right] = -1;
        uint32_t behind = piece->next[right];
        piece->next[item.at] = behind;
        if (behind < n) piece->before[behind] = item.at;
        heap_push(piece, item.at, n);
        if (item.at > 0) heap_push(piece, piece->before[item.at], n);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (piece->ids[i] >= 0) piece->ids[kept++] = piece->ids[i];
    return kept;
}

static ins_status merge_long(const ins_tokenizer *tok, int32_t *ids, size_t *n, ins_error *err) {
    size_t size = *n;
    if (size >= UINT32_MAX / 4) return INS_FAIL(err, INS_DATA, "a piece of text of %zu bytes is too long", size);
    long_piece piece = {.tok = tok, .ids = ids};
    piece.next = ins_malloc(size * sizeof *piece.next);
    piece.before = ins_malloc(size * sizeof *piece.before);
    piece.heap = ins_malloc(3 * size * sizeof *piece.heap); /* n - 1 first pairs, at most 2 more per merge */
    ins_status status = INS_OK;
    if (piece.next && piece.before && piece.heap)
        *n = merge_heap(&piece, size);
    else
        status = text_no_memory(err);
    ins_free(piece.next);
    ins_free(piece.before);
    ins_free(piece.heap);
    return status;
}

static ins_status encode_fresh(const ins_tokenizer *tok, const unsigned char *bytes, size_t n, ins_ids *out,
                               ins_error *err) {
    if (!text_ids_reserve(out, (int64_t)n)) return text_no_memory(err);
    int32_t *ids = out->data + out->n;
    if (tok->ignore_merges) {
        int32_t whole = text_find_plain(tok, bytes, n);
        if (whole >= 0) {
            out->data[out->n++] = whole;
            return INS_OK;
        }
    }
    for (size_t i = 0; i < n; i++) ids[i] = tok->byte_id[bytes[i]];
    if (tok->n_merges > 0 && n > SHORT_PIECE)
        INS_TRY(merge_long(tok, ids, &n, err));
    else if (tok->n_merges > 0)
        n = merge_short(tok, ids, n);
    out->n += (int64_t)n;
    return INS_OK;
}

ins_status text_encode_piece(const ins_tokenizer *tok, ins_token_cache *cache, const unsigned char *bytes, size_t n,
                             ins_ids *out, ins_error *err) {
    if (n == 1 && !tok->ignore_merges) {
        if (!text_ids_reserve(out, 1)) return text_no_memory(err);
        out->data[out->n++] = tok->byte_id[bytes[0]];
        return INS_OK;
    }
    if (!cache || n > SHORT_PIECE || tok->n_merges == 0) return encode_fresh(tok, bytes, n, out, err);
    uint32_t hash = (uint32_t)ins_hash64(bytes, n, 0) | 1;
    const struct text_cache_slot *slot = cache_slot(cache, bytes, n, hash);
    if (slot->hash) {
        if (!text_ids_reserve(out, slot->n_ids)) return text_no_memory(err);
        for (int i = 0; i < slot->n_ids; i++) out->data[out->n + i] = cache->ids[slot->ids + (uint32_t)i];
        out->n += slot->n_ids;
        return INS_OK;
    }
    int64_t before = out->n;
    INS_TRY(encode_fresh(tok, bytes, n, out, err));
    cache_store(cache, bytes, n, hash, out->data + before, (size_t)(out->n - before));
    return INS_OK;
}
