/* Inside of the kernel room: products through libraries. C is cut into a grid of blocks that depends on the shape
 * alone; every block is one single-threaded call of the library, run by the pool. So 1 and 2 threads give equal bits,
 * and the library's own threads are never used. A row's bits may depend on the other rows and columns of its block.
 */
#ifndef INS_KERNEL_GEMM_BLOCKS_H
#define INS_KERNEL_GEMM_BLOCKS_H

#include "kernel/gemm_impl.h"

typedef struct ins_gemm_grid {
    int64_t mb, nb;   /* rows and columns of a block; edges are smaller */
    int64_t n_m, n_n; /* blocks down and across */
} ins_gemm_grid;

/* Blocks of up to 512 x 512, more of them when the product is large enough to feed several threads. */
ins_gemm_grid ins_gemm_grid_make(const ins_gemm_args *args, int64_t batch);

/* A block as a product of its own. down, across: its place in the grid; item: of the batch. */
typedef struct ins_gemm_block {
    ins_gemm_args args;
    int64_t down, across, item;
} ins_gemm_block;

/* `context` is what ins_gemm_blocks_run was given. False: the library refused; our own kernel makes the block. */
typedef bool (*ins_gemm_block_fn)(const ins_gemm_block *block, void *context);
void ins_gemm_blocks_run(const ins_gemm_args *args, const ins_gemm_batch *batch, const ins_gemm_grid *grid,
                         ins_pool *pool, ins_gemm_block_fn run, void *context);

/* For libraries that know no bias: puts it where C += A B finds it. Returns whether the product must now be added to C.
 * f32 only. */
bool ins_gemm_block_bias(const ins_gemm_args *args);

#endif
