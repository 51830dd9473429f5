/* rope: rotary position embedding of the first rotary_dim channels of each head. The gradient of a rotation is the
 * rotation back, so it is the same op with `inverse`.
 */
#include <string.h>

#include "kernel/elementwise.h"
#include "kernel/rope.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { X, POSITIONS };

typedef struct rope_attr {
    int64_t head_size, rotary_dim;
    int64_t n_heads; /* that rotate, the first ones; 0 = all */
    int32_t interleaved, inverse;
    double theta;
    double scale;   /* of the cosine and sine; 0 = 1 */
    int64_t n_freq; /* 0: frequencies from theta; else rotary_dim/2 of them in inv_freq */
    double inv_freq[INS_ROPE_MAX_FREQ];
} rope_attr;

static ins_status rope_infer(ins_op_sig *sig, ins_error *err) {
    const rope_attr *attr = sig->attr;
    const ins_type *x = sig->in[X];
    char type[96];
    INS_TRY(ins_op_check_float(sig, X, err));
    if (x->n_dims < 1 || attr->head_size < 1 || ins_type_cols(x) % attr->head_size != 0)
        return INS_FAIL(err, INS_USAGE, "rope: the columns of x %s are not whole heads of size %lld",
                        ins_type_format(x, type), (long long)attr->head_size);
    if (attr->n_heads < 0 || attr->n_heads > ins_type_cols(x) / attr->head_size)
        return INS_FAIL(err, INS_USAGE, "rope: x %s has no %lld heads of size %lld", ins_type_format(x, type),
                        (long long)attr->n_heads, (long long)attr->head_size);
    if (attr->rotary_dim < 0 || attr->rotary_dim > attr->head_size || attr->rotary_dim % 2 != 0)
        return INS_FAIL(err, INS_USAGE,
                        "rope: %lld rotating channels; an even number up to the head size %lld is needed",
                        (long long)attr->rotary_dim, (long long)attr->head_size);
    if (attr->n_freq != 0 && (attr->n_freq != attr->rotary_dim / 2 || attr->n_freq > INS_ROPE_MAX_FREQ))
        return INS_FAIL(err, INS_USAGE,
                        "rope: %lld frequencies for %lld rotating channels (half as many are needed, %d "
                        "at most)",
                        (long long)attr->n_freq, (long long)attr->rotary_dim, INS_ROPE_MAX_FREQ);
    INS_TRY(ins_op_check_dtype(sig, POSITIONS, INS_DTYPE_I32, err));
    INS_TRY(ins_op_check_count(sig, POSITIONS, ins_type_rows(x), err));
    sig->out[0] = *x;
    return INS_OK;
}

static ins_status rope_run(const ins_op_call *call, ins_error *err) {
    const rope_attr *attr = call->sig->attr;
    const ins_type *x = call->sig->in[X];
    int64_t cols = ins_type_cols(x), n_heads = attr->n_heads ? attr->n_heads : cols / attr->head_size;
    int64_t turned = n_heads * attr->head_size;
    size_t size = ins_dtype_size(x->dtype);
    ins_strided_args rest = {.dtype = x->dtype,
                             .n_dims = 2,
                             .dims = {ins_type_rows(x), cols - turned},
                             .src = (const char *)call->in[X] + (size_t)turned * size,
                             .stride_src = {cols, 1},
                             .dst = (char *)call->out[0] + (size_t)turned * size,
                             .stride_dst = {cols, 1}};
    if (turned < cols && call->out[0] != call->in[X]) INS_TRY(ins_strided_copy(&rest, call->pool, err));
    ins_rope_args args = {.dtype = x->dtype,
                          .rows = ins_type_rows(x),
                          .n_heads = n_heads,
                          .head_dim = attr->head_size,
                          .rotary_dim = attr->rotary_dim,
                          .interleaved = attr->interleaved != 0,
                          .inverse = attr->inverse != 0,
                          .theta = attr->theta,
                          .inv_freq = attr->n_freq ? attr->inv_freq : NULL,
                          .scale = attr->scale,
                          .positions = call->in[POSITIONS],
                          .x = call->in[X],
                          .ldx = cols,
                          .y = call->out[0],
                          .ldy = cols};
    return ins_rope_rotate(&args, call->pool, err);
}

static ins_status rope_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    rope_attr attr = *(const rope_attr *)a->sig->attr;
    attr.inverse = !attr.inverse;
    ins_value d_out = ins_cast(g, a->d_out[0], a->sig->in[X]->dtype);
    if (a->need[X]) a->d_in[X] = ins_emit_one(g, &ins_op_rope, &attr, (const ins_value[]){d_out, a->in[POSITIONS]}, 2);
    return INS_OK;
}

ins_value ins_rope(ins_graph *g, ins_value x, ins_value positions, int head_size, int rotary_dim, double theta,
                   bool interleaved) {
    return ins_rope_first(g, x, positions, 0, head_size, rotary_dim, theta, interleaved);
}

ins_value ins_rope_first(ins_graph *g, ins_value x, ins_value positions, int n_heads, int head_size, int rotary_dim,
                         double theta, bool interleaved) {
    if (rotary_dim == 0) return x;
    rope_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.n_heads = n_heads;
    attr.head_size = head_size;
    attr.rotary_dim = rotary_dim;
    attr.interleaved = interleaved;
    attr.theta = theta;
    return ins_emit_one(g, &ins_op_rope, &attr, (const ins_value[]){x, positions}, 2);
}

ins_value ins_rope_table(ins_graph *g, ins_value x, ins_value positions, int head_size, const double *inv_freq,
                         int n_freq, double scale, bool interleaved) {
    if (n_freq == 0) return x;
    if (n_freq < 0 || n_freq > INS_ROPE_MAX_FREQ)
        return ins_graph_fail(g, "rope: %d frequencies; at most %d are possible", n_freq, INS_ROPE_MAX_FREQ);
    rope_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.head_size = head_size;
    attr.rotary_dim = 2 * (int64_t)n_freq;
    attr.interleaved = interleaved;
    attr.scale = scale;
    attr.n_freq = n_freq;
    memcpy(attr.inv_freq, inv_freq, (size_t)n_freq * sizeof inv_freq[0]);
    return ins_emit_one(g, &ins_op_rope, &attr, (const ins_value[]){x, positions}, 2);
}

static void fill_positions(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (input == POSITIONS)
            ((int32_t *)data)[i] = (int32_t)(3 * i % 11);
        else
            ((float *)data)[i] = (float)((i * 37 + 5) % 61) / 20.0f - 1.5f;
    }
}

static const ins_op_sample rope_samples[] = {
    {.name = "half",
     .n_in = 2,
     .in = {INS_F32(3, 2, 3, 16), INS_I32(2, 2, 3)},
     .attr = &(const rope_attr){.head_size = 8, .rotary_dim = 8, .theta = 100},
     .fill = fill_positions},
    {.name = "interleaved, partial",
     .n_in = 2,
     .in = {INS_F32(2, 5, 12), INS_I32(1, 5)},
     .attr = &(const rope_attr){.head_size = 6, .rotary_dim = 4, .theta = 100, .interleaved = 1},
     .fill = fill_positions},
    {.name = "the first heads",
     .n_in = 2,
     .in = {INS_F32(3, 2, 3, 16), INS_I32(2, 2, 3)},
     .attr = &(const rope_attr){.head_size = 4, .rotary_dim = 4, .theta = 100, .n_heads = 3},
     .fill = fill_positions},
    {.name = "table",
     .n_in = 2,
     .in = {INS_F32(2, 5, 12), INS_I32(1, 5)},
     .attr = &(const rope_attr){.head_size = 6, .rotary_dim = 4, .scale = 1.25, .n_freq = 2, .inv_freq = {1, 0.3}},
     .fill = fill_positions},
    {0},
};

const ins_op ins_op_rope = {
    .head = {.family = "op",
             .name = "rope",
             .summary = "Rotary position embedding.",
             .paper = "RoFormer: Enhanced Transformer with Rotary Position Embedding (Su et al., 2021)",
             .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x positions",
    .out_names = "out",
    .attr_size = sizeof(rope_attr),
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = rope_infer,
    .run = rope_run,
    .grad = rope_grad,
    .samples = rope_samples,
};
