/* Opening the store, and writing values into it. */
#include "recipe/store_internal.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/mem.h"

#define COMMIT_SECONDS 1.0

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS metric(stage TEXT NOT NULL, seed INTEGER, step INTEGER NOT NULL, tokens INTEGER,"
    " name TEXT NOT NULL, value REAL, PRIMARY KEY(stage, name, step)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS sample(stage TEXT NOT NULL, seed INTEGER, step INTEGER NOT NULL, tokens INTEGER,"
    " name TEXT NOT NULL, text TEXT);"
    "CREATE INDEX IF NOT EXISTS sample_stage ON sample(stage, step);"
    "CREATE TABLE IF NOT EXISTS stage(name TEXT PRIMARY KEY, definition TEXT, position INTEGER, kind TEXT, key TEXT,"
    " seed INTEGER, state TEXT, cached INTEGER, seconds REAL, steps INTEGER, tokens INTEGER, flop REAL, mfu REAL,"
    " tokens_per_s REAL, peak_bytes REAL, error TEXT, complete_key TEXT);"
    "CREATE TABLE IF NOT EXISTS axis(stage TEXT, axis TEXT, value TEXT);"
    "CREATE TABLE IF NOT EXISTS edge(stage TEXT, input TEXT, ref TEXT);"
    "CREATE TABLE IF NOT EXISTS claim(id TEXT, position INTEGER, text TEXT, metric TEXT, relation TEXT, target REAL,"
    " value REAL, low REAL, high REAL, verdict TEXT, reason TEXT);"
    "CREATE TABLE IF NOT EXISTS derived(stage TEXT, parent TEXT, metric TEXT, before REAL, after REAL, change REAL,"
    " better TEXT, worst REAL, recover_step INTEGER);"
    "CREATE TABLE IF NOT EXISTS info(name TEXT PRIMARY KEY, value TEXT);";

ins_status store_fail(const ins_store *store, ins_error *err, const char *doing) {
    int code = store->db ? sqlite3_errcode(store->db) : SQLITE_NOMEM;
    ins_status status = (code & 0xff) == SQLITE_NOMEM ? INS_NOMEM : INS_IO;
    INS_FAIL(err, status, "the run's store failed while %s: %s", doing,
             store->db ? sqlite3_errmsg(store->db) : "out of memory");
    if ((code & 0xff) == SQLITE_FULL || (code & 0xff) == SQLITE_IOERR)
        ins_error_hint(err, "the disk may be full: free some space, then run the same command again");
    else if ((code & 0xff) == SQLITE_BUSY)
        ins_error_hint(err, "another program holds metrics.db: close it, then run the same command again");
    return status;
}

ins_status store_exec(ins_store *store, const char *sql, ins_error *err) {
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? INS_OK : store_fail(store, err, "writing");
}

ins_status store_prepare(ins_store *store, const char *sql, sqlite3_stmt **out, ins_error *err) {
    return sqlite3_prepare_v2(store->db, sql, -1, out, NULL) == SQLITE_OK
               ? INS_OK
               : store_fail(store, err, "preparing a statement");
}

ins_status store_step(ins_store *store, sqlite3_stmt *statement, ins_error *err) {
    int code;
    do code = sqlite3_step(statement);
    while (code == SQLITE_ROW);
    ins_status status = code == SQLITE_DONE ? INS_OK : store_fail(store, err, "writing");
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

ins_status store_run(ins_store *store, const char *sql, const char *const *texts, ins_error *err) {
    sqlite3_stmt *statement = NULL;
    INS_TRY(store_prepare(store, sql, &statement, err));
    for (int i = 0; texts && texts[i]; i++) sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_TRANSIENT);
    ins_status status = store_step(store, statement, err);
    sqlite3_finalize(statement);
    return status;
}

ins_status store_begin(ins_store *store, ins_error *err) {
    if (store->in_transaction) return INS_OK;
    INS_TRY(store_exec(store, "BEGIN", err));
    store->in_transaction = true;
    store->last_commit = ins_now();
    return INS_OK;
}

static ins_status commit(ins_store *store, ins_error *err) {
    if (!store->in_transaction) return INS_OK;
    INS_TRY(store_exec(store, "COMMIT", err));
    store->in_transaction = false;
    return INS_OK;
}

static ins_status commit_if_due(ins_store *store, ins_error *err) {
    return ins_now() - store->last_commit < COMMIT_SECONDS ? INS_OK : commit(store, err);
}

static int read_version(ins_store *store) {
    sqlite3_stmt *statement = NULL;
    int version = -1;
    if (sqlite3_prepare_v2(store->db, "PRAGMA user_version", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        version = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    return version;
}

/* Tables of this version, in a file that is new or of this version. */
static ins_status prepare_tables(ins_store *store, ins_error *err) {
    char version[64];
    snprintf(version, sizeof version, "PRAGMA user_version=%d", INS_STORE_VERSION);
    INS_TRY(
        store_exec(store, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=2000", err));
    INS_TRY(store_exec(store, schema, err));
    INS_TRY(store_exec(store, version, err));
    INS_TRY(store_prepare(store,
                          "INSERT INTO metric VALUES(?1,?2,?3,?4,?5,?6) ON CONFLICT(stage,name,step) DO UPDATE SET"
                          " value=excluded.value, tokens=excluded.tokens, seed=excluded.seed",
                          &store->put_value, err));
    return store_prepare(store, "INSERT INTO sample VALUES(?1,?2,?3,?4,?5,?6)", &store->put_text, err);
}

static ins_status open_db(const char *path, bool read_only, ins_store *store, ins_error *err) {
    int flags = read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(path, &store->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return store_fail(store, err, "opening it");
    sqlite3_busy_timeout(store->db, 5000);
    sqlite3_extended_result_codes(store->db, 1);
    return INS_OK;
}

/* A store that can't be read is a loss of nothing: it is made again from the stages' own records. */
static ins_status move_aside(const char *path, ins_error *err) {
    char to[PATH_MAX];
    static const char *const parts[] = {"-wal", "-shm"};
    int n = snprintf(to, sizeof to, "%s.old-%lld", path, (long long)time(NULL));
    if (n <= 0 || n >= PATH_MAX) return INS_FAIL(err, INS_ENV, "the path of the store is too long: %s", path);
    INS_TRY(ins_rename(path, to, err));
    for (int i = 0; i < 2; i++) {
        char side[PATH_MAX];
        n = snprintf(side, sizeof side, "%s%s", path, parts[i]);
        if (n > 0 && n < PATH_MAX) remove(side);
    }
    return INS_OK;
}

ins_status ins_store_open(const char *path, bool read_only, ins_store **out, ins_error *err) {
    ins_store *store = ins_calloc(1, sizeof *store);
    if (!store) return INS_FAIL(err, INS_NOMEM, "out of memory while opening the run's store");
    if (read_only && !ins_file_exists(path)) {
        ins_free(store);
        INS_FAIL(err, INS_IO, "there is no store '%s'", path);
        ins_error_hint(err, "give the folder of a run, such as runs/first-light");
        return INS_IO;
    }
    bool existed = ins_file_exists(path);
    ins_status status = open_db(path, read_only, store, err);
    if (status == INS_OK && existed && !read_only) {
        int version = read_version(store);
        if (version != INS_STORE_VERSION && version != 0) {
            sqlite3_close(store->db);
            store->db = NULL;
            status = move_aside(path, err);
            if (status == INS_OK) status = open_db(path, false, store, err);
        }
    }
    if (status == INS_OK && !read_only) status = prepare_tables(store, err);
    if (status != INS_OK) {
        ins_store_close(store);
        return status;
    }
    *out = store;
    return INS_OK;
}

void ins_store_close(ins_store *store) {
    if (!store) return;
    if (store->db) commit(store, NULL);
    sqlite3_finalize(store->put_value);
    sqlite3_finalize(store->put_text);
    sqlite3_close(store->db);
    ins_free(store);
}

ins_status ins_store_flush(ins_store *store, ins_error *err) {
    return commit(store, err);
}

sqlite3 *ins_store_db(ins_store *store) {
    return store->db;
}

/* The five columns that values and texts share. */
static void bind_head(sqlite3_stmt *statement, const char *stage, uint64_t seed, int64_t step, int64_t tokens,
                      const char *name) {
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (sqlite3_int64)seed);
    sqlite3_bind_int64(statement, 3, step);
    sqlite3_bind_int64(statement, 4, tokens);
    sqlite3_bind_text(statement, 5, name, -1, SQLITE_STATIC);
}

ins_status ins_store_value(ins_store *store, const char *stage, uint64_t seed, int64_t step, int64_t tokens,
                           const char *name, double value, ins_error *err) {
    INS_TRY(store_begin(store, err));
    bind_head(store->put_value, stage, seed, step, tokens, name);
    if (!isnan(value)) sqlite3_bind_double(store->put_value, 6, value); /* else NULL */
    INS_TRY(store_step(store, store->put_value, err));
    return commit_if_due(store, err);
}

ins_status ins_store_text(ins_store *store, const char *stage, uint64_t seed, int64_t step, int64_t tokens,
                          const char *name, const char *text, ins_error *err) {
    INS_TRY(store_begin(store, err));
    bind_head(store->put_text, stage, seed, step, tokens, name);
    sqlite3_bind_text(store->put_text, 6, text, -1, SQLITE_STATIC);
    INS_TRY(store_step(store, store->put_text, err));
    return commit_if_due(store, err);
}

static ins_status delete_after(ins_store *store, const char *sql, const char *stage, int64_t step, ins_error *err) {
    sqlite3_stmt *statement = NULL;
    INS_TRY(store_prepare(store, sql, &statement, err));
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, step);
    ins_status status = store_step(store, statement, err);
    sqlite3_finalize(statement);
    return status;
}

ins_status ins_store_truncate(ins_store *store, const char *stage, int64_t step, ins_error *err) {
    INS_TRY(store_begin(store, err));
    INS_TRY(delete_after(store, "DELETE FROM metric WHERE stage=?1 AND step>?2", stage, step, err));
    return delete_after(store, "DELETE FROM sample WHERE stage=?1 AND step>?2", stage, step, err);
}
