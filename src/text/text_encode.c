/* Text into ids: added tokens are cut out first, the rest is normalised, split and encoded piece by piece. */
#include <string.h>

#include <utf8proc.h>

#include "text/text_internal.h"

typedef struct encoder {
    const ins_tokenizer *tok;
    ins_token_cache *cache;
    ins_ids *out;
    ins_error *err;
} encoder;

/* char tokenizer: every known character is a token, every other byte falls back to its own. */
static ins_status encode_chars(encoder *enc, const unsigned char *text, size_t n) {
    const ins_tokenizer *tok = enc->tok;
    if (!text_ids_reserve(enc->out, (int64_t)n)) return text_no_memory(enc->err);
    int32_t *ids = enc->out->data + enc->out->n;
    int64_t count = 0;
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        int length = ins_utf8_decode(text + at, n - at, &cp);
        int32_t id = length ? text_find_plain(tok, text + at, (size_t)length) : -1;
        if (id >= 0) {
            ids[count++] = id;
            at += (size_t)length;
        } else {
            for (int i = 0; i < (length ? length : 1); i++) ids[count++] = tok->byte_id[text[at++]];
        }
    }
    enc->out->n += count;
    return INS_OK;
}

static ins_status encode_split(encoder *enc, const unsigned char *text, size_t n) {
    text_split_kind split = enc->tok->split;
    for (size_t at = 0; at < n;) {
        size_t length = text_split_next(split, text, n, at);
        INS_TRY(text_encode_piece(enc->tok, enc->cache, text + at, length, enc->out, enc->err));
        at += length;
    }
    return INS_OK;
}

/* NFC of valid UTF-8, appended. */
static ins_status append_nfc(const unsigned char *text, size_t n, ins_str *out, ins_error *err) {
    const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    utf8proc_ssize_t need = utf8proc_decompose(text, (utf8proc_ssize_t)n, NULL, 0, how);
    if (need < 0) return INS_FAIL(err, INS_DATA, "cannot normalise the text: %s", utf8proc_errmsg(need));
    size_t bytes;
    if (!ins_mul_size((size_t)need + 1, sizeof(utf8proc_int32_t), &bytes)) return text_no_memory(err);
    utf8proc_int32_t *points = ins_malloc(bytes);
    if (!points) return text_no_memory(err);
    utf8proc_ssize_t count = utf8proc_decompose(text, (utf8proc_ssize_t)n, points, need, how);
    if (count >= 0) count = utf8proc_reencode(points, count, how); /* in place: now UTF-8 */
    if (count >= 0) ins_str_append(out, points, (size_t)count);
    ins_free(points);
    if (count < 0) return INS_FAIL(err, INS_DATA, "cannot normalise the text: %s", utf8proc_errmsg(count));
    return out->oom ? text_no_memory(err) : INS_OK;
}

/* Characters that NFC leaves alone whatever stands beside them: ASCII to U+02FF, Cyrillic, general punctuation, kana,
 * CJK, Hangul syllables. Others are looked at properly. */
static bool stays_in_nfc(uint32_t cp) {
    static const uint32_t ranges[][2] = {{0, 0x2FF},       {0x400, 0x482},   {0x48A, 0x52F},   {0x2010, 0x205E},
                                         {0x3040, 0x3098}, {0x30A0, 0x30FF}, {0x4E00, 0x9FFF}, {0xAC00, 0xD7A3}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (cp >= ranges[i][0] && cp <= ranges[i][1]) return true;
    return false;
}

typedef enum nfc_class { NFC_STAYS, NFC_LOOK, NFC_INVALID } nfc_class;

static nfc_class nfc_class_at(const unsigned char *text, size_t n, size_t at, size_t *length) {
    uint32_t cp = text[at];
    *length = 1;
    if (cp < 0x80) return NFC_STAYS;
    int len = ins_utf8_decode(text + at, n - at, &cp);
    if (len == 0) return NFC_INVALID;
    *length = (size_t)len;
    return stays_in_nfc(cp) ? NFC_STAYS : NFC_LOOK;
}

/* Position of the first character from `at` on that NFC may touch, or n. *before: the one in front of it (a base that a
 * mark may join), or the character itself when there is none. */
static size_t find_touched(const unsigned char *text, size_t n, size_t at, size_t *before) {
    size_t length, last = n;
    for (; at < n; at += length) {
        nfc_class what = nfc_class_at(text, n, at, &length);
        if (what == NFC_LOOK) break;
        last = what == NFC_STAYS ? at : n;
    }
    *before = last < n ? last : at;
    return at;
}

/* NFC of the text, appended. Only the stretches that it may touch are looked at: from the character in front of one to
 * the next that stays as it is, which nothing joins across. Bytes that are not UTF-8 stay as they are. */
static ins_status normalise(const unsigned char *text, size_t n, ins_str *out, ins_error *err) {
    size_t done = 0;
    while (done < n) {
        size_t start, length, end = find_touched(text, n, done, &start);
        if (end == n) start = n;
        ins_str_append(out, text + done, start - done);
        while (end < n && nfc_class_at(text, n, end, &length) == NFC_LOOK) end += length;
        if (end > start) INS_TRY(append_nfc(text + start, end - start, out, err));
        done = end;
    }
    return out->oom ? text_no_memory(err) : INS_OK;
}

static bool is_nfc_already(const unsigned char *text, size_t n) {
    size_t before;
    return find_touched(text, n, 0, &before) == n;
}

/* Text between added tokens. */
static ins_status encode_plain(encoder *enc, const unsigned char *text, size_t n) {
    if (n == 0) return INS_OK;
    if (strcmp(enc->tok->kind, "char") == 0) return encode_chars(enc, text, n);
    if (!enc->tok->nfc || is_nfc_already(text, n)) return encode_split(enc, text, n);
    ins_str normal = {0};
    ins_status status = normalise(text, n, &normal, enc->err);
    if (status == INS_OK) status = encode_split(enc, (const unsigned char *)normal.data, normal.len);
    ins_str_free(&normal);
    return status;
}

/* The longest added token that starts at text[0], or -1. */
static int32_t added_at(const ins_tokenizer *tok, const unsigned char *text, size_t n, size_t *length) {
    for (int64_t i = 0; i < tok->n_added; i++) {
        const unsigned char *bytes = text_token_bytes(tok, tok->added[i], length);
        if (*length <= n && memcmp(bytes, text, *length) == 0) return tok->added[i];
    }
    return -1;
}

static ins_status encode_all(encoder *enc, const unsigned char *text, size_t n, bool special) {
    if (!special || enc->tok->n_added == 0) return encode_plain(enc, text, n);
    size_t start = 0;
    for (size_t at = 0; at < n;) {
        size_t length = 0;
        int32_t id = enc->tok->added_first[text[at]] ? added_at(enc->tok, text + at, n - at, &length) : -1;
        if (id < 0) {
            at++;
            continue;
        }
        INS_TRY(encode_plain(enc, text + start, at - start));
        if (!ins_ids_push(enc->out, id)) return text_no_memory(enc->err);
        at += length;
        start = at;
    }
    return encode_plain(enc, text + start, n - start);
}

ins_status ins_tokenizer_encode(const ins_tokenizer *tok, ins_token_cache *cache, const char *text, size_t n,
                                bool special, ins_ids *out, ins_error *err) {
    encoder enc = {.tok = tok, .cache = cache, .out = out, .err = err};
    int64_t before = out->n;
    ins_status status = encode_all(&enc, (const unsigned char *)text, n, special);
    if (status != INS_OK) out->n = before;
    return status;
}
