/* Prompts as ids, and texts for people: see prompt.h. */
#include "decode/prompt.h"

#include <string.h>

ins_status ins_prompt_encode(const ins_tokenizer *tok, int32_t first, const char *prompt, bool chat, ins_ids *ids,
                             ins_error *err) {
    if (first >= 0 && !ins_ids_push(ids, first)) return INS_FAIL(err, INS_NOMEM, "no memory for a prompt");
    if (!chat) return ins_tokenizer_encode(tok, NULL, prompt, strlen(prompt), false, ids, err);
    ins_chat_message message = {"user", prompt, strlen(prompt)};
    return ins_chat_encode(tok, NULL, &message, 1, true, ids, NULL, err);
}

int64_t ins_prompt_stops(const ins_tokenizer *tok, int32_t stops[INS_PROMPT_STOPS]) {
    const int32_t marks[INS_PROMPT_STOPS] = {ins_tokenizer_eos(tok), ins_tokenizer_find(tok, "<|im_end|>")};
    int64_t n = 0;
    for (int i = 0; i < INS_PROMPT_STOPS; i++)
        if (marks[i] >= 0) stops[n++] = marks[i];
    return n;
}

ins_status ins_prompt_show(const ins_tokenizer *tok, const char *prompt, bool own_line, const ins_generated *generated,
                           ins_str *out, const char **written, ins_error *err) {
    ins_str_printf(out, "%s%s", prompt, own_line ? "\n" : "");
    size_t begin = out->len;
    INS_TRY(ins_tokenizer_decode(tok, generated->ids.data, generated->ids.n, true, out, err));
    if (out->oom) return INS_FAIL(err, INS_NOMEM, "no memory for a text");
    if (written) *written = out->data ? out->data + begin : "";
    return INS_OK;
}
