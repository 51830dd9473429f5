/* Exponential moving average of the weights: a slab beside them. */
#ifndef INS_OPTIM_EMA_H
#define INS_OPTIM_EMA_H

#include "base/pool.h"
#include "tensor/params.h"

/* average = d average + (1 - d) weights, with d = min(decay, (1 + step) / (10 + step)) for step from 1, so that the
 * first steps are not weighed down by the start (Tarvainen & Valpola 2017 as in common use). Frozen rows are copied. */
void ins_ema_step(const ins_params *params, double decay, int64_t step, const float *weights, float *average,
                  ins_pool *pool);

#endif
