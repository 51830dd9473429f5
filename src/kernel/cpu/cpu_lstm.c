/* Forward pass of the LSTM; layouts in cpu_lstm.h. */
#include "kernel/cpu/cpu_lstm.h"
#include "kernel/cpu/transpose.h"

/* ---- packing: sliver (group, gate) from rows gate H + unit of W ---- */

static void lstm_pack_edge(const ins_lstm_args *args, int64_t row, int64_t n, int64_t k0, float *dst) {
    for (int64_t j = 0; j < n; j++)
        for (int64_t k = k0; k < args->hidden; k++) {
#ifdef INS_CPU_BF16_DOT
            uint16_t *pair = (uint16_t *)(void *)(dst + k / 2 * LSTM_NR + j);
            pair[k % 2] = ((const uint16_t *)args->w)[(row + j) * args->hidden + k];
#else
            cpu_load(args->dtype, args->w, (row + j) * args->hidden + k, 1, dst + k * LSTM_NR + j);
#endif
        }
}

static void lstm_pack_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const lstm_job *job = arg;
    const ins_lstm_args *args = job->args;
    int64_t group = task / 4, gate = task % 4, first = group * LSTM_NR;
    int64_t n = ins_min_i64(LSTM_NR, args->hidden - first), row = gate * args->hidden + first, done = 0;
    float *dst = job->packed + task * job->units * LSTM_NR;
    size_t element = args->dtype == INS_DTYPE_F32 ? 4 : 2;
    memset(dst, 0, (size_t)(job->units * LSTM_NR) * 4);
    if (n == LSTM_NR && element * LSTM_UNIT == 4) { /* a unit of the source is 4 bytes too */
        int64_t row_bytes = args->hidden * (int64_t)element;
        done = args->hidden / LSTM_UNIT;
        for (int half = 0; half < 2; half++)
            cpu_transpose((const char *)args->w + (row + half * VL) * row_bytes, row_bytes, done, dst + half * VL,
                          LSTM_NR);
    }
    lstm_pack_edge(args, row, n, done * LSTM_UNIT, dst);
}

/* ---- one step ---- */

/* Pre-activations of a group, then i f g o; c_{t-1}, then c_t. */
typedef struct lstm_tile {
    _Alignas(64) float gate[4][LSTM_MR * LSTM_NR];
    _Alignas(64) float cell[LSTM_MR * LSTM_NR];
    _Alignas(64) float h[LSTM_MR * LSTM_NR];
} lstm_tile;

static void lstm_activate(lstm_tile *tile, int64_t n) {
    for (int64_t i = 0; i < n; i += VL) {
        vf in = lstm_sigmoid(vf_load(tile->gate[0] + i)), forget = lstm_sigmoid(vf_load(tile->gate[1] + i));
        vf fresh = lstm_tanh(vf_load(tile->gate[2] + i)), out = lstm_sigmoid(vf_load(tile->gate[3] + i));
        vf cell = forget * vf_load(tile->cell + i) + in * fresh;
        vf_store(tile->gate[0] + i, in), vf_store(tile->gate[1] + i, forget);
        vf_store(tile->gate[2] + i, fresh), vf_store(tile->gate[3] + i, out);
        vf_store(tile->cell + i, cell);
        vf_store(tile->h + i, out * lstm_tanh(cell));
    }
}

/* Rows of the task at step t. */
typedef struct lstm_slice {
    const lstm_job *job;
    int64_t begin, rows;
    float *state[2]; /* h_{t-1} and h_t as units, taking turns; buffers of the rows */
    float *cell;     /* c of the step before */
} lstm_slice;

/* dst[0..NR) = n floats of src (NULL = 0), zeros behind them. */
INS_INLINE void lstm_fetch(float *dst, const float *src, int64_t n) {
    if (src && n == LSTM_NR) {
        vf_store(dst, vf_load(src));
        vf_store(dst + VL, vf_load(src + VL));
        return;
    }
    memset(dst, 0, LSTM_NR * 4);
    if (src) memcpy(dst, src, (size_t)n * 4);
}

/* dst[0..n) = src; both are n floats and src has NR. */
INS_INLINE void lstm_give(float *dst, const float *src, int64_t n) {
    if (n == LSTM_NR) {
        vf_store(dst, vf_load(src));
        vf_store(dst + VL, vf_load(src + VL));
        return;
    }
    memcpy(dst, src, (size_t)n * 4);
}

/* Rows lie a sequence apart, which no hardware sees coming: ask for columns [column, column + NR) of the task's rows at
 * step t, to be written. A few lines before each product, because all at once would hold up its loads. */
INS_INLINE void lstm_prefetch(const lstm_slice *s, const float *base, int64_t width, int64_t t, int64_t column) {
    int64_t time = s->job->args->time;
    if (!base || t >= time) return;
    const float *line = base + (s->begin * time + t) * width + column;
    for (int64_t r = 0; r < s->rows; r++, line += time * width)
        for (int64_t at = 0; at < LSTM_NR; at += 16) __builtin_prefetch(line + at, 1, 2);
}

static void lstm_read(const lstm_slice *s, int64_t t, int64_t first, int64_t n, lstm_tile *tile) {
    const ins_lstm_args *args = s->job->args;
    int64_t hidden = args->hidden;
    for (int64_t r = 0; r < s->rows; r++) {
        int64_t row = s->begin + r, at = row * args->time + t;
        const float *x = (const float *)args->x + at * 4 * hidden + first;
        for (int gate = 0; gate < 4; gate++) lstm_fetch(tile->gate[gate] + r * LSTM_NR, x + gate * hidden, n);
        lstm_fetch(tile->cell + r * LSTM_NR, s->cell + r * s->job->buffer + first, n);
    }
}

static void lstm_write(const lstm_slice *s, int64_t t, int64_t first, int64_t n, const lstm_tile *tile, float *then) {
    const ins_lstm_args *args = s->job->args;
    int64_t hidden = args->hidden;
    for (int64_t r = 0; r < s->rows; r++) {
        int64_t at = (s->begin + r) * args->time + t;
        float *gates = (float *)args->gates + at * 4 * hidden + first;
        for (int gate = 0; gate < 4; gate++) lstm_give(gates + gate * hidden, tile->gate[gate] + r * LSTM_NR, n);
        const float *cell = tile->cell + r * LSTM_NR, *h = tile->h + r * LSTM_NR;
        lstm_give(s->cell + r * s->job->buffer + first, cell, n);
        if (args->c) lstm_give((float *)args->c + at * hidden + first, cell, n);
        if (args->h && args->dtype == INS_DTYPE_F32) lstm_give((float *)args->h + at * hidden + first, h, n);
        if (args->h && args->dtype == INS_DTYPE_BF16) cpu_store(args->dtype, h, args->h, at * hidden + first, n);
        lstm_units(args->dtype, h, n, then + r * s->job->buffer, first);
    }
}

static void lstm_step(const lstm_slice *s, int64_t t) {
    const lstm_job *job = s->job;
    const ins_lstm_args *args = job->args;
    int64_t hidden = args->hidden;
    float *now = s->state[t % 2], *then = s->state[(t + 1) % 2];
    lstm_tile tile;
    for (int64_t r = 0; r < s->rows; r++) {
        if (!ins_lstm_begins(args, s->begin + r, t)) continue;
        memset(now + r * job->buffer, 0, (size_t)job->buffer * 4);
        memset(s->cell + r * job->buffer, 0, (size_t)job->buffer * 4);
    }
    for (int64_t group = 0; group < job->n_groups; group++) {
        int64_t first = group * LSTM_NR, n = ins_min_i64(LSTM_NR, hidden - first);
        lstm_read(s, t, first, n, &tile);
        for (int gate = 0; gate < 4; gate++) {
            lstm_prefetch(s, args->x, 4 * hidden, t + 1, gate * hidden + first);
            if (gate == 0) lstm_prefetch(s, args->c, hidden, t, first);
            if (gate == 1 && args->dtype == INS_DTYPE_F32) lstm_prefetch(s, args->h, hidden, t, first);
            lstm_product(s->rows, now, job->buffer, lstm_sliver(job, group * 4 + gate), job->units, tile.gate[gate],
                         LSTM_NR);
        }
        lstm_activate(&tile, s->rows * LSTM_NR);
        lstm_write(s, t, first, n, &tile, then);
    }
}

static void lstm_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const lstm_job *job = arg;
    const ins_lstm_args *args = job->args;
    lstm_slice s = {.job = job, .begin = task * job->rows};
    s.rows = ins_min_i64(job->rows, args->batch - s.begin);
    float *buffers = job->buffers + s.begin * INS_LSTM_ROW_BUFFERS * job->buffer;
    s.state[0] = buffers, s.state[1] = buffers + s.rows * job->buffer, s.cell = buffers + 2 * s.rows * job->buffer;
    memset(buffers, 0, (size_t)(3 * s.rows * job->buffer) * 4);
    for (int64_t r = 0; args->h0 && r < s.rows; r++) {
        int64_t at = (s.begin + r) * args->hidden;
        lstm_units(args->dtype, (const float *)args->h0 + at, args->hidden, s.state[0] + r * job->buffer, 0);
        memcpy(s.cell + r * job->buffer, (const float *)args->c0 + at, (size_t)args->hidden * 4);
    }
    for (int64_t t = 0; t < args->time; t++) lstm_step(&s, t);
}

static void lstm_forward(const ins_lstm_args *args, ins_pool *pool) {
    lstm_job job = lstm_job_make(args, pool);
    ins_pool_run(pool, job.n_groups * 4, lstm_pack_task, &job);
    ins_pool_run(pool, ins_ceil_div(args->batch, job.rows), lstm_task, &job);
}

#ifdef INS_CPU_BF16_DOT
#define LSTM_HEAD                                                                                                      \
    { INS_CPU_NAME, INS_CPU_LEVEL, INS_DTYPE_BIT(INS_DTYPE_BF16) }
#else
#define LSTM_HEAD INS_CPU_HEAD
#endif
const ins_lstm_impl INS_CPU(ins_cpu_lstm) = {
    .head = LSTM_HEAD, .forward = lstm_forward, .backward = INS_CPU(ins_lstm_backward)};
