/* Inside of the kernel room: one implementation of matrix products. */
#ifndef INS_KERNEL_GEMM_IMPL_H
#define INS_KERNEL_GEMM_IMPL_H

#include "kernel/gemm.h"
#include "kernel/impl.h"

typedef struct ins_gemm_impl {
    ins_impl_head head;                         /* dtypes: of A and B */
    bool (*accepts)(const ins_gemm_args *args); /* NULL = everything that head allows */
    void (*run)(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool);
} ins_gemm_impl;

/* Address of element `at` of an array of `dtype`. */
static inline const void *ins_at(const void *base, ins_dtype dtype, int64_t at) {
    size_t size = dtype == INS_DTYPE_F64 ? 8 : dtype == INS_DTYPE_F32 ? 4 : 2;
    return (const char *)base + at * (int64_t)size;
}

INS_CPU_DECLARE(ins_gemm_impl, ins_cpu_gemm);
extern const ins_gemm_impl ins_cpu_gemm_avx512_bf16;
extern const ins_gemm_impl ins_onednn_gemm; /* only in builds that found oneDNN's header */
/* It, or NULL when it is not built in or its library is not there. For tests and benchmarks: the list takes it for AMX.
 */
const ins_gemm_impl *ins_gemm_onednn(void);
extern const ins_gemm_impl ins_ref_gemm_f32, ins_ref_gemm_f64;

extern const ins_impl_head *const ins_gemm_impls[];

#endif
