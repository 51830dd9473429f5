/* Steps, one by one. */
#include "data/reader_check.h"

typedef struct open_step {
    loaded_component loaded;
    const ins_step_desc *desc;
    void *state;
    ins_document doc;
} open_step;

static open_step make_step(const char *yaml) {
    open_step s = {0};
    load_component(&step_table, yaml, &s.loaded, NULL);
    s.desc = (const ins_step_desc *)(const void *)s.loaded.component.desc;
    assert_int_equal(s.desc->open(s.loaded.component.options, &s.state, NULL), INS_OK);
    s.doc.arena = ins_arena_new(0);
    return s;
}

static void free_step(open_step *s) {
    s->desc->close(s->state);
    ins_arena_free(s->doc.arena);
    ins_arena_free(s->loaded.arena);
}

static void set(open_step *s, const char *name, const char *value) {
    assert_int_equal(ins_document_puts(&s->doc, name, value, NULL), INS_OK);
}

/* NULL when the document is kept, else the reason. */
static const char *apply(open_step *s) {
    ins_step_verdict verdict = INS_STEP_KEEP;
    const char *reason = NULL;
    ins_error err = {0};
    need_ok(s->desc->apply(s->state, &s->doc, &verdict, &reason, &err), &err);
    if (verdict == INS_STEP_KEEP) return NULL;
    assert_non_null(reason);
    return reason;
}

/* What becomes of the text; the reason in brackets when it is dropped. */
static const char *after(open_step *s, const char *text) {
    ins_document_clear(&s->doc);
    set(s, "text", text);
    const char *reason = apply(s);
    return reason ? reason : field_of_doc(&s->doc, "text");
}

static void normalise(void **state) {
    (void)state;
    open_step s = make_step("it: normalise");
    assert_string_equal(after(&s, "e\xcc\x81 x"), "\xc3\xa9 x"); /* NFC */
    assert_string_equal(after(&s, "a\r\nb\rc\x01\x7f\xc2\xad\xef\xbb\xbf"), "a\nb\nc");
    assert_string_equal(after(&s, "\n\n  a  \t\n\n\n\nb\xc2\xa0\n"), "  a\n\nb");
    assert_string_equal(after(&s, "bad \xff byte"), "normalise: invalid UTF-8");
    assert_string_equal(after(&s, "cut \xe2\x82"), "normalise: invalid UTF-8");
    assert_string_equal(after(&s, ""), "");
    free_step(&s);
    s = make_step("it: {kind: normalise, spaces: collapse, invalid: replace, form: nfkc}");
    assert_string_equal(after(&s, "  a  \t b\n   c"), "a b\nc");
    assert_string_equal(after(&s, "bad \xff byte"), "bad \xef\xbf\xbd byte");
    assert_string_equal(after(&s, "\xef\xac\x81ne"), "fine"); /* ligature */
    free_step(&s);
    s = make_step("it: {kind: normalise, spaces: keep, controls: false, form: none, fields: title}");
    assert_string_equal(after(&s, "a  \r\n"), "a  \r\n");
    free_step(&s);
}

static void length(void **state) {
    (void)state;
    open_step s = make_step("it: {kind: length, min_bytes: 3, max_bytes: 10, max_words: 2}");
    assert_string_equal(after(&s, "ab"), "length: too short");
    assert_string_equal(after(&s, "abc"), "abc");
    assert_string_equal(after(&s, "abcdefghijk"), "length: too long");
    assert_string_equal(after(&s, "a b c d"), "length: too long");
    ins_document_clear(&s.doc);
    assert_string_equal(apply(&s), "length: no such field");
    free_step(&s);
    loaded_component loaded;
    ins_diag diag = {0};
    assert_false(load_component(&step_table, "it: {kind: length, min_bytes: 9, max_bytes: 8}", &loaded, &diag));
    assert_int_equal(diag.n, 1);
    ins_arena_free(loaded.arena);
    ins_diag_free(&diag);
}

static void dedup(void **state) {
    (void)state;
    open_step s = make_step("it: dedup");
    assert_string_equal(after(&s, "Hello  world"), "Hello  world");
    assert_string_equal(after(&s, " hello\nWORLD "), "dedup: seen before");
    assert_string_equal(after(&s, "hello world!"), "hello world!");
    char text[32];
    for (int i = 0; i < 20000; i++) { /* the table grows */
        snprintf(text, sizeof text, "document %d", i);
        if (strcmp(after(&s, text), text) != 0) fail_msg("'%s' was taken for another one", text);
    }
    for (int i = 0; i < 20000; i += 97) {
        snprintf(text, sizeof text, "DOCUMENT %d", i);
        assert_string_equal(after(&s, text), "dedup: seen before");
    }
    free_step(&s);
    s = make_step("it: {kind: dedup, exact: true}");
    assert_string_equal(after(&s, "A"), "A");
    assert_string_equal(after(&s, "a"), "a");
    assert_string_equal(after(&s, "A"), "dedup: seen before");
    free_step(&s);
}

static void filter(void **state) {
    (void)state;
    open_step s = make_step("it: {kind: filter, field: text, keep: ['lib*', python], drop: '*-dbg'}");
    assert_string_equal(after(&s, "libs"), "libs");
    assert_string_equal(after(&s, "python"), "python");
    assert_string_equal(after(&s, "perl"), "filter: not in keep");
    assert_string_equal(after(&s, "libfoo-dbg"), "filter: in drop");
    ins_document_clear(&s.doc);
    assert_null(apply(&s));
    free_step(&s);
    s = make_step("it: {kind: filter, field: section, missing: drop}");
    assert_string_equal(after(&s, "x"), "filter: no such field");
    free_step(&s);
    loaded_component loaded;
    ins_diag diag = {0};
    assert_false(load_component(&step_table, "it: {kind: filter, keep: x}", &loaded, &diag));
    ins_arena_free(loaded.arena);
    ins_diag_free(&diag);
}

static void sample(void **state) {
    (void)state;
    open_step s = make_step("it: {kind: sample, share: 0.25}"), other = make_step("it: {kind: sample, share: 0.5}");
    int kept = 0, nested = 0;
    for (int i = 0; i < 4000; i++) {
        char group[32];
        snprintf(group, sizeof group, "g%d", i);
        bool drawn[2];
        for (int k = 0; k < 2; k++) {
            open_step *one = k ? &other : &s;
            ins_document_clear(&one->doc);
            set(one, "group", group);
            set(one, "text", k ? "a" : "b"); /* the text does not matter */
            drawn[k] = apply(one) == NULL;
        }
        kept += drawn[0];
        nested += drawn[0] && !drawn[1];
    }
    assert_in_range(kept, 900, 1100);
    assert_int_equal(nested, 0); /* a smaller sample is part of a larger one */
    free_step(&s);
    free_step(&other);
}

static void select_fields(void **state) {
    (void)state;
    open_step s =
        make_step("it: {kind: select, set: {text: \"{title}: {{x}} {text}\", note: '{none}'}, rename: {head: title}, "
                  "drop: [section]}");
    set(&s, "title", "T");
    set(&s, "text", "body");
    set(&s, "section", "x");
    assert_null(apply(&s));
    assert_string_equal(field_of_doc(&s.doc, "text"), "T: {x} body");
    assert_string_equal(field_of_doc(&s.doc, "head"), "T");
    assert_string_equal(field_of_doc(&s.doc, "title"), "(none)");
    assert_string_equal(field_of_doc(&s.doc, "section"), "(none)");
    assert_string_equal(field_of_doc(&s.doc, "note"), "(none)"); /* nothing it names is there */
    free_step(&s);
    s = make_step("it: {kind: select, keep: text}");
    set(&s, "id", "1");
    set(&s, "text", "body");
    set(&s, "x", "y");
    assert_null(apply(&s));
    assert_int_equal(s.doc.n_fields, 2);
    free_step(&s);
    loaded_component loaded;
    ins_diag diag = {0};
    assert_false(load_component(&step_table, "it: {kind: select, set: [text], rename: {a: [b]}}", &loaded, &diag));
    assert_int_equal(diag.n, 2);
    ins_arena_free(loaded.arena);
    ins_diag_free(&diag);
}

static void strip_markup(void **state) {
    (void)state;
    open_step s = make_step("it: strip-markup");
    assert_string_equal(after(&s, "<p>a <b>bold</b> word</p>"), "a bold word");
    free_step(&s);
}

static void documents(void **state) {
    (void)state;
    ins_document doc = {.arena = ins_arena_new(0)};
    char name[16];
    for (int i = 0; i < INS_DOC_FIELDS; i++) {
        snprintf(name, sizeof name, "f%d", i);
        assert_int_equal(ins_document_puts(&doc, name, name, NULL), INS_OK);
    }
    assert_int_equal(ins_document_puts(&doc, "more", "x", NULL), INS_DATA);
    assert_int_equal(ins_document_puts(&doc, "f3", "new", NULL), INS_OK);
    assert_string_equal(field_of_doc(&doc, "f3"), "new");
    ins_document_remove(&doc, "f3");
    ins_document_remove(&doc, "f3");
    assert_int_equal(doc.n_fields, INS_DOC_FIELDS - 1);
    assert_string_equal(field_of_doc(&doc, "f31"), "f31");
    ins_document_clear(&doc);
    assert_null(ins_document_group(&doc, NULL));
    ins_document_puts(&doc, "text", "t", NULL);
    assert_string_equal(ins_document_group(&doc, NULL)->data, "t");
    ins_document_puts(&doc, "id", "i", NULL);
    assert_string_equal(ins_document_group(&doc, NULL)->data, "i");
    ins_document_puts(&doc, "group", "g", NULL);
    assert_string_equal(ins_document_group(&doc, NULL)->data, "g");
    assert_string_equal(ins_document_group(&doc, "text")->data, "t");
    ins_arena_free(doc.arena);
}

/* Every reader and step: name, summary, options with help; each default is a legal value. */
static void descriptors(void **state) {
    (void)state;
    for (int f = 0; ins_families[f]; f++) {
        for (int64_t i = 0; i < ins_families[f]->n; i++) {
            const ins_component *c = ins_families[f]->items[i];
            assert_string_equal(c->family, ins_families[f]->name);
            assert_true(c->summary && c->summary[0] && c->version >= 1 && c->options);
            assert_ptr_equal(ins_component_find(ins_families[f], c->name), c);
            for (const ins_opt_row *row = c->options->rows; row->name; row++) {
                if (!row->help || !row->help[0]) fail_msg("%s.%s has no help", c->name, row->name);
            }
            ins_diag diag = {0};
            loaded_component loaded;
            char yaml[128];
            snprintf(yaml, sizeof yaml, "it: {kind: %s, no-such-option: 1}", c->name);
            assert_false(load_component(f ? &step_table : &reader_table, yaml, &loaded, &diag));
            assert_non_null(strstr(diag.items[0].text, "no-such-option"));
            ins_arena_free(loaded.arena);
            ins_diag_free(&diag);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalise),    cmocka_unit_test(length),    cmocka_unit_test(dedup),
        cmocka_unit_test(filter),       cmocka_unit_test(sample),    cmocka_unit_test(select_fields),
        cmocka_unit_test(strip_markup), cmocka_unit_test(documents), cmocka_unit_test(descriptors),
    };
    return cmocka_run_group_tests(tests, temp_setup, temp_teardown);
}
