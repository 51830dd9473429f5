/* Token shards: what is written is read back; anything damaged is refused. */
#include "data/shard.h"

#include <signal.h>
#include <sys/resource.h>

#include "data/data_check.h"
#include "base/hash.h"

static const int32_t doc_one[] = {7, 1, 2, 3, 4};
static const int32_t doc_two[] = {7};
static const int32_t doc_three[] = {7, 9, 8, 9, 8, 9, 8, 9, 8, 9, 299};
static const char mask_three[] = {0, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1};

static const char *make_shard(const char *name, int64_t vocab, bool masked) {
    ins_error err = {0};
    ins_shard_writer *w = NULL;
    const char *path = temp_path(name);
    need_ok(ins_shard_writer_open(path, vocab, &w, &err), &err);
    need_ok(ins_shard_writer_add(w, doc_one, NULL, 5, 11, &err), &err);
    need_ok(ins_shard_writer_add(w, doc_two, NULL, 1, 0, &err), &err);
    need_ok(ins_shard_writer_add(w, doc_three, masked ? mask_three : NULL, 11, 23, &err), &err);
    need_ok(ins_shard_writer_commit(w, &err), &err);
    return path;
}

static void check_contents(const char *path, int64_t vocab, bool wide, bool masked) {
    ins_error err = {0};
    ins_shard shard;
    need_ok(ins_shard_open(path, vocab, NULL, &shard, &err), &err);
    assert_int_equal(shard.n_documents, 3);
    assert_int_equal(shard.n_tokens, 17);
    assert_int_equal(shard.text_bytes, 34);
    assert_int_equal(shard.vocab_size, vocab);
    assert_int_equal(shard.wide, wide);
    assert_int_equal(shard.mask != NULL, masked);
    assert_int_equal(shard.doc_bytes[2], 23);
    for (int64_t t = 0; t < 5; t++) assert_int_equal(ins_shard_id(&shard, t), doc_one[t]);
    for (int64_t t = 0; t < 11; t++) assert_int_equal(ins_shard_id(&shard, 6 + t), doc_three[t]);
    for (int64_t t = 0; t < 6; t++) assert_true(ins_shard_in_loss(&shard, t));
    for (int64_t t = 0; t < 11; t++) assert_int_equal(ins_shard_in_loss(&shard, 6 + t), !masked || mask_three[t]);
    ins_shard_close(&shard);
}

static void round_trip(void **state) {
    (void)state;
    check_contents(make_shard("narrow.bin", 300, false), 300, false, false);
    check_contents(make_shard("masked.bin", 300, true), 300, false, true);
    check_contents(make_shard("wide.bin", 70000, true), 70000, true, true);
}

static void same_bytes_twice(void **state) {
    (void)state;
    ins_str one = {0}, two = {0};
    assert_int_equal(ins_file_read(make_shard("a.bin", 300, true), 1 << 20, &one, NULL), INS_OK);
    assert_int_equal(ins_file_read(make_shard("b.bin", 300, true), 1 << 20, &two, NULL), INS_OK);
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.data, two.data, one.len);
    ins_str_free(&one);
    ins_str_free(&two);
}

static ins_status open_bytes(const void *data, size_t n, int64_t limit, ins_error *err) {
    ins_shard shard;
    ins_status status = ins_shard_open(write_temp("damaged.bin", data, n), limit, NULL, &shard, err);
    if (status == INS_OK) ins_shard_close(&shard);
    return status;
}

/* Both hashes made right again, so that the checks behind it are reached. */
static void fix_hash(ins_str *bytes) {
    uint64_t hash = ins_hash64(bytes->data + 128, bytes->len - 128, 0);
    memcpy(bytes->data + 48, &hash, 8);
    hash = ins_hash64(bytes->data, 56, 0);
    memcpy(bytes->data + 56, &hash, 8);
}

static void every_bit_counts(void **state) {
    (void)state;
    ins_str bytes = {0};
    assert_int_equal(ins_file_read(make_shard("flip.bin", 300, true), 1 << 20, &bytes, NULL), INS_OK);
    for (size_t at = 0; at < bytes.len; at++) {
        ins_error err = {0};
        bytes.data[at] ^= 0x10;
        if (open_bytes(bytes.data, bytes.len, 0, &err) != INS_DATA) fail_msg("a flip of byte %zu was accepted", at);
        assert_true(err.hint[0] || err.text[0]);
        bytes.data[at] ^= 0x10;
    }
    for (size_t n = 0; n < bytes.len; n++) assert_int_equal(open_bytes(bytes.data, n, 300, NULL), INS_DATA);
    ins_str_putc(&bytes, 0);
    assert_int_equal(open_bytes(bytes.data, bytes.len, 300, NULL), INS_DATA);
    ins_str_free(&bytes);
}

static void wrong_behind_right_hash(void **state) {
    (void)state;
    ins_str bytes = {0};
    ins_error err = {0};
    assert_int_equal(ins_file_read(make_shard("hash.bin", 300, true), 1 << 20, &bytes, NULL), INS_OK);
    uint64_t saved, value = 3;
    memcpy(&saved, bytes.data + 128 + 8, 8); /* offsets[1] */
    value = 18;
    memcpy(bytes.data + 128 + 8, &value, 8);
    fix_hash(&bytes);
    assert_int_equal(open_bytes(bytes.data, bytes.len, 300, &err), INS_DATA);
    assert_non_null(strstr(err.text, "offsets"));
    memcpy(bytes.data + 128 + 8, &saved, 8);
    uint16_t id = 300; /* first id */
    memcpy(bytes.data + 128 + 4 * 8 + 3 * 8, &id, 2);
    fix_hash(&bytes);
    ins_error_clear(&err);
    assert_int_equal(open_bytes(bytes.data, bytes.len, 300, &err), INS_DATA);
    assert_non_null(strstr(err.text, "id 300"));
    uint64_t huge = UINT64_MAX / 2;
    for (size_t field = 16; field <= 40; field += 8) { /* each count of the header */
        memcpy(&saved, bytes.data + field, 8);
        memcpy(bytes.data + field, &huge, 8);
        fix_hash(&bytes);
        assert_int_equal(open_bytes(bytes.data, bytes.len, 0, NULL), INS_DATA);
        memcpy(bytes.data + field, &saved, 8);
    }
    uint32_t version = 2;
    memcpy(bytes.data + 8, &version, 4);
    fix_hash(&bytes);
    ins_error_clear(&err);
    assert_int_equal(open_bytes(bytes.data, bytes.len, 0, &err), INS_DATA);
    assert_non_null(strstr(err.text, "version 2"));
    ins_str_free(&bytes);
}

static void vocabulary_limits(void **state) {
    (void)state;
    ins_error err = {0};
    ins_shard shard;
    const char *path = make_shard("limit.bin", 300, false);
    assert_int_equal(ins_shard_open(path, 299, NULL, &shard, &err), INS_DATA);
    assert_non_null(strstr(err.text, "vocabulary"));
    assert_int_equal(ins_shard_open(temp_path("absent.bin"), 300, NULL, &shard, NULL), INS_IO);
    ins_shard_writer *w = NULL;
    need_ok(ins_shard_writer_open(path, 8, &w, &err), &err);
    assert_int_equal(ins_shard_writer_add(w, doc_three, NULL, 11, 0, NULL), INS_DATA);
    assert_int_equal(ins_shard_writer_add(w, doc_one, NULL, 0, 0, NULL), INS_DATA);
    ins_shard_writer_abort(w);
    assert_int_equal(ins_shard_writer_open(path, 0, &w, NULL), INS_DATA);
}

static void empty_is_refused(void **state) {
    (void)state;
    ins_error err = {0};
    ins_shard_writer *w = NULL;
    ins_shard shard;
    const char *path = temp_path("empty.bin");
    need_ok(ins_shard_writer_open(path, 8, &w, &err), &err);
    need_ok(ins_shard_writer_commit(w, &err), &err);
    assert_int_equal(ins_shard_open(path, 8, NULL, &shard, &err), INS_DATA);
    assert_non_null(strstr(err.text, "no documents"));
    assert_true(err.hint[0]);
}

/* 1 and 2 threads say the same; the range check spans several tasks. */
static void threads_agree(void **state) {
    (void)state;
    ins_error err = {0};
    ins_shard_writer *w = NULL;
    int32_t ids[5000];
    const char *path = temp_path("large.bin");
    need_ok(ins_shard_writer_open(path, 5000, &w, &err), &err);
    for (int32_t i = 0; i < 5000; i++) ids[i] = i;
    for (int i = 0; i < 500; i++) need_ok(ins_shard_writer_add(w, ids, NULL, 5000, 5000, &err), &err);
    need_ok(ins_shard_writer_commit(w, &err), &err);
    ins_pool *pool = NULL;
    need_ok(ins_pool_new(2, &pool, &err), &err);
    ins_shard one, two;
    need_ok(ins_shard_open(path, 5000, NULL, &one, &err), &err);
    need_ok(ins_shard_open(path, 5000, pool, &two, &err), &err);
    assert_int_equal(one.n_tokens, 2500000);
    assert_int_equal(one.payload_hash, two.payload_hash);
    assert_int_equal(ins_shard_id(&two, 2499999), 4999);
    ins_shard_close(&one);
    ins_shard_close(&two);
    ins_pool_free(pool);
}

static void full_disk(void **state) {
    (void)state;
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    ins_error err = {0};
    ins_shard_writer *w = NULL;
    ins_status status = ins_shard_writer_open(temp_path("full.bin"), 300, &w, &err);
    for (int i = 0; i < 40000 && status == INS_OK; i++) status = ins_shard_writer_add(w, doc_three, NULL, 11, 1, &err);
    if (status == INS_OK) {
        status = ins_shard_writer_commit(w, &err);
    } else {
        ins_shard_writer_abort(w);
    }
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, INS_IO);
    assert_false(ins_file_exists(temp_path("full.bin")));
    char **names = NULL;
    int64_t n = 0;
    assert_int_equal(ins_dir_list(temp_dir, &names, &n, NULL), INS_OK);
    for (int64_t i = 0; i < n; i++) assert_null(strstr(names[i], "full.bin")); /* no temporary is left */
    ins_names_free(names, n);
    assert_int_equal(ins_shard_writer_open("/nonexistent-folder/x.bin", 300, &w, NULL), INS_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),        cmocka_unit_test(same_bytes_twice),
        cmocka_unit_test(every_bit_counts),  cmocka_unit_test(wrong_behind_right_hash),
        cmocka_unit_test(vocabulary_limits), cmocka_unit_test(empty_is_refused),
        cmocka_unit_test(threads_agree),     cmocka_unit_test(full_disk),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
