/* Inside of the optim room: what all schedules share, warm-up and floor.
 *
 *   step < w:   start + (1 - start) (step + 1) / w        w = warmup, or warmup_share n_steps
 *   then:       min + (1 - min) shape(progress)           progress = (step - w) / (n_steps - w), 0 at the peak
 *
 * start > 0 re-warms: a stage that continues from trained weights begins at that share of its peak.
 */
#ifndef INS_OPTIM_SCHEDULE_COMMON_H
#define INS_OPTIM_SCHEDULE_COMMON_H

#include "optim/optim.h"

typedef struct ins_warmup {
    int64_t warmup;      /* steps */
    double warmup_share; /* of all steps, where warmup is 0 */
    double start;        /* factor before the first step */
    double min_factor;   /* floor after the peak */
} ins_warmup;

/* The rows, for a struct `type` whose field `field` is an ins_warmup. */
#define INS_WARMUP_ROWS(options_type, field, share_default)                                                            \
    {.name = "warmup",                                                                                                 \
     .type = INS_OPT_SIZE,                                                                                             \
     .offset = offsetof(options_type, field.warmup),                                                                   \
     .def = "0",                                                                                                       \
     .max = 1e12,                                                                                                      \
     .unit = "steps",                                                                                                  \
     .help = "Steps of linear warm-up; 0 = warmup_share decides."},                                                    \
        {.name = "warmup_share",                                                                                       \
         .type = INS_OPT_FLOAT,                                                                                        \
         .offset = offsetof(options_type, field.warmup_share),                                                         \
         .def = share_default,                                                                                         \
         .max = 1,                                                                                                     \
         .help = "Share of all steps that warms up, where warmup is 0."},                                              \
        {.name = "start",                                                                                              \
         .type = INS_OPT_FLOAT,                                                                                        \
         .offset = offsetof(options_type, field.start),                                                                \
         .def = "0",                                                                                                   \
         .max = 1,                                                                                                     \
         .help = "Factor at which warm-up begins; above 0 to re-warm trained weights.",                                \
         .aliases = "rewarm"},                                                                                         \
    {                                                                                                                  \
        .name = "min_factor", .type = INS_OPT_FLOAT, .offset = offsetof(options_type, field.min_factor), .def = "0",   \
        .max = 1, .help = "Floor of the factor after the peak.", .aliases = "min"                                      \
    }

int64_t ins_warmup_steps(const ins_warmup *w, int64_t n_steps);
/* True inside warm-up, with *factor; false after it, with *progress in [0, 1]. */
bool ins_warmup_factor(const ins_warmup *w, int64_t step, int64_t n_steps, double *factor, double *progress);
/* min + (1 - min) shape */
double ins_warmup_floor(const ins_warmup *w, double shape);

#endif
