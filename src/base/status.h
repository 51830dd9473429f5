/* Status codes and the one recorded error message.
 *
 * Every fallible function returns an ins_status and takes an `ins_error *err` last. Out-parameters are untouched on
 * failure. The message is written once, where the failure happens; callers add context frames. The library never
 * prints, exits or aborts. `err` may be NULL where the caller only wants the status.
 */
#ifndef INS_BASE_STATUS_H
#define INS_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(code, word, process exit code) */
#define INS_STATUS_MAP(X)                                                                                              \
    X(OK, "ok", 0)                                                                                                     \
    X(NO, "the answer is no", 1)                                                                                       \
    X(USAGE, "usage", 2)                                                                                               \
    X(RECIPE, "recipe", 2)                                                                                             \
    X(DATA, "data", 3)                                                                                                 \
    X(MODEL, "model file", 3)                                                                                          \
    X(IO, "input/output", 4)                                                                                           \
    X(NOMEM, "out of memory", 4)                                                                                       \
    X(ENV, "environment", 4)                                                                                           \
    X(NUMERIC, "numeric", 5)                                                                                           \
    X(BUG, "internal error", 70)                                                                                       \
    X(INTERRUPTED, "interrupted", 130)

typedef enum ins_status {
#define INS_STATUS_ENUM(code, word, exit_code) INS_##code,
    INS_STATUS_MAP(INS_STATUS_ENUM)
#undef INS_STATUS_ENUM
} ins_status;

/* A place in a text file the user wrote. line and col count from 1; line 0 = whole file; file NULL = nowhere. */
typedef struct ins_pos {
    const char *file;
    int line;
    int col;
} ins_pos;

#define INS_ERROR_FRAMES 8

typedef struct ins_error {
    ins_status status;
    char text[1024]; /* what went wrong, one sentence, no newline */
    char hint[512];  /* what to do about it; may be empty */
    char file[512];  /* user's file (recipe, data); empty when none */
    int line, col;
    const char *src_file; /* where in our source it was recorded */
    int src_line;
    int n_frames;
    char frames[INS_ERROR_FRAMES][192]; /* context, innermost first */
} ins_error;

const char *ins_status_word(ins_status status);
int ins_status_exit_code(ins_status status);

/* Record a failure and return `status`, so that callers can write `return INS_FAIL(err, INS_DATA, "...")`. */
#define INS_FAIL(err, status, ...) ins_fail_at((err), (status), __FILE__, __LINE__, __VA_ARGS__)
ins_status ins_fail_at(ins_error *err, ins_status status, const char *src_file, int src_line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* Same, with errno's text appended; ENOSPC/EACCES... become INS_IO. */
#define INS_FAIL_ERRNO(err, ...) ins_fail_errno_at((err), __FILE__, __LINE__, __VA_ARGS__)
ins_status ins_fail_errno_at(ins_error *err, const char *src_file, int src_line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

void ins_error_hint(ins_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void ins_error_at(ins_error *err, ins_pos pos); /* attach the user's place */
void ins_error_frame(ins_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* add context */
void ins_error_clear(ins_error *err);

/* "FILE:LINE:COL: error: text (context) \n  hint: ..." into buf; returns the length it needs without the NUL. */
size_t ins_error_format(const ins_error *err, char *buf, size_t size);

/* Propagate a failure. The only macro that returns. */
#define INS_TRY(expr)                                                                                                  \
    do {                                                                                                               \
        ins_status ins_try_status_ = (expr);                                                                           \
        if (ins_try_status_ != INS_OK) return ins_try_status_;                                                         \
    } while (0)

/* Many problems at once (recipe checks). Owned by the caller; messages live in malloc'd memory. */
typedef struct ins_diag {
    ins_error *items;
    int64_t n, cap;
    int64_t n_dropped; /* problems past the cap of 200 */
} ins_diag;

void ins_diag_add(ins_diag *diag, ins_status status, ins_pos pos, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Put the problems in the order of their places (file, line, column), as a reader of the file meets them. */
void ins_diag_sort(ins_diag *diag);
void ins_diag_free(ins_diag *diag);

/* Nearest of n names to `word` by edit distance (case-insensitive, transpositions count 1), or NULL when none is
 * within max(2, len/3). For "did you mean". */
const char *ins_nearest_name(const char *word, const char *const *names, int64_t n);

#endif
