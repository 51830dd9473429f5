/* Which dtype matrix products run in. */
#include <stdio.h>

#include "kernel/isa.h"
#include "model/model.h"

ins_status ins_precision_choose(ins_precision asked, ins_dtype *compute, char why[160], ins_error *err) {
    ins_isa_level level = ins_isa_detect();
    bool has_bf16 = level >= INS_ISA_AVX512_BF16;
    if (asked == INS_PRECISION_F32) {
        *compute = INS_DTYPE_F32;
        snprintf(why, 160, "f32: asked for");
        return INS_OK;
    }
    if (asked == INS_PRECISION_BF16) {
        if (!has_bf16) {
            INS_FAIL(err, INS_ENV,
                     "precision bf16: this processor (%s) has no bf16 products, and emulating them is slow",
                     ins_isa_name(level));
            ins_error_hint(err, "set precision: auto or f32");
            return INS_ENV;
        }
        *compute = INS_DTYPE_BF16;
        snprintf(why, 160, "bf16: asked for (%s)", ins_isa_name(level));
        return INS_OK;
    }
    bool fast = has_bf16 && ins_isa_has_fast_bf16();
    *compute = fast ? INS_DTYPE_BF16 : INS_DTYPE_F32;
    if (fast)
        snprintf(why, 160, "bf16: its products (%s) measured faster than f32", ins_isa_name(level));
    else if (has_bf16)
        snprintf(why, 160, "f32: bf16 products (%s) measured no faster here", ins_isa_name(level));
    else
        snprintf(why, 160, "f32: the processor (%s) has no bf16 products", ins_isa_name(level));
    return INS_OK;
}
