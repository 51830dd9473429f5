/* Inside of kernel/cpu: these files are compiled once per instruction set. room.cmake sets INS_CPU_SUFFIX (generic,
 * avx2, avx512), INS_CPU_LEVEL (the ins_isa_level) and the compiler's target flags.
 */
#ifndef INS_KERNEL_CPU_CPU_H
#define INS_KERNEL_CPU_CPU_H

#include <string.h>

#include "kernel/impl.h"

#ifndef INS_CPU_SUFFIX
#define INS_CPU_SUFFIX generic
#define INS_CPU_LEVEL  INS_ISA_GENERIC
#endif

#define INS_CPU_JOIN2(name, suffix) name##_##suffix
#define INS_CPU_JOIN(name, suffix)  INS_CPU_JOIN2(name, suffix)
#define INS_CPU(name)               INS_CPU_JOIN(name, INS_CPU_SUFFIX)
#define INS_CPU_STR2(suffix)        #suffix
#define INS_CPU_STR(suffix)         INS_CPU_STR2(suffix)
#define INS_CPU_NAME                "cpu-" INS_CPU_STR(INS_CPU_SUFFIX)
#define INS_CPU_HEAD                                                                                                   \
    { INS_CPU_NAME, INS_CPU_LEVEL, INS_DTYPES_CPU }

#define INS_INLINE static inline __attribute__((always_inline))

/* Vectors of floats: the widest the target has. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define VL 16
#elif defined(__AVX__)
#include <immintrin.h>
#define VL 8
#else
#define VL 4
#endif
typedef float vf __attribute__((vector_size(4 * VL)));
typedef float vf_unaligned __attribute__((vector_size(4 * VL), aligned(4), may_alias));
typedef uint32_t u32_alias __attribute__((may_alias));
typedef int32_t vi __attribute__((vector_size(4 * VL)));

INS_INLINE vf vf_load(const float *src) {
    return *(const vf_unaligned *)src;
}
INS_INLINE void vf_store(float *dst, vf v) {
    *(vf_unaligned *)dst = v;
}
INS_INLINE vf vf_set(float x) {
    return x - (vf){0};
}

/* Element moves between a storage dtype (f32 or bf16) and f32 work arrays; n elements, the compiler vectorises. */
INS_INLINE void cpu_load(ins_dtype dtype, const void *src, int64_t at, int64_t n, float *restrict dst) {
    if (dtype == INS_DTYPE_F32) {
        memcpy(dst, (const float *)src + at, (size_t)n * 4);
        return;
    }
    const uint16_t *restrict half = (const uint16_t *)src + at;
    u32_alias *restrict bits = (u32_alias *)(void *)dst;
    for (int64_t i = 0; i < n; i++) bits[i] = (uint32_t)half[i] << 16;
}

INS_INLINE void cpu_store(ins_dtype dtype, const float *restrict src, void *dst, int64_t at, int64_t n) {
    if (dtype == INS_DTYPE_F32) {
        memcpy((float *)dst + at, src, (size_t)n * 4);
        return;
    }
    uint16_t *restrict half = (uint16_t *)dst + at;
    for (int64_t i = 0; i < n; i++) {
        union {
            float f;
            uint32_t u;
        } v = {.f = src[i]};
        uint32_t rounded = (v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16, nan = (v.u >> 16) | 0x40u;
        half[i] = (uint16_t)((v.u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
}

/* A view of n f32 values: the memory itself for f32, else a converted copy in `work`. */
INS_INLINE const float *cpu_view(ins_dtype dtype, const void *src, int64_t at, int64_t n, float *restrict work) {
    if (dtype == INS_DTYPE_F32) return (const float *)src + at;
    cpu_load(dtype, src, at, n, work);
    return work;
}

#endif
