/* Small stage kinds and a probe for tests of the recipe engine: `make` (corpus), `split` (tokens), `fit` (model). A
 * test that includes this has the family list of its program. */
#ifndef TESTS_RECIPE_TOY_STAGES_H
#define TESTS_RECIPE_TOY_STAGES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "recipe/recipe.h"

/* How often each kind ran in this process, and what the next `fit` should do. */
static struct {
    int makes, splits, fits;
    int stop_at;  /* fit: return INTERRUPTED after this step; 0 = never */
    bool garbage; /* fit: fail with INS_DATA when an input's data.txt does not start with "text" */
} toy;

typedef struct toy_make {
    const char *text, *file;
    int64_t copies, threads;
} toy_make;
static const ins_opt_row toy_make_rows[] = {
    {.name = "text",
     .type = INS_OPT_STRING,
     .offset = offsetof(toy_make, text),
     .def = "text",
     .help = "What to write."},
    {.name = "file", .type = INS_OPT_PATH, .offset = offsetof(toy_make, file), .help = "An outside file."},
    {.name = "copies",
     .type = INS_OPT_INT,
     .offset = offsetof(toy_make, copies),
     .def = "1",
     .min = 1,
     .max = 1000,
     .help = "How often."},
    {.name = "threads",
     .type = INS_OPT_INT,
     .offset = offsetof(toy_make, threads),
     .def = "1",
     .min = 1,
     .max = 64,
     .flags = INS_OPT_NO_HASH,
     .help = "Changes nothing."},
    {0},
};
static const ins_opt_table toy_make_table = {"stage make", toy_make_rows, sizeof(toy_make)};

static ins_status toy_write(const char *dir, const char *name, const char *text, ins_error *err) {
    char path[4096];
    INS_TRY(ins_path_join(dir, name, path, sizeof path, err));
    return ins_file_write_atomic(path, text, strlen(text), err);
}

static ins_status toy_make_run(const ins_stage_context *c, ins_error *err) {
    const toy_make *o = c->options;
    ins_str text = {0};
    toy.makes++;
    for (int64_t i = 0; i < o->copies; i++) ins_str_puts(&text, o->text);
    INS_TRY(toy_write(c->dir, "data.txt", text.data, err));
    INS_TRY(c->metrics->value(c->metrics->arg, 0, 0, "data/bytes", (double)text.len, err));
    ins_str_free(&text);
    c->result->steps = o->copies;
    return INS_OK;
}

static ins_status toy_make_files(const void *options, const ins_log *log, ins_str *out, ins_error *err) {
    const toy_make *o = options;
    (void)log;
    return o->file ? ins_file_read(o->file, 1 << 20, out, err) : INS_OK;
}

static const ins_stage toy_stage_make = {
    .head = {.family = "stage", .name = "make", .summary = "Writes a file.", .version = 1, .options = &toy_make_table},
    .output = "corpus",
    .fingerprint = toy_make_files,
    .run = toy_make_run,
};

typedef struct toy_split {
    ins_opt_strings corpora;
    const char *from;
} toy_split;
static const ins_opt_row toy_split_rows[] = {
    {.name = "corpora",
     .type = INS_OPT_STRINGS,
     .offset = offsetof(toy_split, corpora),
     .unit = "corpus",
     .flags = INS_OPT_INPUT | INS_OPT_REQUIRED,
     .help = "Corpora."},
    {.name = "from",
     .type = INS_OPT_STRING,
     .offset = offsetof(toy_split, from),
     .unit = "tokens",
     .flags = INS_OPT_INPUT,
     .help = "Reuse."},
    {0},
};
static const ins_opt_table toy_split_table = {"stage split", toy_split_rows, sizeof(toy_split)};

static ins_status toy_split_run(const ins_stage_context *c, ins_error *err) {
    ins_str all = {0};
    toy.splits++;
    for (int64_t i = 0; i < c->n_inputs; i++) {
        char path[4096];
        INS_TRY(ins_path_join(c->inputs[i].dir, "data.txt", path, sizeof path, err));
        ins_str_printf(&all, "%s:", c->inputs[i].ref);
        INS_TRY(ins_file_read(path, 1 << 20, &all, err));
        ins_str_putc(&all, '\n');
    }
    INS_TRY(toy_write(c->dir, "data.txt", all.data, err));
    ins_str_free(&all);
    return INS_OK;
}
static const ins_stage toy_stage_split = {
    .head = {.family = "stage", .name = "split", .summary = "Joins files.", .version = 1, .options = &toy_split_table},
    .output = "tokens",
    .run = toy_split_run,
};

typedef struct toy_data {
    const char *tokens;
    double weight;
} toy_data;
static const ins_opt_row toy_data_rows[] = {
    {.name = "tokens",
     .type = INS_OPT_STRING,
     .offset = offsetof(toy_data, tokens),
     .unit = "tokens",
     .flags = INS_OPT_INPUT | INS_OPT_REQUIRED,
     .help = "Tokens."},
    {.name = "weight",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(toy_data, weight),
     .def = "1",
     .min = 0,
     .max = 1e6,
     .help = "Weight."},
    {0},
};
static const ins_opt_table toy_data_table = {"data of stage fit", toy_data_rows, sizeof(toy_data)};

typedef struct toy_fit {
    ins_opt_tables data;
    const char *init;
    int64_t steps;
    double lr;
    ins_opt_components probes;
} toy_fit;
static const ins_opt_row toy_fit_rows[] = {
    {.name = "data",
     .type = INS_OPT_TABLES,
     .offset = offsetof(toy_fit, data),
     .sub = &toy_data_table,
     .help = "Data."},
    {.name = "init",
     .type = INS_OPT_STRING,
     .offset = offsetof(toy_fit, init),
     .unit = "model",
     .flags = INS_OPT_INPUT,
     .help = "Start."},
    {.name = "steps",
     .type = INS_OPT_INT,
     .offset = offsetof(toy_fit, steps),
     .def = "3",
     .min = 0,
     .max = 1e6,
     .help = "Steps."},
    {.name = "lr",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(toy_fit, lr),
     .def = "0.1",
     .min = 0,
     .max = 10,
     .help = "Rate."},
    {.name = "probes",
     .type = INS_OPT_COMPONENTS,
     .offset = offsetof(toy_fit, probes),
     .choices = "probe",
     .help = "Probes."},
    {0},
};
static const ins_opt_table toy_fit_table = {"stage fit", toy_fit_rows, sizeof(toy_fit)};

/* State = one number in state.txt, saved after every step; "gauge/near" falls with the steps. */
static ins_status toy_fit_run(const ins_stage_context *c, ins_error *err) {
    const toy_fit *o = c->options;
    char path[4096], text[64];
    ins_str state = {0};
    int64_t step = 0;
    toy.fits++;
    for (int64_t i = 0; i < c->n_inputs && toy.garbage; i++) {
        ins_str data = {0};
        INS_TRY(ins_path_join(c->inputs[i].dir, "data.txt", path, sizeof path, err));
        INS_TRY(ins_file_read(path, 1 << 20, &data, err));
        bool good = data.len > 5 && memcmp(data.data, "near:", 5) == 0;
        ins_str_free(&data);
        if (!good) return INS_FAIL(err, INS_DATA, "garbage in '%s'", path);
    }
    INS_TRY(ins_path_join(c->dir, "state.txt", path, sizeof path, err));
    if (ins_file_exists(path)) {
        INS_TRY(ins_file_read(path, 1 << 10, &state, err));
        step = strtoll(state.data, NULL, 10);
        ins_str_free(&state);
    }
    if (step == o->steps && step > 0) return INS_OK; /* it had been finished */
    INS_TRY(c->metrics->truncate(c->metrics->arg, step, err));
    if (step == 0) INS_TRY(c->metrics->value(c->metrics->arg, 0, 0, "gauge/near", 10.0 + (double)c->seed, err));
    while (step < o->steps) {
        step++;
        INS_TRY(c->metrics->value(c->metrics->arg, step, step * 10, "gauge/near",
                                  10.0 / (double)(step + 1) + (double)c->seed / 100, err));
        INS_TRY(c->metrics->value(c->metrics->arg, step, step * 10, "gauge/near.se", 0.01, err));
        INS_TRY(c->metrics->value(c->metrics->arg, step, step * 10, "perf/rate", ins_now(), err));
        INS_TRY(c->metrics->text(c->metrics->arg, step, step * 10, "sample/0", "a\"b\n\xc3\xa9", err));
        INS_TRY(c->metrics->flush(c->metrics->arg, err));
        snprintf(text, sizeof text, "%lld", (long long)step);
        INS_TRY(ins_file_write_atomic(path, text, strlen(text), err));
        if (toy.stop_at == step || *c->stop)
            return INS_FAIL(err, INS_INTERRUPTED, "stopped at step %lld", (long long)step);
    }
    *c->result = (ins_stage_result){.steps = step, .tokens = step * 10, .flop = 1e6};
    return INS_OK;
}
static ins_status toy_fit_plan(const ins_stage_context *c, ins_stage_plan *out, ins_error *err) {
    const toy_fit *o = c->options;
    (void)err;
    *out = (ins_stage_plan){
        .params = 12, .peak_bytes = 1e6, .disk_bytes = 10, .flop = (double)o->steps, .seconds = 1, .steps = o->steps};
    return INS_OK;
}
static const ins_stage toy_stage_fit = {
    .head = {.family = "stage",
             .name = "fit",
             .aliases = "train",
             .summary = "Counts.",
             .version = 1,
             .options = &toy_fit_table},
    .output = "model",
    .plan = toy_fit_plan,
    .run = toy_fit_run,
};

typedef struct toy_gauge {
    const char *name, *tokens;
} toy_gauge;
static const ins_opt_row toy_gauge_rows[] = {
    {.name = "name", .type = INS_OPT_STRING, .offset = offsetof(toy_gauge, name), .help = "Name."},
    {.name = "tokens",
     .type = INS_OPT_STRING,
     .offset = offsetof(toy_gauge, tokens),
     .unit = "tokens",
     .flags = INS_OPT_INPUT,
     .help = "Tokens."},
    {0},
};
static const ins_opt_table toy_gauge_table = {"probe gauge", toy_gauge_rows, sizeof(toy_gauge)};
static const ins_probe toy_probe_gauge = {
    .head = {.family = "probe", .name = "gauge", .summary = "Measures.", .version = 1, .options = &toy_gauge_table},
    .needs = INS_PROBE_NEEDS_MODEL,
    .better = "lower",
};

static const ins_component *const toy_stage_items[] = {&toy_stage_make.head, &toy_stage_split.head,
                                                       &toy_stage_fit.head};
static const ins_component *const toy_probe_items[] = {&toy_probe_gauge.head};
static const ins_family toy_stages = {"stage", "Stages for tests.", toy_stage_items, 3};
static const ins_family toy_probes = {"probe", "Probes for tests.", toy_probe_items, 1};
const ins_family *const ins_families[] = {&toy_stages, &toy_probes, NULL};

static const char toy_recipe[] = "recipe: toy\n"
                                 "stages:\n"
                                 "  near: {kind: make}\n"
                                 "  far: {kind: make, text: other}\n"
                                 "  tokens: {kind: split, corpora: [near, far]}\n"
                                 "  base:\n"
                                 "    kind: fit\n"
                                 "    data: [{tokens: tokens}]\n"
                                 "  more:\n"
                                 "    kind: fit\n"
                                 "    init: base\n"
                                 "    matrix:\n"
                                 "      arm:\n"
                                 "        without: {steps: 4}\n"
                                 "        with: {steps: 5}\n"
                                 "      seed: [1, 2, 3]\n"
                                 "  chat: {kind: fit, init: more}\n"
                                 "probes:\n"
                                 "  - {kind: gauge, name: near, tokens: tokens}\n";

static inline ins_recipe *toy_load_with(const char *text, const char *const *sets, int64_t n_sets, ins_diag *diag) {
    ins_recipe_source source = {.path = "toy.yaml", .text = text, .sets = sets, .n_sets = n_sets};
    ins_recipe *recipe = NULL;
    ins_status status = ins_recipe_load(&source, &recipe, diag);
    if (status != INS_OK) assert_true(diag->n > 0);
    return status == INS_OK ? recipe : NULL;
}

/* A recipe that must load. */
static inline ins_recipe *toy_load(const char *text) {
    ins_diag diag = {0};
    ins_recipe *recipe = toy_load_with(text, NULL, 0, &diag);
    for (int64_t i = 0; i < diag.n; i++) {
        char line[2048];
        ins_error_format(&diag.items[i], line, sizeof line);
        print_error("%s\n", line);
    }
    assert_non_null(recipe);
    ins_diag_free(&diag);
    return recipe;
}

/* Some problem of the recipe formats as a text with all of the parts. */
static inline void toy_expect_problem(const char *text, const char *part, const char *place) {
    ins_diag diag = {0};
    ins_recipe *recipe = toy_load_with(text, NULL, 0, &diag);
    bool found = false;
    assert_null(recipe);
    for (int64_t i = 0; i < diag.n; i++) {
        char line[2048];
        ins_error_format(&diag.items[i], line, sizeof line);
        if (strstr(line, part) && (!place || strstr(line, place))) found = true;
    }
    for (int64_t i = 0; i < diag.n && !found; i++) {
        char line[2048];
        ins_error_format(&diag.items[i], line, sizeof line);
        print_error("%s\n", line);
    }
    assert_true(found);
    ins_diag_free(&diag);
}

/* A fresh folder; removed by the caller with ins_dir_remove. */
static inline void toy_folder(char path[64]) {
    snprintf(path, 64, "/tmp/instar-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

#endif
