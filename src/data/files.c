/* Lists of input files. */
#include "data/files.h"

#include <fnmatch.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "data/debpkg.h"
#include "data/places.h"

void ins_files_free(ins_files *files) {
    for (int64_t i = 0; i < files->n; i++) ins_free(files->paths[i]);
    ins_free(files->paths);
    ins_str_free(&files->origin);
    *files = (ins_files){0};
}

ins_status ins_files_push(ins_files *files, const char *path, ins_error *err) {
    if (files->n == files->cap) {
        int64_t cap = files->cap ? 2 * files->cap : 64;
        char **paths = ins_realloc(files->paths, (size_t)cap * sizeof *paths);
        if (!paths) return INS_FAIL(err, INS_NOMEM, "out of memory for a list of files");
        files->paths = paths;
        files->cap = cap;
    }
    char *copy = ins_strdup(path);
    if (!copy) return INS_FAIL(err, INS_NOMEM, "out of memory for a list of files");
    files->paths[files->n++] = copy;
    return INS_OK;
}

static bool is_regular(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

ins_status ins_files_glob(ins_files *files, const char *pattern, ins_error *err) {
    char resolved[PATH_MAX];
    INS_TRY(ins_place_resolve(pattern, resolved, sizeof resolved, err));
    glob_t found = {0};
    int code = glob(resolved, GLOB_NOSORT | GLOB_TILDE, NULL, &found);
    ins_status status = INS_OK;
    if (code == GLOB_NOSPACE) status = INS_FAIL(err, INS_NOMEM, "out of memory while looking for '%s'", pattern);
    int64_t before = files->n;
    for (size_t i = 0; status == INS_OK && code == 0 && i < found.gl_pathc; i++) {
        if (is_regular(found.gl_pathv[i])) status = ins_files_push(files, found.gl_pathv[i], err);
    }
    globfree(&found);
    if (status != INS_OK || files->n > before) return status;
    INS_FAIL(err, INS_DATA, "no file matches '%s'", resolved);
    if (ins_dir_exists(resolved)) {
        ins_error_hint(err, "it is a folder: write a pattern for the files in it, such as '%s/*.txt'", pattern);
    } else {
        ins_error_hint(err, "check the path: it is relative to the current folder unless it starts with /");
    }
    return INS_DATA;
}

bool ins_files_match(const char *path, const char *const *patterns) {
    if (!patterns) return true;
    for (; *patterns; patterns++) {
        if (fnmatch(*patterns, path, 0) == 0) return true;
    }
    return false;
}

static ins_status walk(ins_files *files, const char *dir, size_t root, const char *const *patterns, int depth,
                       ins_error *err) {
    if (depth > 32) return INS_FAIL(err, INS_DATA, "the folders below '%s' are too deep", dir);
    char **names = NULL;
    int64_t n = 0;
    INS_TRY(ins_dir_list(dir, &names, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        char path[PATH_MAX];
        struct stat info;
        status = ins_path_join(dir, names[i], path, sizeof path, err);
        if (status != INS_OK || lstat(path, &info) != 0) continue;
        if (S_ISDIR(info.st_mode)) {
            status = walk(files, path, root, patterns, depth + 1, err);
        } else if (S_ISREG(info.st_mode) && ins_files_match(path + root, patterns)) {
            status = ins_files_push(files, path, err);
        }
    }
    ins_names_free(names, n);
    return status;
}

ins_status ins_files_walk(ins_files *files, const char *dir, const char *const *patterns, ins_error *err) {
    return walk(files, dir, strlen(dir), patterns, 0, err);
}

static int by_path(const void *one, const void *two) {
    return strcmp(*(char *const *)one, *(char *const *)two);
}

void ins_files_sort(ins_files *files) {
    if (files->n == 0) return;
    qsort(files->paths, (size_t)files->n, sizeof *files->paths, by_path);
    int64_t kept = 1;
    for (int64_t i = 1; i < files->n; i++) {
        if (strcmp(files->paths[i], files->paths[kept - 1]) == 0) {
            ins_free(files->paths[i]);
        } else {
            files->paths[kept++] = files->paths[i];
        }
    }
    files->n = kept;
}

ins_status ins_files_fingerprint(const ins_files *files, ins_str *out, uint64_t *bytes, ins_error *err) {
    if (files->origin.len) ins_str_append(out, files->origin.data, files->origin.len);
    for (int64_t i = 0; i < files->n; i++) {
        ins_digest digest;
        uint64_t size = 0;
        INS_TRY(ins_sha256_file(files->paths[i], &digest, &size, err));
        ins_str_printf(out, "file %s %" PRIu64 " %s\n", ins_path_base(files->paths[i]), size, digest.hex);
        *bytes += size;
    }
    return out->oom ? INS_FAIL(err, INS_NOMEM, "out of memory for the digest of the input files") : INS_OK;
}

static ins_status add_all(const ins_source *source, const char *const *patterns, const ins_log *log, ins_files *files,
                          ins_error *err) {
    for (int64_t i = 0; i < source->path.n; i++) {
        ins_status status = ins_files_glob(files, source->path.items[i], err);
        if (status != INS_OK) {
            if (source->path.pos) ins_error_at(err, source->path.pos[i]);
            return status;
        }
    }
    for (int64_t i = 0; i < source->package.n; i++) {
        ins_status status = ins_debpkg_files(source->package.items[i], patterns, source->fetch, log, files, err);
        if (status != INS_OK) {
            if (source->package.pos) ins_error_at(err, source->package.pos[i]);
            return status;
        }
    }
    return INS_OK;
}

ins_status ins_source_files(const ins_source *source, const char *const *wanted, const ins_log *log, ins_files *out,
                            ins_error *err) {
    const char *own[2] = {source->match, NULL};
    ins_files files = {0};
    ins_status status = add_all(source, source->match ? own : wanted, log, &files, err);
    if (status != INS_OK) {
        ins_files_free(&files);
        return status;
    }
    ins_files_sort(&files);
    *out = files;
    return INS_OK;
}

ins_status ins_source_fingerprint(const ins_source *source, const char *const *wanted, ins_str *out, uint64_t *bytes,
                                  ins_error *err) {
    ins_files files = {0};
    INS_TRY(ins_source_files(source, wanted, NULL, &files, err));
    ins_status status = ins_files_fingerprint(&files, out, bytes, err);
    ins_files_free(&files);
    return status;
}

void ins_source_check(const ins_source *source, const char *reader, ins_pos pos, ins_diag *diag) {
    if (source->path.n || source->package.n) return;
    ins_diag_add(diag, INS_RECIPE, pos, "path: a pattern such as texts/*.txt; package: a Debian package",
                 "reader '%s' needs a path or a package", reader);
}
