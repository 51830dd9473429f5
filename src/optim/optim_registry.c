/* Lists of the optimizer and schedule families. */
#include "optim/optim.h"

#define INS_OPTIMIZER(name) extern const ins_optimizer ins_optimizer_##name;
#define INS_SCHEDULE(name)  extern const ins_schedule ins_schedule_##name;
#include "registry.def"

static const ins_component *const optimizers[] = {
#define INS_OPTIMIZER(name) &ins_optimizer_##name.head,
#include "registry.def"
    NULL,
};
static const ins_component *const schedules[] = {
#define INS_SCHEDULE(name) &ins_schedule_##name.head,
#include "registry.def"
    NULL,
};

const ins_family ins_family_optimizer = {
    .name = "optimizer",
    .summary = "How gradients become new weights.",
    .items = optimizers,
    .n = (int64_t)(sizeof optimizers / sizeof *optimizers) - 1,
};
const ins_family ins_family_schedule = {
    .name = "schedule",
    .summary = "How the learning rate changes over a stage.",
    .items = schedules,
    .n = (int64_t)(sizeof schedules / sizeof *schedules) - 1,
};
