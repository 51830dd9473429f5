/* Training BPE: against a trainer that recounts everything, against Hugging Face's merges, threads, and refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/json.h"
#include "text/bpe_train.h"
#include "text_fixture.h"

/* ---- the naive trainer: every word as a list of ids, every step counts all pairs anew ---- */

typedef struct naive {
    int32_t *ids[4096];
    size_t n[4096];
    int n_words;
} naive;

static void naive_load(naive *all, const ins_tokenizer *tok, text_split_kind split, const char *text) {
    size_t n = strlen(text);
    for (size_t at = 0; at < n;) {
        size_t length = text_split_next(split, (const unsigned char *)text, n, at);
        int32_t *ids = malloc(length * sizeof *ids);
        for (size_t i = 0; i < length; i++) ids[i] = tok->byte_id[(unsigned char)text[at + i]];
        assert_true(all->n_words < 4096);
        all->ids[all->n_words] = ids;
        all->n[all->n_words++] = length;
        at += length;
    }
}

static void naive_best(const naive *all, int64_t *count, int32_t *left, int32_t *right) {
    *count = 0;
    for (int w = 0; w < all->n_words; w++)
        for (size_t i = 0; i + 1 < all->n[w]; i++) {
            int32_t x = all->ids[w][i], y = all->ids[w][i + 1];
            int64_t n = 0;
            for (int v = 0; v < all->n_words; v++)
                for (size_t k = 0; k + 1 < all->n[v]; k++) n += all->ids[v][k] == x && all->ids[v][k + 1] == y;
            if (n > *count || (n == *count && (x < *left || (x == *left && y < *right)))) {
                *count = n;
                *left = x;
                *right = y;
            }
        }
}

static void naive_join(naive *all, int32_t left, int32_t right, int32_t id) {
    for (int w = 0; w < all->n_words; w++) {
        size_t kept = 0;
        for (size_t i = 0; i < all->n[w]; i++) {
            bool joins = i + 1 < all->n[w] && all->ids[w][i] == left && all->ids[w][i + 1] == right;
            all->ids[w][kept++] = joins ? id : all->ids[w][i];
            i += joins;
        }
        all->n[w] = kept;
    }
}

static void check_naive(const char *options, text_split_kind split, const char *text) {
    ins_tokenizer *tok = train_one("bpe", options, text);
    naive *all = calloc(1, sizeof *all);
    naive_load(all, tok, split, text);
    for (int64_t rank = 0; rank < tok->n_merges; rank++) {
        int64_t count;
        int32_t left = 0, right = 0;
        naive_best(all, &count, &left, &right);
        if (left != tok->merge_left[rank] || right != tok->merge_right[rank])
            fail_msg("merge %lld: (%d, %d), naive (%d, %d) x %lld", (long long)rank, tok->merge_left[rank],
                     tok->merge_right[rank], left, right, (long long)count);
        naive_join(all, left, right, text_find_merge(tok, left, right)->id);
    }
    for (int w = 0; w < all->n_words; w++) free(all->ids[w]);
    free(all);
    ins_tokenizer_free(tok);
}

static void equals_naive(void **state) {
    (void)state;
    static const char text[] =
        "low lower lowest slow slower slowest aaa aaaa aaaaa aaaaaaaa banana bananas ananas\n"
        "the theme of these themes; there they are, then. 111 1111 ababab abababab ====== ========\n"
        "low lower lowest slow slower slowest aaa aaaa aaaaa aaaaaaaa banana bananas ananas\n";
    check_naive("{vocab: 308, special: [], min_frequency: 1}", TEXT_SPLIT_GPT2, text);
    check_naive("{vocab: 308, special: [<|x|>], split: llama3, min_frequency: 1}", TEXT_SPLIT_LLAMA3, text);
    check_naive("{vocab: 305, special: [], split: none}", TEXT_SPLIT_NONE, text);
    /* random words over two letters: overlapping pairs, and tokens that two different merges give */
    ins_rng rng = ins_rng_start(ins_rng_derive(3, "words", 0), 0);
    ins_str random = {0};
    for (int i = 0; i < 120; i++) {
        for (uint64_t k = 1 + ins_rng_below(&rng, 12); k > 0; k--) ins_str_putc(&random, "aab"[ins_rng_below(&rng, 3)]);
        ins_str_putc(&random, ' ');
    }
    check_naive("{vocab: 290, special: [], min_frequency: 1}", TEXT_SPLIT_GPT2, random.data);
    ins_str_free(&random);
}

/* The merges that Hugging Face's trainer learnt from the same text. */
static void equals_reference(void **state) {
    (void)state;
    static const struct {
        const char *file, *options;
    } rows[] = {
        {"gpt2.json", "{vocab: 700}"},
        {"llama3.json",
         "{vocab: 700, split: llama3, special: [<|begin_of_text|>, <|endoftext|>, <|im_start|>, <|im_end|>, <|pad|>]}"},
    };
    ins_str text = read_fixture("train.txt");
    for (int i = 0; i < 2; i++) {
        ins_tokenizer *ours = train_one("bpe", rows[i].options, text.data), *theirs = load_fixture(rows[i].file);
        assert_int_equal(ours->n_tokens, 700);
        assert_int_equal(ours->n_merges, theirs->n_merges);
        for (int64_t k = 0; k < ours->n_merges; k++)
            if (ours->merge_left[k] != theirs->merge_left[k] || ours->merge_right[k] != theirs->merge_right[k])
                fail_msg("%s: merge %lld differs", rows[i].file, (long long)k);
        assert_int_equal(ours->blob.len, theirs->blob.len);
        assert_memory_equal(ours->blob.data, theirs->blob.data, ours->blob.len);
        ins_tokenizer_free(ours);
        ins_tokenizer_free(theirs);
    }
    ins_str_free(&text);
}

/* One long document is cut into pieces: with any number of threads, and as many short documents, the same comes out. */
static void threads_agree(void **state) {
    (void)state;
    ins_str text = {0}, unit = read_fixture("train.txt");
    for (int i = 0; i < 30; i++) ins_str_append(&text, unit.data, unit.len);
    const char *whole[] = {text.data};
    ins_tokenizer *made[3];
    for (int threads = 1; threads <= 3; threads++) {
        ins_pool *pool = NULL;
        assert_int_equal(ins_pool_new(threads, &pool, NULL), INS_OK);
        assert_int_equal(train_texts("bpe", "{vocab: 750}", whole, NULL, 1, pool, &made[threads - 1], NULL), INS_OK);
        ins_pool_free(pool);
    }
    for (int i = 1; i < 3; i++) {
        assert_int_equal(made[i]->n_merges, made[0]->n_merges);
        assert_memory_equal(made[i]->merge_left, made[0]->merge_left, (size_t)made[0]->n_merges * 4);
        assert_memory_equal(made[i]->merge_right, made[0]->merge_right, (size_t)made[0]->n_merges * 4);
        assert_memory_equal(made[i]->blob.data, made[0]->blob.data, made[0]->blob.len);
    }
    for (int i = 0; i < 3; i++) ins_tokenizer_free(made[i]);
    ins_str_free(&text);
    ins_str_free(&unit);
}

static int64_t count_of(const bpe_words *words, const unsigned char *bytes, size_t n) {
    int64_t low = 0, high = words->n;
    while (low < high) {
        int64_t mid = (low + high) / 2;
        size_t len = (size_t)(words->at[mid + 1] - words->at[mid]);
        int order = memcmp(words->bytes + words->at[mid], bytes, len < n ? len : n);
        if (order == 0) order = len < n ? -1 : len > n;
        if (order == 0) return words->counts[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return 0;
}

/* A long document is cut into pieces for the threads: the words must be those of the whole. */
static void cuts_change_nothing(void **state) {
    (void)state;
    ins_str text = {0}, unit = read_fixture("train.txt");
    for (int i = 0; i < 20; i++) ins_str_append(&text, unit.data, unit.len);
    ins_pool *pool = NULL;
    assert_int_equal(ins_pool_new(2, &pool, NULL), INS_OK);
    static const text_split_kind splits[] = {TEXT_SPLIT_GPT2, TEXT_SPLIT_LLAMA3};
    for (int i = 0; i < 2; i++) {
        const char *whole[] = {text.data};
        memory_source memory = {whole, NULL, 1, 0};
        ins_text_source source = {memory_next, &memory, text.len};
        bpe_words words = {0};
        assert_int_equal(bpe_count_words(splits[i], &source, pool, NULL, &words, NULL), INS_OK);
        assert_int_equal(words.total_bytes, text.len);
        int64_t pieces = 0, counted = 0;
        const unsigned char *bytes = (const unsigned char *)text.data;
        for (size_t at = 0; at < text.len; pieces++) {
            size_t n = text_split_next(splits[i], bytes, text.len, at);
            if (pieces % 100 == 0) assert_true(count_of(&words, bytes + at, n) > 0);
            at += n;
        }
        for (int64_t w = 0; w < words.n; w++) counted += words.counts[w];
        assert_int_equal(counted, pieces);
        bpe_words_free(&words);
    }
    ins_pool_free(pool);
    ins_str_free(&text);
    ins_str_free(&unit);
}

/* The longest token of `tok`. */
static size_t longest(const ins_tokenizer *tok) {
    size_t best = 0;
    for (int64_t i = 0; i < tok->n_tokens; i++) {
        size_t n;
        bool special;
        ins_tokenizer_token(tok, (int32_t)i, &n, &special);
        if (!special && n > best) best = n;
    }
    return best;
}

static void options_are_kept(void **state) {
    (void)state;
    ins_str text = read_fixture("train.txt");
    ins_tokenizer *tok = train_one("bpe", "{vocab: 380, max_token_bytes: 3}", text.data);
    assert_int_equal(ins_tokenizer_vocab_size(tok), 380);
    assert_int_equal(longest(tok), 3);
    ins_tokenizer_free(tok);
    tok = train_one("bpe", "{vocab: 260}", text.data); /* no merge at all */
    assert_int_equal(ins_tokenizer_vocab_size(tok), 260);
    assert_int_equal(tok->n_merges, 0);
    assert_int_equal(ins_tokenizer_eos(tok), 0);
    assert_int_equal(ins_tokenizer_find(tok, "<|im_end|>"), 2);
    assert_int_equal(ins_tokenizer_pad(tok), 3);
    assert_int_equal(ins_tokenizer_find(tok, "!"), 4); /* GPT-2's order of bytes */
    assert_int_equal(ins_tokenizer_find(tok, " "), 4 + 220);
    ins_tokenizer_free(tok);
    ins_str_free(&text);
}

static void refusals(void **state) {
    (void)state;
    ins_tokenizer *tok = NULL;
    ins_error err = {0};
    const char *texts[] = {"ab ab ab"};
    assert_int_equal(train_texts("bpe", "{vocab: 8k}", texts, NULL, 1, NULL, &tok, &err), INS_DATA);
    assert_null(tok);
    assert_non_null(strstr(err.text, "262 tokens at most, not 8000")); /* 4 + 256 + "ab", " ab" */
    assert_non_null(strstr(err.hint, "vocab to 262"));
    assert_int_equal(train_texts("bpe", "{vocab: 261, min_frequency: 4}", texts, NULL, 1, NULL, &tok, &err), INS_DATA);
    const char *empty[] = {"", ""};
    assert_int_equal(train_texts("bpe", "{}", empty, NULL, 2, NULL, &tok, &err), INS_DATA);
    assert_non_null(strstr(err.text, "no text"));
    assert_int_equal(train_texts("bpe", "{}", NULL, NULL, 0, NULL, &tok, &err), INS_DATA);
    assert_int_equal(train_texts("bpe", "{vocab: 258}", texts, NULL, 1, NULL, &tok, &err), INS_RECIPE);
    assert_non_null(strstr(err.text, "no room"));
    assert_int_equal(train_texts("bpe", "{special: [<|x|>, <|x|>]}", texts, NULL, 1, NULL, &tok, &err), INS_RECIPE);
    assert_non_null(strstr(err.text, "given twice"));
    assert_int_equal(train_texts("byte", "{special: [x]}", texts, NULL, 1, NULL, &tok, &err), INS_RECIPE);
    assert_int_equal(train_texts("char", "{min_frequency: 9}", texts, NULL, 1, NULL, &tok, &err), INS_DATA);
}

static void allocation_failures(void **state) {
    (void)state;
    static const struct {
        const char *kind, *options;
    } rows[] = {{"bpe", "{vocab: 264}"}, {"byte", "{}"}, {"char", "{}"}};
    const char *texts[] = {"low lower lowest", "slow slower slowest"};
    for (int i = 0; i < 3; i++) {
        const ins_tokenizer_desc *desc =
            (const ins_tokenizer_desc *)ins_component_find(&ins_family_tokenizer, rows[i].kind);
        ins_arena *arena = ins_arena_new(0);
        ins_node *node = NULL;
        ins_diag diag = {0};
        assert_int_equal(ins_yaml_read_text(rows[i].options, strlen(rows[i].options), "o", arena, &node, NULL), INS_OK);
        void *values = ins_arena_alloc(arena, desc->head.options->size);
        assert_true(ins_opt_parse(desc->head.options, node, values, arena, NULL, &diag));
        uint64_t live = ins_mem_get_stats().live;
        bool passed = false;
        for (uint64_t k = 1; k < 2000 && !passed; k++) {
            memory_source memory = {texts, NULL, 2, 0};
            ins_text_source source = {memory_next, &memory, 0};
            ins_tokenizer *tok = NULL;
            ins_mem_fail_at(k);
            ins_status status = desc->train(values, &source, NULL, NULL, &tok, NULL);
            ins_mem_fail_at(0);
            passed = status == INS_OK;
            assert_true(passed || (status == INS_NOMEM && !tok));
            ins_tokenizer_free(tok);
            assert_int_equal(ins_mem_get_stats().live, live);
        }
        assert_true(passed);
        ins_arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_naive),        cmocka_unit_test(equals_reference), cmocka_unit_test(threads_agree),
        cmocka_unit_test(cuts_change_nothing), cmocka_unit_test(options_are_kept), cmocka_unit_test(refusals),
        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
