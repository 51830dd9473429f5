/* List of the objective family. */
#include "objective/objective.h"

#define INS_OBJECTIVE(name) extern const ins_objective ins_objective_##name;
#include "registry.def"

static const ins_component *const objectives[] = {
#define INS_OBJECTIVE(name) &ins_objective_##name.head,
#include "registry.def"
    NULL,
};

const ins_family ins_family_objective = {
    .name = "objective",
    .summary = "What a train stage minimises.",
    .items = objectives,
    .n = (int64_t)(sizeof objectives / sizeof *objectives) - 1,
};
