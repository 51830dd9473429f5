#include "base/testing.h"

#include "base/hash.h"
#include "base/mem.h"

static void sha256_known_answers(void **state) {
    (void)state;
    ins_digest digest;
    assert_ok(ins_sha256_bytes("", 0, &digest, NULL));
    assert_string_equal(digest.hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_ok(ins_sha256_bytes(NULL, 0, &digest, NULL));
    assert_string_equal(digest.hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_ok(ins_sha256_bytes("abc", 3, &digest, NULL));
    assert_string_equal(digest.hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    ins_sha256 h;
    ins_sha256_begin(&h);
    char chunk[1000];
    memset(chunk, 'a', sizeof chunk);
    for (int i = 0; i < 1000; i++) ins_sha256_update(&h, chunk, sizeof chunk);
    assert_ok(ins_sha256_end(&h, &digest, NULL));
    assert_string_equal(digest.hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_null(h.ctx);
    ins_error err;
    assert_int_equal(ins_sha256_end(&h, &digest, &err), INS_NOMEM); /* ended twice */
}

static void xxh3_known_answers(void **state) {
    (void)state;
    assert_true(ins_hash64("", 0, 0) == UINT64_C(0x2D06800538D394C2));
    assert_true(ins_hash64(NULL, 0, 0) == UINT64_C(0x2D06800538D394C2));
    assert_true(ins_hash64("abc", 3, 0) == UINT64_C(0x78AF5F94892F3950));
    assert_true(ins_hash64("abc", 3, 1) != ins_hash64("abc", 3, 0));
}

static void sha256_of_a_file(void **state) {
    (void)state;
    char dir[256], path[300];
    test_scratch_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/f", dir);
    size_t n = 1000003;
    char *bytes = ins_malloc(n);
    for (size_t i = 0; i < n; i++) bytes[i] = (char)(i * 31 % 251);
    assert_ok(ins_file_write_atomic(path, bytes, n, NULL));
    ins_digest of_file, of_bytes;
    uint64_t size = 0;
    assert_ok(ins_sha256_file(path, &of_file, &size, NULL));
    assert_ok(ins_sha256_bytes(bytes, n, &of_bytes, NULL));
    assert_string_equal(of_file.hex, of_bytes.hex);
    assert_int_equal(size, n);
    ins_error err;
    assert_int_equal(ins_sha256_file(dir, &of_file, &size, &err), INS_IO);
    snprintf(path, sizeof path, "%s/none", dir);
    assert_int_equal(ins_sha256_file(path, &of_file, NULL, &err), INS_IO);
    assert_true(err.hint[0]);
    ins_free(bytes);
    assert_ok(ins_dir_remove(dir, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_known_answers),
        cmocka_unit_test(xxh3_known_answers),
        cmocka_unit_test(sha256_of_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
