/* Reading Hugging Face's tokenizer.json, or a folder with one, or GPT-2's older pair vocab.json and merges.txt. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "format/lines.h"
#include "text/text_load_internal.h"

#define MAX_FILE ((uint64_t)128 << 20)

/* A token's text in the file as its bytes, into `scratch`. False: a character that is not in the byte-level alphabet.
 */
static bool symbols_to_bytes(text_loader *loader, const char *text, size_t n) {
    ins_str_clear(&loader->scratch);
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        int length = ins_utf8_decode((const unsigned char *)text + at, n - at, &cp);
        int byte = length ? text_symbol_byte(cp) : -1;
        if (byte < 0) return false;
        ins_str_putc(&loader->scratch, (char)byte);
        at += (size_t)length;
    }
    return true;
}

static ins_status load_vocab(text_loader *loader, const json_t *vocab, const json_t *added) {
    size_t room = json_object_size(vocab) + json_array_size(added);
    if (room == 0 || room > (size_t)TEXT_MAX_TOKENS)
        return INS_FAIL(loader->err, INS_MODEL, "the vocabulary has %zu tokens", room);
    loader->names = ins_calloc(room, sizeof *loader->names);
    loader->flags = ins_calloc(room, 1);
    if (!loader->names || !loader->flags) return text_no_memory(loader->err);
    loader->n_names = (int64_t)room;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)vocab, name, value) {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id >= loader->n_names)
            return INS_FAIL(loader->err, INS_MODEL, "the token '%.100s' has an id outside 0..%lld", name,
                            (long long)loader->n_names - 1);
        if (loader->names[id])
            return INS_FAIL(loader->err, INS_MODEL, "the tokens '%.100s' and '%.100s' have the same id %lld",
                            loader->names[id], name, (long long)id);
        loader->names[id] = name;
    }
    return INS_OK;
}

static ins_status load_added_token(text_loader *loader, const json_t *token) {
    const json_t *id_value = json_object_get(token, "id");
    const char *content = json_string_value(json_object_get(token, "content"));
    json_int_t id = json_is_integer(id_value) ? json_integer_value(id_value) : -1;
    if (!content || !content[0] || id < 0)
        return INS_FAIL(loader->err, INS_MODEL, "an added token has no valid id and content");
    if (id >= loader->n_names)
        return INS_FAIL(loader->err, INS_MODEL,
                        "the added token '%.100s' has the id %lld, but there are only %lld tokens", content,
                        (long long)id, (long long)loader->n_names);
    if (loader->names[id] && strcmp(loader->names[id], content) != 0)
        return INS_FAIL(loader->err, INS_MODEL, "the added token '%.100s' has the id %lld of '%.100s'", content,
                        (long long)id, loader->names[id]);
    if (loader->flags[id]) return INS_FAIL(loader->err, INS_MODEL, "the added token '%.100s' is given twice", content);
    static const char *const unsupported[] = {"single_word", "lstrip", "rstrip"};
    for (int i = 0; i < 3; i++)
        if (json_is_true(json_object_get(token, unsupported[i]))) {
            char part[64];
            snprintf(part, sizeof part, "added token with %s", unsupported[i]);
            return text_fail_part(loader, part, token);
        }
    loader->names[id] = content;
    loader->flags[id] = TEXT_TOKEN_ADDED;
    if (json_is_true(json_object_get(token, "special"))) loader->flags[id] |= TEXT_TOKEN_SPECIAL;
    return INS_OK;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* char tokenizer: "<0x41>" is the byte, anything else has to be one character. */
static ins_status add_char_token(text_loader *loader, const char *name, size_t n) {
    uint32_t cp;
    int high = n == 6 && memcmp(name, "<0x", 3) == 0 && name[5] == '>' ? hex_digit(name[3]) : -1;
    int low = high >= 0 ? hex_digit(name[4]) : -1;
    if (low >= 0) {
        unsigned char byte = (unsigned char)(high << 4 | low);
        return text_add_token(loader->tok, &byte, 1, TEXT_TOKEN_BYTE, loader->err);
    }
    if (n == 0 || ins_utf8_decode((const unsigned char *)name, n, &cp) != (int)n)
        return INS_FAIL(loader->err, INS_MODEL, "the token '%.100s' is neither a character nor a byte like <0x41>",
                        name);
    return text_add_token(loader->tok, name, n, 0, loader->err);
}

static ins_status add_token(text_loader *loader, int64_t id) {
    const char *name = loader->names[id];
    size_t n = strlen(name);
    unsigned flags = loader->flags[id];
    if (flags && !(loader->byte_level && text_is_own_symbols(name, n)))
        return text_add_token(loader->tok, name, n, flags, loader->err);
    if (!loader->byte_level) return add_char_token(loader, name, n);
    if (!symbols_to_bytes(loader, name, n) || n == 0)
        return INS_FAIL(loader->err, INS_MODEL,
                        "the token '%.100s' (id %lld) is not written in the byte-level alphabet", name, (long long)id);
    if (loader->scratch.oom) return text_no_memory(loader->err);
    INS_TRY(text_add_token(loader->tok, loader->scratch.data, loader->scratch.len, 0, loader->err));
    if (flags) text_mark_added(loader->tok, (int32_t)id, flags & TEXT_TOKEN_SPECIAL);
    return INS_OK;
}

static ins_status load_tokens(text_loader *loader) {
    const json_t *vocab = json_object_get(loader->model, "vocab"),
                 *added = json_object_get(loader->root, "added_tokens");
    if (!json_is_object(vocab)) return text_fail_part(loader, "vocabulary", NULL);
    if (added && !json_is_null(added) && !json_is_array(added))
        return text_fail_part(loader, "list of added tokens", NULL);
    INS_TRY(load_vocab(loader, vocab, added));
    for (size_t i = 0; i < json_array_size(added); i++) INS_TRY(load_added_token(loader, json_array_get(added, i)));
    while (loader->n_names > 0 && !loader->names[loader->n_names - 1]) loader->n_names--;
    for (int64_t id = 0; id < loader->n_names; id++) {
        if (!loader->names[id])
            return INS_FAIL(loader->err, INS_MODEL, "no token has the id %lld, though higher ids exist", (long long)id);
        INS_TRY(add_token(loader, id));
    }
    return INS_OK;
}

/* Id of one half of a merge; -1 when it is no token. */
static int32_t merge_half(text_loader *loader, const char *text, size_t n) {
    if (!text || !symbols_to_bytes(loader, text, n) || loader->scratch.oom) return -1;
    return text_find_plain(loader->tok, loader->scratch.data ? loader->scratch.data : "", loader->scratch.len);
}

/* "left right" or ["left", "right"]. */
static ins_status load_merge(text_loader *loader, const json_t *merge, size_t rank, int32_t *left, int32_t *right) {
    const char *text = json_string_value(merge), *second = NULL;
    size_t n_first = 0, n_second = 0;
    if (text) {
        const char *space = strchr(text, ' ');
        if (space) {
            n_first = (size_t)(space - text);
            second = space + 1;
            n_second = strlen(second);
        }
    } else if (json_array_size(merge) == 2) {
        text = json_string_value(json_array_get(merge, 0));
        second = json_string_value(json_array_get(merge, 1));
        n_first = text ? strlen(text) : 0;
        n_second = second ? strlen(second) : 0;
    }
    if (!text || !second) return INS_FAIL(loader->err, INS_MODEL, "merge %zu is not a pair of tokens", rank);
    *left = merge_half(loader, text, n_first);
    *right = merge_half(loader, second, n_second);
    if (loader->scratch.oom) return text_no_memory(loader->err);
    if (*left < 0 || *right < 0)
        return INS_FAIL(loader->err, INS_MODEL, "merge %zu uses '%.*s', which is not in the vocabulary", rank,
                        (int)(*left < 0 ? (n_first < 100 ? n_first : 100) : (n_second < 100 ? n_second : 100)),
                        *left < 0 ? text : second);
    return INS_OK;
}

static ins_status load_merges(text_loader *loader) {
    const json_t *merges = json_object_get(loader->model, "merges");
    if (!json_is_array(merges)) return text_fail_part(loader, "list of merges", NULL);
    size_t n = json_array_size(merges);
    if (n > (size_t)TEXT_MAX_MERGES) return INS_FAIL(loader->err, INS_MODEL, "the tokenizer has %zu merges", n);
    int32_t *left = ins_malloc((n ? n : 1) * sizeof *left), *right = ins_malloc((n ? n : 1) * sizeof *right);
    ins_status status = left && right ? INS_OK : text_no_memory(loader->err);
    for (size_t i = 0; i < n && status == INS_OK; i++)
        status = load_merge(loader, json_array_get(merges, i), i, &left[i], &right[i]);
    if (status == INS_OK) status = text_set_merges(loader->tok, left, right, (int64_t)n, loader->err);
    ins_free(left);
    ins_free(right);
    return status;
}

static ins_status load_root(const json_t *root, ins_tokenizer **out, ins_error *err) {
    text_loader loader = {.root = root, .model = json_object_get(root, "model"), .err = err};
    if (!json_is_object(loader.model)) {
        INS_FAIL(err, INS_MODEL, "this is not a tokenizer.json: it has no 'model'");
        ins_error_hint(err, "give the file tokenizer.json of a Hugging Face model, or its folder");
        return INS_MODEL;
    }
    INS_TRY(text_new("bpe", &loader.tok, err));
    ins_status status = text_load_parts(&loader);
    if (status == INS_OK) status = load_tokens(&loader);
    if (status == INS_OK) status = load_merges(&loader);
    if (status == INS_OK) status = text_load_template(&loader);
    if (status == INS_OK) status = text_finish(loader.tok, err);
    ins_free(loader.names);
    ins_free(loader.flags);
    ins_str_free(&loader.scratch);
    if (status != INS_OK) {
        ins_tokenizer_free(loader.tok);
        return status;
    }
    *out = loader.tok;
    return INS_OK;
}

/* ---- GPT-2's older files: put together as a tokenizer.json ---- */

static ins_status read_merge_lines(const char *path, json_t *merges, ins_error *err) {
    ins_stream *stream = NULL;
    INS_TRY(ins_stream_open(path, &stream, err));
    ins_status status = INS_OK;
    bool end = false;
    while (status == INS_OK) {
        const char *line;
        size_t n;
        status = ins_stream_line(stream, 65536, &line, &n, &end, err);
        if (status != INS_OK || end) break;
        if (n == 0 || (ins_stream_line_number(stream) == 1 && n > 8 && memcmp(line, "#version", 8) == 0)) continue;
        if (json_array_append_new(merges, json_stringn(line, n)) != 0)
            status = INS_FAIL(err, INS_MODEL, "line %lld of '%s' is not valid UTF-8",
                              (long long)ins_stream_line_number(stream), path);
    }
    ins_stream_close(stream);
    return status;
}

static ins_status read_pair(const char *vocab_path, const char *merges_path, json_t **out, ins_error *err) {
    json_t *vocab = NULL, *merges = json_array();
    ins_status status = merges ? ins_json_read_file(vocab_path, MAX_FILE, &vocab, err) : text_no_memory(err);
    if (status == INS_OK) status = read_merge_lines(merges_path, merges, err);
    if (status != INS_OK) {
        json_decref(vocab);
        json_decref(merges);
        return status;
    }
    json_t *eos = json_object_get(vocab, "<|endoftext|>"), *added = json_array();
    if (json_is_integer(eos))
        json_array_append_new(added, json_pack("{s:O, s:s, s:b}", "id", eos, "content", "<|endoftext|>", "special", 1));
    *out = json_pack("{s:{s:s, s:b, s:b}, s:o, s:{s:s, s:o, s:o}}", "pre_tokenizer", "type", "ByteLevel",
                     "add_prefix_space", 0, "use_regex", 1, "added_tokens", added, "model", "type", "BPE", "vocab",
                     vocab, "merges", merges);
    return *out ? INS_OK : text_no_memory(err);
}

static ins_status read_folder(const char *dir, json_t **root, ins_error *err) {
    char path[PATH_MAX], merges[PATH_MAX];
    INS_TRY(ins_path_join(dir, "tokenizer.json", path, sizeof path, err));
    if (ins_file_exists(path)) return ins_json_read_file(path, MAX_FILE, root, err);
    INS_TRY(ins_path_join(dir, "vocab.json", path, sizeof path, err));
    INS_TRY(ins_path_join(dir, "merges.txt", merges, sizeof merges, err));
    if (ins_file_exists(path) && ins_file_exists(merges)) return read_pair(path, merges, root, err);
    INS_FAIL(err, INS_MODEL, "the folder '%s' has no tokenizer.json", dir);
    ins_error_hint(err, "give a folder with tokenizer.json, or with vocab.json and merges.txt");
    return INS_MODEL;
}

ins_status ins_tokenizer_load(const char *path, ins_tokenizer **out, ins_error *err) {
    json_t *root = NULL;
    ins_status status =
        ins_dir_exists(path) ? read_folder(path, &root, err) : ins_json_read_file(path, MAX_FILE, &root, err);
    if (status == INS_OK) status = load_root(root, out, err);
    if (status != INS_OK) ins_error_frame(err, "loading the tokenizer '%.150s'", path);
    json_decref(root);
    return status;
}
