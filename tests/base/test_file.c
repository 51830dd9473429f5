#include "base/testing.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

static char dir[256];

static int setup(void **state) {
    (void)state;
    test_scratch_dir(dir, sizeof dir);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return ins_dir_remove(dir, NULL) == INS_OK ? 0 : -1;
}

static const char *at(const char *name) {
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, 512, "%s/%s", dir, name);
    return path;
}

static int64_t count_entries(void) {
    char **names;
    int64_t n;
    assert_ok(ins_dir_list(dir, &names, &n, NULL));
    ins_names_free(names, n);
    return n;
}

static void assert_content(const char *path, const char *expected) {
    ins_str text = {0};
    assert_ok(ins_file_read(path, 1 << 20, &text, NULL));
    assert_string_equal(text.data, expected);
    ins_str_free(&text);
}

static void write_and_read_back(void **state) {
    (void)state;
    uint64_t size = 0;
    assert_ok(ins_file_write_atomic(at("f"), "hello", 5, NULL));
    assert_ok(ins_file_write_atomic(at("f"), "hello again", 11, NULL));
    assert_content(at("f"), "hello again");
    assert_ok(ins_file_size(at("f"), &size, NULL));
    assert_int_equal(size, 11);
    assert_true(ins_file_exists(at("f")));
    assert_false(ins_dir_exists(at("f")));
    assert_true(ins_dir_exists(dir));
    assert_false(ins_file_exists(dir));
    assert_ok(ins_file_write_atomic(at("empty"), NULL, 0, NULL));
    assert_content(at("empty"), "");
    assert_int_equal(count_entries(), 2);
}

static void reads_have_a_cap(void **state) {
    (void)state;
    ins_str text = {0};
    ins_error err;
    ins_str_puts(&text, "kept");
    assert_ok(ins_file_write_atomic(at("f"), "0123456789", 10, NULL));
    assert_int_equal(ins_file_read(at("f"), 9, &text, &err), INS_DATA);
    assert_int_equal(ins_file_read("/dev/zero", 100000, &text, &err), INS_DATA); /* a size is not known before */
    assert_int_equal(ins_file_read(at("none"), 9, &text, &err), INS_IO);
    assert_int_equal(ins_file_read(dir, 9, &text, &err), INS_IO);
    assert_true(err.hint[0]);
    assert_string_equal(text.data, "kept");
    assert_ok(ins_file_read(at("f"), 10, &text, &err));
    assert_string_equal(text.data, "kept0123456789");
    ins_str_free(&text);
    assert_ok(ins_file_read("/proc/self/stat", 1 << 16, &text, &err)); /* size 0, but not empty */
    assert_true(text.len > 10);
    ins_str_free(&text);
    uint64_t live = ins_mem_get_stats().live;
    for (uint64_t k = 1; k < 4; k++) {
        ins_mem_fail_at(k);
        ins_status status = ins_file_read(at("f"), 10, &text, &err);
        assert_true(status == INS_NOMEM || (status == INS_OK && k > 2));
        ins_str_free(&text);
    }
    ins_mem_fail_at(0);
    assert_int_equal(ins_mem_get_stats().live, live);
}

static void abort_keeps_the_old_content(void **state) {
    (void)state;
    ins_writer *w = NULL;
    assert_ok(ins_file_write_atomic(at("f"), "old", 3, NULL));
    assert_ok(ins_writer_open(at("f"), &w, NULL));
    char *big = ins_calloc(1, 3 << 20);
    assert_ok(ins_writer_write(w, big, 3 << 20, NULL));
    assert_int_equal(count_entries(), 2); /* the temporary lies beside it */
    assert_content(at("f"), "old");
    ins_writer_abort(w);
    ins_writer_abort(NULL);
    assert_int_equal(count_entries(), 1);
    assert_content(at("f"), "old");
    ins_free(big);
}

static void pieces_and_hash(void **state) {
    (void)state;
    ins_writer *w = NULL;
    ins_str expected = {0};
    char sha[65];
    assert_ok(ins_writer_open(at("f"), &w, NULL));
    for (int i = 0; i < 3000; i++) {
        char piece[700];
        memset(piece, 'a' + i % 26, sizeof piece);
        size_t n = (size_t)(i * 37 % 700);
        assert_ok(ins_writer_write(w, piece, n, NULL));
        ins_str_append(&expected, piece, n);
    }
    assert_int_equal(ins_writer_offset(w), expected.len);
    assert_ok(ins_writer_commit(w, sha, NULL));
    ins_digest digest;
    ins_map map;
    assert_ok(ins_sha256_bytes(expected.data, expected.len, &digest, NULL));
    assert_string_equal(sha, digest.hex);
    assert_ok(ins_map_open(at("f"), &map, NULL));
    assert_int_equal(map.size, expected.len);
    assert_memory_equal(map.data, expected.data, expected.len);
    ins_map_close(&map);
    ins_str_free(&expected);
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(at("f"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
}

/* A full disk, played by the limit of a file's size: the write fails, nothing is left behind, the old file stays. */
static void a_failed_write_leaves_nothing(void **state) {
    (void)state;
    assert_ok(ins_file_write_atomic(at("f"), "old", 3, NULL));
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    ins_error err;
    ins_writer *w = NULL;
    char *big = ins_calloc(1, 1 << 20);
    ins_status at_once = ins_file_write_atomic(at("f"), big, 1 << 20, &err);
    ins_status opened = ins_writer_open(at("f"), &w, NULL);
    ins_status buffered = ins_writer_write(w, big, 150000, NULL);
    ins_status committed = ins_writer_commit(w, NULL, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(at_once, INS_IO);
    assert_true(err.hint[0]);
    assert_ok(opened);
    assert_ok(buffered);
    assert_int_equal(committed, INS_IO);
    assert_content(at("f"), "old");
    assert_int_equal(count_entries(), 1);
    ins_free(big);
}

static void opening_fails_cleanly(void **state) {
    (void)state;
    ins_writer *w = NULL;
    ins_error err;
    assert_int_equal(ins_writer_open(at("no/such/dir/f"), &w, &err), INS_IO);
    uint64_t live = ins_mem_get_stats().live;
    for (uint64_t k = 1; k <= 4; k++) {
        ins_mem_fail_at(k);
        assert_int_equal(ins_writer_open(at("f"), &w, &err), INS_NOMEM);
    }
    ins_mem_fail_at(0);
    assert_null(w);
    assert_int_equal(ins_mem_get_stats().live, live);
    assert_int_equal(count_entries(), 0);
    assert_ok(ins_dir_make(at("folder/inside"), NULL));
    assert_int_equal(ins_file_write_atomic(at("folder"), "x", 1, &err), INS_IO); /* a folder is in the way */
    assert_int_equal(count_entries(), 1);
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_ok(ins_file_write_atomic(at(name), "x", 1, &err)); /* the temporary's name fits, too */
}

static void names_without_a_folder(void **state) {
    (void)state;
    char here[PATH_MAX];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(dir), 0);
    ins_status written = ins_file_write_atomic("plain", "x", 1, NULL);
    ins_status renamed = ins_rename("plain", "other", NULL);
    ins_status made = ins_dir_make("some/folder", NULL);
    assert_int_equal(chdir(here), 0);
    assert_ok(written);
    assert_ok(renamed);
    assert_ok(made);
    assert_content(at("other"), "x");
}

static void maps(void **state) {
    (void)state;
    ins_map map = {0};
    ins_error err;
    assert_ok(ins_file_write_atomic(at("empty"), "", 0, NULL));
    assert_ok(ins_map_open(at("empty"), &map, NULL));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    ins_map_close(&map);
    assert_int_equal(ins_map_open(dir, &map, &err), INS_IO);
    assert_int_equal(ins_map_open("/dev/null", &map, &err), INS_DATA);
    assert_int_equal(ins_map_open(at("none"), &map, &err), INS_IO);
}

static void folders(void **state) {
    (void)state;
    char **names = NULL;
    int64_t n = 0;
    ins_error err;
    assert_ok(ins_dir_make(at("a/b/c"), NULL));
    assert_ok(ins_dir_make(at("a//b/c/"), NULL));
    assert_ok(ins_file_write_atomic(at("a/b/z"), "z", 1, NULL));
    assert_ok(ins_file_write_atomic(at("a/b/k"), "k", 1, NULL));
    assert_ok(ins_dir_list(at("a/b"), &names, &n, NULL));
    assert_int_equal(n, 3);
    assert_string_equal(names[0], "c");
    assert_string_equal(names[1], "k");
    assert_string_equal(names[2], "z");
    ins_names_free(names, n);
    assert_int_equal(ins_dir_make(at("a/b/k/x"), &err), INS_IO); /* a file is in the way */
    assert_int_equal(ins_dir_make(at("a/b/k"), &err), INS_IO);
    assert_int_equal(ins_dir_make("", &err), INS_IO);
    assert_int_equal(ins_dir_list(at("none"), &names, &n, &err), INS_IO);
    uint64_t live = ins_mem_get_stats().live;
    for (uint64_t k = 1; k <= 4; k++) {
        ins_mem_fail_at(k);
        assert_int_equal(ins_dir_list(at("a/b"), &names, &n, &err), INS_NOMEM);
    }
    ins_mem_fail_at(0);
    assert_int_equal(ins_mem_get_stats().live, live);
    assert_ok(ins_rename(at("a/b/z"), at("y"), NULL));
    assert_content(at("y"), "z");
    assert_int_equal(ins_rename(at("none"), at("x"), &err), INS_IO);
    assert_ok(ins_dir_sync(dir, NULL));
}

static void removal_never_follows_links(void **state) {
    (void)state;
    assert_ok(ins_dir_make(at("keep"), NULL));
    assert_ok(ins_file_write_atomic(at("keep/file"), "x", 1, NULL));
    assert_ok(ins_dir_make(at("gone/deep"), NULL));
    assert_int_equal(symlink(at("keep"), at("gone/deep/link")), 0);
    assert_int_equal(symlink(at("keep"), at("link")), 0);
    assert_ok(ins_dir_remove(at("gone"), NULL));
    assert_false(ins_dir_exists(at("gone")));
    assert_ok(ins_dir_remove(at("link/"), NULL));
    assert_content(at("keep/file"), "x");
    assert_int_equal(count_entries(), 1);
    assert_ok(ins_dir_remove(at("never/was"), NULL));
    assert_ok(ins_dir_remove(at("keep/file"), NULL));
    ins_error err;
    char too_long[PATH_MAX + 10];
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    assert_int_equal(ins_dir_remove(too_long, &err), INS_IO);
    assert_int_equal(ins_dir_make(too_long, &err), INS_IO);
}

static void sweeping_leftovers(void **state) {
    (void)state;
    ins_writer *w = NULL;
    int64_t n = -1;
    assert_ok(ins_file_write_atomic(at("kept"), "x", 1, NULL));
    assert_ok(ins_file_write_atomic(at(".f.tmp-0123"), "x", 1, NULL));
    assert_ok(ins_file_write_atomic(at("f.tmp-0123456789abcdef"), "x", 1, NULL));
    assert_ok(ins_file_write_atomic(at(".f.tmp-0123456789abcdeg"), "x", 1, NULL));
    assert_ok(ins_dir_make(at(".d.tmp-0123456789abcdef"), NULL));
    assert_ok(ins_writer_open(at("f"), &w, NULL)); /* as if its process had been killed */
    assert_int_equal(count_entries(), 6);
    assert_ok(ins_dir_sweep(dir, &n, NULL));
    assert_int_equal(n, 1);
    assert_int_equal(count_entries(), 5);
    ins_writer_abort(w);
    assert_int_equal(ins_dir_sweep(at("none"), NULL, NULL), INS_IO);
}

static void free_space(void **state) {
    (void)state;
    uint64_t bytes = 0;
    assert_ok(ins_disk_free(dir, &bytes, NULL));
    assert_true(bytes > 0);
    assert_int_equal(ins_disk_free(at("none"), &bytes, NULL), INS_IO);
}

static void locks_keep_others_out(void **state) {
    (void)state;
    ins_lock first = {-1}, second = {-1};
    ins_error err;
    assert_ok(ins_lock_take(at("lock"), false, &first, NULL));
    assert_int_equal(ins_lock_take(at("lock"), false, &second, &err), INS_ENV);
    assert_int_equal(second.fd, -1);
    assert_true(err.hint[0]);
    ins_lock_release(&first);
    ins_lock_release(&first);
    assert_ok(ins_lock_take(at("lock"), true, &second, NULL));
    ins_lock_release(&second);
    assert_int_equal(ins_lock_take(at("no/folder/lock"), true, &second, &err), INS_IO);
}

static void paths(void **state) {
    (void)state;
    char buf[64];
    ins_error err;
    assert_ok(ins_path_join("x/", "y", buf, sizeof buf, NULL));
    assert_string_equal(buf, "x/y");
    assert_ok(ins_path_join("x", "y", buf, sizeof buf, NULL));
    assert_string_equal(buf, "x/y");
    assert_ok(ins_path_join("", "y", buf, sizeof buf, NULL));
    assert_string_equal(buf, "y");
    assert_ok(ins_path_join("x", "/y", buf, sizeof buf, NULL));
    assert_string_equal(buf, "/y");
    assert_int_equal(ins_path_join("xxxx", "yyyy", buf, 9, &err), INS_USAGE);
    assert_ok(ins_path_join("xxxx", "yyyy", buf, 10, &err));
    assert_string_equal(ins_path_base("a/b.c"), "b.c");
    assert_string_equal(ins_path_base("b.c"), "b.c");
    double first = ins_now();
    assert_true(ins_now() >= first);
}

int main(void) {
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        FILE_TEST(write_and_read_back),
        FILE_TEST(reads_have_a_cap),
        FILE_TEST(abort_keeps_the_old_content),
        FILE_TEST(pieces_and_hash),
        FILE_TEST(a_failed_write_leaves_nothing),
        FILE_TEST(opening_fails_cleanly),
        FILE_TEST(names_without_a_folder),
        FILE_TEST(maps),
        FILE_TEST(folders),
        FILE_TEST(removal_never_follows_links),
        FILE_TEST(paths),
        FILE_TEST(sweeping_leftovers),
        FILE_TEST(free_space),
        FILE_TEST(locks_keep_others_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
