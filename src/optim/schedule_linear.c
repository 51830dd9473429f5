/* Linear decay: shape(progress) = 1 - progress. */
#include "optim/schedule_common.h"

typedef struct linear_options {
    ins_warmup warm;
} linear_options;

static const ins_opt_row linear_rows[] = {
    INS_WARMUP_ROWS(linear_options, warm, "0.02"),
    {0},
};
static const ins_opt_table linear_table = {"linear schedule", linear_rows, sizeof(linear_options)};

static double linear_factor(const void *options, int64_t step, int64_t n_steps) {
    const linear_options *o = options;
    double factor, progress;
    if (ins_warmup_factor(&o->warm, step, n_steps, &factor, &progress)) return factor;
    return ins_warmup_floor(&o->warm, 1 - progress);
}

const ins_schedule ins_schedule_linear = {
    .head = {.family = "schedule",
             .name = "linear",
             .summary = "Warm-up, then a straight line down to the floor.",
             .version = 1,
             .options = &linear_table},
    .factor = linear_factor,
};
