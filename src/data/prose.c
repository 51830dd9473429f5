/* Reflowing laid-out text. */
#include "data/prose.h"

#include <string.h>

typedef struct prose_line {
    const char *text; /* behind its indentation */
    size_t n, indent; /* without trailing spaces; bytes, columns */
} prose_line;

/* The line at *at; moves behind it. False at the end. */
static bool next_line(const char **at, const char *end, prose_line *line) {
    if (*at >= end) return false;
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    const char *text = *at, *last = stop ? stop : end;
    *at = stop ? stop + 1 : end;
    size_t indent = 0;
    for (; text < last && (*text == ' ' || *text == '\t'); text++)
        indent = *text == ' ' ? indent + 1 : (indent | 7) + 1;
    while (last > text && (last[-1] == ' ' || last[-1] == '\t' || last[-1] == '\r')) last--;
    *line = (prose_line){text, (size_t)(last - text), indent};
    return true;
}

/* Characters of UTF-8 text, invalid bytes counted as one each. */
static size_t width_of(const char *text, size_t n) {
    size_t width = 0;
    for (size_t i = 0; i < n; i++) width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* "1. ", "12. ", "(a) ", "- ", "* " */
static bool is_item(const prose_line *line) {
    const char *at = line->text, *end = at + line->n;
    if (line->n > 2 && (*at == '-' || *at == '*') && at[1] == ' ') return true;
    bool bracket = at < end && *at == '(';
    if (bracket) at++;
    size_t n = 0;
    while (at < end && n < 3 && ((*at >= '0' && *at <= '9') || (bracket && *at >= 'a' && *at <= 'z'))) at++, n++;
    return n > 0 && end - at > 1 && *at == (bracket ? ')' : '.') && at[1] == ' ';
}

/* hanging: the text's first line, or a list item: what follows may stand further right. */
static bool was_broken(const prose_line *line, const prose_line *next, bool hanging, size_t full) {
    bool aligned = line->indent == next->indent || (hanging && next->indent > line->indent);
    if (!aligned || line->n == 0 || next->n == 0 || is_item(next)) return false;
    size_t word = 0;
    while (word < next->n && next->text[word] != ' ') word++;
    return line->indent + width_of(line->text, line->n) + 1 + width_of(next->text, word) > full;
}

void ins_prose_reflow(const char *text, size_t n, size_t full, ins_str *out) {
    const char *end = text + n, *at = text;
    prose_line line, next;
    size_t common = SIZE_MAX;
    while (next_line(&at, end, &line)) {
        if (line.n && line.indent < common) common = line.indent;
    }
    size_t start = out->len;
    bool blank = false;
    at = text;
    bool more = next_line(&at, end, &line);
    while (more) {
        bool followed = next_line(&at, end, &next);
        if (line.n == 0) {
            blank = out->len > start;
        } else {
            if (blank) ins_str_putc(out, '\n');
            blank = false;
            for (size_t i = common; i < line.indent; i++) ins_str_putc(out, ' ');
            ins_str_append(out, line.text, line.n);
            bool hanging = out->len - start == line.n + line.indent - common || is_item(&line);
            while (full && followed && was_broken(&line, &next, hanging, full)) {
                hanging = false;
                ins_str_putc(out, ' ');
                ins_str_append(out, next.text, next.n);
                line = next;
                followed = next_line(&at, end, &next);
            }
            ins_str_putc(out, '\n');
        }
        line = next;
        more = followed;
    }
    if (out->len > start && !out->oom) out->data[--out->len] = 0;
}

size_t ins_prose_part(const char *text, size_t n, size_t most) {
    if (n <= most) return n;
    static const char *const ends[] = {"\n\n", "\n", ". ", " "};
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++) {
        size_t length = strlen(ends[e]);
        for (size_t at = most; at > most / 2 && at >= length; at--) {
            if (memcmp(text + at - length, ends[e], length) == 0) return at;
        }
    }
    while (most > 1 && ((unsigned char)text[most] & 0xc0) == 0x80) most--;
    return most;
}

size_t ins_prose_unstrike(char *text, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] != '\b') {
            text[kept++] = text[i];
            continue;
        }
        while (kept > 0 && ((unsigned char)text[kept - 1] & 0xc0) == 0x80) kept--;
        if (kept > 0) kept--;
    }
    return kept;
}
