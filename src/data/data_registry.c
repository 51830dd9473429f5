/* The families of this room, from the one list. */
#include "data/document.h"

#define INS_READER(name) extern const ins_reader_desc ins_reader_##name;
#define INS_STEP(name)   extern const ins_step_desc ins_step_##name;
#include "registry.def"

static const ins_component *const readers[] = {
#define INS_READER(name) &ins_reader_##name.head,
#include "registry.def"
};

static const ins_component *const steps[] = {
#define INS_STEP(name) &ins_step_##name.head,
#include "registry.def"
};

const ins_family ins_family_reader = {
    .name = "reader",
    .summary = "Where documents come from: files, dictionaries, package indexes.",
    .items = readers,
    .n = sizeof readers / sizeof *readers,
};

const ins_family ins_family_step = {
    .name = "step",
    .summary = "What is done to each document on its way into a corpus.",
    .items = steps,
    .n = sizeof steps / sizeof *steps,
};
