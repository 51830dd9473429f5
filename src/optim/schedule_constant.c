/* Constant: 1 after warm-up. */
#include "optim/schedule_common.h"

typedef struct constant_options {
    ins_warmup warm; /* min_factor has no row here: nothing decays */
} constant_options;

static const ins_opt_row constant_rows[] = {
    {.name = "warmup",
     .type = INS_OPT_SIZE,
     .offset = offsetof(constant_options, warm.warmup),
     .def = "0",
     .max = 1e12,
     .unit = "steps",
     .help = "Steps of linear warm-up; 0 = warmup_share decides."},
    {.name = "warmup_share",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(constant_options, warm.warmup_share),
     .def = "0",
     .max = 1,
     .help = "Share of all steps that warms up, where warmup is 0."},
    {.name = "start",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(constant_options, warm.start),
     .def = "0",
     .max = 1,
     .help = "Factor at which warm-up begins; above 0 to re-warm trained weights.",
     .aliases = "rewarm"},
    {0},
};
static const ins_opt_table constant_table = {"constant schedule", constant_rows, sizeof(constant_options)};

static double constant_factor(const void *options, int64_t step, int64_t n_steps) {
    const constant_options *o = options;
    double factor, progress;
    return ins_warmup_factor(&o->warm, step, n_steps, &factor, &progress) ? factor : 1;
}

const ins_schedule ins_schedule_constant = {
    .head = {.family = "schedule",
             .name = "constant",
             .summary = "Warm-up if asked, then the peak for good.",
             .version = 1,
             .options = &constant_table},
    .factor = constant_factor,
};
