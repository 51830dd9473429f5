/* Tensor types. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *safetensors_name;
    size_t bytes;
} dtypes[INS_DTYPE_COUNT] = {
#define INS_DTYPE_ROW(code, name, st, bytes) [INS_DTYPE_##code] = {name, st, bytes},
    INS_DTYPE_MAP(INS_DTYPE_ROW)
#undef INS_DTYPE_ROW
};

static bool dtype_known(ins_dtype dtype) {
    return (unsigned)dtype < INS_DTYPE_COUNT;
}

size_t ins_dtype_size(ins_dtype dtype) {
    return dtype_known(dtype) ? dtypes[dtype].bytes : 0;
}

const char *ins_dtype_name(ins_dtype dtype) {
    return dtype_known(dtype) ? dtypes[dtype].name : "unknown";
}

const char *ins_dtype_safetensors_name(ins_dtype dtype) {
    return dtype_known(dtype) ? dtypes[dtype].safetensors_name : "unknown";
}

bool ins_dtype_from_safetensors(const char *name, ins_dtype *out) {
    for (int i = 0; i < INS_DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].safetensors_name, name) != 0) continue;
        *out = (ins_dtype)i;
        return true;
    }
    return false;
}

ins_type ins_type_make(ins_dtype dtype, int n_dims, const int64_t *dims) {
    ins_type type = {.dtype = dtype, .n_dims = n_dims};
    if (n_dims < 0 || n_dims > INS_MAX_DIMS) {
        type.n_dims = -1; /* ins_type_check says no */
        return type;
    }
    for (int i = 0; i < n_dims; i++) type.dims[i] = dims[i];
    return type;
}

bool ins_type_check(const ins_type *t, size_t *bytes) {
    if (!dtype_known(t->dtype) || t->n_dims < 0 || t->n_dims > INS_MAX_DIMS) return false;
    /* Zero sizes last: a shape like [2^40, 2^40, 0] is refused, so that every partial product is safe, too. */
    int64_t count = (int64_t)dtypes[t->dtype].bytes;
    bool empty = false;
    for (int i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0) return false;
        if (t->dims[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(count, t->dims[i], &count))
            return false;
    }
    if (bytes) *bytes = empty ? 0 : (size_t)count;
    return true;
}

int64_t ins_type_count(const ins_type *t) {
    if (t->n_dims < 0) return 0;
    int64_t count = 1;
    for (int i = 0; i < t->n_dims; i++) count *= t->dims[i];
    return count;
}

size_t ins_type_bytes(const ins_type *t) {
    return (size_t)ins_type_count(t) * ins_dtype_size(t->dtype);
}

bool ins_type_same_shape(const ins_type *x, const ins_type *y) {
    if (x->n_dims != y->n_dims) return false;
    for (int i = 0; i < x->n_dims; i++)
        if (x->dims[i] != y->dims[i]) return false;
    return true;
}

bool ins_type_equal(const ins_type *x, const ins_type *y) {
    return x->dtype == y->dtype && ins_type_same_shape(x, y);
}

const char *ins_type_format(const ins_type *t, char buf[96]) {
    size_t used = (size_t)snprintf(buf, 96, "%s[", ins_dtype_name(t->dtype));
    for (int i = 0; i < t->n_dims && used < 95; i++) {
        int len = snprintf(buf + used, 96 - used, "%s%lld", i ? ", " : "", (long long)t->dims[i]);
        used += (size_t)(len > 0 ? len : 0);
    }
    if (used < 95) {
        memcpy(buf + used, "]", 2);
    } else {
        memcpy(buf + 91, "...]", 5);
    }
    return buf;
}

int64_t ins_type_rows(const ins_type *t) {
    int64_t rows = 1;
    for (int i = 0; i + 1 < t->n_dims; i++) rows *= t->dims[i];
    return rows;
}

float ins_f16_to_f32(uint16_t x) {
    union {
        uint32_t u;
        float f;
    } v;
    uint32_t sign = (uint32_t)(x & 0x8000u) << 16, exponent = (x >> 10) & 31u, fraction = x & 0x3FFu;
    if (exponent == 31) { /* infinity, NaN */
        v.u = sign | 0x7F800000u | fraction << 13;
    } else if (exponent != 0) {
        v.u = sign | (exponent + 112u) << 23 | fraction << 13;
    } else { /* zero and subnormals: fraction * 2^-24, exact in f32 */
        v.f = (float)fraction * 0x1p-24f;
        v.u |= sign;
    }
    return v.f;
}

uint16_t ins_f32_to_f16(float x) {
    union {
        float f;
        uint32_t u;
    } v = {.f = x};
    uint16_t sign = (uint16_t)(v.u >> 16 & 0x8000u);
    uint32_t bits = v.u & 0x7FFFFFFFu;
    if (bits > 0x7F800000u) return (uint16_t)(sign | 0x7E00u | (bits >> 13 & 0x3FFu)); /* NaN stays NaN */
    if (bits >= 0x477FF000u) return (uint16_t)(sign | 0x7C00u);                        /* rounds past 65504 */
    if (bits < 0x38800000u) { /* below 2^-14: a multiple of 2^-24 */
        v.u = bits;
        v.f += 0.5f; /* the sum's unit in the last place is 2^-24: rounds to nearest even */
        return (uint16_t)(sign | (v.u - 0x3F000000u));
    }
    uint32_t odd = bits >> 13 & 1u;
    return (uint16_t)(sign | ((bits + 0xFFFu + odd - 0x38000000u) >> 13));
}
