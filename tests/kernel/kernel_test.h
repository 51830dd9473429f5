/* Shared by the kernel tests: guarded arrays, random filling, comparison with f64 references, ISA levels. */
#ifndef INS_TESTS_KERNEL_TEST_H
#define INS_TESTS_KERNEL_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "kernel/elementwise.h"
#include "kernel/isa.h"
#include "tensor/tensor.h"

/* The thread sanitizer makes loops fifty times slower and looks at threads, not at numbers: of a row of combinations it
 * gets every KT_STEP-th, others of the next shape. */
#if defined(__SANITIZE_THREAD__)
#define KT_STEP 5
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KT_STEP 5
#endif
#endif
#ifndef KT_STEP
#define KT_STEP 1
#endif

#define KT_GUARD      64
#define KT_GUARD_BYTE 0xA5

/* An array of n elements between guard bytes; `shift` elements past the aligned start to test unaligned data. */
typedef struct kt_array {
    unsigned char *raw;
    void *data;
    ins_dtype dtype;
    int64_t n;
} kt_array;

static inline kt_array kt_new(ins_dtype dtype, int64_t n) {
    kt_array array = {.dtype = dtype, .n = n};
    size_t bytes = (size_t)n * ins_dtype_size(dtype), shift = ins_dtype_size(dtype);
    array.raw = malloc(bytes + 2 * KT_GUARD + shift);
    assert_non_null(array.raw);
    memset(array.raw, KT_GUARD_BYTE, bytes + 2 * KT_GUARD + shift);
    array.data = array.raw + KT_GUARD + shift;
    return array;
}

static inline void kt_check_guard(const kt_array *array) {
    const unsigned char *begin = array->raw, *data = array->data;
    const unsigned char *end = data + (size_t)array->n * ins_dtype_size(array->dtype);
    for (const unsigned char *p = begin; p < data; p++) assert_int_equal(*p, KT_GUARD_BYTE);
    for (const unsigned char *p = end; p < end + KT_GUARD; p++) assert_int_equal(*p, KT_GUARD_BYTE);
}

static inline void kt_free(kt_array *array) {
    kt_check_guard(array);
    free(array->raw);
    array->raw = NULL;
}

static inline void kt_set(kt_array *array, int64_t at, double value) {
    float single = (float)value;
    switch (array->dtype) {
    case INS_DTYPE_F64:
        ((double *)array->data)[at] = value;
        break;
    case INS_DTYPE_F32:
        memcpy((char *)array->data + at * 4, &single, 4);
        break;
    case INS_DTYPE_BF16: {
        uint16_t half = ins_f32_to_bf16(single);
        memcpy((char *)array->data + at * 2, &half, 2);
        break;
    }
    case INS_DTYPE_I32:
        ((int32_t *)array->data)[at] = (int32_t)value;
        break;
    default:
        fail();
    }
}

static inline double kt_get(const kt_array *array, int64_t at) {
    float single;
    uint16_t half;
    switch (array->dtype) {
    case INS_DTYPE_F64:
        return ((double *)array->data)[at];
    case INS_DTYPE_F32:
        memcpy(&single, (char *)array->data + at * 4, 4);
        return (double)single;
    case INS_DTYPE_BF16:
        memcpy(&half, (char *)array->data + at * 2, 2);
        return (double)ins_bf16_to_f32(half);
    case INS_DTYPE_I32:
        return ((int32_t *)array->data)[at];
    default:
        fail();
    }
    return 0;
}

/* Uniform values in [low, high), rounded to the dtype. */
static inline kt_array kt_random(ins_dtype dtype, int64_t n, double low, double high, uint64_t seed) {
    kt_array array = kt_new(dtype, n);
    ins_rng rng = ins_rng_start(ins_rng_derive(seed, "kernel-test", 0), 0);
    for (int64_t i = 0; i < n; i++) kt_set(&array, i, low + (high - low) * ins_rng_uniform(&rng));
    return array;
}

static inline kt_array kt_copy(const kt_array *src, ins_dtype dtype) {
    kt_array array = kt_new(dtype, src->n);
    for (int64_t i = 0; i < src->n; i++) kt_set(&array, i, kt_get(src, i));
    return array;
}

static inline double kt_eps(ins_dtype dtype) {
    return dtype == INS_DTYPE_F64 ? 0x1p-53 : dtype == INS_DTYPE_F32 ? 0x1p-24 : 0x1p-8;
}

/* |got - want| <= absolute + relative |want|, infinities and NaN alike. */
static inline void kt_near(const char *what, const kt_array *got, const kt_array *want, double absolute,
                           double relative) {
    assert_int_equal(got->n, want->n);
    for (int64_t i = 0; i < got->n; i++) {
        double g = kt_get(got, i), w = kt_get(want, i);
        if (g == w || (isnan(g) && isnan(w))) continue;
        if (fabs(g - w) <= absolute + relative * fabs(w)) continue;
        print_error("%s[%lld of %lld]: got %.9g, want %.9g (allowed %.3g), isa %s\n", what, (long long)i,
                    (long long)got->n, g, w, absolute + relative * fabs(w), ins_isa_name(ins_isa_detect()));
        fail();
    }
}

static inline void kt_same_bits(const char *what, const kt_array *x, const kt_array *y) {
    if (memcmp(x->data, y->data, (size_t)x->n * ins_dtype_size(x->dtype)) == 0) return;
    print_error("%s: bits differ between thread counts or shapes\n", what);
    fail();
}

/* A pool of two threads for the whole test program. */
static ins_pool *kt_two;

static inline int kt_setup(void **state) {
    (void)state;
    return ins_pool_new(2, &kt_two, NULL) == INS_OK ? 0 : -1;
}

static inline int kt_teardown(void **state) {
    (void)state;
    ins_pool_free(kt_two);
    return 0;
}

static inline ins_dtype kt_acc(ins_dtype dtype) {
    return dtype == INS_DTYPE_F64 ? INS_DTYPE_F64 : INS_DTYPE_F32;
}

/* Runs `body` at every level that this machine has. */
static inline void kt_each_level(void (*body)(void)) {
    ins_isa_limit(INS_ISA_AMX);
    ins_isa_level best = ins_isa_detect();
    for (int level = INS_ISA_GENERIC; level <= (int)best; level++) {
        ins_isa_limit((ins_isa_level)level);
        body();
    }
    ins_isa_limit(INS_ISA_AMX);
}

#endif
