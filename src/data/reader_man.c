/* Manual pages, formatted by mandoc, several at a time. Pages come out in the order of their paths whatever finishes
 * first.
 *
 * Fields: id ("ls(1)"), group (the page's name), title ("ls(1)"), name, section (1), text. Pages that only point to
 * another one (links, ".so") are left out. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/pool.h"
#include "data/child.h"
#include "data/cursor.h"
#include "data/prose.h"
#include "data/reader_common.h"

#define MAN_AHEAD 32 /* pages being formatted at most */

typedef struct man_options {
    ins_reader_common common;
    ins_source source;
    ins_opt_strings sections;
    int64_t width;
} man_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(man_options),
    INS_SOURCE_ROWS(man_options, source),
    {.name = "sections",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(man_options, sections),
     .help = "Sections of the manual to read, such as [1, 8]; default: all."},
    {.name = "width",
     .type = INS_OPT_INT,
     .offset = offsetof(man_options, width),
     .def = "1000",
     .min = 40,
     .max = 1000,
     .unit = "columns",
     .help = "Width of a line: 1000 keeps each paragraph on one line."},
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'man'", rows, sizeof(man_options)};

static const char *const wanted[] = {"/usr/share/man/man[1-9]/*", NULL};

typedef struct man_job {
    ins_child child;
    int out; /* -1 = none */
} man_job;

typedef struct man_state {
    ins_files files;
    char width[32];
    int64_t at, started; /* pages [at, started) are being formatted, in jobs[page % MAN_AHEAD] */
    int n_parallel;
    man_job jobs[MAN_AHEAD];
    uint64_t done; /* bytes of the pages read */
} man_state;

/* "ls" and "1" of ".../ls.1.gz", "3posix" of "x.3posix.gz". */
static bool page_name(const char *path, char *name, size_t name_size, char *section, size_t section_size) {
    const char *base = ins_path_base(path);
    size_t n = strlen(base);
    if (n > 3 && strcmp(base + n - 3, ".gz") == 0) n -= 3;
    if (n > 4 && strncmp(base + n - 4, ".zst", 4) == 0) return false; /* mandoc does not read it */
    size_t dot = n;
    while (dot > 0 && base[dot - 1] != '.') dot--;
    if (dot < 2 || dot == n || base[dot] < '1' || base[dot] > '9') return false;
    if (dot - 1 >= name_size || n - dot >= section_size) return false;
    memcpy(name, base, dot - 1);
    name[dot - 1] = 0;
    memcpy(section, base + dot, n - dot);
    section[n - dot] = 0;
    return true;
}

static bool section_wanted(const man_options *o, const char *section) {
    for (int64_t i = 0; i < o->sections.n; i++) {
        const char *want = o->sections.items[i];
        if (strcmp(want, section) == 0 || (strlen(want) == 1 && *want == *section)) return true;
    }
    return o->sections.n == 0;
}

/* The pages to read: names of pages only, in wanted sections, no links. */
static ins_status find_pages(const man_options *o, const ins_log *log, ins_files *out, ins_error *err) {
    ins_files found = {0};
    INS_TRY(ins_source_files(&o->source, wanted, log, &found, err));
    ins_status status = INS_OK;
    out->origin = found.origin;
    found.origin = (ins_str){0};
    for (int64_t i = 0; i < found.n && status == INS_OK; i++) {
        char name[256], section[32], target[2];
        if (!page_name(found.paths[i], name, sizeof name, section, sizeof section)) continue;
        if (!section_wanted(o, section) || readlink(found.paths[i], target, sizeof target) >= 0) continue;
        status = ins_files_push(out, found.paths[i], err);
    }
    ins_files_free(&found);
    if (status == INS_OK && out->n == 0) {
        status = INS_FAIL(err, INS_DATA, "none of the files is a manual page in the wanted sections");
        ins_error_hint(err, "pages are named like ls.1 or ls.1.gz; check 'path' and 'sections'");
    }
    return status;
}

static ins_status man_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    const man_options *o = options;
    man_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for reader 'man'");
    for (int i = 0; i < MAN_AHEAD; i++) s->jobs[i].out = -1;
    snprintf(s->width, sizeof s->width, "width=%d,indent=0", (int)o->width);
    s->n_parallel = 2 * ins_cpu_count();
    if (s->n_parallel > MAN_AHEAD) s->n_parallel = MAN_AHEAD;
    *state = s;
    return find_pages(o, log, &s->files, err);
}

static void man_close(void *state) {
    man_state *s = state;
    if (!s) return;
    for (int i = 0; i < MAN_AHEAD; i++) {
        if (s->jobs[i].child.pid) ins_child_kill(&s->jobs[i].child);
        if (s->jobs[i].out >= 0) close(s->jobs[i].out);
    }
    ins_files_free(&s->files);
    ins_free(s);
}

static ins_status start_page(man_state *s, ins_error *err) {
    man_job *job = s->jobs + s->started % MAN_AHEAD;
    const char *argv[] = {"mandoc", "-T", "utf8", "-O", s->width, "-W", "error", s->files.paths[s->started], NULL};
    INS_TRY(ins_memory_file(&job->out, err));
    INS_TRY(ins_child_start(argv, "/", job->out, &job->child, err));
    s->started++;
    return INS_OK;
}

/* Box drawing: U+2500 to U+257F. */
static bool is_box(const char *at, const char *stop) {
    return stop - at >= 3 && (unsigned char)at[0] == 0xe2 &&
           ((unsigned char)at[1] == 0x94 || (unsigned char)at[1] == 0x95);
}

/* A table's row: cells without their padding, separated by " | "; rules are left out. False: the line is no table. */
static bool put_table_row(const char *line, const char *stop, ins_str *out) {
    const char *at = line;
    while (at < stop && *at == ' ') at++;
    if (!is_box(at, stop)) return false;
    size_t start = out->len;
    bool space = false, bar = false;
    while (at < stop) {
        if (is_box(at, stop)) {
            bar = out->len > start;
            at += 3;
        } else if (*at == ' ') {
            space = out->len > start;
            at++;
        } else {
            if (bar) ins_str_puts(out, " | ");
            if (space && !bar) ins_str_putc(out, ' ');
            space = bar = false;
            ins_str_putc(out, *at++);
        }
    }
    if (out->len > start) ins_str_putc(out, '\n');
    return true;
}

/* The formatted page: overstriking undone, running head and foot gone, body moved to the left edge. */
static ins_status clean_page(ins_str *page, ins_str *out, ins_error *err) {
    page->len = ins_prose_unstrike(page->data, page->len);
    const char *text = page->data, *end = text + page->len;
    const char *body = memchr(text, '\n', page->len);
    body = body ? body + 1 : end;
    while (end > body && end[-1] == '\n') end--;
    while (end > body && end[-1] != '\n') end--; /* the foot */
    for (const char *line = body; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (!stop) stop = end;
        if (put_table_row(line, stop, out)) {
            line = stop + 1;
            continue;
        }
        size_t indent = 0;
        while (line + indent < stop && line[indent] == ' ') indent++;
        size_t cut = indent >= 7 ? 7 : indent; /* mandoc's margin is 7, that of a sub-heading 3 */
        ins_str_append(out, line + cut, (size_t)(stop - line) - cut);
        ins_str_putc(out, '\n');
        line = stop + 1;
    }
    ins_str flat = {0};
    ins_prose_reflow(out->data ? out->data : "", out->len, 0, &flat);
    ins_str_free(out);
    *out = flat;
    return out->oom ? INS_FAIL(err, INS_NOMEM, "out of memory for a manual page") : INS_OK;
}

static ins_status finish_page(man_state *s, ins_str *out, ins_error *err) {
    man_job *job = s->jobs + s->at % MAN_AHEAD;
    ins_str page = {0};
    int code = 0;
    ins_status status = ins_child_wait(&job->child, &code, err);
    if (status == INS_OK) status = ins_memory_file_read(job->out, &page, err);
    close(job->out);
    job->out = -1;
    if (status == INS_OK && page.len) status = clean_page(&page, out, err);
    ins_str_free(&page);
    return status;
}

/* A page whose source is one ".so" line stands for another one. */
static bool is_pointer(const char *path) {
    ins_stream *stream = NULL;
    char head[4];
    size_t got = 0;
    if (ins_stream_open(path, &stream, NULL) != INS_OK) return false;
    bool pointer =
        ins_stream_read(stream, head, sizeof head, &got, NULL) == INS_OK && got >= 4 && memcmp(head, ".so ", 4) == 0;
    ins_stream_close(stream);
    return pointer;
}

static ins_status fill(const char *path, const ins_str *text, ins_document *doc, ins_error *err) {
    char name[256], section[32];
    page_name(path, name, sizeof name, section, sizeof section);
    const char *title = ins_arena_printf(doc->arena, "%s(%s)", name, section);
    if (!title) return INS_FAIL(err, INS_NOMEM, "out of memory for a document");
    doc->source = (ins_pos){path, 0, 0};
    INS_TRY(ins_document_puts(doc, "id", title, err));
    INS_TRY(ins_document_puts(doc, "group", name, err));
    INS_TRY(ins_document_puts(doc, "title", title, err));
    INS_TRY(ins_document_puts(doc, "name", name, err));
    INS_TRY(ins_document_puts(doc, "section", section, err));
    return ins_document_set(doc, "text", text->data ? text->data : "", text->len, err);
}

static ins_status man_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    man_state *s = state;
    for (;;) {
        while (s->started < s->files.n && s->started - s->at < s->n_parallel) INS_TRY(start_page(s, err));
        *end = s->at >= s->files.n;
        if (*end) return INS_OK;
        const char *path = s->files.paths[s->at];
        ins_str text = {0};
        ins_status status = finish_page(s, &text, err);
        s->at++;
        uint64_t size = 0;
        if (ins_file_size(path, &size, NULL) == INS_OK) s->done += size;
        bool keep = status == INS_OK && !is_pointer(path);
        if (keep) status = fill(path, &text, doc, err);
        ins_str_free(&text);
        if (status != INS_OK || keep) return status;
    }
}

static ins_status man_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    ins_files files = {0};
    ins_status status = find_pages(options, NULL, &files, err);
    if (status == INS_OK) status = ins_files_fingerprint(&files, out, bytes, err);
    ins_files_free(&files);
    return status;
}

static uint64_t man_position(const void *state) {
    return ((const man_state *)state)->done;
}

static void man_check(const void *options, ins_pos pos, ins_diag *diag) {
    ins_source_check(&((const man_options *)options)->source, "man", pos, diag);
}

const ins_reader_desc ins_reader_man = {
    .head = {.family = "reader",
             .name = "man",
             .summary = "Manual pages as text, formatted by mandoc.",
             .version = 1,
             .options = &table,
             .check = man_check},
    .open = man_open,
    .next = man_next,
    .close = man_close,
    .fingerprint = man_fingerprint,
    .position = man_position,
};
