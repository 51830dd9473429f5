/* TensorBoard events. A file is a sequence of TFRecords:
 *   u64 length, u32 masked CRC of these 8 bytes, the message, u32 masked CRC of the message (little endian),
 * and each message is a protobuf:
 *   Event   { 1: double wall_time  2: int64 step  3: string file_version  5: Summary summary }
 *   Summary { 1: repeated Value }
 *   Value   { 1: string tag  2: float simple_value  8: TensorProto tensor  9: SummaryMetadata metadata }
 */
#include "format/tbevents.h"

#include <fcntl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define TB_BUFFER ((size_t)1 << 16) /* bytes kept before a write */

struct ins_tb_writer {
    int fd;
    char *path;
    ins_str pending, record, message, value; /* buffers, reused */
    uint32_t crc_table[256];
    bool failed;
};

/* CRC-32C (Castagnoli), reflected polynomial. */
static void crc_init(uint32_t table[256]) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
        table[i] = crc;
    }
}

static uint32_t masked_crc(const uint32_t table[256], const char *bytes, size_t n) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) crc = table[(crc ^ (unsigned char)bytes[i]) & 255u] ^ crc >> 8;
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void put_fixed(ins_str *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) ins_str_putc(out, (char)(value >> (8 * i)));
}

static void put_varint(ins_str *out, uint64_t value) {
    for (; value >= 128; value >>= 7) ins_str_putc(out, (char)(value | 128));
    ins_str_putc(out, (char)value);
}

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_tag(ins_str *out, unsigned field, unsigned wire) {
    put_varint(out, field << 3 | wire);
}

static void put_bytes(ins_str *out, unsigned field, const char *bytes, size_t n) {
    put_tag(out, field, WIRE_BYTES);
    put_varint(out, n);
    ins_str_append(out, bytes, n);
}

static void put_double(ins_str *out, unsigned field, double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_tag(out, field, WIRE_64);
    put_fixed(out, bits, 8);
}

static ins_status fail_memory(const ins_tb_writer *w, ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory while writing '%s'", w->path);
}

ins_status ins_tb_flush(ins_tb_writer *w, ins_error *err) {
    size_t at = 0;
    if (w->failed) return INS_FAIL(err, INS_IO, "cannot write '%s': an earlier write failed", w->path);
    while (at < w->pending.len) {
        ssize_t put = write(w->fd, w->pending.data + at, w->pending.len - at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            w->failed = true;
            return INS_FAIL_ERRNO(err, "cannot write '%s'", w->path);
        }
        at += (size_t)put;
    }
    ins_str_clear(&w->pending);
    return INS_OK;
}

/* One message as a record into `pending`: whole or, without memory, not at all. */
static ins_status put_record(ins_tb_writer *w, ins_error *err) {
    ins_str_clear(&w->record);
    put_fixed(&w->record, w->message.len, 8);
    if (!w->record.oom) put_fixed(&w->record, masked_crc(w->crc_table, w->record.data, 8), 4);
    ins_str_append(&w->record, w->message.data, w->message.len);
    put_fixed(&w->record, masked_crc(w->crc_table, w->message.data, w->message.len), 4);
    if (w->record.oom) return fail_memory(w, err);
    ins_str_append(&w->pending, w->record.data, w->record.len);
    if (w->pending.oom) {
        w->pending.oom = false; /* the failed append changed nothing */
        return fail_memory(w, err);
    }
    return w->pending.len >= TB_BUFFER ? ins_tb_flush(w, err) : INS_OK;
}

/* `value` holds the inside of a Value: wrap it up as an Event and write that. */
static ins_status put_event(ins_tb_writer *w, int64_t step, double wall_time, ins_error *err) {
    ins_str_clear(&w->record);
    put_bytes(&w->record, 1, w->value.data, w->value.len); /* Summary */
    ins_str_clear(&w->message);
    put_double(&w->message, 1, wall_time);
    put_tag(&w->message, 2, WIRE_VARINT);
    put_varint(&w->message, (uint64_t)step);
    put_bytes(&w->message, 5, w->record.data ? w->record.data : "", w->record.len);
    if (w->value.oom || w->record.oom || w->message.oom) return fail_memory(w, err);
    return put_record(w, err);
}

ins_status ins_tb_scalar(ins_tb_writer *w, const char *tag, int64_t step, double wall_time, float value,
                         ins_error *err) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    ins_str_clear(&w->value);
    put_bytes(&w->value, 1, tag, strlen(tag));
    put_tag(&w->value, 2, WIRE_32);
    put_fixed(&w->value, bits, 4);
    if (w->value.oom) return fail_memory(w, err);
    return put_event(w, step, wall_time, err);
}

/* Text is a string tensor of one element (TensorProto: dtype 7, shape [1], string_val) for the plug-in "text". */
ins_status ins_tb_text(ins_tb_writer *w, const char *tag, int64_t step, double wall_time, const char *text,
                       ins_error *err) {
    static const char shape_of_one[] = {0x12, 0x02, 0x08, 0x01};                    /* dim { size: 1 } */
    static const char text_plugin[] = {0x0a, 0x06, 0x0a, 0x04, 't', 'e', 'x', 't'}; /* plugin_data */
    ins_str_clear(&w->record);
    put_tag(&w->record, 1, WIRE_VARINT);
    put_varint(&w->record, 7);
    put_bytes(&w->record, 2, shape_of_one, sizeof shape_of_one);
    put_bytes(&w->record, 8, text, strlen(text));
    ins_str_clear(&w->value);
    put_bytes(&w->value, 1, tag, strlen(tag));
    put_bytes(&w->value, 8, w->record.data ? w->record.data : "", w->record.len);
    put_bytes(&w->value, 9, text_plugin, sizeof text_plugin);
    if (w->record.oom || w->value.oom) return fail_memory(w, err);
    return put_event(w, step, wall_time, err);
}

static ins_status open_file(ins_tb_writer *w, const char *dir, double wall_time, const char *suffix, ins_error *err) {
    char host[128] = "", name[NAME_MAX + 1], path[PATH_MAX];
    if (gethostname(host, sizeof host - 1) != 0 || !host[0]) memcpy(host, "localhost", sizeof "localhost");
    int len = snprintf(name, sizeof name, "events.out.tfevents.%lld.%s.%s", (long long)wall_time, host, suffix);
    if (len < 0 || (size_t)len >= sizeof name) return INS_FAIL(err, INS_USAGE, "the event file's suffix is too long");
    INS_TRY(ins_dir_make(dir, err));
    INS_TRY(ins_path_join(dir, name, path, sizeof path, err));
    w->path = ins_strdup(path);
    if (!w->path) return INS_FAIL(err, INS_NOMEM, "out of memory while opening '%s'", path);
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) return INS_FAIL_ERRNO(err, "cannot create '%s'", path);
    put_double(&w->message, 1, wall_time);
    put_bytes(&w->message, 3, "brain.Event:2", 13);
    if (w->message.oom) return fail_memory(w, err);
    INS_TRY(put_record(w, err));
    return ins_tb_flush(w, err);
}

ins_status ins_tb_open(const char *dir, double wall_time, const char *suffix, ins_tb_writer **out, ins_error *err) {
    ins_tb_writer *w = ins_calloc(1, sizeof *w);
    if (!w) return INS_FAIL(err, INS_NOMEM, "out of memory while opening an event file in '%s'", dir);
    w->fd = -1;
    crc_init(w->crc_table);
    ins_status status = open_file(w, dir, wall_time, suffix, err);
    if (status != INS_OK) {
        ins_str_clear(&w->pending);
        ins_tb_close(w);
        return status;
    }
    *out = w;
    return INS_OK;
}

void ins_tb_close(ins_tb_writer *w) {
    if (!w) return;
    if (w->fd >= 0) {
        ins_tb_flush(w, NULL); /* a caller that wants to know flushes first */
        close(w->fd);
    }
    ins_str_free(&w->pending);
    ins_str_free(&w->record);
    ins_str_free(&w->message);
    ins_str_free(&w->value);
    ins_free(w->path);
    ins_free(w);
}
