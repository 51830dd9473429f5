/* YAML: values, places of keys and values, and every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/yaml.h"

typedef struct doc {
    ins_arena *arena;
    ins_node *root;
    ins_error err;
    ins_status status;
} doc;

static doc parse_n(const char *text, size_t n) {
    doc d = {.arena = ins_arena_new(0)};
    d.status = ins_yaml_read_text(text, n, "r.yaml", d.arena, &d.root, &d.err);
    return d;
}

static doc parse(const char *text) {
    return parse_n(text, strlen(text));
}

static void done(doc *d) {
    ins_arena_free(d->arena);
}

#define AT(position, line_, col_)                                                                                      \
    do {                                                                                                               \
        assert_int_equal((position).line, line_);                                                                      \
        assert_int_equal((position).col, col_);                                                                        \
    } while (0)

static void values_and_places(void **state) {
    (void)state;
    doc d = parse("name: first\n"
                  "\"q \xC3\xA9\" : \"v\"\n"
                  "list:\n"
                  "  - 1\n"
                  "  - 'two'\n"
                  "  - {k: [3, ~]}\n"
                  "text: |\n"
                  "  line\n"
                  "empty:\n"
                  "s: !!str 5\n");
    assert_int_equal(d.status, INS_OK);
    assert_int_equal(d.root->n_items, 6);
    const ins_node *name = ins_node_get(d.root, "name");
    assert_string_equal(name->text, "first");
    assert_string_equal(name->pos.file, "r.yaml");
    assert_false(name->quoted);
    AT(name->key_pos, 1, 1);
    AT(name->pos, 1, 7);
    const ins_node *q = ins_node_get(d.root, "q \xC3\xA9");
    assert_true(q->quoted);
    AT(q->key_pos, 2, 1);
    AT(q->pos, 2, 9);
    const ins_node *list = ins_node_get(d.root, "list");
    AT(list->pos, 4, 3);
    AT(list->key_pos, 3, 1);
    AT(list->items[0]->pos, 4, 5);
    AT(list->items[1]->pos, 5, 5);
    AT(ins_node_get(list->items[2], "k")->items[0]->pos, 6, 10);
    assert_int_equal(ins_node_get(list->items[2], "k")->items[1]->kind, INS_NODE_NULL);
    assert_string_equal(ins_node_get(d.root, "text")->text, "line\n");
    AT(ins_node_get(d.root, "text")->pos, 8, 3);
    assert_int_equal(ins_node_get(d.root, "empty")->kind, INS_NODE_NULL);
    AT(ins_node_get(d.root, "empty")->pos, 9, 1);
    assert_true(ins_node_get(d.root, "s")->quoted);
    done(&d);
}

static void json_is_yaml(void **state) {
    (void)state;
    doc d = parse("{\n\t\"a\": [1, 2.5, true, null],\n\t\"b\": {\"c\": \"x\\u00e9\"}\n}\n");
    assert_int_equal(d.status, INS_OK);
    assert_int_equal(ins_node_get(d.root, "a")->n_items, 4);
    assert_string_equal(ins_node_path(d.root, "b.c")->text, "x\xC3\xA9");
    AT(ins_node_get(d.root, "b")->key_pos, 3, 2);
    done(&d);
}

static void aliases_and_merges(void **state) {
    (void)state;
    doc d = parse("base: &b {x: 1, y: 2}\n"
                  "other: &o\n"
                  "  y: 3\n"
                  "  z: 4\n"
                  "one:\n"
                  "  <<: *b\n"
                  "  x: 9\n"
                  "two:\n"
                  "  <<: [*o, *b]\n"
                  "same: *b\n"
                  "plain: {\"<<\": 5}\n");
    assert_int_equal(d.status, INS_OK);
    assert_string_equal(ins_node_path(d.root, "one.x")->text, "9");
    assert_string_equal(ins_node_path(d.root, "one.y")->text, "2");
    assert_int_equal(ins_node_get(d.root, "one")->n_items, 2);
    assert_string_equal(ins_node_path(d.root, "two.y")->text, "3");
    assert_string_equal(ins_node_path(d.root, "two.x")->text, "1");
    assert_string_equal(ins_node_path(d.root, "two.z")->text, "4");
    const ins_node *same = ins_node_get(d.root, "same");
    assert_ptr_not_equal(same, ins_node_get(d.root, "base")); /* a copy: changing one leaves the other */
    AT(same->key_pos, 10, 1);
    AT(same->pos, 1, 10);
    assert_string_equal(ins_node_path(d.root, "plain")->items[0]->key, "<<");
    done(&d);
}

static void empty_documents(void **state) {
    (void)state;
    const char *const texts[] = {"", "\n", "# only a comment\n", "---\n", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        doc d = parse(texts[i]);
        assert_int_equal(d.status, INS_OK);
        assert_int_equal(d.root->kind, INS_NODE_NULL);
        done(&d);
    }
}

typedef struct refusal {
    const char *text, *says;
    int line, col;
} refusal;

static void refusals(void **state) {
    (void)state;
    static const refusal rows[] = {
        {"a: 1\nb: 2\n a: 3\n", "", 2, 0},
        {"a: 1\nb: 2\na: 3\nb: 4\n", "the key 'a' is given twice; first at line 1, column 1", 3, 1},
        {"m:\n  k: 1\n  \"k\": 2\n", "the key 'k' is given twice; first at line 2, column 3", 3, 3},
        {"a:\n\tb: 1\n", "tab", 2, 1},
        {"a: [1, 2\n", "closing", 2, 1},
        {"a: *b\n", "has no anchor", 1, 4},
        {"a: &x [1, *x]\n", "stands inside", 1, 11},
        {"a: 1\n---\nb: 2\n", "second document", 2, 1},
        {"? [a, b]\n: c\n", "cannot be a key", 1, 3},
        {"a: !foo b\n", "tag '!foo'", 1, 9},
        {"a:\n  <<: 5\n", "takes a map", 2, 3},
        {"a: \"\\0\"\n", "NUL", 1, 4},
        {"a: 1\nb: \xFF\n", "UTF-8", 2, 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        doc d = parse(rows[i].text);
        if (d.status != INS_RECIPE || !strstr(d.err.text, rows[i].says) || d.err.line != rows[i].line ||
            (rows[i].col && d.err.col != rows[i].col))
            fail_msg("row %zu: status %d, %s:%d:%d: %s", i, (int)d.status, d.err.file, d.err.line, d.err.col,
                     d.err.text);
        assert_string_equal(d.err.file, "r.yaml");
        done(&d);
    }
    doc d = parse_n("a: b\0c", 6);
    assert_int_equal(d.status, INS_RECIPE);
    AT(d.err, 1, 5);
    done(&d);
}

static void caps(void **state) {
    (void)state;
    ins_str text = {0};
    for (int i = 0; i < 200; i++) ins_str_putc(&text, '[');
    for (int i = 0; i < 200; i++) ins_str_putc(&text, ']');
    doc d = parse(text.data);
    assert_int_equal(d.status, INS_OK);
    done(&d);
    ins_str_clear(&text);
    for (int i = 0; i < 201; i++) ins_str_putc(&text, '[');
    d = parse(text.data);
    assert_int_equal(d.status, INS_RECIPE);
    assert_non_null(strstr(d.err.text, "200 levels"));
    done(&d);
    /* every level holds ten copies of the one before: ten levels would be ten billion values */
    ins_str_clear(&text);
    ins_str_puts(&text, "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int level = 1; level < 10; level++) {
        ins_str_printf(&text, "l%d: &l%d [", level, level);
        for (int k = 0; k < 10; k++) ins_str_printf(&text, "%s*l%d", k ? ", " : "", level - 1);
        ins_str_puts(&text, "]\n");
    }
    d = parse(text.data);
    assert_int_equal(d.status, INS_RECIPE);
    assert_non_null(strstr(d.err.text, "too large"));
    done(&d);
    ins_str_free(&text);
    size_t n = ((size_t)16 << 20) + 1;
    char *big = malloc(n);
    memset(big, ' ', n);
    d = parse_n(big, n);
    assert_int_equal(d.status, INS_RECIPE);
    assert_non_null(strstr(d.err.text, "16 MiB"));
    done(&d);
    free(big);
}

static void many_keys(void **state) {
    (void)state;
    ins_str text = {0};
    for (int i = 0; i < 20000; i++) ins_str_printf(&text, "key%d: %d\n", (i * 7919) % 20000, i);
    doc d = parse(text.data);
    assert_int_equal(d.status, INS_OK);
    assert_int_equal(d.root->n_items, 20000);
    assert_string_equal(d.root->items[1]->key, "key7919"); /* document order */
    done(&d);
    ins_str_puts(&text, "key5: again\n");
    d = parse(text.data);
    assert_int_equal(d.status, INS_RECIPE);
    assert_int_equal(d.err.line, 20001);
    done(&d);
    ins_str_free(&text);
}

static void files(void **state) {
    (void)state;
    ins_arena *arena = ins_arena_new(0);
    ins_node *root = NULL;
    ins_error err = {0};
    assert_int_equal(ins_yaml_read_file("/nonexistent/r.yaml", arena, &root, &err), INS_IO);
    assert_null(root);
    ins_arena_free(arena);
}

static void allocation_failures(void **state) {
    (void)state;
    static const char text[] = "a: &x {k: [1, 2]}\nb:\n  <<: *x\n  c: *x\nd: 'text'\n";
    uint64_t live = ins_mem_get_stats().live;
    bool passed = false;
    for (uint64_t k = 1; k < 1000 && !passed; k++) {
        ins_arena *arena = ins_arena_new(256); /* small blocks: many allocations */
        ins_node *root = NULL;
        ins_error err = {0};
        ins_mem_fail_at(k);
        ins_status status = ins_yaml_read_text(text, sizeof text - 1, "r.yaml", arena, &root, &err);
        ins_mem_fail_at(0);
        passed = status == INS_OK;
        if (!passed) {
            assert_int_equal(status, INS_NOMEM);
            assert_null(root);
        }
        ins_arena_free(arena);
        assert_int_equal(ins_mem_get_stats().live, live);
    }
    assert_true(passed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_places), cmocka_unit_test(json_is_yaml), cmocka_unit_test(aliases_and_merges),
        cmocka_unit_test(empty_documents),   cmocka_unit_test(refusals),     cmocka_unit_test(caps),
        cmocka_unit_test(many_keys),         cmocka_unit_test(files),        cmocka_unit_test(allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
