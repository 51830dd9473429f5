/* Instruction sets of this processor, and which of them pay.
 *
 * Conventions of every header in this room: pointers are raw, matrices row-major, strides (ld*) in elements, counts
 * int64_t. "acc" is the accumulation type of a dtype: f64 for f64, f32 for f32, bf16 and f16. Kernels split work by
 * shape only, so results have equal bits for any number of threads. They never allocate: what they need beyond a
 * bounded stack comes from `scratch`, whose size a `..._scratch(args)` function tells (64-byte aligned; may be NULL
 * when the size is 0). `pool` NULL runs on the calling thread. Names of functions end in a verb or in "array", so that
 * they differ from the graph builders (op/build.h: ins_add, ins_cast, ins_rope...).
 */
#ifndef INS_KERNEL_ISA_H
#define INS_KERNEL_ISA_H

#include <stdbool.h>

typedef enum ins_isa_level {
    INS_ISA_GENERIC,     /* whatever the compiler's base target is */
    INS_ISA_AVX2,        /* AVX2 + FMA + F16C */
    INS_ISA_AVX512,      /* AVX-512 F, BW, DQ, VL */
    INS_ISA_AVX512_BF16, /* + vdpbf16ps */
    INS_ISA_AMX,         /* + AMX tiles, bf16 */
    INS_ISA_COUNT
} ins_isa_level;

/* Best level that processor, operating system and ins_isa_limit allow. */
ins_isa_level ins_isa_detect(void);
const char *ins_isa_name(ins_isa_level level); /* "avx512_bf16" */

/* Do bf16 matrix products beat f32 ones here? Measured once (about 10 ms), because the flag alone does not tell: some
 * chips have vdpbf16ps at half the rate of f32. */
bool ins_isa_has_fast_bf16(void);

/* For tests and comparisons: act as if the processor had at most this level. INS_ISA_AMX = no limit. */
void ins_isa_limit(ins_isa_level level);

#endif
