/* Stages, claims and other facts in the store, and looking metrics up. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "recipe/store_internal.h"

/* One row per instance; what was recorded about it stays. */
static ins_status put_instance(ins_store *store, const ins_instance *instance, int64_t position, ins_error *err) {
    sqlite3_stmt *statement = NULL;
    INS_TRY(store_prepare(
        store,
        "INSERT INTO stage(name,definition,position,kind,key,seed,state,cached) VALUES(?1,?2,?3,?4,?5,?6,"
        "'waiting',0) ON CONFLICT(name) DO UPDATE SET definition=?2, position=?3, kind=?4, key=?5, seed=?6,"
        " state=CASE WHEN complete_key=?5 THEN 'done' ELSE 'waiting' END, cached=complete_key IS ?5, error=NULL",
        &statement, err));
    sqlite3_bind_text(statement, 1, instance->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, instance->definition->name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, position);
    sqlite3_bind_text(statement, 4, instance->definition->kind->head.name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, instance->key, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 6, (sqlite3_int64)instance->seed);
    ins_status status = store_step(store, statement, err);
    sqlite3_finalize(statement);
    return status;
}

static ins_status put_links(ins_store *store, const ins_recipe *recipe, const ins_instance *instance, ins_error *err) {
    for (int64_t i = 0; i < instance->definition->n_axes; i++) {
        const char *texts[] = {instance->name, instance->definition->axes[i].name, instance->values[i], NULL};
        INS_TRY(store_run(store, "INSERT INTO axis VALUES(?1,?2,?3)", texts, err));
    }
    for (int64_t i = 0; i < instance->n_inputs; i++) {
        const char *texts[] = {instance->name, recipe->instances[instance->inputs[i]].name, instance->input_refs[i],
                               NULL};
        INS_TRY(store_run(store, "INSERT INTO edge VALUES(?1,?2,?3)", texts, err));
    }
    return INS_OK;
}

ins_status ins_store_set_recipe(ins_store *store, const ins_recipe *recipe, ins_error *err) {
    INS_TRY(store_begin(store, err));
    INS_TRY(store_exec(store,
                       "DELETE FROM axis; DELETE FROM edge; DELETE FROM claim; DELETE FROM derived;"
                       "CREATE TEMP TABLE IF NOT EXISTS wanted(name TEXT PRIMARY KEY); DELETE FROM wanted",
                       err));
    for (int64_t i = 0; i < recipe->n_instances; i++) {
        const char *name[] = {recipe->instances[i].name, NULL};
        INS_TRY(store_run(store, "INSERT INTO wanted VALUES(?1)", name, err));
        INS_TRY(put_instance(store, &recipe->instances[i], i, err));
        INS_TRY(put_links(store, recipe, &recipe->instances[i], err));
    }
    INS_TRY(store_exec(store,
                       "DELETE FROM metric WHERE stage NOT IN wanted; DELETE FROM sample WHERE stage NOT IN wanted;"
                       "DELETE FROM stage WHERE name NOT IN wanted;"
                       "DELETE FROM metric WHERE stage IN (SELECT name FROM stage WHERE complete_key IS NOT key);"
                       "DELETE FROM sample WHERE stage IN (SELECT name FROM stage WHERE complete_key IS NOT key);"
                       "UPDATE stage SET complete_key=NULL WHERE complete_key IS NOT key",
                       err));
    return ins_store_flush(store, err);
}

ins_status ins_store_info(ins_store *store, const char *name, const char *value, ins_error *err) {
    const char *texts[] = {name, value, NULL};
    INS_TRY(store_begin(store, err));
    return store_run(store, "INSERT INTO info VALUES(?1,?2) ON CONFLICT(name) DO UPDATE SET value=?2", texts, err);
}

ins_status ins_store_complete_key(ins_store *store, const char *stage, char key[65], ins_error *err) {
    sqlite3_stmt *statement = NULL;
    key[0] = '\0';
    INS_TRY(store_prepare(store, "SELECT complete_key FROM stage WHERE name=?1", &statement, err));
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(statement, 0);
        if (text && strlen(text) == 64) memcpy(key, text, 65);
    }
    sqlite3_finalize(statement);
    return INS_OK;
}

ins_status ins_store_stage_state(ins_store *store, const char *stage, const char *key, const char *state, bool cached,
                                 const ins_stage_result *result, const char *error, ins_error *err) {
    static const ins_stage_result nothing = {0};
    const ins_stage_result *r = result ? result : &nothing;
    sqlite3_stmt *statement = NULL;
    bool done = strcmp(state, "done") == 0;
    INS_TRY(store_begin(store, err));
    INS_TRY(store_prepare(store,
                          "UPDATE stage SET state=?2, cached=?3, seconds=?4, steps=?5, tokens=?6, flop=?7, mfu=?8,"
                          " tokens_per_s=?9, peak_bytes=?10, error=?11, complete_key=?12 WHERE name=?1",
                          &statement, err));
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, state, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 3, cached);
    sqlite3_bind_double(statement, 4, r->seconds);
    sqlite3_bind_int64(statement, 5, r->steps);
    sqlite3_bind_int64(statement, 6, r->tokens);
    sqlite3_bind_double(statement, 7, r->flop);
    sqlite3_bind_double(statement, 8, r->mfu);
    sqlite3_bind_double(statement, 9, r->tokens_per_s);
    sqlite3_bind_double(statement, 10, r->peak_bytes);
    if (error) sqlite3_bind_text(statement, 11, error, -1, SQLITE_STATIC);
    if (done) sqlite3_bind_text(statement, 12, key, -1, SQLITE_STATIC);
    ins_status status = store_step(store, statement, err);
    sqlite3_finalize(statement);
    return status == INS_OK ? ins_store_flush(store, err) : status;
}

static ins_status put_claim(ins_store *store, sqlite3_stmt *statement, const ins_claim_result *r, int64_t position,
                            ins_error *err) {
    sqlite3_bind_text(statement, 1, r->claim->id, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, position);
    sqlite3_bind_text(statement, 3, r->claim->text, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 4, r->claim->metric_text, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, ins_relation_word(r->claim->relation), -1, SQLITE_STATIC);
    if (r->has_value) sqlite3_bind_double(statement, 6, r->target);
    if (r->has_value) sqlite3_bind_double(statement, 7, r->value);
    if (r->has_interval) sqlite3_bind_double(statement, 8, r->low);
    if (r->has_interval) sqlite3_bind_double(statement, 9, r->high);
    sqlite3_bind_text(statement, 10, ins_verdict_word(r->verdict), -1, SQLITE_STATIC);
    if (r->reason[0]) sqlite3_bind_text(statement, 11, r->reason, -1, SQLITE_STATIC);
    return store_step(store, statement, err);
}

ins_status ins_store_set_claims(ins_store *store, const ins_claim_result *results, int64_t n, ins_error *err) {
    sqlite3_stmt *statement = NULL;
    INS_TRY(store_begin(store, err));
    INS_TRY(store_exec(store, "DELETE FROM claim", err));
    INS_TRY(store_prepare(store, "INSERT INTO claim VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)", &statement, err));
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) status = put_claim(store, statement, &results[i], i, err);
    sqlite3_finalize(statement);
    return status == INS_OK ? ins_store_flush(store, err) : status;
}

/* ---- metrics by name ---- */

static bool has_name(ins_store *store, const char *stage, const char *name) {
    sqlite3_stmt *statement = NULL;
    bool found = false;
    if (store_prepare(store, "SELECT 1 FROM metric WHERE stage=?1 AND name=?2 LIMIT 1", &statement, NULL) != INS_OK)
        return false;
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
    found = sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_finalize(statement);
    return found;
}

static bool ends_with_part(const char *name, const char *part) {
    size_t n = strlen(name), k = strlen(part);
    return n > k + 1 && name[n - k - 1] == '/' && strcmp(name + n - k, part) == 0;
}

/* What `name` means for this stage: itself, or the only metric called ".../name". Else false with a reason. */
static bool resolve_name(ins_store *store, const char *stage, const char *name, char full[160], char reason[256]) {
    snprintf(full, 160, "%s", name);
    if (has_name(store, stage, name)) return true;
    sqlite3_stmt *statement = NULL;
    const char *near[64];
    char texts[64][160];
    int n = 0, n_ends = 0;
    if (store_prepare(store, "SELECT DISTINCT name FROM metric WHERE stage=?1", &statement, NULL) != INS_OK)
        return false;
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    while (sqlite3_step(statement) == SQLITE_ROW) {
        const char *stored = (const char *)sqlite3_column_text(statement, 0);
        if (!stored) continue;
        if (ends_with_part(stored, name) && n_ends++ == 0) snprintf(full, 160, "%s", stored);
        if (n == 64) continue;
        snprintf(texts[n], sizeof texts[n], "%s", stored);
        near[n] = texts[n];
        n++;
    }
    sqlite3_finalize(statement);
    if (n_ends == 1) return true;
    const char *nearest = ins_nearest_name(name, near, n);
    if (n_ends > 1)
        snprintf(reason, 256, "'%.60s' of '%.60s' is not clear: several metrics end in it, such as '%.60s'", name,
                 stage, full);
    else if (n == 0)
        snprintf(reason, 256, "the stage '%.120s' has recorded no metrics", stage);
    else
        snprintf(reason, 256, "the stage '%.60s' has no metric '%.60s'%s%.60s%s", stage, name,
                 nearest ? " (did you mean '" : "", nearest ? nearest : "", nearest ? "'?)" : "");
    return false;
}

static const char *const look_sql[] = {
    [INS_AT_LAST] = "SELECT step,value FROM metric WHERE stage=?1 AND name=?2 ORDER BY step DESC LIMIT 1",
    [INS_AT_FIRST] = "SELECT step,value FROM metric WHERE stage=?1 AND name=?2 ORDER BY step LIMIT 1",
    [INS_AT_MIN] =
        "SELECT step,value FROM metric WHERE stage=?1 AND name=?2 AND value NOT NULL ORDER BY value,step LIMIT 1",
    [INS_AT_MAX] =
        "SELECT step,value FROM metric WHERE stage=?1 AND name=?2 AND value NOT NULL ORDER BY value DESC,step LIMIT 1",
    [INS_AT_STEP] = "SELECT step,value FROM metric WHERE stage=?1 AND name=?2 AND step=?3",
};

static ins_status look_row(ins_store *store, const char *stage, const char *name, ins_metric_at at, int64_t *step,
                           bool *found, double *value, ins_error *err) {
    sqlite3_stmt *statement = NULL;
    *found = false;
    INS_TRY(store_prepare(store, look_sql[at], &statement, err));
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
    if (at == INS_AT_STEP) sqlite3_bind_int64(statement, 3, *step);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        *found = true;
        *step = sqlite3_column_int64(statement, 0);
        *value = sqlite3_column_type(statement, 1) == SQLITE_NULL ? (double)NAN : sqlite3_column_double(statement, 1);
    }
    sqlite3_finalize(statement);
    return INS_OK;
}

static ins_status look(void *arg, const char *stage, const char *name, ins_metric_at at, int64_t step, bool *found,
                       double *value, double *se, char reason[256], ins_error *err) {
    ins_store *store = arg;
    char full[160], error_name[170];
    bool has_error = false;
    *found = false;
    *se = (double)NAN;
    if (!resolve_name(store, stage, name, full, reason)) return INS_OK;
    INS_TRY(look_row(store, stage, full, at, &step, found, value, err));
    if (!*found) {
        snprintf(reason, 256, "the stage '%.80s' has no '%.80s' at step %lld", stage, full, (long long)step);
        return INS_OK;
    }
    snprintf(error_name, sizeof error_name, "%s.se", full);
    double stored = 0;
    INS_TRY(look_row(store, stage, error_name, INS_AT_STEP, &step, &has_error, &stored, err));
    if (has_error) *se = stored;
    return INS_OK;
}

static ins_status is_complete(void *arg, const char *stage, bool *complete, ins_error *err) {
    char key[65];
    INS_TRY(ins_store_complete_key(arg, stage, key, err));
    *complete = key[0] != '\0';
    return INS_OK;
}

ins_metric_source ins_store_source(ins_store *store) {
    return (ins_metric_source){store, look, is_complete};
}
