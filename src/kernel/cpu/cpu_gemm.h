/* Inside of kernel/cpu: block sizes of the packed matrix product and the packing of its operands.
 *
 * A task makes a region of C from all of k, in steps: a block of its rows times a stretch of at most GEMM_KC units of
 * k. A step walks over slivers of NR columns: it packs one of B (L1 or L2; the first tile of rows does it on the way
 * where B is stored [k,n]) and runs the micro-kernel down the block's rows, MR at a time. A stays where it is as long
 * as its rows do not share cache sets, else the first sliver packs it. An A stored [k,m] is packed one step ahead, a
 * piece by each tile, into the other of two buffers. Packed A stays in L2. What comes next is prefetched by the
 * micro-kernel, a line every few multiply-adds: the next rows of A or the next piece of it, the source of the next
 * sliver, the lines of C.
 *
 * So the order in which a C element is summed depends on k alone, never on m, n, the block or the thread: a row's
 * result is the same in any batch, and the grid of blocks may follow the number of threads.
 *
 * A "unit" is 4 bytes of one row or column: one f32, or with INS_CPU_BF16_DOT two neighbours in k as bf16.
 *   A in rows: [row][row stride]     A in tiles (source [k,m]): [tile of MR rows][k][MR]
 *   B: one sliver [k][NR]
 */
#ifndef INS_KERNEL_CPU_CPU_GEMM_H
#define INS_KERNEL_CPU_CPU_GEMM_H

#include "kernel/cpu/cpu.h"
#include "kernel/gemm_impl.h"

#if VL == 16
#define MR        14
#define GEMM_KC   512 /* units of k in a stretch */
#define GEMM_ROWS 280 /* rows of a block of GEMM_KC units, half as many when A is stored [k,m] */
#elif VL == 8
#define MR        6
#define GEMM_KC   256
#define GEMM_ROWS 264
#else
#define MR        4
#define GEMM_KC   256
#define GEMM_ROWS 128
#endif
#define NR (2 * VL)

/* Packed rows and tiles lie this many units more than their length apart, so that they do not share cache sets. */
#define GEMM_PAD    16
#define GEMM_PACKED (GEMM_ROWS / 2 * (GEMM_KC + GEMM_PAD)) /* floats of one of two buffers of packed A */
#define GEMM_PART   (GEMM_ROWS * 256) /* f32 sums of a block whose C is bf16, between two stretches */

#ifdef INS_CPU_BF16_DOT
#define UNIT_K 2 /* values of k in a unit */
#else
#define UNIT_K 1
#endif

typedef struct gemm_operand {
    const void *base; /* first element of this batch item */
    int64_t ld;
    ins_dtype dtype;
} gemm_operand;

INS_INLINE int64_t gemm_size(ins_dtype dtype) {
    return dtype == INS_DTYPE_F32 ? 4 : 2;
}
INS_INLINE const char *gemm_at(const gemm_operand *src, int64_t row, int64_t col) {
    return (const char *)src->base + (row * src->ld + col) * gemm_size(src->dtype);
}

/* Rows [row, row + n) and values [k0, k0 + kc) of k of an A stored [m,k] into rows `stride` units apart; an odd end of
 * k is filled with 0. */
void INS_CPU(ins_gemm_pack_a)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst,
                              int64_t stride);
/* The same from an A stored [k,m], into tiles of MR rows, `stride` units apart. Writes up to VL units past the last
 * unit of each tile: pieces of k are packed in order. */
void INS_CPU(ins_gemm_pack_at)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst,
                               int64_t stride);
/* The sliver of columns [col, col + n), n <= NR, of a B stored [k,n]; columns past n become 0. */
void INS_CPU(ins_gemm_pack_b)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst);
/* The same from a B stored [n,k]. */
void INS_CPU(ins_gemm_pack_bt)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst);

#endif
