/* Run a reader (or a step) from its options as YAML text. */
#ifndef INS_TESTS_READER_CHECK_H
#define INS_TESTS_READER_CHECK_H

#include "data/document.h"
#include "data/data_check.h"
#include "format/yaml.h"

/* This room's families only: option rows look components up here. */
const ins_family *const ins_families[] = {&ins_family_reader, &ins_family_step, NULL};

typedef struct loaded_component {
    ins_arena *arena;
    ins_opt_component component;
} loaded_component;

static const ins_opt_row reader_rows[] = {
    {.name = "it", .type = INS_OPT_COMPONENT, .choices = "reader", .help = "A reader."}, {.name = NULL}};
static const ins_opt_row step_rows[] = {{.name = "it", .type = INS_OPT_COMPONENT, .choices = "step", .help = "A step."},
                                        {.name = NULL}};
static const ins_opt_table reader_table = {"test", reader_rows, sizeof(ins_opt_component)};
static const ins_opt_table step_table = {"test", step_rows, sizeof(ins_opt_component)};

/* "it: {kind: text, path: a.txt}". Problems go to diag when given, else they fail the test. */
static inline bool load_component(const ins_opt_table *table, const char *yaml, loaded_component *out, ins_diag *diag) {
    ins_error err = {0};
    ins_node *root = NULL;
    ins_diag own = {0};
    out->arena = ins_arena_new(0);
    need_ok(ins_yaml_read_text(yaml, strlen(yaml), "test.yaml", out->arena, &root, &err), &err);
    bool ok = ins_opt_parse(table, root, &out->component, out->arena, NULL, diag ? diag : &own);
    if (!ok && !diag) fail_msg("%s: %s", yaml, own.items[0].text);
    ins_diag_free(&own);
    return ok;
}

typedef struct doc_list {
    ins_document items[64];
    int n;
} doc_list;

static inline void free_docs(doc_list *docs) {
    for (int i = 0; i < docs->n; i++) ins_arena_free(docs->items[i].arena);
    docs->n = 0;
}

/* All documents of a reader, or the status of its failure. Documents outlive the reader. */
static inline ins_status read_docs(const char *yaml, doc_list *docs, ins_error *err) {
    loaded_component loaded;
    load_component(&reader_table, yaml, &loaded, NULL);
    const ins_reader_desc *reader = (const ins_reader_desc *)(const void *)loaded.component.desc;
    void *state = NULL;
    docs->n = 0;
    ins_status status = reader->open(loaded.component.options, NULL, &state, err);
    ins_document doc = {.arena = ins_arena_new(0)};
    for (bool end = false; status == INS_OK;) {
        ins_document_clear(&doc);
        status = reader->next(state, &doc, &end, err);
        if (status != INS_OK || end) break;
        assert_true(docs->n < 64);
        ins_document *copy = docs->items + docs->n++;
        *copy = (ins_document){.arena = ins_arena_new(0)};
        for (int i = 0; i < doc.n_fields; i++) {
            const ins_field *f = doc.fields + i;
            assert_int_equal(f->data[f->n], 0);
            assert_int_equal(ins_document_set(copy, f->name, f->data, f->n, NULL), INS_OK);
        }
        copy->source.line = doc.source.line;
    }
    if (status == INS_OK && reader->position) reader->position(state);
    reader->close(state);
    ins_arena_free(doc.arena);
    ins_arena_free(loaded.arena);
    return status;
}

static inline void must_read(const char *yaml, doc_list *docs) {
    ins_error err = {0};
    need_ok(read_docs(yaml, docs, &err), &err);
}

static inline const char *field_of_doc(const ins_document *doc, const char *name) {
    const ins_field *f = ins_document_get(doc, name);
    return f ? f->data : "(none)";
}

#define assert_field(docs, i, name, value) assert_string_equal(field_of_doc((docs).items + (i), (name)), (value))

/* The content digest of a reader's inputs. */
static inline void fingerprint_of(const char *yaml, char *buf, size_t size) {
    loaded_component loaded;
    ins_error err = {0};
    ins_str text = {0};
    uint64_t bytes = 0;
    load_component(&reader_table, yaml, &loaded, NULL);
    const ins_reader_desc *reader = (const ins_reader_desc *)(const void *)loaded.component.desc;
    need_ok(reader->fingerprint(loaded.component.options, &text, &bytes, &err), &err);
    assert_true(bytes > 0);
    snprintf(buf, size, "%s", text.data);
    ins_str_free(&text);
    ins_arena_free(loaded.arena);
}

static inline const char *yaml_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline const char *yaml_of(const char *format, ...) {
    static char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

#endif
