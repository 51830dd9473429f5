/* Reading whole files, mapping them, and their names. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

bool ins_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

bool ins_dir_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

ins_status ins_file_size(const char *path, uint64_t *size, ins_error *err) {
    struct stat info;
    if (stat(path, &info) != 0) return INS_FAIL_ERRNO(err, "cannot find '%s'", path);
    *size = (uint64_t)info.st_size;
    return INS_OK;
}

static ins_status open_for_read(const char *path, int *fd, struct stat *info, ins_error *err) {
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (*fd < 0) return INS_FAIL_ERRNO(err, "cannot open '%s'", path);
    int code = fstat(*fd, info) != 0 ? errno : S_ISDIR(info->st_mode) ? EISDIR : 0;
    if (code == 0) return INS_OK;
    close(*fd);
    errno = code;
    return INS_FAIL_ERRNO(err, "cannot read '%s'", path);
}

static ins_status fail_too_big(const char *path, uint64_t max_bytes, ins_error *err) {
    char limit[32];
    INS_FAIL(err, INS_DATA, "'%s' is larger than the %s that such a file may have", path,
             ins_human_size((double)max_bytes, limit));
    ins_error_hint(err, "check that this is the file you meant");
    return INS_DATA;
}

/* Read to the end, straight into the string; `expected` is only a first guess (0 for pipes and /proc). */
static ins_status read_all(int fd, const char *path, uint64_t expected, uint64_t max_bytes, ins_str *out,
                           ins_error *err) {
    const size_t least = 4096;
    size_t room = expected < least ? least : (size_t)expected + 1; /* + 1: the read that sees the end */
    uint64_t total = 0;
    for (;;) {
        if (!ins_str_reserve(out, room)) return INS_FAIL(err, INS_NOMEM, "out of memory while reading '%s'", path);
        ssize_t got = read(fd, out->data + out->len, room);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return INS_FAIL_ERRNO(err, "cannot read '%s'", path);
        out->data[out->len + (size_t)got] = '\0';
        if (got == 0) return INS_OK;
        if ((uint64_t)got > max_bytes - total) return fail_too_big(path, max_bytes, err);
        out->len += (size_t)got;
        total += (uint64_t)got;
        room = expected > total ? (size_t)(expected - total) + 1 : 65536;
    }
}

ins_status ins_file_read(const char *path, uint64_t max_bytes, ins_str *out, ins_error *err) {
    int fd;
    struct stat info;
    INS_TRY(open_for_read(path, &fd, &info, err));
    uint64_t expected = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
    size_t before = out->len;
    ins_status status = INS_OK;
    if (expected > max_bytes || expected >= SIZE_MAX / 2) status = fail_too_big(path, max_bytes, err);
    if (status == INS_OK) status = read_all(fd, path, expected, max_bytes, out, err);
    close(fd);
    if (status != INS_OK && out->data) { /* nothing half-read stays */
        out->len = before;
        out->data[before] = '\0';
    }
    return status;
}

ins_status ins_map_open(const char *path, ins_map *out, ins_error *err) {
    int fd;
    struct stat info;
    INS_TRY(open_for_read(path, &fd, &info, err));
    ins_map map = {.data = NULL, .size = 0};
    ins_status status = INS_OK;
    if (!S_ISREG(info.st_mode)) {
        status = INS_FAIL(err, INS_DATA, "'%s' is not a regular file", path);
        ins_error_hint(err, "copy the data into a file first");
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            status = INS_FAIL_ERRNO(err, "cannot map '%s'", path);
        else
            map = (ins_map){.data = data, .size = (size_t)info.st_size};
    }
    close(fd);
    if (status == INS_OK) *out = map;
    return status;
}

void ins_map_close(ins_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (ins_map){0};
}

ins_status ins_path_join(const char *dir, const char *name, char *buf, size_t size, ins_error *err) {
    size_t dir_len = name[0] == '/' ? 0 : strlen(dir);
    bool slash = dir_len > 0 && dir[dir_len - 1] != '/';
    int len = snprintf(buf, size, "%.*s%s%s", (int)dir_len, dir, slash ? "/" : "", name);
    if (len >= 0 && (size_t)len < size) return INS_OK;
    if (size) buf[0] = '\0';
    INS_FAIL(err, INS_USAGE, "the path '%s/%s' is too long", dir, name);
    ins_error_hint(err, "use a shorter folder name");
    return INS_USAGE;
}

const char *ins_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

double ins_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
