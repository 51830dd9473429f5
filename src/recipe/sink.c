/* The metrics sink of a stage, and the import of a cached stage's record. */
#include "recipe/sink.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "format/json.h"
#include "format/lines.h"
#include "format/tbevents.h"

#define LINE_MAX_BYTES (16u << 20)
#define N_RECORDS      2

static const char *const record_names[N_RECORDS] = {"metrics.jsonl", "perf.jsonl"};

struct ins_sink {
    char path[N_RECORDS][PATH_MAX];
    FILE *file[N_RECORDS]; /* NULL until something is recorded in this session */
    bool started;          /* truncate was called or something recorded */
    const ins_instance *instance;
    ins_store *store;
    ins_tb_writer *tensorboard;
    char time_path[PATH_MAX];
    bool is_timed;
    double began, before; /* of this attempt; seconds of those before it */
};

/* One recorded line, taken apart. */
typedef struct record {
    int64_t step, tokens;
    const char *name;
    double value;
    const char *text; /* NULL = a value */
} record;

static double wall_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static ins_status copy_out(ins_sink *sink, const record *r, ins_error *err) {
    const ins_instance *instance = sink->instance;
    if (r->text) {
        INS_TRY(ins_store_text(sink->store, instance->name, instance->seed, r->step, r->tokens, r->name, r->text, err));
        return sink->tensorboard ? ins_tb_text(sink->tensorboard, r->name, r->step, wall_time(), r->text, err) : INS_OK;
    }
    INS_TRY(ins_store_value(sink->store, instance->name, instance->seed, r->step, r->tokens, r->name, r->value, err));
    return sink->tensorboard ? ins_tb_scalar(sink->tensorboard, r->name, r->step, wall_time(), (float)r->value, err)
                             : INS_OK;
}

static void put_string(ins_str *out, const char *text) {
    ins_str_putc(out, '"');
    ins_str_json_escape(out, text, strlen(text));
    ins_str_putc(out, '"');
}

static void format_record(const record *r, ins_str *line) {
    char number[32];
    ins_str_printf(line, "{\"step\":%lld,\"tokens\":%lld,\"name\":", (long long)r->step, (long long)r->tokens);
    put_string(line, r->name);
    if (r->text) {
        ins_str_puts(line, ",\"text\":");
        put_string(line, r->text);
    } else {
        ins_double_format(r->value, number);
        ins_str_printf(line, isfinite(r->value) ? ",\"value\":%s" : ",\"value\":\"%s\"", number);
    }
    ins_str_puts(line, "}\n");
}

/* false = not a whole record: a line cut by a crash. *line keeps the strings alive. */
static bool parse_record(const char *text, size_t n, json_t **line, record *r) {
    if (ins_json_read_text(text, n, "metrics", line, NULL) != INS_OK) return false;
    const json_t *step = json_object_get(*line, "step"), *value = json_object_get(*line, "value");
    r->name = json_string_value(json_object_get(*line, "name"));
    r->text = json_string_value(json_object_get(*line, "text"));
    r->step = json_integer_value(step);
    r->tokens = json_integer_value(json_object_get(*line, "tokens"));
    r->value = (double)NAN;
    if (json_is_number(value)) r->value = json_number_value(value);
    if (json_is_string(value)) {
        const char *word = json_string_value(value);
        if (strstr(word, "inf")) r->value = word[0] == '-' ? -(double)INFINITY : (double)INFINITY;
    }
    return r->name && json_is_integer(step) && (r->text || value);
}

/* Reads a record file, gives each line of step <= last to `keep` and to the copies. Stops at the first broken line. */
static ins_status replay(ins_sink *sink, const char *path, int64_t last, ins_writer *keep, ins_error *err) {
    ins_stream *stream = NULL;
    if (!ins_file_exists(path)) return INS_OK;
    INS_TRY(ins_stream_open(path, &stream, err));
    ins_status status = INS_OK;
    for (bool more = true; more && status == INS_OK;) {
        const char *text;
        size_t n;
        bool end = false;
        status = ins_stream_line(stream, LINE_MAX_BYTES, &text, &n, &end, err);
        if (status != INS_OK || end) break;
        json_t *line = NULL;
        record r;
        more = parse_record(text, n, &line, &r);
        if (more && r.step <= last) {
            if (keep) status = ins_writer_write(keep, text, n, err);
            if (keep && status == INS_OK) status = ins_writer_write(keep, "\n", 1, err);
            if (status == INS_OK) status = copy_out(sink, &r, err);
        }
        json_decref(line);
    }
    ins_stream_close(stream);
    return status;
}

static ins_status close_files(ins_sink *sink, ins_error *err) {
    ins_status status = INS_OK;
    for (int i = 0; i < N_RECORDS; i++) {
        FILE *file = sink->file[i];
        sink->file[i] = NULL;
        if (file && fclose(file) != 0 && status == INS_OK)
            status = INS_FAIL_ERRNO(err, "'%s' can't be written", sink->path[i]);
    }
    return status;
}

static ins_status sink_truncate(void *arg, int64_t step, ins_error *err) {
    ins_sink *sink = arg;
    INS_TRY(close_files(sink, err));
    INS_TRY(ins_store_truncate(sink->store, sink->instance->name, -1, err));
    for (int i = 0; i < N_RECORDS; i++) {
        if (!ins_file_exists(sink->path[i])) continue;
        ins_writer *keep = NULL;
        INS_TRY(ins_writer_open(sink->path[i], &keep, err));
        ins_status status = replay(sink, sink->path[i], step, keep, err);
        if (status != INS_OK) {
            ins_writer_abort(keep);
            return status;
        }
        INS_TRY(ins_writer_commit(keep, NULL, err));
    }
    sink->started = true;
    return INS_OK;
}

static bool ends_in(const char *name, const char *end) {
    size_t n = strlen(name), k = strlen(end);
    return n >= k && strcmp(name + n - k, end) == 0;
}

/* Rates and times: kept apart, so that the record itself is the same in every run. */
static bool is_perf(const char *name) {
    return strncmp(name, "perf/", 5) == 0 || ends_in(name, "_per_s") || ends_in(name, "/mfu") ||
           ends_in(name, "seconds");
}

/* Steps start at 0 or above, so -1 keeps nothing. */
static ins_status start(ins_sink *sink, ins_error *err) {
    return sink->started ? INS_OK : sink_truncate(sink, -1, err);
}

static ins_status append(ins_sink *sink, const record *r, ins_error *err) {
    int i = is_perf(r->name);
    INS_TRY(start(sink, err));
    if (!sink->file[i] && !(sink->file[i] = fopen(sink->path[i], "ae")))
        return INS_FAIL_ERRNO(err, "'%s' can't be opened", sink->path[i]);
    ins_str line = {0};
    format_record(r, &line);
    ins_status status = INS_OK;
    if (line.oom)
        status = INS_FAIL(err, INS_NOMEM, "out of memory while recording a metric");
    else if (fwrite(line.data, 1, line.len, sink->file[i]) != line.len)
        status = INS_FAIL_ERRNO(err, "'%s' can't be written", sink->path[i]);
    ins_str_free(&line);
    return status == INS_OK ? copy_out(sink, r, err) : status;
}

static ins_status sink_value(void *arg, int64_t step, int64_t tokens, const char *name, double value, ins_error *err) {
    record r = {.step = step, .tokens = tokens, .name = name, .value = value};
    return append(arg, &r, err);
}

/* Models write any bytes; the records hold UTF-8 and nothing else: what is none becomes U+FFFD. */
static void make_valid(const char *text, ins_str *out) {
    const unsigned char *bytes = (const unsigned char *)text;
    size_t n = strlen(text);
    uint32_t point;
    for (size_t i = 0; i < n;) {
        int len = ins_utf8_decode(bytes + i, n - i, &point);
        if (len > 0)
            ins_str_append(out, text + i, (size_t)len);
        else
            ins_str_puts(out, "\xEF\xBF\xBD");
        i += len > 0 ? (size_t)len : 1;
    }
}

static ins_status sink_text(void *arg, int64_t step, int64_t tokens, const char *name, const char *text,
                            ins_error *err) {
    ins_str valid = {0};
    record r = {.step = step, .tokens = tokens, .name = name, .text = text};
    if (!ins_utf8_valid(text, strlen(text), NULL)) {
        make_valid(text, &valid);
        r.text = valid.data;
    }
    ins_status status =
        valid.oom ? INS_FAIL(err, INS_NOMEM, "out of memory while recording a text") : append(arg, &r, err);
    ins_str_free(&valid);
    return status;
}

/* ---- time ---- */

double ins_sink_seconds(ins_sink *sink) {
    ins_str text = {0};
    if (!sink->is_timed) {
        sink->is_timed = true;
        sink->began = ins_now();
        if (ins_file_exists(sink->time_path) && ins_file_read(sink->time_path, 64, &text, NULL) == INS_OK && text.data)
            ins_parse_float(text.data, &sink->before);
        if (!(sink->before >= 0) || !isfinite(sink->before)) sink->before = 0;
        ins_str_free(&text);
    }
    return sink->before + ins_now() - sink->began;
}

static ins_status keep_time(ins_sink *sink, ins_error *err) {
    char number[32];
    if (!sink->is_timed) return INS_OK;
    ins_double_format(ins_sink_seconds(sink), number);
    return ins_file_write_atomic(sink->time_path, number, strlen(number), err);
}

static ins_status sink_flush(void *arg, ins_error *err) {
    ins_sink *sink = arg;
    for (int i = 0; i < N_RECORDS; i++)
        if (sink->file[i] && (fflush(sink->file[i]) != 0 || fdatasync(fileno(sink->file[i])) != 0))
            return INS_FAIL_ERRNO(err, "'%s' can't be written", sink->path[i]);
    if (sink->tensorboard) INS_TRY(ins_tb_flush(sink->tensorboard, err));
    INS_TRY(keep_time(sink, err));
    return ins_store_flush(sink->store, err);
}

ins_status ins_sink_open(const char *dir, const char *tensorboard_dir, ins_store *store, const ins_instance *instance,
                         ins_sink **out, ins_error *err) {
    ins_sink *sink = ins_calloc(1, sizeof *sink);
    if (!sink) return INS_FAIL(err, INS_NOMEM, "out of memory while opening the record of a stage");
    sink->instance = instance;
    sink->store = store;
    ins_status status = INS_OK;
    for (int i = 0; i < N_RECORDS && status == INS_OK; i++)
        status = ins_path_join(dir, record_names[i], sink->path[i], sizeof sink->path[i], err);
    if (status == INS_OK) status = ins_path_join(dir, "seconds.txt", sink->time_path, sizeof sink->time_path, err);
    if (status == INS_OK && tensorboard_dir) status = ins_dir_remove(tensorboard_dir, err);
    if (status == INS_OK && tensorboard_dir) status = ins_dir_make(tensorboard_dir, err);
    if (status == INS_OK && tensorboard_dir)
        status = ins_tb_open(tensorboard_dir, wall_time(), "instar", &sink->tensorboard, err);
    if (status != INS_OK) {
        ins_sink_close(sink, false, NULL);
        return status;
    }
    *out = sink;
    return INS_OK;
}

ins_metrics ins_sink_metrics(ins_sink *sink) {
    return (ins_metrics){
        .arg = sink, .value = sink_value, .text = sink_text, .truncate = sink_truncate, .flush = sink_flush};
}

ins_status ins_sink_close(ins_sink *sink, bool complete, ins_error *err) {
    if (!sink) return INS_OK;
    /* A stage that found itself finished (it died after its end, before the engine's) records nothing: its record
     * stays. */
    ins_status status = complete && !sink->started ? sink_truncate(sink, INT64_MAX, err) : INS_OK;
    if (status == INS_OK) status = sink_flush(sink, err);
    ins_status closed = close_files(sink, status == INS_OK ? err : NULL);
    if (complete && sink->is_timed && unlink(sink->time_path) != 0 && errno != ENOENT && status == INS_OK)
        status = INS_FAIL_ERRNO(err, "'%s' can't be removed", sink->time_path);
    ins_tb_close(sink->tensorboard);
    ins_free(sink);
    return status == INS_OK ? closed : status;
}

ins_status ins_sink_import(const char *dir, const char *tensorboard_dir, ins_store *store, const ins_instance *instance,
                           ins_error *err) {
    ins_sink *sink = NULL;
    INS_TRY(ins_sink_open(dir, tensorboard_dir, store, instance, &sink, err));
    ins_status status = ins_store_truncate(store, instance->name, -1, err);
    for (int i = 0; i < N_RECORDS && status == INS_OK; i++) status = replay(sink, sink->path[i], INT64_MAX, NULL, err);
    ins_status closed = ins_sink_close(sink, false, status == INS_OK ? err : NULL);
    return status == INS_OK ? closed : status;
}
