/* Row softmax and log-softmax with gradients. f32, f64, bf16. A row whose entries are all -inf gives 0 (log: -inf). */
#ifndef INS_KERNEL_SOFTMAX_H
#define INS_KERNEL_SOFTMAX_H

#include "base/pool.h"
#include "tensor/tensor.h"

typedef struct ins_softmax_args {
    ins_dtype dtype;
    bool log;
    int64_t rows, cols;
    const void *x; /* forward input */
    int64_t ldx;
    void *y; /* output of forward (may be x), input of backward */
    int64_t ldy;
    const void *d_y; /* backward: softmax d_x = y (d_y - y.d_y); log: d_x = d_y - exp(y) sum(d_y) */
    int64_t ld_dy;
    void *d_x; /* may be d_y */
    int64_t ld_dx;
} ins_softmax_args;

ins_status ins_softmax_forward(const ins_softmax_args *args, ins_pool *pool, ins_error *err);
ins_status ins_softmax_backward(const ins_softmax_args *args, ins_pool *pool, ins_error *err);

#endif
