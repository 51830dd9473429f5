/* apt's own index: which list files to read, and a stream over one of them whatever its compression. */
#ifndef INS_DATA_APTLISTS_H
#define INS_DATA_APTLISTS_H

#include "data/child.h"
#include "data/files.h"
#include "format/lines.h"

typedef struct ins_apt_source {
    ins_opt_strings path; /* Packages and Translation files; none = apt's lists */
    const char *origin;   /* only lists of archives with this Origin; NULL = all */
    const char *language; /* of the descriptions */
    bool fetch;
} ins_apt_source;

#define INS_APT_ROWS(options_type, member)                                                                             \
    {.name = "path",                                                                                                   \
     .type = INS_OPT_STRINGS,                                                                                          \
     .offset = offsetof(options_type, member.path),                                                                    \
     .aliases = "paths files",                                                                                         \
     .help = "Packages and Translation files (glob patterns); without it, the lists that apt has."},                   \
        {.name = "origin",                                                                                             \
         .type = INS_OPT_STRING,                                                                                       \
         .offset = offsetof(options_type, member.origin),                                                              \
         .help = "Only lists of archives with this Origin in their Release file, such as Debian."},                    \
        {.name = "language",                                                                                           \
         .type = INS_OPT_STRING,                                                                                       \
         .offset = offsetof(options_type, member.language),                                                            \
         .def = "en",                                                                                                  \
         .help = "Language of the descriptions; one other than en also gives the English ones as text_en, title_en."}, \
    {                                                                                                                  \
        .name = "fetch", .type = INS_OPT_BOOL, .offset = offsetof(options_type, member.fetch), .def = "false",         \
        .help = "Fetch the lists into the cache once and read them from there; the system's are left alone."           \
    }

/* The list files, sorted. INS_ENV with what to do when there are no descriptions. */
ins_status ins_apt_lists(const ins_apt_source *source, const ins_log *log, ins_files *out, ins_error *err);

/* Stream over a list; what format/lines.h does not read (.lz4, .xz, .bz2) comes through apt's helper. */
typedef struct ins_list_stream {
    ins_stream *stream;
    ins_child helper;
} ins_list_stream;
ins_status ins_list_open(const char *path, ins_list_stream *list, ins_error *err);
/* Close after reading to the end; fails when the helper did. */
ins_status ins_list_close(ins_list_stream *list, ins_error *err);
void ins_list_abort(ins_list_stream *list);

#endif
