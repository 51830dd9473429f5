/* Loading package records: one pass over all lists, then the join of records and descriptions by Description-md5. */
#include "data/packages.h"

#include <stdlib.h>
#include <string.h>

#include "data/strmap.h"

#define LIST_LINE_MAX ((size_t)1 << 24)

/* The fields of a stanza that are of use here. */
enum {
    F_PACKAGE,
    F_SOURCE,
    F_VERSION,
    F_SECTION,
    F_MAINTAINER,
    F_HOMEPAGE,
    F_DEPENDS,
    F_TAG,
    F_MD5,
    F_DESCRIPTION,
    F_COUNT
};
static const char *const field_names[F_COUNT] = {"Package",  "Source",  "Version", "Section",         "Maintainer",
                                                 "Homepage", "Depends", "Tag",     "Description-md5", "Description"};

typedef struct stanza {
    ins_str values[F_COUNT];
    char language[24]; /* of "Description-XX", else "" */
    int current;       /* field that continuation lines belong to, or -1 */
    bool any;
} stanza;

typedef struct description {
    const char *title, *text;
} description;

typedef struct loader {
    const ins_apt_source *source;
    bool unwrap, foreign;
    ins_packages out;
    const char **md5; /* [out.cap] of each record */
    description *texts[2];
    int64_t n_texts[2], cap_texts[2]; /* 0 English, 1 the language asked for */
    ins_strmap names, by_md5[2];
    stanza st;
    ins_str scratch;
} loader;

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory for the package records");
}

static void stanza_clear(stanza *st) {
    for (int i = 0; i < F_COUNT; i++) ins_str_clear(&st->values[i]);
    st->language[0] = 0;
    st->current = -1;
    st->any = false;
}

static const char *value_of(const stanza *st, int field) {
    return st->values[field].data ? st->values[field].data : "";
}

/* Which field a line "Name: value" sets; -1 for one of no use. */
static int field_of(stanza *st, const char *line, size_t n_name) {
    for (int i = 0; i < F_COUNT; i++) {
        if (strlen(field_names[i]) == n_name && memcmp(line, field_names[i], n_name) == 0) return i;
    }
    size_t prefix = strlen("Description-");
    if (n_name <= prefix || n_name - prefix >= sizeof st->language || memcmp(line, "Description-", prefix) != 0)
        return -1;
    memcpy(st->language, line + prefix, n_name - prefix);
    st->language[n_name - prefix] = 0;
    return F_DESCRIPTION;
}

static ins_status stanza_line(stanza *st, const char *line, size_t n, const char *path, int64_t number,
                              ins_error *err) {
    st->any = true;
    if (line[0] == ' ' || line[0] == '\t') {
        if (st->current < 0) return INS_OK;
        ins_str_putc(&st->values[st->current], '\n');
        ins_str_append(&st->values[st->current], line, n);
        return INS_OK;
    }
    const char *colon = memchr(line, ':', n);
    if (!colon) {
        INS_FAIL(err, INS_DATA, "this line of a package list has no 'Field: value'");
        ins_error_at(err, (ins_pos){path, (int)number, 0});
        return INS_DATA;
    }
    st->current = field_of(st, line, (size_t)(colon - line));
    if (st->current < 0) return INS_OK;
    const char *value = colon + 1, *end = line + n;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    ins_str_clear(&st->values[st->current]);
    ins_str_append(&st->values[st->current], value, (size_t)(end - value));
    return INS_OK;
}

static bool is_bullet(const char *line) {
    static const char *const bullets[] = {"* ", "- ", "+ ", "o ", "\xe2\x80\xa2 "};
    for (size_t i = 0; i < sizeof bullets / sizeof *bullets; i++) {
        if (strncmp(line, bullets[i], strlen(bullets[i])) == 0) return true;
    }
    return line[0] >= '0' && line[0] <= '9' && (line[1] == '.' || line[1] == ')') && line[2] == ' ';
}

void ins_package_text(const char *field, bool unwrap, ins_str *out) {
    enum { NOTHING, PARAGRAPH, ITEM, VERBATIM } before = NOTHING; /* what the line before belongs to */
    for (const char *line = field; *line;) {
        const char *end = strchr(line, '\n');
        size_t n = end ? (size_t)(end - line) : strlen(line);
        const char *next = line + n + (end ? 1 : 0);
        if (n > 0 && *line == ' ') line++, n--;
        while (n > 0 && (line[n - 1] == ' ' || line[n - 1] == '\t' || line[n - 1] == '\r')) n--;
        if (n == 0 || (n == 1 && *line == '.')) {
            if (out->len) ins_str_puts(out, before != NOTHING ? "\n\n" : "\n");
            before = NOTHING;
            line = next;
            continue;
        }
        size_t indent = strspn(line, " \t");
        bool bullet = is_bullet(line + indent);
        bool joined = unwrap && !bullet && ((before == PARAGRAPH && indent == 0) || (before == ITEM && indent > 0));
        if (joined) {
            line += indent;
            n -= indent;
        } else {
            if (before != NOTHING) ins_str_putc(out, '\n');
            before = bullet ? ITEM : indent > 0 ? VERBATIM : PARAGRAPH;
        }
        if (joined) ins_str_putc(out, ' ');
        ins_str_append(out, line, n);
        line = next;
    }
    while (out->len && (out->data[out->len - 1] == '\n' || out->data[out->len - 1] == ' ')) out->data[--out->len] = 0;
}

/* "short\n long..." as title and text, in the arena. */
static ins_status split_description(loader *ld, const char *value, description *out, ins_error *err) {
    const char *end = strchr(value, '\n');
    out->title = ins_arena_strndup(ld->out.arena, value, end ? (size_t)(end - value) : strlen(value));
    ins_str_clear(&ld->scratch);
    if (end) ins_package_text(end + 1, ld->unwrap, &ld->scratch);
    out->text = ins_arena_strndup(ld->out.arena, ld->scratch.data ? ld->scratch.data : "", ld->scratch.len);
    return out->title && out->text && !ld->scratch.oom ? INS_OK : no_memory(err);
}

static ins_status add_translation(loader *ld, int which, const char *md5, const char *value, ins_error *err) {
    if (ins_strmap_get(&ld->by_md5[which], md5) >= 0) return INS_OK;
    if (ld->n_texts[which] == ld->cap_texts[which]) {
        int64_t cap = ld->cap_texts[which] ? 2 * ld->cap_texts[which] : 1024;
        description *texts = ins_realloc(ld->texts[which], (size_t)cap * sizeof *texts);
        if (!texts) return no_memory(err);
        ld->texts[which] = texts;
        ld->cap_texts[which] = cap;
    }
    const char *key = ins_arena_strdup(ld->out.arena, md5);
    if (!key) return no_memory(err);
    INS_TRY(split_description(ld, value, &ld->texts[which][ld->n_texts[which]], err));
    bool added;
    return ins_strmap_add(&ld->by_md5[which], key, ld->n_texts[which]++, &added, err);
}

static ins_status grow_packages(loader *ld, ins_error *err) {
    int64_t cap = ld->out.cap ? 2 * ld->out.cap : 1024;
    ins_package *items = ins_realloc(ld->out.items, (size_t)cap * sizeof *items);
    if (items) ld->out.items = items;
    const char **md5 = ins_realloc(ld->md5, (size_t)cap * sizeof *md5);
    if (md5) ld->md5 = md5;
    if (!items || !md5) return no_memory(err);
    ld->out.cap = cap;
    return INS_OK;
}

/* Copy of a field with its continuation lines folded into one. */
static const char *folded(loader *ld, int field) {
    ins_str_clear(&ld->scratch);
    for (const char *at = value_of(&ld->st, field); *at; at++) {
        if (*at != '\n') {
            ins_str_putc(&ld->scratch, *at);
            continue;
        }
        ins_str_putc(&ld->scratch, ' ');
        while (at[1] == ' ' || at[1] == '\t') at++;
    }
    return ins_arena_strndup(ld->out.arena, ld->scratch.data ? ld->scratch.data : "", ld->scratch.len);
}

static ins_status add_package(loader *ld, ins_error *err) {
    const stanza *st = &ld->st;
    if (ins_strmap_get(&ld->names, value_of(st, F_PACKAGE)) >= 0) return INS_OK; /* in an earlier list */
    if (ld->out.n == ld->out.cap) INS_TRY(grow_packages(ld, err));
    ins_package *p = ld->out.items + ld->out.n;
    *p = (ins_package){.name = folded(ld, F_PACKAGE),
                       .source = folded(ld, F_SOURCE),
                       .version = folded(ld, F_VERSION),
                       .section = folded(ld, F_SECTION),
                       .maintainer = folded(ld, F_MAINTAINER),
                       .homepage = folded(ld, F_HOMEPAGE),
                       .depends = folded(ld, F_DEPENDS),
                       .tags = folded(ld, F_TAG)};
    ld->md5[ld->out.n] = ins_arena_strdup(ld->out.arena, value_of(st, F_MD5));
    if (!p->name || !p->source || !p->version || !p->section || !p->maintainer || !p->homepage || !p->depends ||
        !p->tags || !ld->md5[ld->out.n] || ld->scratch.oom) {
        return no_memory(err);
    }
    size_t n_source = strcspn(p->source, " ("); /* "Source: name (version)" */
    if (p->source[n_source]) p->source = ins_arena_strndup(ld->out.arena, p->source, n_source);
    if (!p->source) return no_memory(err);
    if (!*p->source) p->source = p->name;
    description own = {"", ""}; /* a list with whole descriptions in it */
    INS_TRY(split_description(ld, value_of(st, F_DESCRIPTION), &own, err));
    p->title = own.title;
    p->text = own.text;
    bool added;
    return ins_strmap_add(&ld->names, p->name, ld->out.n++, &added, err);
}

static ins_status stanza_end(loader *ld, ins_error *err) {
    stanza *st = &ld->st;
    if (!st->any) return INS_OK;
    for (int i = 0; i < F_COUNT; i++) {
        if (st->values[i].oom) return no_memory(err);
    }
    ins_status status = INS_OK;
    if (*value_of(st, F_VERSION) && *value_of(st, F_PACKAGE)) {
        status = add_package(ld, err);
    } else if (st->language[0] && *value_of(st, F_MD5)) {
        bool english = strcmp(st->language, "en") == 0, asked = strcmp(st->language, ld->source->language) == 0;
        if (english) status = add_translation(ld, 0, value_of(st, F_MD5), value_of(st, F_DESCRIPTION), err);
        if (asked && !english) status = add_translation(ld, 1, value_of(st, F_MD5), value_of(st, F_DESCRIPTION), err);
    }
    stanza_clear(st);
    return status;
}

static ins_status load_lines(loader *ld, ins_list_stream *list, const char *path, ins_error *err) {
    for (;;) {
        const char *line;
        size_t n;
        bool end;
        INS_TRY(ins_stream_line(list->stream, LIST_LINE_MAX, &line, &n, &end, err));
        if (end || n == 0) INS_TRY(stanza_end(ld, err));
        if (end) return INS_OK;
        if (n) INS_TRY(stanza_line(&ld->st, line, n, path, ins_stream_line_number(list->stream), err));
    }
}

static ins_status load_file(loader *ld, const char *path, ins_error *err) {
    ins_list_stream list;
    INS_TRY(ins_list_open(path, &list, err));
    stanza_clear(&ld->st);
    ins_status status = load_lines(ld, &list, path, err);
    if (status == INS_OK) return ins_list_close(&list, err);
    ins_list_abort(&list);
    ins_error_frame(err, "reading package list '%s'", path);
    return status;
}

/* Give every record its descriptions; those without one in the language asked for go. */
static void join(loader *ld) {
    int64_t kept = 0;
    for (int64_t i = 0; i < ld->out.n; i++) {
        ins_package p = ld->out.items[i];
        int64_t english = ins_strmap_get(&ld->by_md5[0], ld->md5[i]);
        int64_t foreign = ins_strmap_get(&ld->by_md5[1], ld->md5[i]);
        if (english >= 0) {
            p.title = ld->texts[0][english].title;
            p.text = ld->texts[0][english].text;
        }
        if (ld->foreign) {
            if (foreign < 0) continue;
            p.title_en = p.title;
            p.text_en = p.text;
            p.title = ld->texts[1][foreign].title;
            p.text = ld->texts[1][foreign].text;
        } else if (!*p.text && !*p.title) {
            continue;
        }
        ld->out.items[kept++] = p;
    }
    ld->out.n = kept;
}

static int by_name(const void *one, const void *two) {
    return strcmp(((const ins_package *)one)->name, ((const ins_package *)two)->name);
}

static void loader_free(loader *ld) {
    for (int i = 0; i < F_COUNT; i++) ins_str_free(&ld->st.values[i]);
    for (int i = 0; i < 2; i++) {
        ins_free(ld->texts[i]);
        ins_strmap_free(&ld->by_md5[i]);
    }
    ins_strmap_free(&ld->names);
    ins_str_free(&ld->scratch);
    ins_free(ld->md5);
}

ins_status ins_packages_load(const ins_apt_source *source, bool unwrap, const ins_log *log, ins_packages *out,
                             ins_error *err) {
    ins_files files = {0};
    INS_TRY(ins_apt_lists(source, log, &files, err));
    loader ld = {.source = source, .unwrap = unwrap, .foreign = strcmp(source->language, "en") != 0};
    ld.out.arena = ins_arena_new(1 << 20);
    ins_status status = ld.out.arena ? INS_OK : no_memory(err);
    for (int64_t i = 0; i < files.n && status == INS_OK; i++) status = load_file(&ld, files.paths[i], err);
    if (status == INS_OK) {
        join(&ld);
        if (ld.out.n) qsort(ld.out.items, (size_t)ld.out.n, sizeof *ld.out.items, by_name);
    }
    loader_free(&ld);
    ins_files_free(&files);
    if (status != INS_OK) {
        ins_packages_free(&ld.out);
        return status;
    }
    *out = ld.out;
    return INS_OK;
}

void ins_packages_free(ins_packages *packages) {
    ins_arena_free(packages->arena);
    ins_free(packages->items);
    *packages = (ins_packages){0};
}

ins_status ins_packages_fingerprint(const ins_apt_source *source, ins_str *out, uint64_t *bytes, ins_error *err) {
    ins_files files = {0};
    INS_TRY(ins_apt_lists(source, NULL, &files, err));
    ins_status status = ins_files_fingerprint(&files, out, bytes, err);
    ins_files_free(&files);
    return status;
}
