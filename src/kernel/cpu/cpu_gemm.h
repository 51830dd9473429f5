/* Inside of kernel/cpu: block sizes of the packed matrix product and the packing of its operands.
 *
 * A task makes one block of C, at most GEMM_MB x GEMM_NB, from all of k. For each stretch of at most GEMM_KC of k it
 * packs its rows of A and its columns of B (both stay in L2) and, sliver by sliver of NR columns (one stays in L1),
 * runs the micro-kernel over MR rows at a time. So the order in which a C element is summed depends on k alone, never
 * on m, n, the block or the thread: a row's result is the same in any batch.
 *
 * A "unit" is 4 bytes of one row or column: one f32, or with INS_CPU_BF16_DOT two neighbours in k as bf16.
 *   packed A, rows kept: [row][GEMM_LDA]     packed A, transposed source: [tile of MR rows, GEMM_TILE_A apart][k][MR]
 *   packed B: [sliver of NR columns, GEMM_TILE_B apart][k][NR]
 */
#ifndef INS_KERNEL_CPU_CPU_GEMM_H
#define INS_KERNEL_CPU_CPU_GEMM_H

#include "kernel/cpu/cpu.h"
#include "kernel/gemm_impl.h"

#if VL == 16
#define MR 14
#elif VL == 8
#define MR 6
#else
#define MR 4
#endif
#define NR (2 * VL)
#ifndef GEMM_KC
#define GEMM_KC 256 /* units of k in a stretch */
#endif
#define GEMM_MB 280 /* rows of a block */
#define GEMM_NB 256 /* columns of a block */
/* Row stride of packed A: not a power of two, so that the rows of a tile do not share cache sets. */
#define GEMM_LDA (GEMM_KC + 16)
/* Distance of packed tiles of A and slivers of B, padded for the same reason. */
#define GEMM_TILE_A (MR * GEMM_KC + 16)
#define GEMM_TILE_B (NR * GEMM_KC + 16)

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

/* Rows [row, row + n) and values [k0, k0 + kc) of k of an A stored [m,k]; an odd end of k is filled with 0. */
void INS_CPU(ins_gemm_pack_a)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst);
/* The same from an A stored [k,m], into tiles of MR rows. */
void INS_CPU(ins_gemm_pack_at)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst);
/* Columns [col, col + n) of a B stored [k,n] into slivers; columns past n become 0. */
void INS_CPU(ins_gemm_pack_b)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst);
/* The same from a B stored [n,k]. */
void INS_CPU(ins_gemm_pack_bt)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst);

#endif
