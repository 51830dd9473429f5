/* Texts and commentaries of the SWORD project (packages sword-text-*, sword-comm-*).
 *
 * A document is an entry (a verse's comment) or a chapter. Fields: id ("TDavid:ot:17328"), group (module and chapter),
 * title (first heading, else the chapter), text (markup, notes and word tags removed). */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "data/cursor.h"
#include "data/prose.h"
#include "data/reader_common.h"
#include "data/sword_module.h"

typedef enum sword_unit { UNIT_AUTO, UNIT_ENTRY, UNIT_CHAPTER } sword_unit;

typedef struct sword_options {
    ins_reader_common common;
    ins_source source;
    int unit;
} sword_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(sword_options),
    INS_SOURCE_ROWS(sword_options, source),
    {.name = "unit",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(sword_options, unit),
     .def = "auto",
     .choices = "auto entry chapter",
     .help = "What a document is; auto: an entry in a commentary, a chapter in a text."},
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'sword'", rows, sizeof(sword_options)};

static const char *const wanted[] = {"*/mods.d/*.conf", NULL};
static const char *const testaments[] = {"ot", "nt"};

typedef struct sword_state {
    const sword_options *options;
    ins_files files; /* .conf */
    int64_t at_file;
    ins_sword_conf conf;
    int testament; /* next one of the module to open; 2 = none */
    bool is_open;
    ins_sword_file file;
    ins_str pending; /* raw text of the chapter being collected */
    int64_t pending_entry, pending_group, pending_block;
    char chapter[64]; /* osisID of the chapter we are in */
    int64_t n_chapters;
    uint64_t done;
} sword_state;

static ins_status sword_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    sword_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for reader 'sword'");
    s->options = options;
    s->testament = 2;
    *state = s;
    return ins_source_files(&s->options->source, wanted, log, &s->files, err);
}

static void sword_close(void *state) {
    sword_state *s = state;
    if (!s) return;
    if (s->is_open) ins_sword_close(&s->file);
    ins_files_free(&s->files);
    ins_str_free(&s->pending);
    ins_free(s);
}

/* Open the next testament that has data, of this module or the next ones. */
static ins_status next_testament(sword_state *s, bool *end, ins_error *err) {
    if (s->is_open) {
        s->done += s->file.data.size;
        ins_sword_close(&s->file);
        s->is_open = false;
    }
    for (;;) {
        if (s->testament >= 2) {
            *end = s->at_file >= s->files.n;
            if (*end) return INS_OK;
            INS_TRY(ins_sword_conf_read(s->files.paths[s->at_file++], &s->conf, err));
            s->testament = 0;
        }
        char stem[PATH_MAX - 8];
        bool there = ins_sword_stem(&s->conf, testaments[s->testament], stem, sizeof stem);
        s->testament++;
        if (!there) continue;
        s->chapter[0] = 0;
        s->n_chapters = 0;
        INS_TRY(ins_sword_open(stem, s->conf.wide, &s->file, err));
        s->is_open = true;
        return INS_OK;
    }
}

/* An entry with <chapter ... sID=...> (or without eID=) begins a chapter: note its name. */
static bool begins_chapter(sword_state *s, const char *text, size_t n) {
    const char *tag = memmem(text, n, "<chapter ", 9);
    const char *stop = tag ? memchr(tag, '>', n - (size_t)(tag - text)) : NULL;
    if (!stop || memmem(tag, (size_t)(stop - tag), "eID=", 4)) return false;
    const char *id = memmem(tag, (size_t)(stop - tag), "osisID=\"", 8);
    size_t length = 0;
    if (id) {
        id += 8;
        while (id + length < stop && id[length] != '"') length++;
    }
    snprintf(s->chapter, sizeof s->chapter, "%.*s", (int)(length < 60 ? length : 60), id ? id : "");
    s->n_chapters++;
    return true;
}

/* A document from raw text; *kept false when nothing is left of it. */
static ins_status emit(sword_state *s, const char *raw, size_t n, int64_t entry, int64_t group, ins_document *doc,
                       bool *kept, ins_error *err) {
    ins_str text = {0}, title = {0};
    const char *part = testaments[s->testament - 1];
    ins_prose_strip_markup(raw, n, &text, &title);
    *kept = text.len > 0;
    ins_status status = INS_OK;
    const char *id = ins_arena_printf(doc->arena, "%s:%s:%lld", s->conf.name, part, (long long)entry);
    const char *family = ins_arena_printf(doc->arena, "%s:%s:%lld", s->conf.name, part, (long long)group);
    if (text.oom || title.oom || !id || !family) status = INS_FAIL(err, INS_NOMEM, "out of memory for a document");
    if (status == INS_OK && *kept) {
        doc->source = (ins_pos){s->files.paths[s->at_file - 1], 0, 0};
        const char *name = title.len ? title.data : *s->chapter ? s->chapter : s->conf.name;
        status = ins_document_puts(doc, "id", id, err);
        if (status == INS_OK) status = ins_document_puts(doc, "group", family, err);
        if (status == INS_OK) status = ins_document_puts(doc, "title", name, err);
        if (status == INS_OK) status = ins_document_set(doc, "text", text.data, text.len, err);
    }
    ins_str_free(&text);
    ins_str_free(&title);
    return status;
}

/* Hand out the chapter collected so far and begin a new one. */
static ins_status flush(sword_state *s, ins_document *doc, bool *kept, ins_error *err) {
    *kept = false;
    ins_status status = INS_OK;
    if (s->pending.oom) status = INS_FAIL(err, INS_NOMEM, "out of memory for a chapter");
    if (status == INS_OK && s->pending.len) {
        status = emit(s, s->pending.data, s->pending.len, s->pending_entry, s->pending_group, doc, kept, err);
    }
    ins_str_clear(&s->pending);
    return status;
}

static ins_status sword_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    sword_state *s = state;
    for (;;) {
        const char *raw;
        size_t n;
        int64_t entry;
        bool over = true, kept = false;
        if (s->is_open) INS_TRY(ins_sword_next(&s->file, &raw, &n, &entry, &over, err));
        if (over) {
            if (s->pending.len) INS_TRY(flush(s, doc, &kept, err));
            if (!kept) INS_TRY(next_testament(s, end, err));
            if (kept) *end = false;
            if (kept || *end) return INS_OK;
            continue;
        }
        bool whole = s->options->unit == UNIT_ENTRY || (s->options->unit == UNIT_AUTO && s->conf.commentary);
        char before[sizeof s->chapter];
        memcpy(before, s->chapter, sizeof before);
        bool begins = begins_chapter(s, raw, n);
        int64_t group = s->file.block * 10000 + s->n_chapters;
        if (whole) {
            INS_TRY(emit(s, raw, n, entry, group, doc, &kept, err));
        } else {
            bool turned = s->pending.len && s->file.block != s->pending_block;
            if (begins || turned) {
                char now[sizeof s->chapter];
                memcpy(now, s->chapter, sizeof now);
                memcpy(s->chapter, before, sizeof before); /* the chapter that ends gives its own name */
                INS_TRY(flush(s, doc, &kept, err));
                memcpy(s->chapter, now, sizeof now);
            }
            if (s->pending.len == 0) {
                s->pending_entry = entry;
                s->pending_group = group;
                s->pending_block = s->file.block;
            }
            ins_str_append(&s->pending, raw, n);
            ins_str_putc(&s->pending, ' ');
        }
        *end = false;
        if (kept) return INS_OK;
    }
}

/* The .conf files and the data files they name. */
static ins_status sword_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    ins_files files = {0};
    INS_TRY(ins_source_files(&((const sword_options *)options)->source, wanted, NULL, &files, err));
    int64_t n_conf = files.n;
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n_conf && status == INS_OK; i++) {
        ins_sword_conf conf;
        status = ins_sword_conf_read(files.paths[i], &conf, err);
        for (size_t t = 0; t < 2 && status == INS_OK; t++) {
            char stem[PATH_MAX - 8], path[PATH_MAX];
            static const char *const parts[] = {"zs", "zv", "zz"};
            if (!ins_sword_stem(&conf, testaments[t], stem, sizeof stem)) continue;
            for (size_t p = 0; p < 3 && status == INS_OK; p++) {
                snprintf(path, sizeof path, "%s%s", stem, parts[p]);
                status = ins_files_push(&files, path, err);
            }
        }
    }
    if (status == INS_OK) status = ins_files_fingerprint(&files, out, bytes, err);
    ins_files_free(&files);
    return status;
}

static uint64_t sword_position(const void *state) {
    const sword_state *s = state;
    if (!s->is_open || s->file.n_entries == 0) return s->done;
    return s->done + (uint64_t)((double)s->file.data.size * (double)s->file.at / (double)s->file.n_entries);
}

static void sword_check(const void *options, ins_pos pos, ins_diag *diag) {
    ins_source_check(&((const sword_options *)options)->source, "sword", pos, diag);
}

const ins_reader_desc ins_reader_sword = {
    .head = {.family = "reader",
             .name = "sword",
             .summary = "Texts and commentaries of the SWORD project (zText and zCom modules).",
             .version = 1,
             .options = &table,
             .check = sword_check},
    .open = sword_open,
    .next = sword_next,
    .close = sword_close,
    .fingerprint = sword_fingerprint,
    .position = sword_position,
};
