/* Inverse square root (Vaswani et al. 2017): after w warm-up steps, shape = sqrt(w' / (w' + step - w)) with
 * w' = timescale, or w, or 1. It does not need to know where training ends. */
#include <math.h>

#include "optim/schedule_common.h"

typedef struct inverse_sqrt_options {
    ins_warmup warm;
    int64_t timescale;
} inverse_sqrt_options;

static const ins_opt_row inverse_sqrt_rows[] = {
    INS_WARMUP_ROWS(inverse_sqrt_options, warm, "0.02"),
    {.name = "timescale",
     .type = INS_OPT_SIZE,
     .offset = offsetof(inverse_sqrt_options, timescale),
     .def = "0",
     .max = 1e12,
     .unit = "steps",
     .help = "Steps after the peak in which the factor falls to 0.71; 0 = the warm-up's."},
    {0},
};
static const ins_opt_table inverse_sqrt_table = {"inverse square root schedule", inverse_sqrt_rows,
                                                 sizeof(inverse_sqrt_options)};

static double inverse_sqrt_factor(const void *options, int64_t step, int64_t n_steps) {
    const inverse_sqrt_options *o = options;
    double factor, progress;
    if (ins_warmup_factor(&o->warm, step, n_steps, &factor, &progress)) return factor;
    int64_t warm = ins_warmup_steps(&o->warm, n_steps);
    double scale = o->timescale > 0 ? (double)o->timescale : warm > 0 ? (double)warm : 1;
    double shape = sqrt(scale / (scale + (double)(step - warm)));
    return shape > o->warm.min_factor ? shape : o->warm.min_factor;
}

const ins_schedule ins_schedule_inverse_sqrt = {
    .head = {.family = "schedule",
             .name = "inverse_sqrt",
             .aliases = "inverse-sqrt",
             .summary = "Warm-up, then one over the square root of the step.",
             .paper = "Attention Is All You Need (Vaswani et al., 2017)",
             .version = 1,
             .options = &inverse_sqrt_table},
    .factor = inverse_sqrt_factor,
};
