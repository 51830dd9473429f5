/* Optimizers and learning-rate schedules. An optimizer owns slots: slabs with the parameters' layout. */
#ifndef INS_OPTIM_OPTIM_H
#define INS_OPTIM_OPTIM_H

#include "base/pool.h"
#include "option/component.h"
#include "tensor/params.h"

typedef struct ins_update {
    const ins_params *params;
    float *weights;      /* slab */
    void *weights_bf16;  /* slab of bf16 with the same layout, written along with the weights; or NULL */
    const float *grads;  /* slab */
    float *const *slots; /* n_slots slabs */
    double lr;           /* of this step; each row multiplies lr_scale */
    double grad_scale;   /* clipping: multiply gradients by this */
    int64_t step;        /* from 1 */
    int64_t begin, end;  /* elements of the slabs that this call updates; both 0 = all */
    ins_pool *pool;
} ins_update;

typedef struct ins_optimizer {
    ins_component head; /* family "optimizer" */
    int n_slots;
    const char *const *slot_names; /* "exp_avg", "exp_avg_sq": in optimizer.safetensors as NAME/parameter */
    /* One pass over memory; frozen rows skipped; deterministic for any thread count. Calls over parts that make up the
     * slab give the bits of one call over all. */
    void (*update)(const void *options, const ins_update *u);
    double default_lr_scale; /* times the derived learning rate of the one dial */
} ins_optimizer;
extern const ins_family ins_family_optimizer;

/* Global L2 norm of a gradient slab (frozen rows and padding excluded), fixed tree. */
double ins_grad_norm(const ins_params *params, const float *grads, ins_pool *pool);

typedef struct ins_schedule {
    ins_component head; /* family "schedule" */
    /* Factor of the peak learning rate at `step` (0-based) of n_steps. Pure function. */
    double (*factor)(const void *options, int64_t step, int64_t n_steps);
} ins_schedule;
extern const ins_family ins_family_schedule;

#endif
