/* Inside of kernel/cpu: the small matrix products and tile moves that attention is made of.
 *
 * Query rows are lanes. A panel holds ATT_NR queries side by side, and scores, probabilities and outputs are kept
 * transposed: [key][ATT_NR], [channel][ATT_NR]. So the softmax runs down the columns without any sum across lanes, and
 * keys and values are used row by row as they lie in memory.
 *
 * All products have one form, C[ATT_MR, ATT_NR] += A B, where A is read scalar by scalar and B vector by vector, in
 * units of 4 bytes: one f32, or with INS_CPU_BF16_DOT two neighbours in the summed dimension as bf16.
 */
#ifndef INS_KERNEL_CPU_ATTENTION_TILE_H
#define INS_KERNEL_CPU_ATTENTION_TILE_H

#include <math.h>

#include "kernel/attention_impl.h"
#include "kernel/cpu/attention_math.h"
#include "kernel/cpu/transpose.h"

#if VL == 16
#define ATT_MR 8
#else
#define ATT_MR 4
#endif
#define ATT_NR    (2 * VL)
#define ATT_KEYS  64 /* keys of a tile */
#define ATT_MAX_C INS_ATTENTION_MAX_HEAD

#ifdef INS_CPU_BF16_DOT
#define ATT_UNIT  2 /* values in a unit */
#define ATT_DTYPE INS_DTYPE_BF16
#else
#define ATT_UNIT  1
#define ATT_DTYPE INS_DTYPE_F32
#endif
/* Strides of packed rows [row][units] and of paired rows [unit of rows][column]: constants, so that the products have
 * constant addresses, and not powers of two, so that rows do not share cache sets. */
#define ATT_PITCH (ATT_MAX_C / ATT_UNIT + 16)
#define ATT_COLS  (ATT_MAX_C + 16)

static inline int64_t att_round_up(int64_t n, int64_t unit) {
    return ins_ceil_div(n, unit) * unit;
}

/* ---- which keys the lanes see ---- */

#define ATT_LANES 256 /* query rows of a block, at most */

/* Key intervals of a block's query rows. Of each vector of VL rows: the smallest interval that holds all of theirs
 * (empty when begin >= end), and the one that all of them hold. Lanes without a row see nothing and count in neither.
 */
typedef struct att_lanes {
    _Alignas(64) int32_t lo[ATT_LANES], hi[ATT_LANES];
    int64_t begin[ATT_LANES / VL], end[ATT_LANES / VL];
    int64_t full_begin[ATT_LANES / VL], full_end[ATT_LANES / VL];
} att_lanes;

static inline void att_lanes_fill(att_lanes *lanes, const ins_attention_args *args, int64_t batch, int64_t row0,
                                  int64_t n_rows, int64_t rows_padded) {
    const int32_t *restrict lo = args->lo + batch * args->n_q + row0, *restrict hi =
                                                                          args->hi + batch * args->n_q + row0;
    int32_t n_k = (int32_t)args->n_k;
    for (int64_t r = 0; r < n_rows; r++) lanes->lo[r] = lo[r] > 0 ? lo[r] : 0;
    for (int64_t r = 0; r < n_rows; r++) lanes->hi[r] = hi[r] < n_k ? hi[r] : n_k;
    for (int64_t r = n_rows; r < rows_padded; r++) lanes->lo[r] = lanes->hi[r] = 0;
    for (int64_t vector = 0; vector * VL < rows_padded; vector++) {
        int32_t begin = n_k, end = 0, full_begin = 0, full_end = n_k;
        int64_t first = vector * VL, n = ins_max_i64(0, ins_min_i64(VL, n_rows - first));
        for (int64_t r = first; r < first + n; r++) {
            int32_t from = lanes->lo[r], to = lanes->hi[r], seen_from = from < to ? from : n_k;
            int32_t seen_to = from < to ? to : 0;
            begin = seen_from < begin ? seen_from : begin, end = seen_to > end ? seen_to : end;
            full_begin = from > full_begin ? from : full_begin, full_end = to < full_end ? to : full_end;
        }
        lanes->begin[vector] = begin, lanes->end[vector] = end;
        lanes->full_begin[vector] = full_begin, lanes->full_end[vector] = full_end;
    }
}

/* Smallest interval that holds those of n vectors. */
static inline ins_key_range att_lanes_union(const att_lanes *lanes, int64_t n) {
    ins_key_range all = {INT64_MAX, 0};
    for (int64_t v = 0; v < n; v++)
        all.begin = ins_min_i64(all.begin, lanes->begin[v]), all.end = ins_max_i64(all.end, lanes->end[v]);
    return all;
}

/* Keys [begin, end) of a tile, multiples of ATT_MR, that `count` of a panel's two vectors see, from `first` on. */
typedef struct att_segment {
    int64_t begin, end;
    int first, count;
} att_segment;

/* A vector's interval cut to a tile, in whole groups of ATT_MR keys. */
static inline att_segment att_cut(const att_lanes *lanes, int64_t panel, int which, int64_t key0, int64_t n_keys) {
    int64_t vector = 2 * panel + which, begin = ins_max_i64(0, lanes->begin[vector] - key0);
    int64_t end = ins_min_i64(n_keys, lanes->end[vector] - key0);
    if (lanes->begin[vector] >= lanes->end[vector] || begin >= end) return (att_segment){0, 0, which, 1};
    return (att_segment){begin / ATT_MR * ATT_MR, att_round_up(end, ATT_MR), which, 1};
}

/* What the two vectors of a panel see of a tile, in order of keys: at most three segments; returns how many. */
static inline int att_segments(const att_lanes *lanes, int64_t panel, int64_t key0, int64_t n_keys,
                               att_segment segments[3]) {
    att_segment low = att_cut(lanes, panel, 0, key0, n_keys), high = att_cut(lanes, panel, 1, key0, n_keys);
    int n = 0;
    if (low.begin >= low.end || (high.begin < high.end && high.begin < low.begin)) {
        att_segment swap = low;
        low = high, high = swap;
    }
    if (low.begin >= low.end) return 0;
    if (high.begin >= high.end || high.begin >= low.end) {
        segments[n++] = low;
        if (high.begin < high.end) segments[n++] = high;
        return n;
    }
    if (low.begin < high.begin) segments[n++] = (att_segment){low.begin, high.begin, low.first, 1};
    segments[n++] = (att_segment){high.begin, ins_min_i64(low.end, high.end), 0, 2};
    att_segment last = low.end > high.end ? low : high;
    last.begin = ins_min_i64(low.end, high.end);
    if (last.begin < last.end) segments[n++] = last;
    return n;
}

/* Do all lanes of `count` vectors see the ATT_MR keys from `key` on? */
static inline bool att_sees_all(const att_lanes *lanes, int64_t vector, int count, int64_t key) {
    bool all = true;
    for (int v = 0; v < count; v++)
        all &= lanes->full_begin[vector + v] <= key && key + ATT_MR <= lanes->full_end[vector + v];
    return all;
}

/* ---- products ---- */

INS_INLINE vf att_fma(vf sum, const float *unit, vf columns) {
#ifdef INS_CPU_BF16_DOT
    __m512i pair = _mm512_set1_epi32(*(const int32_t __attribute__((may_alias)) *)unit);
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pair, (__m512bh)columns);
#else
    return sum + columns * *unit;
#endif
}

/* sum[r][v] += sum over p of A[r, p] B[p, v], for `rows` rows and the vectors first .. first + count. A's strides are
 * in units; rows, first and count are constants after inlining, so that the sums live in registers. */
INS_INLINE void att_product_rows(const int rows, const int first, const int count, vf sum[ATT_MR][2],
                                 const float *mat_a, int64_t row_a, int64_t unit_a, const float *mat_b, int64_t ldb,
                                 int64_t units) {
    for (int64_t p = 0; p < units; p++, mat_a += unit_a, mat_b += ldb) {
        vf columns[2];
        for (int v = first; v < first + count; v++) columns[v] = vf_load(mat_b + v * VL);
        CPU_UNROLL
        for (int r = 0; r < rows; r++)
            for (int v = first; v < first + count; v++) sum[r][v] = att_fma(sum[r][v], mat_a + r * row_a, columns[v]);
    }
}
INS_INLINE void att_product(const int first, const int count, vf sum[ATT_MR][2], const float *mat_a, int64_t row_a,
                            int64_t unit_a, const float *mat_b, int64_t ldb, int64_t units) {
    att_product_rows(ATT_MR, first, count, sum, mat_a, row_a, unit_a, mat_b, ldb, units);
}

/* C[ATT_MR, cols] += A B; cols a multiple of VL. */
INS_INLINE void att_product_add(const float *mat_a, int64_t row_a, int64_t unit_a, const float *mat_b, int64_t ldb,
                                int64_t units, float *mat_c, int64_t ldc, int64_t cols) {
    for (int64_t j = 0; j < cols; j += ATT_NR) {
        vf sum[ATT_MR][2];
        float *dst = mat_c + j;
        if (j + ATT_NR <= cols) {
            CPU_UNROLL
            for (int r = 0; r < ATT_MR; r++)
                sum[r][0] = vf_load(dst + r * ldc), sum[r][1] = vf_load(dst + r * ldc + VL);
            att_product(0, 2, sum, mat_a, row_a, unit_a, mat_b + j, ldb, units);
            CPU_UNROLL
            for (int r = 0; r < ATT_MR; r++)
                vf_store(dst + r * ldc, sum[r][0]), vf_store(dst + r * ldc + VL, sum[r][1]);
        } else {
            CPU_UNROLL
            for (int r = 0; r < ATT_MR; r++) sum[r][0] = vf_load(dst + r * ldc);
            att_product(0, 1, sum, mat_a, row_a, unit_a, mat_b + j, ldb, units);
            CPU_UNROLL
            for (int r = 0; r < ATT_MR; r++) vf_store(dst + r * ldc, sum[r][0]);
        }
    }
}

/* C of ATT_MR rows and a panel's lanes, times shrink, plus A B over the units of the segments: A is paired rows, B
 * [unit][ldb]. */
INS_INLINE void att_product_segments(const float *mat_a, const float *mat_b, int64_t ldb, const att_segment *segments,
                                     int n, const vf shrink[2], float *mat_c) {
    vf sum[ATT_MR][2];
    CPU_UNROLL
    for (int r = 0; r < ATT_MR; r++)
        for (int v = 0; v < 2; v++) sum[r][v] = vf_load(mat_c + r * ATT_NR + v * VL) * shrink[v];
    for (int i = 0; i < n; i++) {
        int64_t begin = segments[i].begin / ATT_UNIT, units = segments[i].end / ATT_UNIT - begin;
        const float *left = mat_a + begin * ATT_COLS, *right = mat_b + begin * ldb;
        if (segments[i].count == 2)
            att_product(0, 2, sum, left, 1, ATT_COLS, right, ldb, units);
        else if (segments[i].first == 0)
            att_product(0, 1, sum, left, 1, ATT_COLS, right, ldb, units);
        else
            att_product(1, 1, sum, left, 1, ATT_COLS, right, ldb, units);
    }
    CPU_UNROLL
    for (int r = 0; r < ATT_MR; r++)
        for (int v = 0; v < 2; v++) vf_store(mat_c + r * ATT_NR + v * VL, sum[r][v]);
}

/* ---- moves ---- */

/* Copies of a few hundred bytes, for which a call of memcpy would cost as much again. */
INS_INLINE void att_copy(const void *src, int64_t bytes, float *dst) {
    int64_t at = 0, vector = 4 * VL;
    for (; at + vector <= bytes; at += vector) vf_store(dst + at / 4, vf_load((const float *)src + at / 4));
    if (at < bytes) memcpy(dst + at / 4, (const char *)src + at, (size_t)(bytes - at));
}

/* n rows of `cols` values as units, [rows][ATT_PITCH], of which cols_padded values and rows_padded rows get defined,
 * with zeros beyond the source. */
static inline void att_pack_rows(ins_dtype dtype, const void *src, int64_t at, int64_t src_ld, int64_t n, int64_t cols,
                                 int64_t rows_padded, int64_t cols_padded, float *dst) {
    for (int64_t r = 0; r < n; r++, dst += ATT_PITCH) {
#ifdef INS_CPU_BF16_DOT
        (void)dtype;
        if (cols < cols_padded) memset(dst + cols / 2, 0, (size_t)(cols_padded / 2 - cols / 2) * 4);
        att_copy((const uint16_t *)src + at + r * src_ld, cols * 2, dst);
#else
        if (dtype == INS_DTYPE_F32)
            att_copy((const float *)src + at + r * src_ld, cols * 4, dst);
        else
            cpu_load(dtype, src, at + r * src_ld, cols, dst);
        for (int64_t c = cols; c < cols_padded; c++) dst[c] = 0;
#endif
    }
    for (int64_t r = n; r < rows_padded; r++, dst += ATT_PITCH) memset(dst, 0, (size_t)(cols_padded / ATT_UNIT) * 4);
}

/* Packed rows as units down the columns, [rows / ATT_UNIT][ATT_COLS]; made in `work` if they are not so already. */
static inline const float *att_pair_rows(const float *packed, int64_t rows, int64_t cols, float *work) {
#ifdef INS_CPU_BF16_DOT
    typedef uint16_t u16_alias __attribute__((may_alias));
    for (int64_t r = 0; r < rows; r += 2) {
        const u16_alias *restrict low = (const u16_alias *)(const void *)(packed + r * ATT_PITCH);
        const u16_alias *restrict high = low + 2 * ATT_PITCH;
        u32_alias *restrict to = (u32_alias *)(void *)(work + r / 2 * ATT_COLS);
        for (int64_t c = 0; c < cols; c++) to[c] = low[c] | (uint32_t)high[c] << 16;
    }
    return work;
#else
    (void)rows, (void)cols, (void)work;
    return packed;
#endif
}

/* `units` units of packed rows into panels [rows / ATT_NR][units][ATT_NR]. */
static inline void att_panels(const float *packed, int64_t rows, int64_t units, float *dst) {
    for (int64_t row = 0; row < rows; row += VL) {
        float *panel = dst + row / ATT_NR * units * ATT_NR + row % ATT_NR;
        cpu_transpose((const char *)(packed + row * ATT_PITCH), ATT_PITCH * 4, units, panel, ATT_NR);
    }
}

/* The first n queries of a panel [cols][ATT_NR] times factor into rows of a tensor; cols_padded: to a multiple of VL,
 * which the panel has too. */
static inline void att_store_panel(const float *panel, int64_t cols, float factor, ins_dtype dtype, void *dst,
                                   int64_t at, int64_t dst_ld, int64_t n) {
    _Alignas(64) float rows[ATT_NR * ATT_COLS];
    int64_t cols_padded = att_round_up(cols, VL);
    for (int64_t c = 0; c < cols_padded; c += VL)
        cpu_transpose((const char *)(panel + c * ATT_NR), ATT_NR * 4, ATT_NR, rows + c, ATT_COLS);
    for (int64_t r = 0; r < n; r++) {
        float *row = rows + r * ATT_COLS;
        for (int64_t c = 0; c < cols_padded; c += VL) vf_store(row + c, vf_load(row + c) * factor);
        cpu_store(dtype, row, dst, at + r * dst_ld, cols);
    }
}

/* ---- what comes next ---- */

/* Rows that will be read or written soon, asked for a few at a time between products: the pieces of rows that one head
 * has are far apart, so that the hardware sees no stream in them. */
typedef struct att_stream {
    const char *at;
    int64_t row_bytes, bytes, left; /* distance of rows; of a row; rows still to come */
} att_stream;

static inline att_stream att_stream_rows(ins_dtype dtype, const void *base, int64_t at, int64_t ld, int64_t n,
                                         int64_t cols) {
    int64_t size = dtype == INS_DTYPE_F32 ? 4 : 2;
    return (att_stream){(const char *)base + at * size, ld * size, cols * size, base ? n : 0};
}

static inline void att_stream_step(att_stream *streams, int n) {
    for (att_stream *s = streams; s < streams + n; s++)
        for (int row = 0; row < 4 && s->left > 0; row++, s->left--, s->at += s->row_bytes)
            for (int64_t byte = 0; byte < s->bytes; byte += 64) __builtin_prefetch(s->at + byte, 0, 1);
}

#endif
