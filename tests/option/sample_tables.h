/* Tables and families that look like real ones, for the tests of this room. */
#ifndef INS_TESTS_OPTION_SAMPLE_TABLES_H
#define INS_TESTS_OPTION_SAMPLE_TABLES_H

#include <stddef.h>

#include "option/component.h"

typedef struct adamw_options {
    double lr, beta2;
    ins_opt_floats betas;
} adamw_options;

static const ins_opt_row adamw_rows[] = {
    {"lr", INS_OPT_FLOAT, offsetof(adamw_options, lr), .def = "3e-4", .min = 0, .max = 1, .flags = INS_OPT_EXCL_MIN,
     .help = "Learning rate at the top of the schedule.", .aliases = "learning_rate"},
    {"betas", INS_OPT_FLOATS, offsetof(adamw_options, betas), .def = "0.9, 0.999", .min = 0, .max = 1,
     .help = "Decay of the two running means."},
    {.name = NULL},
};
static const ins_opt_table adamw_table = {"adamw", adamw_rows, sizeof(adamw_options)};

static void adamw_check(const void *options, ins_pos pos, ins_diag *diag) {
    const adamw_options *o = options;
    if (o->betas.n != 2) ins_diag_add(diag, INS_RECIPE, pos, NULL, "'betas' of adamw must be two numbers");
}

typedef struct file_options {
    const char *path;
} file_options;

static const ins_opt_row file_rows[] = {
    {"path", INS_OPT_PATH, offsetof(file_options, path), .help = "File to read.", .flags = INS_OPT_REQUIRED},
    {.name = NULL},
};
static const ins_opt_table file_table = {"file", file_rows, sizeof(file_options)};

static const ins_component adamw = {"optimizer", "adamw", "adam-w",     "Adam with decoupled decay.",
                                    NULL,        3,       &adamw_table, adamw_check};
static const ins_component sgd = {"optimizer", "sgd", NULL, "Plain gradient descent.", NULL, 1, NULL, NULL};
static const ins_component file = {"optimizer", "file", NULL, "Needs an option.", NULL, 1, &file_table, NULL};
static const ins_component *const optimizers[] = {&adamw, &sgd, &file};
static const ins_family optimizer_family = {"optimizer", "How parameters move.", optimizers, 3};

typedef struct source_options {
    const char *path;
    double weight;
} source_options;

static const ins_opt_row source_rows[] = {
    {"path", INS_OPT_PATH, offsetof(source_options, path), .help = "Where the text is.", .flags = INS_OPT_REQUIRED},
    {"weight", INS_OPT_FLOAT, offsetof(source_options, weight), .def = "1", .min = 0, .max = 1e30,
     .help = "Share in the mixture."},
    {.name = NULL},
};
static const ins_opt_table source_table = {"a source", source_rows, sizeof(source_options)};

typedef struct limit_options {
    int64_t steps;
    double time;
} limit_options;

static const ins_opt_row limit_rows[] = {
    {"steps", INS_OPT_INT, offsetof(limit_options, steps), .help = "Most steps.", .flags = INS_OPT_REQUIRED},
    {"time", INS_OPT_DURATION, offsetof(limit_options, time), .def = "1h", .unit = "s", .help = "Most time."},
    {.name = NULL},
};
static const ins_opt_table limit_table = {"the limit", limit_rows, sizeof(limit_options)};

typedef struct train_options {
    int64_t layers, context, seed, threads;
    double dropout, timeout;
    bool tie;
    const char *name, *out;
    int act;
    ins_opt_strings inputs;
    limit_options limit;
    ins_opt_tables sources;
    ins_opt_component optimizer, second;
    ins_opt_components extras;
    const ins_node *raw;
} train_options;

#define TRAIN_FIELD(field) offsetof(train_options, field)
static const ins_opt_row train_rows[] = {
    {"layers", INS_OPT_INT, TRAIN_FIELD(layers), .help = "Number of blocks.", .min = 1, .max = 1000, .unit = "blocks",
     .flags = INS_OPT_REQUIRED, .aliases = "n_layers depth"},
    {"context", INS_OPT_SIZE, TRAIN_FIELD(context), .def = "1Ki", .min = 1, .max = 1e18, .unit = "tokens",
     .help = "Longest sequence."},
    {"seed", INS_OPT_SEED, TRAIN_FIELD(seed), .def = "1", .help = "Seed of all randomness."},
    {"threads", INS_OPT_INT, TRAIN_FIELD(threads), .def = "0", .flags = INS_OPT_NO_HASH,
     .help = "Threads; 0 = all cores."},
    {"dropout", INS_OPT_FLOAT, TRAIN_FIELD(dropout), .def = "0", .min = 0, .max = 0.9,
     .help = "Share of activations left out.", .neutral = "0"},
    {"timeout", INS_OPT_DURATION, TRAIN_FIELD(timeout), .def = "5min", .help = "Longest pause."},
    {"tie", INS_OPT_BOOL, TRAIN_FIELD(tie), .def = "yes", .help = "Share the embedding with the output."},
    {"name", INS_OPT_STRING, TRAIN_FIELD(name), .def = "", .help = "Name of the run | shown in reports."},
    {"out", INS_OPT_PATH, TRAIN_FIELD(out), .help = "Where the result goes."},
    {"act", INS_OPT_CHOICE, TRAIN_FIELD(act), .choices = "gelu relu silu", .def = "silu",
     .help = "Activation function."},
    {"inputs", INS_OPT_STRINGS, TRAIN_FIELD(inputs), .flags = INS_OPT_INPUT, .help = "Stages that come before.",
     .def = "base"},
    {"limit", INS_OPT_TABLE, TRAIN_FIELD(limit), .sub = &limit_table, .help = "When to stop.", .neutral = ""},
    {"sources", INS_OPT_TABLES, TRAIN_FIELD(sources), .sub = &source_table, .help = "Texts to mix.", .neutral = ""},
    {"optimizer", INS_OPT_COMPONENT, TRAIN_FIELD(optimizer), .choices = "optimizer", .def = "adamw",
     .help = "How to move."},
    {"second", INS_OPT_COMPONENT, TRAIN_FIELD(second), .choices = "optimizer", .help = "A second one, or none.",
     .neutral = ""},
    {"extras", INS_OPT_COMPONENTS, TRAIN_FIELD(extras), .choices = "optimizer", .help = "Any number of them.",
     .neutral = ""},
    {"raw", INS_OPT_NODE, TRAIN_FIELD(raw), .help = "Anything."},
    {.name = NULL},
};
static const ins_opt_table train_table = {"training", train_rows, sizeof(train_options)};

#endif
