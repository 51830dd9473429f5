/* Where the parts of a shard file lie (data/shard.h has the format). Shared by the reader and the writer. */
#ifndef INS_DATA_SHARD_LAYOUT_H
#define INS_DATA_SHARD_LAYOUT_H

#include "base/mem.h"

#define INS_SHARD_MAGIC         "INSSHRD1"
#define INS_SHARD_VERSION       1
#define INS_SHARD_WIDE          1u
#define INS_SHARD_MASK          2u
#define INS_SHARD_HEADER        128
#define INS_SHARD_HEADER_HASHED 56
#define INS_SHARD_HEADER_USED   64

typedef struct ins_shard_layout {
    size_t offsets, doc_bytes, ids, mask, total; /* byte positions in the file */
} ins_shard_layout;

/* False when the counts overflow. */
static inline bool ins_shard_layout_of(uint64_t n_documents, uint64_t n_tokens, uint32_t flags, ins_shard_layout *out) {
    size_t index, ids, width = flags & INS_SHARD_WIDE ? 4 : 2;
    if (n_documents > INT64_MAX / 32 || n_tokens > INT64_MAX / 8) return false;
    if (!ins_mul_size(n_documents, 16, &index) || !ins_mul_size(n_tokens, width, &ids)) return false;
    out->offsets = INS_SHARD_HEADER;
    out->doc_bytes = out->offsets + ((size_t)n_documents + 1) * 8;
    out->ids = out->doc_bytes + (size_t)n_documents * 8;
    out->mask = out->ids + ids;
    out->total = out->mask + (flags & INS_SHARD_MASK ? ((size_t)n_tokens + 7) / 8 : 0);
    return true;
}

#endif
