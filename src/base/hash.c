/* XXH3 for speed, SHA-256 for content. */
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/mem.h"

uint64_t ins_hash64(const void *data, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(n ? data : "", n, (XXH64_hash_t)seed);
}

void ins_sha256_begin(ins_sha256 *h) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    h->ctx = ctx;
    h->failed = !ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1;
}

void ins_sha256_update(ins_sha256 *h, const void *data, size_t n) {
    if (h->failed || n == 0) return;
    if (EVP_DigestUpdate(h->ctx, data, n) != 1) h->failed = true;
}

ins_status ins_sha256_end(ins_sha256 *h, ins_digest *out, ins_error *err) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool ok = !h->failed && EVP_DigestFinal_ex(h->ctx, bytes, &len) == 1 && len == 32;
    EVP_MD_CTX_free(h->ctx);
    h->ctx = NULL;
    h->failed = true;
    if (!ok)
        return INS_FAIL(err, INS_NOMEM,
                        "SHA-256 could not be computed: the crypto library refused or ran out of memory");
    static const char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < len; i++) {
        out->hex[2 * i] = digits[bytes[i] >> 4];
        out->hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    out->hex[64] = '\0';
    return INS_OK;
}

ins_status ins_sha256_bytes(const void *data, size_t n, ins_digest *out, ins_error *err) {
    ins_sha256 h;
    ins_sha256_begin(&h);
    ins_sha256_update(&h, data, n);
    return ins_sha256_end(&h, out, err);
}

ins_status ins_sha256_file(const char *path, ins_digest *out, uint64_t *size, ins_error *err) {
    const size_t chunk = (size_t)1 << 18;
    unsigned char *buf = ins_malloc(chunk);
    if (!buf) return INS_FAIL(err, INS_NOMEM, "out of memory while hashing '%s'", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        ins_free(buf);
        return INS_FAIL_ERRNO(err, "cannot open '%s'", path);
    }
    ins_sha256 h;
    ins_sha256_begin(&h);
    uint64_t total = 0;
    ssize_t got;
    while ((got = read(fd, buf, chunk)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) break;
        ins_sha256_update(&h, buf, (size_t)got);
        total += (uint64_t)got;
    }
    int code = errno;
    close(fd);
    ins_free(buf);
    ins_digest digest;
    ins_status status = ins_sha256_end(&h, &digest, err);
    if (got < 0) {
        errno = code;
        return INS_FAIL_ERRNO(err, "cannot read '%s'", path);
    }
    INS_TRY(status);
    *out = digest;
    if (size) *size = total;
    return INS_OK;
}
