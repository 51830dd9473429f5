/* The report of a run: see report.h. The page is a template with the data as one JSON document inside; what it looks
 * like is in page.html, page.css and page*.js. */
#include "report/report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "recipe/store.h"

#define ASSET(name)                                                                                                    \
    extern const unsigned char ins_asset_##name[];                                                                     \
    extern const unsigned long ins_asset_##name##_size;
ASSET(page_html)
ASSET(page_css)
ASSET(page_data_js)
ASSET(page_pipeline_js)
ASSET(page_js)
ASSET(chart_js)
#undef ASSET

/* ---- JSON from queries ---- */

/* A JSON string that may also stand inside <script>: '<' is escaped, so no "</script>" or "<!--" can end it. */
static void put_string(ins_str *out, const char *text, size_t n) {
    ins_str escaped = {0};
    ins_str_json_escape(&escaped, text, n);
    ins_str_putc(out, '"');
    for (size_t i = 0; i < escaped.len; i++) {
        if (escaped.data[i] == '<') {
            ins_str_puts(out, "\\u003c");
        } else {
            ins_str_putc(out, escaped.data[i]);
        }
    }
    ins_str_putc(out, '"');
    out->oom = out->oom || escaped.oom;
    ins_str_free(&escaped);
}

static void put_number(ins_str *out, double value) {
    if (isfinite(value)) {
        ins_str_printf(out, "%.7g", value);
    } else {
        ins_str_puts(out, "null");
    }
}

static void put_column(ins_str *out, sqlite3_stmt *query, int column) {
    switch (sqlite3_column_type(query, column)) {
    case SQLITE_INTEGER:
        ins_str_printf(out, "%lld", (long long)sqlite3_column_int64(query, column));
        break;
    case SQLITE_FLOAT:
        put_number(out, sqlite3_column_double(query, column));
        break;
    case SQLITE_NULL:
        ins_str_puts(out, "null");
        break;
    default:
        put_string(out, (const char *)sqlite3_column_text(query, column), (size_t)sqlite3_column_bytes(query, column));
    }
}

static ins_status query_failed(sqlite3 *db, ins_error *err) {
    return INS_FAIL(err, INS_DATA, "metrics.db can't be read: %s", sqlite3_errmsg(db));
}

/* "name":[{column: value, ...}, ...], */
static ins_status put_table(ins_str *out, sqlite3 *db, const char *name, const char *sql, ins_error *err) {
    sqlite3_stmt *query = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &query, NULL) != SQLITE_OK) return query_failed(db, err);
    ins_str_printf(out, "\"%s\":[", name);
    int code;
    for (int row = 0; (code = sqlite3_step(query)) == SQLITE_ROW; row++) {
        ins_str_puts(out, row ? ",{" : "{");
        for (int i = 0; i < sqlite3_column_count(query); i++) {
            ins_str_printf(out, "%s\"%s\":", i ? "," : "", sqlite3_column_name(query, i));
            put_column(out, query, i);
        }
        ins_str_putc(out, '}');
    }
    ins_str_puts(out, "],\n");
    sqlite3_finalize(query);
    return code == SQLITE_DONE ? INS_OK : query_failed(db, err);
}

/* One of a series' three lists is collected while the rows go by: steps, tokens, values. */
typedef struct series_lists {
    ins_str steps, tokens, values;
} series_lists;

static void end_series(ins_str *out, series_lists *s) {
    if (s->steps.len > 0) {
        ins_str_printf(out, "\"step\":[%s],\"tokens\":[%s],\"value\":[%s]}", s->steps.data, s->tokens.data,
                       s->values.data);
    }
    out->oom = out->oom || s->steps.oom || s->tokens.oom || s->values.oom;
    ins_str_clear(&s->steps);
    ins_str_clear(&s->tokens);
    ins_str_clear(&s->values);
}

/* "series":[{"stage","name","step":[..],"tokens":[..],"value":[..]}, ...], */
static ins_status put_series(ins_str *out, sqlite3 *db, ins_error *err) {
    static const char sql[] =
        "SELECT m.stage, m.name, m.step, m.tokens, m.value FROM metric m JOIN stage s ON s.name = m.stage "
        "ORDER BY s.position, m.stage, m.name, m.step";
    sqlite3_stmt *query = NULL;
    series_lists lists = {0};
    ins_str current = {0}, next = {0};
    if (sqlite3_prepare_v2(db, sql, -1, &query, NULL) != SQLITE_OK) return query_failed(db, err);
    ins_str_puts(out, "\"series\":[");
    int code, n = 0;
    while ((code = sqlite3_step(query)) == SQLITE_ROW) {
        ins_str_clear(&next);
        ins_str_puts(&next, "{\"stage\":");
        put_column(&next, query, 0);
        ins_str_puts(&next, ",\"name\":");
        put_column(&next, query, 1);
        if (!current.data || strcmp(current.data, next.data) != 0) {
            end_series(out, &lists);
            ins_str_printf(out, "%s%s,", n++ ? ",\n" : "", next.data);
            ins_str_clear(&current);
            ins_str_puts(&current, next.data);
        }
        const char *comma = lists.steps.len ? "," : "";
        ins_str_printf(&lists.steps, "%s%lld", comma, (long long)sqlite3_column_int64(query, 2));
        ins_str_printf(&lists.tokens, "%s%lld", comma, (long long)sqlite3_column_int64(query, 3));
        ins_str_puts(&lists.values, comma);
        if (sqlite3_column_type(query, 4) == SQLITE_NULL) {
            ins_str_puts(&lists.values, "null");
        } else {
            put_number(&lists.values, sqlite3_column_double(query, 4));
        }
    }
    end_series(out, &lists);
    ins_str_puts(out, "],\n");
    sqlite3_finalize(query);
    ins_str_free(&lists.steps);
    ins_str_free(&lists.tokens);
    ins_str_free(&lists.values);
    ins_str_free(&current);
    ins_str_free(&next);
    return code == SQLITE_DONE ? INS_OK : query_failed(db, err);
}

static ins_status put_tables(ins_str *out, sqlite3 *db, ins_error *err) {
    INS_TRY(put_table(out, db, "info", "SELECT name, value FROM info", err));
    INS_TRY(put_table(out, db, "stages",
                      "SELECT name, definition, kind, key, seed, state, cached, seconds, steps, tokens, flop, mfu, "
                      "tokens_per_s, peak_bytes, error FROM stage ORDER BY position",
                      err));
    INS_TRY(put_table(out, db, "axes", "SELECT stage, axis, value FROM axis", err));
    INS_TRY(put_table(out, db, "edges", "SELECT stage, input FROM edge", err));
    INS_TRY(put_table(
        out, db, "claims",
        "SELECT id, text, metric, relation, target, value, low, high, verdict, reason FROM claim ORDER BY position",
        err));
    INS_TRY(put_table(out, db, "derived",
                      "SELECT stage, parent, metric, before, after, change, better, worst, recover_step FROM derived",
                      err));
    INS_TRY(put_table(out, db, "samples",
                      "SELECT sample.stage, sample.step, sample.name, sample.text FROM sample JOIN stage ON stage.name "
                      "= sample.stage "
                      "ORDER BY stage.position, sample.step, sample.rowid LIMIT 2000",
                      err));
    return put_series(out, db, err);
}

/* ---- the page ---- */

/* A text file of the run as a JSON string; null when it is not there. */
static void put_file(ins_str *out, const char *run_dir, const char *name, const char *key) {
    char path[4096];
    ins_str text = {0};
    ins_str_printf(out, "\"%s\":", key);
    if (ins_path_join(run_dir, name, path, sizeof path, NULL) == INS_OK && ins_file_exists(path) &&
        ins_file_read(path, 1u << 22, &text, NULL) == INS_OK && text.len > 0) {
        put_string(out, text.data, text.len);
    } else {
        ins_str_puts(out, "null");
    }
    ins_str_puts(out, ",\n");
    ins_str_free(&text);
}

/* "corpora":[{"folder":"near","text":"..."}, ...]: corpus.json of every corpus of the run, each as a JSON string. */
static void put_corpora(ins_str *out, const char *run_dir) {
    char stages[4096], folder[4096], path[4096];
    char **names = NULL;
    int64_t n = 0, n_put = 0;
    ins_str_puts(out, "\"corpora\":[");
    if (ins_path_join(run_dir, "stages", stages, sizeof stages, NULL) != INS_OK || !ins_dir_exists(stages) ||
        ins_dir_list(stages, &names, &n, NULL) != INS_OK) {
        n = 0;
    }
    for (int64_t i = 0; i < n; i++) {
        ins_str text = {0};
        if (ins_path_join(stages, names[i], folder, sizeof folder, NULL) == INS_OK &&
            ins_path_join(folder, "corpus.json", path, sizeof path, NULL) == INS_OK && ins_file_exists(path) &&
            ins_file_read(path, 1u << 20, &text, NULL) == INS_OK) {
            ins_str_puts(out, n_put++ ? ",{\"folder\":" : "{\"folder\":");
            put_string(out, names[i], strlen(names[i]));
            ins_str_puts(out, ",\"text\":");
            put_string(out, text.data ? text.data : "", text.len);
            ins_str_putc(out, '}');
        }
        ins_str_free(&text);
    }
    ins_str_puts(out, "],\n");
    ins_names_free(names, n);
}

static ins_status collect(const char *run_dir, ins_str *out, ins_error *err) {
    char path[4096];
    ins_store *store = NULL;
    INS_TRY(ins_path_join(run_dir, "metrics.db", path, sizeof path, err));
    if (!ins_file_exists(path)) {
        INS_FAIL(err, INS_DATA, "%s is not a run: it has no metrics.db", run_dir);
        ins_error_hint(err, "give the folder that `instar run` made, such as runs/hello");
        return INS_DATA;
    }
    INS_TRY(ins_store_open(path, true, &store, err));
    ins_str_puts(out, "{\n");
    ins_status status = put_tables(out, ins_store_db(store), err);
    ins_store_close(store);
    put_corpora(out, run_dir);
    put_file(out, run_dir, "claims.json", "claims_file");
    put_file(out, run_dir, "recipe.lock.yaml", "lock");
    put_file(out, run_dir, "run.json", "run");
    ins_str_printf(out, "\"version\":\"%s\"}\n", INS_VERSION);
    return status;
}

/* Copy the template, putting in what its marks {{name}} stand for. */
static void fill_template(ins_str *page, const ins_str *data) {
    const struct {
        const char *mark;
        const unsigned char *bytes;
        size_t n;
    } parts[] = {
        {"{{style}}", ins_asset_page_css, ins_asset_page_css_size},
        {"{{chart}}", ins_asset_chart_js, ins_asset_chart_js_size},
        {"{{data}}", (const unsigned char *)data->data, data->len},
        {"{{model}}", ins_asset_page_data_js, ins_asset_page_data_js_size},
        {"{{pipeline}}", ins_asset_page_pipeline_js, ins_asset_page_pipeline_js_size},
        {"{{script}}", ins_asset_page_js, ins_asset_page_js_size},
    };
    const char *at = (const char *)ins_asset_page_html, *mark;
    while ((mark = strstr(at, "{{")) != NULL) {
        ins_str_append(page, at, (size_t)(mark - at));
        at = mark + 2;
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            size_t n = strlen(parts[i].mark);
            if (strncmp(mark, parts[i].mark, n) != 0) continue;
            ins_str_append(page, parts[i].bytes, parts[i].n);
            at = mark + n;
        }
    }
    ins_str_puts(page, at);
}

ins_status ins_report_write(const char *run_dir, const char *out_path, ins_error *err) {
    char path[4096];
    ins_str data = {0}, page = {0};
    INS_TRY(ins_path_join(run_dir, "report.html", path, sizeof path, err));
    ins_status status = collect(run_dir, &data, err);
    if (status == INS_OK) {
        fill_template(&page, &data);
        status = data.oom || page.oom ? INS_FAIL(err, INS_NOMEM, "no memory for the report")
                                      : ins_file_write_atomic(out_path ? out_path : path, page.data, page.len, err);
    }
    ins_str_free(&data);
    ins_str_free(&page);
    return status;
}
