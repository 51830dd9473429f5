/* The cache: one folder per content key.
 *
 *   ROOT/ab/abcd.../            complete: what the stage left, and manifest.json, written last
 *   ROOT/ab/abcd....partial/    being made, or left by a process that died: the stage resumes in it
 *   ROOT/ab/abcd....lock        held with flock by the process that makes it; says who
 *   ROOT/damaged/...            entries whose files do not fit their manifest, moved out of the way
 *
 * An entry is complete when its manifest parses and every file it lists has the listed size. Hashes are checked by
 * ins_cache_verify: by `instar doctor --cache`, and by a run before a stage that has to run reads an entry.
 */
#ifndef INS_RECIPE_CACHE_H
#define INS_RECIPE_CACHE_H

#include <limits.h>

#include "base/log.h"
#include "format/json.h"
#include "stage/stage.h"

typedef struct ins_cache {
    char root[PATH_MAX];
} ins_cache;

/* Makes the folder. INS_ENV with a hint when it can't be read and written. */
ins_status ins_cache_open(const char *root, ins_cache *out, ins_error *err);

/* Folder of a key's complete entry, of its partial one. */
ins_status ins_cache_path(const ins_cache *cache, const char *key, bool partial, char path[PATH_MAX], ins_error *err);

/* *manifest is the entry's (owned by the caller), or NULL when there is no complete entry. A damaged one is moved aside
 * with a warning and counts as absent. */
ins_status ins_cache_look(const ins_cache *cache, const char *key, const ins_log *log, json_t **manifest,
                          ins_error *err);
bool ins_cache_has_partial(const ins_cache *cache, const char *key);

/* Compare hashes of all files with the manifest; at most max_bytes are read (the rest is left unchecked). false with a
 * reason when a file differs. */
ins_status ins_cache_verify(const ins_cache *cache, const char *key, uint64_t max_bytes, bool *ok, char reason[256],
                            ins_error *err);
ins_status ins_cache_move_aside(const ins_cache *cache, const char *key, const char *reason, const ins_log *log,
                                ins_error *err);

/* All keys with a complete manifest, sorted; free with ins_names_free. */
ins_status ins_cache_keys(const ins_cache *cache, char ***keys, int64_t *n, ins_error *err);
/* Manifest alone, without looking at the files. INS_DATA when there is none or it does not parse. */
ins_status ins_cache_manifest(const ins_cache *cache, const char *key, json_t **manifest, ins_error *err);

/* The right to make an entry. */
typedef struct ins_cache_lock {
    int fd; /* -1 = none */
    char path[PATH_MAX];
} ins_cache_lock;

/* Waits for another process that makes the same entry, saying so; *stop ends the wait with INS_INTERRUPTED. */
ins_status ins_cache_lock_take(const ins_cache *cache, const char *key, const volatile int *stop, const ins_log *log,
                               ins_cache_lock *lock, ins_error *err);
void ins_cache_lock_drop(ins_cache_lock *lock);

/* Under the lock. begin: makes (or keeps) the partial folder, without the temporary files of a
 * process that was killed. finish: hashes the files, completes `manifest` with
 * "files", writes it last and renames the folder. */
ins_status ins_cache_begin(const ins_cache *cache, const char *key, char dir[PATH_MAX], ins_error *err);
ins_status ins_cache_finish(const ins_cache *cache, const char *key, json_t *manifest, ins_error *err);

/* Lists all files under dir as [{"path","bytes","sha256"}] or {"path","link"}, sorted by path. */
ins_status ins_tree_list(const char *dir, json_t **files, ins_error *err);

#endif
