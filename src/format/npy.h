/* NumPy .npy (version 1.0): C order, little endian. */
#ifndef INS_FORMAT_NPY_H
#define INS_FORMAT_NPY_H

#include "tensor/tensor.h"

ins_status ins_npy_write(const char *path, const ins_type *type, const void *data, ins_error *err);
/* Validates before allocating; *data is malloc'd (ins_free). Dtypes f4 f8 i4 i8 u1 u2 b1; Fortran order refused. */
ins_status ins_npy_read(const char *path, ins_type *type, void **data, ins_error *err);

#endif
