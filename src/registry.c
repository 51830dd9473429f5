/* All families, from the one list in registry.def. Each family's own *_registry.c builds its list; this file only
 * names the families. */
#include "option/component.h"

extern const ins_family ins_family_op, ins_family_preset, ins_family_objective, ins_family_optimizer,
    ins_family_schedule, ins_family_tokenizer, ins_family_reader, ins_family_step, ins_family_probe, ins_family_stage;

const ins_family *const ins_families[] = {
    &ins_family_stage,
    &ins_family_objective,
    &ins_family_optimizer,
    &ins_family_schedule,
    &ins_family_preset,
    &ins_family_tokenizer,
    &ins_family_reader,
    &ins_family_step,
    &ins_family_probe,
    &ins_family_op,
    NULL,
};
