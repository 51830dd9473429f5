/* safetensors, strict: header <= 100,000,000 bytes, starts with '{', valid JSON, no duplicate names, offsets contiguous
 * from 0 with no holes and covering the whole buffer, shape * dtype equal to the extent with checked arithmetic.
 */
#ifndef INS_FORMAT_SAFETENSORS_H
#define INS_FORMAT_SAFETENSORS_H

#include "tensor/tensor.h"
#include "base/str.h"

typedef struct ins_safetensor {
    const char *name;
    ins_type type;
    const void *data; /* borrowed from the mapping (reading) or the caller (writing); may be unaligned when reading */
    size_t bytes;
} ins_safetensor;

typedef struct ins_safetensors ins_safetensors;
/* Memory-mapped. Every rule is checked before this returns. INS_MODEL with the file's name and the rule broken. */
ins_status ins_safetensors_open(const char *path, ins_safetensors **out, ins_error *err);
void ins_safetensors_close(ins_safetensors *st);
int64_t ins_safetensors_count(const ins_safetensors *st);
const ins_safetensor *ins_safetensors_at(const ins_safetensors *st, int64_t i);          /* in file order */
const ins_safetensor *ins_safetensors_find(const ins_safetensors *st, const char *name); /* NULL if none */
int64_t ins_safetensors_n_metadata(const ins_safetensors *st);
void ins_safetensors_metadata(const ins_safetensors *st, int64_t i, const char **key, const char **value);
/* Copy a float tensor (F32 F64 BF16 F16) as f32 into out[count]. */
ins_status ins_safetensor_to_f32(const ins_safetensor *t, float *out, ins_error *err);

/* Write atomically; metadata = n_meta pairs key, value. sha256_hex may be NULL. Tensors are laid out in the given
 * order, the header padded with spaces to 8 bytes. */
ins_status ins_safetensors_write(const char *path, const ins_safetensor *tensors, int64_t n,
                                 const char *const *metadata, int64_t n_meta, char sha256_hex[65], ins_error *err);

#endif
