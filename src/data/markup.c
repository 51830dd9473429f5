/* Text out of XML-like markup. Not a parser: it never fails, and what it cannot make sense of it leaves out. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/prose.h"

typedef struct stripper {
    ins_str *out, *title;
    size_t start; /* of our text in out */
    bool space;   /* white space is owed before the next word */
    int breaks;   /* line breaks are owed */
    int in_title; /* depth */
    bool title_done;
    const char *skip; /* element whose contents go */
    size_t skip_n;
    int skip_depth;
} stripper;

static void put_char(stripper *s, const char *bytes, size_t n) {
    bool fresh = s->out->len == s->start;
    if (s->breaks && !fresh) {
        ins_str_append(s->out, "\n\n", s->breaks > 1 ? 2 : 1);
    } else if (s->space && !fresh) {
        ins_str_putc(s->out, ' ');
    }
    bool title = s->in_title && s->title && !s->title_done;
    if (title && (s->space || s->breaks) && s->title->len) ins_str_putc(s->title, ' ');
    if (title) ins_str_append(s->title, bytes, n);
    s->space = false;
    s->breaks = 0;
    ins_str_append(s->out, bytes, n);
}

static bool name_is(const char *name, size_t n, const char *word) {
    return strlen(word) == n && strncasecmp(name, word, n) == 0;
}

static bool name_in(const char *name, size_t n, const char *const *words) {
    for (; *words; words++) {
        if (name_is(name, n, *words)) return true;
    }
    return false;
}

static const char *const headings[] = {"title", "head", "h1", "h2", "h3", "h4", "h5", "h6", NULL};
static const char *const skipped[] = {"note", "script", "style", "figure", NULL};
static const char *const lines[] = {"l", "lb", "br", "item", "li", "row", "tr", "verse", "milestone", "lg", NULL};
static const char *const paragraphs[] = {"p",  "div", "chapter",    "list",    "table", "ul",   "ol", "dl",
                                         "dt", "dd",  "blockquote", "section", "pre",   "body", NULL};

/* body: what stands between < and >. */
static void handle_tag(stripper *s, const char *body, size_t n) {
    bool closing = n > 0 && *body == '/', empty = n > 0 && body[n - 1] == '/';
    if (closing) body++, n--;
    size_t name = 0;
    while (name < n && body[name] != ' ' && body[name] != '/' && body[name] != '\n' && body[name] != '\t') name++;
    if (s->skip) {
        if (!empty && name == s->skip_n && strncasecmp(body, s->skip, name) == 0) s->skip_depth += closing ? -1 : 1;
        if (s->skip_depth <= 0) s->skip = NULL;
        return;
    }
    if (name_in(body, name, skipped) && !closing && !empty) {
        s->skip = body;
        s->skip_n = name;
        s->skip_depth = 1;
    } else if (name_in(body, name, headings)) {
        s->breaks = 2;
        if (!empty) s->in_title += closing ? -1 : 1;
        if (s->in_title < 0) s->in_title = 0;
        if (closing && s->title && s->title->len) s->title_done = true;
    } else if (name_in(body, name, paragraphs)) {
        s->breaks = 2;
    } else if (name_in(body, name, lines)) {
        if (!s->breaks) s->breaks = 1;
    }
}

/* The character of "&name;" at text; returns the length of the entity, 0 when it is none. */
static size_t entity(const char *text, size_t n, char out[4], size_t *out_n) {
    static const struct {
        const char *name;
        uint32_t cp;
    } known[] = {{"amp", '&'},      {"lt", '<'},       {"gt", '>'},        {"quot", '"'},     {"apos", '\''},
                 {"nbsp", ' '},     {"mdash", 0x2014}, {"ndash", 0x2013},  {"lsquo", 0x2018}, {"rsquo", 0x2019},
                 {"ldquo", 0x201c}, {"rdquo", 0x201d}, {"hellip", 0x2026}, {"eacute", 0xe9},  {"egrave", 0xe8},
                 {"aelig", 0xe6},   {"AElig", 0xc6},   {"oelig", 0x153},   {"uuml", 0xfc},    {"ouml", 0xf6},
                 {"auml", 0xe4},    {"ccedil", 0xe7},  {"deg", 0xb0},      {"sect", 0xa7},    {"copy", 0xa9}};
    size_t end = 1;
    while (end < n && end < 12 && text[end] != ';') end++;
    if (end >= n || text[end] != ';' || end < 3) return 0;
    uint32_t cp = 0;
    if (text[1] == '#') {
        bool hex = text[2] == 'x' || text[2] == 'X';
        char digits[12] = {0};
        memcpy(digits, text + (hex ? 3 : 2), end - (hex ? 3 : 2));
        cp = (uint32_t)strtoul(digits, NULL, hex ? 16 : 10);
    } else {
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            if (strlen(known[i].name) == end - 1 && memcmp(text + 1, known[i].name, end - 1) == 0) cp = known[i].cp;
        }
    }
    if (cp == 0xa0) cp = ' ';
    if (cp < ' ' || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000)) return 0;
    *out_n = (size_t)ins_utf8_encode(cp, out);
    return end + 1;
}

/* A fragment may begin inside a tag: the first '>' comes before any '<'. */
static size_t leading_tag_part(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '<') return 0;
        if (text[i] == '>') return i + 1;
    }
    return 0;
}

void ins_prose_strip_markup(const char *text, size_t n, ins_str *out, ins_str *title) {
    stripper s = {.out = out, .title = title, .start = out->len};
    for (size_t i = leading_tag_part(text, n); i < n;) {
        if (text[i] == '<') {
            if (n - i >= 4 && memcmp(text + i, "<!--", 4) == 0) {
                const char *stop = memmem(text + i, n - i, "-->", 3);
                i = stop ? (size_t)(stop - text) + 3 : n;
                continue;
            }
            const char *stop = memchr(text + i, '>', n - i);
            if (!stop) break; /* it ends inside a tag */
            size_t after = (size_t)(stop - text) + 1;
            handle_tag(&s, text + i + 1, after - i - 2);
            i = after;
            continue;
        }
        char bytes[4] = {text[i]};
        size_t length = 1, used = 1;
        if (text[i] == '&') {
            used = entity(text + i, n - i, bytes, &length);
            if (used == 0) used = 1;
        }
        i += used;
        if (s.skip) continue;
        if (length == 1 && (bytes[0] == ' ' || bytes[0] == '\n' || bytes[0] == '\t' || bytes[0] == '\r')) {
            s.space = true;
        } else {
            put_char(&s, bytes, length);
        }
    }
}
