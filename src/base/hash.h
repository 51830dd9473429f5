/* Hashes: XXH3-64 for speed (shards, tables), SHA-256 for content keys and manifests. */
#ifndef INS_BASE_HASH_H
#define INS_BASE_HASH_H

#include "base/status.h"

uint64_t ins_hash64(const void *data, size_t n, uint64_t seed);

typedef struct ins_sha256 {
    void *ctx; /* owned by begin..end */
    bool failed;
} ins_sha256;
typedef struct ins_digest {
    char hex[65]; /* lower-case hex, NUL-terminated */
} ins_digest;

void ins_sha256_begin(ins_sha256 *h);
void ins_sha256_update(ins_sha256 *h, const void *data, size_t n);
ins_status ins_sha256_end(ins_sha256 *h, ins_digest *out, ins_error *err); /* frees ctx also on failure */
ins_status ins_sha256_bytes(const void *data, size_t n, ins_digest *out, ins_error *err);
ins_status ins_sha256_file(const char *path, ins_digest *out, uint64_t *size, ins_error *err);

#endif
