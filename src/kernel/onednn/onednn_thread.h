/* Inside of kernel/onednn: what each thread keeps of the library: an engine, a stream, and the primitives that it has
 * made, until it ends. Memory objects hold pointers, so threads can't share them.
 */
#ifndef INS_KERNEL_ONEDNN_ONEDNN_THREAD_H
#define INS_KERNEL_ONEDNN_ONEDNN_THREAD_H

#include "kernel/gemm_impl.h"
#include "kernel/onednn/dnnl_api.h"

typedef struct onednn_buffer {
    void *data;
    size_t bytes;
} onednn_buffer;

typedef struct onednn_thread {
    ins_dnnl dnnl;
    struct onednn_entry *entries;
    onednn_buffer scratchpad;
    onednn_buffer packed; /* B in the library's layout, of the product that this thread has called for */
} onednn_thread;

/* The calling thread's, made at first use; NULL when that fails. */
onednn_thread *onednn_thread_get(void);
bool onednn_reserve(onednn_buffer *buffer, size_t bytes);

ins_dnnl_shape onednn_shape(const ins_gemm_args *args);

/* Primitives for a shape; NULL when the library refuses it. packed_m > 0: B comes in the layout for that many rows. */
const ins_dnnl_matmul *onednn_matmul(onednn_thread *thread, const ins_dnnl_shape *shape, int64_t packed_m);
const ins_dnnl_pack *onednn_pack(onednn_thread *thread, const ins_dnnl_shape *shape);

bool onednn_takes(const ins_gemm_args *args); /* dtypes and processor */

#endif
