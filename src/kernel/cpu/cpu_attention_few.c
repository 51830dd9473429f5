/* Attention forward of a few query rows over many keys, as in decoding: with queries as lanes most lanes would be idle.
 * Here a tile's keys are the lanes of the scores and the channels those of the output. Every sum is taken in the order
 * of cpu_attention.c, so that a row has the same bits whether it comes alone or among others.
 *
 * A task owns the rows of some query heads of one (batch item, kv head), which share the tiles of keys and values.
 */
#include "kernel/cpu/attention_tile.h"
#include "kernel/cpu/cpu_attention.h"

#define FEW_ROWS  32 /* of a task, at most */
#define FEW_UNITS (ATT_KEYS / ATT_UNIT)

typedef struct few_job {
    const ins_attention_args *args;
    int64_t heads, pieces; /* query heads of a task; tasks of a kv head */
} few_job;

typedef struct attention_few {
    const ins_attention_args *args;
    int64_t batch, kv_head, head0, n_rows; /* row r: query r % n_q of head head0 + r / n_q */
    int64_t hd, units, cols;               /* as in cpu_attention.c */
    ins_key_range keys[FEW_ROWS];
    _Alignas(64) float max[FEW_ROWS], sum[FEW_ROWS], shrink[FEW_ROWS];
    _Alignas(64) float q[FEW_ROWS * ATT_PITCH], out[FEW_ROWS * ATT_COLS];
    _Alignas(64) float score[FEW_ROWS * ATT_KEYS], p[FEW_ROWS * FEW_UNITS];
    _Alignas(64) float rows[ATT_KEYS * ATT_PITCH], panels[ATT_KEYS * ATT_MAX_C / ATT_UNIT];
    _Alignas(64) float paired[FEW_UNITS * ATT_COLS];
} attention_few;

/* Call body(rows) with a constant number of rows that covers n. */
#define FEW_CASES(n, body)                                                                                             \
    do {                                                                                                               \
        if ((n) == 1)                                                                                                  \
            body(1);                                                                                                   \
        else if ((n) == 2)                                                                                             \
            body(2);                                                                                                   \
        else if ((n) <= 4)                                                                                             \
            body(4);                                                                                                   \
        else                                                                                                           \
            body(ATT_MR);                                                                                              \
    } while (0)

/* Scores of `rows` rows over the lanes of one panel of keys. */
INS_INLINE void few_scores(attention_few *s, const int rows, int64_t row, int64_t panel) {
    vf sum[ATT_MR][2], factor = vf_set((float)(s->args->scale * ATT_LOG2E));
    for (int r = 0; r < rows; r++) sum[r][0] = sum[r][1] = (vf){0};
    att_product_rows(rows, 0, 2, sum, s->q + row * ATT_PITCH, ATT_PITCH, 1, s->panels + panel * s->units * ATT_NR,
                     ATT_NR, s->units);
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < 2; v++)
            vf_store(s->score + (row + r) * ATT_KEYS + panel * ATT_NR + v * VL, sum[r][v] * factor);
}

/* Channels [c, c + ATT_NR), or the VL that are left, of `rows` rows of the output. */
INS_INLINE void few_values(attention_few *s, const int rows, int64_t row, int64_t units, const float *paired) {
    for (int64_t c = 0; c < s->cols; c += ATT_NR) {
        bool both = c + ATT_NR <= s->cols;
        vf sum[ATT_MR][2];
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 1 + both; v++)
                sum[r][v] = vf_load(s->out + (row + r) * ATT_COLS + c + v * VL) * vf_set(s->shrink[row + r]);
        if (both)
            att_product_rows(rows, 0, 2, sum, s->p + row * FEW_UNITS, FEW_UNITS, 1, paired + c, ATT_COLS, units);
        else
            att_product_rows(rows, 0, 1, sum, s->p + row * FEW_UNITS, FEW_UNITS, 1, paired + c, ATT_COLS, units);
        for (int r = 0; r < rows; r++)
            for (int v = 0; v < 1 + both; v++) vf_store(s->out + (row + r) * ATT_COLS + c + v * VL, sum[r][v]);
    }
}

/* One row of scores into units of probabilities; its maximum and sum are brought up to date. */
static void few_softmax(attention_few *s, int64_t row, int64_t key0, int64_t n_keys) {
    float *score = s->score + row * ATT_KEYS, *p = s->p + row * FEW_UNITS;
    int64_t begin = ins_max_i64(0, s->keys[row].begin - key0), end = ins_min_i64(n_keys, s->keys[row].end - key0);
    for (int64_t j = 0; j < ins_min_i64(begin, ATT_KEYS); j++) score[j] = -INFINITY;
    for (int64_t j = ins_max_i64(0, end); j < ATT_KEYS; j++) score[j] = -INFINITY;
    float old = s->max[row], top = cpu_max(score, ATT_KEYS, old), sum;
    s->max[row] = top;
    top = top < -3e38f ? -3e38f : top; /* scores of -inf only: no key counts */
    s->shrink[row] = att_exp2(vf_set(old - top))[0];
    sum = att_rounded(vf_set(s->sum[row] * s->shrink[row]))[0];
    for (int64_t j = 0; j < ATT_KEYS; j += VL) vf_store(score + j, att_exp2(vf_load(score + j) - top));
    for (int64_t j = 0; j < ATT_KEYS; j++) sum += score[j];
    s->sum[row] = sum;
#ifdef INS_CPU_BF16_DOT
    for (int64_t j = 0; j < ATT_KEYS; j += 2 * VL)
        vf_store(p + j / 2, att_narrow(vf_load(score + j), vf_load(score + j + VL)));
#else
    memcpy(p, score, ATT_KEYS * 4);
#endif
}

static void few_tile(attention_few *s, int64_t key0, int64_t n_keys) {
    const ins_attention_args *args = s->args;
    int64_t at_k = ins_attention_k_at(args, args->ldk, args->batch_stride_k, s->batch, s->kv_head, key0);
    int64_t at_v = ins_attention_k_at(args, args->ldv, args->batch_stride_v, s->batch, s->kv_head, key0);
    int64_t rows = att_round_up(n_keys, ATT_NR);
    att_pack_rows(args->dtype, args->k, at_k, args->ldk, n_keys, s->hd, rows, s->cols, s->rows);
    att_panels(s->rows, rows, s->units, s->panels);
    for (int64_t r = 0; r < s->n_rows; r += ATT_MR)
        for (int64_t panel = 0; panel * ATT_NR < n_keys; panel++) {
#define SCORES(n) few_scores(s, n, r, panel)
            FEW_CASES(s->n_rows - r, SCORES);
        }
    for (int64_t r = 0; r < s->n_rows; r++) few_softmax(s, r, key0, n_keys);
    att_pack_rows(args->dtype, args->v, at_v, args->ldv, n_keys, s->hd, rows, s->cols, s->rows);
    const float *paired = att_pair_rows(s->rows, rows, s->cols, s->paired);
    for (int64_t r = 0; r < s->n_rows; r += ATT_MR) {
#define VALUES(n) few_values(s, n, r, rows / ATT_UNIT, paired)
        FEW_CASES(s->n_rows - r, VALUES);
    }
}

static void few_finish(const attention_few *s) {
    const ins_attention_args *args = s->args;
    float work[ATT_COLS];
    for (int64_t r = 0; r < s->n_rows; r++) {
        int64_t head = s->head0 + r / args->n_q, t = r % args->n_q;
        float sum = s->sum[r], inverse = sum == 0 ? 0 : 1.0f / sum;
        const float *out = s->out + r * ATT_COLS;
        for (int64_t c = 0; c < s->cols; c += VL) vf_store(work + c, vf_load(out + c) * inverse);
        cpu_store(args->dtype, work, args->o, ins_attention_q_at(args, args->ldo, s->batch, head, t), s->hd);
        if (!args->lse) continue;
        vf log = (vf_set(s->max[r]) + att_log2(vf_set(sum))) * (float)ATT_LN2;
        ((float *)args->lse)[(s->batch * args->n_heads + head) * args->n_q + t] = sum == 0 ? -INFINITY : log[0];
    }
}

static void few_task(void *arg, int64_t task, int thread) {
    (void)thread;
    attention_few s;
    const few_job *job = arg;
    const ins_attention_args *args = s.args = job->args;
    int64_t item = task / job->pieces, group = args->n_heads / args->n_kv_heads,
            first = task % job->pieces * job->heads;
    s.batch = item / args->n_kv_heads, s.kv_head = item % args->n_kv_heads, s.head0 = s.kv_head * group + first;
    s.n_rows = ins_min_i64(job->heads, group - first) * args->n_q;
    s.hd = args->head_dim, s.units = ins_ceil_div(s.hd, ATT_UNIT);
    s.cols = att_round_up(s.hd, ins_max_i64(ATT_MR, VL));
    memset(s.q, 0, sizeof s.q), memset(s.p, 0, sizeof s.p), memset(s.out, 0, sizeof s.out);
    memset(s.shrink, 0, sizeof s.shrink);
    ins_key_range all = {args->n_k, 0};
    for (int64_t r = 0; r < s.n_rows; r++) {
        int64_t t = r % args->n_q, at = ins_attention_q_at(args, args->ldq, s.batch, s.head0 + r / args->n_q, t);
        att_pack_rows(args->dtype, args->q, at, args->ldq, 1, s.hd, 1, s.cols, s.q + r * ATT_PITCH);
        s.max[r] = -INFINITY, s.sum[r] = 0, s.keys[r] = ins_attention_range(args, s.batch, t);
        if (s.keys[r].begin >= s.keys[r].end) continue;
        all.begin = ins_min_i64(all.begin, s.keys[r].begin), all.end = ins_max_i64(all.end, s.keys[r].end);
    }
    for (int64_t key0 = all.begin / ATT_KEYS * ATT_KEYS; key0 < all.end; key0 += ATT_KEYS)
        few_tile(&s, key0, ins_min_i64(ATT_KEYS, args->n_k - key0));
    few_finish(&s);
}

void INS_CPU(ins_cpu_attention_few)(const ins_attention_args *args, ins_pool *pool) {
    int64_t group = args->n_heads / args->n_kv_heads;
    few_job job = {.args = args, .heads = ins_max_i64(1, ins_min_i64(group, FEW_ROWS / args->n_q))};
    job.pieces = ins_ceil_div(group, job.heads);
    ins_pool_run(pool, args->batch * args->n_kv_heads * job.pieces, few_task, &job);
}
