/* Inside of kernel/onednn: the part of oneDNN's C interface that we use, the same for its versions 2 and 3.
 *
 * The library is not linked: it brings OpenMP, OpenCL and a start-up cost of its own, and only processors with AMX gain
 * from it. It is loaded at first use, in the version whose header this was compiled with.
 */
#ifndef INS_KERNEL_ONEDNN_DNNL_API_H
#define INS_KERNEL_ONEDNN_DNNL_API_H

#include <dnnl.h>
#include <stdbool.h>
#include <stdint.h>

/* A matmul of one shape: bf16 sources, row strides, f32 bias [n]. */
typedef struct ins_dnnl_shape {
    int64_t m, n, k;
    int64_t lda, ldb, ldc;
    bool trans_a, trans_b, accumulate, bias, bf16_out;
} ins_dnnl_shape;

typedef struct ins_dnnl_matmul {
    dnnl_primitive_t primitive;
    dnnl_memory_t src, weights, bias, dst, scratchpad;
    size_t scratchpad_bytes;
} ins_dnnl_matmul;

typedef struct ins_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} ins_dnnl;

/* Is the library there and does it have every function? Loads it once in the life of the process. */
bool ins_dnnl_available(void);
/* An engine and a stream for the calling thread, whose OpenMP teams shrink to one thread. */
bool ins_dnnl_open(ins_dnnl *out);
void ins_dnnl_close(ins_dnnl *dnnl);

/* false when the library refuses; then `out` holds nothing. */
bool ins_dnnl_matmul_new(const ins_dnnl *dnnl, const ins_dnnl_shape *shape, ins_dnnl_matmul *out);
void ins_dnnl_matmul_free(ins_dnnl_matmul *matmul);
bool ins_dnnl_matmul_run(const ins_dnnl *dnnl, const ins_dnnl_matmul *matmul, const void *src, const void *weights,
                         const void *bias, void *dst, void *scratchpad);

#endif
