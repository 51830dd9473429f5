/* Training byte-level BPE in two steps: count the pre-tokens of a text, then learn merges from the counts. */
#ifndef INS_TEXT_BPE_TRAIN_H
#define INS_TEXT_BPE_TRAIN_H

#include "text/text_internal.h"

/* Distinct pre-tokens and how often each occurs. Word i is bytes[at[i]] .. bytes[at[i + 1]]. */
typedef struct bpe_words {
    unsigned char *bytes; /* owned, as the others */
    uint64_t *at;         /* n + 1 */
    int64_t *counts;      /* n */
    int64_t n;
    uint64_t total_bytes; /* of the text */
    int64_t n_documents;
} bpe_words;

/* Reads the source to its end; threads count pieces of it in their own tables. The result as a set does not depend on
 * the number of threads; words are in order of their bytes. */
ins_status bpe_count_words(text_split_kind split, ins_text_source *source, ins_pool *pool, const ins_log *log,
                           bpe_words *out, ins_error *err);
void bpe_words_free(bpe_words *words);

typedef struct bpe_goal {
    int64_t vocab;         /* tokens in the end, special ones included */
    int64_t min_frequency; /* of a pair to be merged */
    int64_t max_token_bytes;
} bpe_goal;

/* Adds a token per merge to `tok` (which holds the special tokens and the 256 bytes) until it has goal->vocab, and sets
 * its merges. The most frequent pair goes first; of equal ones that with the smaller ids. INS_DATA when the text does
 * not give that many. */
ins_status bpe_learn(ins_tokenizer *tok, const bpe_words *words, const bpe_goal *goal, const ins_log *log,
                     ins_error *err);

#endif
