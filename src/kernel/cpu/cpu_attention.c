/* Attention forward in tiles with a running maximum (Milakov & Gimelshein 2018; Dao et al. 2022).
 *
 * A task owns up to ATT_LANES query rows of one head and walks over the tiles of keys that any of them sees. Per panel
 * of ATT_NR queries and tile: S = K Q^T, mask, P = 2^(S - max), O = O * 2^(old max - max) + V^T P, all transposed (see
 * attention_tile.h); scores are in powers of two: S = (q . k) * scale * log2(e).
 */
#include "kernel/cpu/cpu_attention.h"

#include "kernel/cpu/attention_tile.h"

typedef struct attention_job {
    const ins_attention_args *args;
    int64_t rows, blocks; /* query rows of a task, tasks of a head */
    int64_t n_tasks, n_threads;
} attention_job;

typedef struct attention_place {
    int64_t batch, head, kv_head, row0, n_rows;
} attention_place;

typedef struct attention_task_state {
    const ins_attention_args *args;
    attention_place at;
    int64_t rows_padded;
    att_stream ahead[4];     /* keys, values, queries, output */
    int64_t hd, units, cols; /* head size; in units; rounded up to ATT_MR and VL */
    att_lanes lanes;
    _Alignas(64) float max[ATT_LANES], sum[ATT_LANES];
    _Alignas(64) float q_panels[ATT_LANES * ATT_MAX_C / ATT_UNIT];
    _Alignas(64) float out[ATT_LANES * ATT_MAX_C]; /* panels [cols][ATT_NR] */
    _Alignas(64) float keys[ATT_KEYS * ATT_PITCH];
    _Alignas(64) float values[ATT_KEYS * ATT_PITCH], paired[ATT_KEYS / ATT_UNIT * ATT_COLS];
} attention_task_state;

/* Scores of ATT_MR keys from `key` of the tile on, and the maximum over them. */
INS_INLINE void scores_group(const attention_task_state *s, const int first, const int count, int64_t panel,
                             int64_t key0, int64_t key, float *score, vf max[2]) {
    vf sum[ATT_MR][2], factor = vf_set((float)(s->args->scale * ATT_LOG2E));
    for (int r = 0; r < ATT_MR; r++) sum[r][0] = sum[r][1] = (vf){0};
    att_product(first, count, sum, s->keys + key * ATT_PITCH, ATT_PITCH, 1, s->q_panels + panel * s->units * ATT_NR,
                ATT_NR, s->units);
    bool full = att_sees_all(&s->lanes, 2 * panel + first, count, key0 + key);
    CPU_UNROLL
    for (int r = 0; r < ATT_MR; r++)
        for (int v = first; v < first + count; v++) {
            vf x = sum[r][v] * factor;
            if (!full) {
                int64_t at = panel * ATT_NR + v * VL;
                x = att_select(x, vf_set(-INFINITY), vi_load(s->lanes.lo + at), vi_load(s->lanes.hi + at),
                               (int32_t)(key0 + key + r));
            }
            max[v] = att_max(x, max[v]);
            vf_store(score + (key + r) * ATT_NR + v * VL, x);
        }
}

/* Probabilities of one vector of lanes and keys [begin, end), in place as units; returns their sum added to `sum`. */
INS_INLINE vf probabilities(float *score, int which, int64_t begin, int64_t end, vf max, vf sum) {
    for (int64_t j = begin; j < end; j += ATT_UNIT) {
        float *row = score + j * ATT_NR + which * VL;
        vf p = att_exp2(vf_load(row) - max);
        sum += p;
#ifdef INS_CPU_BF16_DOT
        vf next = att_exp2(vf_load(row + ATT_NR) - max);
        sum += next;
        vf_store(score + j / 2 * ATT_NR + which * VL, att_unit(p, next));
#else
        vf_store(row, p);
#endif
    }
    return sum;
}

static void attention_panel(attention_task_state *s, int64_t panel, int64_t key0, int64_t n_keys, const float *paired) {
    _Alignas(64) float score[ATT_KEYS * ATT_NR];
    att_segment segments[3];
    int n = att_segments(&s->lanes, panel, key0, n_keys, segments);
    if (n == 0) return;
    float *max = s->max + panel * ATT_NR, *sum = s->sum + panel * ATT_NR;
    vf old[2] = {vf_load(max), vf_load(max + VL)}, top[2] = {old[0], old[1]}, shrink[2];
    for (int i = 0; i < n; i++)
        for (int64_t key = segments[i].begin; key < segments[i].end; key += ATT_MR) {
            att_stream_step(s->ahead, 4);
            if (segments[i].count == 2)
                scores_group(s, 0, 2, panel, key0, key, score, top);
            else if (segments[i].first == 0)
                scores_group(s, 0, 1, panel, key0, key, score, top);
            else
                scores_group(s, 1, 1, panel, key0, key, score, top);
        }
    for (int v = 0; v < 2; v++) {
        vf_store(max + v * VL, top[v]);
        top[v] = att_max(top[v], vf_set(-3e38f)); /* scores of -inf only: no key counts */
        shrink[v] = att_exp2(old[v] - top[v]);
        vf total = att_rounded(vf_load(sum + v * VL) * shrink[v]);
        for (int i = 0; i < n; i++)
            if (segments[i].first <= v && v < segments[i].first + segments[i].count)
                total = probabilities(score, v, segments[i].begin, segments[i].end, top[v], total);
        vf_store(sum + v * VL, total);
    }
    float *out = s->out + panel * s->cols * ATT_NR;
    for (int64_t c = 0; c < s->hd; c += ATT_MR)
        att_product_segments(paired + c, score, ATT_NR, segments, n, shrink, out + c * ATT_NR);
}

static void attention_tile(attention_task_state *s, int64_t key0, int64_t n_keys) {
    const ins_attention_args *args = s->args;
    int64_t at_k = ins_attention_k_at(args, args->ldk, args->batch_stride_k, s->at.batch, s->at.kv_head, key0);
    int64_t at_v = ins_attention_k_at(args, args->ldv, args->batch_stride_v, s->at.batch, s->at.kv_head, key0);
    int64_t rows = att_round_up(n_keys, ATT_MR);
    att_pack_rows(args->dtype, args->k, at_k, args->ldk, n_keys, s->hd, rows, s->cols, s->keys);
    att_pack_rows(args->dtype, args->v, at_v, args->ldv, n_keys, s->hd, rows, s->cols, s->values);
    const float *paired = att_pair_rows(s->values, rows, s->cols, s->paired);
    for (int64_t panel = 0; panel * ATT_NR < s->rows_padded; panel++) attention_panel(s, panel, key0, n_keys, paired);
}

static void attention_finish(attention_task_state *s) {
    const ins_attention_args *args = s->args;
    _Alignas(64) float lse[ATT_LANES];
    for (int64_t row = 0; row < s->rows_padded; row += VL) {
        vf sum = vf_load(s->sum + row), none = vf_set(0.0f);
        float *panel = s->out + row / ATT_NR * s->cols * ATT_NR + row % ATT_NR;
        vf inverse = 1.0f / sum, log = (vf_load(s->max + row) + att_log2(sum)) * (float)ATT_LN2;
        vi empty = sum == none;
        inverse = (vf)((vi)inverse & ~empty);
        for (int64_t c = 0; c < s->hd; c++) vf_store(panel + c * ATT_NR, vf_load(panel + c * ATT_NR) * inverse);
        vf_store(lse + row, (vf)(((vi)log & ~empty) | ((vi)vf_set(-INFINITY) & empty)));
    }
    for (int64_t row = 0; row < s->at.n_rows; row += ATT_NR)
        att_store_panel(s->out + row * s->cols, s->hd, 1.0f, args->dtype, args->o,
                        ins_attention_q_at(args, args->ldo, s->at.batch, s->at.head, s->at.row0 + row), args->ldo,
                        ins_min_i64(ATT_NR, s->at.n_rows - row));
    if (!args->lse) return;
    int64_t at = (s->at.batch * args->n_heads + s->at.head) * args->n_q + s->at.row0;
    memcpy((float *)args->lse + at, lse, (size_t)s->at.n_rows * 4);
}

static void attention_start(attention_task_state *s) {
    const ins_attention_args *args = s->args;
    s->rows_padded = att_round_up(s->at.n_rows, ATT_NR);
    s->hd = args->head_dim, s->units = ins_ceil_div(s->hd, ATT_UNIT);
    s->cols = att_round_up(s->hd, ins_max_i64(ATT_MR, VL));
    for (int64_t row = 0; row < s->rows_padded; row++) s->max[row] = -INFINITY, s->sum[row] = 0;
    memset(s->out, 0, (size_t)(s->rows_padded * s->cols) * 4);
    att_lanes_fill(&s->lanes, args, s->at.batch, s->at.row0, s->at.n_rows, s->rows_padded);
    for (int64_t row = 0; row < s->at.n_rows; row += ATT_NR) {
        int64_t at = ins_attention_q_at(args, args->ldq, s->at.batch, s->at.head, s->at.row0 + row);
        att_pack_rows(args->dtype, args->q, at, args->ldq, ins_min_i64(ATT_NR, s->at.n_rows - row), s->hd, ATT_NR,
                      s->cols, s->keys);
        att_panels(s->keys, ATT_NR, s->units, s->q_panels + row * s->units);
    }
}

/* Which rows a task owns: the last ones of a head first, because under a causal mask they take longest. */
static attention_place attention_locate(const attention_job *job, int64_t task) {
    const ins_attention_args *args = job->args;
    attention_place at = {.batch = task / job->blocks / args->n_heads, .head = task / job->blocks % args->n_heads};
    at.kv_head = at.head / (args->n_heads / args->n_kv_heads);
    at.row0 = (job->blocks - 1 - task % job->blocks) * job->rows;
    at.n_rows = ins_min_i64(job->rows, args->n_q - at.row0);
    return at;
}

/* Keys and values of the tile from `key0` on will be needed. */
static void attention_ahead_keys(attention_task_state *s, const attention_place *at, int64_t key0) {
    const ins_attention_args *args = s->args;
    int64_t n = ins_max_i64(0, ins_min_i64(ATT_KEYS, args->n_k - key0)), hd = args->head_dim;
    int64_t at_k = ins_attention_k_at(args, args->ldk, args->batch_stride_k, at->batch, at->kv_head, key0);
    int64_t at_v = ins_attention_k_at(args, args->ldv, args->batch_stride_v, at->batch, at->kv_head, key0);
    s->ahead[0] = att_stream_rows(args->dtype, args->k, at_k, args->ldk, n, hd);
    s->ahead[1] = att_stream_rows(args->dtype, args->v, at_v, args->ldv, n, hd);
}

/* At the last tile: the rows of the output, and what this thread will probably work on next. */
static void attention_ahead_task(const attention_job *job, int64_t task, attention_task_state *s) {
    const ins_attention_args *args = s->args;
    int64_t at_o = ins_attention_q_at(args, args->ldo, s->at.batch, s->at.head, s->at.row0);
    s->ahead[3] = att_stream_rows(args->dtype, args->o, at_o, args->ldo, s->at.n_rows, args->head_dim);
    if (task + job->n_threads >= job->n_tasks) return;
    attention_place next = attention_locate(job, task + job->n_threads);
    int64_t at_q = ins_attention_q_at(args, args->ldq, next.batch, next.head, next.row0);
    s->ahead[2] = att_stream_rows(args->dtype, args->q, at_q, args->ldq, next.n_rows, args->head_dim);
    int64_t first = args->lo[next.batch * args->n_q + next.row0];
    attention_ahead_keys(s, &next, ins_min_i64(args->n_k, ins_max_i64(0, first)) / ATT_KEYS * ATT_KEYS);
}

static void attention_task(void *arg, int64_t task, int thread) {
    (void)thread;
    attention_task_state s;
    const attention_job *job = arg;
    s.args = job->args, s.at = attention_locate(job, task);
    memset(s.ahead, 0, sizeof s.ahead);
    attention_start(&s);
    ins_key_range all = att_lanes_union(&s.lanes, s.rows_padded / VL);
    for (int64_t key0 = all.begin / ATT_KEYS * ATT_KEYS; key0 < all.end; key0 += ATT_KEYS) {
        if (key0 + ATT_KEYS < all.end)
            attention_ahead_keys(&s, &s.at, key0 + ATT_KEYS);
        else
            attention_ahead_task(job, task, &s);
        attention_tile(&s, key0, ins_min_i64(ATT_KEYS, s.args->n_k - key0));
    }
    attention_finish(&s);
}

/* Long tasks share the packing of keys and values; short ones keep more cores busy. A row's result is the same. */
static void attention_forward(const ins_attention_args *args, ins_pool *pool) {
    int64_t heads = args->batch * args->n_heads;
    if (args->n_q <= ATT_FEW) {
        INS_CPU(ins_cpu_attention_few)(args, pool);
        return;
    }
    attention_job job = {.args = args, .rows = ATT_LANES, .n_threads = ins_pool_threads(pool)};
    if (heads * ins_ceil_div(args->n_q, ATT_LANES) < 16) job.rows = 64;
    job.blocks = ins_ceil_div(args->n_q, job.rows), job.n_tasks = heads * job.blocks;
    ins_pool_run(pool, job.n_tasks, attention_task, &job);
}

#ifdef INS_CPU_BF16_DOT
const ins_attention_impl INS_CPU(ins_cpu_attention) = {
    .head = {INS_CPU_NAME, INS_CPU_LEVEL, INS_DTYPE_BIT(INS_DTYPE_BF16)},
    .accepts = ins_isa_fast_dot,
    .forward = attention_forward,
    .backward = INS_CPU(ins_cpu_attention_backward)};
#else
const ins_attention_impl INS_CPU(ins_cpu_attention) = {
    .head = INS_CPU_HEAD, .forward = attention_forward, .backward = INS_CPU(ins_cpu_attention_backward)};
#endif
