/* A temporary folder for the tests of this room. */
#ifndef INS_TESTS_FORMAT_TEMP_H
#define INS_TESTS_FORMAT_TEMP_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

typedef struct temp_dir {
    char dir[64], path[128];
} temp_dir;

static inline temp_dir temp_make(const char *name) {
    temp_dir temp = {.dir = "/tmp/ins-format-XXXXXX"};
    if (!mkdtemp(temp.dir)) abort();
    snprintf(temp.path, sizeof temp.path, "%s/%s", temp.dir, name);
    return temp;
}

static inline void temp_write(const temp_dir *temp, const void *bytes, size_t n) {
    FILE *file = fopen(temp->path, "wb");
    if (!file || fwrite(bytes, 1, n, file) != n || fclose(file) != 0) abort();
}

static inline void temp_remove(const temp_dir *temp) {
    ins_dir_remove(temp->dir, NULL);
}

#endif
