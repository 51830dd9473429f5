/* Files of a cache entry: the manifest's list, and the check against it. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "recipe/cache.h"

#define TREE_MAX_DEPTH 32

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory while listing files");
}

static ins_status append_link(const char *path, const char *relative, json_t *files, ins_error *err) {
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0) return INS_FAIL_ERRNO(err, "the link '%s' can't be read", path);
    target[n] = '\0';
    json_t *item = json_pack("{ssss}", "path", relative, "link", target);
    return item && json_array_append_new(files, item) == 0 ? INS_OK : no_memory(err);
}

static ins_status append_file(const char *path, const char *relative, json_t *files, ins_error *err) {
    ins_digest digest;
    uint64_t size = 0;
    INS_TRY(ins_sha256_file(path, &digest, &size, err));
    json_t *item = json_pack("{sssIss}", "path", relative, "bytes", (json_int_t)size, "sha256", digest.hex);
    return item && json_array_append_new(files, item) == 0 ? INS_OK : no_memory(err);
}

static ins_status list_folder(const char *dir, const char *relative, int depth, json_t *files, ins_error *err) {
    char **names = NULL;
    int64_t n = 0;
    if (depth > TREE_MAX_DEPTH) return INS_FAIL(err, INS_DATA, "the folder '%s' is nested too deep", dir);
    INS_TRY(ins_dir_list(dir, &names, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        char path[PATH_MAX], below[PATH_MAX];
        struct stat info;
        status = ins_path_join(dir, names[i], path, sizeof path, err);
        if (status == INS_OK && relative[0])
            status = ins_path_join(relative, names[i], below, sizeof below, err);
        else if (status == INS_OK)
            snprintf(below, sizeof below, "%s", names[i]);
        if (status != INS_OK || (depth == 0 && strcmp(names[i], "manifest.json") == 0)) continue;
        if (lstat(path, &info) != 0)
            status = INS_FAIL_ERRNO(err, "'%s' can't be read", path);
        else if (S_ISLNK(info.st_mode))
            status = append_link(path, below, files, err);
        else if (S_ISDIR(info.st_mode))
            status = list_folder(path, below, depth + 1, files, err);
        else if (S_ISREG(info.st_mode))
            status = append_file(path, below, files, err);
    }
    ins_names_free(names, n);
    return status;
}

ins_status ins_tree_list(const char *dir, json_t **files, ins_error *err) {
    json_t *list = json_array();
    if (!list) return no_memory(err);
    ins_status status = list_folder(dir, "", 0, list, err);
    if (status != INS_OK) {
        json_decref(list);
        return status;
    }
    *files = list;
    return INS_OK;
}

/* One file against its line of the manifest. */
static ins_status check_file(const char *dir, const json_t *file, uint64_t *budget, bool *ok, char reason[256],
                             ins_error *err) {
    const char *name = json_string_value(json_object_get(file, "path"));
    const char *wanted = json_string_value(json_object_get(file, "sha256"));
    char path[PATH_MAX];
    ins_digest digest;
    uint64_t size = (uint64_t)json_integer_value(json_object_get(file, "bytes"));
    if (!name || !wanted || size > *budget) return INS_OK;
    *budget -= size;
    INS_TRY(ins_path_join(dir, name, path, sizeof path, err));
    if (!ins_file_exists(path)) {
        *ok = false;
        snprintf(reason, 256, "'%.200s' is missing", name);
        return INS_OK;
    }
    INS_TRY(ins_sha256_file(path, &digest, &size, err));
    if (strcmp(digest.hex, wanted) == 0) return INS_OK;
    *ok = false;
    snprintf(reason, 256, "the bytes of '%.200s' have changed", name);
    return INS_OK;
}

ins_status ins_cache_verify(const ins_cache *cache, const char *key, uint64_t max_bytes, bool *ok, char reason[256],
                            ins_error *err) {
    char dir[PATH_MAX];
    json_t *manifest = NULL;
    INS_TRY(ins_cache_path(cache, key, false, dir, err));
    INS_TRY(ins_cache_manifest(cache, key, &manifest, err));
    ins_status status = INS_OK;
    size_t i;
    json_t *file;
    *ok = true;
    reason[0] = '\0';
    json_array_foreach(json_object_get(manifest, "files"), i, file) {
        if (status == INS_OK && *ok) status = check_file(dir, file, &max_bytes, ok, reason, err);
    }
    json_decref(manifest);
    return status;
}
