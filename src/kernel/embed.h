/* Embedding look-up and its gradient. Table and out: f32, f64, bf16 (same dtype). Gradient table in acc. */
#ifndef INS_KERNEL_EMBED_H
#define INS_KERNEL_EMBED_H

#include "base/pool.h"
#include "tensor/tensor.h"

typedef struct ins_embed_args {
    ins_dtype dtype;
    int64_t n, v, d;    /* ids, table rows, width */
    const int32_t *ids; /* [N]; id < 0 gives a zero row and no gradient; INS_BUG when >= V */
    const void *table;  /* [V,D] */
    void *out;          /* [N,D] dense */
    bool accumulate;    /* forward: add to out (token + position embedding); backward: add to d_table */
    /* backward: d_table[ids[i]] += d_out[i], in the order of i */
    const void *d_out; /* [N,D] dense */
    void *d_table;     /* [V,D] acc; rows no id names become 0 unless accumulate */
    void *scratch;     /* ins_embed_backward_scratch bytes */
} ins_embed_args;

ins_status ins_embed_forward(const ins_embed_args *args, ins_pool *pool, ins_error *err);
size_t ins_embed_backward_scratch(const ins_embed_args *args);
ins_status ins_embed_backward(const ins_embed_args *args, ins_pool *pool, ins_error *err);

#endif
