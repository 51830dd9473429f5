/* Debian packages as sources of files. */
#include "data/debpkg.h"

#include <glob.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "data/child.h"
#include "data/places.h"
#include "format/json.h"

#define DPKG_INFO     "/var/lib/dpkg/info"
#define LIST_MAX      ((uint64_t)64 << 20)
#define INFO_MAX      ((uint64_t)1 << 16)
#define APT_CONF_NAME "apt.conf"

/* Hooks of the system's configuration have no business in a private copy; nor do extra indexes. */
static const char apt_conf[] = "#clear APT::Update::Post-Invoke;\n"
                               "#clear APT::Update::Post-Invoke-Success;\n"
                               "#clear APT::Update::Pre-Invoke;\n"
                               "#clear DPkg::Post-Invoke;\n"
                               "Acquire::Retries \"2\";\n"
                               "Acquire::http::Timeout \"30\";\n"
                               "Acquire::https::Timeout \"30\";\n"
                               "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n"
                               "Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled \"false\";\n"
                               "Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled \"false\";\n"
                               "Acquire::IndexTargets::deb::CNF::DefaultEnabled \"false\";\n";

static ins_status check_name(const char *package, ins_error *err) {
    size_t n = strspn(package, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    if (n >= 2 && n < 100 && package[n] == 0 && package[0] != '-' && package[0] != '.' && package[0] != '+') {
        return INS_OK;
    }
    INS_FAIL(err, INS_RECIPE, "'%s' is not a Debian package name", package);
    ins_error_hint(err, "names have lower-case letters, digits, '+', '-' and '.', as in dict-foldoc");
    return INS_RECIPE;
}

/* ---- installed ---- */

static ins_status add_installed(const char *list_path, const char *const *patterns, ins_files *files, ins_error *err) {
    ins_str list = {0};
    ins_status status = ins_file_read(list_path, LIST_MAX, &list, err);
    for (char *line = list.data; status == INS_OK && line && *line;) {
        char *end = strchr(line, '\n'), *next = end ? end + 1 : NULL;
        struct stat info;
        if (end) *end = 0;
        if (ins_files_match(line, patterns) && lstat(line, &info) == 0 && S_ISREG(info.st_mode)) {
            status = ins_files_push(files, line, err);
        }
        line = next;
    }
    ins_str_free(&list);
    return status;
}

static ins_status installed_files(const char *package, const char *const *patterns, ins_files *files, ins_error *err) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, DPKG_INFO "/%s.list", package);
    if (ins_file_exists(path)) return add_installed(path, patterns, files, err);
    snprintf(path, sizeof path, DPKG_INFO "/%s:*.list", package); /* several architectures */
    glob_t found = {0};
    ins_status status = INS_OK;
    if (glob(path, 0, NULL, &found) == 0) status = add_installed(found.gl_pathv[0], patterns, files, err);
    globfree(&found);
    return status;
}

/* ---- apt ---- */

static ins_status apt_folder(const char *dir, ins_error *err) {
    static const char *const parts[] = {"lists/partial", "cache/archives/partial"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        INS_TRY(ins_path_join(dir, parts[i], path, sizeof path, err));
        INS_TRY(ins_dir_make(path, err));
    }
    INS_TRY(ins_path_join(dir, APT_CONF_NAME, path, sizeof path, err));
    return ins_file_write_atomic(path, apt_conf, sizeof apt_conf - 1, err);
}

/* Run apt-get with a private cache, and private lists too when own_lists. words: the command, ended by NULL. */
static ins_status apt_get(const char *dir, bool own_lists, const char *cwd, const char *const *words, int *code,
                          ins_error *err) {
    char conf[PATH_MAX], cache[PATH_MAX + 32], lists[PATH_MAX + 32];
    INS_TRY(ins_path_join(dir, APT_CONF_NAME, conf, sizeof conf, err));
    snprintf(cache, sizeof cache, "Dir::Cache=%s/cache", dir);
    snprintf(lists, sizeof lists, "Dir::State::Lists=%s/lists", dir);
    const char *argv[24] = {"apt-get", "-q", "-c", conf, "-o", cache};
    size_t n = 6;
    if (own_lists) {
        argv[n++] = "-o";
        argv[n++] = lists;
    }
    if (geteuid() == 0) { /* the download user may not enter a private folder */
        argv[n++] = "-o";
        argv[n++] = "APT::Sandbox::User=root";
    }
    for (size_t i = 0; words[i] && n < 23; i++) argv[n++] = words[i];
    argv[n] = NULL;
    return ins_child_run(argv, cwd, NULL, code, err);
}

static bool has_packages_list(const char *lists) {
    char pattern[PATH_MAX + 32];
    snprintf(pattern, sizeof pattern, "%s/*_Packages*", lists);
    glob_t found = {0};
    bool any = glob(pattern, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return any;
}

ins_status ins_apt_update(const char *dir, const char *languages, const ins_log *log, ins_error *err) {
    char option[128], lists[PATH_MAX];
    INS_TRY(apt_folder(dir, err));
    INS_TRY(ins_path_join(dir, "lists", lists, sizeof lists, err));
    snprintf(option, sizeof option, "Acquire::Languages=%s", languages);
    ins_logf(log, INS_LOG_INFO, "fetching apt's package index");
    int code = 0;
    const char *words[] = {"-o", option, "update", NULL};
    INS_TRY(apt_get(dir, true, NULL, words, &code, err));
    /* Other sources of the system may be out of reach; what counts is that an index is there. */
    if (has_packages_list(lists)) return INS_OK;
    INS_FAIL(err, INS_ENV, "'apt-get update' into '%s' brought no package index (exit code %d)", dir, code);
    ins_error_hint(err, "check the network and /etc/apt/sources.list; 'apt-get update' says more");
    return INS_ENV;
}

static bool find_deb(const char *dir, char *deb, size_t size) {
    char pattern[PATH_MAX + 32];
    snprintf(pattern, sizeof pattern, "%s/*.deb", dir);
    glob_t debs = {0};
    bool found = glob(pattern, 0, NULL, &debs) == 0;
    if (found && (size_t)snprintf(deb, size, "%s", debs.gl_pathv[0]) >= size) found = false;
    globfree(&debs);
    return found;
}

/* The .deb of `package` into `dir`: with the system's own lists, else with fresh private ones. */
static ins_status download(const char *package, const char *dir, char *deb, size_t size, const ins_log *log,
                           ins_error *err) {
    char apt[PATH_MAX];
    int code = 0;
    const char *words[] = {"download", package, NULL};
    ins_logf(log, INS_LOG_INFO, "downloading package %s", package);
    INS_TRY(ins_place_downloads("apt", apt, sizeof apt, err));
    INS_TRY(apt_folder(apt, err));
    INS_TRY(apt_get(apt, false, dir, words, &code, err));
    if (find_deb(dir, deb, size)) return INS_OK;
    INS_TRY(ins_apt_update(apt, "none", log, err));
    INS_TRY(apt_get(apt, true, dir, words, &code, err));
    if (find_deb(dir, deb, size)) return INS_OK;
    INS_FAIL(err, INS_ENV, "package '%s' cannot be downloaded (apt-get's exit code %d)", package, code);
    ins_error_hint(err, "check the name and the network: 'apt-get download %s' says more", package);
    return INS_ENV;
}

/* Unpack the package into work/root and describe it in work/info.json. */
static ins_status unpack(const char *package, const char *deb, const char *work, ins_error *err) {
    char root[PATH_MAX], path[PATH_MAX];
    ins_str version = {0};
    ins_digest digest;
    INS_TRY(ins_path_join(work, "root", root, sizeof root, err));
    INS_TRY(ins_path_join(work, "info.json", path, sizeof path, err));
    const char *ask[] = {"dpkg-deb", "-f", deb, "Version", NULL}, *take[] = {"dpkg-deb", "-x", deb, root, NULL};
    ins_status status = ins_child_run(ask, NULL, &version, NULL, err);
    while (version.len && version.data[version.len - 1] == '\n') version.data[--version.len] = 0;
    if (status == INS_OK) status = ins_child_run(take, NULL, NULL, NULL, err);
    if (status == INS_OK) status = ins_sha256_file(deb, &digest, NULL, err);
    if (status == INS_OK) {
        json_t *info = json_pack("{s:s, s:s, s:s}", "package", package, "version", version.len ? version.data : "?",
                                 "sha256", digest.hex);
        status = info ? ins_json_write_file(path, info, true, err) : INS_FAIL(err, INS_NOMEM, "out of memory");
        json_decref(info);
    }
    ins_str_free(&version);
    if (status == INS_OK) unlink(deb);
    return status;
}

static ins_status fetch_package(const char *package, const char *final, const ins_log *log, ins_error *err) {
    char work[PATH_MAX], name[160], deb[PATH_MAX];
    snprintf(name, sizeof name, "deb/.%s.tmp-%ld", package, (long)getpid());
    INS_TRY(ins_place_downloads(name, work, sizeof work, err));
    ins_status status = download(package, work, deb, sizeof deb, log, err);
    if (status == INS_OK) status = unpack(package, deb, work, err);
    if (status == INS_OK && !ins_dir_exists(final)) status = ins_rename(work, final, err);
    ins_dir_remove(work, NULL);
    return status;
}

static ins_status note_origin(const char *dir, ins_files *files, ins_error *err) {
    char path[PATH_MAX];
    json_t *info = NULL;
    const char *package, *version, *sha256;
    INS_TRY(ins_path_join(dir, "info.json", path, sizeof path, err));
    INS_TRY(ins_json_read_file(path, INFO_MAX, &info, err));
    ins_status status = ins_json_get_string(info, "package", &package, err);
    if (status == INS_OK) status = ins_json_get_string(info, "version", &version, err);
    if (status == INS_OK) status = ins_json_get_string(info, "sha256", &sha256, err);
    if (status == INS_OK) ins_str_printf(&files->origin, "deb %s %s %s\n", package, version, sha256);
    json_decref(info);
    if (status != INS_OK) ins_error_hint(err, "remove the folder '%s' to fetch the package again", dir);
    return status;
}

static ins_status no_package(const char *package, ins_error *err) {
    INS_FAIL(err, INS_ENV, "package '%s' is not installed, and 'fetch' is off", package);
    ins_error_hint(err, "write 'fetch: true' to download it into the cache, or: apt-get install %s", package);
    return INS_ENV;
}

ins_status ins_debpkg_files(const char *package, const char *const *patterns, bool fetch, const ins_log *log,
                            ins_files *files, ins_error *err) {
    char dir[PATH_MAX], root[PATH_MAX], name[128];
    INS_TRY(check_name(package, err));
    int64_t before = files->n;
    INS_TRY(installed_files(package, patterns, files, err));
    if (files->n > before) return INS_OK;
    snprintf(name, sizeof name, "deb/%s", package);
    INS_TRY(ins_place_downloads_path(name, dir, sizeof dir, err));
    if (!ins_dir_exists(dir)) {
        if (!fetch) return no_package(package, err);
        INS_TRY(fetch_package(package, dir, log, err));
    }
    INS_TRY(ins_path_join(dir, "root", root, sizeof root, err));
    INS_TRY(ins_files_walk(files, root, patterns, err));
    if (files->n > before) return note_origin(dir, files, err);
    INS_FAIL(err, INS_DATA, "package '%s' has no file of the kind that this reader reads", package);
    ins_error_hint(err, "is it the right package? its files lie below '%s'", root);
    return INS_DATA;
}
