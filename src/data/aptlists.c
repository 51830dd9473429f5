/* Finding and opening apt's lists. */
#include "data/aptlists.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "data/debpkg.h"
#include "data/places.h"

#define SYSTEM_LISTS "/var/lib/apt/lists"
#define APT_HELPER   "/usr/lib/apt/apt-helper"
#define RELEASE_MAX  ((uint64_t)16 << 20)

static bool is_packages(const char *name) {
    return fnmatch("*_Packages", name, 0) == 0 || fnmatch("*_Packages.*", name, 0) == 0;
}

static bool is_translation(const char *name, const char *language) {
    char plain[80], packed[80];
    snprintf(plain, sizeof plain, "*_Translation-%s", language);
    snprintf(packed, sizeof packed, "*_Translation-%s.*", language);
    return fnmatch(plain, name, 0) == 0 || fnmatch(packed, name, 0) == 0;
}

/* "Origin: Debian" in a Release file's head. */
static bool release_has_origin(const char *path, const char *origin) {
    ins_str text = {0};
    bool same = false;
    if (ins_file_read(path, RELEASE_MAX, &text, NULL) == INS_OK && text.data) {
        const char *at = strncmp(text.data, "Origin: ", 8) == 0 ? text.data : strstr(text.data, "\nOrigin: ");
        if (at) {
            at = strchr(at, ' ') + 1;
            size_t n = strcspn(at, "\r\n");
            same = n == strlen(origin) && strncmp(at, origin, n) == 0;
        }
    }
    ins_str_free(&text);
    return same;
}

/* The list belongs to the Release file whose name, up to its last '_', is the start of the list's own. */
static bool list_has_origin(const char *dir, char *const *names, int64_t n, const char *list, const char *origin) {
    for (int64_t i = 0; i < n; i++) {
        const char *tail = strrchr(names[i], '_');
        if (!tail || (strcmp(tail, "_InRelease") != 0 && strcmp(tail, "_Release") != 0)) continue;
        char path[PATH_MAX];
        if (strncmp(list, names[i], (size_t)(tail - names[i]) + 1) != 0) continue;
        if (ins_path_join(dir, names[i], path, sizeof path, NULL) != INS_OK) continue;
        if (release_has_origin(path, origin)) return true;
    }
    return false;
}

typedef struct list_counts {
    int64_t packages, english, translated;
    int64_t alone; /* Packages lists without the English descriptions of the same archive */
} list_counts;

/* "..._main_binary-amd64_Packages" has its descriptions in "..._main_i18n_Translation-en". */
static bool is_alone(char *const *names, int64_t n, const char *packages) {
    const char *cut = strstr(packages, "_binary-");
    if (!cut) return false;
    size_t prefix = (size_t)(cut - packages);
    for (int64_t i = 0; i < n; i++) {
        if (strncmp(names[i], packages, prefix) == 0 && strncmp(names[i] + prefix, "_i18n_", 6) == 0 &&
            is_translation(names[i], "en")) {
            return false;
        }
    }
    return true;
}

static ins_status lists_in(const char *dir, const ins_apt_source *source, ins_files *out, list_counts *counts,
                           ins_error *err) {
    *counts = (list_counts){0};
    if (!ins_dir_exists(dir)) return INS_OK;
    char **names = NULL;
    int64_t n = 0;
    INS_TRY(ins_dir_list(dir, &names, &n, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        bool packages = is_packages(names[i]), english = is_translation(names[i], "en");
        bool translated = is_translation(names[i], source->language);
        if (!packages && !english && !translated) continue;
        if (source->origin && !list_has_origin(dir, names, n, names[i], source->origin)) continue;
        char path[PATH_MAX];
        status = ins_path_join(dir, names[i], path, sizeof path, err);
        if (status == INS_OK) status = ins_files_push(out, path, err);
        counts->packages += packages;
        counts->alone += packages && is_alone(names, n, names[i]);
        counts->english += english;
        counts->translated += translated;
    }
    ins_names_free(names, n);
    return status;
}

/* An update that broke off must not pass for a small archive. Archives of others may have no descriptions at all, so
 * that only those of a given origin are held to it. */
static bool is_whole(const ins_apt_source *source, const list_counts *counts) {
    return counts->packages && counts->translated && (!source->origin || counts->alone == 0);
}

static ins_status fetch_lists(const ins_apt_source *source, const ins_log *log, ins_files *out, list_counts *counts,
                              ins_error *err) {
    char name[96], dir[PATH_MAX], lists[PATH_MAX], languages[96];
    bool english = strcmp(source->language, "en") == 0;
    snprintf(name, sizeof name, "apt-index-%s", source->language);
    snprintf(languages, sizeof languages, english ? "en%s" : "en,%s", english ? "" : source->language);
    INS_TRY(ins_place_downloads(name, dir, sizeof dir, err));
    INS_TRY(ins_path_join(dir, "lists", lists, sizeof lists, err));
    INS_TRY(lists_in(lists, source, out, counts, err));
    if (is_whole(source, counts)) return INS_OK;
    ins_files_free(out);
    INS_TRY(ins_apt_update(dir, languages, log, err));
    INS_TRY(lists_in(lists, source, out, counts, err));
    if (!counts->translated || is_whole(source, counts)) return INS_OK;
    INS_FAIL(err, INS_ENV, "%lld of %lld package lists came without their descriptions", (long long)counts->alone,
             (long long)counts->packages);
    ins_error_hint(err, "the network or the mirror failed: run it again");
    return INS_ENV;
}

static ins_status no_lists(const ins_apt_source *source, const list_counts *counts, ins_error *err) {
    const char *what = counts->packages ? "descriptions" : "package lists";
    INS_FAIL(err, INS_ENV, "apt has no %s in language '%s'%s%s", what, source->language,
             source->origin ? " of origin " : "", source->origin ? source->origin : "");
    if (source->fetch) {
        ins_error_hint(err, "the archive may have none in this language; try language: en");
    } else {
        ins_error_hint(err, "write 'fetch: true' to get them into the cache (some images tell apt to leave "
                            "translations out)");
    }
    return INS_ENV;
}

static bool valid_language(const char *language) {
    size_t n = strspn(language, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_@");
    return n >= 2 && n <= 16 && language[n] == 0;
}

ins_status ins_apt_lists(const ins_apt_source *source, const ins_log *log, ins_files *out, ins_error *err) {
    if (!valid_language(source->language)) {
        INS_FAIL(err, INS_RECIPE, "'%s' is no language of descriptions", source->language);
        ins_error_hint(err, "write en, da, pt_BR...");
        return INS_RECIPE;
    }
    ins_files files = {0};
    list_counts counts = {0};
    ins_status status = INS_OK;
    for (int64_t i = 0; i < source->path.n && status == INS_OK; i++) {
        status = ins_files_glob(&files, source->path.items[i], err);
        if (status != INS_OK && source->path.pos) ins_error_at(err, source->path.pos[i]);
    }
    if (source->path.n == 0) {
        status = source->fetch ? fetch_lists(source, log, &files, &counts, err)
                               : lists_in(SYSTEM_LISTS, source, &files, &counts, err);
        if (status == INS_OK && !(counts.packages && counts.translated)) status = no_lists(source, &counts, err);
    }
    if (status != INS_OK) {
        ins_files_free(&files);
        return status;
    }
    ins_files_sort(&files);
    *out = files;
    return INS_OK;
}

static bool needs_helper(const char *path) {
    static const char *const endings[] = {"*.lz4", "*.xz", "*.bz2", "*.lzma", NULL};
    return ins_files_match(path, endings);
}

ins_status ins_list_open(const char *path, ins_list_stream *list, ins_error *err) {
    *list = (ins_list_stream){0};
    if (!needs_helper(path)) return ins_stream_open(path, &list->stream, err);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return INS_FAIL_ERRNO(err, "cannot make a pipe");
    const char *argv[] = {APT_HELPER, "cat-file", path, NULL};
    ins_status status = ins_child_start(argv, NULL, ends[1], &list->helper, err);
    if (status != INS_OK) ins_error_hint(err, "unpack '%s' and read the plain file", path);
    close(ends[1]);
    if (status == INS_OK) {
        char name[32];
        snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
        status = ins_stream_open(name, &list->stream, err);
        if (status != INS_OK) ins_child_kill(&list->helper);
    }
    close(ends[0]);
    return status;
}

ins_status ins_list_close(ins_list_stream *list, ins_error *err) {
    ins_stream_close(list->stream);
    list->stream = NULL;
    return list->helper.pid ? ins_child_wait(&list->helper, NULL, err) : INS_OK;
}

void ins_list_abort(ins_list_stream *list) {
    if (list->stream) ins_stream_close(list->stream);
    if (list->helper.pid) ins_child_kill(&list->helper);
    *list = (ins_list_stream){0};
}
