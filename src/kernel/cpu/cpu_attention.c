/* Attention forward in tiles with a running maximum (Milakov & Gimelshein 2018; Dao et al. 2022).
 *
 * A task owns ATT_ROWS query rows of one head and walks over the tiles of keys that any of them sees. Per group of
 * ATT_MR rows and tile: S = Q K^T, mask, p = exp(S - max), O = O * exp(old max - max) + p V.
 */
#include "kernel/cpu/cpu_attention.h"

#include <math.h>

#include "kernel/cpu/attention_tile.h"

#define ATT_ROWS 128

typedef struct attention_task_state {
    const ins_attention_args *args;
    int64_t batch, head, kv_head, row0, n_rows; /* of the task */
    int64_t hd, hd_padded;
    ins_key_range keys[ATT_ROWS];
    float max[ATT_ROWS], sum[ATT_ROWS];
    _Alignas(64) float q[ATT_ROWS * ATT_QLD]; /* times scale */
    _Alignas(64) float out[ATT_ROWS * INS_ATTENTION_MAX_HEAD];
    _Alignas(64) float rows[ATT_KEYS * INS_ATTENTION_MAX_HEAD]; /* K tile, then V tile: [key][hd_padded] */
    _Alignas(64) float keys_t[INS_ATTENTION_MAX_HEAD * ATT_KEYS];
} attention_task_state;

/* One row of a group after a tile's scores: probabilities in place, maximum, sum and O brought up to date. */
static void attention_row_update(attention_task_state *s, int64_t row, float *score, ins_key_range range) {
    if (range.begin >= range.end) {
        memset(score, 0, ATT_KEYS * 4);
        return;
    }
    if (range.begin > 0 || range.end < ATT_KEYS) att_mask_row(score, range.begin, range.end);
    float max = cpu_max(score, ATT_KEYS, s->max[row]), sum = 0;
    if (max == -INFINITY) max = 0; /* scores of -inf only: no key counts */
#pragma omp simd reduction(+ : sum)
    for (int64_t j = 0; j < ATT_KEYS; j++) {
        float p = vm_exp_neg(score[j] - max);
        score[j] = p;
        sum += p;
    }
    if (max > s->max[row]) {
        float shrink = vm_exp_neg(s->max[row] - max), *out = s->out + row * s->hd_padded;
        s->sum[row] *= shrink;
        for (int64_t c = 0; c < s->hd_padded; c++) out[c] *= shrink;
        s->max[row] = max;
    }
    s->sum[row] += sum;
}

static void attention_group(attention_task_state *s, int64_t group, int64_t key0, int64_t n_keys) {
    _Alignas(64) float score[ATT_MR * ATT_PLD];
    int64_t n = ins_min_i64(ATT_MR, s->n_rows - group);
    ins_key_range all = att_union(s->keys + group, n, key0, n_keys);
    if (all.begin >= all.end) return;
    int64_t first = all.begin / ATT_NR * ATT_NR, width = att_round_up(all.end - first, ATT_NR);
    att_product(s->q + group * ATT_QLD, ATT_QLD, 1, s->keys_t + first, ATT_KEYS, s->hd, width, score + first, ATT_PLD,
                false);
    for (int64_t r = 0; r < n; r++) {
        ins_key_range cut = att_cut(s->keys[group + r], key0, n_keys);
        attention_row_update(s, group + r, score + r * ATT_PLD, cut);
    }
    for (int64_t r = n; r < ATT_MR; r++) memset(score + r * ATT_PLD, 0, ATT_KEYS * 4);
    att_product(score + all.begin, ATT_PLD, 1, s->rows + all.begin * s->hd_padded, s->hd_padded, all.end - all.begin,
                s->hd_padded, s->out + group * s->hd_padded, s->hd_padded, true);
}

static void attention_tile(attention_task_state *s, int64_t key0, int64_t n_keys) {
    const ins_attention_args *args = s->args;
    int64_t at_k = ins_attention_k_at(args, args->ldk, args->batch_stride_k, s->batch, s->kv_head, key0);
    int64_t at_v = ins_attention_k_at(args, args->ldv, args->batch_stride_v, s->batch, s->kv_head, key0);
    att_load_rows(args->dtype, args->k, at_k, args->ldk, n_keys, s->hd, 1.0f, s->rows, s->hd_padded, ATT_KEYS,
                  s->hd_padded);
    att_transpose(s->rows, s->hd_padded, s->hd, s->keys_t);
    att_load_rows(args->dtype, args->v, at_v, args->ldv, n_keys, s->hd, 1.0f, s->rows, s->hd_padded, n_keys,
                  s->hd_padded);
    int64_t n_next = ins_min_i64(ATT_KEYS, args->n_k - key0 - n_keys);
    att_prefetch_rows(args->dtype, args->k, at_k + ATT_KEYS * args->ldk, args->ldk, n_next, s->hd);
    att_prefetch_rows(args->dtype, args->v, at_v + ATT_KEYS * args->ldv, args->ldv, n_next, s->hd);
    for (int64_t group = 0; group < s->n_rows; group += ATT_MR) attention_group(s, group, key0, n_keys);
}

static void attention_finish(attention_task_state *s) {
    const ins_attention_args *args = s->args;
    float *lse = args->lse;
    for (int64_t r = 0; r < s->n_rows; r++) {
        float *out = s->out + r * s->hd_padded, inverse = s->sum[r] > 0 ? 1.0f / s->sum[r] : s->sum[r];
        for (int64_t c = 0; c < s->hd; c++) out[c] *= inverse;
        int64_t at = ins_attention_q_at(args, args->ldo, s->batch, s->head, s->row0 + r);
        cpu_store(args->dtype, out, args->o, at, s->hd);
        if (lse)
            lse[(s->batch * args->n_heads + s->head) * args->n_q + s->row0 + r] =
                s->sum[r] == 0 ? -INFINITY : s->max[r] + logf(s->sum[r]);
    }
}

static void attention_task(void *arg, int64_t task, int thread) {
    (void)thread;
    attention_task_state s;
    const ins_attention_args *args = s.args = arg;
    int64_t blocks = ins_ceil_div(args->n_q, ATT_ROWS), block = task % blocks;
    s.batch = task / blocks / args->n_heads, s.head = task / blocks % args->n_heads;
    s.kv_head = s.head / (args->n_heads / args->n_kv_heads);
    s.row0 = block * ATT_ROWS, s.n_rows = ins_min_i64(ATT_ROWS, args->n_q - s.row0);
    s.hd = args->head_dim, s.hd_padded = att_round_up(s.hd, ATT_NR);
    int64_t rows_padded = att_round_up(s.n_rows, ATT_MR);
    for (int64_t r = 0; r < s.n_rows; r++) {
        s.max[r] = -INFINITY, s.sum[r] = 0;
        s.keys[r] = ins_attention_range(args, s.batch, s.row0 + r);
    }
    memset(s.out, 0, (size_t)(rows_padded * s.hd_padded) * 4);
    att_load_rows(args->dtype, args->q, ins_attention_q_at(args, args->ldq, s.batch, s.head, s.row0), args->ldq,
                  s.n_rows, s.hd, (float)args->scale, s.q, ATT_QLD, rows_padded, s.hd);
    ins_key_range all = att_union(s.keys, s.n_rows, 0, args->n_k);
    for (int64_t key0 = all.begin / ATT_KEYS * ATT_KEYS; key0 < all.end; key0 += ATT_KEYS)
        attention_tile(&s, key0, ins_min_i64(ATT_KEYS, args->n_k - key0));
    attention_finish(&s);
}

static void attention_forward(const ins_attention_args *args, ins_pool *pool) {
    ins_attention_args copy = *args;
    ins_pool_run(pool, args->batch * args->n_heads * ins_ceil_div(args->n_q, ATT_ROWS), attention_task, &copy);
}

const ins_attention_impl INS_CPU(ins_cpu_attention) = {
    .head = INS_CPU_HEAD, .forward = attention_forward, .backward = INS_CPU(ins_cpu_attention_backward)};
