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
#ifdef INS_CPU_F64
#define INS_CPU_HEAD                                                                                                   \
    { "cpu-f64", INS_ISA_GENERIC, INS_DTYPE_BIT(INS_DTYPE_F64) }
#else
#define INS_CPU_HEAD                                                                                                   \
    { INS_CPU_NAME, INS_CPU_LEVEL, INS_DTYPES_CPU }
#endif

/* Before a loop whose count is a small constant after inlining: unroll it, so that its arrays live in registers. */
#ifdef __clang__
#define CPU_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CPU_UNROLL _Pragma("GCC unroll 16")
#endif
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
/* Two bytes: rows of bf16 are moved as vectors of f32 too. */
typedef float vf_unaligned __attribute__((vector_size(4 * VL), aligned(2), may_alias));
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

INS_INLINE vf vf_max(vf x, vf y) {
    vi larger = x > y;
    return (vf)(((vi)x & larger) | ((vi)y & ~larger));
}
/* Largest of n values and `start`; NaN never wins. */
INS_INLINE float cpu_max(const float *x, int64_t n, float start) {
    vf low = vf_set(start), high = low;
    int64_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL) low = vf_max(vf_load(x + i), low), high = vf_max(vf_load(x + i + VL), high);
    low = vf_max(low, high);
    for (int lane = 0; lane < VL; lane++) start = low[lane] > start ? low[lane] : start;
    for (; i < n; i++) start = x[i] > start ? x[i] : start;
    return start;
}

/* Arithmetic type: f32 over f32 and bf16 storage; the loop_*.c files are also built over f64. */
#ifdef INS_CPU_F64
typedef double real;
#define IS_REAL(dtype) ((void)(dtype), true)
#else
typedef float real;
#define IS_REAL(dtype) ((dtype) == INS_DTYPE_F32)
#endif

/* Element moves between storage and `real` work arrays: n elements from index `at`; the compiler vectorises. */
INS_INLINE void cpu_load(ins_dtype dtype, const void *src, int64_t at, int64_t n, real *restrict dst) {
    if (IS_REAL(dtype)) {
        memcpy(dst, (const real *)src + at, (size_t)n * sizeof(real));
        return;
    }
#ifndef INS_CPU_F64
    const uint16_t *restrict half = (const uint16_t *)src + at;
    u32_alias *restrict bits = (u32_alias *)(void *)dst;
    for (int64_t i = 0; i < n; i++) bits[i] = (uint32_t)half[i] << 16;
#endif
}

INS_INLINE void cpu_store(ins_dtype dtype, const real *restrict src, void *dst, int64_t at, int64_t n) {
    if (IS_REAL(dtype)) {
        memcpy((real *)dst + at, src, (size_t)n * sizeof(real));
        return;
    }
#ifndef INS_CPU_F64
    uint16_t *restrict half = (uint16_t *)dst + at;
    const u32_alias *restrict bits = (const u32_alias *)(const void *)src;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = bits[i], rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16, nan = (u >> 16) | 0x40u;
        half[i] = (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
    }
#endif
}

/* A view of n values as `real`: the memory itself where it is, else a converted copy in `work`. */
INS_INLINE const real *cpu_view(ins_dtype dtype, const void *src, int64_t at, int64_t n, real *restrict work) {
    if (IS_REAL(dtype)) return (const real *)src + at;
    cpu_load(dtype, src, at, n, work);
    return work;
}
/* Where n results go: the memory itself, or `work`, which cpu_put then stores. */
INS_INLINE real *cpu_target(ins_dtype dtype, void *dst, int64_t at, real *work) {
    return IS_REAL(dtype) ? (real *)dst + at : work;
}
INS_INLINE void cpu_put(ins_dtype dtype, const real *work, void *dst, int64_t at, int64_t n) {
    if (!IS_REAL(dtype)) cpu_store(dtype, work, dst, at, n);
}

/* Elements of the blocks that are converted at once: three of them fit into a quarter of L1. */
#define CPU_BLOCK 512

#endif
