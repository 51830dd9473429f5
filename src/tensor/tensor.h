/* Types of tensors: dtype and shape. Tensors are dense and row-major, slowest dimension first (PyTorch order). */
#ifndef INS_TENSOR_TENSOR_H
#define INS_TENSOR_TENSOR_H

#include "base/status.h"

#define INS_MAX_DIMS 6

/* X(code, name, safetensors name, bytes) */
#define INS_DTYPE_MAP(X)                                                                                               \
    X(F32, "f32", "F32", 4)                                                                                            \
    X(F64, "f64", "F64", 8)                                                                                            \
    X(BF16, "bf16", "BF16", 2)                                                                                         \
    X(F16, "f16", "F16", 2)                                                                                            \
    X(I64, "i64", "I64", 8)                                                                                            \
    X(I32, "i32", "I32", 4)                                                                                            \
    X(U8, "u8", "U8", 1)                                                                                               \
    X(I8, "i8", "I8", 1)                                                                                               \
    X(U16, "u16", "U16", 2)                                                                                            \
    X(BOOL, "bool", "BOOL", 1)

typedef enum ins_dtype {
#define INS_DTYPE_ENUM(code, name, st, bytes) INS_DTYPE_##code,
    INS_DTYPE_MAP(INS_DTYPE_ENUM) INS_DTYPE_COUNT
#undef INS_DTYPE_ENUM
} ins_dtype;

size_t ins_dtype_size(ins_dtype dtype);
const char *ins_dtype_name(ins_dtype dtype);
const char *ins_dtype_safetensors_name(ins_dtype dtype);
bool ins_dtype_from_safetensors(const char *name, ins_dtype *out);
static inline bool ins_dtype_is_float(ins_dtype d) {
    return d == INS_DTYPE_F32 || d == INS_DTYPE_F64 || d == INS_DTYPE_BF16 || d == INS_DTYPE_F16;
}

typedef struct ins_type {
    ins_dtype dtype;
    int n_dims;                 /* 0 = scalar */
    int64_t dims[INS_MAX_DIMS]; /* >= 0; unused ones are 0 */
} ins_type;

ins_type ins_type_make(ins_dtype dtype, int n_dims, const int64_t *dims);
#define INS_TYPE(dtype, ...)                                                                                           \
    ins_type_make((dtype), (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__})
int64_t ins_type_count(const ins_type *t); /* elements; 1 for a scalar. Checked at creation */
size_t ins_type_bytes(const ins_type *t);
bool ins_type_check(const ins_type *t, size_t *bytes); /* false when dims are negative or bytes overflow */
bool ins_type_same_shape(const ins_type *x, const ins_type *y);
bool ins_type_equal(const ins_type *x, const ins_type *y);
const char *ins_type_format(const ins_type *t, char buf[96]); /* "f32[4, 64, 768]" */

/* Rows x columns view of a tensor: columns = last dimension, rows = product of the others. */
static inline int64_t ins_type_cols(const ins_type *t) {
    return t->n_dims ? t->dims[t->n_dims - 1] : 1;
}
int64_t ins_type_rows(const ins_type *t);

/* bf16 <-> f32, round to nearest even, NaN kept. */
static inline float ins_bf16_to_f32(uint16_t x) {
    union {
        uint32_t u;
        float f;
    } v = {.u = (uint32_t)x << 16};
    return v.f;
}
static inline uint16_t ins_f32_to_bf16(float x) {
    union {
        float f;
        uint32_t u;
    } v = {.f = x};
    if ((v.u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((v.u >> 16) | 0x40u);
    return (uint16_t)((v.u + 0x7fffu + ((v.u >> 16) & 1u)) >> 16);
}
float ins_f16_to_f32(uint16_t x);
uint16_t ins_f32_to_f16(float x);

#endif
