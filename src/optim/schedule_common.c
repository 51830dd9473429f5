/* Warm-up and floor of all schedules. */
#include "optim/schedule_common.h"

#include <math.h>

int64_t ins_warmup_steps(const ins_warmup *w, int64_t n_steps) {
    int64_t steps = w->warmup > 0 ? w->warmup : (int64_t)llround(w->warmup_share * (double)n_steps);
    return steps < n_steps ? steps : n_steps;
}

bool ins_warmup_factor(const ins_warmup *w, int64_t step, int64_t n_steps, double *factor, double *progress) {
    int64_t warm = ins_warmup_steps(w, n_steps);
    if (step < warm) {
        *factor = w->start + (1 - w->start) * (double)(step + 1) / (double)warm;
        return true;
    }
    double left = (double)(n_steps - warm);
    double at = left > 0 ? (double)(step - warm) / left : 1;
    *progress = at < 1 ? at : 1;
    return false;
}

double ins_warmup_floor(const ins_warmup *w, double shape) {
    return w->min_factor + (1 - w->min_factor) * shape;
}
