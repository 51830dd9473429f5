/* A prompt on its way to the model, and what it wrote on its way back to a reader. */
#ifndef INS_DECODE_PROMPT_H
#define INS_DECODE_PROMPT_H

#include "decode/decode.h"

/* Append the ids of a prompt: `first`, the mark that begins a document (-1 = none), then the text as it is, or with
 * `chat` as a user's message in the chat template, up to where the answer begins. */
ins_status ins_prompt_encode(const ins_tokenizer *tok, int32_t first, const char *prompt, bool chat, ins_ids *ids,
                             ins_error *err);

enum { INS_PROMPT_STOPS = 2 };
/* Ids at which a text ends: the end of a document, the end of a message. Returns how many there are. */
int64_t ins_prompt_stops(const ins_tokenizer *tok, int32_t stops[INS_PROMPT_STOPS]);

/* Append prompt and what was written, on a line of its own when own_line; *written (may be NULL) = where that begins in
 * out->data. */
ins_status ins_prompt_show(const ins_tokenizer *tok, const char *prompt, bool own_line, const ins_generated *generated,
                           ins_str *out, const char **written, ins_error *err);

#endif
