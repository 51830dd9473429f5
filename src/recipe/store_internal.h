/* Shared by the files of the store. */
#ifndef INS_RECIPE_STORE_INTERNAL_H
#define INS_RECIPE_STORE_INTERNAL_H

#include "recipe/store.h"

struct ins_store {
    sqlite3 *db;
    sqlite3_stmt *put_value, *put_text;
    bool in_transaction;
    double last_commit;
};

ins_status store_fail(const ins_store *store, ins_error *err, const char *doing);
/* One statement without results. */
ins_status store_exec(ins_store *store, const char *sql, ins_error *err);
ins_status store_prepare(ins_store *store, const char *sql, sqlite3_stmt **out, ins_error *err);
/* Run a prepared statement to its end, reset it and forget its values. */
ins_status store_step(ins_store *store, sqlite3_stmt *statement, ins_error *err);
/* prepare + bind the texts (NULL-ended) + step + finalize. */
ins_status store_run(ins_store *store, const char *sql, const char *const *texts, ins_error *err);
/* Open a transaction if none is, so that a batch of changes costs one sync. */
ins_status store_begin(ins_store *store, ins_error *err);

#endif
