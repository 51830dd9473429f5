/* Fused output layer and cross-entropy: logits never exist as a whole.
 *
 *   z = x W^T + b                     x [N,D], W [V,D] (or [D,V] with trans_w)
 *   lse_i = log sum_v exp(z_iv)
 *   nll_i = (1 - s)(lse_i - z_i,t) + s (lse_i - mean_v z_iv) + z_loss lse_i^2        s = label_smoothing
 *   loss  = sum_i weight_i nll_i      rows with target < 0 count 0 and get no gradient
 *
 * With d_x (and d_w) given the gradient times d_loss is made in the same pass. Rows go in chunks whose size depends on
 * the shape only; scratch holds one chunk of logits (at most 64 MiB unless one row of V is larger).
 * Dtypes: f32; f64; bf16 (x, W, d_x bf16; logits f32). loss, nll, weights, bias, d_w, d_bias are in acc.
 */
#ifndef INS_KERNEL_XENT_H
#define INS_KERNEL_XENT_H

#include "base/pool.h"
#include "tensor/tensor.h"

typedef struct ins_linear_xent_args {
    ins_dtype dtype;
    int64_t n, d, v; /* rows, width, vocabulary */
    const void *x;
    int64_t ldx;
    const void *w;
    int64_t ldw;
    bool trans_w;           /* W is stored [D,V]; d_w then too */
    const void *bias;       /* [V] or NULL */
    const int32_t *targets; /* [N]; < 0 = ignore; INS_BUG when >= V */
    const void *weights;    /* [N] or NULL (= 1) */
    double label_smoothing; /* 0 = off */
    double z_loss;          /* 0 = off */
    double d_loss;          /* factor of every gradient */
    void *loss_sum;         /* [1] or NULL */
    void *nll;              /* [N] or NULL; 0 for ignored rows; not weighted */
    void *correct;          /* [N] acc or NULL: 1 where target >= 0 has the largest logit (first on ties), else 0 */
    void *d_x;              /* [N,D] or NULL; overwritten */
    int64_t ld_dx;
    void *d_w; /* [V,D] ([D,V] with trans_w) or NULL */
    int64_t ld_dw;
    void *d_bias;                          /* [V] or NULL */
    bool accumulate_dw;                    /* add to d_w and d_bias */
    void *scratch;                         /* ins_linear_xent_scratch bytes */
    struct ins_gemm_choices *gemm_choices; /* of its products; NULL = our own kernels */
} ins_linear_xent_args;

size_t ins_linear_xent_scratch(const ins_linear_xent_args *args);
ins_status ins_linear_xent_run(const ins_linear_xent_args *args, ins_pool *pool, ins_error *err);

#endif
