/* Backward pass of the LSTM through time; layouts in cpu_lstm.h.
 *
 *   dh = d_h_t + W^T dz_{t+1};   dc = dc_{t+1} f_{t+1} + dh o (1 - tanh(c)^2)
 *   dz_i = dc g i (1-i);  dz_f = dc c_{t-1} f (1-f);  dz_g = dc i (1-g^2);  dz_o = dh tanh(c) o (1-o)
 */
#include "kernel/cpu/cpu_lstm.h"

/* Sliver (gate, group): columns of W from rows of one gate. */
static void lstm_pack_back_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const lstm_job *job = arg;
    const ins_lstm_args *args = job->args;
    int64_t gate = task / job->n_groups, first = task % job->n_groups * LSTM_NR, hidden = args->hidden;
    int64_t n = ins_min_i64(LSTM_NR, hidden - first);
    float *dst = job->packed + task * job->units * LSTM_NR;
    for (int64_t unit = 0; unit < job->units; unit++, dst += LSTM_NR) {
        int64_t k = unit * LSTM_UNIT, at = (gate * hidden + k) * hidden + first;
        if (n < LSTM_NR) memset(dst, 0, LSTM_NR * 4);
#ifdef INS_CPU_BF16_DOT
        const uint16_t *low = (const uint16_t *)args->w + at, *high = k + 1 < hidden ? low + hidden : NULL;
        u32_alias *pairs = (u32_alias *)(void *)dst;
        for (int64_t j = 0; j < n; j++) pairs[j] = low[j] | (high ? (uint32_t)high[j] << 16 : 0);
#else
        cpu_load(args->dtype, args->w, at, n, dst);
#endif
    }
}

/* Rows of a task. d_z: for each gate the rows' buffers, as units; d_h, d_c: what later steps send back. */
typedef struct lstm_slice {
    const lstm_job *job;
    int64_t begin, rows;
    float *d_z, *d_h, *d_c;
} lstm_slice;

/* Where a row's values of step t are; `extra`: what flows into the saved gates from outside. NULL = 0. */
typedef struct lstm_row {
    const float *gates, *cell, *before, *more_c, *extra;
    const void *more_h;
    float *d_x, *d_h, *d_c;
    float *units[4]; /* dz of each gate for the product */
    bool begins;
} lstm_row;

/* VL values, of which n are there: the others are 0. */
INS_INLINE vf lstm_some(const float *src, int64_t n) {
    if (n >= VL) return vf_load(src);
    float lanes[VL] = {0};
    memcpy(lanes, src, (size_t)n * 4);
    return vf_load(lanes);
}
INS_INLINE void lstm_put(float *dst, vf v, int64_t n) {
    if (n >= VL) {
        vf_store(dst, v);
        return;
    }
    float lanes[VL];
    vf_store(lanes, v);
    memcpy(dst, lanes, (size_t)n * 4);
}

/* Values [u, u + VL) of a row, n of them there. */
INS_INLINE void lstm_vector_back(ins_dtype dtype, const lstm_row *row, int64_t hidden, int64_t u, int64_t n) {
    vf zero = vf_set(0), gate[4], extra[4] = {zero, zero, zero, zero}, before = zero;
    vf d_h = vf_load(row->d_h + u), d_c = vf_load(row->d_c + u);
    CPU_UNROLL
    for (int q = 0; q < 4; q++) gate[q] = lstm_some(row->gates + q * hidden + u, n);
    if (row->before) before = lstm_some(row->before + u, n);
    if (row->more_c) d_c += lstm_some(row->more_c + u, n);
    if (row->more_h) {
        float work[VL] = {0};
        int64_t there = ins_min_i64(n, VL);
        if (dtype == INS_DTYPE_F32 && n >= VL)
            d_h += vf_load((const float *)row->more_h + u);
        else
            cpu_load(dtype, row->more_h, u, there, work), d_h += vf_load(work);
    }
    for (int q = 0; row->extra && q < 4; q++) extra[q] = lstm_some(row->extra + q * hidden + u, n);
    vf squashed = lstm_tanh(lstm_some(row->cell + u, n));
    d_c += d_h * gate[3] * (1.0f - squashed * squashed);
    const vf d[4] = {(d_c * gate[2] + extra[0]) * (gate[0] * (1.0f - gate[0])),
                     (d_c * before + extra[1]) * (gate[1] * (1.0f - gate[1])),
                     (d_c * gate[0] + extra[2]) * (1.0f - gate[2] * gate[2]),
                     (d_h * squashed + extra[3]) * (gate[3] * (1.0f - gate[3]))};
    CPU_UNROLL
    for (int q = 0; q < 4; q++) {
        lstm_put(row->d_x + q * hidden + u, d[q], n);
#ifndef INS_CPU_BF16_DOT
        if (dtype == INS_DTYPE_F32) vf_store(row->units[q] + u, d[q]); /* buffers are padded with 0 */
#endif
    }
    vf_store(row->d_c + u, row->begins ? zero : d_c * gate[1]);
}

static void lstm_row_back(const lstm_slice *s, int64_t r, int64_t t) {
    const lstm_job *job = s->job;
    const ins_lstm_args *args = job->args;
    int64_t hidden = args->hidden, at_row = s->begin + r, at = at_row * args->time + t;
    const float *cell = (const float *)args->c + at * hidden;
    size_t element = args->dtype == INS_DTYPE_F32 ? 4 : 2;
    lstm_row row = {.gates = (const float *)args->gates + at * 4 * hidden,
                    .cell = cell,
                    .more_c = args->d_c ? (const float *)args->d_c + at * hidden : NULL,
                    .extra = args->d_gates ? (const float *)args->d_gates + at * 4 * hidden : NULL,
                    .more_h = args->d_h ? (const char *)args->d_h + (size_t)(at * hidden) * element : NULL,
                    .d_x = (float *)args->d_x + at * 4 * hidden,
                    .d_h = s->d_h + r * job->buffer,
                    .d_c = s->d_c + r * job->buffer,
                    .begins = ins_lstm_begins(args, at_row, t)};
    if (!row.begins) row.before = t > 0 ? cell - hidden : (const float *)args->c0 + at_row * hidden;
    for (int q = 0; q < 4; q++) row.units[q] = s->d_z + (q * s->rows + r) * job->buffer;
    int64_t u = 0;
    for (; u + VL <= hidden; u += VL) lstm_vector_back(args->dtype, &row, hidden, u, VL);
    if (u < hidden) lstm_vector_back(args->dtype, &row, hidden, u, hidden - u);
    for (int q = 0; args->dtype != INS_DTYPE_F32 && q < 4; q++)
        lstm_units(args->dtype, row.d_x + q * hidden, hidden, row.units[q], 0);
}

/* The next step's rows lie a whole sequence apart, which no hardware sees coming. */
static void lstm_prefetch(const lstm_slice *s, int64_t r, int64_t t) {
    const ins_lstm_args *args = s->job->args;
    int64_t hidden = args->hidden, at = (s->begin + r) * args->time + t;
    const float *gates = (const float *)args->gates + at * 4 * hidden;
    float *d_x = (float *)args->d_x + at * 4 * hidden;
    for (int64_t u = 0; u < 4 * hidden; u += 16) {
        __builtin_prefetch(gates + u, 0, 2);
        __builtin_prefetch(d_x + u, 1, 2);
    }
    for (int64_t u = 0; u < hidden; u += 16) __builtin_prefetch((const float *)args->c + at * hidden + u, 0, 2);
}

/* h_{t-1} as step t has seen it. */
static void lstm_keep_before(const ins_lstm_args *args, int64_t row, int64_t t) {
    int64_t hidden = args->hidden, at = row * args->time + t;
    size_t element = args->dtype == INS_DTYPE_F32 ? 4 : 2, bytes = (size_t)hidden * element;
    char *dst = (char *)args->h_prev + (size_t)at * bytes;
    if (ins_lstm_begins(args, row, t))
        memset(dst, 0, bytes);
    else if (t > 0)
        memcpy(dst, (const char *)args->h + (size_t)(at - 1) * bytes, bytes);
    else
        cpu_store(args->dtype, (const float *)args->h0 + row * hidden, args->h_prev, at * hidden, hidden);
}

static void lstm_step_back(const lstm_slice *s, int64_t t) {
    const lstm_job *job = s->job;
    const ins_lstm_args *args = job->args;
    for (int64_t r = 0; r < s->rows; r++) {
        if (t > 0) lstm_prefetch(s, r, t - 1);
        lstm_row_back(s, r, t);
        if (args->h_prev) lstm_keep_before(args, s->begin + r, t);
    }
    memset(s->d_h, 0, (size_t)(s->rows * job->buffer) * 4);
    if (t == 0 && !args->d_h0) return;
    for (int64_t gate = 0; gate < 4; gate++)
        for (int64_t group = 0; group < job->n_groups; group++)
            lstm_product(s->rows, s->d_z + gate * s->rows * job->buffer, job->buffer,
                         lstm_sliver(job, gate * job->n_groups + group), job->units, s->d_h + group * LSTM_NR,
                         job->buffer);
    for (int64_t r = 0; r < s->rows; r++)
        if (ins_lstm_begins(args, s->begin + r, t)) memset(s->d_h + r * job->buffer, 0, (size_t)job->buffer * 4);
}

static void lstm_back_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const lstm_job *job = arg;
    const ins_lstm_args *args = job->args;
    lstm_slice s = {.job = job, .begin = task * job->rows};
    s.rows = ins_min_i64(job->rows, args->batch - s.begin);
    int64_t block = s.rows * job->buffer;
    s.d_z = job->buffers + s.begin * INS_LSTM_ROW_BUFFERS * job->buffer;
    s.d_h = s.d_z + 4 * block, s.d_c = s.d_h + block;
    memset(s.d_z, 0, (size_t)(INS_LSTM_ROW_BUFFERS * block) * 4);
    for (int64_t t = args->time - 1; t >= 0; t--) lstm_step_back(&s, t);
    size_t bytes = (size_t)args->hidden * 4;
    for (int64_t r = 0; r < s.rows; r++) {
        int64_t at = (s.begin + r) * args->hidden;
        if (args->d_h0) memcpy((float *)args->d_h0 + at, s.d_h + r * job->buffer, bytes);
        if (args->d_c0) memcpy((float *)args->d_c0 + at, s.d_c + r * job->buffer, bytes);
    }
}

void INS_CPU(ins_lstm_backward)(const ins_lstm_args *args, ins_pool *pool) {
    lstm_job job = lstm_job_make(args, pool);
    ins_pool_run(pool, job.n_groups * 4, lstm_pack_back_task, &job);
    ins_pool_run(pool, ins_ceil_div(args->batch, job.rows), lstm_back_task, &job);
}
