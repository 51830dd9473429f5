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

/* Standard normal distribution function, (1 + erf(x/sqrt2)) / 2 without cancellation on the left. */
INS_INLINE float vm_normal_cdf(float x) {
    float t = x * 0.707106781f, size = vm_abs(t), tail = 0.5f * vm_erfc_tail(size);
    tail = x < 0 ? tail : 1.0f - tail;
    return size < 0.9f ? 0.5f + 0.5f * t * vm_erf_ratio(t * t) : tail;
}

#endif
