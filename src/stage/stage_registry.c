/* List of the stage family. */
#include "stage/stage.h"

#define INS_STAGE(name) extern const ins_stage ins_stage_##name;
#include "registry.def"

static const ins_component *const stages[] = {
#define INS_STAGE(name) &ins_stage_##name.head,
#include "registry.def"
    NULL,
};

const ins_family ins_family_stage = {
    .name = "stage",
    .summary = "What a recipe is made of: each kind turns inputs into one output folder.",
    .items = stages,
    .n = (int64_t)(sizeof stages / sizeof *stages) - 1,
};
