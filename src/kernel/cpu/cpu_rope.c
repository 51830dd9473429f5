/* Rotary embedding. Angles are reduced in f64, sine and cosine are f32 polynomials; one row's pair of tables serves all
 * its heads. */
#include <math.h>

#include "kernel/cpu/vmath.h"
#include "kernel/rope_impl.h"

#define ROPE_PAIRS 128 /* pairs worked on at once */

typedef struct rope_tables {
    float cosine[ROPE_PAIRS], sine[ROPE_PAIRS];
} rope_tables;

typedef struct rope_job {
    const ins_rope_args *args;
    int64_t chunk; /* rows a task */
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

/* Pairs [pair, pair + n) of one head: channels i and i + rotary_dim/2. */
static void rope_half(const ins_rope_args *args, int64_t from, int64_t to, int64_t pair, int64_t n,
                      const rope_tables *tables) {
    float left[ROPE_PAIRS], right[ROPE_PAIRS];
    int64_t half = args->rotary_dim / 2;
    cpu_load(args->dtype, args->x, from + pair, n, left);
    cpu_load(args->dtype, args->x, from + half + pair, n, right);
    for (int64_t i = 0; i < n; i++) {
        float low = left[i] * tables->cosine[i] - right[i] * tables->sine[i];
        float high = right[i] * tables->cosine[i] + left[i] * tables->sine[i];
        left[i] = low, right[i] = high;
    }
    cpu_store(args->dtype, left, args->y, to + pair, n);
    cpu_store(args->dtype, right, args->y, to + half + pair, n);
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
    double freq[ROPE_PAIRS];
    int64_t half = args->rotary_dim / 2, begin = task * job->chunk, end = ins_min_i64(args->rows, begin + job->chunk);
    for (int64_t pair = 0; pair < half; pair += ROPE_PAIRS) {
        int64_t n = ins_min_i64(ROPE_PAIRS, half - pair);
        for (int64_t i = 0; i < n; i++)
            freq[i] = args->inv_freq ? args->inv_freq[pair + i]
                                     : pow(args->theta, -2.0 * (double)(pair + i) / (double)args->rotary_dim);
        for (int64_t r = begin; r < end; r++) {
            rope_tables_fill(args, freq, n, args->positions[r], &tables);
            for (int64_t h = 0; h < args->n_heads; h++)
                (args->interleaved ? rope_interleaved : rope_half)(
                    args, r * args->ldx + h * args->head_dim, r * args->ldy + h * args->head_dim, pair, n, &tables);
        }
    }
    if (args->rotary_dim == args->head_dim) return;
    for (int64_t r = begin; r < end; r++)
        for (int64_t h = 0; h < args->n_heads; h++)
            rope_copy_rest(args, r * args->ldx + h * args->head_dim, r * args->ldy + h * args->head_dim);
}

static void rope_rotate(const ins_rope_args *args, ins_pool *pool) {
    rope_job job = {args, ins_max_i64(16, 16384 / ins_max_i64(1, args->n_heads * args->head_dim))};
    ins_pool_run(pool, ins_ceil_div(args->rows, job.chunk), rope_task, &job);
}

const ins_rope_impl INS_CPU(ins_cpu_rope) = {.head = INS_CPU_HEAD, .rotate = rope_rotate};
