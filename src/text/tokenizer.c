/* The tokenizer object: tokens by id, by text, and as pairs that merge. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "text/text_internal.h"

ins_status text_no_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory in the tokenizer");
}

/* ---- lists of ids ---- */

bool text_ids_reserve(ins_ids *ids, int64_t n) {
    if (n <= ids->cap - ids->n) return true;
    if (n > INT64_MAX / 16 - ids->n) return false;
    int64_t cap = ids->cap < 64 ? 64 : ids->cap * 2;
    if (cap < ids->n + n) cap = ids->n + n;
    int32_t *grown = ins_realloc(ids->data, (size_t)cap * sizeof *grown);
    if (!grown) return false;
    ids->data = grown;
    ids->cap = cap;
    return true;
}

bool ins_ids_push(ins_ids *ids, int32_t id) {
    if (!text_ids_reserve(ids, 1)) return false;
    ids->data[ids->n++] = id;
    return true;
}

void ins_ids_free(ins_ids *ids) {
    ins_free(ids->data);
    *ids = (ins_ids){0};
}

/* ---- the byte-level alphabet ---- */

static bool keeps_itself(unsigned byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

/* Printable Latin-1 stands for itself; the 68 others follow from U+0100 on: 0..32, 127..160, 173. */
uint32_t text_byte_symbol(unsigned byte) {
    if (keeps_itself(byte)) return byte;
    return byte <= 32 ? 256 + byte : byte == 173 ? 323 : 256 + 33 + (byte - 127);
}

int text_symbol_byte(uint32_t cp) {
    if (cp < 256) return keeps_itself(cp) ? (int)cp : -1;
    if (cp <= 256 + 32) return (int)cp - 256;
    if (cp <= 322) return (int)cp - 256 - 33 + 127;
    return cp == 323 ? 173 : -1;
}

unsigned text_byte_at(unsigned position) {
    if (position < 94) return 33 + position;
    if (position < 106) return 161 + position - 94;
    if (position < 188) return 174 + position - 106;
    return (unsigned)text_symbol_byte(256 + position - 188);
}

/* ---- building ---- */

ins_status text_new(const char *kind, ins_tokenizer **out, ins_error *err) {
    ins_tokenizer *tok = ins_calloc(1, sizeof *tok);
    if (!tok) return text_no_memory(err);
    tok->kind = kind;
    tok->split = TEXT_SPLIT_NONE;
    tok->eos = tok->bos = tok->pad = tok->template_bos = -1;
    for (int i = 0; i < 256; i++) tok->byte_id[i] = -1;
    *out = tok;
    return INS_OK;
}

void ins_tokenizer_free(ins_tokenizer *tok) {
    if (!tok) return;
    ins_str_free(&tok->blob);
    ins_free(tok->at);
    ins_free(tok->flags);
    ins_free(tok->by_text);
    ins_free(tok->merge_left);
    ins_free(tok->merge_right);
    ins_free(tok->merges);
    ins_free(tok->added);
    ins_free(tok);
}

/* Slot of a plain token with this text, or the empty slot where it belongs. */
static uint64_t text_slot(const ins_tokenizer *tok, const void *bytes, size_t n) {
    uint64_t slot = ins_hash64(bytes, n, 0) & tok->by_text_mask;
    for (; tok->by_text[slot] >= 0; slot = (slot + 1) & tok->by_text_mask) {
        size_t len;
        const unsigned char *have = text_token_bytes(tok, tok->by_text[slot], &len);
        if (len == n && memcmp(have, bytes, n) == 0) break;
    }
    return slot;
}

static bool by_text_grow(ins_tokenizer *tok) {
    if (tok->by_text && (uint64_t)tok->n_by_text * 2 < tok->by_text_mask) return true;
    uint64_t size = tok->by_text ? (tok->by_text_mask + 1) * 2 : 1024;
    int32_t *old = tok->by_text;
    int64_t n_old = old ? (int64_t)tok->by_text_mask + 1 : 0;
    int32_t *slots = ins_malloc(size * sizeof *slots);
    if (!slots) return false;
    for (uint64_t i = 0; i < size; i++) slots[i] = -1;
    tok->by_text = slots;
    tok->by_text_mask = size - 1;
    for (int64_t i = 0; i < n_old; i++) {
        if (old[i] < 0) continue;
        size_t n;
        const unsigned char *bytes = text_token_bytes(tok, old[i], &n);
        tok->by_text[text_slot(tok, bytes, n)] = old[i];
    }
    ins_free(old);
    return true;
}

static bool tokens_grow(ins_tokenizer *tok) {
    if (tok->n_tokens < tok->cap_tokens) return true;
    int64_t cap = tok->cap_tokens ? tok->cap_tokens * 2 : 512;
    size_t *at = ins_realloc(tok->at, (size_t)(cap + 1) * sizeof *at);
    if (!at) return false;
    tok->at = at;
    if (!tok->cap_tokens) at[0] = 0;
    unsigned char *flags = ins_realloc(tok->flags, (size_t)cap);
    if (!flags) return false;
    tok->flags = flags;
    tok->cap_tokens = cap;
    return true;
}

ins_status text_add_token(ins_tokenizer *tok, const void *bytes, size_t n, unsigned flags, ins_error *err) {
    if (tok->n_tokens >= TEXT_MAX_TOKENS || n > TEXT_MAX_BLOB - tok->blob.len)
        return INS_FAIL(err, INS_MODEL, "the vocabulary is too large (over %lld tokens)", (long long)TEXT_MAX_TOKENS);
    bool plain = !(flags & (TEXT_TOKEN_ADDED | TEXT_TOKEN_BYTE));
    if (!tokens_grow(tok) || (plain && !by_text_grow(tok))) return text_no_memory(err);
    uint64_t slot = plain ? text_slot(tok, bytes, n) : 0;
    if (plain && tok->by_text[slot] >= 0)
        return INS_FAIL(err, INS_MODEL, "the tokens %d and %lld have the same text", tok->by_text[slot],
                        (long long)tok->n_tokens);
    ins_str_append(&tok->blob, bytes, n);
    if (tok->blob.oom) return text_no_memory(err);
    int32_t id = (int32_t)tok->n_tokens++;
    tok->at[id + 1] = tok->blob.len;
    tok->flags[id] = (unsigned char)flags;
    if (plain) {
        tok->by_text[slot] = id;
        tok->n_by_text++;
    }
    if (n == 1 && tok->byte_id[*(const unsigned char *)bytes] < 0 && !(flags & TEXT_TOKEN_ADDED))
        tok->byte_id[*(const unsigned char *)bytes] = id;
    return INS_OK;
}

void text_mark_added(ins_tokenizer *tok, int32_t id, bool special) {
    tok->flags[id] |= (unsigned char)(TEXT_TOKEN_ADDED | (special ? TEXT_TOKEN_SPECIAL : 0));
}

int32_t text_find_plain(const ins_tokenizer *tok, const void *bytes, size_t n) {
    return tok->by_text ? tok->by_text[text_slot(tok, bytes, n)] : -1;
}

const text_merge *text_find_merge(const ins_tokenizer *tok, int32_t left, int32_t right) {
    if (!tok->merges) return NULL;
    uint64_t pair = text_pair(left, right), slot = text_pair_hash(pair) & tok->merge_mask;
    for (; tok->merges[slot].rank != TEXT_NO_RANK; slot = (slot + 1) & tok->merge_mask)
        if (tok->merges[slot].pair == pair) return &tok->merges[slot];
    return NULL;
}

static ins_status add_merge(ins_tokenizer *tok, int32_t left, int32_t right, uint32_t rank, ins_str *joined,
                            ins_error *err) {
    if (left < 0 || right < 0 || left >= tok->n_tokens || right >= tok->n_tokens)
        return INS_FAIL(err, INS_MODEL, "merge %u joins a token that does not exist", rank);
    size_t n_left, n_right;
    const unsigned char *left_bytes = text_token_bytes(tok, left, &n_left);
    const unsigned char *right_bytes = text_token_bytes(tok, right, &n_right);
    ins_str_clear(joined);
    ins_str_append(joined, left_bytes, n_left);
    ins_str_append(joined, right_bytes, n_right);
    if (joined->oom) return text_no_memory(err);
    int32_t id = text_find_plain(tok, joined->data, joined->len);
    if (id < 0) return INS_FAIL(err, INS_MODEL, "merge %u gives a token that is not in the vocabulary", rank);
    uint64_t pair = text_pair(left, right), slot = text_pair_hash(pair) & tok->merge_mask;
    for (; tok->merges[slot].rank != TEXT_NO_RANK; slot = (slot + 1) & tok->merge_mask)
        if (tok->merges[slot].pair == pair)
            return INS_FAIL(err, INS_MODEL, "merge %u is the same as merge %u", rank, tok->merges[slot].rank);
    tok->merges[slot] = (text_merge){pair, rank, id};
    return INS_OK;
}

ins_status text_set_merges(ins_tokenizer *tok, const int32_t *left, const int32_t *right, int64_t n, ins_error *err) {
    if (n > TEXT_MAX_MERGES) return INS_FAIL(err, INS_MODEL, "there are too many merges");
    uint64_t size = 16;
    while (size < (uint64_t)n * 2) size *= 2;
    size_t bytes = (size_t)(n > 0 ? n : 1) * sizeof *left;
    tok->merges = ins_malloc(size * sizeof *tok->merges);
    tok->merge_left = ins_malloc(bytes);
    tok->merge_right = ins_malloc(bytes);
    if (!tok->merges || !tok->merge_left || !tok->merge_right) return text_no_memory(err);
    for (uint64_t i = 0; i < size; i++) tok->merges[i].rank = TEXT_NO_RANK;
    tok->merge_mask = size - 1;
    ins_str joined = {0};
    ins_status status = INS_OK;
    for (int64_t i = 0; i < n && status == INS_OK; i++) {
        status = add_merge(tok, left[i], right[i], (uint32_t)i, &joined, err);
        tok->merge_left[i] = left[i];
        tok->merge_right[i] = right[i];
    }
    ins_str_free(&joined);
    if (status == INS_OK) tok->n_merges = n;
    return status;
}

static int by_length(const void *left, const void *right, void *arg) {
    const ins_tokenizer *tok = arg;
    int32_t l = *(const int32_t *)left, r = *(const int32_t *)right;
    size_t n_left = tok->at[l + 1] - tok->at[l], n_right = tok->at[r + 1] - tok->at[r];
    if (n_left != n_right) return n_left > n_right ? -1 : 1;
    return l < r ? -1 : l > r;
}

/* The first of these names that is an added token, or else any token. */
static int32_t find_first(const ins_tokenizer *tok, const char *const *names) {
    for (int i = 0; names[i]; i++) {
        int32_t id = ins_tokenizer_find(tok, names[i]);
        if (id >= 0) return id;
    }
    return -1;
}

ins_status text_finish(ins_tokenizer *tok, ins_error *err) {
    for (int i = 0; i < 256; i++)
        if (tok->byte_id[i] < 0) {
            INS_FAIL(err, INS_MODEL, "the vocabulary has no token for the byte 0x%02X", (unsigned)i);
            ins_error_hint(err, "only byte-level vocabularies, which can encode every text, are supported");
            return INS_MODEL;
        }
    int64_t n = 0;
    for (int64_t i = 0; i < tok->n_tokens; i++) n += (tok->flags[i] & TEXT_TOKEN_ADDED) != 0;
    tok->added = ins_malloc((size_t)(n > 0 ? n : 1) * sizeof *tok->added);
    if (!tok->added) return text_no_memory(err);
    for (int64_t i = 0; i < tok->n_tokens; i++) {
        if (!(tok->flags[i] & TEXT_TOKEN_ADDED)) continue;
        if (tok->at[i + 1] == tok->at[i])
            return INS_FAIL(err, INS_MODEL, "the added token %lld is empty", (long long)i);
        tok->added[tok->n_added++] = (int32_t)i;
        tok->added_first[(unsigned char)tok->blob.data[tok->at[i]]] = true;
    }
    qsort_r(tok->added, (size_t)n, sizeof *tok->added, by_length, tok);
    static const char *const eos[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", NULL};
    static const char *const bos[] = {"<|begin_of_text|>", "<|startoftext|>", "<s>", "<bos>", NULL};
    static const char *const pad[] = {"<|pad|>", "<pad>", "[PAD]", "<|finetune_right_pad_id|>", NULL};
    tok->eos = find_first(tok, eos);
    tok->bos = tok->template_bos >= 0 ? tok->template_bos : find_first(tok, bos);
    tok->pad = find_first(tok, pad);
    return INS_OK;
}

/* ---- special tokens of a trainer ---- */

void text_check_special(const ins_opt_strings *special, ins_diag *diag) {
    for (int64_t i = 0; i < special->n; i++) {
        size_t n = strlen(special->items[i]);
        if (n < 2 || !ins_utf8_valid(special->items[i], n, NULL))
            ins_diag_add(diag, INS_RECIPE, special->pos[i], "write it like <|name|>",
                         "a special token must be UTF-8 text of at least two bytes");
        for (int64_t k = 0; k < i; k++) {
            if (strcmp(special->items[i], special->items[k]) != 0) continue;
            ins_diag_add(diag, INS_RECIPE, special->pos[i], "remove one of the two",
                         "the special token '%s' is given twice", special->items[i]);
            break;
        }
    }
}

bool text_is_own_symbols(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (text[i] < 33 || text[i] > 126) return false;
    return true;
}

ins_status text_add_specials(ins_tokenizer *tok, const ins_opt_strings *special, ins_error *err) {
    for (int64_t i = 0; i < special->n; i++) {
        size_t n = strlen(special->items[i]);
        unsigned flags = text_is_own_symbols(special->items[i], n) ? 0 : TEXT_TOKEN_ADDED;
        INS_TRY(text_add_token(tok, special->items[i], n, flags, err));
        text_mark_added(tok, (int32_t)tok->n_tokens - 1, true);
    }
    return INS_OK;
}

/* ---- questions ---- */

int64_t ins_tokenizer_vocab_size(const ins_tokenizer *tok) {
    return tok->n_tokens;
}

const char *ins_tokenizer_token(const ins_tokenizer *tok, int32_t id, size_t *n, bool *special) {
    if (id < 0 || id >= tok->n_tokens) {
        *n = 0;
        if (special) *special = false;
        return NULL;
    }
    if (special) *special = (tok->flags[id] & TEXT_TOKEN_SPECIAL) != 0;
    return (const char *)text_token_bytes(tok, id, n);
}

int32_t ins_tokenizer_find(const ins_tokenizer *tok, const char *text) {
    size_t n = strlen(text);
    for (int64_t i = 0; i < tok->n_added; i++) {
        size_t len;
        const unsigned char *bytes = text_token_bytes(tok, tok->added[i], &len);
        if (len == n && memcmp(bytes, text, n) == 0) return tok->added[i];
    }
    return text_find_plain(tok, text, n);
}

int32_t ins_tokenizer_eos(const ins_tokenizer *tok) {
    return tok->eos;
}

int32_t ins_tokenizer_bos(const ins_tokenizer *tok) {
    return tok->bos;
}

int32_t ins_tokenizer_pad(const ins_tokenizer *tok) {
    return tok->pad;
}

const char *ins_tokenizer_kind(const ins_tokenizer *tok) {
    return tok->kind;
}

ins_status ins_tokenizer_decode(const ins_tokenizer *tok, const int32_t *ids, int64_t n, bool skip_special,
                                ins_str *out, ins_error *err) {
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= tok->n_tokens) {
            INS_FAIL(err, INS_DATA, "the token id %d at position %lld is not in the vocabulary of %lld", ids[i],
                     (long long)i, (long long)tok->n_tokens);
            ins_error_hint(err, "decode with the tokenizer that made these ids");
            return INS_DATA;
        }
        if (skip_special && tok->flags[ids[i]] & TEXT_TOKEN_SPECIAL) continue;
        ins_str_append(out, tok->blob.data + tok->at[ids[i]], tok->at[ids[i] + 1] - tok->at[ids[i]]);
    }
    return out->oom ? text_no_memory(err) : INS_OK;
}
