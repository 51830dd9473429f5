/* Package records of apt's index, joined with their descriptions. Shared by the readers `debian` and `package-qa`. */
#ifndef INS_DATA_PACKAGES_H
#define INS_DATA_PACKAGES_H

#include "base/mem.h"
#include "data/aptlists.h"

/* Texts are "" where the record has none. */
typedef struct ins_package {
    const char *name, *source, *version, *section, *maintainer, *homepage, *depends, *tags;
    const char *title, *text;       /* short and long description, in the language asked for */
    const char *title_en, *text_en; /* the English ones when that is another; else NULL */
} ins_package;

typedef struct ins_packages {
    ins_arena *arena;
    ins_package *items; /* sorted by name, one record a name */
    int64_t n, cap;
} ins_packages;

/* unwrap: lines of a paragraph become one line. Packages without a description in the language are left out. */
ins_status ins_packages_load(const ins_apt_source *source, bool unwrap, const ins_log *log, ins_packages *out,
                             ins_error *err);
void ins_packages_free(ins_packages *packages);
ins_status ins_packages_fingerprint(const ins_apt_source *source, ins_str *out, uint64_t *bytes, ins_error *err);

/* A control file's long description as text: leading spaces and the dots of empty lines are undone. Lines that are
 * indented or begin with a bullet stay lines of their own. */
void ins_package_text(const char *field, bool unwrap, ins_str *out);

#endif
