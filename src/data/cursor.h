/* One file after the other: the stream over the current one, and how much of all was read. */
#ifndef INS_DATA_CURSOR_H
#define INS_DATA_CURSOR_H

#include "data/files.h"
#include "format/lines.h"

/* No line of any input may be longer. */
#define INS_LINE_MAX ((size_t)1 << 28)

typedef struct ins_cursor {
    ins_files files;
    int64_t at;         /* number of the current file; -1 before the first */
    ins_stream *stream; /* NULL: no current file */
    uint64_t done;      /* bytes of the files before it */
} ins_cursor;

ins_status ins_cursor_open(const ins_source *source, const char *const *wanted, const ins_log *log, ins_cursor *cursor,
                           ins_error *err);
void ins_cursor_close(ins_cursor *cursor);
/* Open the next file; *end when there is none. */
ins_status ins_cursor_next_file(ins_cursor *cursor, bool *end, ins_error *err);
/* Next line of the current file; *end at its end. Borrowed until the next call. */
ins_status ins_cursor_line(ins_cursor *cursor, const char **line, size_t *n, bool *end, ins_error *err);
const char *ins_cursor_path(const ins_cursor *cursor); /* of the current file */
ins_pos ins_cursor_pos(const ins_cursor *cursor);      /* of the line read last */
uint64_t ins_cursor_bytes(const ins_cursor *cursor);

static inline bool ins_line_blank(const char *line, size_t n) {
    while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t' || line[n - 1] == '\r')) n--;
    return n == 0;
}

/* Record INS_DATA at the current line. */
#define INS_CURSOR_FAIL(err, cursor, ...) ins_cursor_fail((cursor), INS_FAIL((err), INS_DATA, __VA_ARGS__), (err))
static inline ins_status ins_cursor_fail(const ins_cursor *cursor, ins_status status, ins_error *err) {
    ins_error_at(err, ins_cursor_pos(cursor));
    return status;
}

#endif
