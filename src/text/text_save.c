/* Writing Hugging Face's tokenizer.json.
 *
 * What their library reads of it: "bpe" and "byte" completely. "char" is written as BPE without merges, with byte
 * fallback and no pre-splitting: it reads that, too, and gives the same ids for text that is valid UTF-8.
 */
#include <string.h>

#include "base/file.h"
#include "text/text_internal.h"

static void put_json(ins_str *out, const char *text, size_t n) {
    ins_str_putc(out, '"');
    ins_str_json_escape(out, text, n);
    ins_str_putc(out, '"');
}

static void put_symbols(ins_str *out, const unsigned char *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        char symbol[4];
        int length = ins_utf8_encode(text_byte_symbol(bytes[i]), symbol);
        ins_str_json_escape(out, symbol, (size_t)length);
    }
}

static bool is_plain(const ins_tokenizer *tok, int32_t id) {
    size_t n;
    const unsigned char *bytes = text_token_bytes(tok, id, &n);
    return tok->flags[id] & TEXT_TOKEN_BYTE || text_find_plain(tok, bytes, n) == id;
}

static bool is_char(const ins_tokenizer *tok) {
    return strcmp(tok->kind, "char") == 0;
}

/* The text by which the vocabulary names a token. */
static void put_name(ins_str *out, const ins_tokenizer *tok, int32_t id) {
    size_t n;
    const unsigned char *bytes = text_token_bytes(tok, id, &n);
    ins_str_putc(out, '"');
    if (tok->flags[id] & TEXT_TOKEN_BYTE)
        ins_str_printf(out, "<0x%02X>", bytes[0]);
    else if (is_char(tok) || !is_plain(tok, id))
        ins_str_json_escape(out, (const char *)bytes, n);
    else
        put_symbols(out, bytes, n);
    ins_str_putc(out, '"');
}

static void put_added(ins_str *out, const ins_tokenizer *tok) {
    bool first = true;
    ins_str_puts(out, "  \"added_tokens\": [");
    for (int64_t id = 0; id < tok->n_tokens; id++) {
        if (!(tok->flags[id] & TEXT_TOKEN_ADDED)) continue;
        size_t n;
        const unsigned char *bytes = text_token_bytes(tok, (int32_t)id, &n);
        ins_str_printf(out, "%s\n    {\"id\": %lld, \"content\": ", first ? "" : ",", (long long)id);
        put_json(out, (const char *)bytes, n);
        ins_str_printf(out,
                       ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                       "\"special\": %s}",
                       tok->flags[id] & TEXT_TOKEN_SPECIAL ? "true" : "false");
        first = false;
    }
    ins_str_puts(out, first ? "],\n" : "\n  ],\n");
}

static void put_byte_level(ins_str *out, bool use_regex) {
    ins_str_printf(out,
                   "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": false, \"use_regex\": %s}",
                   use_regex ? "true" : "false");
}

static void put_pre_tokenizer(ins_str *out, const ins_tokenizer *tok) {
    const char *regex = text_split_regex[tok->split];
    ins_str_puts(out, "  \"pre_tokenizer\": ");
    if (is_char(tok)) {
        ins_str_puts(out, "null");
    } else if (tok->split == TEXT_SPLIT_GPT2 || !regex) {
        put_byte_level(out, regex != NULL);
    } else {
        ins_str_puts(
            out, "{\"type\": \"Sequence\", \"pretokenizers\": [\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        put_json(out, regex, strlen(regex));
        ins_str_puts(out, "}, \"behavior\": \"Isolated\", \"invert\": false},\n    ");
        put_byte_level(out, false);
        ins_str_puts(out, "]}");
    }
    ins_str_puts(out, ",\n");
}

/* A start token in front of every text. */
static void put_template(ins_str *out, const ins_tokenizer *tok) {
    ins_str name = {0};
    size_t n;
    const unsigned char *bytes = text_token_bytes(tok, tok->template_bos, &n);
    put_json(&name, (const char *)bytes, n);
    const char *text = name.data ? name.data : "\"\"";
    ins_str_printf(
        out,
        "{\"type\": \"TemplateProcessing\",\n"
        "    \"single\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
        "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}],\n"
        "    \"pair\": [{\"SpecialToken\": {\"id\": %s, \"type_id\": 0}}, "
        "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, "
        "{\"SpecialToken\": {\"id\": %s, \"type_id\": 1}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}],\n"
        "    \"special_tokens\": {%s: {\"id\": %s, \"ids\": [%d], \"tokens\": [%s]}}}",
        text, text, text, text, text, tok->template_bos, text);
    if (name.oom) out->oom = true;
    ins_str_free(&name);
}

static void put_head(ins_str *out, const ins_tokenizer *tok) {
    ins_str_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(out, tok);
    ins_str_puts(out, tok->nfc ? "  \"normalizer\": {\"type\": \"NFC\"},\n" : "  \"normalizer\": null,\n");
    put_pre_tokenizer(out, tok);
    ins_str_puts(out, "  \"post_processor\": ");
    if (tok->template_bos >= 0)
        put_template(out, tok);
    else
        ins_str_puts(out, "null");
    ins_str_puts(out, ",\n  \"decoder\": ");
    if (is_char(tok))
        ins_str_puts(out,
                     "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}]}");
    else
        put_byte_level(out, true);
}

static void put_model(ins_str *out, const ins_tokenizer *tok) {
    ins_str_printf(out,
                   ",\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
                   "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n"
                   "    \"fuse_unk\": false,\n    \"byte_fallback\": %s,\n    \"ignore_merges\": %s,\n    \"vocab\": {",
                   is_char(tok) ? "true" : "false", tok->ignore_merges ? "true" : "false");
    int64_t n_vocab = tok->n_tokens; /* added tokens behind the last plain one stay out of the model */
    while (n_vocab > 0 && !is_plain(tok, (int32_t)n_vocab - 1)) n_vocab--;
    for (int64_t id = 0; id < n_vocab; id++) {
        ins_str_puts(out, id ? ",\n      " : "\n      ");
        put_name(out, tok, (int32_t)id);
        ins_str_printf(out, ": %lld", (long long)id);
    }
    ins_str_puts(out, "\n    },\n    \"merges\": [");
    for (int64_t rank = 0; rank < tok->n_merges; rank++) {
        size_t n;
        const unsigned char *bytes = text_token_bytes(tok, tok->merge_left[rank], &n);
        ins_str_puts(out, rank ? ",\n      \"" : "\n      \"");
        put_symbols(out, bytes, n);
        ins_str_putc(out, ' ');
        bytes = text_token_bytes(tok, tok->merge_right[rank], &n);
        put_symbols(out, bytes, n);
        ins_str_putc(out, '"');
    }
    ins_str_puts(out, tok->n_merges ? "\n    ]\n  }\n}\n" : "]\n  }\n}\n");
}

ins_status ins_tokenizer_save(const ins_tokenizer *tok, const char *path, ins_error *err) {
    ins_str out = {0};
    put_head(&out, tok);
    put_model(&out, tok);
    ins_status status = out.oom ? text_no_memory(err) : ins_file_write_atomic(path, out.data, out.len, err);
    ins_str_free(&out);
    return status;
}
