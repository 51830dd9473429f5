/* Probes on a small trained model, against numbers computed another way. */
#include <math.h>
#include <zstd.h>

#include "data/document.h"
#include "data/shard.h"
#include "decode/decode.h"
#include "stage/stage_run.h"

static int setup(void **state) {
    run_kit *kit = calloc(1, sizeof *kit);
    run_open(kit, 1);
    run_make_tokens(kit);
    run_make_questions(kit, "questions", 90);
    run_stage_ok(kit, "train", "base",
                 "{data: [{tokens: tokens, corpus: near}], " RUN_MODEL
                 ", context: 64, batch: 512, steps: 20, lr: 0.01, probe_points: 2, precision: f32}");
    *state = kit;
    return 0;
}
static int teardown(void **state) {
    run_close(*state);
    free(*state);
    return 0;
}

/* ---- bpb ---- */

/* Documents one by one through the scorer: rows hold whole documents here, so packing must not change anything. */
static void test_bpb(void **state) {
    run_kit *kit = *state;
    run_stage_ok(
        kit, "evaluate", "bpb",
        "{model: base, precision: f32, probes: [{kind: bpb, tokens: tokens, corpus: near, split: test, "
        "context: 64}, {kind: bpb, name: part, tokens: tokens, corpus: near, split: train, max_tokens: 640}]}");
    char dir[512];
    ins_model *model = NULL;
    float *weights = NULL;
    ins_scorer *scorer = NULL;
    ins_shard shard;
    assert_ok(ins_checkpoint_find(run_dir(kit, "base"), -1, NULL, dir, sizeof dir, NULL, NULL));
    assert_ok(ins_model_load(dir, &model, &weights, NULL));
    assert_ok(ins_scorer_new(model, weights, INS_DTYPE_F32, 4, 64, NULL, &scorer, NULL));
    assert_ok(ins_shard_open(run_path(kit, "tokens", "near/test.shard"), 0, NULL, &shard, NULL));
    double nats = 0, tokens = 0, hits = 0;
    for (int64_t d = 0; d < shard.n_documents; d++) {
        int32_t ids[64];
        int64_t begin = (int64_t)shard.offsets[d], n = (int64_t)shard.offsets[d + 1] - begin;
        assert_true(n <= 64);
        for (int64_t i = 0; i < n; i++) ids[i] = ins_shard_id(&shard, begin + i);
        ins_score_item item = {.ids = ids, .n = n, .n_context = 1};
        assert_ok(ins_scorer_run(scorer, &item, 1, NULL));
        nats -= item.logprob;
        tokens += (double)item.n_scored;
        hits += (double)item.n_greedy;
    }
    double want = nats / log(2) / (double)shard.text_bytes;
    assert_true(fabs(run_metric(kit, 20, "bpb/near") - want) < 1e-5 * want);
    assert_true(fabs(run_metric(kit, 20, "bpb/near.perplexity") - exp(nats / tokens)) < 1e-4 * exp(nats / tokens));
    assert_true(fabs(run_metric(kit, 20, "bpb/near.accuracy") - hits / tokens) < 1e-9);
    double se = run_metric(kit, 20, "bpb/near.se");
    assert_true(se > 0 && se < 0.3 * want);
    assert_true(fabs(run_metric(kit, 20, "bpb/part") - want) < 0.2 * want);
    ins_shard_close(&shard);
    ins_scorer_free(scorer);
    ins_slab_free(ins_model_params(model), weights);
    ins_model_free(model);
}

/* ---- choice and cloze ---- */

static void test_choice_baselines(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "evaluate", "choice",
                 "{model: base, probes: [{kind: choice, corpus: questions, split: train, name: q, max_items: 40}, "
                 "{kind: choice, corpus: questions, split: train, name: plain, chat: false}, "
                 "{kind: cloze, corpus: questions, split: train}]}");
    assert_true(run_metric(kit, 20, "choice/q.n") == 40);
    assert_true(run_metric(kit, 20, "choice/q.chance") == 0.5);
    double majority = run_metric(kit, 20, "choice/q.majority"), p = run_metric(kit, 20, "choice/q");
    assert_true(majority >= 0.5 && majority < 0.75); /* answers come about half and half */
    assert_true(p >= 0 && p <= 1);
    assert_true(fabs(run_metric(kit, 20, "choice/q.se") - sqrt(p * (1 - p) / 39)) < 1e-12);
    assert_true(run_has_metric(kit, 20, "choice/plain.norm"));
    assert_true(run_metric(kit, 20, "cloze/questions") == 0); /* never saw an answer */
    assert_true(run_metric(kit, 20, "cloze/questions.bits") > 1);
}

static void test_bad_questions(void **state) {
    run_kit *kit = *state;
    ins_str text = {0};
    ins_str_puts(
        &text, "{\"id\": \"a\", \"prompt\": \"p\", \"response\": \"r\", \"choices\": \"x\\ny\", \"answer\": \"2\"}\n");
    run_write(kit, "wrong.jsonl", &text);
    ins_str_free(&text);
    run_stage_ok(
        kit, "build-data", "wrong",
        ins_arena_printf(kit->arena, "{sources: [{kind: jsonl, path: '%s/wrong.jsonl'}], valid: 0}", kit->root));
    ins_status status = run_stage(kit, "evaluate", "wrong_scores",
                                  "{model: base, probes: [{kind: choice, corpus: wrong, split: train}]}");
    assert_int_equal(status, INS_DATA);
    assert_non_null(strstr(kit->err.text, "answer '2'"));
    ins_str_clear(&text);
    ins_str_puts(
        &text,
        "{\"id\": \"b\", \"prompt\": \"p\", \"response\": \"r\", \"choices\": \"x\\n\\ny\", \"answer\": \"1\"}\n");
    run_write(kit, "gap.jsonl", &text);
    ins_str_free(&text);
    run_stage_ok(kit, "build-data", "gap",
                 ins_arena_printf(kit->arena, "{sources: [{kind: jsonl, path: '%s/gap.jsonl'}], valid: 0}", kit->root));
    status =
        run_stage(kit, "evaluate", "gap_scores", "{model: base, probes: [{kind: choice, corpus: gap, split: train}]}");
    assert_int_equal(status, INS_DATA);
    assert_non_null(strstr(kit->err.text, "choice 1 is empty"));
    status = run_stage(kit, "evaluate", "no_kind",
                       "{model: base, probes: [{kind: choice, corpus: questions, only: colour}]}");
    assert_int_equal(status, INS_DATA);
    assert_non_null(strstr(kit->err.text, "kind 'colour'"));
}

/* ---- compress and ngram ---- */

static void test_compress(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "evaluate", "compress",
                 "{probes: [{kind: compress, corpus: near, split: test}, {kind: compress, name: alone, corpus: near, "
                 "split: test, prime_bytes: 0}]}");
    /* the same text by hand */
    ins_str text = {0};
    ins_corpus_reader *reader = NULL;
    ins_document doc = {.arena = ins_arena_new(0)};
    assert_ok(ins_corpus_open(run_dir(kit, "near"), "test", &reader, NULL));
    for (bool end = false; !end;) {
        ins_document_clear(&doc);
        assert_ok(ins_corpus_next(reader, &doc, &end, NULL));
        if (end) break;
        const ins_field *field = ins_document_get(&doc, "text");
        ins_str_append(&text, field->data, field->n);
        ins_str_putc(&text, '\n');
    }
    ins_corpus_close(reader);
    ins_arena_free(doc.arena);
    size_t bound = ZSTD_compressBound(text.len);
    void *out = malloc(bound);
    double size = (double)ZSTD_compress(out, bound, text.data, text.len, 19);
    free(out);
    assert_true(run_metric(kit, -1, "compress/near.zstd") == 8 * size / (double)text.len);
    double gzip = run_metric(kit, -1, "compress/near.gzip");
    assert_true(gzip > 0 && gzip < 8);
    ins_str_free(&text);
    if (!run_has_metric(kit, -1, "compress/near")) return; /* built without liblzma */
    double xz = run_metric(kit, -1, "compress/near"), primed = run_metric(kit, -1, "compress/near.primed");
    assert_true(xz > 0 && xz < 8);
    assert_true(primed > 0 && primed < xz); /* it has seen sentences like these */
    assert_true(run_metric(kit, -1, "compress/alone") == xz);
    assert_false(run_has_metric(kit, -1, "compress/alone.primed"));
}

static void test_ngram_probe(void **state) {
    run_kit *kit = *state;
    run_stage_ok(
        kit, "evaluate", "ngram",
        "{probes: [{kind: ngram, name: one, tokens: tokens, corpus: near, order: 1}, {kind: ngram, name: four, "
        "tokens: tokens, corpus: near, order: 4}, {kind: ngram, name: little, tokens: tokens, corpus: near, "
        "order: 4, train_tokens: 200}]}");
    double one = run_metric(kit, -1, "ngram/one"), four = run_metric(kit, -1, "ngram/four");
    assert_true(four > 0 && four < 0.6 * one);
    assert_true(run_metric(kit, -1, "ngram/little") > four);
    assert_true(run_metric(kit, -1, "ngram/four.se") > 0);
}

/* ---- stats ---- */

static void test_stats(void **state) {
    run_kit *kit = *state;
    run_stage_ok(kit, "train", "watched",
                 "{data: [{tokens: tokens, corpus: near}], " RUN_MODEL
                 ", context: 32, batch: 256, steps: 3, lr: 0.1, optimizer: {kind: sgd, momentum: 0, weight_decay: 0}, "
                 "schedule: {kind: constant, warmup_share: 0}, clip: 0, probe_at: [1, 2], precision: f32, "
                 "probes: [{kind: stats, per_layer: false}]}");
    assert_false(run_has_metric(kit, 0, "stats/embed.grad")); /* no gradient yet */
    assert_true(run_metric(kit, 0, "stats/embed.param") > 0);
    static const char *const parts[] = {"embed", "layers.attn", "layers.mlp", "layers.norm", "final_norm"};
    for (int i = 0; i < 5; i++) {
        char param[64], grad[64], update[64];
        snprintf(param, sizeof param, "stats/%s.param", parts[i]);
        snprintf(grad, sizeof grad, "stats/%s.grad", parts[i]);
        snprintf(update, sizeof update, "stats/%s.update", parts[i]);
        /* plain gradient descent: update = lr gradient */
        double lr = run_metric(kit, 1, "train/lr");
        double want = lr * run_metric(kit, 2, grad) / run_metric(kit, 2, param);
        assert_true(fabs(run_metric(kit, 2, update) - want) < 1e-3 * want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bpb),      cmocka_unit_test(test_choice_baselines), cmocka_unit_test(test_bad_questions),
        cmocka_unit_test(test_compress), cmocka_unit_test(test_ngram_probe),      cmocka_unit_test(test_stats),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
