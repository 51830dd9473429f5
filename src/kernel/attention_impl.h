/* Inside of the kernel room: one implementation of attention. */
#ifndef INS_KERNEL_ATTENTION_IMPL_H
#define INS_KERNEL_ATTENTION_IMPL_H

#include "kernel/attention.h"
#include "kernel/impl.h"

typedef struct ins_attention_impl {
    ins_impl_head head;
    bool (*accepts)(void); /* NULL = always */
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

#define INS_ATTENTION_BLOCK 64 /* query rows of a block of backward */

/* Backward adds up d_k and d_v of one kv head in f32, [n_k][cols] each, padded to what any implementation needs: a
 * slot, in elements. */
static inline int64_t ins_attention_cols(const ins_attention_args *args) {
    return (args->head_dim + 15) / 16 * 16;
}
static inline int64_t ins_attention_slot(const ins_attention_args *args) {
    return 2 * ((args->n_k + 15) / 16 * 16) * ins_attention_cols(args);
}

/* Parts into which the blocks of queries of one (batch item, kv head) are cut, so that a few long sequences keep many
 * cores busy: about 16 tasks, of four blocks at least. */
static inline int64_t ins_attention_parts(const ins_attention_args *args) {
    int64_t items = args->batch * args->n_kv_heads;
    int64_t blocks = args->n_heads / args->n_kv_heads * ins_ceil_div(args->n_q, INS_ATTENTION_BLOCK);
    return ins_max_i64(1, ins_min_i64(ins_ceil_div(16, items), blocks / 4));
}

INS_CPU_DECLARE(ins_attention_impl, ins_cpu_attention);
#ifdef INS_KERNEL_X86
extern const ins_attention_impl ins_cpu_attention_avx512_bf16;
#endif
extern const ins_attention_impl ins_ref_attention_f32, ins_ref_attention_f64;

extern const ins_impl_head *const ins_attention_impls[];

#endif
