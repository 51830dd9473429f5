/* Warm-up, stable, decay (Hu et al. 2024): the peak until the last decay_share of all steps, then down. With
 * progress u in the decay: linear 1 - u, cosine (1 + cos(pi u)) / 2, sqrt 1 - sqrt(u) (Hägele et al. 2024). */
#include <math.h>

#include "optim/schedule_common.h"

typedef struct wsd_options {
    ins_warmup warm;
    double decay_share;
    int shape;
} wsd_options;

static const ins_opt_row wsd_rows[] = {
    INS_WARMUP_ROWS(wsd_options, warm, "0.02"),
    {.name = "decay_share",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(wsd_options, decay_share),
     .def = "0.2",
     .max = 1,
     .help = "Share of all steps, at their end, in which the factor falls.",
     .aliases = "decay"},
    {.name = "shape",
     .type = INS_OPT_CHOICE,
     .offset = offsetof(wsd_options, shape),
     .def = "sqrt",
     .choices = "linear cosine sqrt",
     .help = "Curve of the fall."},
    {0},
};
static const ins_opt_table wsd_table = {"WSD schedule", wsd_rows, sizeof(wsd_options)};

static void wsd_check(const void *options, ins_pos pos, ins_diag *diag) {
    const wsd_options *o = options;
    if (o->warm.warmup == 0 && o->warm.warmup_share + o->decay_share > 1)
        ins_diag_add(diag, INS_RECIPE, pos, "lower warmup_share or decay_share",
                     "warmup_share %g and decay_share %g are more than all steps", o->warm.warmup_share,
                     o->decay_share);
}

static double wsd_factor(const void *options, int64_t step, int64_t n_steps) {
    const wsd_options *o = options;
    double factor, progress;
    if (ins_warmup_factor(&o->warm, step, n_steps, &factor, &progress)) return factor;
    int64_t n_decay = (int64_t)llround(o->decay_share * (double)n_steps);
    int64_t into = step - (n_steps - n_decay);
    if (into < 0) return 1;
    double u = n_decay > 0 && into < n_decay ? (double)into / (double)n_decay : 1;
    double shape = o->shape == 0 ? 1 - u : o->shape == 1 ? 0.5 * (1 + cos(3.14159265358979323846 * u)) : 1 - sqrt(u);
    return ins_warmup_floor(&o->warm, shape);
}

const ins_schedule ins_schedule_wsd = {
    .head = {.family = "schedule",
             .name = "wsd",
             .aliases = "trapezoid",
             .summary = "Warm-up, a long plateau, and a decay at the end.",
             .paper = "MiniCPM: Unveiling the Potential of Small Language Models (Hu et al., 2024)",
             .version = 1,
             .options = &wsd_table,
             .check = wsd_check},
    .factor = wsd_factor,
};
