/* The pipeline: splits by group, counts by reason, thresholds, atomic results, reading a corpus back. */
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>

#include "data/reader_check.h"
#include "format/json.h"

typedef struct run {
    ins_arena *arena;
    ins_pipeline_options options;
    ins_corpus_stats stats;
} run;

static run load_run(const char *yaml) {
    run r = {.arena = ins_arena_new(0)};
    ins_error err = {0};
    ins_diag diag = {0};
    ins_node *root = NULL;
    need_ok(ins_yaml_read_text(yaml, strlen(yaml), "test.yaml", r.arena, &root, &err), &err);
    if (!ins_opt_parse(&ins_pipeline_table, root, &r.options, r.arena, NULL, &diag)) fail_msg("%s", diag.items[0].text);
    ins_diag_free(&diag);
    return r;
}

static ins_status run_pipeline(const char *yaml, const char *out, ins_corpus_stats *stats, ins_error *err) {
    run r = load_run(yaml);
    ins_status status = ins_pipeline_run(&r.options, 1, temp_path(out), NULL, NULL, NULL, &r.stats, err);
    if (stats) *stats = r.stats;
    ins_arena_free(r.arena);
    return status;
}

static ins_corpus_stats must_run(const char *yaml, const char *out) {
    ins_error err = {0};
    ins_corpus_stats stats = {0};
    need_ok(run_pipeline(yaml, out, &stats, &err), &err);
    return stats;
}

/* 1000 documents in 200 groups of 5; text of document i is "text i". */
static const char *write_lines(void) {
    ins_str text = {0};
    for (int i = 0; i < 1000; i++) {
        ins_str_printf(&text, "{\"id\": \"d%d\", \"group\": \"g%d\", \"text\": \"text %d\"}\n", i, i / 5, i);
    }
    const char *path = write_temp("lines.jsonl", text.data, text.len);
    ins_str_free(&text);
    return path;
}

/* Split of every document: 0 none, 1 train, 2 valid, 3 test. */
static void where(const char *out, char split_of[1000]) {
    static const char *const splits[] = {"train", "valid", "test"};
    memset(split_of, 0, 1000);
    for (int split = 0; split < 3; split++) {
        ins_corpus_reader *r = NULL;
        ins_error err = {0};
        if (ins_corpus_open(temp_path(out), splits[split], &r, NULL) != INS_OK) continue;
        ins_document doc = {.arena = ins_arena_new(0)};
        int64_t n = 0;
        for (bool end = false;; n++) {
            ins_document_clear(&doc);
            need_ok(ins_corpus_next(r, &doc, &end, &err), &err);
            if (end) break;
            int i = atoi(field_of_doc(&doc, "id") + 1);
            assert_int_equal(split_of[i], 0);
            split_of[i] = (char)(split + 1);
        }
        assert_int_equal(n, ins_corpus_documents(r));
        assert_true(ins_corpus_bytes(r) > 0);
        ins_corpus_close(r);
        ins_arena_free(doc.arena);
    }
}

static void splits_by_group(void **state) {
    (void)state;
    char first[1000], larger[1000], other[1000];
    const char *path = write_lines();
    const char *yaml = yaml_of("sources: {kind: jsonl, path: %s}\nvalid: 0.2\ntest: 0.1\n", path);
    ins_corpus_stats stats = must_run(yaml, "split");
    where("split", first);
    for (int i = 0; i < 1000; i++) {
        assert_in_range(first[i], 1, 3);
        assert_int_equal(first[i], first[i / 5 * 5]); /* a group is never divided */
    }
    assert_in_range(stats.documents[1], 120, 280);
    assert_in_range(stats.documents[2], 50, 150);
    assert_int_equal(stats.documents[0] + stats.documents[1] + stats.documents[2], 1000);
    assert_int_equal(stats.read, 1000);
    /* Fewer documents, other neighbours: each stays where it was. */
    must_run(yaml_of("sources: {kind: jsonl, path: %s, max_documents: 500}\nvalid: 0.2\ntest: 0.1\n", path), "part");
    where("part", larger);
    for (int i = 0; i < 500; i++) assert_int_equal(larger[i], first[i]);
    for (int i = 500; i < 1000; i++) assert_int_equal(larger[i], 0);
    must_run(yaml_of("sources: {kind: jsonl, path: %s}\nvalid: 0.2\ntest: 0.1\nsplit_seed: 7\n", path), "seed");
    where("seed", other);
    assert_true(memcmp(first, other, 1000) != 0);
}

static void read_whole(const char *path, ins_str *out) {
    assert_int_equal(ins_file_read(path, 1 << 24, out, NULL), INS_OK);
}

/* The same bytes each time, with one thread and with two. */
static void same_bytes(void **state) {
    (void)state;
    ins_error err = {0};
    run r =
        load_run(yaml_of("sources: {kind: jsonl, path: %s}\nsteps: [normalise, dedup]\nvalid: 0.2\n", write_lines()));
    ins_pool *pool = NULL;
    need_ok(ins_pool_new(2, &pool, &err), &err);
    need_ok(ins_pipeline_run(&r.options, 1, temp_path("one"), NULL, NULL, NULL, &r.stats, &err), &err);
    need_ok(ins_pipeline_run(&r.options, 1, temp_path("two"), pool, NULL, NULL, &r.stats, &err), &err);
    static const char *const names[] = {"train.jsonl.zst", "valid.jsonl.zst", "corpus.json"};
    for (int i = 0; i < 3; i++) {
        char path[64];
        ins_str one = {0}, two = {0};
        snprintf(path, sizeof path, "one/%s", names[i]);
        read_whole(temp_path(path), &one);
        snprintf(path, sizeof path, "two/%s", names[i]);
        read_whole(temp_path(path), &two);
        assert_int_equal(one.len, two.len);
        assert_memory_equal(one.data, two.data, one.len);
        ins_str_free(&one);
        ins_str_free(&two);
    }
    ins_pool_free(pool);
    ins_arena_free(r.arena);
}

static int64_t reason_count(const char *out, const char *reason) {
    json_t *root = NULL;
    char path[64];
    snprintf(path, sizeof path, "%s/corpus.json", out);
    assert_int_equal(ins_json_read_file(temp_path(path), 1 << 20, &root, NULL), INS_OK);
    int64_t n = json_integer_value(json_object_get(json_object_get(root, "reasons"), reason));
    json_decref(root);
    return n;
}

static void everything_is_counted(void **state) {
    (void)state;
    const char lines[] =
        "{\"text\": \"good one\"}\n{\"text\": \"Good  ONE\"}\n{\"text\": \"x\"}\n{\"title\": \"only\"}\n"
        "{\"text\": \"a\\u0000b\", \"section\": \"s\"}\n{\"prompt\": \"q\", \"response\": \"answer\"}\n"
        "{\"text\": \"unwanted text\", \"section\": \"debug\"}\n";
    const char *path = write_temp("mixed.jsonl", lines, sizeof lines - 1);
    ins_corpus_stats stats = must_run(yaml_of("sources: {kind: jsonl, path: %s, domain: d}\n"
                                              "steps: [{kind: filter, field: section, drop: debug}, dedup]\n"
                                              "valid: 0\nmax_dropped: 1\n",
                                              path),
                                      "counted");
    assert_int_equal(stats.read, 7);
    assert_int_equal(stats.documents[0], 3); /* good one, x, question */
    assert_int_equal(stats.bytes[0], 8 + 1 + 7);
    assert_int_equal(stats.dropped, 3);
    assert_int_equal(stats.not_drawn, 1);
    assert_int_equal(reason_count("counted", "dedup: seen before"), 1);
    assert_int_equal(reason_count("counted", "no text"), 1);
    assert_int_equal(reason_count("counted", "NUL byte"), 1);
    assert_int_equal(reason_count("counted", "filter: in drop"), 1);
    ins_error err = {0};
    assert_int_equal(run_pipeline(yaml_of("sources: {kind: jsonl, path: %s}\nvalid: 0\nmax_dropped: 0.1\n", path),
                                  "failed", NULL, &err),
                     INS_DATA);
    assert_non_null(strstr(err.text, "max_dropped"));
    assert_false(ins_file_exists(temp_path("failed/corpus.json")));
    assert_false(ins_file_exists(temp_path("failed/train.jsonl.zst")));
}

static void invalid_text(void **state) {
    (void)state;
    const char *path = write_temp("latin.txt", "caf\xe9\ngood\n", 10);
    ins_corpus_stats stats =
        must_run(yaml_of("sources: {kind: text, path: %s, split: lines}\nvalid: 0\nmax_dropped: 1\n", path), "latin");
    assert_int_equal(stats.documents[0], 1);
    assert_int_equal(reason_count("latin", "invalid UTF-8"), 1);
}

static void empty_corpora(void **state) {
    (void)state;
    ins_error err = {0};
    const char *path = write_temp("empty.txt", "", 0);
    assert_int_equal(run_pipeline(yaml_of("sources: {kind: text, path: %s}\n", path), "empty", NULL, &err), INS_DATA);
    assert_non_null(strstr(err.text, "empty"));
    assert_true(err.hint[0]);
    ins_error_clear(&err);
    path = write_temp("short.txt", "tiny\n", 5);
    const char *yaml = yaml_of("sources: {kind: text, path: %s}\nsteps: {kind: length, min_bytes: 100}\n", path);
    assert_int_equal(run_pipeline(yaml, "empty", NULL, &err), INS_DATA);
    assert_non_null(strstr(err.hint, "length: too short"));
    /* One group only, and it fell outside train. */
    ins_error_clear(&err);
    yaml = yaml_of("sources: {kind: text, path: %s}\nvalid: 0.5\ntest: 0.5\n", path);
    assert_int_equal(run_pipeline(yaml, "empty", NULL, &err), INS_DATA);
    assert_non_null(strstr(err.hint, "group"));
    ins_corpus_reader *r = NULL;
    assert_int_equal(ins_corpus_open(temp_path("empty"), "train", &r, NULL), INS_DATA);
}

/* Long texts in parts of one group, limits per source, sources in order, domains counted. */
static void parts_limits_domains(void **state) {
    (void)state;
    write_temp("p1.txt", "First paragraph here.\n\nSecond paragraph here.\n\nThird.\n", 54);
    const char *lines = write_lines();
    char yaml[1400];
    snprintf(yaml, sizeof yaml,
             "sources:\n- {kind: text, path: %s, document_bytes: 30, domain: a}\n"
             "- {kind: jsonl, path: %s, max_bytes: 60, domain: b}\n- {kind: jsonl, path: %s, share: 0.1}\nvalid: 0\n"
             "max_documents: 40\n",
             temp_path("p1.txt"), lines, lines);
    ins_corpus_stats stats = must_run(yaml, "parts");
    assert_int_equal(stats.documents[0], 40);
    ins_corpus_reader *r = NULL;
    ins_error err = {0};
    need_ok(ins_corpus_open(temp_path("parts"), "train", &r, &err), &err);
    ins_document doc = {.arena = ins_arena_new(0)};
    static const char *const texts[] = {"First paragraph here.", "Second paragraph here.", "Third.", "text 0"};
    static const char *const ids[] = {"p1.txt/0", "p1.txt/1", "p1.txt/2", "d0"};
    for (int i = 0; i < 4; i++) {
        bool end = false;
        ins_document_clear(&doc);
        need_ok(ins_corpus_next(r, &doc, &end, &err), &err);
        assert_string_equal(field_of_doc(&doc, "text"), texts[i]);
        assert_string_equal(field_of_doc(&doc, "id"), ids[i]);
        if (i < 3) assert_string_equal(field_of_doc(&doc, "group"), "p1.txt");
        assert_string_equal(field_of_doc(&doc, "domain"), i < 3 ? "a" : "b");
    }
    ins_corpus_close(r);
    ins_arena_free(doc.arena);
    json_t *root = NULL;
    need_ok(ins_json_read_file(temp_path("parts/corpus.json"), 1 << 20, &root, &err), &err);
    const json_t *domains = json_object_get(root, "domains");
    const json_t *b = json_object_get(json_object_get(domains, "b"), "train");
    assert_int_equal(json_integer_value(json_object_get(b, "documents")), 10); /* 10 * 6 bytes */
    assert_non_null(strstr(json_string_value(json_object_get(root, "inputs")), "file p1.txt 54 "));
    json_decref(root);
}

/* A second run in the same folder leaves nothing of the first. */
static void rerun_replaces(void **state) {
    (void)state;
    const char *path = write_lines();
    must_run(yaml_of("sources: {kind: jsonl, path: %s}\nvalid: 0.2\ntest: 0.1\n", path), "again");
    must_run(yaml_of("sources: {kind: jsonl, path: %s}\nvalid: 0\n", path), "again");
    assert_false(ins_file_exists(temp_path("again/valid.jsonl.zst")));
    ins_corpus_reader *r = NULL;
    ins_error err = {0};
    assert_int_equal(ins_corpus_open(temp_path("again"), "valid", &r, &err), INS_DATA);
    assert_non_null(strstr(err.text, "no split 'valid'"));
}

static ins_status read_all(const char *out, ins_error *err) {
    ins_corpus_reader *r = NULL;
    INS_TRY(ins_corpus_open(temp_path(out), "train", &r, err));
    ins_document doc = {.arena = ins_arena_new(0)};
    ins_status status = INS_OK;
    for (bool end = false; status == INS_OK && !end;) {
        ins_document_clear(&doc);
        status = ins_corpus_next(r, &doc, &end, err);
    }
    ins_corpus_close(r);
    ins_arena_free(doc.arena);
    return status;
}

static void damaged_corpus(void **state) {
    (void)state;
    ins_str bytes = {0};
    must_run(yaml_of("sources: {kind: jsonl, path: %s}\nvalid: 0\n", write_lines()), "bad");
    assert_int_equal(read_all("bad", NULL), INS_OK);
    read_whole(temp_path("bad/train.jsonl.zst"), &bytes);
    write_temp("bad/train.jsonl.zst", bytes.data, bytes.len - 7);
    assert_int_equal(read_all("bad", NULL), INS_DATA);
    bytes.data[bytes.len / 2] ^= 0x20;
    write_temp("bad/train.jsonl.zst", bytes.data, bytes.len);
    assert_int_equal(read_all("bad", NULL), INS_DATA);
    write_temp("bad/train.jsonl.zst", "{\"text\": \"one\"}\n", 16); /* whole, but not all of it */
    ins_error err = {0};
    assert_int_equal(read_all("bad", &err), INS_DATA);
    assert_non_null(strstr(err.text, "as many documents"));
    write_temp("bad/train.jsonl.zst", "{\"text\": 1}\n", 12);
    assert_int_equal(read_all("bad", NULL), INS_DATA);
    ins_str_free(&bytes);
}

static void full_disk(void **state) {
    (void)state;
    ins_str text = {0};
    for (int i = 0; i < 30000; i++) ins_str_printf(&text, "line %d %d\n", i, i * 7919 % 30011);
    const char *path = write_temp("big.txt", text.data, text.len);
    ins_str_free(&text);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 16384;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    ins_error err = {0};
    ins_status status =
        run_pipeline(yaml_of("sources: {kind: text, path: %s, split: lines}\nvalid: 0\n", path), "full", NULL, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, INS_IO);
    char **names = NULL;
    int64_t n = 0;
    assert_int_equal(ins_dir_list(temp_path("full"), &names, &n, NULL), INS_OK);
    assert_int_equal(n, 0); /* no half a corpus, no temporary */
    ins_names_free(names, n);
}

static void fingerprints(void **state) {
    (void)state;
    ins_error err = {0};
    ins_str one = {0};
    uint64_t bytes = 0;
    run r = load_run(yaml_of("sources: [{kind: jsonl, path: %s}]\n", write_lines()));
    need_ok(ins_pipeline_fingerprint(&r.options, &one, &bytes, &err), &err);
    assert_true(strncmp(one.data, "reader jsonl 1\nfile lines.jsonl ", 32) == 0);
    assert_true(bytes > 1000);
    ins_str_free(&one);
    ins_arena_free(r.arena);
    r = load_run("sources: [{kind: text, path: /nonexistent/x}]\n");
    assert_int_equal(ins_pipeline_fingerprint(&r.options, &one, &bytes, &err), INS_DATA);
    assert_non_null(strstr(err.frames[0], "reader 'text'"));
    ins_arena_free(r.arena);
    ins_str_free(&one);
}

/* Set from within the run, by the first progress report: some documents have been written then. */
static void stop_on_progress(void *arg, const ins_progress *p) {
    (void)p;
    *(volatile int *)arg = 1;
}

/* Stopped before it starts and in the middle: no file is left, and the same call again makes the whole corpus. */
static void stopped(void **state) {
    (void)state;
    volatile int stop = 1;
    run r = load_run(yaml_of("sources: [{kind: jsonl, path: %s}]\nvalid: 0.2\n", write_lines()));
    for (int middle = 0; middle < 2; middle++) {
        ins_error err = {0};
        ins_log log = {NULL, middle ? stop_on_progress : NULL, (void *)(uintptr_t)&stop};
        stop = !middle;
        assert_int_equal(ins_pipeline_run(&r.options, 1, temp_path("stopped"), NULL, &log, &stop, &r.stats, &err),
                         INS_INTERRUPTED);
        assert_int_equal(err.n_frames, 0);
        assert_non_null(strstr(err.text, middle ? "after 1 documents" : "after 0 documents"));
        char **names = NULL;
        int64_t n = -1;
        assert_int_equal(ins_dir_list(temp_path("stopped"), &names, &n, NULL), INS_OK);
        assert_int_equal(n, 0);
        ins_names_free(names, n);
    }
    ins_error err = {0};
    stop = 0;
    need_ok(ins_pipeline_run(&r.options, 1, temp_path("stopped"), NULL, NULL, &stop, &r.stats, &err), &err);
    assert_int_equal(r.stats.read, 1000);
    ins_arena_free(r.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped),
        cmocka_unit_test(splits_by_group),
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(everything_is_counted),
        cmocka_unit_test(invalid_text),
        cmocka_unit_test(empty_corpora),
        cmocka_unit_test(parts_limits_domains),
        cmocka_unit_test(rerun_replaces),
        cmocka_unit_test(damaged_corpus),
        cmocka_unit_test(full_disk),
        cmocka_unit_test(fingerprints),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
