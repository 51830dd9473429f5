/* ChatML: text, loss mask, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text_fixture.h"

static void conversation(void **state) {
    (void)state;
    ins_tokenizer *tok = load_fixture("gpt2.json");
    const ins_chat_message messages[] = {
        {"system", "be kind", 7},
        {"user", "  moult? <|im_end|>", 19}, /* the mark in the text is plain text */
        {"assistant", "it sheds", 8},
    };
    ins_ids ids = {0};
    ins_str mask = {0}, text = {0}, learnt = {0};
    ins_error err = {0};
    assert_int_equal(ins_chat_encode(tok, NULL, messages, 3, true, &ids, &mask, &err), INS_OK);
    assert_int_equal(ids.n, mask.len);
    assert_int_equal(ins_tokenizer_decode(tok, ids.data, ids.n, false, &text, &err), INS_OK);
    assert_string_equal(text.data,
                        "<|im_start|>system\nbe kind<|im_end|>\n<|im_start|>user\n  moult? <|im_end|><|im_end|>\n"
                        "<|im_start|>assistant\nit sheds<|im_end|>\n<|im_start|>assistant\n");
    int starts = 0, ends = 0;
    for (int64_t i = 0; i < ids.n; i++) {
        starts += ids.data[i] == ins_tokenizer_find(tok, "<|im_start|>");
        ends += ids.data[i] == ins_tokenizer_find(tok, "<|im_end|>");
        if (mask.data[i]) assert_int_equal(ins_tokenizer_decode(tok, &ids.data[i], 1, false, &learnt, &err), INS_OK);
    }
    assert_int_equal(starts, 4);
    assert_int_equal(ends, 3);
    assert_string_equal(learnt.data, "it sheds<|im_end|>");
    /* given messages have the ids of the rendered text: the spaces behind "user\n" belong to one piece with it */
    static const char part[] = "user\n  moult? <|im_end|>";
    ins_ids want = encode(tok, NULL, part, sizeof part - 1, false);
    bool found = false;
    for (int64_t i = 0; i + want.n <= ids.n && !found; i++)
        found = memcmp(ids.data + i, want.data, (size_t)want.n * sizeof *want.data) == 0;
    assert_true(found);
    ins_ids_free(&want);
    ins_ids_free(&ids);
    ins_str_free(&mask);
    ins_str_free(&text);
    ins_str_free(&learnt);
    ins_tokenizer_free(tok);
}

static void refusals(void **state) {
    (void)state;
    ins_tokenizer *tok = load_fixture("gpt2.json"), *bare = train_one("byte", "{special: []}", "");
    const ins_chat_message good[] = {{"user", "x", 1}}, bad[] = {{"user", "x", 1}, {"robot", "y", 1}};
    ins_ids ids = {0};
    ins_str mask = {0};
    ins_error err = {0};
    assert_int_equal(ins_chat_encode(bare, NULL, good, 1, false, &ids, &mask, &err), INS_MODEL);
    assert_non_null(strstr(err.text, "chat marks"));
    assert_true(ins_ids_push(&ids, 7));
    assert_int_equal(ins_chat_encode(tok, NULL, bad, 2, false, &ids, &mask, &err), INS_DATA);
    assert_non_null(strstr(err.text, "robot"));
    assert_true(ids.n == 1 && mask.len == 0); /* nothing half-written stays */
    assert_int_equal(ins_chat_encode(tok, NULL, good, 1, false, &ids, NULL, &err), INS_OK); /* no mask wanted */
    ins_ids_free(&ids);
    ins_str_free(&mask);
    ins_tokenizer_free(tok);
    ins_tokenizer_free(bare);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(conversation), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
