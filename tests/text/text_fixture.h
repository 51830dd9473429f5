/* Shared by the tests of this room: text sources, training from options, temporary files. */
#ifndef INS_TESTS_TEXT_FIXTURE_H
#define INS_TESTS_TEXT_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rng.h"
#include "format/yaml.h"
#include "text/tokenizer.h"

typedef struct memory_source {
    const char *const *texts;
    const size_t *sizes; /* NULL: NUL-terminated */
    int64_t n, at;
} memory_source;

static inline bool memory_next(void *arg, const char **text, size_t *n) {
    memory_source *source = arg;
    if (source->at >= source->n) return false;
    *text = source->texts[source->at];
    *n = source->sizes ? source->sizes[source->at] : strlen(*text);
    source->at++;
    return true;
}

/* Train a tokenizer of `kind` with options as YAML. */
static inline ins_status train_texts(const char *kind, const char *options, const char *const *texts,
                                     const size_t *sizes, int64_t n, ins_pool *pool, ins_tokenizer **out,
                                     ins_error *err) {
    const ins_component *head = ins_component_find(&ins_family_tokenizer, kind);
    if (!head) abort();
    ins_arena *arena = ins_arena_new(0);
    ins_node *node = NULL;
    ins_diag diag = {0};
    if (!arena || ins_yaml_read_text(options, strlen(options), "options", arena, &node, err) != INS_OK) abort();
    void *values = ins_arena_alloc(arena, head->options->size);
    ins_status status = INS_RECIPE;
    if (ins_opt_parse(head->options, node, values, arena, NULL, &diag)) {
        head->check(values, node->pos, &diag);
        if (diag.n == 0) {
            memory_source memory = {texts, sizes, n, 0};
            ins_text_source source = {memory_next, &memory, 0};
            status = ((const ins_tokenizer_desc *)head)->train(values, &source, pool, NULL, out, err);
        }
    }
    if (diag.n > 0 && err) *err = diag.items[0];
    ins_diag_free(&diag);
    ins_arena_free(arena);
    return status;
}

static inline ins_tokenizer *train_one(const char *kind, const char *options, const char *text) {
    ins_tokenizer *tok = NULL;
    ins_error err = {0};
    if (train_texts(kind, options, &text, NULL, 1, NULL, &tok, &err) != INS_OK) {
        fprintf(stderr, "training failed: %s\n", err.text);
        abort();
    }
    return tok;
}

static inline ins_str read_fixture(const char *name) {
    char path[4096];
    ins_str text = {0};
    snprintf(path, sizeof path, "%s/tokenizer/%s", INS_FIXTURES, name);
    if (ins_file_read(path, (uint64_t)64 << 20, &text, NULL) != INS_OK) abort();
    return text;
}

static inline ins_tokenizer *load_fixture(const char *name) {
    char path[4096];
    ins_tokenizer *tok = NULL;
    ins_error err = {0};
    snprintf(path, sizeof path, "%s/tokenizer/%s", INS_FIXTURES, name);
    if (ins_tokenizer_load(path, &tok, &err) != INS_OK) {
        fprintf(stderr, "loading %s failed: %s\n", path, err.text);
        abort();
    }
    return tok;
}

static inline ins_ids encode(const ins_tokenizer *tok, ins_token_cache *cache, const char *text, size_t n,
                             bool special) {
    ins_ids ids = {0};
    if (ins_tokenizer_encode(tok, cache, text, n, special, &ids, NULL) != INS_OK) abort();
    return ids;
}

static inline bool same_ids(const ins_ids *x, const ins_ids *y) {
    return x->n == y->n && (x->n == 0 || memcmp(x->data, y->data, (size_t)x->n * sizeof *x->data) == 0);
}

typedef struct text_temp {
    char dir[64], path[128];
} text_temp;

static inline text_temp text_temp_make(const char *name) {
    text_temp temp = {.dir = "/tmp/ins-text-XXXXXX"};
    if (!mkdtemp(temp.dir)) abort();
    snprintf(temp.path, sizeof temp.path, "%s/%s", temp.dir, name);
    return temp;
}

#endif
