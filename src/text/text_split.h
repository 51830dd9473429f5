/* Pre-splitting: text into the pieces that merges never cross, exactly as the published regular expressions do:
 *   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
 * ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ qwen2   llama3 with \p{N} instead of \p{N}{1,3} none    the whole
 * text A byte that is not part of valid UTF-8 counts as one character that is no letter, number or space.
 */
#ifndef INS_TEXT_TEXT_SPLIT_H
#define INS_TEXT_TEXT_SPLIT_H

#include "base/status.h"

typedef enum text_split_kind { TEXT_SPLIT_GPT2, TEXT_SPLIT_LLAMA3, TEXT_SPLIT_NONE, TEXT_SPLIT_QWEN2 } text_split_kind;
#define TEXT_SPLIT_COUNT 4

extern const char *const text_split_regex[TEXT_SPLIT_COUNT]; /* NULL for none */

/* Length of the piece that starts at text[at]; at < n. */
size_t text_split_next(text_split_kind kind, const unsigned char *text, size_t n, size_t at);

/* Length of the next piece when the text may be cut anywhere: at most max_piece bytes, cut between characters. Only
 * training uses it, to keep statistics of absurdly long runs cheap. */
size_t text_split_capped(text_split_kind kind, const unsigned char *text, size_t n, size_t at, size_t max_piece);

#endif
