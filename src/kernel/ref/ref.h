/* Inside of kernel/ref: plain C, written once over ins_real and compiled twice (INS_REAL=float and double). Storage and
 * arithmetic have the same type. Slow and obvious on purpose: the fast kernels are tested against the f64 build.
 */
#ifndef INS_KERNEL_REF_REF_H
#define INS_KERNEL_REF_REF_H

#include <tgmath.h>
#include <string.h>

#include "kernel/impl.h"

#ifndef INS_REAL_F64
typedef float ins_real;
#define INS_REF(name) name##_f32
#define INS_REF_HEAD                                                                                                   \
    { "ref-f32", INS_ISA_GENERIC, INS_DTYPE_BIT(INS_DTYPE_F32) }
#else
typedef double ins_real;
#define INS_REF(name) name##_f64
#define INS_REF_HEAD                                                                                                   \
    { "ref-f64", INS_ISA_GENERIC, INS_DTYPE_BIT(INS_DTYPE_F64) }
#endif

#endif
