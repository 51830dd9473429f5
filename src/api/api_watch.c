/* A run as one picture for a terminal: stages with their state, curves of the running stage, claims. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "api/api_internal.h"
#include "base/mem.h"
#include "format/json.h"
#include "recipe/store.h"

#define MAX_CURVES 8
#define MAX_POINTS 4096

typedef struct frame {
    sqlite3 *db;
    int width;
    bool colour;
    ins_str *out;
} frame;

static const char *text_at(sqlite3_stmt *row, int i) {
    const char *text = (const char *)sqlite3_column_text(row, i);
    return text ? text : "";
}

static void paint(const frame *f, const char *code, const char *text) {
    if (f->colour)
        ins_str_printf(f->out, "\033[%sm%s\033[0m", code, text);
    else
        ins_str_puts(f->out, text);
}

static const char *state_colour(const char *state) {
    if (strcmp(state, "done") == 0 || strcmp(state, "shown") == 0) return "32";
    if (strcmp(state, "running") == 0 || strcmp(state, "weak") == 0) return "33";
    if (strcmp(state, "failed") == 0 || strcmp(state, "interrupted") == 0 || strcmp(state, "not shown") == 0)
        return "31";
    return "2";
}

static sqlite3_stmt *prepare(const frame *f, const char *sql, const char *text) {
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(f->db, sql, -1, &row, NULL) != SQLITE_OK) return NULL;
    if (text) sqlite3_bind_text(row, 1, text, -1, SQLITE_TRANSIENT);
    return row;
}

/* All stages, one a line; the name of one that runs (else of the last that has curves) goes to `shown`. */
static void put_stages(const frame *f, char shown[256]) {
    sqlite3_stmt *row =
        prepare(f, "SELECT name,kind,state,cached,seconds,tokens_per_s,mfu FROM stage ORDER BY position", NULL);
    shown[0] = '\0';
    bool running = false;
    while (row && sqlite3_step(row) == SQLITE_ROW) {
        char line[512], seconds[32] = "", rate[32];
        const char *state = text_at(row, 2);
        if (strcmp(state, "done") == 0) ins_human_time(sqlite3_column_double(row, 4), seconds);
        snprintf(line, sizeof line, "  %-34.34s %-11.11s ", text_at(row, 0), text_at(row, 1));
        ins_str_puts(f->out, line);
        snprintf(line, sizeof line, "%-11s", sqlite3_column_int(row, 3) ? "cached" : state);
        paint(f, state_colour(state), line);
        ins_str_printf(f->out, " %10s", seconds);
        if (sqlite3_column_double(row, 5) > 0)
            ins_str_printf(f->out, "  %s tokens/s", ins_human_count(sqlite3_column_double(row, 5), rate));
        ins_str_putc(f->out, '\n');
        bool runs = strcmp(state, "running") == 0;
        if (runs || (!running && strcmp(state, "done") == 0 && strcmp(text_at(row, 1), "train") == 0))
            snprintf(shown, 256, "%s", text_at(row, 0));
        running = running || runs;
    }
    sqlite3_finalize(row);
}

/* The values as a line of eight-step blocks, `width` columns: each column is the mean of its share of the points. */
static void put_sparkline(const frame *f, const double *values, int n, int width) {
    static const char *const blocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double low = (double)INFINITY, high = -(double)INFINITY;
    for (int i = 0; i < n; i++) {
        if (!isfinite(values[i])) continue;
        low = fmin(low, values[i]);
        high = fmax(high, values[i]);
    }
    if (n < width) width = n;
    for (int c = 0; c < width; c++) {
        int from = (int)((int64_t)c * n / width), to = (int)((int64_t)(c + 1) * n / width), count = 0;
        double total = 0;
        for (int i = from; i < to; i++)
            if (isfinite(values[i])) {
                total += values[i];
                count++;
            }
        double height = count && high > low ? (total / count - low) / (high - low) : 0;
        ins_str_puts(f->out, blocks[(int)(height * 7.999)]);
    }
}

static void put_curve(const frame *f, const char *stage, const char *name) {
    sqlite3_stmt *row = prepare(f, "SELECT value,step FROM metric WHERE stage=?1 AND name=?2 ORDER BY step", stage);
    double *points = ins_calloc(MAX_POINTS, sizeof *points);
    int n = 0;
    int64_t step = 0;
    if (row) sqlite3_bind_text(row, 2, name, -1, SQLITE_TRANSIENT);
    while (row && points && n < MAX_POINTS && sqlite3_step(row) == SQLITE_ROW) {
        points[n++] = sqlite3_column_double(row, 0);
        step = sqlite3_column_int64(row, 1);
    }
    sqlite3_finalize(row);
    if (n > 0) {
        ins_str_printf(f->out, "  %-22.22s %9.4g  step %-8lld ", name, points[n - 1], (long long)step);
        put_sparkline(f, points, n, f->width - 52 > 10 ? f->width - 52 : 10);
        ins_str_putc(f->out, '\n');
    }
    ins_free(points);
}

static void put_curves(const frame *f, const char *stage) {
    sqlite3_stmt *row =
        prepare(f,
                "SELECT name FROM metric WHERE stage=?1 AND name NOT LIKE '%.se' AND name NOT LIKE 'perf/%'"
                " GROUP BY name HAVING count(*) > 1 ORDER BY name LIKE 'stats/%', name <> 'train/loss', name LIMIT 8",
                stage);
    ins_str_printf(f->out, "\n%s\n", stage);
    for (int i = 0; row && i < MAX_CURVES && sqlite3_step(row) == SQLITE_ROW; i++) put_curve(f, stage, text_at(row, 0));
    sqlite3_finalize(row);
}

static void put_claims(const frame *f) {
    sqlite3_stmt *row = prepare(f, "SELECT id,verdict,value,relation,target FROM claim ORDER BY position", NULL);
    bool any = false;
    while (row && sqlite3_step(row) == SQLITE_ROW) {
        char line[256];
        if (!any) ins_str_puts(f->out, "\nclaims\n");
        any = true;
        ins_str_puts(f->out, "  ");
        snprintf(line, sizeof line, "%-10s", text_at(row, 1));
        paint(f, state_colour(text_at(row, 1)), line);
        ins_str_printf(f->out, " %-32.32s", text_at(row, 0));
        if (sqlite3_column_type(row, 2) != SQLITE_NULL)
            ins_str_printf(f->out, " %.4g %s %.4g", sqlite3_column_double(row, 2), text_at(row, 3),
                           sqlite3_column_double(row, 4));
        ins_str_putc(f->out, '\n');
    }
    sqlite3_finalize(row);
}

/* A process that runs holds RUN/.lock. */
static bool is_locked(const char *run_dir) {
    char path[PATH_MAX];
    if (ins_path_join(run_dir, ".lock", path, sizeof path, NULL) != INS_OK) return false;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return errno != ENOENT; /* no right to ask: believe run.json */
    bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    return locked;
}

/* The state in run.json: "running", "done", ... */
static void run_state(const char *run_dir, char state[32]) {
    char path[PATH_MAX];
    json_t *value = NULL;
    snprintf(state, 32, "?");
    if (ins_path_join(run_dir, "run.json", path, sizeof path, NULL) != INS_OK) return;
    if (ins_json_read_file(path, 1 << 20, &value, NULL) != INS_OK) return;
    const char *text = json_string_value(json_object_get(value, "state"));
    if (text) snprintf(state, 32, "%s", text);
    json_decref(value);
    if (strcmp(state, "running") == 0 && !is_locked(run_dir)) snprintf(state, 32, "stopped"); /* its process died */
}

instar_status instar_watch(instar *session, const char *run_dir, int width, bool colour, char **text, bool *over) {
    char path[PATH_MAX], shown[256], state[32];
    ins_error err = {0};
    ins_str out = {0};
    ins_store *store = NULL;
    api_begin(session);
    ins_status status = ins_path_join(run_dir, "metrics.db", path, sizeof path, &err);
    if (status == INS_OK) status = ins_store_open(path, true, &store, &err);
    if (status != INS_OK) return api_end(session, status, &err);
    frame f = {.db = ins_store_db(store), .width = width, .colour = colour, .out = &out};
    run_state(run_dir, state);
    ins_str_printf(&out, "%s: ", run_dir);
    paint(&f, state_colour(state), state);
    ins_str_putc(&out, '\n');
    put_stages(&f, shown);
    if (shown[0]) put_curves(&f, shown);
    put_claims(&f);
    ins_store_close(store);
    *over = strcmp(state, "running") != 0;
    return api_give(session, &out, text);
}
