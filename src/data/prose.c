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

static bool was_broken(const prose_line *line, const prose_line *next, size_t full) {
    if (line->indent != next->indent || line->n == 0 || next->n == 0) return false;
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
            while (full && followed && was_broken(&line, &next, full)) {
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
