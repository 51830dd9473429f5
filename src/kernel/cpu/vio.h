/* Inside of kernel/cpu: vectors of f32 between registers and memory of either dtype. `half` (bf16) is a constant where
 * these are inlined. A part holds the first n < VL elements; the others are a fill value in registers and are not
 * touched in memory.
 */
#ifndef INS_KERNEL_CPU_VIO_H
#define INS_KERNEL_CPU_VIO_H

#include "kernel/cpu/cpu.h"

typedef uint16_t vio_half __attribute__((vector_size(2 * VL)));
typedef uint16_t vio_half_unaligned __attribute__((vector_size(2 * VL), aligned(2), may_alias));
typedef uint32_t vio_bits __attribute__((vector_size(4 * VL)));

INS_INLINE vf vio_widen(vio_half half) {
#if defined(__AVX512F__) /* gcc 12 makes three instructions of the conversion below */
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)half), 16);
#else
    return (vf)(__builtin_convertvector(half, vio_bits) << 16);
#endif
}

/* To nearest even; NaN stays NaN: the rounding of cpu_store. The builds for bf16 instructions (activations) round what
 * is below the normal numbers to 0.
 */
INS_INLINE vio_half vio_round(vf v) {
#if defined(__AVX512BF16__)
    return (vio_half)_mm512_cvtneps_pbh((__m512)v);
#elif defined(__AVX512F__)
    __m512i bits = _mm512_castps_si512((__m512)v), high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    __mmask16 is_nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
    __m256i narrow = _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, is_nan, high, _mm512_set1_epi32(0x40)));
    __asm__("" : "+v"(narrow)); /* not merged with a store: that form is many times slower on Zen 4 */
    return (vio_half)narrow;
#else
    vio_bits bits = (vio_bits)v, high = bits >> 16, is_nan = (vio_bits)(v != v);
    vio_bits rounded = (bits + (high & 1) + 0x7fff) >> 16;
    return __builtin_convertvector((rounded & ~is_nan) | ((high | 0x40) & is_nan), vio_half);
#endif
}

INS_INLINE vf vio_load(const bool half, const void *src, int64_t at) {
    if (!half) return vf_load((const float *)src + at);
    return vio_widen(*(const vio_half_unaligned *)(const void *)((const uint16_t *)src + at));
}

/* Stores a vector or part, and gives the value that a later load sees. */
INS_INLINE vf vio_keep_n(const bool half, void *dst, int64_t at, int64_t n, vf v) {
    if (!half) {
        if (n == VL)
            vf_store((float *)dst + at, v);
        else
            memcpy((float *)dst + at, &v, (size_t)n * 4);
        return v;
    }
    vio_half rounded = vio_round(v);
    if (n == VL)
        *(vio_half_unaligned *)(void *)((uint16_t *)dst + at) = rounded;
    else
        memcpy((uint16_t *)dst + at, &rounded, (size_t)n * 2);
    return vio_widen(rounded);
}

INS_INLINE vf vio_load_part(const bool half, const void *src, int64_t at, int64_t n, vf fill) {
    if (half) {
        vio_half part = vio_round(fill);
        memcpy(&part, (const uint16_t *)src + at, (size_t)n * 2);
        vf wide = vio_widen(part);
        for (int64_t i = n; i < VL; i++) wide[i] = fill[i];
        return wide;
    }
    memcpy(&fill, (const float *)src + at, (size_t)n * 4);
    return fill;
}

/* Whole vector or part, by n. */
INS_INLINE vf vio_load_n(const bool half, const void *src, int64_t at, int64_t n, vf fill) {
    return n == VL ? vio_load(half, src, at) : vio_load_part(half, src, at, n, fill);
}
INS_INLINE void vio_store_n(const bool half, void *dst, int64_t at, int64_t n, vf v) {
    (void)vio_keep_n(half, dst, at, n, v);
}

/* Sum over the lanes, by halves. */
INS_INLINE float vio_sum(vf v) {
    float lane[VL];
    vf_store(lane, v);
    for (int width = VL / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) lane[i] += lane[i + width];
    return lane[0];
}

#endif
