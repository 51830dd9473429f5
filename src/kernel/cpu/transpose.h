/* Inside of kernel/cpu: transposition of blocks of 4-byte units (an f32, or a pair of bf16). */
#ifndef INS_KERNEL_CPU_TRANSPOSE_H
#define INS_KERNEL_CPU_TRANSPOSE_H

#include "kernel/cpu/cpu.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if defined(__SSE2__)
/* Four units of VL rows: dst[k][r] = row r's unit k. Lane j of vector i holds row 4 j + i, so that transposing the
 * 4 x 4 blocks inside the lanes puts the rows in order. */
INS_INLINE void cpu_transpose4(const char *src, int64_t row_bytes, float *dst, int64_t ld) {
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
    _mm512_storeu_ps(dst + ld, _mm512_shuffle_ps(low01, low23, 0xee));
    _mm512_storeu_ps(dst + 2 * ld, _mm512_shuffle_ps(high01, high23, 0x44));
    _mm512_storeu_ps(dst + 3 * ld, _mm512_shuffle_ps(high01, high23, 0xee));
#elif VL == 8
    __m256 x[4], low01, high01, low23, high23;
    for (int i = 0; i < 4; i++) x[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(ROW4(i)), ROW4(i + 4), 1);
    low01 = _mm256_unpacklo_ps(x[0], x[1]), high01 = _mm256_unpackhi_ps(x[0], x[1]);
    low23 = _mm256_unpacklo_ps(x[2], x[3]), high23 = _mm256_unpackhi_ps(x[2], x[3]);
    _mm256_storeu_ps(dst, _mm256_shuffle_ps(low01, low23, 0x44));
    _mm256_storeu_ps(dst + ld, _mm256_shuffle_ps(low01, low23, 0xee));
    _mm256_storeu_ps(dst + 2 * ld, _mm256_shuffle_ps(high01, high23, 0x44));
    _mm256_storeu_ps(dst + 3 * ld, _mm256_shuffle_ps(high01, high23, 0xee));
#else
    __m128 row0 = ROW4(0), row1 = ROW4(1), row2 = ROW4(2), row3 = ROW4(3);
    _MM_TRANSPOSE4_PS(row0, row1, row2, row3);
    _mm_storeu_ps(dst, row0), _mm_storeu_ps(dst + ld, row1);
    _mm_storeu_ps(dst + 2 * ld, row2), _mm_storeu_ps(dst + 3 * ld, row3);
#endif
#undef ROW4
}
#else
INS_INLINE void cpu_transpose4(const char *src, int64_t row_bytes, float *dst, int64_t ld) {
    for (int r = 0; r < VL; r++)
        for (int p = 0; p < 4; p++) memcpy(dst + p * ld + r, src + r * row_bytes + p * 4, 4);
}
#endif

/* VL rows of 4-byte units, row_bytes apart, into VL columns of dst, whose rows are ld apart. */
INS_INLINE void cpu_transpose(const char *src, int64_t row_bytes, int64_t units, float *dst, int64_t ld) {
    int64_t p = 0;
    for (; p + 4 <= units; p += 4) cpu_transpose4(src + p * 4, row_bytes, dst + p * ld, ld);
    for (; p < units; p++)
        for (int r = 0; r < VL; r++) memcpy(dst + p * ld + r, src + r * row_bytes + p * 4, 4);
}

#endif
