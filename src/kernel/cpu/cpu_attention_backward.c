/* Attention backward. A task owns one (batch item, kv head): tile of keys by tile of keys it keeps d_k and d_v in
 * cache and adds to d_q, so nothing is shared and the order is fixed. With P = exp(S - lse), D = rowsum(d_o * o):
 *
 *   d_v += P^T d_o;  dS = P * (d_o V^T - D);  d_k += dS^T (scale q);  d_q += dS (scale k)
 */
#include <math.h>

#include "kernel/cpu/attention_tile.h"
#include "kernel/cpu/cpu_attention.h"

#define ATT_BROWS 64 /* query rows of a tile */

typedef struct attention_back {
    const ins_attention_args *args;
    int64_t batch, kv_head, head; /* head: the query head being worked on */
    int64_t hd, hd_padded;
    int64_t key0, n_keys;
    ins_key_range rows[ATT_BROWS]; /* of the query tile, relative to key0 */
    float *delta;                  /* D of the query head's rows */
    float *d_q;                    /* f32 [n_q, ld_dq]: the output itself, or scratch for bf16 */
    int64_t ld_dq;
    _Alignas(64) float k[ATT_KEYS * INS_ATTENTION_MAX_HEAD]; /* [key][hd_padded], times scale once transposed */
    _Alignas(64) float k_t[INS_ATTENTION_MAX_HEAD * ATT_KEYS], v_t[INS_ATTENTION_MAX_HEAD * ATT_KEYS];
    _Alignas(64) float d_k[ATT_KEYS * INS_ATTENTION_MAX_HEAD], d_v[ATT_KEYS * INS_ATTENTION_MAX_HEAD];
    _Alignas(64) float q[ATT_BROWS * ATT_QLD], d_o[ATT_BROWS * ATT_QLD]; /* q times scale */
    _Alignas(64) float p[ATT_BROWS * ATT_PLD], d_s[ATT_BROWS * ATT_PLD];
} attention_back;

/* P and dS of one row from its scores (in p) and d_o V^T (in d_s). */
static void back_row(const attention_back *s, int64_t row, ins_key_range range, float *p, float *d_s) {
    const ins_attention_args *args = s->args;
    if (range.begin >= range.end) {
        memset(p, 0, ATT_KEYS * 4), memset(d_s, 0, ATT_KEYS * 4);
        return;
    }
    if (range.begin > 0 || range.end < ATT_KEYS) att_mask_row(p, range.begin, range.end);
    float lse = ((const float *)args->lse)[(s->batch * args->n_heads + s->head) * args->n_q + row];
    float delta = s->delta[row];
    for (int64_t j = 0; j < ATT_KEYS; j++) {
        float prob = vm_exp_neg(p[j] - lse);
        p[j] = prob;
        d_s[j] = prob == 0.0f ? 0.0f : prob * (d_s[j] - delta);
    }
}

/* d_q of ATT_MR rows; goes through a padded block, because rows of d_q may be narrower. */
static void back_d_q(attention_back *s, int64_t row, int64_t n, const float *d_s, ins_key_range range) {
    _Alignas(64) float block[ATT_MR * INS_ATTENTION_MAX_HEAD];
    att_product(d_s + range.begin, ATT_PLD, 1, s->k + range.begin * s->hd_padded, s->hd_padded, range.end - range.begin,
                s->hd_padded, block, s->hd_padded, false);
    for (int64_t r = 0; r < n; r++) {
        float *restrict dst = s->d_q + (row + r) * s->ld_dq;
        const float *restrict src = block + r * s->hd_padded;
        for (int64_t c = 0; c < s->hd; c++) dst[c] += src[c];
    }
}

/* P, dS and d_q of the tile's groups of rows. Groups that see no key of the tile get P = dS = 0. */
static void back_groups(attention_back *s, int64_t row0, int64_t n_rows) {
    int64_t rows_padded = att_round_up(n_rows, ATT_MR);
    for (int64_t g = 0; g < rows_padded; g += ATT_MR) {
        float *p = s->p + g * ATT_PLD, *d_s = s->d_s + g * ATT_PLD;
        int64_t n = ins_min_i64(ATT_MR, n_rows - g);
        ins_key_range all = att_union(s->rows + g, n, 0, s->n_keys);
        if (all.begin >= all.end) {
            memset(p, 0, ATT_MR * ATT_PLD * 4), memset(d_s, 0, ATT_MR * ATT_PLD * 4);
            continue;
        }
        int64_t first = all.begin / ATT_NR * ATT_NR, width = att_round_up(all.end - first, ATT_NR);
        memset(d_s, 0, ATT_MR * ATT_PLD * 4);
        att_product(s->q + g * ATT_QLD, ATT_QLD, 1, s->k_t + first, ATT_KEYS, s->hd, width, p + first, ATT_PLD, false);
        att_product(s->d_o + g * ATT_QLD, ATT_QLD, 1, s->v_t + first, ATT_KEYS, s->hd, width, d_s + first, ATT_PLD,
                    false);
        for (int64_t r = 0; r < n; r++) back_row(s, row0 + g + r, s->rows[g + r], p + r * ATT_PLD, d_s + r * ATT_PLD);
        for (int64_t r = n; r < ATT_MR; r++)
            memset(p + r * ATT_PLD, 0, ATT_KEYS * 4), memset(d_s + r * ATT_PLD, 0, ATT_KEYS * 4);
        back_d_q(s, row0 + g, n, d_s, all);
    }
}

/* Does a row see any of the ATT_MR keys at j of the tile? */
static bool back_sees(ins_key_range row, int64_t j) {
    return ins_max_i64(row.begin, j) < ins_min_i64(row.end, j + ATT_MR);
}

static void back_query_tile(attention_back *s, int64_t row0, int64_t n_rows) {
    const ins_attention_args *args = s->args;
    int64_t rows_padded = att_round_up(n_rows, ATT_MR);
    for (int64_t r = 0; r < n_rows; r++)
        s->rows[r] = att_cut(ins_attention_range(args, s->batch, row0 + r), s->key0, s->n_keys);
    ins_key_range all = att_union(s->rows, n_rows, 0, s->n_keys);
    if (all.begin >= all.end) return;
    att_load_rows(args->dtype, args->q, ins_attention_q_at(args, args->ldq, s->batch, s->head, row0), args->ldq, n_rows,
                  s->hd, (float)args->scale, s->q, ATT_QLD, rows_padded, s->hd_padded);
    att_load_rows(args->dtype, args->d_o, ins_attention_q_at(args, args->ld_do, s->batch, s->head, row0), args->ld_do,
                  n_rows, s->hd, 1.0f, s->d_o, ATT_QLD, rows_padded, s->hd_padded);
    int64_t n_next = ins_min_i64(ATT_BROWS, args->n_q - row0 - n_rows), next = row0 + ATT_BROWS;
    att_prefetch_rows(args->dtype, args->q, ins_attention_q_at(args, args->ldq, s->batch, s->head, next), args->ldq,
                      n_next, s->hd);
    att_prefetch_rows(args->dtype, args->d_o, ins_attention_q_at(args, args->ld_do, s->batch, s->head, next),
                      args->ld_do, n_next, s->hd);
    back_groups(s, row0, n_rows);
    for (int64_t j = all.begin / ATT_MR * ATT_MR; j < all.end; j += ATT_MR) {
        /* Leave out leading and trailing rows none of which sees these keys. */
        int64_t begin = 0, end = n_rows;
        while (begin < end && !back_sees(s->rows[begin], j)) begin++;
        while (begin < end && !back_sees(s->rows[end - 1], j)) end--;
        att_product(s->p + begin * ATT_PLD + j, 1, ATT_PLD, s->d_o + begin * ATT_QLD, ATT_QLD, end - begin,
                    s->hd_padded, s->d_v + j * s->hd_padded, s->hd_padded, true);
        att_product(s->d_s + begin * ATT_PLD + j, 1, ATT_PLD, s->q + begin * ATT_QLD, ATT_QLD, end - begin,
                    s->hd_padded, s->d_k + j * s->hd_padded, s->hd_padded, true);
    }
}

static void back_load_keys(attention_back *s) {
    const ins_attention_args *args = s->args;
    int64_t at_k = ins_attention_k_at(args, args->ldk, args->batch_stride_k, s->batch, s->kv_head, s->key0);
    int64_t at_v = ins_attention_k_at(args, args->ldv, args->batch_stride_v, s->batch, s->kv_head, s->key0);
    att_load_rows(args->dtype, args->v, at_v, args->ldv, s->n_keys, s->hd, 1.0f, s->k, s->hd_padded, ATT_KEYS,
                  s->hd_padded);
    att_transpose(s->k, s->hd_padded, s->hd, s->v_t);
    att_load_rows(args->dtype, args->k, at_k, args->ldk, s->n_keys, s->hd, 1.0f, s->k, s->hd_padded, ATT_KEYS,
                  s->hd_padded);
    att_transpose(s->k, s->hd_padded, s->hd, s->k_t);
    float scale = (float)args->scale;
    for (int64_t i = 0; i < s->n_keys * s->hd_padded; i++) s->k[i] *= scale;
    memset(s->d_k, 0, (size_t)(ATT_KEYS * s->hd_padded) * 4);
    memset(s->d_v, 0, (size_t)(ATT_KEYS * s->hd_padded) * 4);
}

/* D = rowsum(d_o * o) of one query head. */
static void back_delta(const attention_back *s, int64_t head, float *delta) {
    const ins_attention_args *args = s->args;
    float work_o[INS_ATTENTION_MAX_HEAD], work_g[INS_ATTENTION_MAX_HEAD];
    for (int64_t t = 0; t < args->n_q; t++) {
        const float *o =
            cpu_view(args->dtype, args->o, ins_attention_q_at(args, args->ldo, s->batch, head, t), s->hd, work_o);
        const float *d_o =
            cpu_view(args->dtype, args->d_o, ins_attention_q_at(args, args->ld_do, s->batch, head, t), s->hd, work_g);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t c = 0; c < s->hd; c++) sum += o[c] * d_o[c];
        delta[t] = sum;
    }
}

static void back_store_keys(const attention_back *s) {
    const ins_attention_args *args = s->args;
    for (int64_t j = 0; j < s->n_keys; j++) {
        int64_t at_k = ins_attention_k_at(args, args->ld_dk, 0, s->batch, s->kv_head, s->key0 + j);
        int64_t at_v = ins_attention_k_at(args, args->ld_dv, 0, s->batch, s->kv_head, s->key0 + j);
        cpu_store(args->dtype, s->d_k + j * s->hd_padded, args->d_k, at_k, s->hd);
        cpu_store(args->dtype, s->d_v + j * s->hd_padded, args->d_v, at_v, s->hd);
    }
}

/* d_q of query head `head`: f32 results add up in the output itself, others in `work` [n_q, hd]. */
static void back_bind_d_q(attention_back *s, float *work) {
    const ins_attention_args *args = s->args;
    s->d_q = work, s->ld_dq = s->hd;
    if (args->dtype != INS_DTYPE_F32) return;
    s->d_q = (float *)args->d_q + ins_attention_q_at(args, args->ld_dq, s->batch, s->head, 0), s->ld_dq = args->ld_dq;
}

static void back_task(void *arg, int64_t task, int thread) {
    (void)thread;
    attention_back s;
    const ins_attention_args *args = s.args = arg;
    int64_t group = args->n_heads / args->n_kv_heads;
    s.batch = task / args->n_kv_heads, s.kv_head = task % args->n_kv_heads;
    s.hd = args->head_dim, s.hd_padded = att_round_up(s.hd, ATT_NR);
    float *scratch = (float *)args->scratch + task * ins_attention_item_scratch(args);
    float *work = scratch + group * args->n_q;
    for (int64_t i = 0; i < group; i++) back_delta(&s, s.kv_head * group + i, scratch + i * args->n_q);
    for (s.head = s.kv_head * group; s.head < (s.kv_head + 1) * group; s.head++) {
        back_bind_d_q(&s, work + (s.head - s.kv_head * group) * args->n_q * s.hd);
        for (int64_t t = 0; t < args->n_q; t++) memset(s.d_q + t * s.ld_dq, 0, (size_t)s.hd * 4);
    }
    for (s.key0 = 0; s.key0 < args->n_k; s.key0 += ATT_KEYS) {
        s.n_keys = ins_min_i64(ATT_KEYS, args->n_k - s.key0);
        back_load_keys(&s);
        for (int64_t i = 0; i < group; i++) {
            s.head = s.kv_head * group + i, s.delta = scratch + i * args->n_q;
            back_bind_d_q(&s, work + i * args->n_q * s.hd);
            for (int64_t row0 = 0; row0 < args->n_q; row0 += ATT_BROWS)
                back_query_tile(&s, row0, ins_min_i64(ATT_BROWS, args->n_q - row0));
        }
        back_store_keys(&s);
    }
    for (int64_t i = 0; args->dtype != INS_DTYPE_F32 && i < group * args->n_q; i++) {
        int64_t at = ins_attention_q_at(args, args->ld_dq, s.batch, s.kv_head * group + i / args->n_q, i % args->n_q);
        cpu_store(args->dtype, work + i * s.hd, args->d_q, at, s.hd);
    }
}

void INS_CPU(ins_cpu_attention_backward)(const ins_attention_args *args, ins_pool *pool) {
    ins_attention_args copy = *args;
    ins_pool_run(pool, args->batch * args->n_kv_heads, back_task, &copy);
}
