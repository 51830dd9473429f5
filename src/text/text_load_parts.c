/* The parts of tokenizer.json around the vocabulary. Only what is known exactly is accepted: a part that is read but
 * not honoured would give other ids than the model was trained with.
 */
#include <stdlib.h>
#include <string.h>

#include "text/text_load_internal.h"

static const char *type_of(const json_t *part) {
    const char *type = json_string_value(json_object_get(part, "type"));
    return type ? type : "";
}

static bool is_type(const json_t *part, const char *type) {
    return strcmp(type_of(part), type) == 0;
}

/* Absent and null count as `otherwise`. */
static bool flag_of(const json_t *part, const char *key, bool otherwise) {
    const json_t *value = json_object_get(part, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static bool is_none(const json_t *value) {
    return !value || json_is_null(value);
}

ins_status text_fail_part(text_loader *loader, const char *part, const json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    INS_FAIL(loader->err, INS_MODEL, "the tokenizer's %s is not supported: %.300s", part, text ? text : "missing");
    ins_error_hint(loader->err, "byte-level BPE with the pre-splitting of GPT-2, Llama 3 or Qwen 2 can be loaded");
    free(text); /* allocated by jansson */
    return INS_MODEL;
}

static ins_status load_normalizer(text_loader *loader) {
    const json_t *part = json_object_get(loader->root, "normalizer");
    if (is_none(part)) return INS_OK;
    const json_t *inner = part;
    if (is_type(part, "Sequence")) {
        const json_t *list = json_object_get(part, "normalizers");
        if (json_is_array(list) && json_array_size(list) == 0) return INS_OK;
        if (json_array_size(list) == 1) inner = json_array_get(list, 0);
    }
    if (!is_type(inner, "NFC")) return text_fail_part(loader, "normalizer", part);
    loader->tok->nfc = true;
    return INS_OK;
}

/* Split by one of the known expressions. The pieces cover the text, so "keep the matches" and "cut around them" agree.
 */
static bool load_split(text_loader *loader, const json_t *part) {
    const char *regex = json_string_value(json_object_get(json_object_get(part, "pattern"), "Regex"));
    const char *behavior = json_string_value(json_object_get(part, "behavior"));
    if (!is_type(part, "Split") || !regex || !behavior) return false;
    bool invert = flag_of(part, "invert", false);
    if (!(strcmp(behavior, "Isolated") == 0 && !invert) && !(strcmp(behavior, "Removed") == 0 && invert)) return false;
    for (int kind = 0; kind < TEXT_SPLIT_COUNT; kind++) {
        if (!text_split_regex[kind] || strcmp(text_split_regex[kind], regex) != 0) continue;
        loader->tok->split = (text_split_kind)kind;
        return true;
    }
    return false;
}

static ins_status load_pre_tokenizer(text_loader *loader) {
    const json_t *part = json_object_get(loader->root, "pre_tokenizer"), *level = part;
    if (is_none(part)) return INS_OK;
    bool split = false;
    if (is_type(part, "Sequence")) {
        const json_t *list = json_object_get(part, "pretokenizers");
        size_t n = json_array_size(list);
        if (n == 2) split = load_split(loader, json_array_get(list, 0));
        if (!(n == 1 || (n == 2 && split))) return text_fail_part(loader, "pre_tokenizer", part);
        level = json_array_get(list, n - 1);
    }
    bool regex = flag_of(level, "use_regex", true);
    if (!is_type(level, "ByteLevel") || flag_of(level, "add_prefix_space", true) || (split && regex))
        return text_fail_part(loader, "pre_tokenizer", part);
    if (regex) loader->tok->split = TEXT_SPLIT_GPT2;
    loader->byte_level = true;
    return INS_OK;
}

static ins_status load_decoder(text_loader *loader) {
    const json_t *part = json_object_get(loader->root, "decoder");
    if (is_none(part)) return INS_OK;
    const json_t *list = json_object_get(part, "decoders");
    bool good = loader->byte_level && is_type(part, "ByteLevel");
    if (is_type(part, "Sequence") && loader->byte_level)
        good = json_array_size(list) == 1 && is_type(json_array_get(list, 0), "ByteLevel");
    else if (is_type(part, "Sequence"))
        good = json_array_size(list) == 2 && is_type(json_array_get(list, 0), "ByteFallback") &&
               is_type(json_array_get(list, 1), "Fuse");
    return good ? INS_OK : text_fail_part(loader, "decoder", part);
}

static bool is_empty_text(const json_t *value) {
    return is_none(value) || (json_is_string(value) && json_string_length(value) == 0);
}

static ins_status load_model_options(text_loader *loader) {
    const json_t *model = loader->model, *dropout = json_object_get(model, "dropout");
    const json_t *type = json_object_get(model, "type");
    if (type && !is_type(model, "BPE")) return text_fail_part(loader, "kind of model", type);
    if (!is_none(dropout) && json_number_value(dropout) != 0) return text_fail_part(loader, "dropout", dropout);
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (int i = 0; i < 2; i++)
        if (!is_empty_text(json_object_get(model, affixes[i])))
            return text_fail_part(loader, affixes[i], json_object_get(model, affixes[i]));
    loader->tok->ignore_merges = flag_of(model, "ignore_merges", false);
    bool fallback = flag_of(model, "byte_fallback", false);
    if (fallback == loader->byte_level) {
        INS_FAIL(loader->err, INS_MODEL,
                 "the tokenizer is not byte-level: byte_fallback is %s and its pre_tokenizer %s",
                 fallback ? "true" : "false", loader->byte_level ? "is ByteLevel" : "is not ByteLevel");
        ins_error_hint(loader->err, "byte-level BPE with the pre-splitting of GPT-2, Llama 3 or Qwen 2 can be loaded");
        return INS_MODEL;
    }
    bool merges = json_array_size(json_object_get(model, "merges")) > 0;
    if (fallback && (merges || loader->tok->nfc))
        return text_fail_part(loader, "BPE with byte_fallback and merges", NULL);
    loader->tok->kind = fallback ? "char" : merges ? "bpe" : "byte";
    return INS_OK;
}

ins_status text_load_parts(text_loader *loader) {
    INS_TRY(load_normalizer(loader));
    INS_TRY(load_pre_tokenizer(loader));
    INS_TRY(load_model_options(loader));
    return load_decoder(loader);
}

/* TemplateProcessing that puts one special token in front: [X] A. */
static bool read_template(text_loader *loader, const json_t *part) {
    const json_t *single = json_object_get(part, "single"), *first = json_array_get(single, 0);
    size_t n = json_array_size(single);
    if (n == 1) return json_object_get(first, "Sequence") != NULL;
    const char *name = json_string_value(json_object_get(json_object_get(first, "SpecialToken"), "id"));
    if (n != 2 || !name || !json_object_get(json_array_get(single, 1), "Sequence")) return false;
    const json_t *ids = json_object_get(json_object_get(json_object_get(part, "special_tokens"), name), "ids");
    const json_t *id = json_array_get(ids, 0);
    if (json_array_size(ids) != 1 || !json_is_integer(id)) return false;
    json_int_t value = json_integer_value(id);
    if (value < 0 || value >= loader->tok->n_tokens || !(loader->tok->flags[value] & TEXT_TOKEN_ADDED)) return false;
    loader->tok->template_bos = (int32_t)value;
    return true;
}

ins_status text_load_template(text_loader *loader) {
    const json_t *part = json_object_get(loader->root, "post_processor");
    if (is_none(part) || is_type(part, "ByteLevel")) return INS_OK; /* ByteLevel changes offsets only */
    if (is_type(part, "TemplateProcessing"))
        return read_template(loader, part) ? INS_OK : text_fail_part(loader, "post_processor", part);
    const json_t *list = json_object_get(part, "processors");
    if (!is_type(part, "Sequence") || !json_is_array(list)) return text_fail_part(loader, "post_processor", part);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *inner = json_array_get(list, i);
        bool good =
            is_type(inner, "ByteLevel") || (is_type(inner, "TemplateProcessing") && read_template(loader, inner));
        if (!good) return text_fail_part(loader, "post_processor", inner);
    }
    return INS_OK;
}
