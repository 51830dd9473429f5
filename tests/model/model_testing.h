/* What the tests of model, objective and decode share. Include once in a test's main file. */
#ifndef INS_TESTS_MODEL_TESTING_H
#define INS_TESTS_MODEL_TESTING_H

#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "format/safetensors.h"
#include "format/yaml.h"
#include "model/model.h"
#include "objective/train_graph.h"
#include "optim/optim.h"

/* The families that these tests look names up in. */
const ins_family *const ins_families[] = {&ins_family_preset, &ins_family_objective, &ins_family_optimizer,
                                          &ins_family_schedule, NULL};

static inline void fail_error(const ins_error *err) {
    char text[2048];
    ins_error_format(err, text, sizeof text);
    fail_msg("%s", text);
}
#define OK(call)                                                                                                       \
    do {                                                                                                               \
        ins_error ok_err_ = {0}, *err = &ok_err_;                                                                      \
        if ((call) != INS_OK) fail_error(err);                                                                         \
    } while (0)

/* Options from YAML text; fails the test on any problem. */
static inline ins_model_options options_from(const char *yaml, int64_t vocab) {
    ins_arena *arena = ins_arena_new(0);
    ins_node *node = NULL;
    OK(ins_yaml_read_text(yaml, strlen(yaml), "test", arena, &node, err));
    ins_model_options options;
    ins_diag diag = {0};
    if (!ins_model_options_parse(node, vocab, &options, arena, &diag)) fail_msg("%s", diag.items[0].text);
    ins_diag_free(&diag);
    ins_arena_free(arena);
    options.preset.options = NULL;
    options.preset.pos = (ins_pos){0};
    return options;
}

static inline ins_model *model_from(const char *yaml, int64_t vocab) {
    const ins_model_options options = options_from(yaml, vocab);
    ins_model *m = NULL;
    OK(ins_model_new(&options, &m, err));
    return m;
}

/* Parsed component options, e.g. component_of(&ins_family_objective, "sft", "normalise: sequence"). Freed with the
 * arena. */
static inline ins_opt_component component_of(ins_arena *arena, const ins_family *family, const char *name,
                                             const char *yaml) {
    const ins_component *desc = ins_component_find(family, name);
    assert_non_null(desc);
    ins_opt_component c = {.desc = desc};
    if (!desc->options) return c;
    ins_node *node = NULL;
    if (yaml) OK(ins_yaml_read_text(yaml, strlen(yaml), "test", arena, &node, err));
    c.options = ins_arena_alloc(arena, desc->options->size);
    ins_diag diag = {0};
    if (!ins_opt_parse(desc->options, node, c.options, arena, NULL, &diag)) fail_msg("%s", diag.items[0].text);
    ins_diag_free(&diag);
    return c;
}

/* One row of a batch: a document of n ids from column `at` on, of segment `segment`. Every token but the last has a
 * target. */
static inline void put_document(ins_batch *batch, int64_t row, int64_t at, int segment, const int32_t *ids, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        int64_t to = row * batch->n_cols + at + i;
        batch->ids[to] = ids[i];
        batch->targets[to] = i + 1 < n ? ids[i + 1] : -1;
        batch->weights[to] = i + 1 < n ? 1.0f : 0.0f;
        batch->positions[to] = (int32_t)i;
        batch->segments[to] = segment;
        batch->n_tokens++;
        batch->n_targets += i + 1 < n;
    }
}

static inline ins_batch *empty_batch(int64_t n_rows, int64_t n_cols) {
    ins_batch *batch = NULL;
    OK(ins_batch_new(n_rows, n_cols, &batch, err));
    int64_t n = n_rows * n_cols;
    for (int64_t i = 0; i < n; i++) {
        batch->ids[i] = batch->positions[i] = batch->segments[i] = 0;
        batch->targets[i] = -1;
        batch->weights[i] = 0;
    }
    batch->n_targets = batch->n_tokens = 0;
    return batch;
}

static inline void prepare_batch(const ins_opt_component *objective, ins_batch *batch) {
    const ins_objective *o = (const ins_objective *)objective->desc;
    OK(o->prepare(objective->options, batch, (ins_rng_key){{0, 0}}, err));
}

/* Temporary folder of the test; removed by remove_folder. */
static inline void make_folder(char path[64]) {
    snprintf(path, 64, "/tmp/ins-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}
static inline void remove_folder(const char *path) {
    OK(ins_dir_remove(path, err));
}

#endif
