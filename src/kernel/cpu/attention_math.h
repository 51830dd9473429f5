/* Inside of kernel/cpu: vector arithmetic of attention's softmax, in powers of two. */
#ifndef INS_KERNEL_CPU_ATTENTION_MATH_H
#define INS_KERNEL_CPU_ATTENTION_MATH_H

#include <math.h>

#include "kernel/cpu/cpu.h"

#define ATT_LOG2E 1.44269504088896340736
#define ATT_LN2   0.69314718055994530942

INS_INLINE vi vi_load(const int32_t *src) {
    typedef int32_t vi_unaligned __attribute__((vector_size(4 * VL), aligned(2), may_alias));
    return *(const vi_unaligned *)src;
}

/* x as it is, kept from being fused with what follows: sums that are made in two places have the same bits. */
INS_INLINE vf att_rounded(vf x) {
#if VL == 16
    __asm__("" : "+v"(x));
#elif defined(__x86_64__)
    __asm__("" : "+x"(x));
#else
    __asm__("" : "+m"(x));
#endif
    return x;
}

/* The larger; y when one of them is NaN. */
INS_INLINE vf att_max(vf x, vf y) {
#if VL == 16
    return (vf)_mm512_max_ps((__m512)x, (__m512)y);
#elif VL == 8
    return (vf)_mm256_max_ps((__m256)x, (__m256)y);
#else
    vi first = x > y;
    return (vf)(((vi)x & first) | ((vi)y & ~first));
#endif
}

/* x in the lanes whose interval [lo, hi) holds j, other elsewhere. */
INS_INLINE vf att_select(vf x, vf other, vi lo, vi hi, int32_t j) {
#if VL == 16
    __m512i at = _mm512_set1_epi32(j);
    __mmask16 seen = _mm512_cmple_epi32_mask((__m512i)lo, at);
    seen = _mm512_mask_cmpgt_epi32_mask(seen, (__m512i)hi, at);
    return (vf)_mm512_mask_blend_ps(seen, (__m512)other, (__m512)x);
#else
    vi at = j - (vi){0}, seen = (lo <= at) & (hi > at);
    return (vf)(((vi)x & seen) | ((vi)other & ~seen));
#endif
}

/* 2^x for x <= 0 (rounding may put it a little above): 0 below 2^-127, NaN stays. x = n + r, |r| <= 1/2; the number
 * added to round also puts n + 127 into the low bits, ready for the exponent. 2^r = 1 + r Q(r), error 1.6e-7. */
INS_INLINE vf att_exp2(vf x) {
    const float round = 12583039.0f; /* 1.5 * 2^23 + 127 */
    x = att_max(vf_set(-127.0f), x);
    vf shifted = x + round, r = x - (shifted - round);
    vf p = r * 0.00132647273f + 0.00967151299f;
    p = p * r + 0.0555073358f;
    p = p * r + 0.240222424f;
    p = p * r + 0.693147004f;
    p = p * r + 1.0f;
    return att_rounded(p * (vf)((vi)shifted << 23));
}

/* log2 of x > 0, normal: x = 2^e (1 + f), 1 + f in [1/sqrt2, sqrt2); log2(1 + f) = f P(f), error 2.6e-8. */
INS_INLINE vf att_log2(vf x) {
    vi whole = ((vi)x - 0x3f3504f3) >> 23;
    vf f = (vf)((vi)x - (whole << 23)) - 1.0f;
    vf p = f * 0.125838384f - 0.207271606f;
    p = p * f + 0.21571596f;
    p = p * f - 0.238944605f;
    p = p * f + 0.287916183f;
    p = p * f - 0.360703677f;
    p = p * f + 0.480910659f;
    p = p * f - 0.721347332f;
    p = p * f + 1.44269502f;
    return __builtin_convertvector(whole, vf) + f * p;
}

#ifdef INS_CPU_BF16_DOT
/* Two vectors as 32 bf16 values, one behind the other. */
INS_INLINE vf att_narrow(vf first, vf second) {
    return (vf)(__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
}
/* Two vectors as 16 units: lane by lane one value of each. */
INS_INLINE vf att_unit(vf first, vf second) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                           21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return (vf)_mm512_permutexvar_epi16(order, (__m512i)att_narrow(first, second));
}
#endif

#endif
