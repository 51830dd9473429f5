/* Forgetting, transfer and steps to recover, from the metrics of the store. */
#include "recipe/derived.h"

#include <math.h>
#include <string.h>

#include "recipe/store_internal.h"

#define WORSE_SHARE 0.01

static bool gives_model(const ins_instance *instance) {
    const char *output = instance->definition->kind->output;
    return output && strstr(output, "model") != NULL;
}

/* The stage whose model this one starts from, or NULL. */
static const ins_instance *parent_of(const ins_recipe *recipe, const ins_instance *instance) {
    if (!gives_model(instance)) return NULL;
    for (int64_t i = 0; i < instance->n_inputs; i++)
        if (gives_model(&recipe->instances[instance->inputs[i]])) return &recipe->instances[instance->inputs[i]];
    return NULL;
}

/* The probe that a metric comes from: "bpb" of "bpb/near". */
static const ins_probe *probe_of(const char *metric) {
    char kind[64];
    size_t n = strcspn(metric, "/");
    if (n == 0 || n >= sizeof kind) return NULL;
    memcpy(kind, metric, n);
    kind[n] = '\0';
    return (const ins_probe *)ins_component_find(ins_family_find("probe"), kind);
}

typedef struct series {
    bool has_before, has_after, was_worse, recovered;
    double before, after, worst;
    int64_t recover_step;
} series;

static ins_status last_value(ins_store *store, const char *stage, const char *metric, bool *found, double *value,
                             ins_error *err) {
    sqlite3_stmt *statement = NULL;
    *found = false;
    INS_TRY(store_prepare(
        store, "SELECT value FROM metric WHERE stage=?1 AND name=?2 AND value NOT NULL ORDER BY step DESC LIMIT 1",
        &statement, err));
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, metric, -1, SQLITE_STATIC);
    if (sqlite3_step(statement) == SQLITE_ROW) {
        *found = true;
        *value = sqlite3_column_double(statement, 0);
    }
    sqlite3_finalize(statement);
    return INS_OK;
}

/* How much worse than `before`, as a share of it; direction +1 = lower is better. */
static double worse_share(double value, double before, int direction) {
    double scale = fabs(before) > 1e-12 ? fabs(before) : 1e-12;
    return direction * (value - before) / scale;
}

static void take_point(series *s, int64_t step, double value, int direction) {
    if (!s->has_before) {
        s->before = value;
        s->has_before = true;
    }
    if (!s->has_after || (direction != 0 && direction * (value - s->worst) > 0)) s->worst = value;
    s->after = value;
    s->has_after = true;
    bool worse = direction != 0 && worse_share(value, s->before, direction) > WORSE_SHARE;
    if (worse) {
        s->was_worse = true;
        s->recovered = false;
    } else if (s->was_worse && !s->recovered) {
        s->recovered = true;
        s->recover_step = step;
    }
}

static ins_status read_series(ins_store *store, const char *stage, const char *metric, int direction, series *s,
                              ins_error *err) {
    sqlite3_stmt *statement = NULL;
    INS_TRY(store_prepare(store,
                          "SELECT step,value FROM metric WHERE stage=?1 AND name=?2 AND value NOT NULL ORDER BY step",
                          &statement, err));
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, metric, -1, SQLITE_STATIC);
    while (sqlite3_step(statement) == SQLITE_ROW)
        take_point(s, sqlite3_column_int64(statement, 0), sqlite3_column_double(statement, 1), direction);
    sqlite3_finalize(statement);
    return INS_OK;
}

static ins_status put_row(ins_store *store, const char *stage, const char *parent, const char *metric,
                          const char *better, const series *s, ins_error *err) {
    sqlite3_stmt *statement = NULL;
    INS_TRY(store_prepare(store, "INSERT INTO derived VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9)", &statement, err));
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, parent, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, metric, -1, SQLITE_STATIC);
    sqlite3_bind_double(statement, 4, s->before);
    sqlite3_bind_double(statement, 5, s->after);
    sqlite3_bind_double(statement, 6, s->after - s->before);
    if (better) sqlite3_bind_text(statement, 7, better, -1, SQLITE_STATIC);
    if (better) sqlite3_bind_double(statement, 8, s->worst);
    if (better && (!s->was_worse || s->recovered))
        sqlite3_bind_int64(statement, 9, s->was_worse ? s->recover_step : -1);
    ins_status status = store_step(store, statement, err);
    sqlite3_finalize(statement);
    return status;
}

static ins_status derive_metric(ins_store *store, const char *stage, const char *parent, const char *metric,
                                ins_error *err) {
    const ins_probe *probe = probe_of(metric);
    size_t len = strlen(metric);
    if (!probe || (len > 3 && strcmp(metric + len - 3, ".se") == 0)) return INS_OK;
    int direction = !probe->better ? 0 : strcmp(probe->better, "lower") == 0 ? 1 : -1;
    series s = {0};
    INS_TRY(last_value(store, parent, metric, &s.has_before, &s.before, err));
    INS_TRY(read_series(store, stage, metric, direction, &s, err));
    return s.has_after ? put_row(store, stage, parent, metric, probe->better, &s, err) : INS_OK;
}

static ins_status derive_stage(ins_store *store, const char *stage, const char *parent, ins_error *err) {
    sqlite3_stmt *statement = NULL;
    ins_status status = INS_OK;
    INS_TRY(store_prepare(store, "SELECT DISTINCT name FROM metric WHERE stage=?1", &statement, err));
    sqlite3_bind_text(statement, 1, stage, -1, SQLITE_STATIC);
    while (status == INS_OK && sqlite3_step(statement) == SQLITE_ROW)
        status = derive_metric(store, stage, parent, (const char *)sqlite3_column_text(statement, 0), err);
    sqlite3_finalize(statement);
    return status;
}

ins_status ins_derived_compute(ins_store *store, const ins_recipe *recipe, ins_error *err) {
    INS_TRY(store_begin(store, err));
    INS_TRY(store_exec(store, "DELETE FROM derived", err));
    for (int64_t i = 0; i < recipe->n_instances; i++) {
        const ins_instance *parent = parent_of(recipe, &recipe->instances[i]);
        if (parent) INS_TRY(derive_stage(store, recipe->instances[i].name, parent->name, err));
    }
    return ins_store_flush(store, err);
}
