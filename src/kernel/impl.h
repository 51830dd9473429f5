/* Inside of the kernel room: implementation lists and how one is picked.
 *
 * Every kernel family has a struct that starts with ins_impl_head, and a const NULL-terminated list of pointers to such
 * structs, fastest first, reference last. The first one whose level this processor has and whose dtypes contain the
 * wanted one runs.
 */
#ifndef INS_KERNEL_IMPL_H
#define INS_KERNEL_IMPL_H

#include "base/pool.h"
#include "kernel/isa.h"
#include "tensor/tensor.h"

typedef struct ins_impl_head {
    const char *name;    /* "cpu-avx512" */
    ins_isa_level level; /* needs at least this */
    uint32_t dtypes;     /* bit set of INS_DTYPE_BIT */
} ins_impl_head;

#define INS_DTYPE_BIT(dtype) (UINT32_C(1) << (dtype))
#define INS_DTYPES_CPU       (INS_DTYPE_BIT(INS_DTYPE_F32) | INS_DTYPE_BIT(INS_DTYPE_BF16))

/* Does vdpbf16ps make bf16 products faster than f32 ones? Measured once. */
bool ins_isa_fast_dot(void);

/* The first fitting row, or NULL. */
const void *ins_impl_pick(const ins_impl_head *const *list, ins_dtype dtype);
ins_status ins_impl_none(const char *kernel, ins_dtype dtype, ins_error *err);

/* Rows of the per-ISA builds of one struct, best first. The plain list without a comma at its end. */
#ifdef INS_KERNEL_X86
#define INS_CPU_LIST(stem)          &stem##_avx512.head, &stem##_avx2.head, &stem##_generic.head
#define INS_CPU_DECLARE(type, stem) extern const type stem##_generic, stem##_avx2, stem##_avx512
#else
#define INS_CPU_LIST(stem)          &stem##_generic.head
#define INS_CPU_DECLARE(type, stem) extern const type stem##_generic
#endif

/* The loop_*.c files have an f64 build too. */
#define INS_LOOP_LIST(stem) INS_CPU_LIST(stem), &stem##_f64.head
#define INS_LOOP_DECLARE(type, stem)                                                                                   \
    INS_CPU_DECLARE(type, stem);                                                                                       \
    extern const type stem##_f64

static inline int64_t ins_ceil_div(int64_t x, int64_t y) {
    return (x + y - 1) / y;
}
static inline int64_t ins_min_i64(int64_t x, int64_t y) {
    return x < y ? x : y;
}
static inline int64_t ins_max_i64(int64_t x, int64_t y) {
    return x > y ? x : y;
}

/* Part `task` of n split into n_tasks pieces whose bounds are multiples of `unit`. */
static inline void ins_split(int64_t n, int64_t n_tasks, int64_t unit, int64_t task, int64_t *begin, int64_t *end) {
    int64_t units = ins_ceil_div(n, unit);
    *begin = ins_min_i64(n, units * task / n_tasks * unit);
    *end = ins_min_i64(n, units * (task + 1) / n_tasks * unit);
}

/* Column sums go down the rows in chunks of this many, then chunk by chunk: at most 32 chunks. All kernels that make
 * column sums keep to this order, so that it does not matter which of them makes one. */
static inline int64_t ins_sum_chunk_rows(int64_t rows) {
    return ins_max_i64(8, ins_ceil_div(rows, 32));
}

/* Bytes of one element of the accumulation type. */
static inline size_t ins_acc_size(ins_dtype dtype) {
    return dtype == INS_DTYPE_F64 ? 8 : 4;
}

#endif
