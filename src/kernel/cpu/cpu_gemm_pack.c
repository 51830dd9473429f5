/* Packing of GEMM operands; layouts in cpu_gemm.h. */
#include "kernel/cpu/cpu_gemm.h"
#include "kernel/cpu/transpose.h"

void INS_CPU(ins_gemm_pack_a)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst,
                              int64_t stride) {
    for (int64_t i = 0; i < n; i++, dst += stride) {
        const char *line = gemm_at(src, row + i, k0);
#ifdef INS_CPU_BF16_DOT
        if (kc & 1) memset(dst + kc / 2, 0, 4);
        memcpy(dst, line, (size_t)kc * 2);
#else
        cpu_load(src->dtype, line, 0, kc, dst);
#endif
    }
}

/* `n` units of one k from a matrix whose k runs down the rows. next: values of k + 1 (bf16 pairs), NULL past the end.
 */
INS_INLINE void gemm_pack_units(ins_dtype dtype, const void *row, const void *next, int64_t n, float *restrict dst) {
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

/* A tile takes whole vectors, MR rounded up: what they write past the tile's row is overwritten by the next k. */
#define TILE_WIDTH ((MR + VL - 1) / VL * VL)

void INS_CPU(ins_gemm_pack_at)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst,
                               int64_t stride) {
    int64_t step = MR * gemm_size(src->dtype), wide = n - TILE_WIDTH;
    for (int64_t p = 0; p < kc; p += UNIT_K) {
        const char *line = gemm_at(src, k0 + p, row);
        const char *next = p + 1 < kc ? line + src->ld * gemm_size(src->dtype) : NULL;
        float *tile = dst + p / UNIT_K * MR;
        int64_t i = 0;
        for (; i <= wide; i += MR, tile += stride, line += step) {
            gemm_pack_units(src->dtype, line, next, TILE_WIDTH, tile);
            if (next) next += step;
        }
        for (; i < n; i += MR, tile += stride, line += step) {
            gemm_pack_units(src->dtype, line, next, ins_min_i64(MR, n - i), tile);
            if (next) next += step;
        }
    }
}

void INS_CPU(ins_gemm_pack_b)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst) {
    const char *line = gemm_at(src, k0, col);
    int64_t row_bytes = src->ld * gemm_size(src->dtype);
    for (int64_t p = 0; p < kc; p += UNIT_K, dst += NR, line += UNIT_K * row_bytes) {
        const char *next = p + 1 < kc ? line + row_bytes : NULL;
        if (n == NR) {
            gemm_pack_units(src->dtype, line, next, NR, dst);
            continue;
        }
        memset(dst, 0, NR * 4);
        gemm_pack_units(src->dtype, line, next, n, dst);
    }
}

#if VL == 16
/* 16 units of 16 rows into 16 columns of a sliver. Masked loads put blocks of 4 x 4 into lanes without a shuffle, and
 * each line of a row is visited once: rows a power of two of bytes apart share a cache set. */
static void gemm_turn(const char *src, int64_t row_bytes, float *dst) {
#define ROW4(r) _mm_loadu_ps((const float *)(const void *)(src + (r)*row_bytes + 16 * g))
    __m512 x[4][4];
    CPU_UNROLL
    for (int i = 0; i < 4; i++) {
        CPU_UNROLL
        for (int g = 0; g < 4; g++)
            x[g][i] = _mm512_mask_broadcast_f32x4(_mm512_castps128_ps512(ROW4(i)), 0x00f0, ROW4(i + 4));
    }
    CPU_UNROLL
    for (int i = 0; i < 4; i++) {
        CPU_UNROLL
        for (int g = 0; g < 4; g++) {
            x[g][i] = _mm512_mask_broadcast_f32x4(x[g][i], 0x0f00, ROW4(i + 8));
            x[g][i] = _mm512_mask_broadcast_f32x4(x[g][i], 0xf000, ROW4(i + 12));
        }
    }
#undef ROW4
    CPU_UNROLL
    for (int g = 0; g < 4; g++, dst += 4 * NR) {
        __m512 low01 = _mm512_unpacklo_ps(x[g][0], x[g][1]), high01 = _mm512_unpackhi_ps(x[g][0], x[g][1]);
        __m512 low23 = _mm512_unpacklo_ps(x[g][2], x[g][3]), high23 = _mm512_unpackhi_ps(x[g][2], x[g][3]);
        _mm512_storeu_ps(dst, _mm512_shuffle_ps(low01, low23, 0x44));
        _mm512_storeu_ps(dst + NR, _mm512_shuffle_ps(low01, low23, 0xee));
        _mm512_storeu_ps(dst + 2 * NR, _mm512_shuffle_ps(high01, high23, 0x44));
        _mm512_storeu_ps(dst + 3 * NR, _mm512_shuffle_ps(high01, high23, 0xee));
    }
}
#endif

/* VL rows into VL columns of a sliver. */
static void gemm_turn_rows(const char *src, int64_t row_bytes, int64_t units, float *dst) {
#if VL == 16
    for (; units >= 16; units -= 16, src += 64, dst += 16 * NR) gemm_turn(src, row_bytes, dst);
#endif
    cpu_transpose(src, row_bytes, units, dst, NR);
}

/* The edge: fewer than NR columns, or the odd last value of k of bf16 pairs. */
static void gemm_pack_bt_edge(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst) {
    for (int64_t j = 0; j < n; j++) {
        const char *row = gemm_at(src, col + j, k0);
#ifdef INS_CPU_BF16_DOT
        const uint16_t *values = (const uint16_t *)(const void *)row;
        for (int64_t p = 0; p < kc; p += 2) {
            uint32_t unit = values[p] | (p + 1 < kc ? (uint32_t)values[p + 1] << 16 : 0);
            memcpy(dst + p / 2 * NR + j, &unit, 4);
        }
#else
        for (int64_t p = 0; p < kc; p++) cpu_load(src->dtype, row, p, 1, dst + p * NR + j);
#endif
    }
}

void INS_CPU(ins_gemm_pack_bt)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst) {
    if (n < NR) {
        memset(dst, 0, (size_t)ins_ceil_div(kc, UNIT_K) * NR * 4);
        gemm_pack_bt_edge(src, col, n, k0, kc, dst);
        return;
    }
#ifndef INS_CPU_BF16_DOT
    if (src->dtype != INS_DTYPE_F32) {
        float rows[VL * GEMM_KC];
        for (int half = 0; half < 2; half++) {
            for (int64_t r = 0; r < VL; r++)
                cpu_load(src->dtype, gemm_at(src, col + half * VL + r, k0), 0, kc, rows + r * GEMM_KC);
            cpu_transpose((const char *)rows, GEMM_KC * 4, kc, dst + half * VL, NR);
        }
        return;
    }
#endif
    int64_t row_bytes = src->ld * gemm_size(src->dtype);
    for (int half = 0; half < 2; half++)
        gemm_turn_rows(gemm_at(src, col + half * VL, k0), row_bytes, kc / UNIT_K, dst + half * VL);
    if (kc % UNIT_K) gemm_pack_bt_edge(src, col, NR, k0 + kc - 1, 1, dst + kc / UNIT_K * NR);
}
