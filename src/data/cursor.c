/* Reading a list of files as one source. */
#include "data/cursor.h"

ins_status ins_cursor_open(const ins_source *source, const char *const *wanted, const ins_log *log, ins_cursor *cursor,
                           ins_error *err) {
    ins_files files = {0};
    INS_TRY(ins_source_files(source, wanted, log, &files, err));
    *cursor = (ins_cursor){.files = files, .at = -1};
    return INS_OK;
}

static void close_file(ins_cursor *cursor) {
    if (!cursor->stream) return;
    cursor->done += ins_stream_bytes_in(cursor->stream);
    ins_stream_close(cursor->stream);
    cursor->stream = NULL;
}

void ins_cursor_close(ins_cursor *cursor) {
    close_file(cursor);
    ins_files_free(&cursor->files);
}

ins_status ins_cursor_next_file(ins_cursor *cursor, bool *end, ins_error *err) {
    close_file(cursor);
    *end = cursor->at + 1 >= cursor->files.n;
    if (*end) return INS_OK;
    cursor->at++;
    return ins_stream_open(cursor->files.paths[cursor->at], &cursor->stream, err);
}

ins_status ins_cursor_line(ins_cursor *cursor, const char **line, size_t *n, bool *end, ins_error *err) {
    return ins_stream_line(cursor->stream, INS_LINE_MAX, line, n, end, err);
}

const char *ins_cursor_path(const ins_cursor *cursor) {
    return cursor->at >= 0 && cursor->at < cursor->files.n ? cursor->files.paths[cursor->at] : "";
}

ins_pos ins_cursor_pos(const ins_cursor *cursor) {
    return (ins_pos){ins_cursor_path(cursor), cursor->stream ? (int)ins_stream_line_number(cursor->stream) : 0, 0};
}

uint64_t ins_cursor_bytes(const ins_cursor *cursor) {
    return cursor->done + (cursor->stream ? ins_stream_bytes_in(cursor->stream) : 0);
}
