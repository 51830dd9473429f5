/* Inside of kernel/openblas: the one function of OpenBLAS that we use. Its C interface has been the same for decades,
 * so no header is needed; the library is loaded at first use. */
#ifndef INS_KERNEL_OPENBLAS_OPENBLAS_API_H
#define INS_KERNEL_OPENBLAS_OPENBLAS_API_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/isa.h"

/* Is the library there, and did it choose its kernels for the level that is allowed now? Loads it once in the life of
 * the process. The first call sets environment variables for as long as the library loads: no other thread may read
 * the environment meanwhile. */
bool ins_openblas_available(void);
void ins_openblas_version(char buf[64]); /* "0.3.21 SkylakeX"; available only */

typedef struct ins_openblas_product {
    bool trans_a, trans_b, add;
    int32_t m, n, k, lda, ldb, ldc;
} ins_openblas_product;

/* C = op(A) op(B) (+ C), in the calling thread. */
void ins_openblas_sgemm(const ins_openblas_product *p, const float *a, const float *b, float *c);

#endif
