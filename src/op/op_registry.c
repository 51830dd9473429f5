/* The family of ops, from the list. */
#include "op/op_emit.h"

static const ins_component *const items[] = {
#define INS_OP(name) &ins_op_##name.head,
#include "registry.def"
};

const ins_family ins_family_op = {
    .name = "op",
    .summary = "What graphs are made of: each op knows its shapes, its kernels and its gradient.",
    .items = items,
    .n = sizeof items / sizeof items[0],
};
