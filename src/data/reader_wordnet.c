/* Glosses of WordNet's data files (data.noun, data.verb, data.adj, data.adv; format: wndb(5)).
 *
 *   00001740 03 n 01 entity 0 003 ~ 00001930 n 0000 ... | that which is perceived...; "an example"
 *
 * Fields: id (part of speech + offset), group (the same), title (the words, separated by ", "), text (the gloss),
 * section (WordNet's topic, such as noun.animal). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/cursor.h"
#include "data/reader_common.h"

typedef struct wordnet_options {
    ins_reader_common common;
    ins_source source;
} wordnet_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(wordnet_options),
    INS_SOURCE_ROWS(wordnet_options, source),
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'wordnet'", rows, sizeof(wordnet_options)};

static const char *const wanted[] = {"*/data.noun", "*/data.verb", "*/data.adj", "*/data.adv", NULL};

/* Lexicographer files by number: lexnames(5). */
static const char *const topics[] = {"adj.all",          "adj.pert",           "adv.all",
                                     "noun.Tops",        "noun.act",           "noun.animal",
                                     "noun.artifact",    "noun.attribute",     "noun.body",
                                     "noun.cognition",   "noun.communication", "noun.event",
                                     "noun.feeling",     "noun.food",          "noun.group",
                                     "noun.location",    "noun.motive",        "noun.object",
                                     "noun.person",      "noun.phenomenon",    "noun.plant",
                                     "noun.possession",  "noun.process",       "noun.quantity",
                                     "noun.relation",    "noun.shape",         "noun.state",
                                     "noun.substance",   "noun.time",          "verb.body",
                                     "verb.change",      "verb.cognition",     "verb.communication",
                                     "verb.competition", "verb.consumption",   "verb.contact",
                                     "verb.creation",    "verb.emotion",       "verb.motion",
                                     "verb.perception",  "verb.possession",    "verb.social",
                                     "verb.stative",     "verb.weather",       "adj.ppl"};
enum { N_TOPICS = sizeof topics / sizeof *topics };

typedef struct wordnet_state {
    ins_cursor cursor;
} wordnet_state;

static ins_status wordnet_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    wordnet_state *s = ins_calloc(1, sizeof *s);
    if (!s) return INS_FAIL(err, INS_NOMEM, "out of memory for reader 'wordnet'");
    *state = s;
    return ins_cursor_open(&((const wordnet_options *)options)->source, wanted, log, &s->cursor, err);
}

static void wordnet_close(void *state) {
    wordnet_state *s = state;
    if (!s) return;
    ins_cursor_close(&s->cursor);
    ins_free(s);
}

/* Next space-separated column of [*at, end) into word; false when there is none or it is too long. */
static bool column(const char **at, const char *end, char *word, size_t size) {
    while (*at < end && **at == ' ') ++*at;
    size_t n = 0;
    while (*at < end && **at != ' ') {
        if (n + 1 == size) return false;
        word[n++] = *(*at)++;
    }
    word[n] = 0;
    return n > 0;
}

/* "physical_entity" -> "physical entity", "galore(ip)" -> "galore". */
static void append_lemma(ins_str *title, const char *word) {
    if (title->len) ins_str_puts(title, ", ");
    for (const char *at = word; *at && !(*at == '(' && at > word); at++) ins_str_putc(title, *at == '_' ? ' ' : *at);
}

static ins_status bad_line(const wordnet_state *s, ins_error *err) {
    return INS_CURSOR_FAIL(err, &s->cursor, "this line is no synset of WordNet");
}

static ins_status parse(wordnet_state *s, const char *line, size_t n, ins_document *doc, ins_error *err) {
    const char *end = line + n, *at = line, *bar = memmem(line, n, " | ", 3);
    char offset[16], topic[8], kind[4], count[8], word[256], lex[8];
    if (!bar || !column(&at, bar, offset, sizeof offset) || !column(&at, bar, topic, sizeof topic) ||
        !column(&at, bar, kind, sizeof kind) || !column(&at, bar, count, sizeof count)) {
        return bad_line(s, err);
    }
    long n_words = strtol(count, NULL, 16), n_topic = strtol(topic, NULL, 10);
    if (n_words < 1 || n_topic < 0 || n_topic >= N_TOPICS) return bad_line(s, err);
    ins_str title = {0};
    for (long i = 0; i < n_words; i++) {
        if (!column(&at, bar, word, sizeof word) || !column(&at, bar, lex, sizeof lex)) {
            ins_str_free(&title);
            return bad_line(s, err);
        }
        append_lemma(&title, word);
    }
    const char *gloss = bar + 3;
    while (end > gloss && (end[-1] == ' ' || end[-1] == ';')) end--;
    char id[24];
    snprintf(id, sizeof id, "%.3s%.15s", kind, offset);
    ins_status status =
        title.oom ? INS_FAIL(err, INS_NOMEM, "out of memory for a document") : ins_document_puts(doc, "id", id, err);
    if (status == INS_OK) status = ins_document_puts(doc, "group", id, err);
    if (status == INS_OK) status = ins_document_set(doc, "title", title.data, title.len, err);
    if (status == INS_OK) status = ins_document_puts(doc, "section", topics[n_topic], err);
    if (status == INS_OK) status = ins_document_set(doc, "text", gloss, (size_t)(end - gloss), err);
    ins_str_free(&title);
    return status;
}

static ins_status wordnet_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    wordnet_state *s = state;
    for (bool file_end = false;;) {
        if (!s->cursor.stream || file_end) {
            INS_TRY(ins_cursor_next_file(&s->cursor, end, err));
            if (*end) return INS_OK;
        }
        const char *line;
        size_t n;
        INS_TRY(ins_cursor_line(&s->cursor, &line, &n, &file_end, err));
        if (file_end || n == 0 || *line == ' ') continue; /* the licence at the top is indented */
        doc->source = ins_cursor_pos(&s->cursor);
        *end = false;
        return parse(s, line, n, doc, err);
    }
}

static ins_status wordnet_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    return ins_source_fingerprint(&((const wordnet_options *)options)->source, wanted, out, bytes, err);
}

static uint64_t wordnet_position(const void *state) {
    return ins_cursor_bytes(&((const wordnet_state *)state)->cursor);
}

static void wordnet_check(const void *options, ins_pos pos, ins_diag *diag) {
    ins_source_check(&((const wordnet_options *)options)->source, "wordnet", pos, diag);
}

const ins_reader_desc ins_reader_wordnet = {
    .head = {.family = "reader",
             .name = "wordnet",
             .summary = "Glosses of WordNet's data files (package wordnet-base), one document a synset.",
             .version = 1,
             .options = &table,
             .check = wordnet_check},
    .open = wordnet_open,
    .next = wordnet_next,
    .close = wordnet_close,
    .fingerprint = wordnet_fingerprint,
    .position = wordnet_position,
};
