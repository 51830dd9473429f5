/* Rows of the train stage's options. */
#include "stage/train_options.h"

#include <string.h>

#include "stage/train_run.h"

#define ROW(field) offsetof(ins_train_data, field)
static const ins_opt_row data_rows[] = {
    {.name = "tokens",
     .type = INS_OPT_STRING,
     .offset = ROW(tokens),
     .unit = "tokens",
     .flags = INS_OPT_REQUIRED | INS_OPT_INPUT,
     .help = "Tokenize stage that made the shards."},
    {.name = "corpus",
     .type = INS_OPT_STRING,
     .offset = ROW(corpus),
     .flags = INS_OPT_REQUIRED,
     .help = "Which of its corpora, as named there."},
    {.name = "split", .type = INS_OPT_STRING, .offset = ROW(split), .def = "train", .help = "train, valid or test."},
    {.name = "weight",
     .type = INS_OPT_FLOAT,
     .offset = ROW(weight),
     .def = "1",
     .min = 0,
     .max = 1e9,
     .flags = INS_OPT_EXCL_MIN,
     .help = "Share of the samples drawn from here, relative to the other entries: 0.8 and 0.2 replay a fifth."},
    {0},
};
#undef ROW
static const ins_opt_table data_table = {"entry of data", data_rows, sizeof(ins_train_data)};

#define ROW(field) offsetof(ins_train_options, field)
static const ins_opt_row rows[] = {
    {.name = "data",
     .type = INS_OPT_TABLES,
     .offset = ROW(data),
     .sub = &data_table,
     .flags = INS_OPT_REQUIRED,
     .help = "What to train on: a list of token corpora with weights."},
    {.name = "init",
     .type = INS_OPT_STRING,
     .offset = ROW(init),
     .unit = "model",
     .flags = INS_OPT_INPUT,
     .help = "Stage whose model is continued; without it the model starts from its published initialisation."},
    {.name = "model",
     .type = INS_OPT_NODE,
     .offset = ROW(model),
     .help = "Model options, for a start from scratch: {preset: llama, layers: 4}; without a size, the budget or time "
             "decides it."},
    {.name = "objective",
     .type = INS_OPT_COMPONENT,
     .offset = ROW(objective),
     .def = "clm",
     .choices = "objective",
     .help = "What is minimised."},
    {.name = "optimizer",
     .type = INS_OPT_COMPONENT,
     .offset = ROW(optimizer),
     .def = "adamw",
     .choices = "optimizer",
     .help = "How the weights are updated."},
    {.name = "schedule",
     .type = INS_OPT_COMPONENT,
     .offset = ROW(schedule),
     .def = "cosine",
     .choices = "schedule",
     .help = "Learning rate over the steps, as a factor of lr."},
    {.name = "lr",
     .type = INS_OPT_FLOAT,
     .offset = ROW(lr),
     .def = "0",
     .min = 0,
     .max = 1e7,
     .help =
         "Peak learning rate; 0 derives it from the number of parameters (half of that when continuing with init)."},
    {.name = "steps",
     .type = INS_OPT_SIZE,
     .offset = ROW(steps),
     .def = "0",
     .min = 0,
     .max = 1e12,
     .unit = "steps",
     .help = "Optimizer steps; 0 = from budget or time."},
    {.name = "budget",
     .type = INS_OPT_SIZE,
     .offset = ROW(budget),
     .def = "0",
     .min = 0,
     .max = 1e15,
     .unit = "tokens",
     .help = "Positions to train on; 0 = from steps or time; all 0 gives 20 a parameter."},
    {.name = "time",
     .type = INS_OPT_DURATION,
     .offset = ROW(time),
     .def = "0",
     .min = 0,
     .max = 1e9,
     .unit = "s",
     .help =
         "Time budget: steps are chosen once, from the speed measured when the stage starts, then kept over restarts."},
    {.name = "batch",
     .type = INS_OPT_SIZE,
     .offset = ROW(batch),
     .def = "0",
     .min = 0,
     .max = 1e12,
     .unit = "tokens",
     .help = "Positions of one optimizer step, rounded to whole rows; 0 derives it from model and budget."},
    {.name = "context",
     .type = INS_OPT_SIZE,
     .offset = ROW(context),
     .def = "0",
     .min = 0,
     .max = 1e6,
     .unit = "tokens",
     .help = "Length of a row; 0 = 256, or the model's context where that is shorter."},
    {.name = "micro_rows",
     .type = INS_OPT_SIZE,
     .offset = ROW(micro_rows),
     .def = "0",
     .min = 0,
     .max = 1e6,
     .unit = "rows",
     .help =
         "Rows of one run of the graph; a step accumulates gradients over several runs. 0 = about 4,096 positions."},
    {.name = "packing",
     .type = INS_OPT_CHOICE,
     .offset = ROW(packing),
     .def = "bestfit",
     .choices = "bestfit stream none",
     .help = "bestfit: whole documents side by side; stream: concatenated and cut; none: one document a row."},
    {.name = "clip",
     .type = INS_OPT_FLOAT,
     .offset = ROW(clip),
     .def = "1",
     .min = 0,
     .max = 1e9,
     .help = "Largest norm of the gradient; 0 = no clipping."},
    {.name = "ema",
     .type = INS_OPT_FLOAT,
     .offset = ROW(ema),
     .def = "0",
     .min = 0,
     .max = 0.999999,
     .help = "Decay of an exponential average of the weights, which then becomes the stage's model; 0 = none."},
    {.name = "precision",
     .type = INS_OPT_CHOICE,
     .offset = ROW(precision),
     .def = "auto",
     .choices = "auto f32 bf16",
     .help =
         "Of matrix products: auto takes bf16 where this machine is measured to be faster with it. Weights stay f32."},
    {.name = "gemm",
     .type = INS_OPT_CHOICE,
     .offset = ROW(gemm),
     .def = "own",
     .choices = INS_GEMM_POLICIES,
     .help = "Who makes the matrix products of training: Instar's own kernels; for each product the fastest of these, "
             "oneDNN and OpenBLAS, measured once a machine; or one library. Evaluation and generation always use own."},
    {.name = "recompute",
     .type = INS_OPT_CHOICE,
     .offset = ROW(recompute),
     .def = "auto",
     .choices = "auto none cheap layers",
     .flags = INS_OPT_NO_HASH,
     .help = "Activations that are computed again in the backward pass instead of kept: none; cheap ones (norms, "
             "activation functions); of each layer all but its input, for about a fifth more time. The result is the "
             "same bits. auto: the first of these that fits into the memory that is free."},
    {.name = "spike",
     .type = INS_OPT_CHOICE,
     .offset = ROW(spike),
     .def = "none",
     .choices = "none skip",
     .help = "What to do with a step whose loss or gradient norm is an outlier: nothing, or leave its update out."},
    {.name = "spike_z",
     .type = INS_OPT_FLOAT,
     .offset = ROW(spike_z),
     .def = "6",
     .min = 1,
     .max = 1e6,
     .help = "Standard deviations above the running mean that make an outlier."},
    {.name = "probes",
     .type = INS_OPT_COMPONENTS,
     .offset = ROW(probes),
     .choices = "probe",
     .help = "Measured at the probed steps, after those that the recipe lists for all train stages."},
    {.name = "probe_at",
     .type = INS_OPT_STRINGS,
     .offset = ROW(probe_at),
     .unit = "steps",
     .help = "Steps to probe, besides the first and the last: a list of numbers instead of log-spaced ones."},
    {.name = "probe_points",
     .type = INS_OPT_SIZE,
     .offset = ROW(probe_points),
     .def = "7",
     .min = 2,
     .max = 1000,
     .help = "How many steps are probed and kept as checkpoints: log-spaced, with the first and the last."},
    {.name = "probe_every",
     .type = INS_OPT_SIZE,
     .offset = ROW(probe_every),
     .def = "0",
     .min = 0,
     .max = 1e12,
     .unit = "steps",
     .help = "Probe every so many steps instead of log-spaced; 0 = log-spaced."},
    {.name = "resume_every",
     .type = INS_OPT_DURATION,
     .offset = ROW(resume_every),
     .def = "20s",
     .min = 0,
     .max = 1e6,
     .unit = "s",
     .flags = INS_OPT_NO_HASH,
     .help = "Time between the checkpoints from which a killed stage goes on; 0 = one every step."},
    {0},
};
#undef ROW
const ins_opt_table ins_train_table = {"stage train", rows, sizeof(ins_train_options)};

void ins_train_check(const void *options, ins_pos pos, ins_diag *diag) {
    const ins_train_options *o = options;
    const ins_train_data *data = o->data.items;
    int n_given = (o->steps > 0) + (o->budget > 0) + (o->time > 0);
    if (n_given > 1)
        ins_diag_add(diag, INS_RECIPE, pos, "keep one of them", "steps, budget and time exclude each other");
    if (o->probe_at.n > 0 && o->probe_every > 0)
        ins_diag_add(diag, INS_RECIPE, pos, "keep one of them", "probe_at and probe_every exclude each other");
    for (int64_t i = 0; i < o->probe_at.n; i++) {
        int64_t step;
        if (ins_parse_size(o->probe_at.items[i], &step) && step >= 0) continue;
        ins_diag_add(diag, INS_RECIPE, o->probe_at.pos ? o->probe_at.pos[i] : pos, NULL,
                     "probe_at: '%s' is not a number of steps", o->probe_at.items[i]);
    }
    if (o->data.n == 0) ins_diag_add(diag, INS_RECIPE, pos, "add {tokens: STAGE, corpus: NAME}", "data is empty");
    for (int64_t i = 0; i < o->data.n; i++) {
        const char *const splits[] = {"train", "valid", "test"};
        ins_pos at = o->data.pos ? o->data.pos[i] : pos;
        bool known = false;
        for (int s = 0; s < 3; s++) known = known || strcmp(data[i].split, splits[s]) == 0;
        if (!known)
            ins_diag_add(diag, INS_RECIPE, at, NULL, "split '%s' is not one of: train valid test", data[i].split);
    }
    if (o->init && o->model) {
        ins_diag_add(diag, INS_RECIPE, o->model->pos, "remove one of them",
                     "model and init exclude each other: a continued model keeps its shape");
    } else if (!o->init) {
        ins_arena *arena = ins_arena_new(0);
        ins_model_options parsed;
        if (arena) ins_model_options_parse(o->model, INS_TRAIN_ANY_VOCAB, &parsed, arena, diag);
        ins_arena_free(arena);
    }
}
