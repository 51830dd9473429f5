/* Files: whole reads with caps, mmap, durable atomic writes, directories. */
#ifndef INS_BASE_FILE_H
#define INS_BASE_FILE_H

#include "base/status.h"
#include "base/str.h"

bool ins_file_exists(const char *path);
bool ins_dir_exists(const char *path);
ins_status ins_file_size(const char *path, uint64_t *size, ins_error *err);

/* Whole file into *out (appended). INS_DATA when larger than max_bytes. */
ins_status ins_file_read(const char *path, uint64_t max_bytes, ins_str *out, ins_error *err);

/* temp + write + fsync + rename + fsync(dir): the path has either the old or the new bytes, never a mixture. */
ins_status ins_file_write_atomic(const char *path, const void *data, size_t n, ins_error *err);

/* Same for content written in pieces. On failure or abort the temporary is removed. */
typedef struct ins_writer ins_writer;
ins_status ins_writer_open(const char *path, ins_writer **out, ins_error *err);
ins_status ins_writer_write(ins_writer *w, const void *data, size_t n, ins_error *err);
uint64_t ins_writer_offset(const ins_writer *w);
ins_status ins_writer_commit(ins_writer *w, char sha256_hex[65], ins_error *err); /* frees w; sha256_hex may be NULL */
void ins_writer_abort(ins_writer *w);                                             /* frees w; NULL is fine */

typedef struct ins_map {
    const unsigned char *data; /* NULL when size 0 */
    size_t size;
} ins_map;
ins_status ins_map_open(const char *path, ins_map *out, ins_error *err); /* read-only, shared */
void ins_map_close(ins_map *map);

ins_status ins_dir_make(const char *path, ins_error *err);               /* mkdir -p */
ins_status ins_dir_remove(const char *path, ins_error *err);             /* rm -r; absent is fine */
ins_status ins_dir_sync(const char *path, ins_error *err);               /* fsync a directory */
ins_status ins_rename(const char *from, const char *to, ins_error *err); /* rename + fsync of the parent */
/* Sorted names (not "." and ".."), malloc'd; free with ins_names_free. */
ins_status ins_dir_list(const char *path, char ***names, int64_t *n, ins_error *err);
void ins_names_free(char **names, int64_t n);

/* Remove what writers of a killed process left in the folder (".NAME.tmp-..." files). Only while nobody else writes
 * there: take a lock first. *n_removed may be NULL. */
ins_status ins_dir_sweep(const char *path, int64_t *n_removed, ins_error *err);
/* Free bytes for this user on the disk that holds `path` (which must exist). */
ins_status ins_disk_free(const char *path, uint64_t *bytes, ins_error *err);

/* An advisory lock on a file that is made if needed and stays behind. It ends with the process, however that ends.
 * INS_ENV when another process holds it and wait is false. */
typedef struct ins_lock {
    int fd;
} ins_lock;
ins_status ins_lock_take(const char *path, bool wait, ins_lock *out, ins_error *err);
void ins_lock_release(ins_lock *lock);

/* path_join("x/", "y") = "x/y"; an absolute second part wins. Into buf of PATH_MAX; INS_USAGE if too long. */
ins_status ins_path_join(const char *dir, const char *name, char *buf, size_t size, ins_error *err);
const char *ins_path_base(const char *path);

/* Seconds on a clock that only goes forward. */
double ins_now(void);

#endif
