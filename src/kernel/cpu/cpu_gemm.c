/* Packed matrix product: C[m,n] (+)= op(A) op(B) + bias. Blocks and layouts in cpu_gemm.h. */
#include "kernel/cpu/cpu_gemm.h"

#include "kernel/cpu/cpu_gemm_micro.h"

typedef struct gemm_job {
    const ins_gemm_args *args;
    const ins_gemm_batch *batch;
    int64_t stretches; /* of k: a function of k alone */
    int64_t mb, nb;    /* rows and columns of a block */
    int64_t n_m, n_n;  /* blocks down and across */
    bool in_place;     /* A is read where it is */
    bool across;       /* neighbouring tasks share rows of A rather than columns of B */
} gemm_job;

/* Rows [row, row + mb), columns [col, col + nb) of one batch item, and where its sums go. */
typedef struct gemm_block {
    const gemm_job *job;
    gemm_operand op_a, op_b;
    int64_t row, mb, col, nb;
    void *dst;   /* C's first element of the block */
    float *part; /* f32 sums between two stretches, `nb` rounded up apart; NULL: C itself */
    float *mat_a, *sliver;
} gemm_block;

/* One stretch of k of a block. */
typedef struct gemm_stretch {
    int64_t index, k0, kc, units;
    const float *mat_a; /* rows in place or packed */
    int64_t stride;     /* units between rows or tiles */
} gemm_stretch;

static void gemm_bounds(const gemm_job *job, int64_t index, int64_t *k0, int64_t *k1) {
    ins_split(job->args->k, job->stretches, 4 * UNIT_K, index, k0, k1);
}

/* The source of the sliver of columns `col` of a stretch, as lines to be asked for by tile `i` of `tiles`. */
static gemm_ahead gemm_ahead_b(const gemm_block *block, int64_t col, int64_t k0, int64_t kc, int64_t i, int64_t tiles) {
    const gemm_operand *src = &block->op_b;
    int64_t size = gemm_size(src->dtype), row_bytes = src->ld * size;
    gemm_ahead ahead = {.row_bytes = row_bytes};
    if (block->job->args->trans_b) {
        int64_t rows = ins_ceil_div(NR, tiles), begin = i * rows, left = ins_min_i64(NR, block->nb - col) - begin;
        ahead.at = gemm_at(src, block->col + col + begin, k0);
        ahead.step = GEMM_STEP * UNIT_K * size, ahead.lines = 1;
        ahead.rows = (int)ins_max_i64(0, ins_min_i64(rows, left));
        return ahead;
    }
    int64_t turns = ins_max_i64(1, ins_ceil_div(kc, GEMM_STEP * UNIT_K)), rows = ins_ceil_div(kc, turns * tiles);
    ahead.at = gemm_at(src, k0 + i * turns * rows, block->col + col);
    ahead.step = rows * row_bytes, ahead.rows = i * turns * rows < kc ? (int)rows : 0;
    ahead.lines = (int)(NR * size / 64) + (((uintptr_t)ahead.at | (uintptr_t)row_bytes) % 64 != 0);
    return ahead;
}

/* The prefetches of one tile: row tile `i` of sliver `col`. */
static void gemm_plan(const gemm_block *block, const gemm_stretch *stretch, int64_t col, int64_t row, gemm_tile *tile) {
    const gemm_job *job = block->job;
    tile->ahead_a.rows = 0;
    if (job->in_place && col == 0 && row + MR < block->mb) {
        int64_t rows = ins_min_i64(MR, block->mb - row - MR), bytes = block->op_a.ld * gemm_size(block->op_a.dtype);
        tile->ahead_a =
            (gemm_ahead){gemm_at(&block->op_a, block->row + row + MR, stretch->k0), bytes, 64, (int)rows, 1};
    }
    int64_t tiles = ins_ceil_div(block->mb, MR), i = row / MR;
    tile->ahead_b.rows = 0;
    if (col + NR < block->nb) {
        tile->ahead_b = gemm_ahead_b(block, col + NR, stretch->k0, stretch->kc, i, tiles);
    } else if (stretch->index + 1 < job->stretches) {
        int64_t k0, k1;
        gemm_bounds(job, stretch->index + 1, &k0, &k1);
        tile->ahead_b = gemm_ahead_b(block, 0, k0, k1 - k0, i, tiles);
    }
}

/* Address of element `at` of C or of a block's sums. */
static void *gemm_in(void *base, bool half, int64_t at) {
    return (char *)base + at * (half ? 2 : 4);
}

/* All rows of one sliver of columns. */
static void gemm_sliver(const gemm_block *block, const gemm_stretch *stretch, int64_t col) {
    const gemm_job *job = block->job;
    const ins_gemm_args *args = job->args;
    bool first = stretch->index == 0, last = stretch->index + 1 == job->stretches;
    bool half = args->dtype_c == INS_DTYPE_BF16, add_half = half && first, dst_half = half && last;
    int64_t ld_part = ins_ceil_div(block->nb, NR) * NR;
    float init[NR] = {0};
    gemm_tile tile = {
        .cols = ins_min_i64(NR, block->nb - col), .init = init, .add_half = add_half, .dst_half = dst_half};
    if (first && args->bias) memcpy(init, (const float *)args->bias + block->col + col, (size_t)tile.cols * 4);
    tile.ld_add = half && !first ? ld_part : args->ldc, tile.ld_dst = half && !last ? ld_part : args->ldc;
    void *add = half && !first ? block->part : block->dst, *dst = half && !last ? block->part : block->dst;
    bool adds = !first || args->accumulate;
    for (int64_t i = 0; i < block->mb; i += MR) {
        int64_t rows = ins_min_i64(MR, block->mb - i);
        if (adds) tile.add = gemm_in(add, add_half, i * tile.ld_add + col);
        tile.dst = gemm_in(dst, dst_half, i * tile.ld_dst + col);
        gemm_plan(block, stretch, col, i, &tile);
        if (args->trans_a)
            gemm_tile_packed(rows, stretch->mat_a + i / MR * stretch->stride, block->sliver, stretch->units, &tile);
        else
            gemm_tile_rows(rows, stretch->mat_a + i * stretch->stride, stretch->stride, block->sliver, stretch->units,
                           &tile);
    }
}

static void gemm_block_run(const gemm_block *block) {
    const gemm_job *job = block->job;
    const ins_gemm_args *args = job->args;
    for (int64_t s = 0; s < job->stretches; s++) {
        int64_t k1;
        gemm_stretch stretch = {.index = s, .mat_a = block->mat_a};
        gemm_bounds(job, s, &stretch.k0, &k1);
        stretch.kc = k1 - stretch.k0, stretch.units = ins_ceil_div(stretch.kc, UNIT_K);
        if (args->trans_a) {
            stretch.stride = MR * stretch.units + GEMM_PAD;
            INS_CPU(ins_gemm_pack_at)
            (&block->op_a, block->row, block->mb, stretch.k0, stretch.kc, block->mat_a, stretch.stride);
        } else if (job->in_place) {
            stretch.stride = block->op_a.ld / UNIT_K;
            stretch.mat_a = (const float *)(const void *)gemm_at(&block->op_a, block->row, stretch.k0);
        } else {
            stretch.stride = stretch.units + GEMM_PAD;
            INS_CPU(ins_gemm_pack_a)
            (&block->op_a, block->row, block->mb, stretch.k0, stretch.kc, block->mat_a, stretch.stride);
        }
        for (int64_t col = 0; col < block->nb; col += NR) {
            int64_t cols = ins_min_i64(NR, block->nb - col);
            (args->trans_b ? INS_CPU(ins_gemm_pack_bt) : INS_CPU(ins_gemm_pack_b))(
                &block->op_b, block->col + col, cols, stretch.k0, stretch.kc, block->sliver);
            gemm_sliver(block, &stretch, col);
        }
    }
}

typedef struct gemm_buffers {
    _Alignas(64) float mat_a[GEMM_PACKED];
    _Alignas(64) float sliver[NR * GEMM_KC];
} gemm_buffers;

static void gemm_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const gemm_job *job = arg;
    const ins_gemm_args *args = job->args;
    int64_t blocks = job->n_m * job->n_n, item = task / blocks, at = task % blocks;
    int64_t down = job->across ? at / job->n_n : at % job->n_m, right = job->across ? at % job->n_n : at / job->n_m;
    gemm_buffers buffers;
    gemm_block block = {.job = job, .row = down * job->mb, .col = right * job->nb};
    block.mat_a = buffers.mat_a, block.sliver = buffers.sliver;
    block.mb = ins_min_i64(job->mb, args->m - block.row), block.nb = ins_min_i64(job->nb, args->n - block.col);
    block.op_a = (gemm_operand){ins_at(args->a, args->dtype_a, item * job->batch->stride_a), args->lda, args->dtype_a};
    block.op_b = (gemm_operand){ins_at(args->b, args->dtype_b, item * job->batch->stride_b), args->ldb, args->dtype_b};
    int64_t at_c = item * job->batch->stride_c + block.row * args->ldc + block.col;
    block.dst = gemm_in(args->c, args->dtype_c == INS_DTYPE_BF16, at_c);
    if (args->dtype_c != INS_DTYPE_BF16 || job->stretches == 1) {
        gemm_block_run(&block);
        return;
    }
    _Alignas(64) float part[GEMM_PART];
    block.part = part;
    gemm_block_run(&block);
}

/* Cycles, roughly, of a block: two multiply-adds a row, column pair and unit; packing; a hand-over. */
static double gemm_block_cost(const gemm_job *job, int64_t mb, int64_t nb) {
    const ins_gemm_args *args = job->args;
    double units = (double)args->k / UNIT_K + 8;
    double pack_a = job->in_place ? 0.05 : 0.25, pack_b = args->trans_b ? 0.3 : 0.2;
    int64_t edge = mb % MR, rows = mb - edge + (edge ? ins_max_i64(edge, 4) : 0);
    double sums = units * 2 * (double)(rows * ins_ceil_div(nb, NR));
    return sums + units * ((double)mb * pack_a + (double)nb * pack_b) + 2000;
}

/* The grid of blocks that is over first. Tasks are handed out one by one: the last ones are waited for, half of one on
 * average, were the threads equally fast; a tenth, because they nearly are. */
static void gemm_grid(gemm_job *job, int threads) {
    const ins_gemm_args *args = job->args;
    int64_t units = ins_ceil_div(ins_ceil_div(args->k, UNIT_K), job->stretches) + 4;
    int64_t most_m = GEMM_PACKED / (units + GEMM_PAD) / MR * MR, most_n = args->n;
    bool part = args->dtype_c == INS_DTYPE_BF16 && job->stretches > 1;
    double best = 0;
    int64_t first_m = ins_ceil_div(args->m, most_m), last_m = ins_max_i64(first_m, args->m / (2 * MR));
    for (int64_t n_m = first_m; n_m <= ins_min_i64(last_m, first_m + 15); n_m++) {
        int64_t mb = ins_ceil_div(args->m, n_m);
        if (part) most_n = ins_min_i64(args->n, GEMM_PART / mb / NR * NR);
        int64_t first_n = ins_ceil_div(args->n, most_n), last_n = ins_max_i64(first_n, args->n / (2 * NR));
        for (int64_t n_n = first_n; n_n <= last_n; n_n += ins_max_i64(1, n_n / 8)) {
            int64_t nb = ins_ceil_div(ins_ceil_div(args->n, n_n), NR) * NR;
            int64_t blocks = n_m * ins_ceil_div(args->n, nb) * job->batch->batch;
            double cost =
                gemm_block_cost(job, mb, nb) * ((double)ins_ceil_div(blocks, threads) + (threads > 1 ? 0.1 : 0));
            if (best > 0 && cost >= best) continue;
            best = cost, job->mb = mb, job->nb = nb;
        }
    }
    job->n_m = ins_ceil_div(args->m, job->mb), job->n_n = ins_ceil_div(args->n, job->nb);
    /* What neighbours share comes from memory once; the other operand comes once per row or column of blocks. */
    job->across = args->m * (job->n_n - 1) > args->n * (job->n_m - 1);
}

/* May the micro-kernel read MR rows of A side by side? Their lines must not fall on few sets of L1 (64 sets of 64
 * bytes, 8 ways), and bf16 pairs must be whole. */
static bool gemm_reads_in_place(const ins_gemm_args *args) {
    if (args->trans_a || args->k % UNIT_K || args->lda % UNIT_K || gemm_size(args->dtype_a) * UNIT_K != 4) return false;
    int in_set[64] = {0};
    for (int64_t r = 0; r < MR; r++)
        if (++in_set[r * args->lda * gemm_size(args->dtype_a) / 64 % 64] > (MR + 2) / 4) return false;
    return true;
}

static void gemm_run(const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool) {
    gemm_job job = {.args = args, .batch = batch};
    job.stretches = ins_max_i64(1, ins_ceil_div(args->k, GEMM_KC * UNIT_K));
    job.in_place = gemm_reads_in_place(args);
    gemm_grid(&job, ins_pool_threads(pool));
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
