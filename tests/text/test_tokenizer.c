/* Encoding and decoding: reference ids, round trips on any bytes, special tokens, caches, saving and loading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/json.h"
#include "text/text_internal.h"
#include "text_fixture.h"

/* Ids of hard texts as Hugging Face's library gives them, with and without a cache. */
static void reference_ids(void **state) {
    (void)state;
    static const char *const names[] = {"gpt2", "llama3", "qwen2"};
    json_t *root = NULL;
    ins_str text = read_fixture("cases.json");
    assert_int_equal(ins_json_read_text(text.data, text.len, "cases.json", &root, NULL), INS_OK);
    json_t *texts = json_object_get(root, "texts");
    assert_true(json_array_size(texts) > 200);
    for (int k = 0; k < 3; k++) {
        char file[32];
        snprintf(file, sizeof file, "%s.json", names[k]);
        ins_tokenizer *tok = load_fixture(file);
        ins_token_cache *cache = ins_token_cache_new(tok);
        json_t *lists = json_object_get(json_object_get(root, "ids"), names[k]);
        for (size_t i = 0; i < json_array_size(texts); i++) {
            const char *one = json_string_value(json_array_get(texts, i));
            json_t *want = json_array_get(lists, i);
            ins_ids ids = encode(tok, cache, one, strlen(one), true), fresh = encode(tok, NULL, one, strlen(one), true);
            bool good = (size_t)ids.n == json_array_size(want) && same_ids(&ids, &fresh);
            for (int64_t t = 0; t < ids.n && good; t++)
                good = ids.data[t] == json_integer_value(json_array_get(want, (size_t)t));
            if (!good)
                fail_msg("%s, text %zu [%s]: %lld ids, want %zu", names[k], i, one, (long long)ids.n,
                         json_array_size(want));
            ins_ids_free(&ids);
            ins_ids_free(&fresh);
        }
        ins_token_cache_free(cache);
        ins_tokenizer_free(tok);
    }
    json_decref(root);
    ins_str_free(&text);
}

static void check_round_trip(const ins_tokenizer *tok, ins_token_cache *cache, const char *text, size_t n) {
    ins_ids ids = encode(tok, cache, text, n, false);
    ins_str back = {0};
    ins_error err = {0};
    assert_int_equal(ins_tokenizer_decode(tok, ids.data, ids.n, false, &back, &err), INS_OK);
    assert_int_equal(back.len, n);
    if (n) assert_memory_equal(back.data, text, n);
    for (int64_t i = 0; i < ids.n; i++) assert_true(ids.data[i] >= 0 && ids.data[i] < ins_tokenizer_vocab_size(tok));
    ins_ids_free(&ids);
    ins_str_free(&back);
}

static const char sample[] =
    "The larva sheds its skin; the skin is shed. \xE6\x97\xA5\xE6\x9C\xAC \xF0\x9F\x99\x82 12 12\n";

static void round_trips(void **state) {
    (void)state;
    ins_str unit = read_fixture("train.txt");
    ins_tokenizer *toks[] = {
        load_fixture("gpt2.json"),
        load_fixture("llama3.json"),
        train_one("byte", "{}", ""),
        train_one("char", "{}", sample),
        train_one("bpe", "{vocab: 300, split: none}", unit.data),
    };
    static const char *const fixed[] = {
        "",
        "a",
        "\xF0\x9F\x91\x8D\xF0\x9F\x8F\xBD\xE2\x80\x8D",
        "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E",
        "\xFF\xFE\x80",
        "\xE6\x97",
        "\xC0\x80",
        "\xED\xA0\x80",
        "<|endoftext|><|im_start|>",
        "e\xCC\x81 \r\n\t\v\f",
        "'s'S'LL",
    };
    ins_rng rng = ins_rng_start(ins_rng_derive(5, "bytes", 0), 0);
    ins_str spaces = {0};
    for (int i = 0; i < 100000; i++) ins_str_putc(&spaces, i % 1000 == 999 ? '\n' : ' ');
    for (size_t k = 0; k < sizeof toks / sizeof *toks; k++) {
        ins_token_cache *cache = ins_token_cache_new(toks[k]);
        for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
            check_round_trip(toks[k], cache, fixed[i], strlen(fixed[i]));
        check_round_trip(toks[k], cache, "a\0b", 3);
        check_round_trip(toks[k], cache, spaces.data, spaces.len);
        check_round_trip(toks[k], cache, unit.data, unit.len);
        for (int round = 0; round < 500; round++) {
            char bytes[300];
            size_t n = ins_rng_below(&rng, sizeof bytes + 1);
            for (size_t i = 0; i < n; i++) bytes[i] = (char)ins_rng_below(&rng, round % 2 ? 256 : 128);
            check_round_trip(toks[k], cache, bytes, n);
        }
        ins_token_cache_free(cache);
        ins_tokenizer_free(toks[k]);
    }
    ins_str_free(&spaces);
    ins_str_free(&unit);
}

/* A pre-token over the limit of the plain scan goes through the heap: both must agree with merging by definition. */
static void long_pieces(void **state) {
    (void)state;
    ins_tokenizer *tok = train_one("bpe", "{vocab: 268, special: [], min_frequency: 1}",
                                   "aaaa aaaaaaaa aabaab abab aabb aaaa aabaab aabb abab");
    ins_rng rng = ins_rng_start(ins_rng_derive(6, "long", 0), 0);
    for (size_t n = 1; n < 200; n += 1 + n / 20) {
        unsigned char text[256];
        int32_t ids[256];
        for (size_t i = 0; i < n; i++) text[i] = "aab"[ins_rng_below(&rng, 3)];
        for (size_t i = 0; i < n; i++) ids[i] = tok->byte_id[text[i]];
        size_t left = n;
        for (int64_t rank = 0; rank < tok->n_merges; rank++) { /* apply each merge to the whole, in order of rank */
            size_t kept = 0;
            for (size_t i = 0; i < left; i++) {
                bool joins = i + 1 < left && ids[i] == tok->merge_left[rank] && ids[i + 1] == tok->merge_right[rank];
                int32_t id = joins ? text_find_merge(tok, ids[i], ids[i + 1])->id : ids[i];
                ids[kept++] = id;
                i += joins;
            }
            left = kept;
        }
        ins_ids want = {.data = ids, .n = (int64_t)left}, got = encode(tok, NULL, (const char *)text, n, false);
        assert_true(same_ids(&want, &got));
        ins_ids_free(&got);
    }
    ins_tokenizer_free(tok);
}

static void special_tokens(void **state) {
    (void)state;
    ins_tokenizer *tok = train_one("bpe", "{vocab: 262, special: [<|a|>, <|a|>b, <|end|>]}", "xyz xyz xyz");
    static const char text[] = "x<|a|>b<|a|>c<|end|><|end|";
    ins_ids ids = encode(tok, NULL, text, sizeof text - 1, true);
    int32_t longer = ins_tokenizer_find(tok, "<|a|>b"), shorter = ins_tokenizer_find(tok, "<|a|>");
    assert_int_equal(longer, 1);
    assert_int_equal(ids.data[1], longer); /* the longest at each place */
    assert_int_equal(ids.data[2], shorter);
    assert_int_equal(ids.data[4], 2);
    assert_int_equal(ids.n, 5 + 6);
    ins_str out = {0};
    assert_int_equal(ins_tokenizer_decode(tok, ids.data, ids.n, true, &out, NULL), INS_OK);
    assert_string_equal(out.data, "xc<|end|");
    ins_str_clear(&out);
    assert_int_equal(ins_tokenizer_decode(tok, ids.data, ids.n, false, &out, NULL), INS_OK);
    assert_string_equal(out.data, text);
    ins_ids_free(&ids);
    ids = encode(tok, NULL, text, sizeof text - 1, false); /* plain text has no special tokens */
    for (int64_t i = 0; i < ids.n; i++) assert_true(ids.data[i] > 2);
    const int32_t bad[] = {5, 262}, negative[] = {-1};
    ins_error err = {0};
    assert_int_equal(ins_tokenizer_decode(tok, bad, 2, false, &out, &err), INS_DATA);
    assert_non_null(strstr(err.text, "262 at position 1"));
    assert_int_equal(ins_tokenizer_decode(tok, negative, 1, false, &out, &err), INS_DATA);
    size_t n;
    bool special;
    assert_memory_equal(ins_tokenizer_token(tok, 0, &n, &special), "<|a|>", 5);
    assert_true(n == 5 && special);
    assert_null(ins_tokenizer_token(tok, 262, &n, &special));
    assert_int_equal(ins_tokenizer_eos(tok), -1);
    ins_ids_free(&ids);
    ins_str_free(&out);
    ins_tokenizer_free(tok);
}

/* What is added but not special stays when special tokens are skipped. */
static void added_tokens(void **state) {
    (void)state;
    ins_tokenizer *tok = load_fixture("qwen2.json");
    static const char text[] = "<|im_start|><think>x</think>";
    ins_ids ids = encode(tok, NULL, text, sizeof text - 1, true);
    assert_int_equal(ids.n, 4);
    ins_str out = {0};
    assert_int_equal(ins_tokenizer_decode(tok, ids.data, ids.n, true, &out, NULL), INS_OK);
    assert_string_equal(out.data, "<think>x</think>");
    assert_int_equal(ins_tokenizer_eos(tok), 700);
    ins_ids_free(&ids);
    ins_str_free(&out);
    ins_tokenizer_free(tok);
    tok = load_fixture("llama3.json");
    assert_int_equal(ins_tokenizer_bos(tok), 0);
    ins_tokenizer_free(tok);
}

static void assert_same_tokenizer(const ins_tokenizer *x, const ins_tokenizer *y) {
    assert_string_equal(x->kind, y->kind);
    assert_int_equal(x->n_tokens, y->n_tokens);
    assert_int_equal(x->blob.len, y->blob.len);
    assert_memory_equal(x->blob.data, y->blob.data, x->blob.len);
    assert_memory_equal(x->at, y->at, (size_t)(x->n_tokens + 1) * sizeof *x->at);
    assert_memory_equal(x->flags, y->flags, (size_t)x->n_tokens);
    assert_memory_equal(x->byte_id, y->byte_id, sizeof x->byte_id);
    assert_int_equal(x->n_merges, y->n_merges);
    assert_int_equal(x->split, y->split);
    assert_int_equal(x->nfc, y->nfc);
    assert_int_equal(x->ignore_merges, y->ignore_merges);
    assert_true(x->eos == y->eos && x->bos == y->bos && x->pad == y->pad && x->template_bos == y->template_bos);
    for (int64_t i = 0; i < x->n_merges; i++)
        assert_true(x->merge_left[i] == y->merge_left[i] && x->merge_right[i] == y->merge_right[i]);
}

static void save_and_load(void **state) {
    (void)state;
    ins_str unit = read_fixture("train.txt");
    ins_tokenizer *toks[] = {
        load_fixture("gpt2.json"),
        load_fixture("llama3.json"),
        load_fixture("qwen2.json"),
        train_one("byte", "{}", ""),
        train_one("byte", "{special: []}", ""),
        train_one("char", "{}", sample),
        train_one("bpe", "{vocab: 400, special: [\"<two words>\", \"\xC3\xA9nd\"]}", unit.data),
        train_one("bpe", "{vocab: 300, split: none}", unit.data),
    };
    text_temp temp = text_temp_make("tokenizer.json");
    for (size_t i = 0; i < sizeof toks / sizeof *toks; i++) {
        ins_error err = {0};
        ins_tokenizer *back = NULL;
        assert_int_equal(ins_tokenizer_save(toks[i], temp.path, &err), INS_OK);
        if (ins_tokenizer_load(i % 2 ? temp.path : temp.dir, &back, &err) != INS_OK) fail_msg("%zu: %s", i, err.text);
        assert_same_tokenizer(toks[i], back);
        ins_ids want = encode(toks[i], NULL, unit.data, unit.len, true),
                got = encode(back, NULL, unit.data, unit.len, true);
        assert_true(same_ids(&want, &got));
        ins_ids_free(&want);
        ins_ids_free(&got);
        ins_tokenizer_free(back);
        ins_tokenizer_free(toks[i]);
    }
    ins_str_free(&unit);
    ins_dir_remove(temp.dir, NULL);
}

/* A cache that fills up starts again and gives the same ids. */
static void full_cache(void **state) {
    (void)state;
    ins_tokenizer *tok = load_fixture("gpt2.json");
    ins_token_cache *cache = ins_token_cache_new(tok);
    char text[64];
    for (int i = 0; i < 200000; i++) {
        int n =
            snprintf(text, sizeof text, "%c%c%c-moulting%d", 'a' + i % 26, 'a' + i / 26 % 26, 'a' + i / 676 % 26, i);
        ins_ids ids = encode(tok, cache, text, (size_t)n, false);
        if (i % 5000 == 0) {
            ins_ids fresh = encode(tok, NULL, text, (size_t)n, false);
            assert_true(same_ids(&ids, &fresh));
            ins_ids_free(&fresh);
        }
        ins_ids_free(&ids);
    }
    ins_token_cache_free(cache);
    ins_token_cache_free(NULL);
    ins_tokenizer_free(tok);
    ins_tokenizer_free(NULL);
}

static void encode_allocation_failures(void **state) {
    (void)state;
    ins_tokenizer *tok = load_fixture("qwen2.json");
    ins_str text = {0};
    for (int i = 0; i < 300; i++) ins_str_putc(&text, 'a');
    ins_str_puts(&text, " e\xCC\x81 and <|endoftext|>");
    uint64_t live = ins_mem_get_stats().live;
    bool passed = false;
    for (uint64_t k = 1; k < 200 && !passed; k++) {
        ins_ids ids = {0};
        ins_mem_fail_at(k);
        ins_status status = ins_tokenizer_encode(tok, NULL, text.data, text.len, true, &ids, NULL);
        ins_mem_fail_at(0);
        passed = status == INS_OK;
        assert_true(passed || (status == INS_NOMEM && ids.n == 0));
        ins_ids_free(&ids);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_true(passed);
    ins_str_free(&text);
    ins_tokenizer_free(tok);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_ids), cmocka_unit_test(round_trips),
        cmocka_unit_test(long_pieces),   cmocka_unit_test(special_tokens),
        cmocka_unit_test(added_tokens),  cmocka_unit_test(save_and_load),
        cmocka_unit_test(full_cache),    cmocka_unit_test(encode_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
