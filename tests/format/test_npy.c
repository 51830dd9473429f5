/* NumPy files: round trip and damaged headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "format/npy.h"
#include "format_temp.h"

static void round_trip(void **state) {
    (void)state;
    temp_dir temp = temp_make("a.npy");
    const ins_type types[] = {
        INS_TYPE(INS_DTYPE_F32, 2, 3), INS_TYPE(INS_DTYPE_F64, 5),  ins_type_make(INS_DTYPE_I32, 0, NULL),
        INS_TYPE(INS_DTYPE_I64, 2, 2), INS_TYPE(INS_DTYPE_U8, 1),   INS_TYPE(INS_DTYPE_U16, 7),
        INS_TYPE(INS_DTYPE_F32, 0, 4), INS_TYPE(INS_DTYPE_BOOL, 4),
    };
    unsigned char bytes[64];
    for (int i = 0; i < 64; i++) bytes[i] = (unsigned char)(i & 1);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        ins_error err = {0};
        assert_int_equal(ins_npy_write(temp.path, &types[i], bytes, &err), INS_OK);
        ins_type type;
        void *data = NULL;
        if (ins_npy_read(temp.path, &type, &data, &err) != INS_OK) fail_msg("type %zu: %s", i, err.text);
        assert_true(ins_type_equal(&type, &types[i]));
        assert_memory_equal(data, bytes, ins_type_bytes(&type));
        ins_free(data);
    }
    ins_type bf16 = INS_TYPE(INS_DTYPE_BF16, 2);
    assert_int_equal(ins_npy_write(temp.path, &bf16, bytes, NULL), INS_USAGE);
    temp_remove(&temp);
}

/* The bytes that numpy.save writes for array([1., 2.], dtype=float32). */
static void known_bytes(void **state) {
    (void)state;
    temp_dir temp = temp_make("b.npy");
    const float values[2] = {1, 2};
    ins_type type = INS_TYPE(INS_DTYPE_F32, 2);
    assert_int_equal(ins_npy_write(temp.path, &type, values, NULL), INS_OK);
    ins_str got = {0};
    assert_int_equal(ins_file_read(temp.path, 4096, &got, NULL), INS_OK);
    static const char dict[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
    assert_int_equal(got.len, 128 + 8);
    assert_memory_equal(got.data, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_memory_equal(got.data + 10, dict, sizeof dict - 1);
    assert_true(got.data[127] == '\n');
    ins_str_free(&got);
    temp_remove(&temp);
}

static ins_status read_made(const temp_dir *temp, const char *dict, size_t n_data, ins_error *err) {
    ins_str bytes = {0};
    size_t len = strlen(dict);
    ins_str_append(&bytes, "\x93NUMPY\x01\x00", 8);
    ins_str_putc(&bytes, (char)(len & 255));
    ins_str_putc(&bytes, (char)(len >> 8));
    ins_str_puts(&bytes, dict);
    for (size_t i = 0; i < n_data; i++) ins_str_putc(&bytes, 2);
    temp_write(temp, bytes.data, bytes.len);
    ins_str_free(&bytes);
    ins_type type;
    void *data = NULL;
    ins_status status = ins_npy_read(temp->path, &type, &data, err);
    ins_free(data);
    return status;
}

static void damaged(void **state) {
    (void)state;
    temp_dir temp = temp_make("c.npy");
#define DICT(descr, order, shape) "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"
    static const struct {
        const char *dict;
        size_t n;
        const char *says;
    } rows[] = {
        {DICT("<f4", "False", "(2,)"), 8, NULL},
        {"{\"shape\":(2,),\"descr\":\"<f4\",\"fortran_order\":False}\n", 8, NULL},
        {DICT("<f4", "False", "(2,)"), 7, "cut off"},
        {DICT("<f4", "False", "(2,)"), 9, "follow"},
        {DICT("<f4", "True", "(2,)"), 8, "Fortran"},
        {DICT(">f4", "False", "(2,)"), 8, "type"},
        {DICT("|O", "False", "(2,)"), 8, "type"},
        {DICT("|b1", "False", "(2,)"), 2, "truth"},
        {DICT("<f4", "Maybe", "(2,)"), 8, "damaged"},
        {DICT("<f4", "False", "(-2,)"), 8, "damaged"},
        {DICT("<f4", "False", "(9223372036854775808,)"), 8, "damaged"},
        {DICT("<f4", "False", "(4611686018427387904,4)"), 8, "too large"},
        {DICT("<f4", "False", "(1,1,1,1,1,1,2)"), 8, "damaged"},
        {DICT("<f4", "False", "(2,"), 8, "damaged"},
        {"{'descr': '<f4', 'shape': (2,)}", 8, "damaged"},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8, "damaged"},
        {"", 8, "damaged"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ins_error err = {0};
        ins_status status = read_made(&temp, rows[i].dict, rows[i].n, &err);
        if (rows[i].says ? status != INS_DATA || !strstr(err.text, rows[i].says) : status != INS_OK)
            fail_msg("row %zu: %d %s", i, (int)status, err.text);
    }
    temp_write(&temp, "\x93NUMPY\x01\x00\xff\xff{}", 12);
    ins_type type;
    void *data = NULL;
    assert_int_equal(ins_npy_read(temp.path, &type, &data, NULL), INS_DATA);
    temp_write(&temp, "PK\x03\x04xxxxxxxx", 12);
    assert_int_equal(ins_npy_read(temp.path, &type, &data, NULL), INS_DATA);
    temp_remove(&temp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(known_bytes),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
