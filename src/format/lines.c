/* Streams over plain, gzip and zstd files. Memory: two buffers, the decoder's window and the longest line. */
#include "format/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"

#define STREAM_IN  ((size_t)1 << 17)
#define STREAM_OUT ((size_t)1 << 18)

typedef enum stream_kind { STREAM_PLAIN, STREAM_GZIP, STREAM_ZSTD } stream_kind;

struct ins_stream {
    int fd;
    char *path;
    stream_kind kind;
    unsigned char *in; /* compressed bytes [in_pos, in_end) not yet decoded */
    size_t in_pos, in_end;
    bool in_eof;
    uint64_t in_total;  /* bytes read from the file */
    unsigned char *out; /* decoded bytes [out_pos, out_end) not yet handed out */
    size_t out_pos, out_end;
    z_stream gzip;
    bool gzip_ready, in_member; /* in_member: between the start and the end of a gzip member or a zstd frame */
    ZSTD_DStream *zstd;
    ins_str line; /* a line that did not lie in one piece in `out` */
    int64_t line_number;
};

static voidpf zlib_alloc(voidpf arg, uInt items, uInt size) {
    (void)arg;
    return ins_calloc(items, size);
}

static void zlib_free(voidpf arg, voidpf ptr) {
    (void)arg;
    ins_free(ptr);
}

static ins_status no_memory(const char *path, ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", path);
}

static ins_status read_some(ins_stream *s, unsigned char *buf, size_t n, size_t *got, ins_error *err) {
    ssize_t count;
    do count = read(s->fd, buf, n);
    while (count < 0 && errno == EINTR);
    if (count < 0) return INS_FAIL_ERRNO(err, "cannot read '%s'", s->path);
    s->in_total += (uint64_t)count;
    if (count == 0) s->in_eof = true;
    *got = (size_t)count;
    return INS_OK;
}

/* Keep the undecoded bytes and read more behind them. */
static ins_status refill(ins_stream *s, ins_error *err) {
    if (s->in_pos > 0) memmove(s->in, s->in + s->in_pos, s->in_end - s->in_pos);
    s->in_end -= s->in_pos;
    s->in_pos = 0;
    size_t got = 0;
    if (s->in_end < STREAM_IN && !s->in_eof) INS_TRY(read_some(s, s->in + s->in_end, STREAM_IN - s->in_end, &got, err));
    s->in_end += got;
    return INS_OK;
}

static uint64_t consumed(const ins_stream *s) {
    return s->in_total - (s->in_end - s->in_pos);
}

static ins_status fail_stream(const ins_stream *s, const char *what, ins_error *err) {
    INS_FAIL(err, INS_DATA, "'%s': %s at byte %llu of the compressed file", s->path, what,
             (unsigned long long)consumed(s));
    ins_error_hint(err, "the file is damaged: get it again");
    return INS_DATA;
}

static ins_status start_decoder(ins_stream *s, ins_error *err) {
    if (s->kind == STREAM_GZIP) {
        s->gzip.zalloc = zlib_alloc;
        s->gzip.zfree = zlib_free;
        if (inflateInit2(&s->gzip, 15 + 16) != Z_OK) return no_memory(s->path, err);
        s->gzip_ready = true;
    } else if (s->kind == STREAM_ZSTD) {
        s->zstd = ZSTD_createDStream();
        if (!s->zstd || ZSTD_isError(ZSTD_initDStream(s->zstd))) return no_memory(s->path, err);
    }
    return INS_OK;
}

static ins_status open_stream(ins_stream *s, ins_error *err) {
    s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (s->fd < 0) return INS_FAIL_ERRNO(err, "cannot open '%s'", s->path);
    s->in = ins_malloc(STREAM_IN);
    s->out = ins_malloc(STREAM_OUT);
    if (!s->in || !s->out) return no_memory(s->path, err);
    while (s->in_end < 4 && !s->in_eof) INS_TRY(refill(s, err)); /* a pipe may give a byte at a time */
    if (s->in_end >= 2 && memcmp(s->in, "\x1f\x8b", 2) == 0) s->kind = STREAM_GZIP;
    if (s->in_end >= 4 && memcmp(s->in, "\x28\xb5\x2f\xfd", 4) == 0) s->kind = STREAM_ZSTD;
    return start_decoder(s, err);
}

ins_status ins_stream_open(const char *path, ins_stream **out, ins_error *err) {
    ins_stream *s = ins_calloc(1, sizeof *s);
    if (!s) return no_memory(path, err);
    s->fd = -1;
    s->path = ins_strdup(path);
    ins_status status = s->path ? open_stream(s, err) : no_memory(path, err);
    if (status != INS_OK) {
        ins_stream_close(s);
        return status;
    }
    *out = s;
    return INS_OK;
}

void ins_stream_close(ins_stream *s) {
    if (!s) return;
    if (s->fd >= 0) close(s->fd);
    if (s->gzip_ready) inflateEnd(&s->gzip);
    ZSTD_freeDStream(s->zstd);
    ins_str_free(&s->line);
    ins_free(s->in);
    ins_free(s->out);
    ins_free(s->path);
    ins_free(s);
}

static ins_status fill_plain(ins_stream *s, ins_error *err) {
    size_t n = s->in_end - s->in_pos;
    if (n > 0) { /* the bytes read while looking for magic numbers */
        memcpy(s->out, s->in + s->in_pos, n);
        s->in_pos = s->in_end;
        s->out_end = n;
        return INS_OK;
    }
    return s->in_eof ? INS_OK : read_some(s, s->out, STREAM_OUT, &s->out_end, err);
}

/* Between gzip members: zero padding is skipped, another member may follow, anything else is damage. */
static ins_status next_member(ins_stream *s, bool *end, ins_error *err) {
    *end = false;
    for (;;) {
        while (s->in_pos < s->in_end && s->in[s->in_pos] == 0 && consumed(s) > 0) s->in_pos++;
        if (s->in_end - s->in_pos >= 2 || s->in_eof) break;
        INS_TRY(refill(s, err));
    }
    *end = s->in_pos == s->in_end;
    if (*end) return INS_OK;
    if (s->in_end - s->in_pos < 2 || memcmp(s->in + s->in_pos, "\x1f\x8b", 2) != 0)
        return fail_stream(s, "bytes that are not gzip follow the compressed data", err);
    if (inflateReset(&s->gzip) != Z_OK) return INS_FAIL(err, INS_BUG, "zlib cannot start a member of '%s'", s->path);
    s->in_member = true;
    return INS_OK;
}

static ins_status fill_gzip(ins_stream *s, ins_error *err) {
    while (s->out_end == 0) {
        if (!s->in_member) {
            bool end;
            INS_TRY(next_member(s, &end, err));
            if (end) return INS_OK;
        }
        if (s->in_pos == s->in_end) INS_TRY(refill(s, err));
        if (s->in_pos == s->in_end) return fail_stream(s, "the gzip data is cut off", err);
        s->gzip.next_in = s->in + s->in_pos;
        s->gzip.avail_in = (uInt)(s->in_end - s->in_pos);
        s->gzip.next_out = s->out;
        s->gzip.avail_out = (uInt)STREAM_OUT;
        int code = inflate(&s->gzip, Z_NO_FLUSH);
        s->in_pos = s->in_end - s->gzip.avail_in;
        s->out_end = STREAM_OUT - s->gzip.avail_out;
        if (code == Z_STREAM_END)
            s->in_member = false;
        else if (code == Z_MEM_ERROR)
            return no_memory(s->path, err);
        else if (code != Z_OK && code != Z_BUF_ERROR)
            return fail_stream(s, code == Z_DATA_ERROR && s->gzip.msg ? s->gzip.msg : "damaged gzip data", err);
    }
    return INS_OK;
}

static ins_status fill_zstd(ins_stream *s, ins_error *err) {
    while (s->out_end == 0) {
        if (s->in_pos == s->in_end) INS_TRY(refill(s, err));
        if (s->in_pos == s->in_end && !s->in_member) return INS_OK;
        ZSTD_inBuffer from = {.src = s->in, .size = s->in_end, .pos = s->in_pos};
        ZSTD_outBuffer to = {.dst = s->out, .size = STREAM_OUT, .pos = 0};
        size_t left = ZSTD_decompressStream(s->zstd, &to, &from);
        if (ZSTD_isError(left)) return fail_stream(s, ZSTD_getErrorName(left), err);
        bool stuck = from.pos == s->in_pos && to.pos == 0;
        s->in_pos = from.pos;
        s->out_end = to.pos;
        s->in_member = left != 0;
        if (stuck && s->in_eof) return fail_stream(s, "the zstd data is cut off", err);
    }
    return INS_OK;
}

/* More decoded bytes into `out`; out_end stays 0 at the end of the stream. */
static ins_status fill(ins_stream *s, ins_error *err) {
    s->out_pos = s->out_end = 0;
    if (s->kind == STREAM_GZIP) return fill_gzip(s, err);
    if (s->kind == STREAM_ZSTD) return fill_zstd(s, err);
    return fill_plain(s, err);
}

ins_status ins_stream_read(ins_stream *s, void *buf, size_t n, size_t *got, ins_error *err) {
    if (s->out_pos == s->out_end) INS_TRY(fill(s, err));
    size_t ready = s->out_end - s->out_pos;
    if (n > ready) n = ready;
    if (n) memcpy(buf, s->out + s->out_pos, n);
    s->out_pos += n;
    *got = n;
    return INS_OK;
}

static ins_status fail_long(const ins_stream *s, size_t max_line, ins_error *err) {
    char size[32];
    INS_FAIL(err, INS_DATA, "line %lld of '%s' is longer than %s", (long long)s->line_number + 1, s->path,
             ins_human_size((double)max_line, size));
    ins_error_hint(err,
                   "check that this is a file of lines; a larger limit can be set where this reader is configured");
    return INS_DATA;
}

static void give_line(ins_stream *s, const char *from, size_t len, const char **line, size_t *n, bool *end) {
    if (len > 0 && from[len - 1] == '\r') len--;
    *line = from;
    *n = len;
    *end = false;
    s->line_number++;
}

ins_status ins_stream_line(ins_stream *s, size_t max_line, const char **line, size_t *n, bool *end, ins_error *err) {
    bool started = false; /* part of the line is in s->line */
    ins_str_clear(&s->line);
    for (;;) {
        if (s->out_pos == s->out_end) INS_TRY(fill(s, err));
        if (s->out_end == 0) { /* the last line may lack its "\n" */
            if (!started) {
                *line = "";
                *n = 0;
                *end = true;
            } else {
                give_line(s, s->line.data, s->line.len, line, n, end);
            }
            return INS_OK;
        }
        const char *from = (const char *)s->out + s->out_pos;
        size_t ready = s->out_end - s->out_pos;
        const char *stop = memchr(from, '\n', ready);
        size_t len = stop ? (size_t)(stop - from) : ready;
        if (len > max_line || s->line.len > max_line - len) return fail_long(s, max_line, err);
        s->out_pos += stop ? len + 1 : len;
        if (stop && !started) {
            give_line(s, from, len, line, n, end);
            return INS_OK;
        }
        ins_str_append(&s->line, from, len);
        if (s->line.oom) return no_memory(s->path, err);
        started = true;
        if (!stop) continue;
        give_line(s, s->line.data, s->line.len, line, n, end);
        return INS_OK;
    }
}

int64_t ins_stream_line_number(const ins_stream *s) {
    return s->line_number;
}

uint64_t ins_stream_bytes_in(const ins_stream *s) {
    return s->in_total;
}
