/* Recorded metrics as text, CSV and JSON. */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "recipe/store.h"

static const char *column_text(sqlite3_stmt *statement, int i) {
    const char *text = (const char *)sqlite3_column_text(statement, i);
    return text ? text : "";
}

static void csv_field(ins_str *out, const char *text) {
    if (!strpbrk(text, ",\"\n\r")) {
        ins_str_puts(out, text);
        return;
    }
    ins_str_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"') ins_str_putc(out, '"');
        ins_str_putc(out, *text);
    }
    ins_str_putc(out, '"');
}

/* One row of metric: stage, seed, step, tokens, name, value. */
static void put_metric(sqlite3_stmt *row, instar_format format, bool first, api_table *table, ins_str *out) {
    char value[32];
    bool known = sqlite3_column_type(row, 5) != SQLITE_NULL;
    ins_double_format(sqlite3_column_double(row, 5), value);
    if (format == INSTAR_CSV) {
        csv_field(out, column_text(row, 0));
        ins_str_printf(out, ",%lld,%lld,%lld,", (long long)sqlite3_column_int64(row, 1),
                       (long long)sqlite3_column_int64(row, 2), (long long)sqlite3_column_int64(row, 3));
        csv_field(out, column_text(row, 4));
        ins_str_printf(out, ",%s\n", known ? value : "");
    } else if (format == INSTAR_JSON) {
        ins_str_puts(out, first ? "\n{\"stage\":" : ",\n{\"stage\":");
        api_json_string(out, column_text(row, 0));
        ins_str_printf(
            out, ",\"seed\":%lld,\"step\":%lld,\"tokens\":%lld,\"name\":", (long long)sqlite3_column_int64(row, 1),
            (long long)sqlite3_column_int64(row, 2), (long long)sqlite3_column_int64(row, 3));
        api_json_string(out, column_text(row, 4));
        ins_str_puts(out, ",\"value\":");
        if (known)
            api_json_number(out, sqlite3_column_double(row, 5));
        else
            ins_str_puts(out, "null");
        ins_str_putc(out, '}');
    } else {
        api_cell(table, "%s", column_text(row, 0));
        api_cell(table, "%lld", (long long)sqlite3_column_int64(row, 2));
        api_cell(table, "%lld", (long long)sqlite3_column_int64(row, 3));
        api_cell(table, "%s", column_text(row, 4));
        api_cell(table, "%s", known ? value : "nan");
    }
}

static ins_status read_metrics(ins_store *store, const char *name_glob, const char *stage_glob, instar_format format,
                               ins_str *out, ins_error *err) {
    sqlite3_stmt *row = NULL;
    sqlite3 *db = ins_store_db(store);
    api_table table = api_table_new("lrrlr");
    bool first = true;
    if (sqlite3_prepare_v2(
            db,
            "SELECT m.stage,m.seed,m.step,m.tokens,m.name,m.value FROM metric m LEFT JOIN stage s ON s.name=m.stage"
            " ORDER BY s.position,m.stage,m.name,m.step",
            -1, &row, NULL) != SQLITE_OK)
        return INS_FAIL(err, INS_IO, "metrics.db can't be read: %s", sqlite3_errmsg(db));
    if (format == INSTAR_CSV) ins_str_puts(out, "stage,seed,step,tokens,name,value\n");
    if (format == INSTAR_JSON) ins_str_puts(out, "[");
    static const char *const heads[] = {"stage", "step", "tokens", "name", "value"};
    for (int i = 0; i < 5 && format == INSTAR_TEXT; i++) api_cell(&table, "%s", heads[i]);
    while (sqlite3_step(row) == SQLITE_ROW) {
        if (name_glob && fnmatch(name_glob, column_text(row, 4), 0) != 0) continue;
        if (stage_glob && strcmp(stage_glob, column_text(row, 0)) != 0 &&
            fnmatch(stage_glob, column_text(row, 0), 0) != 0)
            continue;
        put_metric(row, format, first, &table, out);
        first = false;
    }
    sqlite3_finalize(row);
    if (format == INSTAR_JSON) ins_str_puts(out, "]\n");
    if (format == INSTAR_TEXT) {
        api_table_print(&table, out);
    } else {
        ins_arena_free(table.arena);
    }
    return INS_OK;
}

instar_status instar_metrics(instar *session, const char *run_dir, const char *name_glob, const char *stage_glob,
                             instar_format format, char **text) {
    char path[PATH_MAX];
    ins_error err = {0};
    ins_str out = {0};
    ins_store *store = NULL;
    api_begin(session);
    ins_status status = ins_path_join(run_dir, "metrics.db", path, sizeof path, &err);
    if (status == INS_OK) status = ins_store_open(path, true, &store, &err);
    if (status == INS_OK) status = read_metrics(store, name_glob, stage_glob, format, &out, &err);
    ins_store_close(store);
    if (status == INS_OK) return api_give(session, &out, text);
    ins_str_free(&out);
    return api_end(session, status, &err);
}
