/* Files of Debian packages: from the system where the package is installed, else from the package itself, downloaded
 * with apt-get and unpacked with dpkg-deb into the cache. Nothing is installed, and root is not needed. */
#ifndef INS_DATA_DEBPKG_H
#define INS_DATA_DEBPKG_H

#include "base/log.h"
#include "data/files.h"

/* Add the package's files that match (fnmatch on the path from /). A downloaded package's name, version and SHA-256 are
 * added to files->origin; once downloaded, it is used from the cache. INS_DATA when the package has no such file,
 * INS_ENV when it is not here and may not or cannot be fetched. */
ins_status ins_debpkg_files(const char *package, const char *const *patterns, bool fetch, const ins_log *log,
                            ins_files *files, ins_error *err);

/* Bring a private copy of apt's package lists up to date in `dir` (DIR/lists). languages: "en,da" for translated
 * descriptions, "none" for no descriptions. */
ins_status ins_apt_update(const char *dir, const char *languages, const ins_log *log, ins_error *err);

#endif
