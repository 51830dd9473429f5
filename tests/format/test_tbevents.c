/* TensorBoard events: framing, checksums and messages against known bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "format/tbevents.h"
#include "format_temp.h"

/* Bit by bit: independent of the writer's table. */
static uint32_t masked_crc(const char *bytes, size_t n) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static uint32_t u32_at(const char *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

static ins_str only_file(const temp_dir *temp) {
    char **names;
    int64_t n;
    assert_int_equal(ins_dir_list(temp->path, &names, &n, NULL), INS_OK);
    assert_int_equal(n, 1);
    assert_true(strncmp(names[0], "events.out.tfevents.1700000000.", 31) == 0);
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", temp->path, names[0]);
    ins_names_free(names, n);
    ins_str bytes = {0};
    assert_int_equal(ins_file_read(path, 1 << 20, &bytes, NULL), INS_OK);
    return bytes;
}

static void records(void **state) {
    (void)state;
    temp_dir temp = temp_make("tb/run");
    ins_tb_writer *w = NULL;
    ins_error err = {0};
    assert_int_equal(ins_tb_open(temp.path, 1700000000.5, "v2", &w, &err), INS_OK);
    assert_int_equal(ins_tb_scalar(w, "loss", 300, 1.0, 2.0f, &err), INS_OK);
    assert_int_equal(ins_tb_text(w, "note", 1, 1.0, "hello", &err), INS_OK);
    assert_int_equal(ins_tb_flush(w, &err), INS_OK);
    ins_str bytes = only_file(&temp);
    static const char version[] = "\x09\x00\x00\x20\x40\xfc\x54\xd9\x41\x1a\x0d"
                                  "brain.Event:2";
    static const char scalar[] = "\x09\x00\x00\x00\x00\x00\x00\xf0\x3f" /* wall_time 1.0 */
                                 "\x10\xac\x02"                         /* step 300 */
                                 "\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x40";
    static const char text[] = "\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01"
                               "\x2a\x23\x0a\x21\x0a\x04note\x42\x0f\x08\x07\x12\x04\x12\x02\x08\x01\x42\x05hello"
                               "\x4a\x08\x0a\x06\x0a\x04text";
    const char *const want[] = {version, scalar, text};
    const size_t sizes[] = {sizeof version - 1, sizeof scalar - 1, sizeof text - 1};
    const char *at = bytes.data;
    for (int i = 0; i < 3; i++) {
        uint64_t n;
        memcpy(&n, at, 8);
        assert_int_equal(n, sizes[i]);
        assert_int_equal(u32_at(at + 8), masked_crc(at, 8));
        assert_memory_equal(at + 12, want[i], sizes[i]);
        assert_int_equal(u32_at(at + 12 + n), masked_crc(at + 12, n));
        at += 16 + n;
    }
    assert_ptr_equal(at, bytes.data + bytes.len);
    ins_str_free(&bytes);
    ins_tb_close(w);
    temp_remove(&temp);
}

/* CRC-32C of "123456789" is 0xE3069283 (the check value of the polynomial). */
static void crc_check_value(void **state) {
    (void)state;
    uint32_t masked = masked_crc("123456789", 9), rotated = masked - 0xa282ead8u;
    assert_int_equal(rotated >> 17 | rotated << 15, 0xE3069283u);
}

static void failures(void **state) {
    (void)state;
    temp_dir temp = temp_make("file");
    temp_write(&temp, "x", 1);
    ins_tb_writer *w = NULL;
    ins_error err = {0};
    assert_int_not_equal(ins_tb_open(temp.path, 1, "v2", &w, &err), INS_OK); /* the folder is a file */
    temp_remove(&temp);
    uint64_t live = ins_mem_get_stats().live;
    bool passed = false;
    for (uint64_t k = 1; k < 100 && !passed; k++) {
        temp = temp_make("tb");
        w = NULL;
        ins_mem_fail_at(k);
        ins_status status = ins_tb_open(temp.path, 1700000000, "v2", &w, NULL);
        if (status == INS_OK)
            status = ins_tb_scalar(w, "a tag that is longer than one first small block", 1, 1, 1, NULL);
        ins_mem_fail_at(0);
        passed = status == INS_OK;
        assert_true(passed || status == INS_NOMEM);
        ins_tb_close(w);
        assert_int_equal(ins_mem_get_stats().live, live);
        temp_remove(&temp);
    }
    assert_true(passed);
    ins_tb_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(crc_check_value),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
