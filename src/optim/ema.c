/* Exponential moving average of the weights. */
#include "optim/ema.h"

#include <string.h>

#include "kernel/optim_kernels.h"
#include "optim/optim_rows.h"

void ins_ema_step(const ins_params *params, double decay, int64_t step, const float *weights, float *average,
                  ins_pool *pool) {
    double warm = (1.0 + (double)step) / (10.0 + (double)step);
    double d = decay < warm ? decay : warm;
    ins_row_range range;
    for (int64_t at = 0; ins_row_range_next(params, &at, &range);)
        ins_ema_update(range.count, d, weights + range.offset, average + range.offset, pool);
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *row = &params->rows[i];
        if (row->frozen) memcpy(average + row->offset, weights + row->offset, (size_t)row->count * sizeof(float));
    }
}
