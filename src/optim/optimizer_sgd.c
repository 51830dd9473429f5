/* Stochastic gradient descent with momentum (Polyak 1964; Nesterov 1983), coupled decay as is usual for it:
 *
 *   g' = g + weight_decay p;  buf = momentum buf + g';  p -= lr (nesterov ? g' + momentum buf : buf)
 */
#include "kernel/optim_kernels.h"
#include "optim/optim_rows.h"

typedef struct sgd_options {
    double momentum, weight_decay;
    bool nesterov;
} sgd_options;

static const ins_opt_row sgd_rows[] = {
    {.name = "momentum",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(sgd_options, momentum),
     .def = "0.9",
     .max = 0.9999,
     .help = "Share of the last direction that is kept; 0 = plain gradient descent."},
    {.name = "nesterov",
     .type = INS_OPT_BOOL,
     .offset = offsetof(sgd_options, nesterov),
     .def = "false",
     .help = "Look ahead along the momentum before stepping."},
    {.name = "weight_decay",
     .type = INS_OPT_FLOAT,
     .offset = offsetof(sgd_options, weight_decay),
     .def = "0",
     .max = 10,
     .help = "Added to the gradient, times the weight; matrices only."},
    {0},
};
static const ins_opt_table sgd_table = {"SGD", sgd_rows, sizeof(sgd_options)};

static void sgd_check(const void *options, ins_pos pos, ins_diag *diag) {
    const sgd_options *o = options;
    if (o->nesterov && o->momentum == 0)
        ins_diag_add(diag, INS_RECIPE, pos, "set momentum, for example 0.9, or leave nesterov out",
                     "nesterov needs a momentum above 0");
}

static void sgd_update(const void *options, const ins_update *u) {
    const sgd_options *o = options;
    ins_sgd_args args = {.momentum = o->momentum, .nesterov = o->nesterov, .grad_scale = u->grad_scale};
    ins_row_range range;
    for (int64_t at = 0; ins_update_range_next(u, &at, &range);) {
        args.n = range.count;
        args.p = u->weights + range.offset;
        args.g = u->grads + range.offset;
        args.p_bf16 = ins_update_bf16(u, range.offset);
        args.buf = o->momentum > 0 ? u->slots[0] + range.offset : NULL;
        args.lr = u->lr * range.lr_scale;
        args.weight_decay = range.decay ? o->weight_decay : 0;
        ins_sgd(&args, u->pool);
    }
}

static const char *const sgd_slots[] = {"momentum_buffer"};

const ins_optimizer ins_optimizer_sgd = {
    .head = {.family = "optimizer",
             .name = "sgd",
             .summary = "Stochastic gradient descent with momentum.",
             .paper = "Some methods of speeding up the convergence of iteration methods (Polyak, 1964)",
             .version = 1,
             .options = &sgd_table,
             .check = sgd_check},
    .n_slots = 1,
    .slot_names = sgd_slots,
    .update = sgd_update,
    .default_lr_scale = 30,
};
