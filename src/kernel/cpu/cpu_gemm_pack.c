/* Packing of GEMM operands; layouts in cpu_gemm.h. */
#include "kernel/cpu/cpu_gemm.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

static inline size_t gemm_size(ins_dtype dtype) {
    return dtype == INS_DTYPE_F32 ? 4 : 2;
}

static inline const char *gemm_at(const gemm_operand *src, int64_t at) {
    return (const char *)src->base + at * (int64_t)gemm_size(src->dtype);
}

void INS_CPU(ins_gemm_pack_a)(const gemm_operand *src, int64_t row, int64_t n, int64_t k0, int64_t kc, float *dst) {
    for (int64_t i = 0; i < n; i++, dst += GEMM_LDA) {
        int64_t at = (row + i) * src->ld + k0;
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
        int64_t step = MR * (int64_t)gemm_size(src->dtype), i = 0;
        float *tile = dst + p / UNIT_K * MR;
        for (; i + MR <= n; i += MR, tile += MR * GEMM_KC) {
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
        int64_t step = NR * (int64_t)gemm_size(src->dtype), j = 0;
        for (; j + NR <= n; j += NR, line += step) {
            gemm_units(src->dtype, line, next, NR, dst + j * GEMM_KC);
            if (next) next += step;
        }
        if (j == n) continue;
        memset(dst + j * GEMM_KC, 0, NR * 4);
        gemm_units(src->dtype, line, next, n - j, dst + j * GEMM_KC);
    }
}

#if defined(__SSE2__)
/* Four units of k of VL rows: dst[k][r] = row r's unit k. Lane j of vector i holds row 4 j + i, so that transposing the
 * 4 x 4 blocks inside the lanes puts the rows in order. */
INS_INLINE void gemm_transpose4(const char *src, int64_t row_bytes, float *dst) {
#define ROW4(r) _mm_loadu_ps((const float *)(const void *)(src + (r)*row_bytes))
#if VL == 16
    __m512 x[4], low01, high01, low23, high23;
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_insertf32x4(_mm512_castps128_ps512(ROW4(i)), ROW4(i + 4), 1);
        x[i] = _mm512_insertf32x4(_mm512_insertf32x4(x[i], ROW4(i + 8), 2), ROW4(i + 12), 3);
    }
    low01 = _mm512_unpacklo_ps(x[0], x[1]), high01 = _mm512_unpackhi_ps(x[0], x[1]);
    low23 = _mm512_unpacklo_ps(x[2], x[3]), high23 = _mm512_unpackhi_ps(x[2], x[3]);
    _mm512_storeu_ps(dst, _mm512_shuffle_ps(low01, low23, 0x44));
    _mm512_storeu_ps(dst + NR, _mm512_shuffle_ps(low01, low23, 0xee));
    _mm512_storeu_ps(dst + 2 * NR, _mm512_shuffle_ps(high01, high23, 0x44));
    _mm512_storeu_ps(dst + 3 * NR, _mm512_shuffle_ps(high01, high23, 0xee));
#elif VL == 8
    __m256 x[4], low01, high01, low23, high23;
    for (int i = 0; i < 4; i++) x[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(ROW4(i)), ROW4(i + 4), 1);
    low01 = _mm256_unpacklo_ps(x[0], x[1]), high01 = _mm256_unpackhi_ps(x[0], x[1]);
    low23 = _mm256_unpacklo_ps(x[2], x[3]), high23 = _mm256_unpackhi_ps(x[2], x[3]);
    _mm256_storeu_ps(dst, _mm256_shuffle_ps(low01, low23, 0x44));
    _mm256_storeu_ps(dst + NR, _mm256_shuffle_ps(low01, low23, 0xee));
    _mm256_storeu_ps(dst + 2 * NR, _mm256_shuffle_ps(high01, high23, 0x44));
    _mm256_storeu_ps(dst + 3 * NR, _mm256_shuffle_ps(high01, high23, 0xee));
#else
    __m128 row0 = ROW4(0), row1 = ROW4(1), row2 = ROW4(2), row3 = ROW4(3);
    _MM_TRANSPOSE4_PS(row0, row1, row2, row3);
    _mm_storeu_ps(dst, row0), _mm_storeu_ps(dst + NR, row1);
    _mm_storeu_ps(dst + 2 * NR, row2), _mm_storeu_ps(dst + 3 * NR, row3);
#endif
#undef ROW4
}
#else
INS_INLINE void gemm_transpose4(const char *src, int64_t row_bytes, float *dst) {
    for (int r = 0; r < VL; r++)
        for (int p = 0; p < 4; p++) memcpy(dst + p * NR + r, src + r * row_bytes + p * 4, 4);
}
#endif

/* VL rows of whole units, row_bytes apart, into columns of dst. */
INS_INLINE void gemm_transpose(const char *src, int64_t row_bytes, int64_t units, float *dst) {
    int64_t p = 0;
    for (; p + 4 <= units; p += 4) gemm_transpose4(src + p * 4, row_bytes, dst + p * NR);
    for (; p < units; p++)
        for (int r = 0; r < VL; r++) memcpy(dst + p * NR + r, src + r * row_bytes + p * 4, 4);
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
            gemm_transpose((const char *)rows, GEMM_KC * 4, kc, dst + half * VL);
        }
        return;
    }
#endif
    int64_t row_bytes = src->ld * (int64_t)gemm_size(src->dtype);
    for (int half = 0; half < 2; half++)
        gemm_transpose(gemm_at(src, (col + half * VL) * src->ld + k0), row_bytes, kc / UNIT_K, dst + half * VL);
    if (kc % UNIT_K) gemm_pack_bt_edge(src, col, NR, k0 + kc - 1, 1, dst + kc / UNIT_K * NR);
}

void INS_CPU(ins_gemm_pack_bt)(const gemm_operand *src, int64_t col, int64_t n, int64_t k0, int64_t kc, float *dst) {
    int64_t j = 0;
    for (; j + NR <= n; j += NR) gemm_pack_bt_sliver(src, col + j, k0, kc, dst + j * GEMM_KC);
    if (j == n) return;
    memset(dst + j * GEMM_KC, 0, (size_t)ins_ceil_div(kc, UNIT_K) * NR * 4);
    gemm_pack_bt_edge(src, col + j, n - j, k0, kc, dst + j * GEMM_KC);
}
