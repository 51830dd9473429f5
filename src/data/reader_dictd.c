/* Dictionaries in dictd's format: NAME.index (headword, offset and length in base 64) and NAME.dict or NAME.dict.dz.
 *
 * Fields: id ("NAME:headword"), group (the same), title (headword), text (the entry, its page layout undone), section
 * (a leading "<topic>" mark, as FOLDOC has). Entries that describe the database itself (00-database...) are left out.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "data/cursor.h"
#include "data/prose.h"
#include "data/reader_common.h"

#define DICT_MAX  ((uint64_t)1 << 31)
#define DICT_FULL 60 /* characters of a line that was broken for want of room */

typedef struct dictd_options {
    ins_reader_common common;
    ins_source source;
    bool unwrap, links;
} dictd_options;

static const ins_opt_row rows[] = {
    INS_READER_ROWS(dictd_options),
    INS_SOURCE_ROWS(dictd_options, source),
    {.name = "unwrap",
     .type = INS_OPT_BOOL,
     .offset = offsetof(dictd_options, unwrap),
     .def = "true",
     .help = "Join the lines of a paragraph; false keeps line breaks."},
    {.name = "links",
     .type = INS_OPT_BOOL,
     .offset = offsetof(dictd_options, links),
     .def = "false",
     .help = "Keep the braces of cross-references, as in {hash table}."},
    {.name = NULL},
};

static const ins_opt_table table = {"reader 'dictd'", rows, sizeof(dictd_options)};

static const char *const wanted[] = {"*.index", NULL};

typedef struct dict_entry {
    uint64_t offset, length;
    size_t word; /* in state.words */
} dict_entry;

typedef struct dictd_state {
    const dictd_options *options;
    ins_files files; /* pairs: index, dictionary */
    int64_t at_file;
    ins_str dict, words, body;
    dict_entry *entries; /* of the current file, by offset */
    int64_t n, cap, at;
    char name[128]; /* of the current file */
    uint64_t done, in_file;
} dictd_state;

static ins_status no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory for a dictionary");
}

/* Each index (or dictionary) that was named, with its other half: a list of pairs. */
static ins_status find_pairs(const ins_source *source, const ins_log *log, ins_files *pairs, ins_error *err) {
    static const char *const endings[] = {".index", ".dict.dz", ".dict"};
    ins_files found = {0};
    INS_TRY(ins_source_files(source, wanted, log, &found, err));
    ins_status status = INS_OK;
    char last[PATH_MAX] = "";
    pairs->origin = found.origin;
    found.origin = (ins_str){0};
    for (int64_t i = 0; i < found.n && status == INS_OK; i++) {
        char base[PATH_MAX - 16], path[PATH_MAX];
        size_t n = strlen(found.paths[i]), cut = 0;
        for (size_t e = 0; e < 3 && !cut; e++) {
            size_t ending = strlen(endings[e]);
            if (n > ending && strcmp(found.paths[i] + n - ending, endings[e]) == 0) cut = ending;
        }
        if (!cut || n - cut >= sizeof base) {
            status = INS_FAIL(err, INS_DATA, "'%s' is neither an .index nor a .dict file", found.paths[i]);
            break;
        }
        memcpy(base, found.paths[i], n - cut);
        base[n - cut] = 0;
        if (strcmp(base, last) == 0) continue; /* the other half was named too */
        snprintf(last, sizeof last, "%s", base);
        snprintf(path, sizeof path, "%s.index", base);
        status = ins_files_push(pairs, path, err);
        snprintf(path, sizeof path, "%s.dict.dz", base);
        if (!ins_file_exists(path)) snprintf(path, sizeof path, "%s.dict", base);
        if (status == INS_OK) status = ins_files_push(pairs, path, err);
    }
    ins_files_free(&found);
    return status;
}

static ins_status dictd_open(const void *options, const ins_log *log, void **state, ins_error *err) {
    dictd_state *s = ins_calloc(1, sizeof *s);
    if (!s) return no_memory(err);
    s->options = options;
    *state = s;
    return find_pairs(&s->options->source, log, &s->files, err);
}

static void dictd_close(void *state) {
    dictd_state *s = state;
    if (!s) return;
    ins_files_free(&s->files);
    ins_str_free(&s->dict);
    ins_str_free(&s->words);
    ins_str_free(&s->body);
    ins_free(s->entries);
    ins_free(s);
}

static bool base64_number(const char *text, size_t n, uint64_t *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit || value > UINT64_MAX >> 7) return false;
        value = value << 6 | (uint64_t)(digit - digits);
    }
    *out = value;
    return n > 0;
}

static ins_status index_line(dictd_state *s, const char *line, size_t n, ins_pos pos, ins_error *err) {
    const char *tab = memchr(line, '\t', n);
    const char *tab2 = tab ? memchr(tab + 1, '\t', n - (size_t)(tab + 1 - line)) : NULL;
    dict_entry e = {.word = s->words.len};
    if (tab2) {
        const char *stop = memchr(tab2 + 1, '\t', n - (size_t)(tab2 + 1 - line)); /* a fourth column may follow */
        const char *end = stop ? stop : line + n;
        if (base64_number(tab + 1, (size_t)(tab2 - tab - 1), &e.offset) &&
            base64_number(tab2 + 1, (size_t)(end - tab2 - 1), &e.length) && e.offset <= s->dict.len &&
            e.length <= s->dict.len - e.offset) {
            if (strncmp(line, "00database", 10) == 0 || strncmp(line, "00-database", 11) == 0 || e.length == 0) {
                return INS_OK;
            }
            if (s->n == s->cap) {
                int64_t cap = s->cap ? 2 * s->cap : 4096;
                dict_entry *entries = ins_realloc(s->entries, (size_t)cap * sizeof *entries);
                if (!entries) return no_memory(err);
                s->entries = entries;
                s->cap = cap;
            }
            ins_str_append(&s->words, line, (size_t)(tab - line));
            ins_str_putc(&s->words, 0);
            s->entries[s->n++] = e;
            return s->words.oom ? no_memory(err) : INS_OK;
        }
    }
    INS_FAIL(err, INS_DATA, "this line of a dictionary's index is no 'word, offset, length' inside the dictionary");
    ins_error_at(err, pos);
    return INS_DATA;
}

static int by_place(const void *one, const void *two) {
    const dict_entry *e1 = one, *e2 = two;
    if (e1->offset != e2->offset) return e1->offset < e2->offset ? -1 : 1;
    if (e1->length != e2->length) return e1->length < e2->length ? -1 : 1;
    return e1->word < e2->word ? -1 : e1->word > e2->word; /* order of the index */
}

static ins_status read_dict(dictd_state *s, const char *path, ins_error *err) {
    ins_stream *stream = NULL;
    INS_TRY(ins_stream_open(path, &stream, err));
    char buf[65536];
    ins_status status = INS_OK;
    ins_str_clear(&s->dict);
    for (size_t got = 1; got && status == INS_OK;) {
        status = ins_stream_read(stream, buf, sizeof buf, &got, err);
        if (status == INS_OK) ins_str_append(&s->dict, buf, got);
        if (s->dict.oom) status = no_memory(err);
        if (s->dict.len > DICT_MAX) status = INS_FAIL(err, INS_DATA, "dictionary '%s' is too large", path);
    }
    s->in_file = ins_stream_bytes_in(stream);
    ins_stream_close(stream);
    return status;
}

static ins_status read_index(dictd_state *s, const char *path, ins_error *err) {
    ins_stream *stream = NULL;
    INS_TRY(ins_stream_open(path, &stream, err));
    ins_status status = INS_OK;
    s->n = s->at = 0;
    ins_str_clear(&s->words);
    for (bool end = false; status == INS_OK;) {
        const char *line;
        size_t n;
        status = ins_stream_line(stream, 1 << 20, &line, &n, &end, err);
        if (status != INS_OK || end) break;
        ins_pos pos = {path, (int)ins_stream_line_number(stream), 0};
        if (n) status = index_line(s, line, n, pos, err);
    }
    ins_stream_close(stream);
    if (status == INS_OK && s->n) qsort(s->entries, (size_t)s->n, sizeof *s->entries, by_place);
    return status;
}

static ins_status next_dictionary(dictd_state *s, bool *end, ins_error *err) {
    *end = s->at_file >= s->files.n;
    if (*end) return INS_OK;
    const char *index = s->files.paths[s->at_file], *dict = s->files.paths[s->at_file + 1];
    s->at_file += 2;
    s->done += s->in_file;
    snprintf(s->name, sizeof s->name, "%.*s", (int)strcspn(ins_path_base(index), "."), ins_path_base(index));
    INS_TRY(read_dict(s, dict, err));
    return read_index(s, index, err);
}

static bool starts_with_word(const char *text, size_t n, const char *word) {
    size_t length = strlen(word);
    return length <= n && strncasecmp(text, word, length) == 0;
}

/* The headword of entries [first, last), all at one place: the longest one that the text itself begins with, in the
 * text's own capitals; else the first. */
static const char *headword(const dictd_state *s, int64_t first, int64_t last, const char *text, size_t n,
                            size_t *size) {
    const char *best = NULL;
    *size = 0;
    for (int64_t i = first; i < last; i++) {
        const char *word = s->words.data + s->entries[i].word;
        if (starts_with_word(text, n, word) && strlen(word) > *size) {
            best = text;
            *size = strlen(word);
        }
    }
    if (best) return best;
    *size = strlen(s->words.data + s->entries[first].word);
    return s->words.data + s->entries[first].word;
}

/* Lines at the top of an entry that hold nothing but one of its headwords. */
static size_t headword_lines(const dictd_state *s, int64_t first, int64_t last, const char *text, size_t n) {
    size_t at = 0;
    while (at < n) {
        const char *stop = memchr(text + at, '\n', n - at);
        size_t size = stop ? (size_t)(stop - text) - at : n - at;
        bool is_word = size == 0;
        for (int64_t i = first; i < last && !is_word; i++) {
            const char *word = s->words.data + s->entries[i].word;
            is_word = strlen(word) == size && strncasecmp(text + at, word, size) == 0;
        }
        if (!is_word) return at;
        at += size + (stop ? 1 : 0);
    }
    return 0; /* nothing but headwords: keep them */
}

/* Lines that only say where a sense is from, as the GNU dictionary of English has after every one. */
static bool is_source_mark(const char *line, size_t n) {
    static const char *const marks[] = {"[1913 Webster", "[Webster", "[WordNet", "[PJC", "[RP", "[AS"};
    while (n > 0 && *line == ' ') line++, n--;
    if (n < 2 || line[n - 1] != ']' || memchr(line, ']', n - 1)) return false;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        if (strlen(marks[i]) < n && memcmp(line, marks[i], strlen(marks[i])) == 0) return true;
    }
    return false;
}

/* The entry without source marks. */
static void clean_body(dictd_state *s, const char *text, size_t n) {
    ins_str_clear(&s->body);
    for (size_t at = 0; at < n;) {
        const char *stop = memchr(text + at, '\n', n - at);
        size_t size = stop ? (size_t)(stop - text) - at : n - at;
        if (!is_source_mark(text + at, size)) {
            ins_str_append(&s->body, text + at, size);
            ins_str_putc(&s->body, '\n');
        }
        at += size + 1;
    }
}

/* The braces of links go after reflowing, or the lines would look shorter than they were. */
static void remove_braces(ins_str *text) {
    size_t kept = 0;
    for (size_t i = 0; i < text->len; i++) {
        if (text->data[i] != '{' && text->data[i] != '}') text->data[kept++] = text->data[i];
    }
    text->len = kept;
}

/* "<language, robotics> text": the topic becomes a field. */
static ins_status take_topic(ins_document *doc, const char **text, size_t *n, ins_error *err) {
    if (*n < 3 || **text != '<') return INS_OK;
    const char *stop = memchr(*text, '>', *n < 64 ? *n : 64);
    size_t size = stop ? (size_t)(stop - *text) - 1 : 0;
    if (!stop || size == 0 || memchr(*text, '\n', size) || memchr(*text, '@', size)) return INS_OK;
    INS_TRY(ins_document_set(doc, "section", *text + 1, size, err));
    *text = stop + 1;
    *n -= size + 2;
    while (*n && (**text == ' ' || **text == '\n')) ++*text, --*n;
    return INS_OK;
}

static ins_status emit(dictd_state *s, int64_t first, int64_t last, ins_document *doc, ins_error *err) {
    const char *text = s->dict.data + s->entries[first].offset;
    size_t n = s->entries[first].length, title_n;
    while (n && (*text == '\n' || *text == '\r')) text++, n--;
    size_t skip = headword_lines(s, first, last, text, n);
    const char *title = headword(s, first, last, text, n, &title_n);
    clean_body(s, text + skip, n - skip);
    ins_str out = {0};
    ins_prose_reflow(s->body.data ? s->body.data : "", s->body.len, s->options->unwrap ? DICT_FULL : 0, &out);
    if (!s->options->links && out.len && !out.oom) remove_braces(&out);
    const char *id = ins_arena_printf(doc->arena, "%s:%s", s->name, s->words.data + s->entries[first].word);
    ins_status status = id && !out.oom && !s->body.oom ? INS_OK : no_memory(err);
    const char *body = out.data ? out.data : "";
    size_t body_n = out.len;
    if (status == INS_OK) status = ins_document_puts(doc, "id", id, err);
    if (status == INS_OK) status = ins_document_puts(doc, "group", id, err);
    if (status == INS_OK) status = ins_document_set(doc, "title", title, title_n, err);
    if (status == INS_OK) status = take_topic(doc, &body, &body_n, err);
    if (status == INS_OK) status = ins_document_set(doc, "text", body, body_n, err);
    ins_str_free(&out);
    return status;
}

static ins_status dictd_next(void *state, ins_document *doc, bool *end, ins_error *err) {
    dictd_state *s = state;
    while (s->at >= s->n) {
        INS_TRY(next_dictionary(s, end, err));
        if (*end) return INS_OK;
    }
    *end = false;
    int64_t first = s->at, last = first + 1;
    while (last < s->n && s->entries[last].offset == s->entries[first].offset &&
           s->entries[last].length == s->entries[first].length) {
        last++;
    }
    s->at = last;
    doc->source = (ins_pos){s->files.paths[s->at_file - 1], 0, 0};
    return emit(s, first, last, doc, err);
}

static ins_status dictd_fingerprint(const void *options, ins_str *out, uint64_t *bytes, ins_error *err) {
    ins_files pairs = {0};
    ins_status status = find_pairs(&((const dictd_options *)options)->source, NULL, &pairs, err);
    if (status == INS_OK) status = ins_files_fingerprint(&pairs, out, bytes, err);
    ins_files_free(&pairs);
    return status;
}

static uint64_t dictd_position(const void *state) {
    const dictd_state *s = state;
    uint64_t part = s->n ? (uint64_t)((double)s->in_file * (double)s->at / (double)s->n) : 0;
    return s->done + part;
}

static void dictd_check(const void *options, ins_pos pos, ins_diag *diag) {
    ins_source_check(&((const dictd_options *)options)->source, "dictd", pos, diag);
}

const ins_reader_desc ins_reader_dictd = {
    .head = {.family = "reader",
             .name = "dictd",
             .summary = "Dictionaries in dictd's format (dict-foldoc, dict-gcide, ...), one document an entry.",
             .version = 1,
             .options = &table,
             .check = dictd_check},
    .open = dictd_open,
    .next = dictd_next,
    .close = dictd_close,
    .fingerprint = dictd_fingerprint,
    .position = dictd_position,
};
