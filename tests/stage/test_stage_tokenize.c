/* Token shards: the same for any number of threads, kept over restarts, with the loss where it belongs. */
#include <unistd.h>

#include "data/shard.h"
#include "decode/prompt.h"
#include "stage/stage_run.h"
#include "text/tokenizer.h"

static int setup(void **state) {
    run_kit *kit = calloc(1, sizeof *kit);
    run_open(kit, 1);
    run_make_corpus(kit, "near", 700, 0); /* more than one block of documents */
    run_make_corpus(kit, "far", 80, 1);
    run_make_questions(kit, "questions", 80);
    run_stage_ok(kit, "tokenize", "tokens", "{corpora: [near, far], tokenizer: {kind: bpe, vocab: 300}}");
    *state = kit;
    return 0;
}
static int teardown(void **state) {
    run_close(*state);
    free(*state);
    return 0;
}

static void assert_same_file(run_kit *kit, const char *one, const char *other, const char *file) {
    ins_str x = {0}, y = {0};
    assert_ok(ins_file_read(run_path(kit, one, file), 1 << 24, &x, NULL));
    assert_ok(ins_file_read(run_path(kit, other, file), 1 << 24, &y, NULL));
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    ins_str_free(&x);
    ins_str_free(&y);
}

static void test_threads(void **state) {
    run_kit *kit = *state;
    ins_pool *one = kit->pool;
    assert_ok(ins_pool_new(2, &kit->pool, NULL));
    run_stage_ok(kit, "tokenize", "two", "{corpora: [near, far], tokenizer: {kind: bpe, vocab: 300}}");
    ins_pool_free(kit->pool);
    kit->pool = one;
    assert_same_file(kit, "tokens", "two", "tokenizer.json");
    assert_same_file(kit, "tokens", "two", "near/train.shard");
    assert_same_file(kit, "tokens", "two", "near/valid.shard");
    assert_same_file(kit, "tokens", "two", "far/train.shard");
}

/* Decoding the shard gives the corpus back; every document begins with the end-of-text token. */
static void test_text_comes_back(void **state) {
    run_kit *kit = *state;
    ins_tokenizer *tok = NULL;
    ins_shard shard;
    assert_ok(ins_tokenizer_load(run_dir(kit, "tokens"), &tok, NULL));
    assert_ok(ins_shard_open(run_path(kit, "tokens", "near/train.shard"), 300, NULL, &shard, NULL));
    ins_str text = {0};
    uint64_t bytes = 0;
    for (int64_t d = 0; d < shard.n_documents; d++) {
        int64_t begin = (int64_t)shard.offsets[d], end = (int64_t)shard.offsets[d + 1];
        assert_int_equal(ins_shard_id(&shard, begin), ins_tokenizer_eos(tok));
        ins_str_clear(&text);
        for (int64_t t = begin; t < end; t++) {
            int32_t id = ins_shard_id(&shard, t);
            assert_ok(ins_tokenizer_decode(tok, &id, 1, true, &text, NULL));
        }
        assert_int_equal(text.len, shard.doc_bytes[d]);
        assert_memory_equal(text.data, "The ", 4);
        bytes += text.len;
    }
    assert_int_equal(bytes, shard.text_bytes);
    ins_str_free(&text);
    ins_shard_close(&shard);
    ins_tokenizer_free(tok);
}

static void test_chat_mask(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "tokenize", "chat", "{corpora: [questions], from: tokens, format: chat}");
    assert_same_file(kit, "tokens", "chat", "tokenizer.json");
    ins_tokenizer *tok = NULL;
    ins_shard shard;
    assert_ok(ins_tokenizer_load(run_dir(kit, "chat"), &tok, NULL));
    assert_ok(ins_shard_open(run_path(kit, "chat", "questions/train.shard"), 300, NULL, &shard, NULL));
    assert_non_null(shard.mask);
    int32_t end_mark = ins_tokenizer_find(tok, "<|im_end|>");
    ins_str text = {0};
    for (int64_t d = 0; d < shard.n_documents; d++) {
        ins_str_clear(&text);
        int64_t last = -1;
        for (int64_t t = (int64_t)shard.offsets[d]; t < (int64_t)shard.offsets[d + 1]; t++) {
            if (!ins_shard_in_loss(&shard, t)) continue;
            int32_t id = ins_shard_id(&shard, t);
            if (last >= 0) assert_int_equal(t, last + 1); /* one run */
            last = t;
            assert_ok(ins_tokenizer_decode(tok, &id, 1, true, &text, NULL));
        }
        assert_true(last > 0);
        assert_int_equal(ins_shard_id(&shard, last), end_mark);
        assert_true(strcmp(text.data, "animal") == 0 || strcmp(text.data, "plant") == 0);
        assert_int_equal(shard.doc_bytes[d], text.len);
    }
    ins_str_free(&text);
    ins_shard_close(&shard);
    ins_tokenizer_free(tok);
}

/* A restart keeps what is whole, and records the same numbers. */
static void test_restart(void **state) {
    run_kit *kit = *state;
    const char *yaml = "{corpora: [near, questions], from: tokens, field: text}";
    ins_status status = run_stage(kit, "tokenize", "again", yaml);
    assert_int_equal(status, INS_DATA); /* questions have no text */
    ins_map before;
    assert_ok(ins_map_open(run_path(kit, "again", "near/train.shard"), &before, NULL));
    kit->stop = 1; /* whatever is there needs no work */
    status = run_stage(kit, "tokenize", "again", "{corpora: [near], from: tokens}");
    kit->stop = 0;
    assert_int_equal(status, INS_OK);
    run_list resumed = run_take(kit);
    run_stage_ok(kit, "tokenize", "fresh", "{corpora: [near], from: tokens}");
    run_list fresh = run_take(kit);
    run_assert_same_records(&fresh, &resumed);
    run_list_free(&fresh);
    run_list_free(&resumed);
    ins_map_close(&before);
    assert_same_file(kit, "fresh", "again", "near/train.shard");
    kit->stop = 1;
    status = run_stage(kit, "tokenize", "stopped", "{corpora: [near], tokenizer: {kind: bpe, vocab: 300}}");
    kit->stop = 0;
    assert_int_equal(status, INS_INTERRUPTED);
    run_stage_ok(kit, "tokenize", "stopped", "{corpora: [near], tokenizer: {kind: bpe, vocab: 300}, train_on: [near]}");
}

static void test_other_kinds(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "tokenize", "bytes", "{corpora: [near], tokenizer: byte}");
    assert_true(run_metric(kit, 0, "tokens/near.train.bytes_per_token") <= 1);
    /* Of questions the responses count, on both sides: "animal" and "plant" in bytes, each with its end mark. */
    run_stage_ok(kit, "tokenize", "answers", "{corpora: [questions], format: chat, tokenizer: byte}");
    double ratio = run_metric(kit, 0, "tokens/questions.train.bytes_per_token");
    assert_true(ratio >= 5.0 / 6 && ratio <= 6.0 / 7);
    run_stage_ok(kit, "tokenize", "chars", "{corpora: [near], tokenizer: char}");
    assert_true(run_metric(kit, 0, "tokens/near.train.bytes_per_token") < 2);
}

/* Ids of a prompt, plain and as a message; where texts end; the text as a reader gets it. */
static void test_prompts(void **state) {
    run_kit *kit = *state;
    ins_tokenizer *tok = NULL;
    ins_ids plain = {0}, chat = {0};
    int32_t stops[INS_PROMPT_STOPS];
    assert_ok(ins_tokenizer_load(run_dir(kit, "tokens"), &tok, NULL));
    int32_t eos = ins_tokenizer_eos(tok);
    assert_ok(ins_prompt_encode(tok, eos, "The cat", false, &plain, NULL));
    assert_ok(ins_prompt_encode(tok, -1, "The cat", true, &chat, NULL));
    assert_int_equal(plain.data[0], eos);
    assert_int_equal(chat.data[0], ins_tokenizer_find(tok, "<|im_start|>"));
    assert_true(chat.n > plain.n);
    assert_int_equal(ins_prompt_stops(tok, stops), 2);
    assert_int_equal(stops[0], eos);
    assert_int_equal(stops[1], ins_tokenizer_find(tok, "<|im_end|>"));
    for (int own_line = 0; own_line < 2; own_line++) {
        ins_generated generated = {.ids = {plain.data + 1, plain.n - 1, plain.n - 1}};
        ins_str text = {0};
        const char *written = NULL;
        assert_ok(ins_prompt_show(tok, "Say:", own_line, &generated, &text, &written, NULL));
        assert_string_equal(text.data, own_line ? "Say:\nThe cat" : "Say:The cat");
        assert_string_equal(written, "The cat");
        ins_str_free(&text);
    }
    ins_ids_free(&plain);
    ins_ids_free(&chat);
    ins_tokenizer_free(tok);
}

static void test_plan(void **state) {
    run_kit *kit = *state;
    const ins_stage *stage = (const ins_stage *)ins_component_find(&ins_family_stage, "tokenize");
    ins_diag diag = {0};
    ins_log log = {run_message, NULL, kit};
    ins_metrics metrics = {kit, run_value, run_text, run_truncate, run_flush};
    const void *options = run_parse(kit, stage, "{corpora: [near, far]}", &diag);
    ins_stage_context c = run_context(kit, "planned", options, &log, &metrics);
    ins_stage_plan plan;
    assert_ok(stage->plan(&c, &plan, NULL));
    assert_true(plan.tokens > 1000 && plan.disk_bytes > 0 && plan.seconds > 0);
    ins_stage_input missing[] = {{.ref = "near"}, {.ref = "far"}};
    c.inputs = missing;
    c.n_inputs = 2;
    assert_ok(stage->plan(&c, &plan, NULL));
    assert_int_equal(plan.tokens, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads), cmocka_unit_test(test_text_comes_back), cmocka_unit_test(test_chat_mask),
        cmocka_unit_test(test_restart), cmocka_unit_test(test_other_kinds),     cmocka_unit_test(test_plan),
        cmocka_unit_test(test_prompts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
