/* Growable byte strings and text escaping. */
#include "base/str.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

bool ins_str_reserve(ins_str *s, size_t n) {
    if (s->oom) return false;
    size_t need;
    if (!ins_add_size(s->len, n, &need) || !ins_add_size(need, 1, &need)) {
        s->oom = true;
        return false;
    }
    if (need <= s->cap) return true;
    size_t cap = s->cap < 32 ? 32 : s->cap;
    while (cap < need) cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    char *data = ins_realloc(s->data, cap);
    if (!data) {
        s->oom = true;
        return false;
    }
    s->data = data;
    s->cap = cap;
    return true;
}

void ins_str_append(ins_str *s, const void *bytes, size_t n) {
    const char *from = bytes;
    bool own = s->data && from >= s->data && from <= s->data + s->len; /* appending a part of itself */
    size_t offset = own ? (size_t)(from - s->data) : 0;
    if (!ins_str_reserve(s, n)) return;
    if (own) from = s->data + offset;
    if (n) memmove(s->data + s->len, from, n);
    s->len += n;
    s->data[s->len] = '\0';
}

void ins_str_puts(ins_str *s, const char *text) {
    ins_str_append(s, text, strlen(text));
}

void ins_str_putc(ins_str *s, char c) {
    ins_str_append(s, &c, 1);
}

void ins_str_printf(ins_str *s, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len >= 0 && ins_str_reserve(s, (size_t)len)) {
        vsnprintf(s->data + s->len, (size_t)len + 1, fmt, again);
        s->len += (size_t)len;
    }
    va_end(again);
}

void ins_str_clear(ins_str *s) {
    s->len = 0;
    s->oom = false;
    if (s->data) s->data[0] = '\0';
}

void ins_str_free(ins_str *s) {
    ins_free(s->data);
    *s = (ins_str){0};
}

void ins_str_json_escape(ins_str *s, const char *bytes, size_t n) {
    const unsigned char *p = (const unsigned char *)bytes;
    size_t i = 0, start = 0; /* bytes from start to i go out as they are */
    while (i < n) {
        uint32_t cp = 0;
        int len = ins_utf8_decode(p + i, n - i, &cp);
        bool plain = len > 0 && cp >= 0x20 && cp != '"' && cp != '\\' && cp != 0x7f;
        if (plain) {
            i += (size_t)len;
            continue;
        }
        ins_str_append(s, bytes + start, i - start);
        if (len == 0) {
            ins_str_puts(s, "\xEF\xBF\xBD");
            len = 1;
        } else if (cp == '"' || cp == '\\') {
            ins_str_printf(s, "\\%c", (char)cp);
        } else if (cp == '\n') {
            ins_str_puts(s, "\\n");
        } else if (cp == '\t') {
            ins_str_puts(s, "\\t");
        } else if (cp == '\r') {
            ins_str_puts(s, "\\r");
        } else {
            ins_str_printf(s, "\\u%04x", (unsigned)cp);
        }
        i += (size_t)len;
        start = i;
    }
    ins_str_append(s, bytes ? bytes + start : "", n - start);
}

void ins_str_html_escape(ins_str *s, const char *bytes, size_t n) {
    size_t start = 0;
    for (size_t i = 0; i < n; i++) {
        const char *entity = NULL;
        switch (bytes[i]) {
        case '&':
            entity = "&amp;";
            break;
        case '<':
            entity = "&lt;";
            break;
        case '>':
            entity = "&gt;";
            break;
        case '"':
            entity = "&quot;";
            break;
        case '\'':
            entity = "&#39;";
            break;
        default:
            break;
        }
        if (!entity) continue;
        ins_str_append(s, bytes + start, i - start);
        ins_str_puts(s, entity);
        start = i + 1;
    }
    ins_str_append(s, bytes ? bytes + start : "", n - start);
}

int ins_utf8_decode(const unsigned char *p, size_t n, uint32_t *cp) {
    if (n == 0) return 0;
    unsigned lead = p[0];
    if (lead < 0x80) {
        *cp = lead;
        return 1;
    }
    int len = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || n < (size_t)len) return 0;
    uint32_t value = lead & (0x7Fu >> len);
    for (int i = 1; i < len; i++) {
        if ((p[i] & 0xC0u) != 0x80u) return 0;
        value = (value << 6) | (p[i] & 0x3Fu);
    }
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000}; /* no overlong forms */
    if (value < smallest[len] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return 0;
    *cp = value;
    return len;
}

int ins_utf8_encode(uint32_t cp, char out[4]) {
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80u | (cp & 0x3Fu));
        cp >>= 6;
    }
    out[0] = (char)((0xF0u << (4 - len)) | cp);
    return len;
}

bool ins_utf8_valid(const char *p, size_t n, size_t *bad_at) {
    const unsigned char *bytes = (const unsigned char *)p;
    size_t i = 0;
    while (i < n) {
        uint64_t word;
        if (n - i >= sizeof word) { /* eight ASCII bytes at a time */
            memcpy(&word, bytes + i, sizeof word);
            if (!(word & UINT64_C(0x8080808080808080))) {
                i += sizeof word;
                continue;
            }
        }
        uint32_t cp;
        int len = ins_utf8_decode(bytes + i, n - i, &cp);
        if (len == 0) {
            if (bad_at) *bad_at = i;
            return false;
        }
        i += (size_t)len;
    }
    return true;
}
