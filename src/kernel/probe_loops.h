/* Inside of the kernel room: register-only loops whose rate is the arithmetic peak of one thread. */
#ifndef INS_KERNEL_PROBE_LOOPS_H
#define INS_KERNEL_PROBE_LOOPS_H

#include "tensor/tensor.h"

/* Best FLOP/s of one thread over about `seconds` of repeated short runs, one at least. bf16 without the instruction:
 * f32's rate. */
double ins_probe_loop_rate(ins_dtype dtype, double seconds);

/* Per-ISA loops: `rounds` rounds of independent multiply-adds, returns the FLOPs done. *sink keeps the result alive. */
typedef double (*ins_probe_loop)(int64_t rounds, float *sink);
double ins_probe_f32_generic(int64_t rounds, float *sink);
double ins_probe_f32_avx2(int64_t rounds, float *sink);
double ins_probe_f32_avx512(int64_t rounds, float *sink);
double ins_probe_f64_generic(int64_t rounds, float *sink);
double ins_probe_f64_avx2(int64_t rounds, float *sink);
double ins_probe_f64_avx512(int64_t rounds, float *sink);
double ins_probe_bf16_dot(int64_t rounds, float *sink);

#endif
