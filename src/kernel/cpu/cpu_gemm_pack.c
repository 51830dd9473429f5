/* Packing of GEMM operands; layouts in cpu_gemm.h. */
#include "kernel/cpu/cpu_gemm.h"
#include "kernel/cpu/transpose.h"

static inline size_t gemm_size(ins_dtype dtype) {
    return dtype == INS_DTYPE_F32 ? 4 : 2;
}

static inline const char *gemm_at(const gemm_operand *src, int64_t at) {
    return (const char *)src->base + at * (int64_t)gemm_size(src->dtype);
}

/* Pieces of rows of the source are far apart, so that the hardware sees no stream in them: ask for the lines that will
 * be read some rows later, into L2: the few slots for L1 misses would stall the copy. */
#define GEMM_AHEAD 6
INS_INLINE void gemm_prefetch(const gemm_operand *src, const char *line, int64_t rows, int64_t n) {
    int64_t row_bytes = src->ld * (int64_t)gemm_size(src->dtype), bytes = n * (int64_t)gemm_size(src->dtype);
    const char *ahead = line + GEMM_AHEAD * rows * row_bytes;
    for (int64_t r = 0; r < rows; r++, ahead += row_bytes)
        for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(ahead + at, 0, 1);
}

void INS_CPU(ins_gemm_pack_a)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst) {
    for (int64_t i = 0; i < n; i++, dst += GEMM_LDA) {
        int64_t at = (row + i) * src->ld + k0;
        gemm_prefetch(src, gemm_at(src, at), 1, kc);
#ifdef INS_CPU_BF16_DOT
        if (kc & 1) memset(dst + kc / 2, 0, 4);
        memcpy(dst, gemm_at(src, at), (size_t)kc * 2);
#else
        cpu_load(src->dtype, src->base, at, kc, dst);
#endif
    }
}

/* `n` units of one k from a matrix whose k runs down the rows. next: values of k + 1 (bf16 pairs), NULL past the end.
 */
INS_INLINE void gemm_units(ins_dtype dtype, const void *row, const void *next, int64_t n, float *restrict dst) {
#ifdef INS_CPU_BF16_DOT
    (void)dtype;
    const uint16_t *restrict low = row, *restrict high = next;
    u32_alias *restrict units = (u32_alias *)(void *)dst;
    if (high)
        for (int64_t i = 0; i < n; i++) units[i] = low[i] | (uint32_t)high[i] << 16;
    else
        for (int64_t i = 0; i < n; i++) units[i] = low[i];
#else
    (void)next;
    cpu_load(dtype, row, 0, n, dst);
#endif
}

void INS_CPU(ins_gemm_pack_at)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst) {
    for (int64_t p = 0; p < kc; p += UNIT_K) {
        const char *line = gemm_at(src, (k0 + p) * src->ld + row);
        const char *next = p + 1 < kc ? line + src->ld * (int64_t)gemm_size(src->dtype) : NULL;
        gemm_prefetch(src, line, UNIT_K, n);
        int64_t step = MR * (int64_t)gemm_size(src->dtype), i = 0;
        float *tile = dst + p / UNIT_K * MR;
        for (; i + MR <= n; i += MR, tile += GEMM_TILE_A) {
            gemm_units(src->dtype, line, next, MR, tile);
            line += step;
            if (next) next += step;
        }
        if (i < n) gemm_units(src->dtype, line, next, n - i, tile);
    }
}

void INS_CPU(ins_gemm_pack_b)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst) {
    for (int64_t p = 0; p < kc; p += UNIT_K, dst += NR) {
        const char *line = gemm_at(src, (k0 + p) * src->ld + col);
        const char *next = p + 1 < kc ? line + src->ld * (int64_t)gemm_size(src->dtype) : NULL;
        gemm_prefetch(src, line, UNIT_K, n);
        int64_t step = NR * (int64_t)gemm_size(src->dtype), j = 0;
        for (; j + NR <= n; j += NR, line += step) {
            gemm_units(src->dtype, line, next, NR, dst + j / NR * GEMM_TILE_B);
            if (next) next += step;
        }
        if (j == n) continue;
        memset(dst + j / NR * GEMM_TILE_B, 0, NR * 4);
        gemm_units(src->dtype, line, next, n - j, dst + j / NR * GEMM_TILE_B);
    }
}

/* The edge: fewer than NR columns, or the odd last value of k of bf16 pairs. */
static void gemm_pack_bt_edge(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst) {
    for (int64_t j = 0; j < n; j++) {
#ifdef INS_CPU_BF16_DOT
        const uint16_t *row = (const uint16_t *)src->base + (col + j) * src->ld + k0;
        for (int64_t p = 0; p < kc; p += 2) {
            uint32_t unit = row[p] | (p + 1 < kc ? (uint32_t)row[p + 1] << 16 : 0);
            memcpy(dst + p / 2 * NR + j, &unit, 4);
        }
#else
        for (int64_t p = 0; p < kc; p++)
            cpu_load(src->dtype, src->base, (col + j) * src->ld + k0 + p, 1, dst + p * NR + j);
#endif
    }
}

/* One sliver of NR columns. */
static void gemm_pack_bt_sliver(const gemm_operand *src, int64_t col, int64_t k0, int64_t kc, float *dst) {
#ifndef INS_CPU_BF16_DOT
    if (src->dtype != INS_DTYPE_F32) {
        float rows[VL * GEMM_KC];
        for (int half = 0; half < 2; half++) {
            for (int64_t r = 0; r < VL; r++)
                cpu_load(src->dtype, src->base, (col + half * VL + r) * src->ld + k0, kc, rows + r * GEMM_KC);
            cpu_transpose((const char *)rows, GEMM_KC * 4, kc, dst + half * VL, NR);
        }
        return;
    }
#endif
    int64_t row_bytes = src->ld * (int64_t)gemm_size(src->dtype);
    for (int half = 0; half < 2; half++)
        cpu_transpose(gemm_at(src, (col + half * VL) * src->ld + k0), row_bytes, kc / UNIT_K, dst + half * VL, NR);
    if (kc % UNIT_K) gemm_pack_bt_edge(src, col, NR, k0 + kc - 1, 1, dst + kc / UNIT_K * NR);
}

void INS_CPU(ins_gemm_pack_bt)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst) {
    int64_t j = 0;
    for (; j + NR <= n; j += NR) gemm_pack_bt_sliver(src, col + j, k0, kc, dst + j / NR * GEMM_TILE_B);
    if (j == n) return;
    memset(dst + j / NR * GEMM_TILE_B, 0, (size_t)ins_ceil_div(kc, UNIT_K) * NR * 4);
    gemm_pack_bt_edge(src, col + j, n - j, k0, kc, dst + j / NR * GEMM_TILE_B);
}
