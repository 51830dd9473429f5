/* Folders outside the recipe: the cache for downloads and the folder of public data sets. The only place of this room
 * that reads the environment. */
#ifndef INS_DATA_PLACES_H
#define INS_DATA_PLACES_H

#include "base/status.h"

/* CACHE/downloads/<name>; CACHE = $INSTAR_CACHE, $XDG_CACHE_HOME/instar or ~/.cache/instar. */
ins_status ins_place_downloads_path(const char *name, char *buf, size_t size, ins_error *err);
/* The same, made if need be. */
ins_status ins_place_downloads(const char *name, char *buf, size_t size, ins_error *err);

/* "data:ID/REST" becomes $INSTAR_DATA/ID/REST; any other path stays as it is. INS_ENV when INSTAR_DATA is not set or
 * has no folder ID. */
ins_status ins_place_resolve(const char *path, char *buf, size_t size, ins_error *err);

#endif
