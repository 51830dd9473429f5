/* Folders: make, remove, list, sync. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/mem.h"

#define DIR_MAX_DEPTH 256

ins_status ins_dir_make(const char *path, ins_error *err) {
    char buf[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof buf) {
        errno = len ? ENAMETOOLONG : ENOENT;
        return INS_FAIL_ERRNO(err, "cannot make the folder '%s'", path);
    }
    memcpy(buf, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (buf[i] != '/' && buf[i] != '\0') continue;
        char kept = buf[i];
        buf[i] = '\0';
        if (mkdir(buf, 0777) != 0) {
            int code = errno == EEXIST ? ENOTDIR : errno; /* EACCES and EROFS come for folders that are there, too */
            if (!ins_dir_exists(buf)) {
                errno = code;
                return INS_FAIL_ERRNO(err, "cannot make the folder '%s'", buf);
            }
        }
        buf[i] = kept;
    }
    return INS_OK;
}

/* Removes the entry `name` of the open folder parent_fd. Links are removed, never followed. */
static int remove_at(int parent_fd, const char *name, int depth) {
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return -1;
    if (depth >= DIR_MAX_DEPTH) {
        errno = ELOOP;
        return -1;
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -1;
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -1;
    }
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        result = remove_at(fd, entry->d_name, depth + 1);
    }
    int code = errno;
    if (result == 0 && code != 0) result = -1;
    closedir(dir);
    errno = code;
    return result == 0 ? unlinkat(parent_fd, name, AT_REMOVEDIR) : result;
}

ins_status ins_dir_remove(const char *path, ins_error *err) {
    char buf[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof buf) {
        errno = ENAMETOOLONG;
        return INS_FAIL_ERRNO(err, "cannot remove '%s'", path);
    }
    memcpy(buf, path, len + 1);
    while (len > 1 && buf[len - 1] == '/') buf[--len] = '\0'; /* "link/" would follow the link */
    if (remove_at(AT_FDCWD, buf, 0) != 0) return INS_FAIL_ERRNO(err, "cannot remove '%s'", path);
    return INS_OK;
}

ins_status ins_dir_sync(const char *path, ins_error *err) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return INS_FAIL_ERRNO(err, "cannot open the folder '%s'", path);
    int result = fsync(fd);
    int code = errno;
    close(fd);
    if (result != 0 && code != EINVAL && code != ENOTSUP) { /* some file systems cannot sync folders */
        errno = code;
        return INS_FAIL_ERRNO(err, "cannot flush the folder '%s' to disk", path);
    }
    return INS_OK;
}

static int compare_names(const void *x, const void *y) {
    return strcmp(*(char *const *)x, *(char *const *)y);
}

ins_status ins_dir_list(const char *path, char ***names, int64_t *n, ins_error *err) {
    DIR *dir = opendir(path);
    if (!dir) return INS_FAIL_ERRNO(err, "cannot list the folder '%s'", path);
    char **list = NULL;
    int64_t count = 0, cap = 0;
    ins_status status = INS_OK;
    struct dirent *entry;
    while (status == INS_OK && (errno = 0, entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (count == cap) {
            cap = cap ? cap * 2 : 16;
            char **grown = ins_realloc(list, (size_t)cap * sizeof *list);
            if (grown) list = grown;
            if (!grown) status = INS_FAIL(err, INS_NOMEM, "out of memory while listing '%s'", path);
        }
        if (status != INS_OK) break;
        list[count] = ins_strdup(entry->d_name);
        if (!list[count]) status = INS_FAIL(err, INS_NOMEM, "out of memory while listing '%s'", path);
        if (status == INS_OK) count++;
    }
    if (status == INS_OK && errno != 0) status = INS_FAIL_ERRNO(err, "cannot list the folder '%s'", path);
    closedir(dir);
    if (status != INS_OK) {
        ins_names_free(list, count);
        return status;
    }
    if (count > 1) qsort(list, (size_t)count, sizeof *list, compare_names);
    *names = list;
    *n = count;
    return INS_OK;
}

/* ".NAME.tmp-" and 16 hexadecimal digits, as writer.c makes them. */
static bool is_temporary(const char *name) {
    const char *mark = strstr(name, ".tmp-");
    for (const char *next = mark; next; next = strstr(next + 1, ".tmp-")) mark = next;
    return name[0] == '.' && mark && mark > name && strlen(mark + 5) == 16 &&
           strspn(mark + 5, "0123456789abcdef") == 16;
}

ins_status ins_dir_sweep(const char *path, int64_t *n_removed, ins_error *err) {
    char **names, file[PATH_MAX];
    int64_t n, removed = 0;
    INS_TRY(ins_dir_list(path, &names, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        if (!is_temporary(names[i])) continue;
        status = ins_path_join(path, names[i], file, sizeof file, err);
        if (status != INS_OK || ins_dir_exists(file)) continue;
        if (unlink(file) != 0 && errno != ENOENT) status = INS_FAIL_ERRNO(err, "cannot remove '%s'", file);
        if (status == INS_OK) removed++;
    }
    ins_names_free(names, n);
    if (status == INS_OK && n_removed) *n_removed = removed;
    return status;
}

ins_status ins_disk_free(const char *path, uint64_t *bytes, ins_error *err) {
    struct statvfs info;
    if (statvfs(path, &info) != 0) return INS_FAIL_ERRNO(err, "cannot ask for the free space of '%s'", path);
    *bytes = (uint64_t)info.f_bavail * (uint64_t)info.f_frsize;
    return INS_OK;
}

void ins_names_free(char **names, int64_t n) {
    for (int64_t i = 0; i < n; i++) ins_free(names[i]);
    ins_free(names);
}
