/* Inside of the kernel room: one implementation of attention. */
#ifndef INS_KERNEL_ATTENTION_IMPL_H
#define INS_KERNEL_ATTENTION_IMPL_H

#include "kernel/attention.h"
#include "kernel/impl.h"

typedef struct ins_attention_impl {
    ins_impl_head head;
    void (*forward)(const ins_attention_args *args, ins_pool *pool);
    void (*backward)(const ins_attention_args *args, ins_pool *pool);
} ins_attention_impl;

#define INS_ATTENTION_MAX_HEAD 256

/* Key interval of a query row, clipped to [0, n_k]; empty when begin >= end. */
typedef struct ins_key_range {
    int64_t begin, end;
} ins_key_range;

static inline ins_key_range ins_attention_range(const ins_attention_args *args, int64_t batch, int64_t row) {
    int64_t at = batch * args->n_q + row;
    ins_key_range range = {ins_max_i64(0, args->lo[at]), ins_min_i64(args->n_k, args->hi[at])};
    return range;
}

/* Index of the first element of a head's row: query heads of q, o, d_o, d_q; kv heads of k, v, d_k, d_v. */
static inline int64_t ins_attention_q_at(const ins_attention_args *args, int64_t ld, int64_t batch, int64_t head,
                                         int64_t row) {
    return (batch * args->n_q + row) * ld + head * args->head_dim;
}
static inline int64_t ins_attention_k_at(const ins_attention_args *args, int64_t ld, int64_t batch_stride,
                                         int64_t batch, int64_t kv_head, int64_t row) {
    return batch * (batch_stride ? batch_stride : args->n_k * ld) + row * ld + kv_head * args->head_dim;
}

/* Scratch of one (batch, kv head) of backward, in acc elements: D [group, n_q], then (for bf16) d_q
 * [group, n_q, head_dim]. */
static inline int64_t ins_attention_item_scratch(const ins_attention_args *args) {
    int64_t group = args->n_heads / args->n_kv_heads;
    int64_t d_q = args->dtype == INS_DTYPE_BF16 ? args->head_dim : 0;
    return (group * args->n_q * (1 + d_q) + 15) / 16 * 16;
}

INS_CPU_DECLARE(ins_attention_impl, ins_cpu_attention);
extern const ins_attention_impl ins_ref_attention_f32, ins_ref_attention_f64;

extern const ins_impl_head *const ins_attention_impls[];

#endif
