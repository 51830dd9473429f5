#include "option/flow.h"
#include "option/sample_tables.h"

#include <math.h>

const ins_family *const ins_families[] = {&optimizer_family, NULL};

static ins_arena *arena;
static ins_diag diag;
static train_options t;

static int setup(void **state) {
    (void)state;
    arena = ins_arena_new(0);
    return arena ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    ins_arena_free(arena);
    ins_diag_free(&diag);
    return 0;
}

static bool parse(const char *text) {
    ins_diag_free(&diag);
    return ins_opt_parse(&train_table, text ? flow_read(arena, text) : NULL, &t, arena, NULL, &diag);
}

/* Parsing `text` gives exactly one problem, at line:col, with these words. */
static void assert_problem(const char *text, int line, int col, const char *words) {
    bool ok = parse(text);
    if (ok || diag.n != 1) {
        for (int64_t i = 0; i < diag.n; i++) print_error("  %s\n", diag.items[i].text);
        fail_msg("%s: %lld problems instead of one", text, (long long)diag.n);
    }
    const ins_error *err = &diag.items[0];
    if (!strstr(err->text, words)) fail_msg("%s: '%s' lacks '%s'", text, err->text, words);
    assert_int_equal(err->status, INS_RECIPE);
    assert_int_equal(err->line, line);
    assert_int_equal(err->col, col);
    assert_string_equal(err->file, "t.yaml");
}

static void defaults(void **state) {
    (void)state;
    assert_true(parse("{layers: 4}"));
    assert_int_equal(t.layers, 4);
    assert_int_equal(t.context, 1024);
    assert_int_equal(t.seed, 1);
    assert_true(t.dropout == 0 && t.timeout == 300 && t.tie);
    assert_null(t.name);
    assert_null(t.out);
    assert_int_equal(t.act, 2);
    assert_int_equal(t.inputs.n, 1);
    assert_string_equal(t.inputs.items[0], "base");
    assert_int_equal(t.limit.steps, 0); /* an absent group does not ask for its required rows */
    assert_true(t.limit.time == 3600);
    assert_int_equal(t.sources.n, 0);
    assert_ptr_equal(t.optimizer.desc, &adamw);
    const adamw_options *o = t.optimizer.options;
    assert_true(o->lr == 3e-4 && o->betas.n == 2 && o->betas.items[1] == 0.999);
    assert_null(t.second.desc);
    assert_int_equal(t.extras.n, 0);
    assert_null(t.raw);
}

static void everything_given(void **state) {
    (void)state;
    assert_true(parse("{depth: 12, context: 1.5k, seed: 9223372036854775807, threads: -2, dropout: 1e-1,\n"
                      " timeout: 1h 30min, tie: off, name: \"12\", out: a/b, act: relu, inputs: [x, \"y z\"],\n"
                      " limit: {steps: 5}, sources: {near: {path: p1}, far: {path: p2, weight: .5}},\n"
                      " optimizer: {kind: adam-w, learning_rate: 1, betas: [0, 1]}, second: sgd,\n"
                      " extras: [sgd, {kind: file, path: q}], raw: {any: [1]}}"));
    assert_int_equal(t.layers, 12);
    assert_int_equal(t.context, 1500);
    assert_true(t.seed == INT64_MAX);
    assert_int_equal(t.threads, -2);
    assert_true(t.dropout == 0.1 && t.timeout == 5400 && !t.tie);
    assert_string_equal(t.name, "12");
    assert_string_equal(t.out, "a/b");
    assert_int_equal(t.act, 1);
    assert_int_equal(t.inputs.n, 2);
    assert_string_equal(t.inputs.items[1], "y z");
    assert_int_equal(t.inputs.pos[1].line, 2);
    assert_int_equal(t.limit.steps, 5);
    assert_int_equal(t.sources.n, 2);
    const source_options *sources = t.sources.items;
    assert_string_equal(t.sources.names[1], "far");
    assert_string_equal(sources[1].path, "p2");
    assert_true(sources[0].weight == 1 && sources[1].weight == 0.5);
    assert_int_equal(t.sources.pos[0].line, 3);
    const adamw_options *o = t.optimizer.options;
    assert_true(o->lr == 1 && o->betas.items[1] == 1);
    assert_ptr_equal(t.second.desc, &sgd);
    assert_null(t.second.options);
    assert_int_equal(t.extras.n, 2);
    assert_string_equal(((const file_options *)t.extras.items[1].options)->path, "q");
    assert_string_equal(ins_node_path(t.raw, "any.0")->text, "1");
}

static void null_means_the_default(void **state) {
    (void)state;
    assert_true(parse("{layers: 4, context: null, limit: ~, sources: null, optimizer: null, inputs: null, raw: null}"));
    assert_int_equal(t.context, 1024);
    assert_ptr_equal(t.optimizer.desc, &adamw);
    assert_int_equal(t.inputs.n, 1);
    assert_problem("{layers: null}", 1, 10, "'layers' of training needs a value");
}

static void unknown_keys(void **state) {
    (void)state;
    assert_problem("{layers: 1,\n  laeyrs: 2}", 2, 3, "unknown option 'laeyrs' of training (did you mean 'layers'?)");
    assert_problem("{layers: 1, dept: 2}", 1, 13, "(did you mean 'depth'?)");
    assert_problem("{layers: 1, zzzzzzzz: 2}", 1, 13, "unknown option 'zzzzzzzz' of training");
    assert_non_null(strstr(diag.items[0].hint, "layers, context"));
    assert_problem("{layers: 1, limit: {step: 2, steps: 3}}", 1, 21,
                   "unknown option 'step' of the limit (did you mean 'steps'?)");
    assert_problem("{layers: 1, second: {kind: sgd, lr: 2}}", 1, 33, "unknown option 'lr' of sgd");
    assert_string_equal(diag.items[0].hint, "sgd has no options");
    static const char *const skip[] = {"kind", "needs", NULL};
    ins_diag_free(&diag);
    assert_true(
        ins_opt_parse(&train_table, flow_read(arena, "{kind: x, layers: 1, needs: [y]}"), &t, arena, skip, &diag));
    assert_false(ins_opt_parse(&train_table, flow_read(arena, "{layers: 1, nedes: [y]}"), &t, arena, skip, &diag));
    assert_non_null(strstr(diag.items[0].text, "did you mean 'needs'"));
}

static void a_misspelt_required_key_is_one_problem(void **state) {
    (void)state;
    assert_problem("{layer: 4}", 1, 2, "unknown option 'layer' of training (did you mean 'layers'?)");
    assert_false(parse("{layer: 4, layers: null}"));
    assert_int_equal(diag.n, 2);
}

static void given_twice(void **state) {
    (void)state;
    assert_problem("{layers: 1,\n depth: 2}", 2, 2, "'depth' is given twice: 'layers' in line 1");
}

static void wrong_types(void **state) {
    (void)state;
    assert_problem("{layers: many}", 1, 10, "'layers' must be a whole number, not 'many'");
    assert_problem("{layers: \"12\"}", 1, 10, "not the quoted text \"12\"");
    assert_non_null(strstr(diag.items[0].hint, "quotes"));
    assert_problem("{layers: 1.5}", 1, 10, "not '1.5'");
    assert_problem("{layers: 1e2}", 1, 10, "not '1e2'");
    assert_string_equal(diag.items[0].hint, "write 100");
    assert_problem("{layers: [1]}", 1, 10, "not a list");
    assert_problem("{layers: {x: 1}}", 1, 10, "not a map of options");
    assert_problem("{layers: 99999999999999999999}", 1, 10, "must be a whole number");
    assert_problem("{layers: 1, context: 10q}", 1, 22,
                   "'context' must be a whole number such as 4096, 10k, 2M or 4Ki, not '10q'");
    assert_problem("{layers: 1, context: 1.5}", 1, 22, "not '1.5'");
    assert_problem("{layers: 1, seed: -1}", 1, 19, "'seed' must be a whole number, 0 or more, not '-1'");
    assert_problem("{layers: 1, dropout: x}", 1, 22, "'dropout' must be a number");
    assert_problem("{layers: 1, dropout: nan}", 1, 22, "'dropout' must be a number");
    assert_problem("{layers: 1, timeout: 5 weeks}", 1, 22, "'timeout' must be a time such as 90");
    assert_problem("{layers: 1, timeout: -5}", 1, 22, "'timeout' must be a time");
    assert_problem("{layers: 1, tie: 1}", 1, 18, "'tie' must be true or false, not '1'");
    assert_problem("{layers: 1, tie: \"true\"}", 1, 18, "not the quoted text");
    assert_problem("{layers: 1, name: [x]}", 1, 19, "'name' must be a text, not a list");
    assert_problem("{layers: 1, out: \"\"}", 1, 18, "'out' must be a path, not an empty text");
    assert_problem("{layers: 1, inputs: {x: 1}}", 1, 21, "'inputs' must be a list of texts, not a map");
    assert_problem("{layers: 1, inputs: [x, [y]]}", 1, 25, "'inputs[1]' must be a text, not a list");
    assert_problem("{layers: 1, inputs: [x, null]}", 1, 25, "'inputs[1]' must be a text, not nothing");
    assert_problem("{layers: 1, limit: 5}", 1, 20, "'limit' must be a map of options, not '5'");
    assert_problem("{layers: 1, sources: 5}", 1, 22, "'sources' must be a map or a list of maps");
    assert_problem("{layers: 1, sources: [5]}", 1, 23, "a source must be a map of options, not a single value");
    assert_problem("[1]", 1, 1, "training must be a map of options, not a list");
    assert_problem("{layers: 1, optimizer: {kind: adamw, betas: [0.9, x]}}", 1, 51,
                   "'betas[1]' must be a number, not 'x'");
}

static void ranges(void **state) {
    (void)state;
    assert_problem("{layers: 0}", 1, 10, "'layers' must be from 1 to 1000 blocks, not 0");
    assert_problem("{layers: 1001}", 1, 10, "not 1001");
    assert_problem("{layers: 1, context: 0}", 1, 22, "'context' must be at least 1 tokens, not 0");
    assert_problem("{layers: 1, dropout: inf}", 1, 22, "'dropout' must be from 0 to 0.9, not inf");
    assert_problem("{layers: 1, optimizer: {lr: 0}}", 1, 29, "'lr' must be above 0 and at most 1, not 0");
    assert_problem("{layers: 1, optimizer: {kind: adamw, betas: [0.9, 2]}}", 1, 51,
                   "'betas' must be from 0 to 1, not 2");
    assert_problem("{layers: 1, sources: [{path: x, weight: -1}]}", 1, 41, "'weight' must be at least 0, not -1");
}

static void decimal_commas(void **state) {
    (void)state;
    ins_node *map = flow_read(arena, "{layers: 1}");
    ins_node_put(arena, map, "dropout", ins_node_scalar(arena, "0,5", false, map->pos));
    assert_false(ins_opt_parse(&train_table, map, &t, arena, NULL, &diag));
    assert_non_null(strstr(diag.items[0].hint, "use a point for decimals"));
}

static void long_values_are_cut_in_messages(void **state) {
    (void)state;
    ins_str text = {0};
    ins_str_puts(&text, "x");
    for (int i = 0; i < 1000; i++) ins_str_puts(&text, "\xC3\xA9");
    ins_node *map = flow_read(arena, "{}");
    ins_node_put(arena, map, "layers", ins_node_scalar(arena, text.data, false, map->pos));
    ins_node_put(arena, map, text.data, ins_node_scalar(arena, "1", false, map->pos));
    assert_false(ins_opt_parse(&train_table, map, &t, arena, NULL, &diag));
    assert_int_equal(diag.n, 2);
    for (int i = 0; i < 2; i++) {
        size_t len = strlen(diag.items[i].text);
        assert_true(len < 200 && ins_utf8_valid(diag.items[i].text, len, NULL));
    }
    ins_str_free(&text);
}

typedef struct edge_options {
    double low, free;
    ins_opt_component part;
} edge_options;

static void edges(void **state) {
    (void)state;
    static const ins_opt_row rows[] = {
        {"low", INS_OPT_FLOAT, offsetof(edge_options, low), .min = -INFINITY, .max = -1, .def = "-1", .help = "Low."},
        {"free", INS_OPT_FLOAT, offsetof(edge_options, free), .help = "Any number."},
        {"part", INS_OPT_COMPONENT, offsetof(edge_options, part), .choices = "nowhere", .help = "A part."},
        {.name = NULL},
    };
    static const ins_opt_table table = {"edges", rows, sizeof(edge_options)};
    edge_options e;
    assert_true(ins_opt_parse(&table, flow_read(arena, "{low: -inf, free: .inf}"), &e, arena, NULL, &diag));
    ins_str out = {0};
    ins_opt_to_json(&table, &e, false, &out);
    assert_string_equal(out.data, "{\"low\":\"-inf\",\"free\":\"inf\",\"part\":null}");
    ins_str_free(&out);
    assert_false(ins_opt_parse(&table, flow_read(arena, "{low: 0, part: x}"), &e, arena, NULL, &diag));
    assert_int_equal(diag.n, 2);
    assert_string_equal(diag.items[0].text, "'low' must be at most -1, not 0");
    assert_int_equal(diag.items[1].status, INS_BUG);
    assert_non_null(strstr(diag.items[1].text, "'nowhere'"));
}

static void choices(void **state) {
    (void)state;
    assert_problem("{layers: 1, act: reul}", 1, 18,
                   "'act' must be gelu, relu or silu, not 'reul' (did you mean 'relu'?)");
    assert_problem("{layers: 1, act: [relu]}", 1, 18, "'act' must be gelu, relu or silu, not a list");
    assert_true(parse("{layers: 1, act: \"gelu\"}"));
}

static void required(void **state) {
    (void)state;
    assert_problem("{context: 1}", 1, 1, "training needs the option 'layers'");
    assert_string_equal(diag.items[0].hint, "Number of blocks.");
    assert_problem("{layers: 1, limit: {}}", 1, 20, "the limit needs the option 'steps'");
    assert_problem("{layers: 1, sources: {a: {path: x}, b: null}}", 1, 40, "a source needs the option 'path'");
    assert_problem("{layers: 1, second: file}", 1, 21, "file needs the option 'path'");
    ins_diag_free(&diag);
    assert_false(ins_opt_parse(&train_table, NULL, &t, arena, NULL, &diag));
    assert_int_equal(diag.n, 1);
}

static void components(void **state) {
    (void)state;
    assert_problem("{layers: 1, optimizer: adamv}", 1, 24, "unknown optimizer 'adamv' (did you mean 'adamw'?)");
    assert_problem("{layers: 1, optimizer: adan-w}", 1, 24, "(did you mean 'adamw'?)"); /* near an alias: its owner */
    assert_problem("{layers: 1, optimizer: {kind: zzzzzz}}", 1, 31, "unknown optimizer 'zzzzzz'");
    assert_string_equal(diag.items[0].hint, "there are: adamw, sgd, file");
    assert_problem("{layers: 1, optimizer: [sgd]}", 1, 24, "a single optimizer is expected here, not a list");
    assert_problem("{layers: 1, optimizer: {kind: [sgd]}}", 1, 31, "'kind' must be the name of one optimizer");
    assert_problem("{layers: 1, second: {lr: 1}}", 1, 21, "'kind' is missing: which optimizer is this?");
    assert_problem("{layers: 1, optimizer: {betas: 0.9}}", 1, 24, "'betas' of adamw must be two numbers"); /* check() */
    assert_problem("{layers: 1, extras: [sgd, null]}", 1, 27, "'extras[1]' is empty");
    assert_true(parse("{layers: 1, optimizer: {lr: 0.5}}")); /* no kind: options of the default */
    assert_ptr_equal(t.optimizer.desc, &adamw);
    assert_true(((const adamw_options *)t.optimizer.options)->lr == 0.5);
    assert_true(parse("{layers: 1, extras: sgd}"));
    assert_int_equal(t.extras.n, 1);
}

static void all_problems_at_once(void **state) {
    (void)state;
    assert_false(parse("{layer: x, context: q, act: z, limit: {time: w}, optimizer: {lr: 2}, sources: [{}]}"));
    assert_int_equal(diag.n, 7);
    ins_diag_sort(&diag);
    for (int64_t i = 1; i < diag.n; i++) assert_true(diag.items[i - 1].col < diag.items[i].col);
}

static void assert_hash_json(bool for_hash, const char *expected) {
    ins_str out = {0};
    ins_opt_to_json(&train_table, &t, for_hash, &out);
    assert_string_equal(out.data, expected);
    ins_str_free(&out);
}

static void canonical_json(void **state) {
    (void)state;
    assert_true(parse("{layers: 4, threads: 3, sources: {a: {path: p}}, extras: [sgd], name: \"q\\z\", raw: {x: 1}}"));
    assert_hash_json(
        false, "{\"layers\":4,\"context\":1024,\"seed\":1,\"threads\":3,\"dropout\":0,\"timeout\":300,\"tie\":true,"
               "\"name\":\"q\\\\z\",\"out\":null,\"act\":\"silu\",\"inputs\":[\"base\"],"
               "\"limit\":{\"steps\":0,\"time\":3600},\"sources\":{\"a\":{\"path\":\"p\",\"weight\":1}},"
               "\"optimizer\":{\"kind\":\"adamw\",\"version\":3,\"lr\":0.0003,\"betas\":[0.9,0.999]},"
               "\"second\":null,\"extras\":[{\"kind\":\"sgd\",\"version\":1}],\"raw\":{\"x\":1}}");
    assert_true(parse("{layers: 4, threads: 9, dropout: 0.0}"));
    const char *plain = "{\"layers\":4,\"context\":1024,\"seed\":1,\"timeout\":300,\"tie\":true,\"name\":null,"
                        "\"out\":null,\"act\":\"silu\",\"inputs\":[\"base\"],\"optimizer\":{\"kind\":\"adamw\","
                        "\"version\":3,\"lr\":0.0003,\"betas\":[0.9,0.999]},\"raw\":null}";
    assert_hash_json(true, plain);
    assert_true(parse("{context: 1024, timeout: 300s, optimizer: {lr: 0.0003}, depth: 4, tie: true}"));
    assert_hash_json(true, plain); /* the same settings, written otherwise */
    assert_true(parse("{layers: 4, dropout: 0.25, limit: {steps: 0, time: 1h}, second: sgd, extras: [sgd]}"));
    ins_str out = {0};
    ins_opt_to_json(&train_table, &t, true, &out);
    assert_non_null(strstr(out.data, "\"dropout\":0.25"));
    assert_null(strstr(out.data, "\"limit\"")); /* the values of a group that is not given */
    assert_non_null(strstr(out.data, "\"second\":{\"kind\":\"sgd\""));
    assert_non_null(strstr(out.data, "\"extras\":[{"));
    ins_str_free(&out);
}

static void find_rows(void **state) {
    (void)state;
    assert_string_equal(ins_opt_find(&train_table, "depth")->name, "layers");
    assert_string_equal(ins_opt_find(&train_table, "act")->name, "act");
    assert_null(ins_opt_find(&train_table, "dep"));
}

static const char sweep_text[] =
    "{layers: 4, name: some, inputs: [a, b], limit: {steps: 3}, sources: {a: {path: p}, b: {path: q, weight: 2}},\n"
    " optimizer: {lr: 0.1, betas: [0.5, 0.5]}, extras: [sgd, {kind: file, path: x}], wrong: 1, act: reul}";

/* Fails the k-th allocation for k = 1, 2, ... until the whole work gets through. */
static void allocation_failures(void **state) {
    (void)state;
    ins_node *node = flow_read(arena, sweep_text);
    uint64_t live = ins_mem_get_stats().live;
    bool clean = false;
    for (uint64_t k = 1; !clean && k < 10000; k++) {
        ins_diag problems = {0};
        ins_str out = {0};
        ins_mem_fail_at(k);
        uint64_t before = ins_mem_get_stats().n_allocs;
        ins_arena *own = ins_arena_new(64); /* small blocks: many allocations */
        bool ok = own && ins_opt_parse(&train_table, node, &t, own, NULL, &problems);
        if (own) ins_opt_to_json(&train_table, &t, true, &out);
        if (own) ins_opt_json_schema(&train_table, &out);
        if (own) ins_opt_help_text(&train_table, 80, &out);
        clean = ins_mem_get_stats().n_allocs - before < k;
        ins_mem_fail_at(0);
        assert_false(ok); /* the text has two mistakes */
        if (clean) {
            assert_int_equal(problems.n, 2);
            assert_false(out.oom);
        } else if (own) {
            assert_true(problems.n + problems.n_dropped > 0);
        }
        ins_str_free(&out);
        ins_diag_free(&problems);
        ins_arena_free(own);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_true(clean);
}

/* Any tree at all gives an answer, and the answer is yes exactly when there is no problem. */
static ins_node *random_node(ins_arena *to, uint64_t *seed, int depth) {
    static const char *const words[] = {"1", "-7", "0.5", "abc", "adamw", "", "true", "10k", "5min", "relu", "1e400"};
    static const char *const keys[] = {"layers", "depth", "kind", "lr",     "betas", "sources", "limit", "optimizer",
                                       "inputs", "raw",   "x",    "extras", "path",  "act",     "name",  "context"};
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t bits = *seed >> 33;
    unsigned kind = depth > 3 ? bits % 2 : bits % 5;
    ins_pos pos = {"t.yaml", 1, 1};
    if (kind == 0) return ins_node_new(to, INS_NODE_NULL, pos);
    if (kind == 1) return ins_node_scalar(to, words[(bits >> 4) % 11], (bits >> 9) % 4 == 0, pos);
    ins_node *node = ins_node_new(to, kind == 2 ? INS_NODE_LIST : INS_NODE_MAP, pos);
    for (unsigned i = 0; i < (bits >> 4) % 7; i++) {
        ins_node *item = random_node(to, seed, depth + 1);
        if (kind == 2)
            ins_node_append(to, node, item);
        else
            ins_node_put(to, node, keys[(*seed >> 40) % 16], item);
    }
    return node;
}

static void random_trees(void **state) {
    (void)state;
    uint64_t seed = 1;
    int accepted = 0;
    for (int i = 0; i < 20000; i++) {
        ins_arena_reset(arena);
        ins_diag problems = {0};
        ins_node *node = random_node(arena, &seed, 0);
        if (node->kind == INS_NODE_MAP && i % 2)
            ins_node_put(arena, node, "layers", ins_node_scalar(arena, "3", false, node->pos));
        bool ok = ins_opt_parse(&train_table, node, &t, arena, NULL, &problems);
        assert_int_equal(ok, problems.n == 0);
        accepted += ok;
        ins_str out = {0};
        ins_opt_to_json(&train_table, &t, i % 2, &out);
        assert_false(out.oom);
        ins_str_free(&out);
        ins_diag_free(&problems);
    }
    assert_in_range(accepted, 50, 19000);
}

int main(void) {
#define OPTION_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        OPTION_TEST(defaults),
        OPTION_TEST(everything_given),
        OPTION_TEST(null_means_the_default),
        OPTION_TEST(unknown_keys),
        OPTION_TEST(given_twice),
        OPTION_TEST(a_misspelt_required_key_is_one_problem),
        OPTION_TEST(wrong_types),
        OPTION_TEST(ranges),
        OPTION_TEST(decimal_commas),
        OPTION_TEST(long_values_are_cut_in_messages),
        OPTION_TEST(edges),
        OPTION_TEST(choices),
        OPTION_TEST(required),
        OPTION_TEST(components),
        OPTION_TEST(all_problems_at_once),
        OPTION_TEST(canonical_json),
        OPTION_TEST(find_rows),
        OPTION_TEST(allocation_failures),
        OPTION_TEST(random_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
