/* Packed matrix product: C[m,n] (+)= op(A) op(B) + bias. Steps and layouts in cpu_gemm.h. */
#include "kernel/cpu/cpu_gemm.h"

#include "kernel/cpu/cpu_gemm_micro.h"

typedef struct gemm_job {
    const ins_gemm_args *args;
    const ins_gemm_batch *batch;
    int64_t stretches;   /* of k: a function of k alone */
    int64_t rows;        /* of a block, at most */
    int64_t down, right; /* rows and columns of a region */
    int64_t n_m, n_n;    /* regions down and across */
    bool in_place;       /* A is read where it is */
    bool across;         /* neighbouring tasks share rows of A rather than columns of B */
} gemm_job;

/* Rows [row, row + m), columns [col, col + n) of one batch item: what a task makes. */
typedef struct gemm_region {
    const gemm_job *job;
    gemm_operand op_a, op_b;
    int64_t row, m, col, n;
    int64_t blocks; /* of rows */
    void *dst;      /* C's first element of the region */
    float *part;    /* f32 sums of a block between two stretches, where C is bf16 */
    float *packed, *sliver;
} gemm_region;

/* One stretch of k of one block of rows. */
typedef struct gemm_step {
    bool any;       /* false: there is no such step */
    int64_t row, m; /* relative to the region */
    int64_t index;  /* of the stretch */
    int64_t k0, kc, units;
    const float *mat_a; /* rows in place, or packed rows or tiles */
    float *packed;      /* the same where it is to be filled */
    int64_t stride;     /* units between rows or tiles */
} gemm_step;

static gemm_step gemm_step_at(const gemm_region *region, int64_t at) {
    const gemm_job *job = region->job;
    gemm_step step = {.any = at < region->blocks * job->stretches};
    if (!step.any) return step;
    int64_t end;
    step.index = at % job->stretches;
    ins_split(job->args->k, job->stretches, 4 * UNIT_K, step.index, &step.k0, &end);
    step.kc = end - step.k0, step.units = ins_ceil_div(step.kc, UNIT_K);
    ins_split(region->m, region->blocks, 1, at / job->stretches, &step.row, &end);
    step.m = end - step.row;
    if (job->in_place) {
        step.stride = region->op_a.ld / UNIT_K;
        step.mat_a = (const float *)(const void *)gemm_at(&region->op_a, region->row + step.row, step.k0);
        return step;
    }
    step.stride = (job->args->trans_a ? MR : 1) * step.units + GEMM_PAD;
    step.mat_a = step.packed = region->packed + (job->args->trans_a ? at % 2 * GEMM_PACKED : 0);
    return step;
}

/* Lines that `bytes` bytes from here touch. */
static int64_t gemm_lines(const char *at, int64_t bytes) {
    return (int64_t)(((uintptr_t)at % 64 + (uintptr_t)bytes + 63) / 64);
}

/* Piece `at` of `pieces` of the source of a step's A: values of k (whole units) when it is stored [k,m], else rows. */
typedef struct gemm_piece {
    int64_t begin, end;
} gemm_piece;

static gemm_piece gemm_piece_at(const gemm_region *region, const gemm_step *step, int64_t at, int64_t pieces) {
    gemm_piece piece = {0, 0};
    bool trans = region->job->args->trans_a;
    if (at < pieces) ins_split(trans ? step->kc : step->m, pieces, trans ? UNIT_K : 1, at, &piece.begin, &piece.end);
    return piece;
}

static gemm_ahead gemm_ahead_piece(const gemm_region *region, const gemm_step *step, gemm_piece piece) {
    const gemm_operand *src = &region->op_a;
    bool trans = region->job->args->trans_a;
    int64_t row = region->row + step->row, size = gemm_size(src->dtype);
    gemm_ahead ahead = {.row_bytes = src->ld * size, .rows = piece.end - piece.begin};
    ahead.at = trans ? gemm_at(src, step->k0 + piece.begin, row) : gemm_at(src, row + piece.begin, step->k0);
    ahead.lines = gemm_lines(ahead.at, (trans ? step->m : step->kc) * size);
    return ahead;
}

static void gemm_pack_piece(const gemm_region *region, const gemm_step *step, gemm_piece piece) {
    int64_t row = region->row + step->row, n = piece.end - piece.begin;
    if (n <= 0) return;
    if (region->job->args->trans_a) INS_CPU(ins_gemm_pack_at)
    (&region->op_a, row, step->m, step->k0 + piece.begin, n, step->packed + piece.begin / UNIT_K * MR, step->stride);
    else INS_CPU(ins_gemm_pack_a)(&region->op_a, row + piece.begin, n, step->k0, step->kc,
                                  step->packed + piece.begin * step->stride, step->stride);
}

/* The first step's transposed A: nobody has asked for it yet. */
static void gemm_pack_cold(const gemm_region *region, const gemm_step *step) {
    int64_t pieces = ins_max_i64(1, step->units / 4);
    for (int64_t i = 0; i < pieces; i++) {
        gemm_ahead ahead = gemm_ahead_piece(region, step, gemm_piece_at(region, step, i + 1, pieces));
        gemm_walk walk = gemm_walk_start(&ahead, 1);
        gemm_walk_on(&walk, &ahead);
        gemm_pack_piece(region, step, gemm_piece_at(region, step, i, pieces));
    }
}

/* What tile `at` of `tiles` asks for of the source of sliver `col` of a step. */
static gemm_ahead gemm_ahead_b(const gemm_region *region, const gemm_step *step, int64_t col, int64_t at,
                               int64_t tiles) {
    const gemm_operand *src = &region->op_b;
    int64_t size = gemm_size(src->dtype), cols = ins_min_i64(NR, region->n - col), begin, end;
    bool trans = region->job->args->trans_b;
    ins_split(trans ? cols : step->kc, tiles, 1, at, &begin, &end);
    gemm_ahead ahead = {.row_bytes = src->ld * size, .rows = end - begin};
    col += region->col;
    ahead.at = trans ? gemm_at(src, col + begin, step->k0) : gemm_at(src, step->k0 + begin, col);
    ahead.lines = gemm_lines(ahead.at, (trans ? step->kc : cols) * size);
    return ahead;
}

/* Work of a tile beside its sums: packing its rows of A, or its piece of the next step's, and asking for what comes
 * next. */
static void gemm_look_ahead(const gemm_region *region, const gemm_step *step, const gemm_step *next, int64_t col,
                            int64_t row, gemm_tile *tile) {
    int64_t tiles = ins_ceil_div(step->m, MR), at = row / MR;
    bool last = col + NR >= region->n;
    tile->ahead_a.rows = tile->ahead_b.rows = 0;
    if (region->job->args->trans_a) {
        int64_t pieces = tiles * ins_ceil_div(region->n, NR), piece = col / NR * tiles + at;
        if (next->any) {
            gemm_pack_piece(region, next, gemm_piece_at(region, next, piece, pieces));
            tile->ahead_a = gemm_ahead_piece(region, next, gemm_piece_at(region, next, piece + 1, pieces));
        }
    } else if (col == 0) {
        int64_t end = ins_min_i64(row + MR, step->m);
        if (!region->job->in_place) gemm_pack_piece(region, step, (gemm_piece){row, end});
        tile->ahead_a = gemm_ahead_piece(region, step, (gemm_piece){end, ins_min_i64(end + MR, step->m)});
    } else if (last && row + MR >= step->m && next->any) {
        tile->ahead_a = gemm_ahead_piece(region, next, (gemm_piece){0, ins_min_i64(MR, next->m)});
    }
    if (!last)
        tile->ahead_b = gemm_ahead_b(region, step, col + NR, at, tiles);
    else if (next->any)
        tile->ahead_b = gemm_ahead_b(region, next, 0, at, tiles);
}

/* Packs a sliver, unless its first tile can do it as it goes. */
static void gemm_pack_sliver(const gemm_region *region, const gemm_step *step, int64_t col, gemm_tile *tile) {
    const ins_gemm_args *args = region->job->args;
    bool native = gemm_size(args->dtype_b) * UNIT_K == 4 && step->kc % UNIT_K == 0;
    if (!args->trans_b && native && tile->cols == NR && step->m >= MR) {
        tile->source = gemm_at(&region->op_b, step->k0, region->col + col);
        tile->source_row = region->op_b.ld * gemm_size(args->dtype_b);
        return;
    }
    (args->trans_b ? INS_CPU(ins_gemm_pack_bt) : INS_CPU(ins_gemm_pack_b))(&region->op_b, region->col + col, tile->cols,
                                                                           step->k0, step->kc, region->sliver);
}

/* Address of element `at` of C or of sums kept in `part`. */
static void *gemm_in(void *base, bool half, int64_t at) {
    return (char *)base + at * (half ? 2 : 4);
}

/* All rows of one sliver of columns. */
static void gemm_sliver(const gemm_region *region, const gemm_step *step, const gemm_step *next, int64_t col) {
    const gemm_job *job = region->job;
    const ins_gemm_args *args = job->args;
    bool first = step->index == 0, last = step->index + 1 == job->stretches, half = args->dtype_c == INS_DTYPE_BF16;
    bool from_part = half && !first, to_part = half && !last;
    int64_t ld_part = ins_ceil_div(region->n, NR) * NR;
    float init[NR] = {0};
    gemm_tile tile = {.cols = ins_min_i64(NR, region->n - col), .init = init};
    if (first && args->bias) memcpy(init, (const float *)args->bias + region->col + col, (size_t)tile.cols * 4);
    tile.add_half = half && first, tile.dst_half = half && last;
    tile.ld_add = from_part ? ld_part : args->ldc, tile.ld_dst = to_part ? ld_part : args->ldc;
    gemm_pack_sliver(region, step, col, &tile);
    for (int64_t i = 0; i < step->m; i += MR, tile.source = NULL) {
        int64_t rows = ins_min_i64(MR, step->m - i), row_c = step->row + i;
        if (from_part)
            tile.add = region->part + i * ld_part + col;
        else if (!first || args->accumulate)
            tile.add = gemm_in(region->dst, tile.add_half, row_c * args->ldc + col);
        tile.dst =
            to_part ? region->part + i * ld_part + col : gemm_in(region->dst, tile.dst_half, row_c * args->ldc + col);
        gemm_look_ahead(region, step, next, col, i, &tile);
        if (args->trans_a)
            gemm_tile_packed(rows, step->mat_a + i / MR * step->stride, region->sliver, step->units, &tile);
        else
            gemm_tile_rows(rows, step->mat_a + i * step->stride, step->stride, region->sliver, step->units, &tile);
    }
}

static void gemm_region_run(const gemm_region *region) {
    int64_t steps = region->blocks * region->job->stretches;
    gemm_step step = gemm_step_at(region, 0);
    if (region->job->args->trans_a) gemm_pack_cold(region, &step);
    for (int64_t at = 0; at < steps; at++) {
        gemm_step next = gemm_step_at(region, at + 1);
        for (int64_t col = 0; col < region->n; col += NR) gemm_sliver(region, &step, &next, col);
        step = next;
    }
}

typedef struct gemm_buffers {
    _Alignas(64) float packed[2 * GEMM_PACKED];
    _Alignas(64) float sliver[NR * GEMM_KC];
} gemm_buffers;

static void gemm_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const gemm_job *job = arg;
    const ins_gemm_args *args = job->args;
    int64_t regions = job->n_m * job->n_n, item = task / regions, at = task % regions;
    int64_t down = job->across ? at / job->n_n : at % job->n_m, right = job->across ? at % job->n_n : at / job->n_m;
    gemm_buffers buffers;
    gemm_region region = {.job = job, .row = down * job->down, .col = right * job->right};
    region.packed = buffers.packed, region.sliver = buffers.sliver;
    region.m = ins_min_i64(job->down, args->m - region.row), region.n = ins_min_i64(job->right, args->n - region.col);
    region.blocks = ins_ceil_div(region.m, job->rows);
    region.op_a = (gemm_operand){ins_at(args->a, args->dtype_a, item * job->batch->stride_a), args->lda, args->dtype_a};
    region.op_b = (gemm_operand){ins_at(args->b, args->dtype_b, item * job->batch->stride_b), args->ldb, args->dtype_b};
    int64_t at_c = item * job->batch->stride_c + region.row * args->ldc + region.col;
    region.dst = gemm_in(args->c, args->dtype_c == INS_DTYPE_BF16, at_c);
    if (args->dtype_c != INS_DTYPE_BF16 || job->stretches == 1) {
        gemm_region_run(&region);
        return;
    }
    _Alignas(64) float part[GEMM_PART];
    region.part = part;
    gemm_region_run(&region);
}

/* Cycles, roughly, of a region: two multiply-adds a row, pair of vectors and unit; packing; the first step's A, which
 * nothing hides; a hand-over. */
static double gemm_region_cost(const gemm_job *job, int64_t m, int64_t n) {
    const ins_gemm_args *args = job->args;
    int64_t blocks = ins_ceil_div(m, job->rows), block = ins_ceil_div(m, blocks), edge = block % MR;
    double units = (double)args->k / UNIT_K + 8, rows = (double)(block - edge + (edge ? ins_max_i64(edge, 4) : 0));
    double sums = 2 * units * (double)blocks * rows * (double)ins_ceil_div(n, NR);
    double pack_a = job->in_place ? 0.05 : 0.25, pack_b = (args->trans_b ? 0.35 : 0.1) * (double)blocks;
    double cold = args->trans_a ? 1.5 : 0.2;
    return sums + units * ((double)m * pack_a + (double)n * pack_b) +
           cold * units / (double)job->stretches * (double)block + 2000;
}

/* The grid of regions that is over first. Tasks are handed out one by one, and the last ones are waited for: half of
 * one on average, were the threads' speeds random; a tenth, because they nearly agree. */
static void gemm_grid(gemm_job *job, int threads) {
    const ins_gemm_args *args = job->args;
    int64_t units = ins_ceil_div(ins_ceil_div(args->k, UNIT_K), job->stretches) + 4;
    job->rows = (args->trans_a ? 1 : 2) * GEMM_PACKED / (units + GEMM_PAD) / MR * MR;
    bool part = args->dtype_c == INS_DTYPE_BF16 && job->stretches > 1;
    int64_t most_n = part ? GEMM_PART / ins_min_i64(job->rows, args->m) / NR * NR : args->n;
    int64_t last_m = ins_max_i64(1, args->m / (2 * MR)), first_n = ins_ceil_div(args->n, most_n);
    int64_t last_n = ins_max_i64(first_n, args->n / (2 * NR));
    double best = 0;
    for (int64_t n_m = 1; n_m <= last_m; n_m += ins_max_i64(1, n_m / 6))
        for (int64_t n_n = first_n; n_n <= last_n; n_n += ins_max_i64(1, n_n / 6)) {
            int64_t down = ins_ceil_div(args->m, n_m), right = ins_ceil_div(ins_ceil_div(args->n, n_n), NR) * NR;
            int64_t regions = ins_ceil_div(args->m, down) * ins_ceil_div(args->n, right) * job->batch->batch;
            double turns = (double)ins_ceil_div(regions, threads) + (threads > 1 ? 0.1 : 0);
            double cost = gemm_region_cost(job, down, right) * turns;
            if (best > 0 && cost >= best) continue;
            best = cost, job->down = down, job->right = right;
        }
    job->n_m = ins_ceil_div(args->m, job->down), job->n_n = ins_ceil_div(args->n, job->right);
    /* What neighbours share comes from memory once; the other operand comes once per row or column of regions. */
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
