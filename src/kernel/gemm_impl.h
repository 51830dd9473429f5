/* Inside of the kernel room: one implementation of matrix products. */
#ifndef INS_KERNEL_GEMM_IMPL_H
#define INS_KERNEL_GEMM_IMPL_H

#include "kernel/gemm.h"
#include "kernel/impl.h"

typedef struct ins_gemm_impl {
    ins_impl_head head;                         /* dtypes: of A and B */
    bool (*accepts)(const ins_gemm_args *args); /* NULL = everything that head allows */
    void (*run)(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool);
    bool from_library; /* a row's bits may depend on m and n */
} ins_gemm_impl;

/* Address of element `at` of an array of `dtype`. */
static inline const void *ins_at(const void *base, ins_dtype dtype, int64_t at) {
    size_t size = dtype == INS_DTYPE_F64 ? 8 : dtype == INS_DTYPE_F32 ? 4 : 2;
    return (const char *)base + at * (int64_t)size;
}

INS_CPU_DECLARE(ins_gemm_impl, ins_cpu_gemm);
extern const ins_gemm_impl ins_cpu_gemm_avx512_bf16;
/* Libraries (src/kernel/onednn, openblas). The rows are always there; they accept nothing where the library is missing,
 * was not built in, or is not held to the wanted instruction set. What they make depends on a product's shape: see
 * gemm_blocks.h. */
#ifdef INS_KERNEL_ONEDNN
extern const ins_gemm_impl ins_onednn_gemm, ins_onednn_gemm_amx, ins_onednn_gemm_packed, ins_onednn_sgemm;
#endif
extern const ins_gemm_impl ins_openblas_gemm;
/* oneDNN's bf16 products, or NULL when it is not built in or its library is not there. The default list takes it for
 * AMX. */
const ins_gemm_impl *ins_gemm_onednn(void);
extern const ins_gemm_impl ins_ref_gemm_f32, ins_ref_gemm_f64;

extern const ins_impl_head *const ins_gemm_impls[];     /* the default takes the first that fits */
extern const ins_impl_head *const ins_gemm_libraries[]; /* what a choice may take instead */

/* Does the row take these arguments here? */
bool ins_gemm_fits(const ins_gemm_impl *impl, const ins_gemm_args *args);
const ins_gemm_impl *ins_gemm_default(const ins_gemm_args *args); /* of ins_gemm_impls; NULL = none */
const ins_gemm_impl *ins_gemm_own(const ins_gemm_args *args);     /* the same without libraries */
/* What args->choices says, which may measure first (gemm_choice.h). */
const ins_gemm_impl *ins_gemm_choose(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool);
/* The same for a single product, without measuring: the default when the table does not know it. */
const ins_gemm_impl *ins_gemm_chosen(const ins_gemm_args *args);

#endif
