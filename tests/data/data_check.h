/* What the tests of this room share: a temporary folder, shards from lists of documents, components from YAML text. */
#ifndef INS_TESTS_DATA_CHECK_H
#define INS_TESTS_DATA_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

/* Fails with the recorded message when status is not OK. */
static inline void need_ok(ins_status status, const ins_error *err) {
    if (status == INS_OK) return;
    char text[2048];
    ins_error_format(err, text, sizeof text);
    fail_msg("%s", text);
}

static char temp_dir[256];

static inline int temp_setup(void **state) {
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(temp_dir, sizeof temp_dir, "%s/instar-data-XXXXXX", base && strlen(base) < 200 ? base : "/tmp");
    return mkdtemp(temp_dir) ? 0 : -1;
}

static inline int temp_teardown(void **state) {
    (void)state;
    return ins_dir_remove(temp_dir, NULL) == INS_OK ? 0 : -1;
}

/* Path of `name` in the temporary folder; valid until 64 more calls. */
static inline const char *temp_path(const char *name) {
    static char paths[64][768];
    static int next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", temp_dir, name);
    return path;
}

static inline const char *write_temp(const char *name, const void *data, size_t n) {
    const char *path = temp_path(name);
    FILE *file = fopen(path, "wb"); /* not durable, but quick */
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return path;
}

#endif
