/* Running stages in a test: a scratch folder with one folder a stage, options as YAML text, records kept in memory. A
 * stage that has run is an input of those after it under its name. */
#ifndef INS_TESTS_STAGE_STAGE_RUN_H
#define INS_TESTS_STAGE_STAGE_RUN_H

#include "base/testing.h"

#include "format/yaml.h"
#include "stage/stage.h"

enum { RUN_MAX_STAGES = 32 };

typedef struct run_record {
    int64_t step, tokens;
    char name[128];
    double value;
    char *text; /* of a sample, else NULL */
} run_record;

typedef struct run_kit {
    char root[256];
    ins_arena *arena;
    ins_pool *pool;
    ins_stage_input inputs[RUN_MAX_STAGES];
    int64_t n_inputs;
    run_record *records; /* of the stage that ran last */
    int64_t n_records, cap_records;
    int n_flushes;
    volatile int stop;
    const char *stop_metric; /* ask to stop when this metric is recorded ... */
    int64_t stop_step;       /* ... for this step or a later one */
    int n_progress;
    char last_message[1024], last_warning[1024];
    ins_stage_result result;
    ins_error err;
    uint64_t seed;
    const char *cache_dir;      /* of the context; NULL = none */
    const ins_metrics *metrics; /* instead of the kit's own, when not NULL */
} run_kit;

/* ---- records ---- */

static inline ins_status run_add(run_kit *kit, int64_t step, int64_t tokens, const char *name, double value,
                                 const char *text) {
    if (kit->n_records == kit->cap_records) {
        kit->cap_records = kit->cap_records ? 2 * kit->cap_records : 256;
        kit->records = realloc(kit->records, (size_t)kit->cap_records * sizeof *kit->records);
    }
    run_record *r = &kit->records[kit->n_records++];
    if (kit->stop_metric && step >= kit->stop_step && strcmp(name, kit->stop_metric) == 0) kit->stop = 1;
    *r = (run_record){.step = step, .tokens = tokens, .value = value, .text = text ? strdup(text) : NULL};
    snprintf(r->name, sizeof r->name, "%s", name);
    return INS_OK;
}
static inline ins_status run_value(void *arg, int64_t step, int64_t tokens, const char *name, double value,
                                   ins_error *err) {
    (void)err;
    return run_add(arg, step, tokens, name, value, NULL);
}
static inline ins_status run_text(void *arg, int64_t step, int64_t tokens, const char *name, const char *text,
                                  ins_error *err) {
    (void)err;
    return run_add(arg, step, tokens, name, 0, text);
}
static inline ins_status run_truncate(void *arg, int64_t step, ins_error *err) {
    run_kit *kit = arg;
    int64_t n = 0;
    (void)err;
    for (int64_t i = 0; i < kit->n_records; i++) {
        if (kit->records[i].step <= step) {
            kit->records[n++] = kit->records[i];
        } else {
            free(kit->records[i].text);
        }
    }
    kit->n_records = n;
    return INS_OK;
}
static inline ins_status run_flush(void *arg, ins_error *err) {
    (void)err;
    ((run_kit *)arg)->n_flushes++;
    return INS_OK;
}

/* The value of a metric at a step (step < 0: the last one recorded); fails the test when there is none. */
static inline double run_metric(const run_kit *kit, int64_t step, const char *name) {
    for (int64_t i = kit->n_records - 1; i >= 0; i--) {
        const run_record *r = &kit->records[i];
        if (!r->text && strcmp(r->name, name) == 0 && (step < 0 || r->step == step)) return r->value;
    }
    fail_msg("no metric %s at step %lld", name, (long long)step);
    return 0;
}
static inline bool run_has_metric(const run_kit *kit, int64_t step, const char *name) {
    for (int64_t i = 0; i < kit->n_records; i++) {
        if (strcmp(kit->records[i].name, name) == 0 && (step < 0 || kit->records[i].step == step)) return true;
    }
    return false;
}

/* ---- kit ---- */

static inline void run_message(void *arg, ins_log_level level, const char *text) {
    run_kit *kit = arg;
    snprintf(kit->last_message, sizeof kit->last_message, "%s", text);
    if (level == INS_LOG_WARN) snprintf(kit->last_warning, sizeof kit->last_warning, "%s", text);
    if (getenv("INS_TEST_VERBOSE")) fprintf(stderr, "[%d] %s\n", (int)level, text);
}
static inline void run_progress(void *arg, const ins_progress *p) {
    run_kit *kit = arg;
    kit->n_progress++;
    if (getenv("INS_TEST_VERBOSE")) fprintf(stderr, "    %s %g/%g %s\n", p->what, p->done, p->total, p->detail);
}

static inline void run_open(run_kit *kit, int n_threads) {
    *kit = (run_kit){.seed = 7};
    test_scratch_dir(kit->root, sizeof kit->root);
    kit->arena = ins_arena_new(0);
    assert_non_null(kit->arena);
    assert_ok(ins_pool_new(n_threads, &kit->pool, NULL));
}
static inline void run_close(run_kit *kit) {
    for (int64_t i = 0; i < kit->n_records; i++) free(kit->records[i].text);
    free(kit->records);
    ins_pool_free(kit->pool);
    ins_arena_free(kit->arena);
    ins_dir_remove(kit->root, NULL);
}

static inline const char *run_dir(run_kit *kit, const char *stage) {
    return ins_arena_printf(kit->arena, "%s/%s", kit->root, stage);
}
static inline const char *run_path(run_kit *kit, const char *stage, const char *file) {
    return ins_arena_printf(kit->arena, "%s/%s/%s", kit->root, stage, file);
}
static inline void run_write(run_kit *kit, const char *file, const ins_str *text) {
    const char *path = ins_arena_printf(kit->arena, "%s/%s", kit->root, file);
    assert_ok(ins_file_write_atomic(path, text->data, text->len, NULL));
}

/* A folder of the scratch folder as an input under a name. */
static inline void run_input(run_kit *kit, const char *name, const char *kind) {
    for (int64_t i = 0; i < kit->n_inputs; i++) {
        if (strcmp(kit->inputs[i].ref, name) == 0) return;
    }
    assert_true(kit->n_inputs < RUN_MAX_STAGES);
    kit->inputs[kit->n_inputs++] = (ins_stage_input){.ref = ins_arena_strdup(kit->arena, name),
                                                     .kind = ins_arena_strdup(kit->arena, kind),
                                                     .dir = run_dir(kit, name),
                                                     .key = "key"};
}

static inline const void *run_parse(run_kit *kit, const ins_stage *stage, const char *yaml, ins_diag *diag) {
    const char *text = ins_arena_strdup(kit->arena, yaml);
    ins_node *node = NULL;
    if (ins_yaml_read_text(text, strlen(text), "test.yaml", kit->arena, &node, &kit->err) != INS_OK)
        fail_msg("%s", kit->err.text);
    void *options = ins_arena_alloc(kit->arena, stage->head.options->size);
    static const char *const skip[] = {"kind", NULL};
    bool fine = ins_opt_parse(stage->head.options, node, options, kit->arena, skip, diag);
    if (fine && stage->head.check) stage->head.check(options, node ? node->pos : (ins_pos){0}, diag);
    return options;
}

static inline ins_stage_context run_context(run_kit *kit, const char *name, const void *options, const ins_log *log,
                                            const ins_metrics *metrics) {
    return (ins_stage_context){.options = options,
                               .name = name,
                               .inputs = kit->inputs,
                               .n_inputs = kit->n_inputs,
                               .dir = run_dir(kit, name),
                               .seed = kit->seed,
                               .pool = kit->pool,
                               .log = log,
                               .metrics = metrics,
                               .stop = &kit->stop,
                               .result = &kit->result,
                               .cache_dir = kit->cache_dir};
}

/* Run one stage in its folder (kept when it is there: that is how a stage resumes). The records of an earlier attempt
 * at the same stage are kept too; those of another stage go. */
static inline ins_status run_stage(run_kit *kit, const char *kind, const char *name, const char *yaml) {
    const ins_stage *stage = (const ins_stage *)ins_component_find(&ins_family_stage, kind);
    assert_non_null(stage);
    ins_diag diag = {0};
    const void *options = run_parse(kit, stage, yaml, &diag);
    if (diag.n > 0) {
        kit->err = diag.items[0];
        ins_diag_free(&diag);
        return kit->err.status;
    }
    ins_log log = {run_message, run_progress, kit};
    ins_metrics own = {kit, run_value, run_text, run_truncate, run_flush};
    ins_error_clear(&kit->err);
    kit->result = (ins_stage_result){0};
    kit->n_progress = 0;
    bool again = ins_dir_exists(run_dir(kit, name));
    if (!again) run_truncate(kit, INT64_MIN, NULL);
    assert_ok(ins_dir_make(run_dir(kit, name), NULL));
    const ins_stage_context c = run_context(kit, name, options, &log, kit->metrics ? kit->metrics : &own);
    ins_status status = stage->run(&c, &kit->err);
    if (status == INS_OK) run_input(kit, name, kind);
    return status;
}
static inline void run_stage_ok(run_kit *kit, const char *kind, const char *name, const char *yaml) {
    if (run_stage(kit, kind, name, yaml) != INS_OK) {
        char text[2048];
        ins_error_format(&kit->err, text, sizeof text);
        fail_msg("%s: %s", name, text);
    }
}

/* ---- comparing two train stages ---- */

/* The manifest of a checkpoint: it holds the hash of every file. */
static inline const char *run_manifest(run_kit *kit, const char *stage, int64_t step) {
    const char *file = ins_arena_printf(kit->arena, "checkpoints/step-%09lld/manifest.json", (long long)step);
    ins_str text = {0};
    ins_status status = ins_file_read(run_path(kit, stage, file), 1 << 20, &text, &kit->err);
    if (status != INS_OK) fail_msg("%s", kit->err.text);
    const char *copy = ins_arena_strdup(kit->arena, text.data);
    ins_str_free(&text);
    return copy;
}

/* Equal checkpoints at every kept step, byte for byte. */
static inline void run_assert_same_checkpoints(run_kit *kit, const char *one, const char *other) {
    int64_t *steps = NULL, *other_steps = NULL, n = 0, n_other = 0;
    assert_ok(ins_checkpoint_list(run_dir(kit, one), &steps, &n, NULL));
    assert_ok(ins_checkpoint_list(run_dir(kit, other), &other_steps, &n_other, NULL));
    assert_true(n > 1);
    assert_int_equal(n, n_other);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(steps[i], other_steps[i]);
        assert_string_equal(run_manifest(kit, one, steps[i]), run_manifest(kit, other, steps[i]));
    }
    ins_free(steps);
    ins_free(other_steps);
}

typedef struct run_list {
    run_record *records;
    int64_t n;
} run_list;

/* Take the records out of the kit, without those that are times. */
static inline run_list run_take(run_kit *kit) {
    run_list list = {kit->records, 0};
    for (int64_t i = 0; i < kit->n_records; i++) {
        run_record r = kit->records[i];
        if (strcmp(r.name, "train/tokens_per_s") == 0 || strcmp(r.name, "train/mfu") == 0) continue;
        list.records[list.n++] = r;
    }
    kit->records = NULL;
    kit->n_records = kit->cap_records = 0;
    return list;
}
static inline void run_list_free(run_list *list) {
    for (int64_t i = 0; i < list->n; i++) free(list->records[i].text);
    free(list->records);
}
static inline void run_assert_same_records(const run_list *one, const run_list *other) {
    assert_int_equal(one->n, other->n);
    for (int64_t i = 0; i < one->n; i++) {
        const run_record *x = &one->records[i], *y = &other->records[i];
        assert_string_equal(x->name, y->name);
        assert_int_equal(x->step, y->step);
        assert_int_equal(x->tokens, y->tokens);
        assert_memory_equal(&x->value, &y->value, sizeof x->value);
        if (x->text) assert_string_equal(x->text, y->text);
    }
}

/* ---- a small corpus ---- */

/* n documents of made-up sentences with a pattern that a model can learn; field kind as questions have it. */
static inline void run_corpus_text(ins_str *out, int n, int style) {
    static const char *const nouns[] = {"cat", "dog", "bird", "fish", "tree", "stone", "river", "cloud"};
    static const char *const verbs[2][4] = {{"sees", "likes", "finds", "takes"},
                                            {"saith", "loveth", "findeth", "taketh"}};
    for (int i = 0; i < n; i++) {
        int x = (i * 7 + 3) % 8, y = (i * 5 + i / 8) % 8, v = (i * 3 + i / 4) % 4;
        ins_str_printf(out, "{\"id\": \"d%d\", \"text\": \"", i);
        for (int s = 0; s <= i % 4; s++)
            ins_str_printf(out, "%sThe %s %s the %s.", s ? " " : "", nouns[(x + s) % 8], verbs[style][v],
                           nouns[(y + s) % 8]);
        ins_str_puts(out, "\"}\n");
    }
}
/* Questions: the section of a thing. */
static inline void run_question_text(ins_str *out, int n) {
    static const char *const nouns[] = {"cat", "dog", "oak", "elm"};
    for (int i = 0; i < n; i++) {
        int x = (i * 3 + i / 4) % 4;
        ins_str_printf(out,
                       "{\"id\": \"q%d\", \"kind\": \"section\", \"prompt\": \"What is the %s number %d?\", "
                       "\"response\": \"%s\", \"choices\": \"animal\\nplant\", \"answer\": \"%d\"}\n",
                       i, nouns[x], i, x < 2 ? "animal" : "plant", x < 2 ? 0 : 1);
    }
}

/* Stage near: a corpus of n documents. */
static inline void run_make_corpus(run_kit *kit, const char *name, int n, int style) {
    ins_str text = {0};
    char file[64];
    run_corpus_text(&text, n, style);
    snprintf(file, sizeof file, "%s.jsonl", name);
    run_write(kit, file, &text);
    ins_str_free(&text);
    const char *yaml = ins_arena_printf(kit->arena, "{sources: [{kind: jsonl, path: '%s/%s'}], valid: 0.1, test: 0.1}",
                                        kit->root, file);
    run_stage_ok(kit, "build-data", name, yaml);
}
static inline void run_make_questions(run_kit *kit, const char *name, int n) {
    ins_str text = {0};
    char file[64];
    run_question_text(&text, n);
    snprintf(file, sizeof file, "%s.jsonl", name);
    run_write(kit, file, &text);
    ins_str_free(&text);
    const char *yaml =
        ins_arena_printf(kit->arena, "{sources: [{kind: jsonl, path: '%s/%s'}], valid: 0.2}", kit->root, file);
    run_stage_ok(kit, "build-data", name, yaml);
}

/* Corpus near and its tokens with a small BPE. */
static inline void run_make_tokens(run_kit *kit) {
    run_make_corpus(kit, "near", 300, 0);
    run_stage_ok(kit, "tokenize", "tokens", "{corpora: [near], tokenizer: {kind: bpe, vocab: 300}}");
}

#define RUN_MODEL "model: {preset: llama, layers: 2, width: 32, heads: 2, max_positions: 64}"

#endif
