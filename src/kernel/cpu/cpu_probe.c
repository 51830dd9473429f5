/* Register-only arithmetic loops: the peak rate of one thread. */
#include "kernel/cpu/cpu.h"
#include "kernel/probe_loops.h"

/* 12 independent sums hide the latency of the multiply-add on every chip known. */
#define PROBE_SUMS 12

#ifdef INS_CPU_BF16_DOT
double ins_probe_bf16_dot(int64_t rounds, float *sink) {
    __m512 sums[PROBE_SUMS];
    __m512bh x = (__m512bh)_mm512_set1_epi32(0x3f7f3f7f), y = (__m512bh)_mm512_set1_epi32(0x34003400);
    for (int i = 0; i < PROBE_SUMS; i++) sums[i] = _mm512_set1_ps((float)i);
    for (int64_t r = 0; r < rounds; r++) {
        CPU_UNROLL
        for (int i = 0; i < PROBE_SUMS; i++) sums[i] = _mm512_dpbf16_ps(sums[i], x, y);
    }
    __m512 total = _mm512_setzero_ps();
    for (int i = 0; i < PROBE_SUMS; i++) total = _mm512_add_ps(total, sums[i]);
    *sink += ((vf)total)[0];
    return (double)rounds * PROBE_SUMS * 16 * 4;
}
#else

double INS_CPU(ins_probe_f32)(int64_t rounds, float *sink) {
    vf sums[PROBE_SUMS], x = vf_set(0.999f + *sink * 0.0f), y = vf_set(0.001f + *sink * 0.0f);
    for (int i = 0; i < PROBE_SUMS; i++) sums[i] = vf_set((float)i);
    for (int64_t r = 0; r < rounds; r++) {
        CPU_UNROLL
        for (int i = 0; i < PROBE_SUMS; i++) sums[i] = sums[i] * x + y;
    }
    vf total = {0};
    for (int i = 0; i < PROBE_SUMS; i++) total += sums[i];
    *sink += total[0];
    return (double)rounds * PROBE_SUMS * VL * 2;
}

double INS_CPU(ins_probe_f64)(int64_t rounds, float *sink) {
    typedef double vd __attribute__((vector_size(4 * VL)));
    vd sums[PROBE_SUMS], x = (0.999 + *sink * 0.0) - (vd){0}, y = (0.001 + *sink * 0.0) - (vd){0};
    for (int i = 0; i < PROBE_SUMS; i++) sums[i] = (double)i - (vd){0};
    for (int64_t r = 0; r < rounds; r++) {
        CPU_UNROLL
        for (int i = 0; i < PROBE_SUMS; i++) sums[i] = sums[i] * x + y;
    }
    vd total = {0};
    for (int i = 0; i < PROBE_SUMS; i++) total += sums[i];
    *sink += (float)total[0];
    return (double)rounds * PROBE_SUMS * VL;
}
#endif
