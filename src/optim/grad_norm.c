/* Norm of a gradient: rows are summed one by one, each with a fixed tree, in table order. */
#include <math.h>

#include "kernel/reduce.h"
#include "optim/optim.h"

double ins_grad_norm(const ins_params *params, const float *grads, ins_pool *pool) {
    double sum = 0;
    for (int64_t i = 0; i < params->n; i++) {
        const ins_param *row = &params->rows[i];
        if (!row->frozen) sum += ins_reduce_sumsq(INS_DTYPE_F32, row->count, grads + row->offset, pool);
    }
    return sqrt(sum);
}
