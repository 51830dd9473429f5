/* The tokenizer object and what the files of this room share.
 *
 * Ids 0..n_tokens-1 are dense. Token i is bytes blob[at[i]] .. blob[at[i + 1]]. Merges are kept by rank (the order in
 * which they were learnt); merging always takes the pair of lowest rank first.
 */
#ifndef INS_TEXT_TEXT_INTERNAL_H
#define INS_TEXT_TEXT_INTERNAL_H

#include "text/text_split.h"
#include "text/tokenizer.h"

#define TEXT_MAX_TOKENS ((int64_t)1 << 23)
#define TEXT_MAX_MERGES ((int64_t)1 << 23)
#define TEXT_MAX_BLOB   ((size_t)1 << 30)
#define TEXT_NO_RANK    UINT32_MAX

enum {
    TEXT_TOKEN_ADDED = 1,   /* matched in the text as a whole */
    TEXT_TOKEN_SPECIAL = 2, /* an added token that skip_special leaves out */
    TEXT_TOKEN_BYTE = 4,    /* char tokenizer: the fallback for one byte; never found by its text */
};

typedef struct text_merge {
    uint64_t pair; /* left << 32 | right */
    uint32_t rank; /* TEXT_NO_RANK = empty slot */
    int32_t id;    /* of the token that the two become */
} text_merge;

struct ins_tokenizer {
    const char *kind; /* "bpe", "byte", "char" */
    text_split_kind split;
    bool nfc;           /* normalise to NFC first */
    bool ignore_merges; /* a pre-token that is a token is not built by merges */
    int64_t n_tokens;
    ins_str blob;
    size_t *at;           /* n_tokens + 1 */
    unsigned char *flags; /* n_tokens */
    int64_t cap_tokens;
    int32_t byte_id[256]; /* -1 until known */
    int32_t *by_text;     /* open addressing over plain tokens: id or -1 */
    uint64_t by_text_mask;
    int64_t n_by_text;
    int32_t *merge_left, *merge_right; /* by rank */
    int64_t n_merges;
    text_merge *merges; /* open addressing by pair */
    uint64_t merge_mask;
    int32_t *added; /* ids of added tokens, longest first */
    int64_t n_added;
    bool added_first[256]; /* some added token starts with this byte */
    int32_t eos, bos, pad;
    int32_t template_bos; /* -1, or what the file's template puts before a text */
};

static inline uint64_t text_pair(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}
static inline uint64_t text_pair_hash(uint64_t pair) {
    uint64_t mixed = pair * UINT64_C(0x9E3779B97F4A7C15);
    mixed ^= mixed >> 32;
    mixed *= UINT64_C(0xD6E8FEB86659FD93);
    return mixed ^ mixed >> 29;
}

static inline const unsigned char *text_token_bytes(const ins_tokenizer *tok, int32_t id, size_t *n) {
    *n = tok->at[id + 1] - tok->at[id];
    return (const unsigned char *)tok->blob.data + tok->at[id];
}

/* ---- building (tokenizer.c) ---- */
ins_status text_new(const char *kind, ins_tokenizer **out, ins_error *err);
/* The next id. Plain tokens must differ from each other. */
ins_status text_add_token(ins_tokenizer *tok, const void *bytes, size_t n, unsigned flags, ins_error *err);
/* Mark a token that exists as added (and special). */
void text_mark_added(ins_tokenizer *tok, int32_t id, bool special);
/* Merges by rank; each concatenation must be a plain token. The arrays are copied. */
ins_status text_set_merges(ins_tokenizer *tok, const int32_t *left, const int32_t *right, int64_t n, ins_error *err);
/* After the last token: single bytes, added tokens, end and start of text. */
ins_status text_finish(ins_tokenizer *tok, ins_error *err);
int32_t text_find_plain(const ins_tokenizer *tok, const void *bytes, size_t n);
const text_merge *text_find_merge(const ins_tokenizer *tok, int32_t left, int32_t right);
ins_status text_no_memory(ins_error *err);

/* The special tokens of a trainer's options: not empty, not given twice. */
void text_check_special(const ins_opt_strings *special, ins_diag *diag);
/* Text that reads the same as byte-level symbols and as itself: such an added token is a plain token, too. */
bool text_is_own_symbols(const char *text, size_t n);
ins_status text_add_specials(ins_tokenizer *tok, const ins_opt_strings *special, ins_error *err);

/* ---- encoding (bpe_encode.c) ---- */
struct ins_token_cache {
    struct text_cache_slot *slots; /* open addressing */
    int64_t n_used;
    unsigned char *keys; /* bytes of cached pre-tokens */
    size_t n_keys;
    int32_t *ids;
    size_t n_ids;
};
/* Ids of one pre-token, appended. */
ins_status text_encode_piece(const ins_tokenizer *tok, ins_token_cache *cache, const unsigned char *bytes, size_t n,
                             ins_ids *out, ins_error *err);
bool text_ids_reserve(ins_ids *ids, int64_t n); /* room for n more */

/* ---- the byte-level alphabet: every byte as a printable character (GPT-2) ---- */
uint32_t text_byte_symbol(unsigned byte);  /* code point */
int text_symbol_byte(uint32_t code_point); /* byte, or -1 */
unsigned text_byte_at(unsigned position);  /* the byte whose symbol is at `position` in order of code points */

#endif
