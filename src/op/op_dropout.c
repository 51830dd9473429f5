/* dropout: out = x * keep / (1 - p). The mask is a pure function of (key, stream, element), so the gradient draws it
 * again instead of storing it, and 1 or many threads give equal bits.
 *
 * Element i takes 16 bits, number i % 8 from the lowest on, of the Philox block with
 *   key = (key[0], key[1]),   counter = (stream << 32 | key[2],  key[3] << 32 xor i / 8)
 * and is kept when they are at least p * 2^16. p is rounded to that grid, in the scale too, so that the mean is exact.
 */
#include <math.h>

#include "base/rng.h"
#include "op/op_common.h"
#include "op/op_emit.h"

enum { X, KEY };
enum { BLOCK = 4096, CHUNK = 256 }; /* elements per task, and per pass over the factors */

typedef struct dropout_attr {
    double p;
    int64_t stream;
} dropout_attr;

typedef struct dropout_job {
    const dropout_attr *attr;
    const uint32_t *key;
    ins_dtype dtype;
    int64_t n;
    const void *x;
    void *out;
} dropout_job;

static ins_status dropout_infer(ins_op_sig *sig, ins_error *err) {
    const dropout_attr *attr = sig->attr;
    ins_type key = {.dtype = INS_DTYPE_I32, .n_dims = 1, .dims = {4}};
    INS_TRY(ins_op_check_float(sig, X, err));
    INS_TRY(ins_op_check_type(sig, KEY, &key, err));
    if (!(attr->p >= 0 && attr->p < 1))
        return INS_FAIL(err, INS_USAGE, "dropout: probability %g is outside [0, 1)", attr->p);
    sig->out[0] = *sig->in[X];
    return INS_OK;
}

/* Of 65536 values of 16 bits, how many drop the element: at least one kept. */
static uint32_t dropped_of_65536(double p) {
    double count = floor(p * 65536.0 + 0.5);
    return count > 65535.0 ? 65535u : (uint32_t)count;
}

/* factor[i] = 0 or 1/(1-p) for elements first .. first + CHUNK; first is a multiple of CHUNK. */
static void draw_factors(const dropout_job *job, int64_t first, double factor[CHUNK]) {
    const uint32_t *key = job->key;
    ins_rng_key rng_key = {{key[0], key[1]}};
    uint64_t hi = (uint64_t)(uint32_t)job->attr->stream << 32 | key[2];
    uint32_t dropped = dropped_of_65536(job->attr->p);
    const double choice[2] = {0.0, 65536.0 / (65536.0 - dropped)};
    for (int i = 0; i < CHUNK; i += 8) {
        uint32_t words[4];
        ins_philox(rng_key, hi, (uint64_t)key[3] << 32 ^ (uint64_t)((first + i) / 8), words);
        for (int j = 0; j < 4; j++) {
            factor[i + 2 * j] = choice[(words[j] & 0xffffu) >= dropped];
            factor[i + 2 * j + 1] = choice[words[j] >> 16 >= dropped];
        }
    }
}

static void drop_chunk(const dropout_job *job, int64_t first, int64_t count) {
    double factor[CHUNK];
    draw_factors(job, first, factor);
    if (job->dtype == INS_DTYPE_F64) {
        const double *x = (const double *)job->x + first;
        double *out = (double *)job->out + first;
        for (int64_t i = 0; i < count; i++) out[i] = x[i] * factor[i];
    } else if (job->dtype == INS_DTYPE_F32) {
        const float *x = (const float *)job->x + first;
        float *out = (float *)job->out + first;
        for (int64_t i = 0; i < count; i++) out[i] = x[i] * (float)factor[i];
    } else {
        const uint16_t *x = (const uint16_t *)job->x + first;
        uint16_t *out = (uint16_t *)job->out + first;
        for (int64_t i = 0; i < count; i++) out[i] = ins_f32_to_bf16(ins_bf16_to_f32(x[i]) * (float)factor[i]);
    }
}

static void drop_block(void *arg, int64_t task, int thread) {
    (void)thread;
    const dropout_job *job = arg;
    int64_t end = task * BLOCK + BLOCK < job->n ? task * BLOCK + BLOCK : job->n;
    for (int64_t at = task * BLOCK; at < end; at += CHUNK) drop_chunk(job, at, end - at < CHUNK ? end - at : CHUNK);
}

static ins_status dropout_run(const ins_op_call *call, ins_error *err) {
    (void)err;
    const ins_type *type = &call->sig->out[0];
    dropout_job job = {.attr = call->sig->attr,
                       .key = call->in[KEY],
                       .dtype = type->dtype,
                       .n = ins_type_count(type),
                       .x = call->in[X],
                       .out = call->out[0]};
    ins_pool_run(call->pool, (job.n + BLOCK - 1) / BLOCK, drop_block, &job);
    return INS_OK;
}

static ins_status dropout_grad(ins_graph *g, const ins_op_grad *a, ins_error *err) {
    (void)err;
    const dropout_attr *attr = a->sig->attr;
    if (a->need[X]) a->d_in[X] = ins_dropout(g, a->d_out[0], a->in[KEY], attr->p, (uint32_t)attr->stream);
    return INS_OK;
}

ins_value ins_dropout(ins_graph *g, ins_value x, ins_value rng_key, double p, uint32_t stream) {
    if (p == 0.0) return x;
    return ins_emit_one(g, &ins_op_dropout, &(dropout_attr){p, (int64_t)stream}, (const ins_value[]){x, rng_key}, 2);
}

static void fill_key(int input, const ins_type *type, void *data) {
    int64_t n = ins_type_count(type);
    for (int64_t i = 0; i < n; i++) {
        if (input == KEY)
            ((int32_t *)data)[i] = (int32_t)(7919 * (i + 1));
        else
            ((float *)data)[i] = (float)((i * 37 + 5) % 61) / 20.0f - 1.5f;
    }
}

static const ins_op_sample dropout_samples[] = {
    {.name = "third",
     .n_in = 2,
     .in = {INS_F32(2, 9, 31), INS_I32(1, 4)},
     .attr = &(const dropout_attr){0.3, 5},
     .fill = fill_key},
    {0},
};

const ins_op ins_op_dropout = {
    .head = {.family = "op",
             .name = "dropout",
             .summary = "Random elements set to zero, the others scaled up.",
             .paper = "Dropout: A Simple Way to Prevent Neural Networks from Overfitting (Srivastava et al., 2014)",
             .version = 1},
    .n_in_min = 2,
    .n_in = 2,
    .n_out = 1,
    .in_names = "x rng_key",
    .out_names = "out",
    .attr_size = sizeof(dropout_attr),
    .flags = INS_OP_INPLACE | INS_OP_PURE_CHEAP,
    .infer = dropout_infer,
    .run = dropout_run,
    .grad = dropout_grad,
    .samples = dropout_samples,
};
