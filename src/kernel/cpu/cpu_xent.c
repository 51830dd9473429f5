/* A row of the fused loss: one pass for the maximum, one for the sum of exp, one that turns logits into gradients. */
#include <math.h>

#include "kernel/cpu/vmath.h"
#include "kernel/xent_impl.h"

/* Is the target the first of the largest logits? */
static bool xent_correct(const ins_xent_row *row, const float *z, float max) {
    if (z[row->target] != max) return false;
    for (int64_t i = 0; i < row->target; i++)
        if (z[i] == max) return false;
    return true;
}

static void xent_gradient(const ins_xent_row *row, float *z, float lse) {
    float factor = (float)row->factor, even = (float)(-row->factor * row->smoothing / (double)row->v);
    float scale = factor * (1.0f + 2.0f * (float)row->z_loss * lse), work[CPU_BLOCK];
    int64_t target = row->target;
    for (int64_t at = 0; at < row->v; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, row->v - at);
        float *block = z + at;
        for (int64_t i = 0; i < n; i++) work[i] = scale * vm_exp_neg(block[i] - lse) + even;
        if (target >= at && target < at + n) work[target - at] -= factor * (float)(1 - row->smoothing);
        /* bf16 results end before the logits still to be read: 2 (at + n) <= 4 (at + n) bytes. */
        cpu_store(row->grad_bf16 ? INS_DTYPE_BF16 : INS_DTYPE_F32, work, z, at, n);
    }
}

static void xent_row(ins_xent_row *row) {
    float *z = row->z, max = cpu_max(row->z, row->v, -INFINITY);
    double sum = 0, total = 0;
    for (int64_t at = 0; at < row->v; at += CPU_BLOCK) {
        int64_t n = ins_min_i64(CPU_BLOCK, row->v - at);
        float part = 0, plain = 0;
#pragma omp simd reduction(+ : part, plain)
        for (int64_t i = 0; i < n; i++) part += vm_exp_neg(z[at + i] - max), plain += z[at + i];
        sum += (double)part, total += (double)plain;
    }
    double lse = (double)max + log(sum), smooth = row->smoothing;
    row->correct = xent_correct(row, z, max);
    row->nll = lse - (double)z[row->target] + row->z_loss * lse * lse;
    if (smooth != 0) row->nll += smooth * ((double)z[row->target] - total / (double)row->v);
    if (row->grad) xent_gradient(row, z, (float)lse);
}

const ins_xent_impl INS_CPU(ins_cpu_xent) = {.head = INS_CPU_HEAD, .row = xent_row};
