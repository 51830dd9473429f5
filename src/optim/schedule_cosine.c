/* Half a cosine (Loshchilov & Hutter 2017): shape(progress) = (1 + cos(pi progress)) / 2. */
#include <math.h>

#include "optim/schedule_common.h"

typedef struct cosine_options {
    ins_warmup warm;
} cosine_options;

static const ins_opt_row cosine_rows[] = {
    INS_WARMUP_ROWS(cosine_options, warm, "0.02"),
    {0},
};
static const ins_opt_table cosine_table = {"cosine schedule", cosine_rows, sizeof(cosine_options)};

static double cosine_factor(const void *options, int64_t step, int64_t n_steps) {
    const cosine_options *o = options;
    double factor, progress;
    if (ins_warmup_factor(&o->warm, step, n_steps, &factor, &progress)) return factor;
    return ins_warmup_floor(&o->warm, 0.5 * (1 + cos(3.14159265358979323846 * progress)));
}

const ins_schedule ins_schedule_cosine = {
    .head = {.family = "schedule",
             .name = "cosine",
             .summary = "Warm-up, then half a cosine down to the floor.",
             .paper = "SGDR: Stochastic Gradient Descent with Warm Restarts (Loshchilov & Hutter, 2017)",
             .version = 1,
             .options = &cosine_table},
    .factor = cosine_factor,
};
