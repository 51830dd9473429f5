/* Opening token shards: everything in the file is checked before anything of it is used. */
#include "data/shard.h"

#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "data/shard_layout.h"

/* Ids a range-check task looks at. */
#define CHECK_CHUNK ((int64_t)1 << 20)

static uint64_t load_u64(const unsigned char *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static ins_status damaged(ins_error *err, const char *path, const char *what) {
    INS_FAIL(err, INS_DATA, "shard '%s' is damaged: %s", path, what);
    ins_error_hint(err, "remove it and run the stage that wrote it again");
    return INS_DATA;
}

static ins_status read_header(const char *path, ins_shard *s, ins_shard_layout *layout, ins_error *err) {
    const unsigned char *head = s->map.data;
    if (s->map.size < INS_SHARD_HEADER) return damaged(err, path, "it is shorter than its header");
    if (memcmp(head, INS_SHARD_MAGIC, 8) != 0) return damaged(err, path, "it does not start with INSSHRD1");
    if (load_u64(head + INS_SHARD_HEADER_HASHED) != ins_hash64(head, INS_SHARD_HEADER_HASHED, 0)) {
        return damaged(err, path, "its header does not have the hash that stands in it");
    }
    uint32_t version, flags;
    memcpy(&version, head + 8, 4);
    memcpy(&flags, head + 12, 4);
    if (version != INS_SHARD_VERSION) {
        INS_FAIL(err, INS_DATA, "shard '%s' has version %" PRIu32 ", this program reads version %d", path, version,
                 INS_SHARD_VERSION);
        ins_error_hint(err, "write it again with this program");
        return INS_DATA;
    }
    if (flags & ~(uint32_t)(INS_SHARD_WIDE | INS_SHARD_MASK)) return damaged(err, path, "unknown flags");
    uint64_t n_documents = load_u64(head + 16), n_tokens = load_u64(head + 24);
    uint64_t text_bytes = load_u64(head + 32), vocab_size = load_u64(head + 40);
    if (text_bytes > INT64_MAX || vocab_size > INT32_MAX || vocab_size == 0) {
        return damaged(err, path, "a size in the header is out of range");
    }
    for (size_t i = INS_SHARD_HEADER_USED; i < INS_SHARD_HEADER; i++) {
        if (head[i]) return damaged(err, path, "the header's padding is not zero");
    }
    if (!ins_shard_layout_of(n_documents, n_tokens, flags, layout)) {
        return damaged(err, path, "a count in the header is out of range");
    }
    if (layout->total != s->map.size) return damaged(err, path, "its size does not fit the counts in its header");
    s->wide = (flags & INS_SHARD_WIDE) != 0;
    s->n_documents = (int64_t)n_documents;
    s->n_tokens = (int64_t)n_tokens;
    s->text_bytes = (int64_t)text_bytes;
    s->vocab_size = (int64_t)vocab_size;
    s->payload_hash = load_u64(head + 48);
    s->offsets = (const uint64_t *)(const void *)(head + layout->offsets);
    s->doc_bytes = (const uint64_t *)(const void *)(head + layout->doc_bytes);
    s->ids = head + layout->ids;
    s->mask = flags & INS_SHARD_MASK ? head + layout->mask : NULL;
    return INS_OK;
}

static ins_status check_index(const char *path, const ins_shard *s, ins_error *err) {
    if (s->offsets[0] != 0) return damaged(err, path, "the first document does not start at token 0");
    uint64_t bytes = 0;
    for (int64_t doc = 0; doc < s->n_documents; doc++) {
        if (s->offsets[doc + 1] <= s->offsets[doc]) return damaged(err, path, "its document offsets do not grow");
        if (__builtin_add_overflow(bytes, s->doc_bytes[doc], &bytes)) return damaged(err, path, "byte counts overflow");
    }
    if (s->offsets[s->n_documents] != (uint64_t)s->n_tokens) {
        return damaged(err, path, "its documents do not cover its tokens");
    }
    if (bytes != (uint64_t)s->text_bytes) return damaged(err, path, "its documents' bytes do not add up");
    return INS_OK;
}

typedef struct range_check {
    const ins_shard *shard;
    uint32_t *largest; /* per task */
} range_check;

static void range_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const range_check *check = arg;
    int64_t begin = task * CHECK_CHUNK, end = begin + CHECK_CHUNK;
    if (end > check->shard->n_tokens) end = check->shard->n_tokens;
    uint32_t largest = 0;
    if (check->shard->wide) {
        const uint32_t *ids = check->shard->ids;
        for (int64_t i = begin; i < end; i++) largest = ids[i] > largest ? ids[i] : largest;
    } else {
        const uint16_t *ids = check->shard->ids;
        uint16_t narrow = 0;
        for (int64_t i = begin; i < end; i++) narrow = ids[i] > narrow ? ids[i] : narrow;
        largest = narrow;
    }
    check->largest[task] = largest;
}

static ins_status check_ids(const char *path, const ins_shard *s, ins_pool *pool, ins_error *err) {
    int64_t n_tasks = (s->n_tokens + CHECK_CHUNK - 1) / CHECK_CHUNK;
    range_check check = {s, ins_calloc((size_t)n_tasks + 1, sizeof(uint32_t))};
    if (!check.largest) return INS_FAIL(err, INS_NOMEM, "out of memory while checking shard '%s'", path);
    ins_pool_run(pool, n_tasks, range_task, &check);
    uint32_t largest = 0;
    for (int64_t i = 0; i < n_tasks; i++) largest = check.largest[i] > largest ? check.largest[i] : largest;
    ins_free(check.largest);
    if (largest < s->vocab_size) return INS_OK;
    INS_FAIL(err, INS_DATA, "shard '%s' holds id %" PRIu32 ", past its vocabulary of %" PRId64, path, largest,
             s->vocab_size);
    ins_error_hint(err, "remove it and run the stage that wrote it again");
    return INS_DATA;
}

static ins_status check_all(const char *path, int64_t vocab_limit, ins_pool *pool, ins_shard *s, ins_error *err) {
    ins_shard_layout layout;
    INS_TRY(read_header(path, s, &layout, err));
    uint64_t hash = ins_hash64(s->map.data + INS_SHARD_HEADER, s->map.size - INS_SHARD_HEADER, 0);
    if (hash != s->payload_hash)
        return damaged(err, path, "its contents do not have the hash that stands in its header");
    if (s->n_documents == 0) {
        INS_FAIL(err, INS_DATA, "shard '%s' has no documents", path);
        ins_error_hint(err, "the corpus split it was made from is empty: look at the steps' drop counts and at the "
                            "shares of the valid and test splits");
        return INS_DATA;
    }
    INS_TRY(check_index(path, s, err));
    INS_TRY(check_ids(path, s, pool, err));
    if (vocab_limit > 0 && s->vocab_size > vocab_limit) {
        INS_FAIL(err, INS_DATA, "shard '%s' was made with a vocabulary of %" PRId64 ", the model has %" PRId64, path,
                 s->vocab_size, vocab_limit);
        ins_error_hint(err, "tokenize the corpus with the model's own tokenizer");
        return INS_DATA;
    }
    return INS_OK;
}

ins_status ins_shard_open(const char *path, int64_t vocab_limit, ins_pool *pool, ins_shard *out, ins_error *err) {
    ins_shard shard = {0};
    INS_TRY(ins_map_open(path, &shard.map, err));
    ins_status status = check_all(path, vocab_limit, pool, &shard, err);
    if (status != INS_OK) {
        ins_map_close(&shard.map);
        return status;
    }
    *out = shard;
    return INS_OK;
}

void ins_shard_close(ins_shard *shard) {
    if (!shard) return;
    ins_map_close(&shard->map);
    *shard = (ins_shard){0};
}

int64_t ins_shard_loss_tokens(const ins_shard *s) {
    int64_t n = 0;
    if (!s->mask) return s->n_tokens;
    for (int64_t i = 0; i < s->n_tokens; i++) n += ins_shard_in_loss(s, i);
    return n;
}
