/* Each allocation fails once: the call says so, and nothing is left behind. */
#include "data/batch.h"
#include "data/reader_check.h"

typedef ins_status (*attempt_fn)(void *arg, ins_error *err);

/* Make the 1st, 2nd, ... allocation fail until the call gets through. */
static void sweep(attempt_fn attempt, void *arg, int64_t at_least) {
    int64_t failed = 0;
    for (uint64_t k = 1;; k++) {
        ins_error err = {0};
        uint64_t live = ins_mem_get_stats().live;
        ins_mem_fail_at(k);
        ins_status status = attempt(arg, &err);
        ins_mem_fail_at(0);
        if (ins_mem_get_stats().live != live) {
            fail_msg("allocation %llu: %lld blocks are left", (unsigned long long)k,
                     (long long)(ins_mem_get_stats().live - live));
        }
        if (status == INS_OK) break;
        if (status != INS_NOMEM) {
            char text[2048];
            ins_error_format(&err, text, sizeof text);
            fail_msg("allocation %llu: %s", (unsigned long long)k, text);
        }
        failed++;
        assert_true(k < 100000);
    }
    assert_true(failed >= at_least);
}

typedef struct pipeline_case {
    ins_pipeline_options options;
    char out[256];
} pipeline_case;

static ins_status run_case(void *arg, ins_error *err) {
    pipeline_case *c = arg;
    return ins_pipeline_run(&c->options, 1, c->out, NULL, NULL, NULL, NULL, err);
}

static void sweep_yaml(const char *yaml, int64_t at_least) {
    ins_error err = {0};
    ins_diag diag = {0};
    ins_node *root = NULL;
    ins_arena *arena = ins_arena_new(0);
    pipeline_case c;
    snprintf(c.out, sizeof c.out, "%s", temp_path("out"));
    need_ok(ins_yaml_read_text(yaml, strlen(yaml), "test.yaml", arena, &root, &err), &err);
    if (!ins_opt_parse(&ins_pipeline_table, root, &c.options, arena, NULL, &diag)) fail_msg("%s", diag.items[0].text);
    sweep(run_case, &c, at_least);
    ins_arena_free(arena);
}

static void pipelines(void **state) {
    (void)state;
    const char *lines =
        "{\"text\": \"caf\\u0065\\u0301 one\", \"list\": [\"a\", \"b\"]}\n{\"text\": \"two\", \"n\": 1}\n";
    write_temp("a.jsonl", lines, strlen(lines));
    write_temp("a.txt", "one\n\ntwo\n", 9);
    const char *dir = INS_FIXTURES "/data";
    sweep_yaml(yaml_of("sources: [{kind: jsonl, path: %s, domain: d}]\nvalid: 0\n"
                       "steps: [normalise, dedup, {kind: select, set: {text: '{text}!'}}, strip-markup]\n",
                       temp_path("a.jsonl")),
               20);
    sweep_yaml(yaml_of("sources: [{kind: text, path: %s, split: blank-lines, document_bytes: 2}]\nvalid: 0\n",
                       temp_path("a.txt")),
               15);
    sweep_yaml(yaml_of("sources: [{kind: csv, path: %s/quotes.csv}]\nvalid: 0\nmax_dropped: 1\n", dir), 15);
    sweep_yaml(yaml_of("sources: [{kind: debian, path: ['%s/small_Packages', '%s/small_Translation-*']}]\nvalid: 0\n",
                       dir, dir),
               30);
    sweep_yaml(
        yaml_of("sources: [{kind: package-qa, path: ['%s/small_Packages', '%s/small_Translation-en']}]\nvalid: 0\n",
                dir, dir),
        30);
    sweep_yaml(yaml_of("sources: [{kind: dictd, path: %s/tiny.index}, {kind: wordnet, path: %s/data.noun}]\nvalid: 0\n",
                       dir, dir),
               20);
}

static ins_status make_batch(void *arg, ins_error *err) {
    (void)arg;
    const char *path = temp_path("alloc.bin");
    ins_shard_writer *w = NULL;
    INS_TRY(ins_shard_writer_open(path, 100, &w, err));
    ins_status status = INS_OK;
    int32_t ids[40];
    for (int i = 0; i < 40; i++) ids[i] = i;
    for (int i = 1; i < 40 && status == INS_OK; i++) status = ins_shard_writer_add(w, ids, NULL, i, i, err);
    if (status != INS_OK) {
        ins_shard_writer_abort(w);
        return status;
    }
    INS_TRY(ins_shard_writer_commit(w, err));
    ins_shard shard;
    INS_TRY(ins_shard_open(path, 100, NULL, &shard, err));
    ins_rows *rows = NULL;
    ins_mixture *mix = NULL;
    ins_batch *batch = NULL;
    status = ins_rows_new(&shard, INS_PACK_BESTFIT, 32, &rows, err);
    if (status == INS_OK) {
        ins_mixture_source source = {"one", rows, 1};
        status = ins_mixture_new(&source, 1, 1, true, &mix, err);
    }
    if (status == INS_OK) status = ins_batch_new(4, 32, &batch, err);
    if (status == INS_OK) ins_mixture_batch(mix, 3, batch);
    ins_batch_free(batch);
    ins_mixture_free(mix);
    ins_rows_free(rows);
    ins_shard_close(&shard);
    return status;
}

static void batches(void **state) {
    (void)state;
    sweep(make_batch, NULL, 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pipelines), cmocka_unit_test(batches)};
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
