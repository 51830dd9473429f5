/* The cache's folders: look, lock, begin, finish. */
#include "recipe/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"

#define KEY_LENGTH      64
#define MANIFEST_MAX    (64u << 20)
#define SWEEP_MAX_DEPTH 16

ins_status ins_cache_open(const char *root, ins_cache *out, ins_error *err) {
    char absolute[PATH_MAX];
    ins_status status = ins_dir_make(root, err);
    if (status != INS_OK || access(root, R_OK | W_OK | X_OK) != 0) {
        if (status == INS_OK) INS_FAIL_ERRNO(err, "the cache folder '%s' can't be used", root);
        ins_error_hint(err, "point INSTAR_CACHE at a folder that you can read and write");
        if (err) err->status = INS_ENV;
        return INS_ENV;
    }
    if (!realpath(root, absolute)) return INS_FAIL_ERRNO(err, "the cache folder '%s' can't be used", root);
    memcpy(out->root, absolute, strlen(absolute) + 1);
    return INS_OK;
}

static ins_status entry_path(const ins_cache *cache, const char *key, const char *suffix, char path[PATH_MAX],
                             ins_error *err) {
    int n = snprintf(path, PATH_MAX, "%s/%.2s/%s%s", cache->root, key, key, suffix);
    return n > 0 && n < PATH_MAX ? INS_OK
                                 : INS_FAIL(err, INS_ENV, "the path of the cache is too long: %s", cache->root);
}

ins_status ins_cache_path(const ins_cache *cache, const char *key, bool partial, char path[PATH_MAX], ins_error *err) {
    return entry_path(cache, key, partial ? ".partial" : "", path, err);
}

bool ins_cache_has_partial(const ins_cache *cache, const char *key) {
    char path[PATH_MAX];
    return ins_cache_path(cache, key, true, path, NULL) == INS_OK && ins_dir_exists(path);
}

ins_status ins_cache_manifest(const ins_cache *cache, const char *key, json_t **manifest, ins_error *err) {
    char path[PATH_MAX], dir[PATH_MAX];
    INS_TRY(ins_cache_path(cache, key, false, dir, err));
    INS_TRY(ins_path_join(dir, "manifest.json", path, sizeof path, err));
    json_t *value = NULL;
    INS_TRY(ins_json_read_file(path, MANIFEST_MAX, &value, err));
    bool whole = json_is_object(value) && json_is_array(json_object_get(value, "files")) &&
                 json_is_object(json_object_get(value, "identity")) && json_is_string(json_object_get(value, "kind"));
    if (!whole) {
        json_decref(value);
        return INS_FAIL(err, INS_DATA, "the manifest '%s' is not complete", path);
    }
    *manifest = value;
    return INS_OK;
}

/* Does every listed file exist with its size (links: as a link)? */
static bool sizes_fit(const char *dir, const json_t *manifest, char reason[256]) {
    size_t i;
    json_t *file;
    json_array_foreach(json_object_get(manifest, "files"), i, file) {
        const char *name = json_string_value(json_object_get(file, "path"));
        bool link = json_is_string(json_object_get(file, "link"));
        char path[PATH_MAX];
        struct stat info;
        if (!name || ins_path_join(dir, name, path, sizeof path, NULL) != INS_OK || lstat(path, &info) != 0) {
            snprintf(reason, 256, "'%.200s' is missing", name ? name : "a file");
            return false;
        }
        bool fits = link ? S_ISLNK(info.st_mode)
                         : S_ISREG(info.st_mode) && info.st_size == json_integer_value(json_object_get(file, "bytes"));
        if (fits) continue;
        snprintf(reason, 256, "'%.200s' has another size than its manifest says", name);
        return false;
    }
    return true;
}

ins_status ins_cache_move_aside(const ins_cache *cache, const char *key, const char *reason, const ins_log *log,
                                ins_error *err) {
    char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX];
    INS_TRY(ins_cache_path(cache, key, false, from, err));
    INS_TRY(ins_path_join(cache->root, "damaged", folder, sizeof folder, err));
    INS_TRY(ins_dir_make(folder, err));
    int n = snprintf(to, sizeof to, "%s/%s-%lld", folder, key, (long long)time(NULL));
    for (int i = 1; n > 0 && n < PATH_MAX && access(to, F_OK) == 0; i++)
        n = snprintf(to, sizeof to, "%s/%s-%lld.%d", folder, key, (long long)time(NULL), i);
    if (n <= 0 || n >= PATH_MAX) return INS_FAIL(err, INS_ENV, "the path of the cache is too long: %s", cache->root);
    ins_logf(log, INS_LOG_WARN, "cache entry %.12s is damaged (%s): moved to %s, it will be made again", key, reason,
             to);
    return ins_rename(from, to, err);
}

ins_status ins_cache_look(const ins_cache *cache, const char *key, const ins_log *log, json_t **manifest,
                          ins_error *err) {
    char dir[PATH_MAX], reason[256] = "";
    ins_error why = {0};
    *manifest = NULL;
    INS_TRY(ins_cache_path(cache, key, false, dir, err));
    struct stat info;
    if (lstat(dir, &info) != 0) {
        if (errno == ENOENT) return INS_OK;
        INS_FAIL_ERRNO(err, "the cache entry '%s' can't be read", dir);
        ins_error_hint(err, "check the permissions of the cache folder, or point INSTAR_CACHE somewhere else");
        return INS_IO;
    }
    json_t *value = NULL;
    ins_status status = ins_cache_manifest(cache, key, &value, &why);
    if (status == INS_NOMEM) return INS_FAIL(err, status, "%s", why.text);
    if (status != INS_OK)
        snprintf(reason, sizeof reason, "%.250s", why.text);
    else if (!sizes_fit(dir, value, reason))
        status = INS_DATA;
    if (status == INS_OK) {
        *manifest = value;
        return INS_OK;
    }
    json_decref(value);
    return ins_cache_move_aside(cache, key, reason, log, err);
}

/* Who holds the lock: "process 123 on host", as written into its file. */
static void read_holder(int fd, char text[160]) {
    ssize_t n = pread(fd, text, 159, 0);
    text[n > 0 ? n : 0] = '\0';
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20u) *p = ' ';
    if (!text[0]) snprintf(text, 160, "another process");
}

static void write_holder(int fd) {
    char text[160], host[80] = "?";
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "process %ld on %s", (long)getpid(), host);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) < 0) return; /* only a courtesy to who waits */
}

/* Is the file that fd holds still the one at path? A holder removes it when it is done. */
static bool still_there(int fd, const char *path) {
    struct stat held, named;
    return fstat(fd, &held) == 0 && stat(path, &named) == 0 && held.st_ino == named.st_ino &&
           held.st_dev == named.st_dev;
}

ins_status ins_cache_lock_take(const ins_cache *cache, const char *key, const volatile int *stop, const ins_log *log,
                               ins_cache_lock *lock, ins_error *err) {
    char folder[PATH_MAX];
    bool said = false;
    lock->fd = -1;
    INS_TRY(entry_path(cache, key, ".lock", lock->path, err));
    snprintf(folder, sizeof folder, "%s", lock->path);
    *strrchr(folder, '/') = '\0';
    INS_TRY(ins_dir_make(folder, err));
    for (;;) {
        int fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) return INS_FAIL_ERRNO(err, "the lock '%s' can't be opened", lock->path);
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (still_there(fd, lock->path)) {
                write_holder(fd);
                lock->fd = fd;
                return INS_OK;
            }
        } else if (errno != EWOULDBLOCK && errno != EINTR) {
            close(fd);
            return INS_FAIL_ERRNO(err, "the lock '%s' can't be taken", lock->path);
        } else {
            char holder[160];
            read_holder(fd, holder);
            if (!said) ins_logf(log, INS_LOG_INFO, "waiting for %s, which makes the same stage", holder);
            said = true;
            usleep(200000);
        }
        close(fd);
        if (stop && *stop) return INS_FAIL(err, INS_INTERRUPTED, "interrupted while waiting for another process");
    }
}

void ins_cache_lock_drop(ins_cache_lock *lock) {
    if (lock->fd < 0) return;
    unlink(lock->path);
    close(lock->fd);
    lock->fd = -1;
}

/* Temporary files of a process that was killed in the middle of a write, in all folders below. */
static ins_status sweep(const char *dir, int depth, ins_error *err) {
    char **names = NULL;
    int64_t n = 0;
    INS_TRY(ins_dir_sweep(dir, NULL, err));
    INS_TRY(ins_dir_list(dir, &names, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK && depth < SWEEP_MAX_DEPTH; i++) {
        char path[PATH_MAX];
        struct stat info;
        status = ins_path_join(dir, names[i], path, sizeof path, err);
        if (status == INS_OK && lstat(path, &info) == 0 && S_ISDIR(info.st_mode)) status = sweep(path, depth + 1, err);
    }
    ins_names_free(names, n);
    return status;
}

ins_status ins_cache_begin(const ins_cache *cache, const char *key, char dir[PATH_MAX], ins_error *err) {
    INS_TRY(ins_cache_path(cache, key, true, dir, err));
    INS_TRY(ins_dir_make(dir, err));
    return sweep(dir, 0, err);
}

ins_status ins_cache_finish(const ins_cache *cache, const char *key, json_t *manifest, ins_error *err) {
    char partial[PATH_MAX], final[PATH_MAX], path[PATH_MAX];
    INS_TRY(ins_cache_path(cache, key, true, partial, err));
    INS_TRY(ins_cache_path(cache, key, false, final, err));
    INS_TRY(ins_path_join(partial, "manifest.json", path, sizeof path, err));
    json_t *files = NULL;
    INS_TRY(ins_tree_list(partial, &files, err));
    if (json_object_set_new(manifest, "files", files) != 0)
        return INS_FAIL(err, INS_NOMEM, "out of memory while writing a manifest");
    INS_TRY(ins_json_write_file(path, manifest, true, err));
    return ins_rename(partial, final, err);
}

static bool is_key(const char *name) {
    return strlen(name) == KEY_LENGTH && strspn(name, "0123456789abcdef") == KEY_LENGTH;
}

/* Appends the keys of one two-letter folder. */
static ins_status keys_of(const ins_cache *cache, const char *folder, char ***keys, int64_t *n, ins_error *err) {
    char path[PATH_MAX], **names = NULL;
    int64_t n_names = 0;
    INS_TRY(ins_path_join(cache->root, folder, path, sizeof path, err));
    INS_TRY(ins_dir_list(path, &names, &n_names, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n_names && status == INS_OK; i++) {
        if (!is_key(names[i])) continue;
        char **grown = ins_realloc(*keys, (size_t)(*n + 1) * sizeof *grown);
        if (grown) *keys = grown;
        char *copy = grown ? ins_strdup(names[i]) : NULL;
        if (copy)
            (*keys)[(*n)++] = copy;
        else
            status = INS_FAIL(err, INS_NOMEM, "out of memory while reading the cache");
    }
    ins_names_free(names, n_names);
    return status;
}

ins_status ins_cache_keys(const ins_cache *cache, char ***keys, int64_t *n, ins_error *err) {
    char **folders = NULL, **found = NULL;
    int64_t n_folders = 0, n_found = 0;
    INS_TRY(ins_dir_list(cache->root, &folders, &n_folders, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n_folders && status == INS_OK; i++)
        if (strlen(folders[i]) == 2) status = keys_of(cache, folders[i], &found, &n_found, err);
    ins_names_free(folders, n_folders);
    if (status != INS_OK) {
        ins_names_free(found, n_found);
        return status;
    }
    *keys = found;
    *n = n_found;
    return INS_OK;
}
