/* Packed matrix product: C[m,n] (+)= op(A) op(B) + bias. Blocks and layouts in cpu_gemm.h. */
#include "kernel/cpu/cpu_gemm.h"

typedef struct gemm_job {
    const ins_gemm_args *args;
    const ins_gemm_batch *batch;
    int64_t mb, nb;   /* rows and columns of a block */
    int64_t n_m, n_n; /* blocks down and across */
    bool across;      /* neighbouring tasks share rows of A rather than columns of B */
} gemm_job;

/* Where a tile's sums go: C or the f32 block that becomes a bf16 C. */
typedef struct gemm_tile {
    float *dst;
    int64_t ld;
    int64_t cols;      /* <= NR */
    bool add;          /* dst += instead of = */
    const float *init; /* [NR] what each row's sums start from: bias or 0 */
} gemm_tile;

INS_INLINE vf gemm_fma(vf sum, const float *unit, vf columns) {
#ifdef INS_CPU_BF16_DOT
    __m512i pair = _mm512_set1_epi32(*(const int32_t __attribute__((may_alias)) *)unit);
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)pair, (__m512bh)columns);
#else
    return sum + columns * *unit;
#endif
}

/* The right edge: `rows` lines of NR sums, of which only tile->cols belong to C. */
static void gemm_store_edge(const gemm_tile *tile, int rows, const float *sums) {
    float *dst = tile->dst;
    for (int r = 0; r < rows; r++, dst += tile->ld, sums += NR)
        for (int64_t j = 0; j < tile->cols; j++) dst[j] = tile->add ? dst[j] + sums[j] : sums[j];
}

/* `rows` and the strides are constants after inlining, so that the sums live in registers. */
INS_INLINE void gemm_micro(const int rows, const float *mat_a, const int64_t row_a, const int64_t unit_a,
                           const float *mat_b, int64_t units, const gemm_tile *tile) {
    vf sum[MR][2], left = vf_load(tile->init), right = vf_load(tile->init + VL);
    CPU_UNROLL
    for (int r = 0; r < rows; r++) sum[r][0] = left, sum[r][1] = right;
    for (int64_t p = 0; p < units; p++, mat_a += unit_a, mat_b += NR) {
        left = vf_load(mat_b), right = vf_load(mat_b + VL);
        CPU_UNROLL
        for (int r = 0; r < rows; r++) {
            sum[r][0] = gemm_fma(sum[r][0], mat_a + r * row_a, left);
            sum[r][1] = gemm_fma(sum[r][1], mat_a + r * row_a, right);
        }
    }
    float *dst = tile->dst, lines[MR * NR];
    int64_t ld = tile->ld;
    bool edge = tile->cols < NR;
    if (edge) dst = lines, ld = NR;
    if (tile->add && !edge) {
        CPU_UNROLL
        for (int r = 0; r < rows; r++) {
            vf_store(dst + r * ld, vf_load(dst + r * ld) + sum[r][0]);
            vf_store(dst + r * ld + VL, vf_load(dst + r * ld + VL) + sum[r][1]);
        }
        return;
    }
    CPU_UNROLL
    for (int r = 0; r < rows; r++) vf_store(dst + r * ld, sum[r][0]), vf_store(dst + r * ld + VL, sum[r][1]);
    if (edge) gemm_store_edge(tile, rows, lines);
}

/* One tile of packed rows kept as rows. */
static void gemm_tile_rows(int64_t rows, const float *mat_a, const float *mat_b, int64_t units, const gemm_tile *tile) {
#define CASE(r)                                                                                                        \
    case r:                                                                                                            \
        gemm_micro(r, mat_a, GEMM_LDA, 1, mat_b, units, tile);                                                         \
        break
    switch (rows) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
#if MR >= 6
        CASE(5);
        CASE(6);
#endif
#if MR >= 14
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

/* One tile packed from a transposed A. */
static void gemm_tile_cols(int64_t rows, const float *mat_a, const float *mat_b, int64_t units, const gemm_tile *tile) {
#define CASE(r)                                                                                                        \
    case r:                                                                                                            \
        gemm_micro(r, mat_a, 1, MR, mat_b, units, tile);                                                               \
        break
    switch (rows) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
#if MR >= 6
        CASE(5);
        CASE(6);
#endif
#if MR >= 14
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

/* Packed operands of a block: A and B of one stretch of k. */
typedef struct gemm_buffers {
    _Alignas(64) float mat_a[GEMM_MB * GEMM_LDA]; /* (GEMM_MB / MR + 1) * GEMM_TILE_A is less */
    _Alignas(64) float mat_b[GEMM_NB / NR * GEMM_TILE_B];
} gemm_buffers;

/* Rows [row, row + mb), columns [col, col + nb) of one batch item. */
typedef struct gemm_block {
    const ins_gemm_args *args;
    gemm_operand op_a, op_b;
    int64_t row, mb, col, nb;
    float *dst; /* f32 */
    int64_t ld;
    bool add;
} gemm_block;

/* One packed stretch of `units`; bias: of the block's first column, NULL = none. */
static void gemm_stretch(const gemm_block *block, const gemm_buffers *packed, int64_t units, const float *bias,
                         bool add) {
    for (int64_t j = 0; j < block->nb; j += NR) {
        const float *sliver = packed->mat_b + j / NR * GEMM_TILE_B;
        float init[NR] = {0};
        gemm_tile tile = {.ld = block->ld, .cols = ins_min_i64(NR, block->nb - j), .add = add, .init = init};
        if (bias) memcpy(init, bias + j, (size_t)tile.cols * 4);
        for (int64_t i = 0; i < block->mb; i += MR) {
            int64_t rows = ins_min_i64(MR, block->mb - i);
            tile.dst = block->dst + i * block->ld + j;
            if (block->args->trans_a)
                gemm_tile_cols(rows, packed->mat_a + i / MR * GEMM_TILE_A, sliver, units, &tile);
            else
                gemm_tile_rows(rows, packed->mat_a + i * GEMM_LDA, sliver, units, &tile);
        }
    }
}

static void gemm_block_run(const gemm_block *block) {
    const ins_gemm_args *args = block->args;
    gemm_buffers packed;
    int64_t stretches = ins_max_i64(1, ins_ceil_div(args->k, GEMM_KC * UNIT_K));
    for (int64_t s = 0; s < stretches; s++) {
        int64_t k0, k1;
        ins_split(args->k, stretches, 4 * UNIT_K, s, &k0, &k1);
        const float *bias = s == 0 && args->bias ? (const float *)args->bias + block->col : NULL;
        (args->trans_a ? INS_CPU(ins_gemm_pack_at) : INS_CPU(ins_gemm_pack_a))(&block->op_a, block->row, block->mb, k0,
                                                                               k1 - k0, packed.mat_a);
        (args->trans_b ? INS_CPU(ins_gemm_pack_bt) : INS_CPU(ins_gemm_pack_b))(&block->op_b, block->col, block->nb, k0,
                                                                               k1 - k0, packed.mat_b);
        gemm_stretch(block, &packed, ins_ceil_div(k1 - k0, UNIT_K), bias, block->add || s > 0);
    }
}

static void gemm_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const gemm_job *job = arg;
    const ins_gemm_args *args = job->args;
    int64_t blocks = job->n_m * job->n_n, item = task / blocks, at = task % blocks;
    int64_t down = job->across ? at / job->n_n : at % job->n_m, right = job->across ? at % job->n_n : at / job->n_m;
    gemm_block block = {.args = args, .row = down * job->mb, .col = right * job->nb};
    block.mb = ins_min_i64(job->mb, args->m - block.row), block.nb = ins_min_i64(job->nb, args->n - block.col);
    block.op_a = (gemm_operand){ins_at(args->a, args->dtype_a, item * job->batch->stride_a), args->lda, args->dtype_a};
    block.op_b = (gemm_operand){ins_at(args->b, args->dtype_b, item * job->batch->stride_b), args->ldb, args->dtype_b};
    int64_t at_c = item * job->batch->stride_c + block.row * args->ldc + block.col;
    block.add = args->accumulate;
    if (args->dtype_c == INS_DTYPE_F32) {
        block.dst = (float *)args->c + at_c, block.ld = args->ldc;
        gemm_block_run(&block);
        return;
    }
    _Alignas(64) float block_c[GEMM_MB * GEMM_NB];
    block.dst = block_c, block.ld = GEMM_NB;
    for (int64_t i = 0; args->accumulate && i < block.mb; i++)
        cpu_load(args->dtype_c, args->c, at_c + i * args->ldc, block.nb, block_c + i * GEMM_NB);
    gemm_block_run(&block);
    for (int64_t i = 0; i < block.mb; i++)
        cpu_store(args->dtype_c, block_c + i * GEMM_NB, args->c, at_c + i * args->ldc, block.nb);
}

/* Cycles, roughly, that a grid takes on a few cores: sums at 16 a cycle, waiting for the last blocks (mean over 2, 4
 * and 8 cores), packing A once per column of blocks and B once per row of blocks, and a hand-over per block. */
static double gemm_grid_cost(const ins_gemm_args *args, int64_t batch, int64_t n_m, int64_t n_n) {
    int64_t blocks = n_m * n_n * batch;
    double m = (double)args->m, n = (double)args->n, k = (double)args->k + 16, waiting = 0;
    for (int64_t cores = 2; cores <= 8; cores *= 2)
        waiting += (double)(ins_ceil_div(blocks, cores) * cores) / (double)blocks / 3;
    double packing = m * k * (double)n_n * 0.25 + n * k * (double)n_m * (args->trans_b ? 0.4 : 0.25);
    return (double)batch * (m * n * k / 16 + packing) * waiting + 2000.0 * (double)blocks;
}

/* The grid of blocks, a function of the shape alone. */
static void gemm_grid(gemm_job *job) {
    const ins_gemm_args *args = job->args;
    int64_t min_m = ins_ceil_div(args->m, GEMM_MB), min_n = ins_ceil_div(args->n, GEMM_NB);
    int64_t max_m = ins_max_i64(min_m, ins_ceil_div(args->m, 4 * MR)), max_n = ins_max_i64(min_n, args->n / (2 * NR));
    double best = 0;
    job->n_m = 0;
    for (int64_t n_m = min_m; n_m <= ins_min_i64(max_m, min_m + 15); n_m++)
        for (int64_t n_n = min_n; n_n <= ins_min_i64(max_n, min_n + 15); n_n++) {
            double cost = gemm_grid_cost(args, job->batch->batch, n_m, n_n);
            if (job->n_m && cost >= best) continue;
            best = cost, job->n_m = n_m, job->n_n = n_n;
        }
    job->mb = ins_ceil_div(args->m, job->n_m);
    job->nb = ins_ceil_div(ins_ceil_div(args->n, job->n_n), NR) * NR;
    job->n_m = ins_ceil_div(args->m, job->mb), job->n_n = ins_ceil_div(args->n, job->nb);
    /* What neighbours share comes from memory once; the other operand comes once per row or column of blocks. */
    job->across = args->m * (job->n_n - 1) > args->n * (job->n_m - 1);
}

static void gemm_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    gemm_job job = {.args = args, .batch = batch};
    gemm_grid(&job);
    ins_pool_run(pool, batch->batch * job.n_m * job.n_n, gemm_task, &job);
}

#ifdef INS_CPU_BF16_DOT
static bool gemm_accepts(const ins_gemm_args *args) {
    return args->k > 0 && ins_isa_fast_dot();
}

const ins_gemm_impl INS_CPU(ins_cpu_gemm) = {
    .head = {INS_CPU_NAME, INS_CPU_LEVEL, INS_DTYPE_BIT(INS_DTYPE_BF16)},
    .accepts = gemm_accepts,
    .run = gemm_run,
};
#else
const ins_gemm_impl INS_CPU(ins_cpu_gemm) = {.head = INS_CPU_HEAD, .run = gemm_run};
#endif
