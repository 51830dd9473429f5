/* Tokenizers: one object behind which byte-level BPE, byte and char tokenizers stand. Loaded from and saved as Hugging
 * Face tokenizer.json. Encoding never fails on any bytes and decoding gives the same bytes back (byte level; a loaded
 * tokenizer that normalises to NFC gives back the normalised text).
 *
 * Ids: "bpe" special tokens first, then the 256 bytes in GPT-2's order, then one per merge (as Hugging Face's trainer);
 * "byte" the byte itself, special tokens from 256 on; "char" bytes, special tokens, then the characters.
 * Hugging Face's library reads what is saved of all three and gives the same ids.
 */
#ifndef INS_TEXT_TOKENIZER_H
#define INS_TEXT_TOKENIZER_H

#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "option/component.h"

typedef struct ins_tokenizer ins_tokenizer;

typedef struct ins_ids {
    int32_t *data; /* owned */
    int64_t n, cap;
} ins_ids;
bool ins_ids_push(ins_ids *ids, int32_t id); /* false on OOM */
void ins_ids_free(ins_ids *ids);

/* ---- training: kind = component of family "tokenizer" ("bpe", "byte", "char") ---- */
/* Source of documents for training: returns false at the end. Text borrowed until the next call. */
typedef struct ins_text_source {
    bool (*next)(void *arg, const char **text, size_t *n);
    void *arg;
    uint64_t total_bytes; /* for progress; 0 = unknown */
} ins_text_source;

typedef struct ins_tokenizer_desc {
    ins_component head; /* family "tokenizer" */
    ins_status (*train)(const void *options, ins_text_source *source, ins_pool *pool, const ins_log *log,
                        ins_tokenizer **out, ins_error *err);
} ins_tokenizer_desc;
extern const ins_family ins_family_tokenizer;

/* ---- use ---- */
/* tokenizer.json, a folder with one, or a folder with GPT-2's vocab.json and merges.txt. What cannot be honoured
 * exactly (other models, pre-tokenizers, normalisers) is INS_MODEL and named. A template that puts a start token in
 * front is read into ins_tokenizer_bos; encoding does not add it. */
ins_status ins_tokenizer_load(const char *path, ins_tokenizer **out, ins_error *err);
ins_status ins_tokenizer_save(const ins_tokenizer *tok, const char *path, ins_error *err); /* path of tokenizer.json */
void ins_tokenizer_free(ins_tokenizer *tok);

/* Append ids of text[n]. special: recognise added tokens' text ("<|endoftext|>") in the input, the longest at each
 * place; false = treat it as plain text (always false for untrusted documents). Thread-safe: tok is immutable, `cache`
 * (may be NULL) belongs to the calling thread. */
typedef struct ins_token_cache ins_token_cache;
ins_token_cache *ins_token_cache_new(const ins_tokenizer *tok); /* NULL on OOM */
void ins_token_cache_free(ins_token_cache *cache);
ins_status ins_tokenizer_encode(const ins_tokenizer *tok, ins_token_cache *cache, const char *text, size_t n,
                                bool special, ins_ids *out, ins_error *err);
/* Append bytes; skip_special leaves special tokens out. INS_DATA for an id out of range. */
ins_status ins_tokenizer_decode(const ins_tokenizer *tok, const int32_t *ids, int64_t n, bool skip_special,
                                ins_str *out, ins_error *err);

int64_t ins_tokenizer_vocab_size(const ins_tokenizer *tok); /* largest id + 1, special tokens included */
/* Bytes of one token (raw bytes, not the byte-level alphabet); special tokens give their text. */
const char *ins_tokenizer_token(const ins_tokenizer *tok, int32_t id, size_t *n, bool *special);
int32_t ins_tokenizer_find(const ins_tokenizer *tok, const char *text); /* id of a special or plain token; -1 */
int32_t ins_tokenizer_eos(const ins_tokenizer *tok);      /* end of document, "<|endoftext|>"; -1 if none */
int32_t ins_tokenizer_bos(const ins_tokenizer *tok);      /* -1 if none */
int32_t ins_tokenizer_pad(const ins_tokenizer *tok);      /* -1 if none */
const char *ins_tokenizer_kind(const ins_tokenizer *tok); /* "bpe" */

/* ---- chat: a fixed small template until model-specific ones exist ----
 * ChatML: "<|im_start|>role\ncontent<|im_end|>\n". The tokenizer's special tokens include both marks by default.
 * Appends ids and, per id, a byte to loss_mask (may be NULL): 1 where the loss applies (assistant content and its end
 * mark). loss_mask is filled up to ids->n, so both can go through several calls. Marks inside content are plain text.
 * The generation prompt is "<|im_start|>assistant\n". Unknown roles are INS_DATA, a tokenizer without marks INS_MODEL.
 */
typedef struct ins_chat_message {
    const char *role; /* system, user, assistant */
    const char *content;
    size_t n;
} ins_chat_message;
ins_status ins_chat_encode(const ins_tokenizer *tok, ins_token_cache *cache, const ins_chat_message *messages,
                           int64_t n, bool add_generation_prompt, ins_ids *ids, ins_str *loss_mask, ins_error *err);

#endif
