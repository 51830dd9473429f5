#include "kernel/impl.h"

const void *ins_impl_pick(const ins_impl_head *const *list, ins_dtype dtype) {
    ins_isa_level level = ins_isa_detect();
    for (; *list; list++)
        if ((*list)->level <= level && (*list)->dtypes & INS_DTYPE_BIT(dtype)) return *list;
    return NULL;
}

ins_status ins_impl_none(const char *kernel, ins_dtype dtype, ins_error *err) {
    return INS_FAIL(err, INS_BUG, "no implementation of kernel '%s' takes %s", kernel, ins_dtype_name(dtype));
}
