/* Writing token shards. The index comes before the ids in the file and is known only at the end, so ids go to an
 * unnamed spool file beside the target first; memory holds 16 bytes a document and one bit a token. */
#include "data/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/hash.h"
#include "base/mem.h"
#include "data/shard_layout.h"

#define SPOOL_BUFFER ((size_t)1 << 18)

struct ins_shard_writer {
    char *path;
    int fd; /* spool of ids, unlinked */
    unsigned char *buf;
    size_t used;
    bool wide, has_mask;
    int64_t vocab_size, n_documents, n_tokens, text_bytes;
    ins_str offsets, doc_bytes, mask; /* u64 ends of documents; u64; bits */
    unsigned char partial;            /* mask bits of an unfinished byte */
};

void ins_shard_writer_abort(ins_shard_writer *w) {
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    ins_str_free(&w->offsets);
    ins_str_free(&w->doc_bytes);
    ins_str_free(&w->mask);
    ins_free(w->path);
    ins_free(w->buf);
    ins_free(w);
}

static ins_status spool_open(ins_shard_writer *w, ins_error *err) {
    ins_str name = {0};
    ins_str_printf(&name, "%s.spool-XXXXXX", w->path);
    if (name.oom) {
        ins_str_free(&name);
        return INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", w->path);
    }
    w->fd = mkostemp(name.data, O_CLOEXEC);
    ins_status status = INS_OK;
    if (w->fd < 0) {
        status = INS_FAIL_ERRNO(err, "cannot create '%s'", name.data);
    } else {
        unlink(name.data);
    }
    ins_str_free(&name);
    return status;
}

ins_status ins_shard_writer_open(const char *path, int64_t vocab_size, ins_shard_writer **out, ins_error *err) {
    if (vocab_size < 1 || vocab_size > INT32_MAX) {
        return INS_FAIL(err, INS_DATA, "a shard cannot have a vocabulary of %" PRId64, vocab_size);
    }
    ins_shard_writer *w = ins_calloc(1, sizeof *w);
    if (!w) return INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", path);
    w->fd = -1;
    w->vocab_size = vocab_size;
    w->wide = vocab_size > 65536;
    w->path = ins_strdup(path);
    w->buf = ins_malloc(SPOOL_BUFFER);
    ins_status status = INS_OK;
    if (!w->path || !w->buf) status = INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", path);
    if (status == INS_OK) status = spool_open(w, err);
    if (status != INS_OK) {
        ins_shard_writer_abort(w);
        return status;
    }
    uint64_t zero = 0;
    ins_str_append(&w->offsets, &zero, sizeof zero);
    *out = w;
    return INS_OK;
}

static ins_status spool_flush(ins_shard_writer *w, ins_error *err) {
    size_t done = 0;
    while (done < w->used) {
        ssize_t n = write(w->fd, w->buf + done, w->used - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return INS_FAIL_ERRNO(err, "cannot write the ids of '%s'", w->path);
        done += (size_t)n;
    }
    w->used = 0;
    return INS_OK;
}

static void mask_put(ins_shard_writer *w, bool in_loss) {
    if (in_loss) w->partial |= (unsigned char)(1u << (w->n_tokens & 7));
    if ((w->n_tokens & 7) == 7) {
        ins_str_putc(&w->mask, (char)w->partial);
        w->partial = 0;
    }
    if (!in_loss) w->has_mask = true;
}

ins_status ins_shard_writer_add(ins_shard_writer *w, const int32_t *ids, const char *mask, int64_t n,
                                int64_t text_bytes, ins_error *err) {
    if (n < 1) return INS_FAIL(err, INS_DATA, "a document without tokens cannot go into shard '%s'", w->path);
    if (text_bytes < 0) return INS_FAIL(err, INS_BUG, "negative byte count for shard '%s'", w->path);
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] >= 0 && ids[i] < w->vocab_size) continue;
        return INS_FAIL(err, INS_DATA, "id %" PRId32 " is outside the vocabulary of %" PRId64 " of shard '%s'", ids[i],
                        w->vocab_size, w->path);
    }
    for (int64_t i = 0; i < n; i++) {
        if (w->used + 4 > SPOOL_BUFFER) INS_TRY(spool_flush(w, err));
        if (w->wide) {
            uint32_t id = (uint32_t)ids[i];
            memcpy(w->buf + w->used, &id, 4);
            w->used += 4;
        } else {
            uint16_t id = (uint16_t)ids[i];
            memcpy(w->buf + w->used, &id, 2);
            w->used += 2;
        }
        mask_put(w, !mask || mask[i]);
        w->n_tokens++;
    }
    uint64_t end = (uint64_t)w->n_tokens, bytes = (uint64_t)text_bytes;
    ins_str_append(&w->offsets, &end, sizeof end);
    ins_str_append(&w->doc_bytes, &bytes, sizeof bytes);
    w->text_bytes += text_bytes;
    w->n_documents++;
    if (w->offsets.oom || w->doc_bytes.oom || w->mask.oom) {
        return INS_FAIL(err, INS_NOMEM, "out of memory for the index of shard '%s'", w->path);
    }
    return INS_OK;
}

/* Calls `piece` for the spooled ids, in order. */
static ins_status spool_each(ins_shard_writer *w,
                             ins_status (*piece)(void *arg, const void *data, size_t n, ins_error *), void *arg,
                             ins_error *err) {
    off_t at = 0, size = (off_t)w->n_tokens * (w->wide ? 4 : 2);
    while (at < size) {
        ssize_t n = pread(w->fd, w->buf, SPOOL_BUFFER, at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return INS_FAIL_ERRNO(err, "cannot read back the ids of '%s'", w->path);
        if (n == 0) return INS_FAIL(err, INS_IO, "the spooled ids of '%s' are cut short", w->path);
        INS_TRY(piece(arg, w->buf, (size_t)n, err));
        at += n;
    }
    return INS_OK;
}

static ins_status hash_piece(void *arg, const void *data, size_t n, ins_error *err) {
    if (XXH3_64bits_update(arg, data, n) == XXH_OK) return INS_OK;
    return INS_FAIL(err, INS_BUG, "hashing failed");
}

static ins_status write_piece(void *arg, const void *data, size_t n, ins_error *err) {
    return ins_writer_write(arg, data, n, err);
}

static ins_status payload_each(ins_shard_writer *w, ins_status (*piece)(void *, const void *, size_t, ins_error *),
                               void *arg, ins_error *err) {
    INS_TRY(piece(arg, w->offsets.data, w->offsets.len, err));
    if (w->doc_bytes.len) INS_TRY(piece(arg, w->doc_bytes.data, w->doc_bytes.len, err));
    INS_TRY(spool_each(w, piece, arg, err));
    if (w->has_mask) INS_TRY(piece(arg, w->mask.data, w->mask.len, err));
    return INS_OK;
}

static ins_status hash_payload(ins_shard_writer *w, uint64_t *hash, ins_error *err) {
    XXH3_state_t *state = XXH3_createState();
    if (!state) return INS_FAIL(err, INS_NOMEM, "out of memory while hashing shard '%s'", w->path);
    XXH3_64bits_reset(state);
    ins_status status = payload_each(w, hash_piece, state, err);
    if (status == INS_OK) *hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return status;
}

static ins_status write_file(ins_shard_writer *w, ins_error *err) {
    if (w->n_tokens & 7) {
        ins_str_putc(&w->mask, (char)w->partial);
        if (w->mask.oom) return INS_FAIL(err, INS_NOMEM, "out of memory for the mask of shard '%s'", w->path);
    }
    INS_TRY(spool_flush(w, err));
    uint64_t hash = 0;
    INS_TRY(hash_payload(w, &hash, err));
    unsigned char head[INS_SHARD_HEADER] = INS_SHARD_MAGIC;
    uint32_t words[2] = {INS_SHARD_VERSION, (w->wide ? INS_SHARD_WIDE : 0) | (w->has_mask ? INS_SHARD_MASK : 0)};
    uint64_t counts[5] = {(uint64_t)w->n_documents, (uint64_t)w->n_tokens, (uint64_t)w->text_bytes,
                          (uint64_t)w->vocab_size, hash};
    memcpy(head + 8, words, sizeof words);
    memcpy(head + 16, counts, sizeof counts);
    uint64_t head_hash = ins_hash64(head, INS_SHARD_HEADER_HASHED, 0);
    memcpy(head + INS_SHARD_HEADER_HASHED, &head_hash, sizeof head_hash);
    ins_writer *out = NULL;
    INS_TRY(ins_writer_open(w->path, &out, err));
    ins_status status = ins_writer_write(out, head, sizeof head, err);
    if (status == INS_OK) status = payload_each(w, write_piece, out, err);
    if (status == INS_OK) return ins_writer_commit(out, NULL, err);
    ins_writer_abort(out);
    return status;
}

ins_status ins_shard_writer_commit(ins_shard_writer *w, ins_error *err) {
    ins_status status = write_file(w, err);
    ins_shard_writer_abort(w);
    return status;
}
