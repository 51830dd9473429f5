/* The whole way on a small corpus: build-data, tokenize, train, continue, instruct, evaluate, generate, export. */
#include "stage/stage_run.h"

static void test_all_stages(void **state) {
    (void)state;
    run_kit kit;
    run_open(&kit, 1);
    run_make_corpus(&kit, "near", 300, 0);
    run_make_corpus(&kit, "far", 120, 1);
    run_make_questions(&kit, "questions", 120);

    run_stage_ok(&kit, "tokenize", "tokens",
                 "{corpora: [near, far], tokenizer: {kind: bpe, vocab: 300}, train_on: [near]}");
    double per_token = run_metric(&kit, 0, "tokens/near.train.bytes_per_token");
    assert_true(per_token > 1.5 && per_token < 12);
    assert_true(run_metric(&kit, 0, "tokens/near.train.documents") > 100);
    run_stage_ok(&kit, "tokenize", "chat_tokens", "{corpora: [questions], from: tokens, format: chat}");

    run_stage_ok(&kit, "train", "base",
                 "{data: [{tokens: tokens, corpus: near}], " RUN_MODEL
                 ", context: 32, batch: 256, steps: 30, lr: 0.01, precision: f32, probes: ["
                 "{kind: bpb, tokens: tokens, corpus: near}, {kind: bpb, tokens: tokens, corpus: far, split: train},"
                 "{kind: sample, prompts: ['The cat']}, stats]}");
    double before = run_metric(&kit, 0, "bpb/near"), after = run_metric(&kit, 30, "bpb/near");
    assert_true(after < 0.7 * before);
    assert_true(run_metric(&kit, 0, "train/loss") > run_metric(&kit, 29, "train/loss"));
    assert_int_equal(kit.result.steps, 30);
    assert_true(kit.result.flop > 0 && kit.result.tokens > 0 && kit.result.peak_bytes > 0);
    assert_true(run_has_metric(&kit, 30, "stats/layer01.attn.update"));

    run_stage_ok(&kit, "train", "more",
                 "{init: base, data: [{tokens: tokens, corpus: far, weight: 0.8}, {tokens: tokens, corpus: near, "
                 "weight: 0.2}], context: 32, batch: 256, steps: 10, probes: [{kind: bpb, tokens: tokens, corpus: far, "
                 "split: train}]}");
    assert_true(run_metric(&kit, 10, "bpb/far") < run_metric(&kit, 0, "bpb/far"));
    assert_true(run_metric(&kit, 10, "train/samples.far") == 64 && run_metric(&kit, 10, "train/samples.near") == 16);

    run_stage_ok(&kit, "train", "chat",
                 "{init: base, objective: sft, data: [{tokens: chat_tokens, corpus: questions}], context: 64, batch: "
                 "256, steps: 80, lr: 0.01, probes: [{kind: choice, corpus: questions, only: section}, "
                 "{kind: cloze, corpus: questions}]}");
    assert_true(run_metric(&kit, 80, "choice/section") > 0.8);
    assert_true(run_metric(&kit, 80, "cloze/questions") > 0.7 && run_metric(&kit, 0, "cloze/questions") == 0);
    assert_true(run_metric(&kit, 80, "cloze/questions.bits") < run_metric(&kit, 0, "cloze/questions.bits"));

    run_stage_ok(&kit, "evaluate", "scores",
                 "{model: chat, at: all, probes: [{kind: choice, corpus: questions, name: again}]}");
    assert_true(run_metric(&kit, 80, "choice/again") > 0.8);
    assert_true(run_has_metric(&kit, 0, "choice/again"));
    assert_true(ins_file_exists(run_path(&kit, "scores", "results.json")));
    run_stage_ok(&kit, "evaluate", "baselines",
                 "{probes: [{kind: compress, corpus: near}, {kind: ngram, tokens: tokens, corpus: near, order: 3}]}");
    assert_true(run_metric(&kit, -1, "ngram/near") > 0 && run_metric(&kit, -1, "ngram/near") < 4);

    run_stage_ok(&kit, "generate", "texts",
                 "{model: chat, prompts: ['What is the cat number 3?'], corpus: questions, max_prompts: 3}");
    assert_true(ins_file_exists(run_path(&kit, "texts", "samples.jsonl")));
    run_stage_ok(&kit, "export", "hub", "{model: chat}");
    assert_true(run_metric(&kit, -1, "export/logit_difference") == 0);
    run_stage_ok(&kit, "evaluate", "hub_scores",
                 "{model: hub, probes: [{kind: choice, corpus: questions, name: hub}]}");
    assert_true(run_metric(&kit, -1, "choice/hub") > 0.8);
    run_close(&kit);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_stages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
