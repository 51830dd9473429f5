/* Recording, decorating and printing errors. */
#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define INS_DIAG_MAX 200

const char *ins_status_word(ins_status status) {
    switch (status) {
#define INS_STATUS_WORD(code, word, exit_code)                                                                         \
    case INS_##code:                                                                                                   \
        return word;
        INS_STATUS_MAP(INS_STATUS_WORD)
#undef INS_STATUS_WORD
    }
    return "unknown status";
}

int ins_status_exit_code(ins_status status) {
    switch (status) {
#define INS_STATUS_EXIT(code, word, exit_code)                                                                         \
    case INS_##code:                                                                                                   \
        return exit_code;
        INS_STATUS_MAP(INS_STATUS_EXIT)
#undef INS_STATUS_EXIT
    }
    return 70;
}

/* printf into a fixed field. Control bytes become spaces: messages quote untrusted input and go to terminals. A cut
 * falls between UTF-8 sequences and is marked with "...". */
static void error_vformat(char *field, size_t size, const char *fmt, va_list args) {
    char buf[1024];
    size_t limit = size < sizeof buf ? size : sizeof buf;
    int len = vsnprintf(buf, limit, fmt, args);
    if (len < 0) {
        len = 0;
        buf[0] = '\0';
    }
    if ((size_t)len >= limit && limit > 8) {
        size_t cut = limit - 4;
        while (cut > 0 && ((unsigned char)buf[cut] & 0xC0u) == 0x80u) cut--;
        memcpy(buf + cut, "...", 4);
    }
    for (char *p = buf; *p; p++)
        if ((unsigned char)*p < 0x20u || *p == 0x7f) *p = ' ';
    memcpy(field, buf, strlen(buf) + 1);
}

/* The part of a source path from "src/" on, so that a message does not depend on where the program was built. */
static const char *error_source(const char *path) {
    const char *found = path;
    for (const char *p = strstr(path, "src/"); p; p = strstr(p + 1, "src/")) found = p;
    return found;
}

static void error_reset(ins_error *err, ins_status status, const char *src_file, int src_line) {
    err->status = status;
    err->text[0] = err->hint[0] = err->file[0] = '\0';
    err->line = err->col = 0;
    err->src_file = src_file ? error_source(src_file) : NULL;
    err->src_line = src_line;
    err->n_frames = 0;
}

ins_status ins_fail_at(ins_error *err, ins_status status, const char *src_file, int src_line, const char *fmt, ...) {
    if (!err) return status;
    char text[sizeof err->text]; /* formatted first: the arguments may point into *err */
    va_list args;
    va_start(args, fmt);
    error_vformat(text, sizeof text, fmt, args);
    va_end(args);
    error_reset(err, status, src_file, src_line);
    memcpy(err->text, text, strlen(text) + 1);
    return status;
}

static const char *errno_hint(int code) {
    switch (code) {
    case ENOSPC:
        return "the disk is full: free some space or point the output at another disk";
    case EDQUOT:
        return "the disk quota is used up: free some space or point the output at another disk";
    case EFBIG:
        return "the file is larger than the file system or the limit (ulimit -f) allows";
    case EACCES:
    case EPERM:
        return "check the permissions of the file and of its folder";
    case EROFS:
        return "the file system is mounted read-only: write somewhere else";
    case ENOENT:
        return "check the path: it is relative to the current folder unless it starts with /";
    case ENOTDIR:
        return "a part of the path is a file, not a folder";
    case EISDIR:
        return "the path names a folder where a file is needed";
    case EMFILE:
    case ENFILE:
        return "too many open files: raise the limit (ulimit -n)";
    case ENOMEM:
        return "close other programs, or make the model, the batch or the corpus smaller";
    case EIO:
        return "the device reports an error: check the disk";
    default:
        return NULL;
    }
}

ins_status ins_fail_errno_at(ins_error *err, const char *src_file, int src_line, const char *fmt, ...) {
    int code = errno;
    ins_status status = code == ENOMEM ? INS_NOMEM : INS_IO;
    if (!err) return status;
    char text[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    error_vformat(text, sizeof text, fmt, args);
    va_end(args);
    char reason_buf[128];
    const char *reason = strerror_r(code, reason_buf, sizeof reason_buf); /* GNU variant */
    ins_fail_at(err, status, src_file, src_line, "%s: %s", text, reason);
    const char *hint = errno_hint(code);
    if (hint) ins_error_hint(err, "%s", hint);
    errno = code;
    return status;
}

void ins_error_hint(ins_error *err, const char *fmt, ...) {
    if (!err) return;
    char hint[sizeof err->hint];
    va_list args;
    va_start(args, fmt);
    error_vformat(hint, sizeof hint, fmt, args);
    va_end(args);
    memcpy(err->hint, hint, strlen(hint) + 1);
}

static void error_set_file(ins_error *err, const char *file) {
    size_t len = file ? strlen(file) : 0;
    const char *from = file ? file : "";
    if (len >= sizeof err->file) { /* keep the end: it names the file */
        from = file + (len - sizeof err->file + 1);
        len = sizeof err->file - 1;
    }
    memcpy(err->file, from, len);
    err->file[len] = '\0';
}

void ins_error_at(ins_error *err, ins_pos pos) {
    if (!err) return;
    error_set_file(err, pos.file);
    err->line = pos.line;
    err->col = pos.col;
}

void ins_error_frame(ins_error *err, const char *fmt, ...) {
    if (!err || err->n_frames >= INS_ERROR_FRAMES) return;
    va_list args;
    va_start(args, fmt);
    error_vformat(err->frames[err->n_frames], sizeof err->frames[0], fmt, args);
    va_end(args);
    err->n_frames++;
}

void ins_error_clear(ins_error *err) {
    if (err) error_reset(err, INS_OK, NULL, 0);
}

/* snprintf that appends at *used and counts also what does not fit. */
__attribute__((format(printf, 4, 5))) static void append_format(char *buf, size_t size, size_t *used, const char *fmt,
                                                                ...) {
    char *at = *used < size ? buf + *used : NULL;
    size_t room = *used < size ? size - *used : 0;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(at, room, fmt, args);
    va_end(args);
    if (len > 0) *used += (size_t)len;
}

size_t ins_error_format(const ins_error *err, char *buf, size_t size) {
    size_t used = 0;
    if (size) buf[0] = '\0';
    if (err->file[0]) {
        append_format(buf, size, &used, "%s:", err->file);
        if (err->line > 0) append_format(buf, size, &used, "%d:", err->line);
        if (err->line > 0 && err->col > 0) append_format(buf, size, &used, "%d:", err->col);
        append_format(buf, size, &used, " ");
    }
    append_format(buf, size, &used, "error: %s", err->text[0] ? err->text : ins_status_word(err->status));
    for (int i = 0; i < err->n_frames; i++)
        append_format(buf, size, &used, "%s%s%s", i ? "; " : " (", err->frames[i], i + 1 == err->n_frames ? ")" : "");
    if (err->hint[0]) append_format(buf, size, &used, "\n  hint: %s", err->hint);
    if (err->status == INS_BUG && err->src_file)
        append_format(buf, size, &used, "\n  at %s:%d; this is a bug of the program, please report it", err->src_file,
                      err->src_line);
    return used;
}

static bool diag_grow(ins_diag *diag) {
    if (diag->n < diag->cap) return true;
    if (diag->n >= INS_DIAG_MAX) return false;
    int64_t cap = diag->cap ? diag->cap * 2 : 4;
    if (cap > INS_DIAG_MAX) cap = INS_DIAG_MAX;
    ins_error *items = ins_realloc(diag->items, (size_t)cap * sizeof *items);
    if (!items) return false;
    diag->items = items;
    diag->cap = cap;
    return true;
}

void ins_diag_add(ins_diag *diag, ins_status status, ins_pos pos, const char *hint, const char *fmt, ...) {
    if (!diag) return;
    if (!diag_grow(diag)) {
        diag->n_dropped++;
        return;
    }
    ins_error *err = &diag->items[diag->n++];
    error_reset(err, status, NULL, 0);
    va_list args;
    va_start(args, fmt);
    error_vformat(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (hint) ins_error_hint(err, "%s", hint);
    ins_error_at(err, pos);
}

static int compare_places(const ins_error *x, const ins_error *y) {
    int order = strcmp(x->file, y->file);
    if (order == 0) order = (x->line > y->line) - (x->line < y->line);
    if (order == 0) order = (x->col > y->col) - (x->col < y->col);
    return order;
}

/* Insertion sort: stable, without memory of its own, and there are at most INS_DIAG_MAX. */
void ins_diag_sort(ins_diag *diag) {
    for (int64_t i = 1; i < diag->n; i++) {
        ins_error moving = diag->items[i];
        int64_t at = i;
        for (; at > 0 && compare_places(&diag->items[at - 1], &moving) > 0; at--) diag->items[at] = diag->items[at - 1];
        diag->items[at] = moving;
    }
}

void ins_diag_free(ins_diag *diag) {
    if (!diag) return;
    ins_free(diag->items);
    *diag = (ins_diag){0};
}
