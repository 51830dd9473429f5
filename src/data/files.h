/* The input files of a reader: patterns and packages resolved to a sorted list, and the list's content digest. */
#ifndef INS_DATA_FILES_H
#define INS_DATA_FILES_H

#include "base/log.h"
#include "base/str.h"
#include "option/option.h"

typedef struct ins_files {
    char **paths; /* owned */
    int64_t n, cap;
    ins_str origin; /* "deb NAME VERSION SHA256\n" for every downloaded package: part of the digest */
} ins_files;

void ins_files_free(ins_files *files);
ins_status ins_files_push(ins_files *files, const char *path, ins_error *err); /* copies */
/* All regular files that match a glob pattern (data:... allowed). INS_DATA when there are none. */
ins_status ins_files_glob(ins_files *files, const char *pattern, ins_error *err);
/* All regular files below a folder whose path below it matches one of the patterns (NULL = all). */
ins_status ins_files_walk(ins_files *files, const char *dir, const char *const *patterns, ins_error *err);
void ins_files_sort(ins_files *files);                               /* by path, duplicates removed */
bool ins_files_match(const char *path, const char *const *patterns); /* fnmatch on the whole path; NULL = all */

/* Append "file NAME SIZE SHA256\n" per file to *out and add the sizes to *bytes. */
ins_status ins_files_fingerprint(const ins_files *files, ins_str *out, uint64_t *bytes, ins_error *err);

/* ---- what readers of files share in their options ---- */
typedef struct ins_source {
    ins_opt_strings path;    /* glob patterns */
    ins_opt_strings package; /* Debian packages */
    const char *match;       /* files of the packages to read; NULL = the reader's own patterns */
    bool fetch;
} ins_source;

/* Resolve a source. wanted: the reader's patterns for the files of a package ("*.index"), ended by NULL. */
ins_status ins_source_files(const ins_source *source, const char *const *wanted, const ins_log *log, ins_files *out,
                            ins_error *err);
ins_status ins_source_fingerprint(const ins_source *source, const char *const *wanted, ins_str *out, uint64_t *bytes,
                                  ins_error *err);
/* check() of such readers: a path or a package must be given. */
void ins_source_check(const ins_source *source, const char *reader, ins_pos pos, ins_diag *diag);

#define INS_SOURCE_ROWS(options_type, member)                                                                          \
    {.name = "path",                                                                                                   \
     .type = INS_OPT_STRINGS,                                                                                          \
     .offset = offsetof(options_type, member.path),                                                                    \
     .aliases = "paths files",                                                                                         \
     .help = "Files to read: glob patterns; data:SET/... is looked up below $INSTAR_DATA."},                           \
        {.name = "package",                                                                                            \
         .type = INS_OPT_STRINGS,                                                                                      \
         .offset = offsetof(options_type, member.package),                                                             \
         .aliases = "packages",                                                                                        \
         .help = "Debian packages to read the files of: as installed, else downloaded and unpacked (with fetch)."},    \
        {.name = "match",                                                                                              \
         .type = INS_OPT_STRING,                                                                                       \
         .offset = offsetof(options_type, member.match),                                                               \
         .help = "Glob pattern for the packages' files, on their whole paths, instead of the reader's own patterns."}, \
    {                                                                                                                  \
        .name = "fetch", .type = INS_OPT_BOOL, .offset = offsetof(options_type, member.fetch), .def = "false",         \
        .help = "Download packages that are not installed, into the cache; nothing is installed, no root is needed."   \
    }

#endif
