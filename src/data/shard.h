/* Token shards: memory-mapped ids of whole documents, with a loss mask and an index. One file per corpus split.
 *
 *   0   "INSSHRD1"        8   u32 version, u32 flags (1 = ids are u32 else u16, 2 = has loss mask)
 *  16   u64 n_documents, u64 n_tokens, u64 text_bytes (of the documents, for bits per byte), u64 vocab_size
 *  48   u64 payload hash (XXH3-64 of all that follows the 128-byte header)
 *  56   u64 header hash (XXH3-64 of the first 56 bytes), 128-byte header padded with zeros
 * 128   u64 offsets[n_documents + 1] (in tokens), u64 doc_bytes[n_documents], ids, mask bits (1 = in the loss)
 *
 * Little endian. Opening checks sizes, monotonic offsets, both hashes, that every id < vocab_size and that vocab_size
 * <= the caller's limit. An empty shard (no documents) is INS_DATA.
 *
 * What callers store: a document is [start id, tokens...], so that its first real token is predicted too; a document
 * that should teach where to stop ends with the end id as well.
 */
#ifndef INS_DATA_SHARD_H
#define INS_DATA_SHARD_H

#include "base/file.h"
#include "base/pool.h"

typedef struct ins_shard {
    ins_map map;
    const uint64_t *offsets, *doc_bytes;
    const void *ids;
    bool wide;                 /* u32 */
    const unsigned char *mask; /* bits, or NULL = all in the loss */
    int64_t n_documents, n_tokens, text_bytes, vocab_size;
    uint64_t payload_hash;
} ins_shard;

ins_status ins_shard_open(const char *path, int64_t vocab_limit, ins_pool *pool, ins_shard *out, ins_error *err);
void ins_shard_close(ins_shard *shard);
static inline int32_t ins_shard_id(const ins_shard *s, int64_t token) {
    return s->wide ? (int32_t)((const uint32_t *)s->ids)[token] : (int32_t)((const uint16_t *)s->ids)[token];
}
static inline bool ins_shard_in_loss(const ins_shard *s, int64_t token) {
    return !s->mask || (s->mask[token >> 3] >> (token & 7) & 1);
}

/* How many tokens are in the loss: what text_bytes, of the text that is learnt, compares with. */
int64_t ins_shard_loss_tokens(const ins_shard *s);

typedef struct ins_shard_writer ins_shard_writer;
ins_status ins_shard_writer_open(const char *path, int64_t vocab_size, ins_shard_writer **out, ins_error *err);
/* mask: one byte per id (0/1), or NULL = all in the loss. */
ins_status ins_shard_writer_add(ins_shard_writer *w, const int32_t *ids, const char *mask, int64_t n,
                                int64_t text_bytes, ins_error *err);
ins_status ins_shard_writer_commit(ins_shard_writer *w, ins_error *err); /* atomic; frees w */
void ins_shard_writer_abort(ins_shard_writer *w);

#endif
