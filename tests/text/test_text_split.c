/* Pre-splitting: pieces of hand-made texts, written down with the regular expressions in view. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/str.h"
#include "text/text_split.h"

/* Pieces joined by '|'. */
static void check(text_split_kind kind, const char *text, const char *want) {
    ins_str got = {0};
    size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        size_t length = text_split_next(kind, (const unsigned char *)text, n, at);
        assert_true(length > 0 && length <= n - at);
        if (at) ins_str_putc(&got, '|');
        ins_str_append(&got, text + at, length);
        at += length;
    }
    if (!got.data || strcmp(got.data, want) != 0) fail_msg("kind %d: got [%s], want [%s]", (int)kind, got.data, want);
    ins_str_free(&got);
}

static void gpt2(void **state) {
    (void)state;
    const text_split_kind k = TEXT_SPLIT_GPT2;
    check(k, "Hello world", "Hello| world");
    check(k, "it's we'll they're I've I'm he'd can't", "it|'s| we|'ll| they|'re| I|'ve| I|'m| he|'d| can|'t");
    check(k, "IT'S 'quote' x'", "IT|'|S| '|quote|'| x|'");
    check(k, "a1b22 333", "a|1|b|22| 333");
    check(k, "  two   three", " | two|  | three");
    check(k, "end  ", "end|  ");
    check(k, "a\n\nb\tc", "a|\n|\n|b|\t|c");
    check(k, "x \n y", "x| \n| y");
    check(k, "foo(bar)->baz; !!", "foo|(|bar|)->|baz|;| !!");
    check(k, "\xC3\xA9t\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC", "\xC3\xA9t\xC3\xA9| \xE6\x97\xA5\xE6\x9C\xAC");
    check(k, "\xC2\xBD\xE2\x85\xA7", "\xC2\xBD\xE2\x85\xA7"); /* one half, roman eight: numbers */
    check(k, "a\xC2\xA0z", "a|\xC2\xA0|z");                   /* no-break space is a space, not ' ' */
    check(k, "a \xF0\x9F\x99\x82x", "a| \xF0\x9F\x99\x82|x"); /* emoji: symbol */
    check(k, "e\xCC\x81x", "e|\xCC\x81|x");                   /* a combining mark is no letter */
    check(k, "a\xFF\xFEz \x80", "a|\xFF\xFE|z| \x80");        /* broken bytes: symbols */
}

static void llama3(void **state) {
    (void)state;
    const text_split_kind k = TEXT_SPLIT_LLAMA3;
    check(k, "it's IT'S I'Ll x'RE", "it|'s| IT|'S| I|'Ll| x|'RE");
    check(k, "I'\xC5\xBF", "I|'\xC5\xBF"); /* long s */
    check(k, "12345 67", "123|45| |67");
    check(k, "(bar) $x", "(bar|)| $|x");
    check(k, "\tword  word", "\tword| | word");
    check(k, "a\nb", "a|\n|b");
    check(k, "x;\n\ny", "x|;\n\n|y");
    check(k, "a  \n  b", "a|  \n| | b");
    check(k, "a \n\n \t c", "a| \n\n| \t| c");
    check(k, "a  ", "a|  ");
    check(k, " !?\r\n x", " !?\r\n| x");
    check(k, "\n1", "\n|1");
}

static void qwen2_and_none(void **state) {
    (void)state;
    check(TEXT_SPLIT_QWEN2, "12345 67a", "1|2|3|4|5| |6|7|a");
    check(TEXT_SPLIT_QWEN2, "it'S x", "it|'S| x");
    check(TEXT_SPLIT_NONE, "all of it 12\n", "all of it 12\n");
}

/* Whatever the bytes, pieces cover the text; a cut one never splits a character. */
static void any_bytes(void **state) {
    (void)state;
    ins_rng rng = ins_rng_start(ins_rng_derive(1, "split", 0), 0);
    for (int round = 0; round < 2000; round++) {
        unsigned char text[64];
        size_t n = 1 + ins_rng_below(&rng, sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = ins_rng_below(&rng, 2) ? (unsigned char)ins_rng_below(&rng, 256)
                                             : (unsigned char)" \n'asa1.\xC3\xA9"[ins_rng_below(&rng, 10)];
        for (int kind = 0; kind < TEXT_SPLIT_COUNT; kind++)
            for (size_t at = 0; at < n;) {
                size_t length = text_split_next((text_split_kind)kind, text, n, at);
                assert_true(length > 0 && length <= n - at);
                size_t capped = text_split_capped((text_split_kind)kind, text, n, at, 5);
                assert_true(capped > 0 && capped <= length && capped <= 5);
                at += length;
            }
    }
    const unsigned char kana[] = "\xE3\x81\x82\xE3\x81\x82\xE3\x81\x82";
    assert_int_equal(text_split_capped(TEXT_SPLIT_GPT2, kana, 9, 0, 5), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2),
        cmocka_unit_test(llama3),
        cmocka_unit_test(qwen2_and_none),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
