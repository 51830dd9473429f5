/* Inside of kernel/cpu: the small matrix products and tile moves that attention is made of.
 *
 * Tiles are f32 with fixed strides, so that the register kernel has constant addresses: rows of queries ATT_QLD apart,
 * rows of probabilities ATT_PLD apart. Rows are padded to ATT_MR, columns to ATT_NR with zeros.
 */
#ifndef INS_KERNEL_CPU_ATTENTION_TILE_H
#define INS_KERNEL_CPU_ATTENTION_TILE_H

#include <math.h>

#include "kernel/attention_impl.h"
#include "kernel/cpu/transpose.h"
#include "kernel/cpu/vmath.h"

#if VL == 16
#define ATT_MR 8
#else
#define ATT_MR 4
#endif
#define ATT_NR   (2 * VL)
#define ATT_KEYS 64 /* keys of a tile */
#define ATT_QLD  (INS_ATTENTION_MAX_HEAD + 16)
#define ATT_PLD  (ATT_KEYS + 16)

/* C[ATT_MR, n] (+)= A[ATT_MR, k] B[k, n]; n a multiple of ATT_NR. A's strides are constants after inlining. */
INS_INLINE void att_product(const float *mat_a, const int64_t row_a, const int64_t col_a, const float *mat_b,
                            int64_t ldb, int64_t k, int64_t n, float *mat_c, int64_t ldc, const bool add) {
    for (int64_t j = 0; j < n; j += ATT_NR) {
        vf sum[ATT_MR][2];
        const float *row_b = mat_b + j, *left = mat_a;
        float *dst = mat_c + j;
        CPU_UNROLL
        for (int r = 0; r < ATT_MR; r++) {
            sum[r][0] = add ? vf_load(dst + r * ldc) : (vf){0};
            sum[r][1] = add ? vf_load(dst + r * ldc + VL) : (vf){0};
        }
        for (int64_t p = 0; p < k; p++, row_b += ldb, left += col_a) {
            vf low = vf_load(row_b), high = vf_load(row_b + VL);
            CPU_UNROLL
            for (int r = 0; r < ATT_MR; r++) {
                sum[r][0] += low * left[r * row_a];
                sum[r][1] += high * left[r * row_a];
            }
        }
        CPU_UNROLL
        for (int r = 0; r < ATT_MR; r++) {
            vf_store(dst + r * ldc, sum[r][0]);
            vf_store(dst + r * ldc + VL, sum[r][1]);
        }
    }
}

/* One row of `cols` values times factor. */
INS_INLINE void att_load_row(ins_dtype dtype, const void *src, int64_t at, int64_t cols, float factor, float *row) {
    if (dtype == INS_DTYPE_F32) {
        const float *from = (const float *)src + at;
        int64_t c = 0;
        for (; c + VL <= cols; c += VL) vf_store(row + c, vf_load(from + c) * factor);
        for (; c < cols; c++) row[c] = from[c] * factor;
        return;
    }
    cpu_load(dtype, src, at, cols, row);
    for (int64_t c = 0; c < cols; c++) row[c] *= factor;
}

/* n rows of `cols` values times factor into dst[rows_padded][ld], zero beyond them up to cols_padded. */
static inline void att_load_rows(ins_dtype dtype, const void *src, int64_t at, int64_t src_ld, int64_t n, int64_t cols,
                                 float factor, float *dst, int64_t ld, int64_t rows_padded, int64_t cols_padded) {
    for (int64_t r = 0; r < n; r++) {
        att_load_row(dtype, src, at + r * src_ld, cols, factor, dst + r * ld);
        for (int64_t c = cols; c < cols_padded; c++) dst[r * ld + c] = 0;
    }
    for (int64_t r = n; r < rows_padded; r++) memset(dst + r * ld, 0, (size_t)cols_padded * 4);
}

/* Rows of the next tile, asked for while this one is worked on. */
static inline void att_prefetch_rows(ins_dtype dtype, const void *src, int64_t at, int64_t src_ld, int64_t n,
                                     int64_t cols) {
    int64_t size = dtype == INS_DTYPE_F32 ? 4 : 2;
    for (int64_t r = 0; r < n; r++)
        for (int64_t byte = 0; byte < cols * size; byte += 64)
            __builtin_prefetch((const char *)src + (at + r * src_ld) * size + byte, 0, 1);
}

/* dst[cols][ATT_KEYS] = transpose of src[ATT_KEYS][ld]. */
static inline void att_transpose(const float *src, int64_t ld, int64_t cols, float *dst) {
    for (int64_t r = 0; r < ATT_KEYS; r += VL)
        cpu_transpose((const char *)(src + r * ld), ld * 4, cols, dst + r, ATT_KEYS);
}

static inline int64_t att_round_up(int64_t n, int64_t unit) {
    return ins_ceil_div(n, unit) * unit;
}

/* Row's interval cut to the tile of keys at key0, relative to it. */
static inline ins_key_range att_cut(ins_key_range row, int64_t key0, int64_t n_keys) {
    ins_key_range cut = {ins_max_i64(0, row.begin - key0), ins_min_i64(n_keys, row.end - key0)};
    return cut;
}

/* Smallest interval that holds those of n rows, cut to a tile of keys; empty (begin >= end) when none sees it. */
static inline ins_key_range att_union(const ins_key_range *rows, int64_t n, int64_t key0, int64_t n_keys) {
    ins_key_range all = {n_keys, 0};
    for (int64_t r = 0; r < n; r++) {
        ins_key_range cut = att_cut(rows[r], key0, n_keys);
        if (cut.begin >= cut.end) continue;
        all.begin = ins_min_i64(all.begin, cut.begin), all.end = ins_max_i64(all.end, cut.end);
    }
    return all;
}

/* Scores outside [begin, end) of one row of a tile become -inf. */
static inline void att_mask_row(float *score, int64_t begin, int64_t end) {
    for (int64_t j = 0; j < begin; j++) score[j] = -INFINITY;
    for (int64_t j = end; j < ATT_KEYS; j++) score[j] = -INFINITY;
}

#endif
