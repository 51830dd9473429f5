/* Durable writes: a temporary beside the target, fsync, rename, fsync of the folder. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

#define WRITER_BUFFER ((size_t)1 << 18)

struct ins_writer {
    int fd;
    char *path, *temp;
    unsigned char *buf;
    size_t used;
    uint64_t offset; /* bytes given to the writer, buffered ones included */
    ins_sha256 sha;
    bool failed;
};

static void writer_free(ins_writer *w) {
    if (w->fd >= 0) close(w->fd);
    if (w->sha.ctx) {
        ins_digest unused;
        ins_sha256_end(&w->sha, &unused, NULL);
    }
    ins_free(w->path);
    ins_free(w->temp);
    ins_free(w->buf);
    ins_free(w);
}

void ins_writer_abort(ins_writer *w) {
    if (!w) return;
    if (w->fd >= 0) unlink(w->temp);
    writer_free(w);
}

static uint64_t random_word(const ins_writer *w) {
    uint64_t word = 0;
    if (getrandom(&word, sizeof word, GRND_NONBLOCK) == (ssize_t)sizeof word) return word;
    double now = ins_now(); /* early boot: any name that is likely free will do, O_EXCL decides */
    return ins_hash64(&now, sizeof now, (uint64_t)getpid() ^ (uint64_t)(uintptr_t)w);
}

/* DIR/.NAME.tmp-XXXXXXXXXXXXXXXX, NAME cut so that the whole stays a legal file name. */
static ins_status writer_create(ins_writer *w, ins_error *err) {
    const char *base = ins_path_base(w->path);
    size_t dir_len = (size_t)(base - w->path);
    size_t size = dir_len + NAME_MAX + 1;
    w->temp = ins_malloc(size);
    if (!w->temp) return INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", w->path);
    for (int attempt = 0; attempt < 100; attempt++) {
        snprintf(w->temp, size, "%.*s.%.200s.tmp-%016llx", (int)dir_len, w->path, base,
                 (unsigned long long)random_word(w));
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->fd >= 0) return INS_OK;
        if (errno != EEXIST) break;
    }
    return INS_FAIL_ERRNO(err, "cannot create '%s'", w->path);
}

ins_status ins_writer_open(const char *path, ins_writer **out, ins_error *err) {
    ins_writer *w = ins_calloc(1, sizeof *w);
    if (!w) return INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", path);
    w->fd = -1;
    w->path = ins_strdup(path);
    w->buf = ins_malloc(WRITER_BUFFER);
    ins_status status = INS_OK;
    if (!w->path || !w->buf) status = INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", path);
    if (status == INS_OK) status = writer_create(w, err);
    if (status != INS_OK) {
        ins_writer_abort(w);
        return status;
    }
    ins_sha256_begin(&w->sha);
    *out = w;
    return INS_OK;
}

static ins_status write_fully(ins_writer *w, const unsigned char *bytes, size_t n, ins_error *err) {
    while (n > 0) {
        ssize_t put = write(w->fd, bytes, n);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            w->failed = true;
            return INS_FAIL_ERRNO(err, "cannot write '%s'", w->path);
        }
        bytes += put;
        n -= (size_t)put;
    }
    return INS_OK;
}

static ins_status writer_flush(ins_writer *w, ins_error *err) {
    size_t n = w->used;
    w->used = 0;
    return write_fully(w, w->buf, n, err);
}

ins_status ins_writer_write(ins_writer *w, const void *data, size_t n, ins_error *err) {
    if (w->failed) return INS_FAIL(err, INS_IO, "cannot write '%s': an earlier write failed", w->path);
    if (n == 0) return INS_OK;
    ins_sha256_update(&w->sha, data, n);
    w->offset += n;
    if (w->used + n > WRITER_BUFFER) INS_TRY(writer_flush(w, err));
    if (n >= WRITER_BUFFER) return write_fully(w, data, n, err);
    memcpy(w->buf + w->used, data, n);
    w->used += n;
    return INS_OK;
}

uint64_t ins_writer_offset(const ins_writer *w) {
    return w->offset;
}

/* Parent folder of a path into buf: "a/b" -> "a", "b" -> ".", "/b" -> "/". */
static ins_status parent_dir(const char *path, char buf[PATH_MAX], ins_error *err) {
    size_t len = (size_t)(ins_path_base(path) - path);
    if (len >= PATH_MAX) return INS_FAIL(err, INS_USAGE, "the path '%s' is too long", path);
    while (len > 1 && path[len - 1] == '/') len--;
    if (len == 0) {
        buf[0] = '.';
        len = 1;
    } else {
        memcpy(buf, path, len);
    }
    buf[len] = '\0';
    return INS_OK;
}

static ins_status sync_parent(const char *path, ins_error *err) {
    char dir[PATH_MAX];
    INS_TRY(parent_dir(path, dir, err));
    return ins_dir_sync(dir, err);
}

ins_status ins_writer_commit(ins_writer *w, char sha256_hex[65], ins_error *err) {
    ins_status status = INS_OK;
    if (w->failed) status = INS_FAIL(err, INS_IO, "cannot finish '%s': an earlier write failed", w->path);
    if (status == INS_OK) status = writer_flush(w, err);
    if (status == INS_OK && fsync(w->fd) != 0) status = INS_FAIL_ERRNO(err, "cannot flush '%s' to disk", w->path);
    ins_digest digest;
    if (status == INS_OK) status = ins_sha256_end(&w->sha, &digest, err);
    if (status == INS_OK && close(w->fd) != 0) { /* network file systems report a full disk here */
        status = INS_FAIL_ERRNO(err, "cannot close '%s'", w->path);
        w->fd = -1;
        unlink(w->temp);
    } else if (status == INS_OK) {
        w->fd = -1;
        if (rename(w->temp, w->path) != 0) {
            status = INS_FAIL_ERRNO(err, "cannot put '%s' in place", w->path);
            unlink(w->temp);
        }
    }
    if (status == INS_OK) status = sync_parent(w->path, err);
    if (status == INS_OK && sha256_hex) memcpy(sha256_hex, digest.hex, sizeof digest.hex);
    ins_writer_abort(w);
    return status;
}

ins_status ins_file_write_atomic(const char *path, const void *data, size_t n, ins_error *err) {
    ins_writer *w;
    INS_TRY(ins_writer_open(path, &w, err));
    ins_status status = ins_writer_write(w, data, n, err);
    if (status != INS_OK) {
        ins_writer_abort(w);
        return status;
    }
    return ins_writer_commit(w, NULL, err);
}

ins_status ins_rename(const char *from, const char *to, ins_error *err) {
    if (rename(from, to) != 0) return INS_FAIL_ERRNO(err, "cannot rename '%s' to '%s'", from, to);
    return sync_parent(to, err);
}
