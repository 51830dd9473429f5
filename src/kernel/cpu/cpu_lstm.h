/* Inside of kernel/cpu: the recurrent product of the LSTM.
 *
 * A task takes at most LSTM_MR rows of the batch through all time steps, so that no step waits for another core. The
 * matrix is packed once a call. Each step reads it once, from L2 (or L3), in slivers of LSTM_NR columns; the state of
 * the task's rows stays in L1. Which rows make a task may follow the number of threads: a row's sums run over k in
 * order whatever the tile, so its bits are the same in any slice.
 *
 * A "unit" is 4 bytes along k: one f32, or with INS_CPU_BF16_DOT two neighbours as bf16.
 *   forward   columns = units of one gate, k = h:     sliver [group of NR units][gate][k][NR]
 *   backward  columns = h, k = units of one gate:     sliver [gate][group of NR columns][k][NR]
 */
#ifndef INS_KERNEL_CPU_CPU_LSTM_H
#define INS_KERNEL_CPU_CPU_LSTM_H

#include "kernel/cpu/cpu.h"
#include "kernel/cpu/vmath.h"
#include "kernel/lstm_impl.h"

#if VL == 16
#define LSTM_MR 14
#elif VL == 8
#define LSTM_MR 6
#else
#define LSTM_MR 4
#endif
#define LSTM_NR (2 * VL)

#ifdef INS_CPU_BF16_DOT
#define LSTM_UNIT 2
#else
#define LSTM_UNIT 1
#endif

typedef struct lstm_job {
    const ins_lstm_args *args;
    int64_t units;    /* of k */
    int64_t n_groups; /* of NR columns */
    int64_t rows;     /* of a task */
    int64_t buffer;   /* distance of row buffers, in floats */
    float *packed, *buffers;
} lstm_job;

static inline lstm_job lstm_job_make(const ins_lstm_args *args, const ins_pool *pool) {
    int64_t threads = ins_pool_threads(pool), per_task = ins_ceil_div(args->batch, threads);
    lstm_job job = {.args = args,
                    .units = ins_ceil_div(args->hidden, LSTM_UNIT),
                    .n_groups = ins_ceil_div(args->hidden, LSTM_NR),
                    .rows = ins_ceil_div(per_task, ins_ceil_div(per_task, LSTM_MR)),
                    .buffer = ins_lstm_buffer(args),
                    .packed = args->scratch};
    job.buffers = job.packed + ins_lstm_packed(args);
    return job;
}

static inline const float *lstm_sliver(const lstm_job *job, int64_t index) {
    return job->packed + index * job->units * LSTM_NR;
}

INS_INLINE vf lstm_fma(vf sum, const float *unit, vf columns) {
#ifdef INS_CPU_BF16_DOT
    __m512i pair = _mm512_set1_epi32(*(const int32_t __attribute__((may_alias)) *)unit);
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pair, (__m512bh)columns);
#else
    return sum + columns * *unit;
#endif
}

/* dst[r][0..NR) += sum_k state[r][k] sliver[k][0..NR) for `rows` rows, a constant after inlining. */
INS_INLINE void lstm_micro(const int rows, const float *state, int64_t ld, const float *sliver, int64_t units,
                           float *dst, int64_t ld_dst) {
    vf sum[LSTM_MR][2];
    CPU_UNROLL
    for (int r = 0; r < rows; r++) sum[r][0] = vf_load(dst + r * ld_dst), sum[r][1] = vf_load(dst + r * ld_dst + VL);
    for (int64_t k = 0; k < units; k++, sliver += LSTM_NR) {
        vf left = vf_load(sliver), right = vf_load(sliver + VL);
        CPU_UNROLL
        for (int r = 0; r < rows; r++) {
            sum[r][0] = lstm_fma(sum[r][0], state + r * ld + k, left);
            sum[r][1] = lstm_fma(sum[r][1], state + r * ld + k, right);
        }
    }
    CPU_UNROLL
    for (int r = 0; r < rows; r++) vf_store(dst + r * ld_dst, sum[r][0]), vf_store(dst + r * ld_dst + VL, sum[r][1]);
}

static inline void lstm_product(int64_t rows, const float *state, int64_t ld, const float *sliver, int64_t units,
                                float *dst, int64_t ld_dst) {
#define CASE(r)                                                                                                        \
    case r:                                                                                                            \
        lstm_micro(r, state, ld, sliver, units, dst, ld_dst);                                                          \
        break
    switch (rows) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
#if LSTM_MR >= 6
        CASE(5);
        CASE(6);
#endif
#if LSTM_MR >= 14
        CASE(7);
        CASE(8);
        CASE(9);
        CASE(10);
        CASE(11);
        CASE(12);
        CASE(13);
        CASE(14);
#endif
    }
#undef CASE
}

/* ---- the gates' functions, on whole vectors. Polynomials as in vmath.h ---- */

typedef uint32_t lstm_bits __attribute__((vector_size(4 * VL)));

INS_INLINE vf lstm_select(vi mask, vf yes, vf no) {
    return (vf)(((vi)yes & mask) | ((vi)no & ~mask));
}

/* e^x for |x| <= 87; what lies outside is taken for 87 */
INS_INLINE vf lstm_exp(vf x) {
    x = lstm_select(x > 87.0f, vf_set(87.0f), x);
    x = lstm_select(x < -87.0f, vf_set(-87.0f), x);
    vf shifted = x * 1.44269504f + VM_ROUND, n = shifted - VM_ROUND;
    vf r = x - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    vf p = r * 0.001392692661f + 0.008363773874f;
    p = p * r + 0.04166655011f;
    p = p * r + 0.1666657338f;
    p = p * r + 0.5f;
    vf value = 1.0f + (r + r * r * p);
    return value * (vf)(((lstm_bits)shifted << 23) + (127u << 23));
}

/* 1 / x for x of 1 to 1e38, to about an ulp */
INS_INLINE vf lstm_inverse(vf x) {
#if VL == 16
    vf guess = (vf)_mm512_rcp14_ps((__m512)x);
    return guess + guess * (1.0f - x * guess);
#else
    return 1.0f / x;
#endif
}

INS_INLINE vf lstm_sigmoid(vf x) {
    return lstm_inverse(1.0f + lstm_exp(-x));
}

INS_INLINE vf lstm_tanh(vf x) {
    vf s = x * x, size = (vf)((vi)x & 0x7fffffff);
    vf p = s * -0.005923726206f + 0.02087346058f;
    p = p * s - 0.05382375887f;
    p = p * s + 0.1333258371f;
    p = p * s - 0.3333332702f;
    vf small = x + x * s * p, large = 1.0f - 2.0f * lstm_inverse(lstm_exp(2.0f * size) + 1.0f);
    return lstm_select(size < 0.625f, small, (vf)((vi)large | ((vi)x & (int32_t)0x80000000)));
}

/* n values, rounded to the storage dtype, as values [begin, begin + n) of a row of units. */
INS_INLINE void lstm_units(ins_dtype dtype, const float *src, int64_t n, float *dst, int64_t begin) {
#ifdef INS_CPU_BF16_DOT
    (void)dtype;
    cpu_store(INS_DTYPE_BF16, src, dst, begin, n);
#else
    if (dtype == INS_DTYPE_F32)
        memcpy(dst + begin, src, (size_t)n * 4);
    else
        for (int64_t i = 0; i < n; i++) dst[begin + i] = ins_bf16_to_f32(ins_f32_to_bf16(src[i]));
#endif
}

void INS_CPU(ins_lstm_backward)(const ins_lstm_args *args, ins_pool *pool);

#endif
