/* Questions and answers made from Debian's package records.
 *
 *   section  "Which section is the package X in?"        -> its section
 *   what     "What is X?"                                -> its short description
 *   which    "Which package is this: <description>?"     -> X (only where no other package is described so)
 *
 * Fields: id ("X:what"), group (source package), kind, section, prompt, response; for kind section also choices (one a
 * line) and answer (index of the right one, from 0). Phrasings and choices are drawn by a counter: they depend on the
 * seed, the package and the kind, on nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "data/packages.h"
#include "data/reader_common.h"
#include "data/strmap.h"

#define CHOICES_MAX 64

typedef enum qa_context { CONTEXT_NONE, CONTEXT_TITLE, CONTEXT_TEXT } qa_context;

typedef struct package_qa_options {
    ins_reader_common common;
    ins_apt_source source;
    ins_opt_strings kinds;
    int64_t per_package;
    int64_t choices;
    int context;
    bool varied;
    int64_t seed;
} package_qa_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(package_qa_options),
    INS_APT_ROWS(package_qa_options, source),
    {.name = "kinds",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(package_qa_options, kinds),
     .help = "Kinds of questions: section, what, which; default: all."},
    {.name = "per_package",
     .type = INS_OPT_INT,
     .offset = offsetof(package_qa_options, per_package),
     .def = "3",
     .min = 1,
     .max = 3,
     .unit = "questions",
     .help = "Questions a package at most; which of the kinds is drawn."},
    {.name = "choices",
     .type = INS_OPT_INT,
     .offset = offsetof(package_qa_options, choices),
     .def = "8",
     .min = 0,
     .max = CHOICES_MAX,
     .help = "Candidate sections of a section question, the right one among them; 0 gives no candidates."},
    {.name = "context",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(package_qa_options, context),
     .def = "title",
     .choices = "none title text",
     .help = "What a section question says about the package besides its name: its short or long description."},
    {.name = "varied",
     .type = INS_OPT_BOOL,
     .offset = offsetof(package_qa_options, varied),
     .def = "true",
     .help = "Several phrasings of each kind; false always takes the first."},
    {.name = "seed",
     .type = INS_OPT_SEED,
     .offset = offsetof(package_qa_options, seed),
     .def = "0",
     .help = "Seed of phrasings and choices."},
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'package-qa'", rows, sizeof(package_qa_options)};

enum { KIND_SECTION, KIND_WHAT, KIND_WHICH, N_KINDS };
enum { N_PHRASES = 4 };

/* {name} and {title} are replaced. */
static const struct {
    const char *name;
    const char *phrases[N_PHRASES];
} kinds[N_KINDS] = {
    [KIND_SECTION] = {"section",
                      {"Which section is the package {name} in?", "What section of the archive does {name} belong to?",
                       "In which section would I find {name}?", "Name the section of the package {name}."}},
    [KIND_WHAT] = {"what",
                   {"What is {name}?", "What does the package {name} provide?", "Describe {name} in one line.",
                    "Tell me what the package {name} is."}},
    [KIND_WHICH] = {"which",
                    {"Which package is this: {title}?", "Which package would I install for this: {title}?",
                     "Name the package with this description: {title}",
                     "What is the package called that is: {title}?"}},
};

typedef struct package_qa_state {
    const package_qa_options *options;
    ins_packages packages;
    ins_strmap titles; /* value 0; those seen twice are in `shared` */
    ins_strmap shared;
    ins_strmap section_of; /* name -> index in sections */
    const char **sections; /* distinct, in order of their first package */
    int64_t n_sections;
    int64_t at;  /* package */
    int pending; /* bits of the kinds still to come for it */
    bool begun;
} package_qa_state;

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory for reader 'package-qa'");
}

static ins_status index_packages(package_qa_state *s, ins_error *err) {
    s->sections = ins_calloc((size_t)s->packages.n + 1, sizeof *s->sections);
    if (!s->sections) return no_memory(err);
    for (int64_t i = 0; i < s->packages.n; i++) {
        const ins_package *p = s->packages.items + i;
        bool added;
        INS_TRY(ins_strmap_add(&s->titles, p->title, 0, &added, err));
        if (!added) INS_TRY(ins_strmap_add(&s->shared, p->title, 0, &added, err));
        if (!*p->section) continue;
        INS_TRY(ins_strmap_add(&s->section_of, p->section, s->n_sections, &added, err));
        if (added) s->sections[s->n_sections++] = p->section;
    }
    return INS_OK;
}

static ins_status package_qa_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    package_qa_state *s = ins_calloc(1, sizeof *s);
    if (!s) return no_memory(err);
    s->options = options;
    *state = s;
    INS_TRY(ins_packages_load(&s->options->source, true, log, &s->packages, err));
    return index_packages(s, err);
}

static void package_qa_close(void *state) {
    package_qa_state *s = state;
    if (!s) return;
    ins_packages_free(&s->packages);
    ins_strmap_free(&s->titles);
    ins_strmap_free(&s->shared);
    ins_strmap_free(&s->section_of);
    ins_free(s->sections);
    ins_free(s);
}

static bool kind_wanted(const package_qa_options *o, int kind) {
    for (int64_t i = 0; i < o->kinds.n; i++) {
        if (strcmp(o->kinds.items[i], kinds[kind].name) == 0) return true;
    }
    return o->kinds.n == 0;
}

/* Which kinds the package gets: those that make sense for it, thinned out to per_package. */
static int kinds_of(const package_qa_state *s, const ins_package *p) {
    int mask = 0, n = 0;
    for (int kind = 0; kind < N_KINDS; kind++) {
        bool sense = kind == KIND_SECTION ? *p->section != 0 : *p->title != 0;
        if (kind == KIND_WHICH && ins_strmap_get(&s->shared, p->title) >= 0) sense = false;
        if (!sense || !kind_wanted(s->options, kind)) continue;
        mask |= 1 << kind;
        n++;
    }
    ins_rng rng = ins_rng_start(ins_rng_derive((uint64_t)s->options->seed, p->name, N_KINDS), 0);
    for (; n > s->options->per_package; n--) {
        int drop = (int)ins_rng_below(&rng, (uint64_t)n), kind = 0;
        for (; !(mask >> kind & 1) || drop-- > 0; kind++) continue;
        mask &= ~(1 << kind);
    }
    return mask;
}

static void put_phrase(ins_str *out, const char *phrase, const ins_package *p) {
    while (*phrase) {
        if (strncmp(phrase, "{name}", 6) == 0) {
            ins_str_puts(out, p->name);
            phrase += 6;
        } else if (strncmp(phrase, "{title}", 7) == 0) {
            ins_str_puts(out, p->title);
            phrase += 7;
        } else {
            ins_str_putc(out, *phrase++);
        }
    }
}

static ins_status set_choices(const package_qa_state *s, const ins_package *p, ins_rng *rng, ins_document *doc,
                              ins_error *err) {
    int64_t wanted = s->options->choices < s->n_sections ? s->options->choices : s->n_sections;
    int64_t picked[CHOICES_MAX], own = ins_strmap_get(&s->section_of, p->section);
    picked[0] = own;
    for (int64_t n = 1; n < wanted;) {
        int64_t other = (int64_t)ins_rng_below(rng, (uint64_t)s->n_sections);
        int64_t i = 0;
        while (i < n && picked[i] != other) i++;
        if (i == n) picked[n++] = other;
    }
    int64_t answer = (int64_t)ins_rng_below(rng, (uint64_t)wanted); /* the right one changes places with this one */
    picked[0] = picked[answer];
    picked[answer] = own;
    ins_str text = {0};
    for (int64_t i = 0; i < wanted; i++) ins_str_printf(&text, "%s%s", i ? "\n" : "", s->sections[picked[i]]);
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)answer);
    ins_status status = text.oom ? no_memory(err) : ins_document_set(doc, "choices", text.data, text.len, err);
    if (status == INS_OK) status = ins_document_puts(doc, "answer", number, err);
    ins_str_free(&text);
    return status;
}

static ins_status emit(const package_qa_state *s, const ins_package *p, int kind, ins_document *doc, ins_error *err) {
    const package_qa_options *o = s->options;
    ins_rng rng = ins_rng_start(ins_rng_derive((uint64_t)o->seed, p->name, (uint64_t)kind), 0);
    int64_t phrase = (int64_t)ins_rng_below(&rng, N_PHRASES);
    const char *response = kind == KIND_SECTION ? p->section : kind == KIND_WHAT ? p->title : p->name;
    const char *id = ins_arena_printf(doc->arena, "%s:%s", p->name, kinds[kind].name);
    ins_str prompt = {0};
    const char *context = o->context == CONTEXT_TITLE ? p->title : o->context == CONTEXT_TEXT ? p->text : "";
    if (kind == KIND_SECTION && *context) ins_str_printf(&prompt, "%s: %s\n", p->name, context);
    put_phrase(&prompt, kinds[kind].phrases[o->varied ? phrase : 0], p);
    ins_status status = prompt.oom || !id ? no_memory(err) : INS_OK;
    if (status == INS_OK) status = ins_document_puts(doc, "id", id, err);
    if (status == INS_OK) status = ins_document_puts(doc, "group", p->source, err);
    if (status == INS_OK) status = ins_document_puts(doc, "kind", kinds[kind].name, err);
    if (status == INS_OK) status = ins_document_puts(doc, "section", p->section, err);
    if (status == INS_OK) status = ins_document_set(doc, "prompt", prompt.data, prompt.len, err);
    if (status == INS_OK) status = ins_document_puts(doc, "response", response, err);
    if (status == INS_OK && kind == KIND_SECTION && o->choices > 1) status = set_choices(s, p, &rng, doc, err);
    ins_str_free(&prompt);
    return status;
}

static ins_status package_qa_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    package_qa_state *s = state;
    for (;;) {
        *end = s->at >= s->packages.n;
        if (*end) return INS_OK;
        const ins_package *p = s->packages.items + s->at;
        if (!s->begun) s->pending = kinds_of(s, p);
        s->begun = s->pending != 0;
        if (!s->pending) {
            s->at++;
            continue;
        }
        int kind = __builtin_ctz((unsigned)s->pending);
        s->pending &= s->pending - 1;
        INS_TRY(emit(s, p, kind, doc, err));
        if (!s->pending) {
            s->at++;
            s->begun = false;
        }
        return INS_OK;
    }
}

static ins_status package_qa_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    return ins_packages_fingerprint(&((const package_qa_options *)options)->source, out, bytes, err);
}

static void package_qa_check(const void *options, ins_pos pos, ins_diag *diag) {
    const package_qa_options *o = options;
    const char *names[N_KINDS];
    for (int kind = 0; kind < N_KINDS; kind++) names[kind] = kinds[kind].name;
    for (int64_t i = 0; i < o->kinds.n; i++) {
        int kind = 0;
        while (kind < N_KINDS && strcmp(o->kinds.items[i], names[kind]) != 0) kind++;
        if (kind < N_KINDS) continue;
        const char *nearest = ins_nearest_name(o->kinds.items[i], names, N_KINDS);
        ins_diag_add(diag, INS_RECIPE, o->kinds.pos ? o->kinds.pos[i] : pos, nearest ? nearest : "section, what, which",
                     "'%s' is no kind of question", o->kinds.items[i]);
    }
}

const ins_reader_desc ins_reader_package_qa = {
    .head = {.family = "reader",
             .name = "package-qa",
             .aliases = "package_qa",
             .summary = "Questions and answers made from Debian's package records: section, what, which.",
             .version = 1,
             .options = &table,
             .check = package_qa_check},
    .open = package_qa_open,
    .next = package_qa_next,
    .close = package_qa_close,
    .fingerprint = package_qa_fingerprint,
};
