/* ChatML: "<|im_start|>role\ncontent<|im_end|>\n". The loss applies to what the assistant says and to its end mark. */
#include <string.h>

#include "text/text_internal.h"

typedef struct chat_writer {
    const ins_tokenizer *tok;
    ins_token_cache *cache;
    ins_ids *ids;
    ins_str *mask;
    int32_t start, end;
    ins_error *err;
} chat_writer;

static ins_status fill_mask(chat_writer *w, bool learn) {
    while (w->mask && w->mask->len < (size_t)w->ids->n && !w->mask->oom) ins_str_putc(w->mask, (char)learn);
    return w->mask && w->mask->oom ? text_no_memory(w->err) : INS_OK;
}

static ins_status put_mark(chat_writer *w, int32_t id, bool learn) {
    if (!ins_ids_push(w->ids, id)) return text_no_memory(w->err);
    return fill_mask(w, learn);
}

/* Never reads marks out of the text: a message cannot end itself. */
static ins_status put_text(chat_writer *w, const char *text, size_t n, bool learn) {
    INS_TRY(ins_tokenizer_encode(w->tok, w->cache, text, n, false, w->ids, w->err));
    return fill_mask(w, learn);
}

static ins_status put_assistant_head(chat_writer *w) {
    static const char head[] = "assistant\n";
    INS_TRY(put_mark(w, w->start, false));
    return put_text(w, head, sizeof head - 1, false);
}

/* "role\ncontent" as one text, so that its ids are those of the rendered conversation whatever the content starts with.
 * Only the assistant's head stands apart: there generation takes over, and the loss starts. */
static ins_status put_given(chat_writer *w, const ins_chat_message *message) {
    ins_str text = {0};
    ins_str_puts(&text, message->role);
    ins_str_putc(&text, '\n');
    ins_str_append(&text, message->content, message->n);
    ins_status status = text.oom ? text_no_memory(w->err) : put_mark(w, w->start, false);
    if (status == INS_OK) status = put_text(w, text.data, text.len, false);
    ins_str_free(&text);
    return status;
}

static ins_status put_message(chat_writer *w, const ins_chat_message *message) {
    bool learn = strcmp(message->role, "assistant") == 0;
    if (!learn && strcmp(message->role, "user") != 0 && strcmp(message->role, "system") != 0) {
        INS_FAIL(w->err, INS_DATA, "the role '%.40s' is not known", message->role);
        ins_error_hint(w->err, "use system, user or assistant");
        return INS_DATA;
    }
    INS_TRY(learn ? put_assistant_head(w) : put_given(w, message));
    if (learn) INS_TRY(put_text(w, message->content, message->n, true));
    INS_TRY(put_mark(w, w->end, learn));
    return put_text(w, "\n", 1, false);
}

static ins_status put_all(chat_writer *w, const ins_chat_message *messages, int64_t n, bool add_generation_prompt) {
    INS_TRY(fill_mask(w, false)); /* ids that were there before */
    for (int64_t i = 0; i < n; i++) INS_TRY(put_message(w, &messages[i]));
    return add_generation_prompt ? put_assistant_head(w) : INS_OK;
}

ins_status ins_chat_encode(const ins_tokenizer *tok, ins_token_cache *cache, const ins_chat_message *messages,
                           int64_t n, bool add_generation_prompt, ins_ids *ids, ins_str *loss_mask, ins_error *err) {
    chat_writer w = {.tok = tok, .cache = cache, .ids = ids, .mask = loss_mask, .err = err};
    w.start = ins_tokenizer_find(tok, "<|im_start|>");
    w.end = ins_tokenizer_find(tok, "<|im_end|>");
    if (w.start < 0 || w.end < 0) {
        INS_FAIL(err, INS_MODEL, "the tokenizer has no chat marks (<|im_start|> and <|im_end|>)");
        ins_error_hint(err, "train the tokenizer with both in its list `special`");
        return INS_MODEL;
    }
    int64_t n_before = ids->n;
    size_t mask_before = loss_mask ? loss_mask->len : 0;
    ins_status status = put_all(&w, messages, n, add_generation_prompt);
    if (status != INS_OK) {
        ids->n = n_before;
        if (loss_mask) loss_mask->len = mask_before;
    }
    return status;
}
