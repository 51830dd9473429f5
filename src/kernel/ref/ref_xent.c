/* Reference row of the fused loss: d nll / d z_v = p_v (1 + 2 z_loss lse) - (1 - s) [v = t] - s / V. */
#include "kernel/ref/ref.h"
#include "kernel/xent_impl.h"

static void xent_row(ins_xent_row *row) {
    ins_real *z = row->z, max = z[0], total = 0;
    int64_t best = 0;
    double sum = 0;
    for (int64_t i = 0; i < row->v; i++) {
        if (z[i] > max) max = z[i], best = i;
        total += z[i];
    }
    for (int64_t i = 0; i < row->v; i++) sum += exp((double)(z[i] - max));
    double lse = (double)max + log(sum), smooth = row->smoothing;
    row->correct = best == row->target;
    row->nll = (1 - smooth) * (lse - (double)z[row->target]) + smooth * (lse - (double)total / (double)row->v) +
               row->z_loss * lse * lse;
    if (!row->grad) return;
    for (int64_t i = 0; i < row->v; i++) {
        double p = exp((double)z[i] - lse), slope = p * (1 + 2 * row->z_loss * lse) - smooth / (double)row->v;
        if (i == row->target) slope -= 1 - smooth;
        z[i] = (ins_real)(row->factor * slope);
    }
}

const ins_xent_impl INS_REF(ins_ref_xent) = {.head = INS_REF_HEAD, .row = xent_row};
