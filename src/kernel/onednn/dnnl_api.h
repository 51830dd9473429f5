/* Inside of kernel/onednn: the part of oneDNN's C interface that we use, the same for its versions 2 and 3.
 *
 * The library is not linked: it brings OpenMP, OpenCL and a start-up cost of its own, and most products gain nothing
 * from it. It is loaded at first use, in the version whose header this was compiled with, and held to the instruction
 * set that ins_isa_detect() allowed then.
 */
#ifndef INS_KERNEL_ONEDNN_DNNL_API_H
#define INS_KERNEL_ONEDNN_DNNL_API_H

#include <dnnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/isa.h"

/* A matmul of one shape: sources f32 or bf16, row strides, f32 bias [n]. */
typedef struct ins_dnnl_shape {
    int64_t m, n, k;
    int64_t lda, ldb, ldc;
    bool trans_a, trans_b, accumulate, bias, bf16, bf16_out;
} ins_dnnl_shape;

typedef struct ins_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} ins_dnnl;

/* Is the library there, with every function, and held to the level that is allowed now? Loads it once in the life of
 * the process. */
bool ins_dnnl_available(void);
void ins_dnnl_version(char buf[32]); /* "2.6.3"; available only */
/* An engine and a stream for the calling thread, whose OpenMP teams shrink to one thread. */
bool ins_dnnl_open(ins_dnnl *out);
void ins_dnnl_close(ins_dnnl *dnnl);

/* B of a shape in the layout that the library likes best for it. Every thread's is the same. */
typedef struct ins_dnnl_pack {
    dnnl_primitive_t reorder;
    dnnl_memory_t plain, packed, scratchpad;
    dnnl_memory_desc_t layout;
    size_t bytes, scratchpad_bytes;
} ins_dnnl_pack;

/* The `new` functions: false when the library refuses; then `out` holds nothing. */
bool ins_dnnl_pack_new(const ins_dnnl *dnnl, const ins_dnnl_shape *shape, ins_dnnl_pack *out);
void ins_dnnl_pack_free(ins_dnnl_pack *pack);
bool ins_dnnl_pack_run(const ins_dnnl *dnnl, const ins_dnnl_pack *pack, const void *plain, void *packed,
                       void *scratchpad);

typedef struct ins_dnnl_matmul {
    dnnl_primitive_t primitive;
    dnnl_memory_t src, weights, bias, dst, scratchpad;
    size_t scratchpad_bytes;
} ins_dnnl_matmul;

/* pack: B comes in that layout; NULL = as it is. */
bool ins_dnnl_matmul_new(const ins_dnnl *dnnl, const ins_dnnl_shape *shape, const ins_dnnl_pack *pack,
                         ins_dnnl_matmul *out);
void ins_dnnl_matmul_free(ins_dnnl_matmul *matmul);
bool ins_dnnl_matmul_run(const ins_dnnl *dnnl, const ins_dnnl_matmul *matmul, const void *src, const void *weights,
                         const void *bias, void *dst, void *scratchpad);

/* C = op(A) op(B) (+ C) in f32, by the library's BLAS-like function; needs an open ins_dnnl in this thread. */
bool ins_dnnl_sgemm(const ins_dnnl_shape *shape, const float *a, const float *b, bool add, float *c);

#endif
