/* Pre-splitting by hand: every alternative of the regular expressions in their order. */
#include "text/text_split.h"

#include <utf8proc.h>

#include "base/str.h"

const char *const text_split_regex[TEXT_SPLIT_COUNT] = {
    [TEXT_SPLIT_GPT2] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    [TEXT_SPLIT_LLAMA3] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
                          "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    [TEXT_SPLIT_QWEN2] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
                         "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
};

typedef enum char_class { CLASS_OTHER, CLASS_LETTER, CLASS_NUMBER, CLASS_SPACE } char_class;

/* \s is the White_Space property, \p{L} and \p{N} are general categories. */
static char_class class_of(uint32_t cp) {
    if (cp < 0x80) {
        if ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z') return CLASS_LETTER;
        if (cp >= '0' && cp <= '9') return CLASS_NUMBER;
        return cp == ' ' || (cp >= '\t' && cp <= '\r') ? CLASS_SPACE : CLASS_OTHER;
    }
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return CLASS_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CLASS_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return CLASS_SPACE;
    default:
        return cp == 0x85 ? CLASS_SPACE : CLASS_OTHER;
    }
}

/* Class of the character at text[at] and its length in bytes; length 0 at the end. */
static char_class class_at(const unsigned char *text, size_t n, size_t at, size_t *length) {
    if (at >= n) {
        *length = 0;
        return CLASS_SPACE;
    }
    if (text[at] < 0x80) {
        *length = 1;
        return class_of(text[at]);
    }
    uint32_t cp;
    int len = ins_utf8_decode(text + at, n - at, &cp);
    *length = len ? (size_t)len : 1;
    return len ? class_of(cp) : CLASS_OTHER;
}

/* End of the run of `wanted` characters from `at` on, of at most max_chars. */
static size_t run_end(const unsigned char *text, size_t n, size_t at, char_class wanted, int64_t max_chars) {
    size_t length;
    while (max_chars-- > 0 && class_at(text, n, at, &length) == wanted && length) at += length;
    return at;
}

static unsigned char lower(unsigned char c, bool fold) {
    return fold && c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

/* Length of 's 't 're 've 'm 'll 'd at `at` (where an apostrophe stands), 0 if none. With `fold` in any case, where
 * U+017F (long s) is an s, too. */
static size_t contraction(const unsigned char *text, size_t n, size_t at, bool fold) {
    size_t left = n - at;
    if (left < 2) return 0;
    unsigned char first = lower(text[at + 1], fold);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if (left < 3) return 0;
    if (fold && text[at + 1] == 0xC5 && text[at + 2] == 0xBF) return 3;
    unsigned char second = lower(text[at + 2], fold);
    if ((first == 'r' || first == 'v') && second == 'e') return 3;
    return first == 'l' && second == 'l' ? 3 : 0;
}

/* \s+(?!\S)|\s+ : a run of spaces leaves its last one to the word behind it, unless it is the only one. */
static size_t space_end(const unsigned char *text, size_t n, size_t at) {
    size_t length, end = at, last = at;
    while (class_at(text, n, end, &length) == CLASS_SPACE && length) {
        last = end;
        end += length;
    }
    return end == n || last == at ? end : last;
}

static size_t gpt2_end(const unsigned char *text, size_t n, size_t at) {
    size_t length, next_length;
    if (text[at] == '\'') {
        length = contraction(text, n, at, false);
        if (length) return at + length;
    }
    char_class first = class_at(text, n, at, &length);
    if (first != CLASS_SPACE) return run_end(text, n, at + length, first, INT64_MAX);
    if (text[at] == ' ') {
        char_class next = class_at(text, n, at + 1, &next_length);
        if (next_length && next != CLASS_SPACE) return run_end(text, n, at + 1, next, INT64_MAX);
    }
    return space_end(text, n, at);
}

static bool is_newline(unsigned char c) {
    return c == '\r' || c == '\n';
}

/* [^\s\p{L}\p{N}]+[\r\n]* from `at` on. */
static size_t symbols_end(const unsigned char *text, size_t n, size_t at) {
    size_t end = run_end(text, n, at, CLASS_OTHER, INT64_MAX);
    while (end < n && is_newline(text[end])) end++;
    return end;
}

/* \s*[\r\n]+ : up to the last line end of the run of spaces; `at` when it has none. */
static size_t newline_end(const unsigned char *text, size_t n, size_t at) {
    size_t length, end = at, found = at;
    while (class_at(text, n, end, &length) == CLASS_SPACE && length) {
        end += length;
        if (is_newline(text[end - 1])) found = end;
    }
    return found;
}

static size_t llama3_end(const unsigned char *text, size_t n, size_t at, int64_t max_digits) {
    size_t length, next_length;
    if (text[at] == '\'') {
        length = contraction(text, n, at, true);
        if (length) return at + length;
    }
    char_class first = class_at(text, n, at, &length);
    if (first == CLASS_LETTER) return run_end(text, n, at, CLASS_LETTER, INT64_MAX);
    if (first == CLASS_NUMBER) return run_end(text, n, at, CLASS_NUMBER, max_digits);
    char_class next = class_at(text, n, at + length, &next_length);
    if (next_length && next == CLASS_LETTER && !is_newline(text[at]))
        return run_end(text, n, at + length, CLASS_LETTER, INT64_MAX);
    if (first == CLASS_OTHER) return symbols_end(text, n, at);
    if (text[at] == ' ' && next_length && next == CLASS_OTHER) return symbols_end(text, n, at + 1);
    size_t end = newline_end(text, n, at);
    return end > at ? end : space_end(text, n, at);
}

size_t text_split_next(text_split_kind kind, const unsigned char *text, size_t n, size_t at) {
    switch (kind) {
    case TEXT_SPLIT_GPT2:
        return gpt2_end(text, n, at) - at;
    case TEXT_SPLIT_LLAMA3:
        return llama3_end(text, n, at, 3) - at;
    case TEXT_SPLIT_QWEN2:
        return llama3_end(text, n, at, 1) - at;
    default:
        return n - at;
    }
}

size_t text_split_capped(text_split_kind kind, const unsigned char *text, size_t n, size_t at, size_t max_piece) {
    size_t length = text_split_next(kind, text, n, at);
    if (length <= max_piece) return length;
    size_t cut = max_piece;
    while (cut > max_piece - 4 && (text[at + cut] & 0xC0u) == 0x80u) cut--;
    return cut;
}
