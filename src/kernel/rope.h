/* Rotary position embedding: pairs of the first rotary_dim channels of each head are rotated by position * inv_freq.
 *
 *   half (Llama, NeoX): pair i = channels (i, i + rotary_dim/2)      interleaved (GPT-J): pair i = channels (2i, 2i+1)
 *   inv_freq[i] = theta^(-2i/rotary_dim) unless a table is given
 *
 * Dtypes: f32, f64, bf16. The rotation by -angle (inverse) is the gradient.
 */
#ifndef INS_KERNEL_ROPE_H
#define INS_KERNEL_ROPE_H

#include "base/pool.h"
#include "tensor/tensor.h"

typedef struct ins_rope_args {
    ins_dtype dtype;
    int64_t rows;              /* B*T */
    int64_t n_heads, head_dim; /* x is [rows, n_heads * head_dim] */
    int64_t rotary_dim;        /* even, <= head_dim; the other channels are copied */
    bool interleaved;
    bool inverse;
    double theta;             /* 10000 */
    const double *inv_freq;   /* [rotary_dim/2] or NULL */
    double scale;             /* multiplies cos and sin (YaRN's attention factor); 0 = 1 */
    const int32_t *positions; /* [rows] */
    const void *x;
    int64_t ldx;
    void *y; /* may be x */
    int64_t ldy;
} ins_rope_args;

ins_status ins_rope_rotate(const ins_rope_args *args, ins_pool *pool, ins_error *err);

#endif
