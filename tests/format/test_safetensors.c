/* safetensors: round trip, and one test per rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "format/safetensors.h"
#include "format_temp.h"

static void round_trip(void **state) {
    (void)state;
    temp_dir temp = temp_make("m.safetensors");
    const float weights[6] = {1.5f, -2, 3, 4, 5, 6};
    const uint16_t halves[3] = {0x3f80, 0xc000, 0x4040}; /* bf16: 1, -2, 3 */
    const uint8_t bytes[3] = {7, 8, 9};
    const double scalar = 0.25;
    const ins_safetensor tensors[] = {
        {"w\"eight", INS_TYPE(INS_DTYPE_F32, 2, 3), weights, sizeof weights},
        {"bytes", INS_TYPE(INS_DTYPE_U8, 3), bytes, 3},
        {"half", INS_TYPE(INS_DTYPE_BF16, 3), halves, sizeof halves}, /* starts at an odd offset */
        {"none", INS_TYPE(INS_DTYPE_F32, 0, 4), NULL, 0},
        {"scalar", ins_type_make(INS_DTYPE_F64, 0, NULL), &scalar, 8},
    };
    const char *const metadata[] = {"format", "pt", "note", "\xC3\xA9\n"};
    char hex[65];
    ins_error err = {0};
    assert_int_equal(ins_safetensors_write(temp.path, tensors, 5, metadata, 2, hex, &err), INS_OK);
    ins_digest digest;
    assert_int_equal(ins_sha256_file(temp.path, &digest, NULL, &err), INS_OK);
    assert_string_equal(digest.hex, hex);

    ins_safetensors *st = NULL;
    assert_int_equal(ins_safetensors_open(temp.path, &st, &err), INS_OK);
    assert_int_equal(ins_safetensors_count(st), 5);
    for (int i = 0; i < 5; i++) {
        const ins_safetensor *t = ins_safetensors_find(st, tensors[i].name);
        assert_non_null(t);
        assert_true(ins_type_equal(&t->type, &tensors[i].type));
        assert_int_equal(t->bytes, tensors[i].bytes);
        if (t->bytes) assert_memory_equal(t->data, tensors[i].data, t->bytes);
    }
    assert_string_equal(ins_safetensors_at(st, 0)->name, "w\"eight");
    assert_null(ins_safetensors_at(st, 5));
    assert_null(ins_safetensors_find(st, "absent"));
    assert_int_equal(ins_safetensors_n_metadata(st), 2);
    const char *key, *value;
    ins_safetensors_metadata(st, 1, &key, &value);
    assert_string_equal(key, "note");
    assert_string_equal(value, "\xC3\xA9\n");
    float out[6];
    assert_int_equal(ins_safetensor_to_f32(ins_safetensors_find(st, "half"), out, &err), INS_OK);
    assert_true(out[0] == 1 && out[1] == -2 && out[2] == 3);
    assert_int_equal(ins_safetensor_to_f32(ins_safetensors_find(st, "scalar"), out, &err), INS_OK);
    assert_true(out[0] == 0.25f);
    assert_int_equal(ins_safetensor_to_f32(ins_safetensors_find(st, "bytes"), out, &err), INS_MODEL);
    ins_safetensors_close(st);
    temp_remove(&temp);
}

/* 8 bytes of length (or `claimed`), the header, then n zero bytes. */
static ins_status open_made(const temp_dir *temp, const char *header, uint64_t claimed, size_t n, ins_error *err) {
    ins_str bytes = {0};
    uint64_t len = claimed ? claimed : strlen(header);
    for (int i = 0; i < 8; i++) ins_str_putc(&bytes, (char)(len >> (8 * i)));
    ins_str_puts(&bytes, header);
    for (size_t i = 0; i < n; i++) ins_str_putc(&bytes, '\0');
    temp_write(temp, bytes.data, bytes.len);
    ins_str_free(&bytes);
    ins_safetensors *st = NULL;
    ins_status status = ins_safetensors_open(temp->path, &st, err);
    if (status == INS_OK) ins_safetensors_close(st);
    return status;
}

#define T(offsets) "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" offsets "}"

static void rules(void **state) {
    (void)state;
    static const struct {
        const char *header;
        uint64_t claimed;
        size_t n;
        const char *says; /* NULL = valid */
    } rows[] = {
        {"{\"x\":" T("[0,8]") "}", 0, 8, NULL},
        {"{\"x\":" T("[0,8]") "}   ", 0, 8, NULL},
        {"{}", 0, 0, NULL},
        {"{\"y\":" T("[8,16]") ",\"x\":" T("[0,8]") "}", 0, 16, NULL},
        {"{}", 100000001, 0, "longer than 100,000,000"},
        {"{}", UINT64_MAX, 0, "longer than 100,000,000"},
        {"{}", 3, 0, "cut off"},
        {" {}", 0, 0, "start with '{'"},
        {"[]", 0, 0, "start with '{'"},
        {"", 0, 0, "start with '{'"},
        {"{\"x\":", 0, 0, "valid JSON"},
        {"{} x", 0, 0, "valid JSON"},
        {"{\"\xff\":1}", 0, 0, "valid JSON"},
        {"{\"x\":" T("[0,8]") ",\"x\":" T("[8,16]") "}", 0, 16, "valid JSON"},
        {"{\"x\":" T("[0,8]") ",\"y\":" T("[4,12]") "}", 0, 12, "overlaps"},
        {"{\"x\":" T("[0,8]") ",\"y\":" T("[0,8]") "}", 0, 8, "overlaps"},
        {"{\"x\":" T("[0,8]") ",\"y\":" T("[9,17]") "}", 0, 17, "hole"},
        {"{\"x\":" T("[4,12]") "}", 0, 12, "hole"},
        {"{\"x\":" T("[0,8]") "}", 0, 9, "cover all"},
        {"{}", 0, 1, "cover all"},
        {"{\"x\":" T("[0,8]") "}", 0, 7, "past the end"},
        {"{\"x\":" T("[8,0]") "}", 0, 8, "form a range"},
        {"{\"x\":" T("[-8,0]") "}", 0, 8, "form a range"},
        {"{\"x\":" T("[0]") "}", 0, 8, "pair"},
        {"{\"x\":" T("[0,8,9]") "}", 0, 8, "pair"},
        {"{\"x\":" T("[0,8.0]") "}", 0, 8, "pair"},
        {"{\"x\":" T("8") "}", 0, 8, "pair"},
        {"{\"x\":" T("[0,4]") "}", 0, 4, "do not fit"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0, 0, "overflows"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,0]}}", 0, 0, "valid JSON"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,0]}}", 0, 0, "not a count"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,0]}}", 0, 0, "not a count"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 0, 8, "list 'shape'"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 0, 8, "dimensions"},
        {"{\"x\":{\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]}}", 0, 8, "not supported"},
        {"{\"x\":{\"dtype\":3,\"shape\":[2],\"data_offsets\":[0,8]}}", 0, 8, "no 'dtype'"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2]}}", 0, 8, "only"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":1}}", 0, 8, "only"},
        {"{\"x\":5}", 0, 0, "described by a map"},
        {"{\"__metadata__\":5}", 0, 0, "not a map"},
        {"{\"__metadata__\":{\"k\":5}}", 0, 0, "not a string"},
    };
    temp_dir temp = temp_make("bad.safetensors");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ins_error err = {0};
        ins_status status = open_made(&temp, rows[i].header, rows[i].claimed, rows[i].n, &err);
        if (!rows[i].says) {
            if (status != INS_OK) fail_msg("row %zu: %s", i, err.text);
            continue;
        }
        if (status != INS_MODEL || !strstr(err.text, rows[i].says) || !strstr(err.text, "bad.safetensors"))
            fail_msg("row %zu: status %d: %s", i, (int)status, err.text);
    }
    temp_remove(&temp);
}

static void truncated_everywhere(void **state) {
    (void)state;
    temp_dir temp = temp_make("t.safetensors");
    const float weights[4] = {1, 2, 3, 4};
    const ins_safetensor tensors[] = {{"p", INS_TYPE(INS_DTYPE_F32, 2), weights, 8},
                                      {"q", INS_TYPE(INS_DTYPE_F32, 2), weights + 2, 8}};
    assert_int_equal(ins_safetensors_write(temp.path, tensors, 2, NULL, 0, NULL, NULL), INS_OK);
    ins_str whole = {0};
    assert_int_equal(ins_file_read(temp.path, 4096, &whole, NULL), INS_OK);
    for (size_t n = 0; n < whole.len; n++) {
        temp_write(&temp, whole.data, n);
        ins_safetensors *st = NULL;
        ins_error err = {0};
        assert_int_equal(ins_safetensors_open(temp.path, &st, &err), INS_MODEL);
        assert_null(st);
    }
    ins_str_free(&whole);
    temp_remove(&temp);
}

static void writer_refuses(void **state) {
    (void)state;
    temp_dir temp = temp_make("w.safetensors");
    const float weights[2] = {1, 2};
    const ins_safetensor twice[] = {{"p", INS_TYPE(INS_DTYPE_F32, 2), weights, 8},
                                    {"p", INS_TYPE(INS_DTYPE_F32, 2), weights, 8}};
    const ins_safetensor size[] = {{"p", INS_TYPE(INS_DTYPE_F32, 3), weights, 8}};
    const ins_safetensor name[] = {{"\xff", INS_TYPE(INS_DTYPE_F32, 2), weights, 8}};
    const ins_safetensor reserved[] = {{"__metadata__", INS_TYPE(INS_DTYPE_F32, 2), weights, 8}};
    ins_error err = {0};
    assert_int_equal(ins_safetensors_write(temp.path, twice, 2, NULL, 0, NULL, &err), INS_MODEL);
    assert_int_equal(ins_safetensors_write(temp.path, size, 1, NULL, 0, NULL, &err), INS_MODEL);
    assert_int_equal(ins_safetensors_write(temp.path, name, 1, NULL, 0, NULL, &err), INS_MODEL);
    assert_int_equal(ins_safetensors_write(temp.path, reserved, 1, NULL, 0, NULL, &err), INS_MODEL);
    assert_false(ins_file_exists(temp.path));
    temp_remove(&temp);
}

static void allocation_failures(void **state) {
    (void)state;
    temp_dir temp = temp_make("a.safetensors");
    const float weights[2] = {1, 2};
    const ins_safetensor tensors[] = {{"p", INS_TYPE(INS_DTYPE_F32, 2), weights, 8}};
    const char *const metadata[] = {"k", "v"};
    uint64_t live = ins_mem_get_stats().live;
    bool passed = false;
    for (uint64_t k = 1; k < 200 && !passed; k++) {
        ins_safetensors *st = NULL;
        ins_mem_fail_at(k);
        ins_status status = ins_safetensors_write(temp.path, tensors, 1, metadata, 1, NULL, NULL);
        if (status == INS_OK) status = ins_safetensors_open(temp.path, &st, NULL);
        ins_mem_fail_at(0);
        passed = status == INS_OK;
        assert_true(passed || status == INS_NOMEM);
        ins_safetensors_close(st);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_true(passed);
    temp_remove(&temp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),           cmocka_unit_test(rules),
        cmocka_unit_test(truncated_everywhere), cmocka_unit_test(writer_refuses),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
