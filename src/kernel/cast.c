/* Conversions of arrays. f32 <-> bf16 is vectorised; the rest goes through f64, element by element. */
#include <string.h>

#include "kernel/loop_impl.h"

#define CAST_CHUNK 16384

typedef struct cast_job {
    ins_dtype from, to;
    int64_t n;
    const void *x;
    void *y;
} cast_job;

static double cast_get(ins_dtype from, const void *x, int64_t at) {
    switch (from) {
    case INS_DTYPE_F32:
        return (double)((const float *)x)[at];
    case INS_DTYPE_F64:
        return ((const double *)x)[at];
    case INS_DTYPE_BF16:
        return (double)ins_bf16_to_f32(((const uint16_t *)x)[at]);
    case INS_DTYPE_F16:
        return (double)ins_f16_to_f32(((const uint16_t *)x)[at]);
    case INS_DTYPE_I64:
        return (double)((const int64_t *)x)[at];
    case INS_DTYPE_I32:
        return ((const int32_t *)x)[at];
    case INS_DTYPE_U16:
        return ((const uint16_t *)x)[at];
    case INS_DTYPE_U8:
        return ((const uint8_t *)x)[at];
    case INS_DTYPE_I8:
        return ((const int8_t *)x)[at];
    case INS_DTYPE_BOOL:
        return ((const uint8_t *)x)[at] != 0;
    case INS_DTYPE_COUNT:
        break;
    }
    return 0;
}

/* f64 to f32 with the last bit set when inexact ("round to odd"), so that the second rounding to 16 bits is right. */
static float cast_to_odd(double value) {
    float near = (float)value;
    if ((double)near == value || value != value) return near;
    uint32_t bits;
    if (near == 0) return value < 0 ? -0x1p-149f : 0x1p-149f;
    memcpy(&bits, &near, 4);
    if (bits & 1u || (bits & 0x7f800000u) == 0x7f800000u) return near;
    bits += (near < 0 ? (double)near > value : (double)near < value) ? 1u : UINT32_MAX;
    memcpy(&near, &bits, 4);
    return near;
}

static void cast_put(ins_dtype to, void *y, int64_t at, double value) {
    switch (to) {
    case INS_DTYPE_F32:
        ((float *)y)[at] = (float)value;
        break;
    case INS_DTYPE_F64:
        ((double *)y)[at] = value;
        break;
    case INS_DTYPE_BF16:
        ((uint16_t *)y)[at] = ins_f32_to_bf16(cast_to_odd(value));
        break;
    default:
        ((uint16_t *)y)[at] = ins_f32_to_f16(cast_to_odd(value));
        break;
    }
}

static void cast_task(void *arg, int64_t task, int thread) {
    (void)thread;
    const cast_job *job = arg;
    int64_t end = ins_min_i64(job->n, (task + 1) * CAST_CHUNK);
    for (int64_t i = task * CAST_CHUNK; i < end; i++) cast_put(job->to, job->y, i, cast_get(job->from, job->x, i));
}

ins_status ins_cast_array(ins_dtype from, ins_dtype to, int64_t n, const void *x, void *y, ins_pool *pool,
                          ins_error *err) {
    if (!ins_dtype_is_float(to) || (unsigned)from >= INS_DTYPE_COUNT)
        return INS_FAIL(err, INS_BUG, "no cast from %s to %s", ins_dtype_name(from), ins_dtype_name(to));
    if (n <= 0) return INS_OK;
    const ins_loop_impl *impl = ins_loop_pick(INS_DTYPE_F32);
    if (from == to) {
        ins_copy_bytes((size_t)n * ins_dtype_size(from), x, y, pool);
    } else if (impl && from == INS_DTYPE_F32 && to == INS_DTYPE_BF16) {
        impl->to_bf16(n, x, y, pool);
    } else if (impl && from == INS_DTYPE_BF16 && to == INS_DTYPE_F32) {
        impl->from_bf16(n, x, y, pool);
    } else {
        cast_job job = {from, to, n, x, y};
        ins_pool_run(pool, ins_ceil_div(n, CAST_CHUNK), cast_task, &job);
    }
    return INS_OK;
}
