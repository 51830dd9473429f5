/* Loading tokenizer.json: what is supported, and one clear error for everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/json.h"
#include "format/lines.h"
#include "text/text_internal.h"
#include "text_fixture.h"

/* A small valid file: 256 bytes, two merges, one special token (id 258). */
static json_t *small_json(void) {
    json_t *vocab = json_object(), *merges = json_pack("[s, [s, s]]", "a b", "ab", "c");
    for (unsigned i = 0; i < 256; i++) {
        char symbol[5] = {0};
        ins_utf8_encode(text_byte_symbol(text_byte_at(i)), symbol);
        json_object_set_new(vocab, symbol, json_integer(i));
    }
    json_object_set_new(vocab, "ab", json_integer(256));
    json_object_set_new(vocab, "abc", json_integer(257));
    return json_pack("{s:[{s:i, s:s, s:b}], s:{s:s, s:b, s:b}, s:{s:s}, s:n, s:{s:s, s:o, s:o}}", "added_tokens", "id",
                     258, "content", "<|endoftext|>", "special", 1, "pre_tokenizer", "type", "ByteLevel",
                     "add_prefix_space", 0, "use_regex", 1, "decoder", "type", "ByteLevel", "normalizer", "model",
                     "type", "BPE", "vocab", vocab, "merges", merges);
}

static ins_status load_json(const text_temp *temp, const json_t *root, ins_tokenizer **out, ins_error *err) {
    assert_int_equal(json_dump_file(root, temp->path, JSON_COMPACT), 0); /* no fsync: many files */
    return ins_tokenizer_load(temp->path, out, err);
}

/* Put `value` (JSON text; NULL = remove) at a path like "model.vocab.ab". */
static void edit(json_t *root, const char *path, const char *value) {
    char key[64];
    json_t *at = root;
    const char *dot;
    while ((dot = strchr(path, '.')) != NULL) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
        path = dot + 1;
    }
    json_t *parsed = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    assert_true(at && (parsed || !value));
    if (json_is_array(at))
        json_array_set_new(at, (size_t)atoi(path), parsed);
    else if (parsed)
        json_object_set_new(at, path, parsed);
    else
        json_object_del(at, path);
}

static void valid_variants(void **state) {
    (void)state;
    static const char *const edits[][2] = {
        {"added_tokens", "[]"},
        {"added_tokens", "null"},
        {"added_tokens", NULL},
        {"decoder", "null"},
        {"model.type", NULL},
        {"model.dropout", "null"},
        {"model.end_of_word_suffix", "\"\""},
        {"model.ignore_merges", "true"},
        {"normalizer", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}"},
        {"pre_tokenizer",
         "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}"},
        {"post_processor", "{\"type\":\"ByteLevel\",\"trim_offsets\":true}"},
        {"post_processor", "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<|endoftext|>\"}},"
                           "{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":{\"<|endoftext|>\":{\"ids\":[258]}}}"},
        {"added_tokens.0", "{\"id\":257,\"content\":\"abc\",\"special\":false}"},
    };
    text_temp temp = text_temp_make("tokenizer.json");
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        json_t *root = small_json();
        edit(root, edits[i][0], edits[i][1]);
        ins_tokenizer *tok = NULL;
        ins_error err = {0};
        if (load_json(&temp, root, &tok, &err) != INS_OK) fail_msg("%s = %s: %s", edits[i][0], edits[i][1], err.text);
        ins_ids ids = encode(tok, NULL, "abcab", 5, false);
        assert_true(ids.n == 2 && ids.data[0] == 257 && ids.data[1] == 256);
        ins_ids_free(&ids);
        ins_tokenizer_free(tok);
        json_decref(root);
    }
    ins_dir_remove(temp.dir, NULL);
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *path, *value, *says;
    } rows[] = {
        {"model", NULL, "no 'model'"},
        {"model.type", "\"Unigram\"", "Unigram"},
        {"model.dropout", "0.1", "dropout"},
        {"model.end_of_word_suffix", "\"</w>\"", "end_of_word_suffix"},
        {"model.continuing_subword_prefix", "\"##\"", "continuing_subword_prefix"},
        {"model.byte_fallback", "true", "not byte-level"},
        {"pre_tokenizer", "null", "not byte-level"},
        {"pre_tokenizer", "{\"type\":\"Metaspace\"}", "pre_tokenizer"},
        {"pre_tokenizer.add_prefix_space", "true", "pre_tokenizer"},
        {"pre_tokenizer",
         "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s+\"},"
         "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}",
         "pre_tokenizer"},
        {"normalizer", "{\"type\":\"Lowercase\"}", "normalizer"},
        {"decoder", "{\"type\":\"WordPiece\"}", "decoder"},
        {"post_processor", "{\"type\":\"BertProcessing\"}", "post_processor"},
        {"post_processor",
         "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{}},{\"SpecialToken\":{\"id\":\"x\"}}]}",
         "post_processor"},
        {"model.vocab", "5", "vocabulary"},
        {"model.vocab", "{}", "only 1 tokens"},
        {"model.vocab.ab", "255", "same id 255"},
        {"model.vocab.ab", "-1", "outside"},
        {"model.vocab.ab", "1.5", "outside"},
        {"model.vocab.ab", "9000000000", "outside"},
        {"model.vocab.ab", NULL, "only 258 tokens"},

        {"model.merges", "null", "merges"},
        {"model.merges.0", "\"ab\"", "not a pair"},
        {"model.merges.0", "5", "not a pair"},
        {"model.merges.0", "[\"a\"]", "not a pair"},
        {"model.merges.0", "[\"a\", 5]", "not a pair"},
        {"model.merges.0", "\"a b c\"", "not in the vocabulary"},
        {"model.merges.0", "\"zz b\"", "uses 'zz'"},
        {"model.merges.0", "\"b a\"", "gives a token that is not"},
        {"model.merges.1", "\"a b\"", "same as merge 0"},
        {"added_tokens", "5", "added tokens"},
        {"added_tokens.0.id", "300", "the id 300, but"},
        {"added_tokens.0.id", "-1", "no valid id"},
        {"added_tokens.0.id", "\"258\"", "no valid id"},
        {"added_tokens.0.id", "3", "has the id 3 of"},
        {"added_tokens.0.content", "\"\"", "no valid id and content"},
        {"added_tokens.0.lstrip", "true", "lstrip"},
        {"added_tokens.0.single_word", "true", "single_word"},
    };
    text_temp temp = text_temp_make("tokenizer.json");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *root = small_json();
        edit(root, rows[i].path, rows[i].value);
        ins_tokenizer *tok = NULL;
        ins_error err = {0};
        ins_status status = load_json(&temp, root, &tok, &err);
        if (status != INS_MODEL || tok || !strstr(err.text, rows[i].says))
            fail_msg("%s = %s: status %d, %s", rows[i].path, rows[i].value, (int)status, err.text);
        json_decref(root);
    }
    json_t *hole = small_json(); /* one id free, one given to a token that has it already */
    edit(hole, "model.vocab.ab", NULL);
    edit(hole, "added_tokens.0", "{\"id\":257,\"content\":\"abc\"}");
    ins_tokenizer *tok = NULL;
    ins_error err = {0};
    assert_int_equal(load_json(&temp, hole, &tok, &err), INS_MODEL);
    assert_non_null(strstr(err.text, "no token has the id 256"));
    json_decref(hole);
    json_t *twice = small_json();
    json_array_append(json_object_get(twice, "added_tokens"),
                      json_array_get(json_object_get(twice, "added_tokens"), 0));
    assert_int_equal(load_json(&temp, twice, &tok, &err), INS_MODEL);
    assert_non_null(strstr(err.text, "given twice"));
    json_decref(twice);
    ins_dir_remove(temp.dir, NULL);
    err = (ins_error){0};
    assert_int_equal(ins_tokenizer_load("/nonexistent/tokenizer.json", &tok, &err), INS_IO);
}

/* A token that has a character outside the alphabet, and a vocabulary without one of the bytes. */
static void alphabet(void **state) {
    (void)state;
    text_temp temp = text_temp_make("tokenizer.json");
    ins_tokenizer *tok = NULL;
    ins_error err = {0};
    json_t *root = small_json();
    edit(root, "model.vocab.\xE6\x97\xA5", "258");
    edit(root, "added_tokens", "[]");
    assert_int_equal(load_json(&temp, root, &tok, &err), INS_MODEL);
    assert_non_null(strstr(err.text, "byte-level alphabet"));
    json_decref(root);
    root = small_json();
    edit(root, "model.vocab.!", NULL);
    edit(root, "model.vocab.!!", "0");
    assert_int_equal(load_json(&temp, root, &tok, &err), INS_MODEL);
    assert_non_null(strstr(err.text, "byte 0x21"));
    json_decref(root);
    ins_dir_remove(temp.dir, NULL);
}

/* Cut or changed anywhere, a file gives a status and never a crash. */
static void damaged_files(void **state) {
    (void)state;
    text_temp temp = text_temp_make("tokenizer.json");
    json_t *root = small_json();
    assert_int_equal(ins_json_write_file(temp.path, root, false, NULL), INS_OK);
    json_decref(root);
    ins_str whole = {0};
    assert_int_equal(ins_file_read(temp.path, 1 << 20, &whole, NULL), INS_OK);
    ins_rng rng = ins_rng_start(ins_rng_derive(9, "damage", 0), 0);
    for (int round = 0; round < 600; round++) {
        ins_str bytes = {0};
        size_t n = round % 3 ? whole.len : ins_rng_below(&rng, whole.len);
        ins_str_append(&bytes, whole.data, n);
        for (int k = 0; k < round % 3 && n; k++)
            bytes.data[ins_rng_below(&rng, n)] = "0\"{}[],:a b\xff"[ins_rng_below(&rng, 12)];
        FILE *file = fopen(temp.path, "wb");
        assert_true(file && fwrite(bytes.data ? bytes.data : "", 1, n, file) == n);
        fclose(file);
        ins_tokenizer *tok = NULL;
        ins_error err = {0};
        ins_status status = ins_tokenizer_load(temp.path, &tok, &err);
        assert_true((status == INS_OK) == (tok != NULL));
        if (status != INS_OK) assert_true(err.text[0] != '\0');
        if (round % 3 == 0) assert_int_not_equal(status, INS_OK);
        ins_tokenizer_free(tok);
        ins_str_free(&bytes);
    }
    ins_str_free(&whole);
    ins_dir_remove(temp.dir, NULL);
}

static void older_pair_of_files(void **state) {
    (void)state;
    text_temp temp = text_temp_make("vocab.json");
    json_t *root = small_json(), *vocab = json_object_get(json_object_get(root, "model"), "vocab");
    json_object_set_new(vocab, "<|endoftext|>", json_integer(258));
    assert_int_equal(ins_json_write_file(temp.path, vocab, false, NULL), INS_OK);
    ins_tokenizer *tok = NULL;
    ins_error err = {0};
    assert_int_equal(ins_tokenizer_load(temp.dir, &tok, &err), INS_MODEL); /* merges.txt is missing */
    char path[160];
    snprintf(path, sizeof path, "%s/merges.txt", temp.dir);
    static const char merges[] = "#version: 0.2\na b\nab c\n";
    assert_int_equal(ins_file_write_atomic(path, merges, sizeof merges - 1, NULL), INS_OK);
    if (ins_tokenizer_load(temp.dir, &tok, &err) != INS_OK) fail_msg("%s", err.text);
    ins_ids ids = encode(tok, NULL, "abc<|endoftext|>", 16, true);
    assert_true(ids.n == 2 && ids.data[0] == 257 && ids.data[1] == 258);
    assert_int_equal(ins_tokenizer_eos(tok), 258);
    ins_ids_free(&ids);
    ins_tokenizer_free(tok);
    json_decref(root);
    ins_dir_remove(temp.dir, NULL);
}

static void allocation_failures(void **state) {
    (void)state;
    text_temp temp = text_temp_make("tokenizer.json");
    json_t *root = small_json();
    assert_int_equal(ins_json_write_file(temp.path, root, false, NULL), INS_OK);
    json_decref(root);
    uint64_t live = ins_mem_get_stats().live;
    bool passed = false;
    for (uint64_t k = 1; k < 3000 && !passed; k++) {
        ins_tokenizer *tok = NULL;
        ins_mem_fail_at(k);
        ins_status status = ins_tokenizer_load(temp.path, &tok, NULL);
        if (status == INS_OK) status = ins_tokenizer_save(tok, temp.path, NULL);
        ins_mem_fail_at(0);
        passed = status == INS_OK;
        assert_true(passed || status == INS_NOMEM);
        ins_tokenizer_free(tok);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_true(passed);
    ins_dir_remove(temp.dir, NULL);
}

/* Published tokenizers, where INSTAR_DATA names a folder that has them. */
static void published(void **state) {
    (void)state;
    static const struct {
        const char *file;
        int64_t vocab;
        int32_t hello, world;
    } rows[] = {{"gpt2.tokenizer.json.zst", 50257, 15496, 995}, {"qwen3.tokenizer.json.zst", 151669, 9707, 1879}};
    const char *data = getenv("INSTAR_DATA");
    if (!data) skip();
    text_temp temp = text_temp_make("tokenizer.json");
    for (int i = 0; i < 2; i++) {
        char path[4096], buf[65536];
        ins_stream *stream = NULL;
        snprintf(path, sizeof path, "%s/tokenizers/%s", data, rows[i].file);
        if (ins_stream_open(path, &stream, NULL) != INS_OK) continue;
        FILE *file = fopen(temp.path, "wb");
        size_t n;
        do {
            assert_int_equal(ins_stream_read(stream, buf, sizeof buf, &n, NULL), INS_OK);
            assert_true(fwrite(buf, 1, n, file) == n);
        } while (n > 0);
        fclose(file);
        ins_stream_close(stream);
        ins_tokenizer *tok = NULL;
        ins_error err = {0};
        if (ins_tokenizer_load(temp.path, &tok, &err) != INS_OK) fail_msg("%s: %s", rows[i].file, err.text);
        assert_int_equal(ins_tokenizer_vocab_size(tok), rows[i].vocab);
        ins_ids ids = encode(tok, NULL, "Hello world", 11, false);
        assert_true(ids.n == 2 && ids.data[0] == rows[i].hello && ids.data[1] == rows[i].world);
        ins_ids_free(&ids);
        ins_tokenizer_free(tok);
    }
    ins_dir_remove(temp.dir, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_variants),
        cmocka_unit_test(refusals),
        cmocka_unit_test(alphabet),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(older_pair_of_files),
        cmocka_unit_test(allocation_failures),
        cmocka_unit_test(published),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
