/* Which implementation each kernel takes on this machine: for `instar doctor` and `instar bench kernels`. */
#ifndef INS_KERNEL_IMPLS_H
#define INS_KERNEL_IMPLS_H

#include "tensor/tensor.h"

typedef struct ins_impl_choice {
    const char *kernel; /* "gemm" */
    ins_dtype dtype;
    const char *impl; /* "cpu-avx512" */
} ins_impl_choice;

/* Fills at most cap rows and returns how many there are. */
int64_t ins_impl_choices(ins_impl_choice *out, int64_t cap);

#endif
