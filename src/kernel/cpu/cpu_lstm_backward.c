/* Backward pass of the LSTM through time; layouts in cpu_lstm.h.
 *
 *   dh = d_h_t + W^T dz_{t+1};   dc = dc_{t+1} f_{t+1} + dh o (1 - tanh(c)^2)
 *   dz_i = dc g i (1-i);  dz_f = dc c_{t-1} f (1-f);  dz_g = dc i (1-g^2);  dz_o = dh tanh(c) o (1-o)
 */
#include "kernel/cpu/cpu_lstm.h"
#include "kernel/cpu/vmath.h"

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

enum { LSTM_CHUNK = 128 }; /* units at once: the arrays of a chunk stay in L1 */

typedef struct lstm_chunk {
    const float *in, *forget, *fresh, *out, *cell, *before, *d_h, *d_c;
    float *d_in, *d_forget, *d_fresh, *d_out, *back_c;
} lstm_chunk;

/* Everything but the sums over gates; extra: what flows into the saved gates, [4][LSTM_CHUNK] or NULL. */
static void lstm_chunk_back(const lstm_chunk *c, const float *extra, int64_t n) {
    const float *restrict in = c->in, *restrict forget = c->forget, *restrict fresh = c->fresh, *restrict out = c->out;
    const float *restrict cell = c->cell, *restrict before = c->before, *restrict d_h = c->d_h, *restrict d_c = c->d_c;
    float *restrict d_in = c->d_in, *restrict d_forget = c->d_forget, *restrict d_fresh = c->d_fresh;
    float *restrict d_out = c->d_out, *restrict back_c = c->back_c;
    for (int64_t u = 0; u < n; u++) {
        float squashed = vm_tanh(cell[u]), dh = d_h[u];
        float dc = d_c[u] + dh * out[u] * (1 - squashed * squashed);
        d_in[u] = dc * fresh[u];
        d_forget[u] = dc * before[u];
        d_fresh[u] = dc * in[u];
        d_out[u] = dh * squashed;
        back_c[u] = dc * forget[u];
    }
    for (int64_t u = 0; extra && u < n; u++) {
        d_in[u] += extra[u];
        d_forget[u] += extra[LSTM_CHUNK + u];
        d_fresh[u] += extra[2 * LSTM_CHUNK + u];
        d_out[u] += extra[3 * LSTM_CHUNK + u];
    }
    for (int64_t u = 0; u < n; u++) {
        d_in[u] *= in[u] * (1 - in[u]);
        d_forget[u] *= forget[u] * (1 - forget[u]);
        d_fresh[u] *= 1 - fresh[u] * fresh[u];
        d_out[u] *= out[u] * (1 - out[u]);
    }
}

/* sum[0..n) += what flows into this value from outside (NULL = nothing). */
static void lstm_add(ins_dtype dtype, const void *more, int64_t at, int64_t n, float *sum) {
    float work[LSTM_CHUNK];
    if (!more) return;
    const float *view = cpu_view(dtype, more, at, n, work);
    for (int64_t u = 0; u < n; u++) sum[u] += view[u];
}

static void lstm_row_back(const lstm_slice *s, int64_t r, int64_t t) {
    const lstm_job *job = s->job;
    const ins_lstm_args *args = job->args;
    int64_t hidden = args->hidden, row = s->begin + r, at = row * args->time + t;
    bool begins = ins_lstm_begins(args, row, t);
    const float *gates = (const float *)args->gates + at * 4 * hidden, *cell = (const float *)args->c + at * hidden;
    const float *before = t > 0 ? cell - hidden : args->c0 ? (const float *)args->c0 + row * hidden : NULL;
    float *d_x = (float *)args->d_x + at * 4 * hidden;
    float zeros[LSTM_CHUNK] = {0}, extra[4 * LSTM_CHUNK];
    for (int64_t u = 0; u < hidden; u += LSTM_CHUNK) {
        int64_t n = ins_min_i64(LSTM_CHUNK, hidden - u);
        float *d_h = s->d_h + r * job->buffer + u, *d_c = s->d_c + r * job->buffer + u, back_c[LSTM_CHUNK];
        lstm_add(args->dtype, args->d_h, at * hidden + u, n, d_h);
        lstm_add(INS_DTYPE_F32, args->d_c, at * hidden + u, n, d_c);
        for (int gate = 0; args->d_gates && gate < 4; gate++)
            memcpy(extra + gate * LSTM_CHUNK, (const float *)args->d_gates + (at * 4 + gate) * hidden + u,
                   (size_t)n * 4);
        const lstm_chunk chunk = {.in = gates + u,
                                  .forget = gates + hidden + u,
                                  .fresh = gates + 2 * hidden + u,
                                  .out = gates + 3 * hidden + u,
                                  .cell = cell + u,
                                  .before = begins ? zeros : before + u,
                                  .d_h = d_h,
                                  .d_c = d_c,
                                  .d_in = d_x + u,
                                  .d_forget = d_x + hidden + u,
                                  .d_fresh = d_x + 2 * hidden + u,
                                  .d_out = d_x + 3 * hidden + u,
                                  .back_c = back_c};
        lstm_chunk_back(&chunk, args->d_gates ? extra : NULL, n);
        for (int64_t i = 0; i < n; i++) d_c[i] = begins ? 0 : back_c[i];
    }
    for (int gate = 0; gate < 4; gate++) {
        lstm_units(args->dtype, d_x + gate * hidden, hidden, s->d_z + (gate * s->rows + r) * job->buffer, 0);
    }
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
