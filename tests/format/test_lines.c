/* Streams and lines over plain, gzip and zstd files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"
#include "format/lines.h"
#include "format_temp.h"

static ins_str pack_gzip(const char *text, size_t n) {
    ins_str out = {0};
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t cap = deflateBound(&z, n) + 64;
    unsigned char *buf = malloc(cap);
    z.next_in = (unsigned char *)(uintptr_t)text;
    z.avail_in = (uInt)n;
    z.next_out = buf;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    ins_str_append(&out, buf, z.total_out);
    deflateEnd(&z);
    free(buf);
    return out;
}

static ins_str pack_zstd(const char *text, size_t n) {
    ins_str out = {0};
    size_t cap = ZSTD_compressBound(n);
    char *buf = malloc(cap);
    size_t size = ZSTD_compress(buf, cap, text, n, 3);
    assert_false(ZSTD_isError(size));
    ins_str_append(&out, buf, size);
    free(buf);
    return out;
}

/* Lines 0..n-1 of growing and changing length. */
static ins_str make_text(int n) {
    ins_str text = {0};
    for (int i = 0; i < n; i++) {
        ins_str_printf(&text, "line %d ", i);
        for (int k = 0; k < (i * 37) % 200; k++) ins_str_putc(&text, (char)('a' + (i + k) % 26));
        ins_str_putc(&text, '\n');
    }
    return text;
}

static void check_stream(const temp_dir *temp, const ins_str *text) {
    ins_stream *s = NULL;
    ins_error err = {0};
    assert_int_equal(ins_stream_open(temp->path, &s, &err), INS_OK);
    const char *line;
    size_t n, at = 0;
    bool end;
    int64_t count = 0;
    for (;;) {
        assert_int_equal(ins_stream_line(s, 1 << 20, &line, &n, &end, &err), INS_OK);
        if (end) break;
        assert_memory_equal(line, text->data + at, n);
        assert_true(text->data[at + n] == '\n');
        at += n + 1;
        assert_int_equal(ins_stream_line_number(s), ++count);
    }
    assert_int_equal(at, text->len);
    uint64_t size;
    ins_file_size(temp->path, &size, NULL);
    assert_int_equal(ins_stream_bytes_in(s), size);
    ins_stream_close(s);
    ins_str all = {0};
    assert_int_equal(ins_stream_open(temp->path, &s, &err), INS_OK);
    char buf[977];
    do {
        assert_int_equal(ins_stream_read(s, buf, sizeof buf, &n, &err), INS_OK);
        ins_str_append(&all, buf, n);
    } while (n > 0);
    assert_int_equal(all.len, text->len);
    assert_memory_equal(all.data, text->data, all.len);
    ins_str_free(&all);
    ins_stream_close(s);
}

static void three_kinds(void **state) {
    (void)state;
    temp_dir temp = temp_make("lines");
    ins_str text = make_text(20000), gz = pack_gzip(text.data, text.len), zs = pack_zstd(text.data, text.len);
    temp_write(&temp, text.data, text.len);
    check_stream(&temp, &text);
    temp_write(&temp, gz.data, gz.len);
    check_stream(&temp, &text);
    temp_write(&temp, zs.data, zs.len);
    check_stream(&temp, &text);
    /* two members, as `cat a.gz b.gz` gives, and zero padding */
    ins_str twice = {0};
    ins_str_append(&twice, text.data, text.len);
    ins_str_append(&twice, text.data, text.len);
    ins_str_append(&gz, gz.data, gz.len);
    ins_str_append(&gz, "\0\0\0\0", 4);
    temp_write(&temp, gz.data, gz.len);
    check_stream(&temp, &twice);
    ins_str_append(&zs, zs.data, zs.len);
    temp_write(&temp, zs.data, zs.len);
    check_stream(&temp, &twice);
    ins_str_free(&twice);
    ins_str_free(&text);
    ins_str_free(&gz);
    ins_str_free(&zs);
    temp_remove(&temp);
}

static ins_status drain(const char *path, ins_error *err, size_t *total) {
    ins_stream *s = NULL;
    *total = 0;
    INS_TRY(ins_stream_open(path, &s, err));
    char buf[4096];
    size_t n;
    ins_status status;
    do {
        status = ins_stream_read(s, buf, sizeof buf, &n, err);
        if (status == INS_OK) *total += n;
    } while (status == INS_OK && n > 0);
    ins_stream_close(s);
    return status;
}

/* A stream cut anywhere is INS_DATA, never a short success. Below the magic bytes it is a plain file. */
static void truncated(void **state) {
    (void)state;
    temp_dir temp = temp_make("cut");
    ins_str text = make_text(50);
    for (int kind = 0; kind < 2; kind++) {
        ins_str packed = kind ? pack_zstd(text.data, text.len) : pack_gzip(text.data, text.len);
        for (size_t n = kind ? 4 : 2; n < packed.len; n++) {
            temp_write(&temp, packed.data, n);
            ins_error err = {0};
            size_t total;
            if (drain(temp.path, &err, &total) != INS_DATA) fail_msg("kind %d cut at %zu passed", kind, n);
            assert_non_null(strstr(err.text, "cut off"));
        }
        packed.data[packed.len / 2] ^= 0x55;
        temp_write(&temp, packed.data, packed.len);
        ins_error err = {0};
        size_t total;
        ins_status status = drain(temp.path, &err, &total);
        if (kind == 0) assert_int_equal(status, INS_DATA); /* gzip has a checksum; this zstd frame has none */
        ins_str_free(&packed);
    }
    ins_str gz = pack_gzip(text.data, text.len);
    ins_str_puts(&gz, "garbage");
    temp_write(&temp, gz.data, gz.len);
    ins_error err = {0};
    size_t total;
    assert_int_equal(drain(temp.path, &err, &total), INS_DATA);
    assert_non_null(strstr(err.text, "not gzip"));
    ins_str_free(&gz);
    ins_str_free(&text);
    temp_remove(&temp);
}

static void edges(void **state) {
    (void)state;
    temp_dir temp = temp_make("edge");
    ins_stream *s = NULL;
    ins_error err = {0};
    const char *line;
    size_t n;
    bool end;
    temp_write(&temp, "", 0);
    assert_int_equal(ins_stream_open(temp.path, &s, &err), INS_OK);
    assert_int_equal(ins_stream_line(s, 10, &line, &n, &end, &err), INS_OK);
    assert_true(end);
    ins_stream_close(s);
    temp_write(&temp, "a\r\n\n\rb\nlast", 11);
    assert_int_equal(ins_stream_open(temp.path, &s, &err), INS_OK);
    static const char *const want[] = {"a", "", "\rb", "last"};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ins_stream_line(s, 10, &line, &n, &end, &err), INS_OK);
        assert_false(end);
        assert_int_equal(n, strlen(want[i]));
        assert_memory_equal(line, want[i], n);
    }
    assert_int_equal(ins_stream_line(s, 10, &line, &n, &end, &err), INS_OK);
    assert_true(end);
    ins_stream_close(s);
    temp_write(&temp, "short\nmuch too long\n", 20);
    assert_int_equal(ins_stream_open(temp.path, &s, &err), INS_OK);
    assert_int_equal(ins_stream_line(s, 5, &line, &n, &end, &err), INS_OK);
    assert_int_equal(ins_stream_line(s, 5, &line, &n, &end, &err), INS_DATA);
    assert_non_null(strstr(err.text, "line 2"));
    ins_stream_close(s);
    /* a line longer than the buffer, with no end of line */
    size_t big = (size_t)1 << 20;
    char *bytes = malloc(big);
    memset(bytes, 'x', big);
    temp_write(&temp, bytes, big);
    assert_int_equal(ins_stream_open(temp.path, &s, &err), INS_OK);
    assert_int_equal(ins_stream_line(s, big, &line, &n, &end, &err), INS_OK);
    assert_int_equal(n, big);
    assert_memory_equal(line, bytes, big);
    ins_stream_close(s);
    assert_int_equal(ins_stream_open(temp.path, &s, &err), INS_OK);
    assert_int_equal(ins_stream_line(s, big - 1, &line, &n, &end, &err), INS_DATA);
    ins_stream_close(s);
    free(bytes);
    temp_remove(&temp);
    assert_int_equal(ins_stream_open("/nonexistent/file", &s, &err), INS_IO);
}

static void allocation_failures(void **state) {
    (void)state;
    temp_dir temp = temp_make("alloc.gz");
    ins_str text = make_text(5), gz = pack_gzip(text.data, text.len);
    temp_write(&temp, gz.data, gz.len);
    uint64_t live = ins_mem_get_stats().live;
    bool passed = false;
    for (uint64_t k = 1; k < 100 && !passed; k++) {
        size_t total = 0;
        ins_mem_fail_at(k);
        ins_status status = drain(temp.path, NULL, &total);
        ins_mem_fail_at(0);
        passed = status == INS_OK;
        assert_true(passed || status == INS_NOMEM);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_true(passed);
    ins_str_free(&text);
    ins_str_free(&gz);
    temp_remove(&temp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_kinds),
        cmocka_unit_test(truncated),
        cmocka_unit_test(edges),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
