/* Attention backward. With P = 2^(S - lse) and D = rowsum(d_o * o), all of them transposed (attention_tile.h):
 *
 *   d_v += P d_o;  dS = P * (V d_o^T - D);  d_k += dS q scale;  d_q += K^T dS scale
 *
 * A task owns one (batch item, kv head): block of queries by block of queries it makes their d_q and adds to d_k and
 * d_v in its scratch, so the order is fixed. Where such tasks are few, each is cut into parts that take turns with the
 * blocks and have a d_k and d_v of their own, added up afterwards.
 */
#include "kernel/cpu/attention_tile.h"
#include "kernel/cpu/cpu_attention.h"

#define BACK_ROWS  INS_ATTENTION_BLOCK
#define BACK_UNITS (BACK_ROWS / ATT_UNIT)

enum { AHEAD_KEYS, AHEAD_VALUES, AHEAD_Q, AHEAD_O, AHEAD_D_O, AHEAD_D_Q, AHEAD_D_K, AHEAD_D_V, AHEAD_N };

typedef struct attention_back {
    const ins_attention_args *args;
    att_stream ahead[AHEAD_N];
    int64_t batch, kv_head, head, row0, n_rows, rows_padded; /* of the block */
    int64_t hd, units, cols;                                 /* as in cpu_attention.c */
    float *d_k, *d_v;                                        /* [n_k][cols] */
    att_lanes lanes;
    _Alignas(64) float lse[BACK_ROWS], delta[BACK_ROWS]; /* lse in powers of two */
    _Alignas(64) float q_rows[BACK_ROWS * ATT_PITCH], q_paired[BACK_UNITS * ATT_COLS];
    _Alignas(64) float q_panels[BACK_ROWS * ATT_MAX_C / ATT_UNIT], g_panels[BACK_ROWS * ATT_MAX_C / ATT_UNIT];
    _Alignas(64) float g_rows[BACK_ROWS * ATT_PITCH], g_paired[BACK_UNITS * ATT_COLS]; /* g: d_o */
    _Alignas(64) float keys[ATT_KEYS * ATT_PITCH], keys_paired[ATT_KEYS / ATT_UNIT * ATT_COLS];
    _Alignas(64) float values[ATT_KEYS * ATT_PITCH];
    _Alignas(64) float p[ATT_KEYS * BACK_UNITS], d_s[ATT_KEYS * BACK_UNITS]; /* [key][units of rows] */
    _Alignas(64) float d_s_paired[ATT_KEYS / ATT_UNIT * BACK_ROWS];          /* [units of keys][row] */
    _Alignas(64) float d_q[BACK_ROWS * ATT_MAX_C];                           /* panels [cols][ATT_NR] */
} attention_back;

/* ---- one group: ATT_MR keys and the lanes of a panel ---- */

/* Rows of `group` [ATT_MR][ATT_NR] into those of dst [key][BACK_UNITS], at a panel. */
INS_INLINE void back_put_rows(const float *group, int64_t panel, float *dst) {
    for (int r = 0; r < ATT_MR; r++) {
        vf first = vf_load(group + r * ATT_NR), second = vf_load(group + r * ATT_NR + VL);
#ifdef INS_CPU_BF16_DOT
        vf_store(dst + r * BACK_UNITS + panel * ATT_NR / 2, att_narrow(first, second));
#else
        vf_store(dst + r * BACK_UNITS + panel * ATT_NR, first);
        vf_store(dst + r * BACK_UNITS + panel * ATT_NR + VL, second);
#endif
    }
}

#ifdef INS_CPU_BF16_DOT
INS_INLINE void back_put_paired(const float *group, int64_t panel, float *dst) {
    for (int r = 0; r < ATT_MR; r += 2)
        for (int v = 0; v < 2; v++) {
            const float *row = group + r * ATT_NR + v * VL;
            vf_store(dst + r / 2 * BACK_ROWS + panel * ATT_NR + v * VL, att_unit(vf_load(row), vf_load(row + ATT_NR)));
        }
}
#endif

/* P and dS of the tile's keys from `key` on; lanes outside first .. first + count get 0. */
INS_INLINE void back_group(attention_back *s, const int first, const int count, int64_t panel, int64_t key0,
                           int64_t key) {
    _Alignas(64) float prob[ATT_MR * ATT_NR], grad[ATT_MR * ATT_NR];
    vf sum[ATT_MR][2], factor = vf_set((float)(s->args->scale * ATT_LOG2E));
    const float *q_panel = s->q_panels + panel * s->units * ATT_NR, *g_panel = s->g_panels + panel * s->units * ATT_NR;
    bool full = att_sees_all(&s->lanes, 2 * panel + first, count, key0 + key);
    for (int r = 0; r < ATT_MR; r++) sum[r][0] = sum[r][1] = (vf){0};
    att_product(first, count, sum, s->keys + key * ATT_PITCH, ATT_PITCH, 1, q_panel, ATT_NR, s->units);
    CPU_UNROLL
    for (int r = 0; r < ATT_MR; r++)
        for (int v = 0; v < 2; v++) {
            int64_t at = panel * ATT_NR + v * VL;
            vf p = {0};
            if (first <= v && v < first + count) p = att_exp2(sum[r][v] * factor - vf_load(s->lse + at));
            if (!full)
                p = att_select(p, (vf){0}, vi_load(s->lanes.lo + at), vi_load(s->lanes.hi + at),
                               (int32_t)(key0 + key + r));
            vf_store(prob + r * ATT_NR + v * VL, p);
        }
    for (int r = 0; r < ATT_MR; r++) sum[r][0] = sum[r][1] = (vf){0};
    att_product(first, count, sum, s->values + key * ATT_PITCH, ATT_PITCH, 1, g_panel, ATT_NR, s->units);
    CPU_UNROLL
    for (int r = 0; r < ATT_MR; r++)
        for (int v = 0; v < 2; v++) {
            vf p = vf_load(prob + r * ATT_NR + v * VL);
            vf_store(grad + r * ATT_NR + v * VL, p * (sum[r][v] - vf_load(s->delta + panel * ATT_NR + v * VL)));
        }
    back_put_rows(prob, panel, s->p + key * BACK_UNITS);
    back_put_rows(grad, panel, s->d_s + key * BACK_UNITS);
#ifdef INS_CPU_BF16_DOT
    back_put_paired(grad, panel, s->d_s_paired + key / 2 * BACK_ROWS);
#endif
}

/* ---- one tile of keys ---- */

static void back_panel(attention_back *s, int64_t panel, int64_t key0, int64_t n_keys, const float *keys_paired) {
    att_segment segments[3];
    int n = att_segments(&s->lanes, panel, key0, n_keys, segments);
    if (n == 0) return;
    for (int i = 0; i < n; i++)
        for (int64_t key = segments[i].begin; key < segments[i].end; key += ATT_MR) {
            att_stream_step(s->ahead, AHEAD_N);
            if (segments[i].count == 2)
                back_group(s, 0, 2, panel, key0, key);
            else if (segments[i].first == 0)
                back_group(s, 0, 1, panel, key0, key);
            else
                back_group(s, 1, 1, panel, key0, key);
        }
#ifdef INS_CPU_BF16_DOT
    const float *d_s = s->d_s_paired;
#else
    const float *d_s = s->d_s;
#endif
    const vf keep[2] = {vf_set(1.0f), vf_set(1.0f)};
    float *d_q = s->d_q + panel * s->cols * ATT_NR;
    for (int64_t c = 0; c < s->hd; c += ATT_MR)
        att_product_segments(keys_paired + c, d_s + panel * ATT_NR, BACK_ROWS, segments, n, keep, d_q + c * ATT_NR);
}

/* Rows of the block, in whole units, before the first and after the last of which none sees a key of
 * [key, key + ATT_MR). */
static ins_key_range back_rows(const attention_back *s, int64_t key) {
    ins_key_range rows = {0, s->rows_padded};
    while (rows.begin < rows.end &&
           ins_max_i64(s->lanes.lo[rows.begin], key) >= ins_min_i64(s->lanes.hi[rows.begin], key + ATT_MR))
        rows.begin++;
    while (rows.begin < rows.end &&
           ins_max_i64(s->lanes.lo[rows.end - 1], key) >= ins_min_i64(s->lanes.hi[rows.end - 1], key + ATT_MR))
        rows.end--;
    rows.begin /= ATT_UNIT, rows.end = ins_ceil_div(rows.end, ATT_UNIT);
    return rows;
}

/* Keys and values of the tile from `key0` on will be needed. */
static void back_ahead_keys(attention_back *s, int64_t batch, int64_t kv_head, int64_t key0) {
    const ins_attention_args *args = s->args;
    int64_t n = ins_max_i64(0, ins_min_i64(ATT_KEYS, args->n_k - key0));
    int64_t at_k = ins_attention_k_at(args, args->ldk, args->batch_stride_k, batch, kv_head, key0);
    int64_t at_v = ins_attention_k_at(args, args->ldv, args->batch_stride_v, batch, kv_head, key0);
    s->ahead[AHEAD_KEYS] = att_stream_rows(args->dtype, args->k, at_k, args->ldk, n, s->hd);
    s->ahead[AHEAD_VALUES] = att_stream_rows(args->dtype, args->v, at_v, args->ldv, n, s->hd);
}

/* So will the queries of a block. */
static void back_ahead_rows(attention_back *s, int64_t batch, int64_t head, int64_t row0) {
    const ins_attention_args *args = s->args;
    int64_t n = ins_min_i64(BACK_ROWS, args->n_q - row0);
    int64_t at_q = ins_attention_q_at(args, args->ldq, batch, head, row0);
    int64_t at_o = ins_attention_q_at(args, args->ldo, batch, head, row0);
    int64_t at_g = ins_attention_q_at(args, args->ld_do, batch, head, row0);
    s->ahead[AHEAD_Q] = att_stream_rows(args->dtype, args->q, at_q, args->ldq, n, s->hd);
    s->ahead[AHEAD_O] = att_stream_rows(args->dtype, args->o, at_o, args->ldo, n, s->hd);
    s->ahead[AHEAD_D_O] = att_stream_rows(args->dtype, args->d_o, at_g, args->ld_do, n, s->hd);
}

static void back_tile(attention_back *s, int64_t key0, int64_t n_keys, const float *q_paired, const float *g_paired) {
    const ins_attention_args *args = s->args;
    int64_t at_k = ins_attention_k_at(args, args->ldk, args->batch_stride_k, s->batch, s->kv_head, key0);
    int64_t at_v = ins_attention_k_at(args, args->ldv, args->batch_stride_v, s->batch, s->kv_head, key0);
    int64_t rows = att_round_up(n_keys, ATT_MR), n_vectors = s->rows_padded / VL;
    att_pack_rows(args->dtype, args->k, at_k, args->ldk, n_keys, s->hd, rows, s->cols, s->keys);
    att_pack_rows(args->dtype, args->v, at_v, args->ldv, n_keys, s->hd, rows, s->cols, s->values);
    const float *keys_paired = att_pair_rows(s->keys, rows, s->cols, s->keys_paired);
    if (key0 + ATT_KEYS < args->n_k) back_ahead_keys(s, s->batch, s->kv_head, key0 + ATT_KEYS);
    bool full = true;
    for (int64_t v = 0; v < n_vectors; v++) full &= s->lanes.begin[v] <= key0 && s->lanes.end[v] >= key0 + rows;
    if (!full) memset(s->p, 0, sizeof s->p), memset(s->d_s, 0, sizeof s->d_s);
    for (int64_t panel = 0; panel * ATT_NR < s->rows_padded; panel++) back_panel(s, panel, key0, n_keys, keys_paired);
    ins_key_range all = att_lanes_union(&s->lanes, n_vectors);
    int64_t begin = ins_max_i64(0, all.begin - key0) / ATT_MR * ATT_MR, end = ins_min_i64(n_keys, all.end - key0);
    for (int64_t key = begin; key < end; key += ATT_MR) {
        ins_key_range range = {0, s->rows_padded / ATT_UNIT};
        if (!full || !att_sees_all(&s->lanes, 0, (int)n_vectors, key0 + key)) range = back_rows(s, key0 + key);
        int64_t at = key * BACK_UNITS + range.begin, units = range.end - range.begin, row = (key0 + key) * s->cols;
        att_product_add(s->p + at, BACK_UNITS, 1, g_paired + range.begin * ATT_COLS, ATT_COLS, units, s->d_v + row,
                        s->cols, s->cols);
        att_product_add(s->d_s + at, BACK_UNITS, 1, q_paired + range.begin * ATT_COLS, ATT_COLS, units, s->d_k + row,
                        s->cols, s->cols);
    }
}

/* ---- one block of queries ---- */

/* lse and D of the block's rows; lanes without a row get 0. */
static void back_statistics(attention_back *s) {
    const ins_attention_args *args = s->args;
    const float *lse = (const float *)args->lse + (s->batch * args->n_heads + s->head) * args->n_q + s->row0;
    float work_o[ATT_MAX_C], work_g[ATT_MAX_C];
    for (int64_t r = s->n_rows; r < s->rows_padded; r++) s->lse[r] = 0, s->delta[r] = 0;
    for (int64_t r = 0; r < s->n_rows; r++) {
        int64_t at_o = ins_attention_q_at(args, args->ldo, s->batch, s->head, s->row0 + r);
        int64_t at_g = ins_attention_q_at(args, args->ld_do, s->batch, s->head, s->row0 + r);
        const float *o = cpu_view(args->dtype, args->o, at_o, s->hd, work_o);
        const float *d_o = cpu_view(args->dtype, args->d_o, at_g, s->hd, work_g);
        vf sums = {0};
        float sum = 0;
        int64_t c = 0;
        for (; c + VL <= s->hd; c += VL) sums += vf_load(o + c) * vf_load(d_o + c);
        for (; c < s->hd; c++) sum += o[c] * d_o[c];
        for (int lane = 0; lane < VL; lane++) sum += sums[lane];
        s->lse[r] = lse[r] * (float)ATT_LOG2E, s->delta[r] = sum;
    }
}

static void back_block(attention_back *s) {
    const ins_attention_args *args = s->args;
    int64_t at_q = ins_attention_q_at(args, args->ldq, s->batch, s->head, s->row0);
    int64_t at_g = ins_attention_q_at(args, args->ld_do, s->batch, s->head, s->row0);
    s->rows_padded = att_round_up(s->n_rows, ATT_NR);
    att_lanes_fill(&s->lanes, args, s->batch, s->row0, s->n_rows, s->rows_padded);
    back_statistics(s);
    att_pack_rows(args->dtype, args->q, at_q, args->ldq, s->n_rows, s->hd, s->rows_padded, s->cols, s->q_rows);
    att_pack_rows(args->dtype, args->d_o, at_g, args->ld_do, s->n_rows, s->hd, s->rows_padded, s->cols, s->g_rows);
    att_panels(s->q_rows, s->rows_padded, s->units, s->q_panels);
    att_panels(s->g_rows, s->rows_padded, s->units, s->g_panels);
    const float *q_paired = att_pair_rows(s->q_rows, s->rows_padded, s->cols, s->q_paired);
    const float *g_paired = att_pair_rows(s->g_rows, s->rows_padded, s->cols, s->g_paired);
    memset(s->d_q, 0, (size_t)(s->rows_padded * s->cols) * 4);
    int64_t at_d_q = ins_attention_q_at(args, args->ld_dq, s->batch, s->head, s->row0);
    s->ahead[AHEAD_D_Q] = att_stream_rows(args->dtype, args->d_q, at_d_q, args->ld_dq, s->n_rows, s->hd);
    ins_key_range all = att_lanes_union(&s->lanes, s->rows_padded / VL);
    for (int64_t key0 = all.begin / ATT_KEYS * ATT_KEYS; key0 < all.end; key0 += ATT_KEYS)
        back_tile(s, key0, ins_min_i64(ATT_KEYS, args->n_k - key0), q_paired, g_paired);
    for (int64_t row = 0; row < s->n_rows; row += ATT_NR)
        att_store_panel(s->d_q + row * s->cols, s->hd, (float)args->scale, args->dtype, args->d_q,
                        at_d_q + row * args->ld_dq, args->ld_dq, ins_min_i64(ATT_NR, s->n_rows - row));
}

/* ---- tasks ---- */

/* Keys [begin, end) of d_k and d_v: the sum of n_parts scratches, one behind the other, into the outputs. */
static void back_store_keys(const ins_attention_args *args, int64_t item, float *scratch, int64_t n_parts,
                            int64_t begin, int64_t end) {
    int64_t batch = item / args->n_kv_heads, kv_head = item % args->n_kv_heads, hd = args->head_dim;
    int64_t cols = ins_attention_cols(args), slot = ins_attention_slot(args);
    for (int which = 0; which < 2; which++) {
        void *dst = which == 0 ? args->d_k : args->d_v;
        int64_t ld = which == 0 ? args->ld_dk : args->ld_dv;
        if (!dst) continue;
        float factor = which == 0 ? (float)args->scale : 1.0f, *from = scratch + which * slot / 2;
        for (int64_t j = begin; j < end; j++) {
            float *row = from + j * cols;
            for (int64_t c = 0; c < cols; c += VL) {
                vf sum = vf_load(row + c);
                for (int64_t part = 1; part < n_parts; part++) sum += vf_load(row + part * slot + c);
                vf_store(row + c, sum * factor);
            }
            cpu_store(args->dtype, row, dst, ins_attention_k_at(args, ld, 0, batch, kv_head, j), hd);
        }
    }
}

typedef struct back_job {
    const ins_attention_args *args;
    int64_t parts, n_tasks, n_threads;
    int64_t group, blocks; /* query heads of a kv head, blocks of queries of a head */
} back_job;

/* During the last block of a task: where d_k and d_v will go, and what this thread will probably work on next. */
static void back_ahead_task(const back_job *job, int64_t task, attention_back *s) {
    const ins_attention_args *args = s->args;
    int64_t next = (task + job->n_threads) / job->parts, part = (task + job->n_threads) % job->parts;
    if (job->parts == 1) {
        int64_t at_k = ins_attention_k_at(args, args->ld_dk, 0, s->batch, s->kv_head, 0);
        int64_t at_v = ins_attention_k_at(args, args->ld_dv, 0, s->batch, s->kv_head, 0);
        s->ahead[AHEAD_D_K] = att_stream_rows(args->dtype, args->d_k, at_k, args->ld_dk, args->n_k, s->hd);
        s->ahead[AHEAD_D_V] = att_stream_rows(args->dtype, args->d_v, at_v, args->ld_dv, args->n_k, s->hd);
    }
    if (task + job->n_threads >= job->n_tasks) return;
    int64_t batch = next / args->n_kv_heads, kv_head = next % args->n_kv_heads;
    back_ahead_rows(s, batch, kv_head * job->group + part / job->blocks, part % job->blocks * BACK_ROWS);
    back_ahead_keys(s, batch, kv_head, 0);
}

static void back_task(void *arg, int64_t task, int thread) {
    attention_back s;
    const back_job *job = arg;
    const ins_attention_args *args = s.args = job->args;
    int64_t item = task / job->parts, slot = ins_attention_slot(args), n_blocks = job->group * job->blocks;
    float *scratch = (float *)args->scratch + (job->parts > 1 ? task : thread) * slot;
    s.batch = item / args->n_kv_heads, s.kv_head = item % args->n_kv_heads;
    s.hd = args->head_dim, s.units = ins_ceil_div(s.hd, ATT_UNIT), s.cols = ins_attention_cols(args);
    s.d_k = scratch, s.d_v = scratch + slot / 2;
    memset(s.ahead, 0, sizeof s.ahead);
    memset(scratch, 0, (size_t)slot * 4);
    for (int64_t at = task % job->parts; at < n_blocks; at += job->parts) {
        int64_t next = at + job->parts;
        if (next < n_blocks)
            back_ahead_rows(&s, s.batch, s.kv_head * job->group + next / job->blocks, next % job->blocks * BACK_ROWS);
        else
            back_ahead_task(job, task, &s);
        s.head = s.kv_head * job->group + at / job->blocks, s.row0 = at % job->blocks * BACK_ROWS;
        s.n_rows = ins_min_i64(BACK_ROWS, args->n_q - s.row0);
        back_block(&s);
    }
    if (job->parts == 1) back_store_keys(args, item, scratch, 1, 0, args->n_k);
}

static void back_join_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const back_job *job = arg;
    const ins_attention_args *args = job->args;
    int64_t pieces = ins_ceil_div(args->n_k, ATT_KEYS), item = task / pieces;
    int64_t begin = task % pieces * ATT_KEYS, end = ins_min_i64(args->n_k, begin + ATT_KEYS);
    float *scratch = (float *)args->scratch + item * job->parts * ins_attention_slot(args);
    back_store_keys(args, item, scratch, job->parts, begin, end);
}

void INS_CPU(ins_cpu_attention_backward)(const ins_attention_args *args, ins_pool *pool) {
    int64_t items = args->batch * args->n_kv_heads;
    back_job job = {.args = args, .parts = ins_attention_parts(args), .n_threads = ins_pool_threads(pool)};
    job.group = args->n_heads / args->n_kv_heads, job.blocks = ins_ceil_div(args->n_q, BACK_ROWS);
    job.n_tasks = items * job.parts;
    ins_pool_run(pool, job.n_tasks, back_task, &job);
    if (job.parts > 1) ins_pool_run(pool, items * ins_ceil_div(args->n_k, ATT_KEYS), back_join_task, &job);
}
