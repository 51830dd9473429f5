#include "option/flow.h"

static ins_arena *arena;

static int setup(void **state) {
    (void)state;
    arena = ins_arena_new(0);
    return arena ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    ins_arena_free(arena);
    return 0;
}

static void assert_json(const ins_node *node, const char *expected) {
    ins_str out = {0};
    ins_node_to_json(node, &out);
    assert_string_equal(out.data, expected);
    ins_str_free(&out);
}

static void assert_yaml(const ins_node *node, const char *expected) {
    ins_str out = {0};
    ins_node_to_yaml(node, &out);
    assert_string_equal(out.data, expected);
    ins_str_free(&out);
}

static void lookups(void **state) {
    (void)state;
    ins_node *root = flow_read(arena, "{stages: {base: {steps: 10, data: [x, {y: z}]}}, n: 1}");
    assert_string_equal(ins_node_get(root, "n")->text, "1");
    assert_null(ins_node_get(root, "m"));
    assert_null(ins_node_get(NULL, "m"));
    assert_null(ins_node_get(ins_node_get(root, "n"), "m"));
    assert_string_equal(ins_node_path(root, "stages.base.steps")->text, "10");
    assert_string_equal(ins_node_path(root, "stages.base.data.0")->text, "x");
    assert_string_equal(ins_node_path(root, "stages.base.data.1.y")->text, "z");
    assert_null(ins_node_path(root, "stages.base.data.2"));
    assert_null(ins_node_path(root, "stages.base.data.x"));
    assert_null(ins_node_path(root, "stages.base.data.-1"));
    assert_null(ins_node_path(root, "stages.bas"));
    assert_null(ins_node_path(root, "n.x"));
    assert_null(ins_node_path(root, ""));
    assert_null(ins_node_path(root, "stages..base"));
    assert_int_equal(ins_node_path(root, "stages.base.steps")->pos.col, 25);
}

static void building(void **state) {
    (void)state;
    ins_pos nowhere = {0};
    ins_node *list = ins_node_new(arena, INS_NODE_LIST, nowhere);
    for (int i = 0; i < 100; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        assert_true(ins_node_append(arena, list, ins_node_scalar(arena, text, false, nowhere)));
    }
    assert_int_equal(list->n_items, 100);
    assert_string_equal(list->items[63]->text, "63");
    ins_node *map = ins_node_new(arena, INS_NODE_MAP, nowhere);
    assert_true(ins_node_put(arena, map, "a", ins_node_scalar(arena, "1", false, nowhere)));
    assert_true(ins_node_put(arena, map, "b", ins_node_scalar(arena, "2", true, nowhere)));
    assert_true(ins_node_put(arena, map, "a", ins_node_scalar(arena, "3", false, nowhere)));
    assert_json(map, "{\"a\":3,\"b\":\"2\"}");
    assert_false(ins_node_append(arena, list, NULL));
    /* A list whose items array someone else made is not written past. */
    ins_node *item = ins_node_scalar(arena, "x", false, nowhere), *own[1] = {item};
    ins_node foreign = {.kind = INS_NODE_LIST, .items = own, .n_items = 1};
    assert_true(ins_node_append(arena, &foreign, item));
    assert_int_equal(foreign.n_items, 2);
}

static void clone_is_deep(void **state) {
    (void)state;
    ins_node *root = flow_read(arena, "{a: {b: [1, \"2\", null]}}");
    ins_arena *other = ins_arena_new(0);
    ins_node *copy = ins_node_clone(other, root);
    ins_arena_reset(arena);
    assert_json(copy, "{\"a\":{\"b\":[1,\"2\",null]}}");
    assert_int_equal(ins_node_path(copy, "a.b.1")->pos.col, 13);
    assert_null(ins_node_clone(other, NULL));
    ins_arena_free(other);
}

static void merging(void **state) {
    (void)state;
    ins_node *base = flow_read(arena, "{a: 1, m: {x: 1, y: [1, 2]}, z: 0}");
    ins_node *over = flow_read(arena, "{m: {y: [3], w: {v: 1}}, a: null, n: 5}");
    ins_node *merged = ins_node_merge(arena, base, over);
    assert_json(merged, "{\"a\":null,\"m\":{\"x\":1,\"y\":[3],\"w\":{\"v\":1}},\"z\":0,\"n\":5}");
    assert_json(base, "{\"a\":1,\"m\":{\"x\":1,\"y\":[1,2]},\"z\":0}");
    assert_json(ins_node_merge(arena, base, NULL), "{\"a\":1,\"m\":{\"x\":1,\"y\":[1,2]},\"z\":0}");
    assert_json(ins_node_merge(arena, base, flow_read(arena, "[1]")), "[1]");
    assert_null(ins_node_merge(arena, NULL, NULL));
}

static void set(ins_node *root, const char *path, const char *value, ins_status expected, const char *message) {
    ins_error err = {0};
    assert_int_equal(ins_node_set_path(arena, root, path, flow_read(arena, value), &err), expected);
    if (message && !strstr(err.text, message)) fail_msg("'%s' lacks '%s'", err.text, message);
}

static void setting_by_path(void **state) {
    (void)state;
    ins_node *root = flow_read(arena, "{a: {b: 1}, l: [x], n: null}");
    set(root, "a.b", "2", INS_OK, NULL);
    set(root, "a.c.d", "[1, 2]", INS_OK, NULL);
    set(root, "l.0", "y", INS_OK, NULL);
    set(root, "l.1", "{q: 1}", INS_OK, NULL);
    set(root, "l.2.r", "1", INS_OK, NULL);
    set(root, "n.m", "3", INS_OK, NULL);
    assert_json(root, "{\"a\":{\"b\":2,\"c\":{\"d\":[1,2]}},\"l\":[\"y\",{\"q\":1},{\"r\":1}],\"n\":{\"m\":3}}");
    set(root, "l.9", "1", INS_USAGE, "'l' is a list of 3: '9' is no position");
    set(root, "l.x", "1", INS_USAGE, "'x' is no position");
    set(root, "a.b.c", "1", INS_USAGE, "'a.b' is a single value: it has no option 'c'");
    set(root, "", "1", INS_USAGE, "no path");
    set(root, "a..b", "1", INS_USAGE, "no path");
    set(root, "a.", "1", INS_USAGE, "no path");
}

static void canonical_json(void **state) {
    (void)state;
    assert_json(
        flow_read(arena, "[1, -0.5, 1e9, true, null, 01, 1., .5, +1, 10k, True, \"1\", \"a b\", 1e, -, {}, []]"),
        "[1,-0.5,1e9,true,null,\"01\",\"1.\",\".5\",\"+1\",\"10k\",\"True\",\"1\",\"a b\",\"1e\",\"-\",{},[]]");
    assert_json(NULL, "null");
}

static void readable_yaml(void **state) {
    (void)state;
    assert_yaml(flow_read(arena, "{a: 1, m: {x: [1, {p: 1, q: [2]}, [3, 4], [], {}], n: null}, s: \"12\", e: \"\"}"),
                "a: 1\n"
                "m:\n"
                "  x:\n"
                "    - 1\n"
                "    - p: 1\n"
                "      q:\n"
                "        - 2\n"
                "    - - 3\n"
                "      - 4\n"
                "    - []\n"
                "    - {}\n"
                "  n: null\n"
                "s: \"12\"\n"
                "e: \"\"\n");
    assert_yaml(NULL, "null\n");
    assert_yaml(flow_read(arena, "{}"), "{}\n");
    assert_yaml(flow_read(arena, "plain words"), "plain words\n");
    static const char *const quoted[] = {
        "a: b", "a #b", "- a", "-", "? a", "#x", " a", "a ", "a:", "<<",   "=",    "...", "---",   "[a",    "{a",
        "*a",   "&a",   "!a",  "|", ">",   "'a", "%a", "@a", "`a", "a\nb", "a\tb", "",    "\"q\"", "a\x7f", "\xC2\x85"};
    static const char *const plain[] = {"a",     "-1", "a:b", "a#b", "a-b", "/x/y z", "1e-3", "gr\xC3\xBC\xC3\x9F",
                                        "a, b]", "~"};
    ins_str out = {0};
    for (size_t i = 0; i < sizeof quoted / sizeof quoted[0]; i++) {
        ins_str_clear(&out);
        ins_node_to_yaml(ins_node_scalar(arena, quoted[i], false, (ins_pos){0}), &out);
        assert_int_equal(out.data[0], '"');
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        ins_str_clear(&out);
        ins_node_to_yaml(ins_node_scalar(arena, plain[i], false, (ins_pos){0}), &out);
        assert_memory_equal(out.data, plain[i], strlen(plain[i]));
    }
    ins_str_free(&out);
}

int main(void) {
#define TREE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TREE_TEST(lookups),         TREE_TEST(building),       TREE_TEST(clone_is_deep), TREE_TEST(merging),
        TREE_TEST(setting_by_path), TREE_TEST(canonical_json), TREE_TEST(readable_yaml),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
