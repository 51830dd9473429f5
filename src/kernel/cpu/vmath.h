/* Inside of kernel/cpu: f32 elementary functions as straight-line scalar code, so that loops over them vectorise.
 * Errors are a few units in the last place; the polynomials are Chebyshev fits made for the ranges named beside them.
 */
#ifndef INS_KERNEL_CPU_VMATH_H
#define INS_KERNEL_CPU_VMATH_H

#include "kernel/cpu/cpu.h"

INS_INLINE float vm_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
INS_INLINE uint32_t vm_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

#define VM_ROUND 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer that then sits in the low bits */

/* exp(x): x = n ln2 + r, |r| <= ln2/2; e^r = 1 + r + r^2 P(r). Overflows to inf, underflows gradually to 0. */
INS_INLINE float vm_exp(float x) {
    float clipped = x < -104.0f ? -104.0f : x;
    clipped = clipped > 89.0f ? 89.0f : clipped;
    float shifted = clipped * 1.44269504f + VM_ROUND, n = shifted - VM_ROUND;
    float r = clipped - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    float p = 0.001392692661f;
    p = p * r + 0.008363773874f;
    p = p * r + 0.04166655011f;
    p = p * r + 0.1666657338f;
    p = p * r + 0.5f;
    float value = 1.0f + (r + r * r * p);
    /* 2^n in two factors, because n may lie outside of the exponent's range. */
    int32_t whole = (int32_t)(vm_bits(shifted) - vm_bits(VM_ROUND)), half = whole >> 1, rest = whole - half;
    return value * vm_from_bits((uint32_t)(half + 127) << 23) * vm_from_bits((uint32_t)(rest + 127) << 23);
}

/* exp(x) for x <= 0: the same with one factor; below 2^-126 it gives 0. */
INS_INLINE float vm_exp_neg(float x) {
    float clipped = x < -87.3f ? -87.3f : x;
    float shifted = clipped * 1.44269504f + VM_ROUND, n = shifted - VM_ROUND;
    float r = clipped - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    float p = 0.001392692661f;
    p = p * r + 0.008363773874f;
    p = p * r + 0.04166655011f;
    p = p * r + 0.1666657338f;
    p = p * r + 0.5f;
    float value = 1.0f + (r + r * r * p);
    value *= vm_from_bits((vm_bits(shifted) << 23) + (127u << 23));
    return x < -87.3f ? 0.0f : value;
}

INS_INLINE float vm_abs(float x) {
    return x < 0 ? -x : x;
}
INS_INLINE float vm_sigmoid(float x) {
    return 1.0f / (1.0f + vm_exp(-x));
}

/* tanh(x): odd polynomial for |x| < 0.625, else 1 - 2 / (e^2|x| + 1). */
INS_INLINE float vm_tanh(float x) {
    float size = vm_abs(x), s = x * x;
    float p = -0.005923726206f;
    p = p * s + 0.02087346058f;
    p = p * s - 0.05382375887f;
    p = p * s + 0.1333258371f;
    p = p * s - 0.3333332702f;
    float small = x + x * s * p, large = 1.0f - 2.0f / (vm_exp(2.0f * size) + 1.0f);
    large = x < 0 ? -large : large;
    return size < 0.625f ? small : large;
}

/* exp(-Q(t)) = erfc(t) for 0.9 <= t <= 5. */
INS_INLINE float vm_erfc_tail(float t) {
    float q = 1.107463781e-7f;
    q = q * t - 4.110826726e-6f;
    q = q * t + 7.00156115e-5f;
    q = q * t - 0.0007285705213f;
    q = q * t + 0.005212092989f;
    q = q * t - 0.02742491898f;
    q = q * t + 0.1115149612f;
    q = q * t + 0.6305545058f;
    q = q * t + 1.130865996f;
    q = q * t - 0.0004545259688f;
    return t > 5.0f ? 0.0f : vm_exp_neg(-q);
}

/* erf(x)/x for |x| < 0.9, s = x^2 */
INS_INLINE float vm_erf_ratio(float s) {
    float p = -0.0006028296295f;
    p = p * s + 0.005000636924f;
    p = p * s - 0.02677180173f;
    p = p * s + 0.112819631f;
    p = p * s - 0.3761250826f;
    return p * s + 1.128379152f;
}

INS_INLINE float vm_erf(float x) {
    float size = vm_abs(x), large = 1.0f - vm_erfc_tail(size);
    large = x < 0 ? -large : large;
    return size < 0.9f ? x * vm_erf_ratio(x * x) : large;
}

/* ---- the same over whole vectors, where a loop is written in vectors --------------------------------------------- */

/* Clipped to [low, high]; NaN stays. */
INS_INLINE vf vmv_clip(vf x, float low, float high) {
#if defined(__AVX512F__)
    x = (vf)_mm512_max_ps(_mm512_set1_ps(low), (__m512)x);
    return (vf)_mm512_min_ps(_mm512_set1_ps(high), (__m512)x);
#elif defined(__AVX__)
    x = (vf)_mm256_max_ps(_mm256_set1_ps(low), (__m256)x);
    return (vf)_mm256_min_ps(_mm256_set1_ps(high), (__m256)x);
#else
    vi below = x<vf_set(low), above = x> vf_set(high);
    x = (vf)(((vi)vf_set(low) & below) | ((vi)x & ~below));
    return (vf)(((vi)vf_set(high) & above) | ((vi)x & ~above));
#endif
}

INS_INLINE vf vmv_select(vi mask, vf yes, vf no) {
    return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

/* 2^t: t = n + f, |f| <= 1/2; 2^f = 1 + f P(f). Relative error 2e-7; 0 and inf where they are due. */
INS_INLINE vf vmv_exp2(vf t) {
#if defined(__AVX512F__)
    vf n = (vf)_mm512_roundscale_ps((__m512)t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    vf f = (vf)_mm512_reduce_ps((__m512)t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); /* t - n, 0 for inf */
#else
    t = vmv_clip(t, -126.0f, 128.0f);
    vf shifted = t + VM_ROUND, n = shifted - VM_ROUND, f = t - n;
#endif
    vf p = f * 0.00133813021f + 0.00966636837f;
    p = p * f + 0.0555038117f;
    p = p * f + 0.240223497f;
    p = p * f + 0.693147182f;
    vf value = p * f + 1.0f;
#if defined(__AVX512F__)
    return (vf)_mm512_scalef_ps((__m512)value, (__m512)n);
#else
    return value * (vf)(((vi)shifted << 23) + (127 << 23)); /* 2^-126 stands for all that is smaller */
#endif
}

/* 1 / (1 + 2^t): sigmoid(x) with t = -x / ln 2. */
INS_INLINE vf vmv_logistic2(vf t) {
    return 1.0f / (1.0f + vmv_exp2(t));
}

#define VMV_LOG2E 1.44269504f

/* Standard normal distribution function, (1 + erf(x/sqrt2)) / 2 without cancellation on the left; polynomials as in
 * vm_erf. */
INS_INLINE vf vmv_normal_cdf(vf x) {
    vf t = x * 0.707106781f, size = (vf)((vi)t & 0x7fffffff), s = t * t;
    vf q = size * 1.107463781e-7f - 4.110826726e-6f;
    q = q * size + 7.00156115e-5f;
    q = q * size - 0.0007285705213f;
    q = q * size + 0.005212092989f;
    q = q * size - 0.02742491898f;
    q = q * size + 0.1115149612f;
    q = q * size + 0.6305545058f;
    q = q * size + 1.130865996f;
    q = q * size - 0.0004545259688f;
    vf tail = 0.5f * vmv_exp2(q * -VMV_LOG2E);
    tail = vmv_select(size > vf_set(5.0f), vf_set(0), tail);
    tail = vmv_select(x < vf_set(0), tail, 1.0f - tail);
    vf p = s * -0.0006028296295f + 0.005000636924f;
    p = p * s - 0.02677180173f;
    p = p * s + 0.112819631f;
    p = p * s - 0.3761250826f;
    p = p * s + 1.128379152f;
    return vmv_select(size < vf_set(0.9f), 0.5f + 0.5f * t * p, tail);
}

#endif
