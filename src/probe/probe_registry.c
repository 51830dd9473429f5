/* List of the probe family. */
#include "probe/probe.h"

#define INS_PROBE(name) extern const ins_probe ins_probe_##name;
#include "registry.def"

static const ins_component *const probes[] = {
#define INS_PROBE(name) &ins_probe_##name.head,
#include "registry.def"
    NULL,
};

const ins_family ins_family_probe = {
    .name = "probe",
    .summary = "What is measured at checkpoints of every stage.",
    .items = probes,
    .n = (int64_t)(sizeof probes / sizeof *probes) - 1,
};
