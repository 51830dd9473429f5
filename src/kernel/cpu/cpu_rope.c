/* Rotary embedding. Angles are reduced in f64, sine and cosine are f32 polynomials; one row's pair of tables serves all
 * its heads. */
#include <math.h>

#include "kernel/cpu/vio.h"
#include "kernel/cpu/vmath.h"
#include "kernel/rope_impl.h"

#define ROPE_PAIRS 128 /* pairs worked on at once */

typedef struct rope_tables {
    float cosine[ROPE_PAIRS + VL], sine[ROPE_PAIRS + VL]; /* read in whole vectors */
} rope_tables;

typedef struct rope_job {
    const ins_rope_args *args;
    int64_t chunk;           /* rows a task */
    int64_t pair, n;         /* the pairs [pair, pair + n) of each head */
    double freq[ROPE_PAIRS]; /* theirs */
} rope_job;

/* cos and sin of position * freq[i]: angle = q pi/2 + r with |r| <= pi/4, quadrant q mod 4 swaps and negates. */
static void rope_tables_fill(const ins_rope_args *args, const double *freq, int64_t n, int32_t position,
                             rope_tables *tables) {
    float rest[ROPE_PAIRS], factor = args->scale != 0 ? (float)args->scale : 1.0f;
    int32_t quadrant[ROPE_PAIRS];
    double place = args->inverse ? -(double)position : (double)position;
    for (int64_t i = 0; i < n; i++) {
        double angle = place * freq[i], whole = (angle * 0.63661977236758134308 + 0x1.8p52) - 0x1.8p52;
        rest[i] = (float)((angle - whole * 1.57079632679489655800) - whole * 6.12323399573676603587e-17);
        quadrant[i] = (int32_t)whole;
    }
    for (int64_t i = 0; i < n; i++) {
        float r = rest[i], s = r * r;
        float sine = r + r * s * (-0.1666666454f + s * (0.008332724733f - s * 0.0001958285585f));
        float cosine = 1.0f - 0.5f * s + s * s * (0.04166666454f + s * (-0.001388827945f + s * 2.454289634e-5f));
        bool swap = quadrant[i] & 1;
        float first = swap ? sine : cosine, second = swap ? cosine : sine;
        tables->cosine[i] = ((quadrant[i] + 1) & 2 ? -first : first) * factor;
        tables->sine[i] = (quadrant[i] & 2 ? -second : second) * factor;
    }
}

/* `n` pairs, a vector of them or the rest: channels from `low` and from `high` on. */
INS_INLINE void rope_pairs(const bool half, const ins_rope_args *args, int64_t low, int64_t high, int64_t shift,
                           int64_t n, const float *cosine, const float *sine) {
    vf left = vio_load_n(half, args->x, low, n, (vf){0}), right = vio_load_n(half, args->x, high, n, (vf){0});
    vf across = vf_load(cosine), up = vf_load(sine);
    vio_store_n(half, args->y, low + shift, n, left * across - right * up);
    vio_store_n(half, args->y, high + shift, n, right * across + left * up);
}

INS_INLINE void rope_half_of(const bool half, const ins_rope_args *args, int64_t low, int64_t shift, int64_t n,
                             const rope_tables *tables) {
    int64_t high = low + args->rotary_dim / 2, i = 0;
    for (; i + VL <= n; i += VL)
        rope_pairs(half, args, low + i, high + i, shift, VL, tables->cosine + i, tables->sine + i);
    if (i < n) rope_pairs(half, args, low + i, high + i, shift, n - i, tables->cosine + i, tables->sine + i);
}

/* Pairs [pair, pair + n) of one head: channels i and i + rotary_dim/2. */
static void rope_half(const ins_rope_args *args, int64_t from, int64_t to, int64_t pair, int64_t n,
                      const rope_tables *tables) {
    if (args->dtype == INS_DTYPE_F32)
        rope_half_of(false, args, from + pair, to - from, n, tables);
    else
        rope_half_of(true, args, from + pair, to - from, n, tables);
}

/* Pairs [pair, pair + n) of one head: channels 2i and 2i + 1. */
static void rope_interleaved(const ins_rope_args *args, int64_t from, int64_t to, int64_t pair, int64_t n,
                             const rope_tables *tables) {
    float both[2 * ROPE_PAIRS];
    cpu_load(args->dtype, args->x, from + 2 * pair, 2 * n, both);
    for (int64_t i = 0; i < n; i++) {
        float left = both[2 * i], right = both[2 * i + 1];
        both[2 * i] = left * tables->cosine[i] - right * tables->sine[i];
        both[2 * i + 1] = right * tables->cosine[i] + left * tables->sine[i];
    }
    cpu_store(args->dtype, both, args->y, to + 2 * pair, 2 * n);
}

static void rope_copy_rest(const ins_rope_args *args, int64_t from, int64_t to) {
    size_t size = args->dtype == INS_DTYPE_F32 ? 4 : 2;
    if (args->x == args->y && args->ldx == args->ldy) return;
    memmove((char *)args->y + (size_t)(to + args->rotary_dim) * size,
            (const char *)args->x + (size_t)(from + args->rotary_dim) * size,
            (size_t)(args->head_dim - args->rotary_dim) * size);
}

static void rope_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const rope_job *job = arg;
    const ins_rope_args *args = job->args;
    rope_tables tables;
    memset(&tables, 0, sizeof tables);
    int64_t begin = task * job->chunk, end = ins_min_i64(args->rows, begin + job->chunk);
    for (int64_t r = begin; r < end; r++) {
        rope_tables_fill(args, job->freq, job->n, args->positions[r], &tables);
        for (int64_t h = 0; h < args->n_heads; h++) {
            int64_t from = r * args->ldx + h * args->head_dim, to = r * args->ldy + h * args->head_dim;
            (args->interleaved ? rope_interleaved : rope_half)(args, from, to, job->pair, job->n, &tables);
            if (job->pair == 0 && args->rotary_dim < args->head_dim) rope_copy_rest(args, from, to);
        }
    }
}

static void rope_rotate(const ins_rope_args *args, ins_pool *pool) {
    rope_job job = {.args = args, .chunk = ins_max_i64(16, 16384 / ins_max_i64(1, args->n_heads * args->head_dim))};
    int64_t half = args->rotary_dim / 2;
    do { /* once, unless heads are very large */
        job.n = ins_min_i64(ROPE_PAIRS, half - job.pair);
        for (int64_t i = 0; i < job.n; i++)
            job.freq[i] = args->inv_freq ? args->inv_freq[job.pair + i]
                                         : pow(args->theta, -2.0 * (double)(job.pair + i) / (double)args->rotary_dim);
        ins_pool_run(pool, ins_ceil_div(args->rows, job.chunk), rope_task, &job);
        job.pair += job.n;
    } while (job.pair < half);
}

const ins_rope_impl INS_CPU(ins_cpu_rope) = {.head = INS_CPU_HEAD, .rotate = rope_rotate};
