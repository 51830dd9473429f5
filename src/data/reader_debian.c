/* Descriptions of Debian packages, from apt's own index (Packages and Translation lists, joined by Description-md5).
 *
 * Fields: id (package), group (source package), section, title (short description), text (long description, paragraphs
 * separated by an empty line), version, homepage, maintainer, depends, tags; text_en and title_en with another
 * language. */
#include <string.h>

#include "data/packages.h"
#include "data/reader_common.h"

typedef struct debian_options {
    ins_reader_common common;
    ins_apt_source source;
    bool unwrap;
} debian_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(debian_options),
    INS_APT_ROWS(debian_options, source),
    {.name = "unwrap",
     .type = INS_OPT_BOOL,
     .offset = offsetof(debian_options, unwrap),
     .def = "true",
     .help = "Join the lines of a paragraph; false keeps the lists' line breaks."},
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'debian'", rows, sizeof(debian_options)};

typedef struct debian_state {
    ins_packages packages;
    int64_t at;
} debian_state;

static ins_status debian_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    const debian_options *o = options;
    debian_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for reader 'debian'");
    *state = s;
    return ins_packages_load(&o->source, o->unwrap, log, &s->packages, err);
}

static void debian_close(void *state) {
    debian_state *s = state;
    if (!s) return;
    ins_packages_free(&s->packages);
    ins_free(s);
}

/* Strings of the records outlive the documents: no copies. */
static ins_status debian_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    debian_state *s = state;
    *end = s->at >= s->packages.n;
    if (*end) return INS_OK;
    const ins_package *p = s->packages.items + s->at++;
    const struct {
        const char *name, *value;
        bool always;
    } fields[] = {
        {"id", p->name, true},
        {"group", p->source, true},
        {"section", p->section, true},
        {"title", p->title, true},
        {"text", p->text, true},
        {"version", p->version, false},
        {"homepage", p->homepage, false},
        {"maintainer", p->maintainer, false},
        {"depends", p->depends, false},
        {"tags", p->tags, false},
        {"title_en", p->title_en, false},
        {"text_en", p->text_en, false},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!fields[i].value || (!*fields[i].value && !fields[i].always)) continue;
        INS_TRY(ins_document_take(doc, fields[i].name, fields[i].value, strlen(fields[i].value), err));
    }
    return INS_OK;
}

static ins_status debian_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    return ins_packages_fingerprint(&((const debian_options *)options)->source, out, bytes, err);
}

const ins_reader_desc ins_reader_debian = {
    .head = {.family = "reader",
             .name = "debian",
             .aliases = "apt",
             .summary = "Descriptions of Debian packages with section, source and tags, from apt's own index.",
             .version = 1,
             .options = &table},
    .open = debian_open,
    .next = debian_next,
    .close = debian_close,
    .fingerprint = debian_fingerprint,
};
