/* The store of a run: RUN/metrics.db, SQLite in WAL mode, so that others read while the run writes.
 *
 *   metric  (stage, seed, step, tokens, name, value)       one row per stage, name and step; NAME.se = standard error
 *   sample  (stage, seed, step, tokens, name, text)
 *   stage   (name, definition, position, kind, key, seed, state, cached, seconds, steps, tokens, flop, mfu,
 * tokens_per_s, peak_bytes, error)                            state: waiting running done failed interrupted skipped
 *   axis    (stage, axis, value)                           "more[arm=with,seed=1]": arm with, seed 1
 *   edge    (stage, input, ref)                            the graph of the recipe
 *   claim   (id, position, text, metric, relation, target, value, low, high, verdict, reason)
 *   derived (stage, parent, metric, before, after, change, better, worst, recover_step)
 *                                                          forgetting and transfer: see derived.h
 *   info    (name, value)                                  recipe, seed, machine, times
 *
 * `stage` columns hold full instance names.
 */
#ifndef INS_RECIPE_STORE_H
#define INS_RECIPE_STORE_H

#include <sqlite3.h>

#include "recipe/claim.h"
#include "recipe/recipe.h"

#define INS_STORE_VERSION 1

typedef struct ins_store ins_store;

/* Makes the file and tables, or opens them. A file of another version is moved aside. read_only: INS_IO when there is
 * none. */
ins_status ins_store_open(const char *path, bool read_only, ins_store **out, ins_error *err);
void ins_store_close(ins_store *store); /* commits; NULL is fine */
/* Make everything durable. Values are otherwise committed about once a second. */
ins_status ins_store_flush(ins_store *store, ins_error *err);
sqlite3 *ins_store_db(ins_store *store); /* for queries by the report */

/* The recipe's stages, axes and edges; stages that are not in it any more are forgotten with their metrics, and so
 * are metrics recorded under another key or not to the end. */
ins_status ins_store_set_recipe(ins_store *store, const ins_recipe *recipe, ins_error *err);
ins_status ins_store_info(ins_store *store, const char *name, const char *value, ins_error *err);

/* Key under which the stage's metrics were recorded to the end, "" when they were not. */
ins_status ins_store_complete_key(ins_store *store, const char *stage, char key[65], ins_error *err);
ins_status ins_store_stage_state(ins_store *store, const char *stage, const char *key, const char *state, bool cached,
                                 const ins_stage_result *result, const char *error, ins_error *err);

ins_status ins_store_value(ins_store *store, const char *stage, uint64_t seed, int64_t step, int64_t tokens,
                           const char *name, double value, ins_error *err);
ins_status ins_store_text(ins_store *store, const char *stage, uint64_t seed, int64_t step, int64_t tokens,
                          const char *name, const char *text, ins_error *err);
/* Forget what a stage recorded for steps after `step` (-1 = everything). */
ins_status ins_store_truncate(ins_store *store, const char *stage, int64_t step, ins_error *err);

ins_status ins_store_set_claims(ins_store *store, const ins_claim_result *results, int64_t n, ins_error *err);

/* Metric values for claims. A name that is not stored exactly means the only stored name that ends in "/NAME". */
ins_metric_source ins_store_source(ins_store *store);

#endif
