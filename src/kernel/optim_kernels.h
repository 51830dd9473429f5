/* One-pass optimizer updates over a range of f32 slabs. n elements; callers call once per range of equal settings. */
#ifndef INS_KERNEL_OPTIM_KERNELS_H
#define INS_KERNEL_OPTIM_KERNELS_H

#include "base/pool.h"
#include "tensor/tensor.h"

/* AdamW (Loshchilov & Hutter 2019), decoupled decay:
 *   g' = grad_scale g;  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2
 *   p  = p - lr (m / bias1 / (sqrt(v / bias2) + eps) + weight_decay p)        bias_i = 1 - beta_i^step
 */
typedef struct ins_adamw_args {
    int64_t n;
    float *p;
    const float *g;
    float *m, *v;
    uint16_t *p_bf16; /* [n] bf16 copy of the new p, or NULL */
    double lr, beta1, beta2, eps, weight_decay;
    double bias1, bias2; /* bias corrections; 1 = none */
    double grad_scale;   /* 1, or the clipping factor */
    bool zero_grad;      /* also store 0 into g (then g must be writable) */
} ins_adamw_args;
void ins_adamw(const ins_adamw_args *args, ins_pool *pool);

/* SGD with momentum as in PyTorch (dampening 0): g' = grad_scale g + weight_decay p; buf = momentum buf + g';
 * p -= lr (nesterov ? g' + momentum buf : buf). buf NULL = plain SGD. */
typedef struct ins_sgd_args {
    int64_t n;
    float *p;
    const float *g;
    float *buf;
    uint16_t *p_bf16;
    double lr, momentum, weight_decay, grad_scale;
    bool nesterov;
} ins_sgd_args;
void ins_sgd(const ins_sgd_args *args, ins_pool *pool);

/* avg = decay avg + (1 - decay) p */
void ins_ema_update(int64_t n, double decay, const float *p, float *avg, ins_pool *pool);

#endif
