/* cmocka with what it needs, and a scratch folder. */
#ifndef INS_TESTS_BASE_TESTING_H
#define INS_TESTS_BASE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

/* A fresh folder below $TMPDIR or /tmp; remove it with ins_dir_remove. */
static inline void test_scratch_dir(char *buf, size_t size) {
    const char *root = getenv("TMPDIR");
    snprintf(buf, size, "%s/instar-test-XXXXXX", root && root[0] ? root : "/tmp");
    if (!mkdtemp(buf)) fail_msg("no scratch folder: %s", buf);
}

#define assert_ok(expr) assert_int_equal((expr), INS_OK)

#endif
