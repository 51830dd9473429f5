/* AdamW: Adam with weight decay taken out of the gradient (Loshchilov & Hutter 2019). With t = step, from 1:
 *
 *   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *   p -= lr (m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay p)
 *
 * Decay applies to the rows marked `decay` (matrices). eps > 0 keeps the zero padding of the slabs zero.
 */
#include <math.h>

#include "kernel/optim_kernels.h"
#include "optim/optim_rows.h"

typedef struct adamw_options {
    double beta1, beta2, eps, weight_decay;
} adamw_options;

static const ins_opt_row adamw_rows[] = {
    {.name = "beta1",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(adamw_options, beta1),
     .def = "0.9",
     .max = 0.99999,
     .help = "Decay of the running mean of gradients."},
    {.name = "beta2",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(adamw_options, beta2),
     .def = "0.95",
     .max = 0.999999,
     .help = "Decay of the running mean of squared gradients."},
    {.name = "eps",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(adamw_options, eps),
     .def = "1e-8",
     .max = 1,
     .flags = INS_OPT_EXCL_MIN,
     .help = "Added to the root of the second moment."},
    {.name = "weight_decay",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(adamw_options, weight_decay),
     .def = "0.1",
     .max = 10,
     .help = "Share of a matrix, times the learning rate, that each step takes away; biases and norms keep theirs."},
    {0},
};
static const ins_opt_table adamw_table = {"AdamW", adamw_rows, sizeof(adamw_options)};

static void adamw_update(const void *options, const ins_update *u) {
    const adamw_options *o = options;
    ins_adamw_args args = {
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .eps = o->eps,
        .bias1 = 1 - pow(o->beta1, (double)u->step),
        .bias2 = 1 - pow(o->beta2, (double)u->step),
        .grad_scale = u->grad_scale,
    };
    ins_row_range range;
    for (int64_t at = 0; ins_update_range_next(u, &at, &range);) {
        args.n = range.count;
        args.p = u->weights + range.offset;
        args.g = u->grads + range.offset;
        args.p_bf16 = ins_update_bf16(u, range.offset);
        args.m = u->slots[0] + range.offset;
        args.v = u->slots[1] + range.offset;
        args.lr = u->lr * range.lr_scale;
        args.weight_decay = range.decay ? o->weight_decay : 0;
        ins_adamw(&args, u->pool);
    }
}

static const char *const adamw_slots[] = {"exp_avg", "exp_avg_sq"};

const ins_optimizer ins_optimizer_adamw = {
    .head = {.family = "optimizer",
             .name = "adamw",
             .summary = "Adam with decoupled weight decay.",
             .paper = "Decoupled Weight Decay Regularization (Loshchilov & Hutter, 2019)",
             .version = 1,
             .options = &adamw_table},
    .n_slots = 2,
    .slot_names = adamw_slots,
    .update = adamw_update,
    .default_lr_scale = 1,
};
