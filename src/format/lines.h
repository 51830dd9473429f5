/* Byte streams and lines from plain, .gz and .zst files, decompressed on the fly with bounded memory. */
#ifndef INS_FORMAT_LINES_H
#define INS_FORMAT_LINES_H

#include "base/str.h"

typedef struct ins_stream ins_stream;
/* Compression is recognised by magic bytes, not by name. INS_DATA for a truncated or corrupt stream (with offset). */
ins_status ins_stream_open(const char *path, ins_stream **out, ins_error *err);
/* Up to n bytes; *got 0 = end. */
ins_status ins_stream_read(ins_stream *s, void *buf, size_t n, size_t *got, ins_error *err);
/* Next line without its "\n" (or "\r\n"); *line borrowed until the next call; *end true when there was none.
 * Lines over max_line bytes are INS_DATA with the line number. */
ins_status ins_stream_line(ins_stream *s, size_t max_line, const char **line, size_t *n, bool *end, ins_error *err);
int64_t ins_stream_line_number(const ins_stream *s);
uint64_t ins_stream_bytes_in(const ins_stream *s); /* compressed bytes consumed: for progress */
void ins_stream_close(ins_stream *s);

#endif
