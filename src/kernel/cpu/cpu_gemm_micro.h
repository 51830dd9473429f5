/* Inside of kernel/cpu: the micro-kernel of the matrix product, MR x NR sums in registers over one stretch of k. */
#ifndef INS_KERNEL_CPU_CPU_GEMM_MICRO_H
#define INS_KERNEL_CPU_CPU_GEMM_MICRO_H

#include "kernel/cpu/cpu_gemm.h"

/* A region of memory to ask for while a tile is computed: `lines` cache lines of each of `rows` rows. */
typedef struct gemm_ahead {
    const char *at;
    int64_t row_bytes, rows, lines;
} gemm_ahead;
#define GEMM_STEP 16 /* units between prefetches */

/* Where a tile's sums start and where they go. Each matrix is f32, or bf16 where `_half` says so. */
typedef struct gemm_tile {
    int64_t cols;      /* <= NR */
    const float *init; /* [NR] what each row's sums start from: bias or 0 */
    const void *add;   /* added to the sums at the end, or NULL */
    int64_t ld_add;
    bool add_half;
    void *dst;
    int64_t ld_dst;
    bool dst_half;
    gemm_ahead ahead_a, ahead_b;
    /* Where the sliver is not packed yet: its first unit in B stored [k,n]. The tile then packs as it goes. */
    const char *source;
    int64_t source_row; /* bytes between values of k */
} gemm_tile;

typedef uint16_t gemm_u16 __attribute__((vector_size(2 * VL), aligned(2), may_alias));
typedef uint32_t gemm_u32 __attribute__((vector_size(4 * VL)));

INS_INLINE vf gemm_load_half(const uint16_t *src) {
    return (vf)(__builtin_convertvector(*(const gemm_u16 *)(const void *)src, gemm_u32) << 16);
}
INS_INLINE void gemm_store_half(uint16_t *dst, vf x) {
#ifdef INS_CPU_BF16_DOT
    _mm256_storeu_si256((__m256i *)(void *)dst, (__m256i)_mm512_cvtneps_pbh((__m512)x));
#else
    gemm_u32 bits = (gemm_u32)x, rounded = bits + 0x7fffu + ((bits >> 16) & 1u), nan = bits | 0x400000u;
    gemm_u32 is_nan = (gemm_u32)((vi)(bits & 0x7fffffffu) > 0x7f800000);
    *(gemm_u16 *)(void *)dst = __builtin_convertvector(((nan & is_nan) | (rounded & ~is_nan)) >> 16, gemm_u16);
#endif
}

INS_INLINE vf gemm_fma(vf sum, const float *unit, vf columns) {
#ifdef INS_CPU_BF16_DOT
    __m512i pair = _mm512_set1_epi32(*(const int32_t __attribute__((may_alias)) *)unit);
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pair, (__m512bh)columns);
#else
    return sum + columns * *unit;
#endif
}

/* sum += what tile->add holds for `rows` rows. */
INS_INLINE void gemm_add(const int rows, vf (*sum)[2], const gemm_tile *tile) {
    if (!tile->add) return;
    if (tile->add_half) {
        const uint16_t *src = tile->add;
        CPU_UNROLL
        for (int r = 0; r < rows; r++, src += tile->ld_add)
            sum[r][0] += gemm_load_half(src), sum[r][1] += gemm_load_half(src + VL);
    } else {
        const float *src = tile->add;
        CPU_UNROLL
        for (int r = 0; r < rows; r++, src += tile->ld_add) sum[r][0] += vf_load(src), sum[r][1] += vf_load(src + VL);
    }
}

INS_INLINE void gemm_store(const int rows, vf (*sum)[2], const gemm_tile *tile) {
    gemm_add(rows, sum, tile);
    if (tile->dst_half) {
        uint16_t *dst = tile->dst;
        CPU_UNROLL
        for (int r = 0; r < rows; r++, dst += tile->ld_dst)
            gemm_store_half(dst, sum[r][0]), gemm_store_half(dst + VL, sum[r][1]);
    } else {
        float *dst = tile->dst;
        CPU_UNROLL
        for (int r = 0; r < rows; r++, dst += tile->ld_dst) vf_store(dst, sum[r][0]), vf_store(dst + VL, sum[r][1]);
    }
}

/* The right edge, where fewer than NR columns belong to C: the same arithmetic on a copy. */
static __attribute__((noinline)) void gemm_store_edge(int rows, vf (*sum)[2], const gemm_tile *tile) {
    float add[NR] = {0}, dst[NR];
    gemm_tile line = *tile;
    if (tile->add) line.add = add;
    line.dst = dst;
    int64_t add_size = tile->add_half ? 2 : 4, dst_size = tile->dst_half ? 2 : 4;
    for (int r = 0; r < rows; r++) {
        if (tile->add)
            memcpy(add, (const char *)tile->add + r * tile->ld_add * add_size, (size_t)(tile->cols * add_size));
        gemm_store(1, sum + r, &line);
        memcpy((char *)tile->dst + r * tile->ld_dst * dst_size, dst, (size_t)(tile->cols * dst_size));
    }
}

/* The walk through such a region, `turn` lines at a time. */
typedef struct gemm_walk {
    const char *row;
    int64_t line, left, turn;
} gemm_walk;

INS_INLINE gemm_walk gemm_walk_start(const gemm_ahead *ahead, int64_t turns) {
    int64_t lines = ahead->rows * ahead->lines;
    return (gemm_walk){.row = ahead->at, .left = lines, .turn = (lines + turns - 1) / turns};
}

INS_INLINE void gemm_walk_on(gemm_walk *walk, const gemm_ahead *ahead) {
    int64_t n = ins_min_i64(walk->turn, walk->left);
    walk->left -= n;
    for (; n > 0; n--) {
        __builtin_prefetch(walk->row + walk->line * 64, 0, 2);
        if (++walk->line == ahead->lines) walk->line = 0, walk->row += ahead->row_bytes;
    }
}

/* VL units of B stored [k,n]. */
INS_INLINE vf gemm_source(const char *source, int64_t row) {
#ifdef INS_CPU_BF16_DOT
    __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)source));
    __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(source + row)));
    return (vf)_mm512_or_si512(low, _mm512_slli_epi32(high, 16));
#else
    (void)row;
    return vf_load((const float *)(const void *)source);
#endif
}

/* `rows`, `fuse` and, for tiles, the strides are constants after inlining, so that the sums live in registers. fuse:
 * take B from tile->source and pack it into mat_b on the way. */
INS_INLINE void gemm_micro(const int rows, const bool fuse, const float *mat_a, const int64_t row_a,
                           const int64_t unit_a, float *mat_b, int64_t units, const gemm_tile *tile) {
    vf sum[MR][2], left = vf_load(tile->init), right = vf_load(tile->init + VL);
    CPU_UNROLL
    for (int r = 0; r < rows; r++) sum[r][0] = left, sum[r][1] = right;
    int64_t turns = ins_max_i64(1, (units + GEMM_STEP - 1) / GEMM_STEP);
    gemm_walk walk_a = gemm_walk_start(&tile->ahead_a, turns), walk_b = gemm_walk_start(&tile->ahead_b, turns);
    const char *ahead_c = tile->dst, *source = tile->source;
    int64_t row_c = tile->ld_dst * (tile->dst_half ? 2 : 4);
    for (int64_t more = units; more > 0; more -= GEMM_STEP) {
        gemm_walk_on(&walk_a, &tile->ahead_a), gemm_walk_on(&walk_b, &tile->ahead_b);
        if (units - more < rows * GEMM_STEP) {
            __builtin_prefetch(ahead_c, 1), __builtin_prefetch(ahead_c + 64, 1);
            ahead_c += row_c;
        }
        int64_t n = more < GEMM_STEP ? more : GEMM_STEP;
        for (int64_t p = 0; p < n; p++, mat_a += unit_a, mat_b += NR) {
            if (fuse) {
                left = gemm_source(source, tile->source_row);
                right = gemm_source(source + VL * 4 / UNIT_K, tile->source_row);
                vf_store(mat_b, left), vf_store(mat_b + VL, right);
                source += UNIT_K * tile->source_row;
            } else {
                left = vf_load(mat_b), right = vf_load(mat_b + VL);
            }
            CPU_UNROLL
            for (int r = 0; r < rows; r++) {
                sum[r][0] = gemm_fma(sum[r][0], mat_a + r * row_a, left);
                sum[r][1] = gemm_fma(sum[r][1], mat_a + r * row_a, right);
            }
        }
    }
    if (tile->cols == NR) {
        gemm_store(rows, sum, tile);
        return;
    }
    vf spilled[MR][2]; /* sum itself must not have an address */
    CPU_UNROLL
    for (int r = 0; r < rows; r++) spilled[r][0] = sum[r][0], spilled[r][1] = sum[r][1];
    gemm_store_edge(rows, spilled, tile);
}

#if MR == 14
#define GEMM_CASES                                                                                                     \
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#elif MR == 6
#define GEMM_CASES CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#else
#define GEMM_CASES CASE(1) CASE(2) CASE(3) CASE(4)
#endif

/* One tile of rows, `stride` units apart. */
static void gemm_tile_rows(int64_t rows, const float *mat_a, int64_t stride, float *mat_b, int64_t units,
                           const gemm_tile *tile) {
    if (tile->source) {
        gemm_micro(MR, true, mat_a, stride, 1, mat_b, units, tile);
        return;
    }
#define CASE(r)                                                                                                        \
    case r:                                                                                                            \
        gemm_micro(r, false, mat_a, stride, 1, mat_b, units, tile);                                                    \
        break;
    switch (rows) { GEMM_CASES }
#undef CASE
}

/* One tile packed from a transposed A. */
static void gemm_tile_packed(int64_t rows, const float *mat_a, float *mat_b, int64_t units, const gemm_tile *tile) {
    if (tile->source) {
        gemm_micro(MR, true, mat_a, 1, MR, mat_b, units, tile);
        return;
    }
#define CASE(r)                                                                                                        \
    case r:                                                                                                            \
        gemm_micro(r, false, mat_a, 1, MR, mat_b, units, tile);                                                        \
        break;
    switch (rows) { GEMM_CASES }
#undef CASE
}

#endif
