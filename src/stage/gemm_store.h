/* Measured choices of matrix products (kernel/gemm_choice.h) as JSON: those of this machine, in CACHE/gemm.json, so
 * that a product is measured once; and those of a stage, in its train.json. */
#ifndef INS_STAGE_GEMM_STORE_H
#define INS_STAGE_GEMM_STORE_H

#include "base/log.h"
#include "format/json.h"
#include "kernel/gemm_choice.h"

/* Put in what the file knows about this machine. A file that can't be read is a warning: products are measured again.
 * cache_dir NULL = there is no file. */
void ins_gemm_store_load(const char *cache_dir, const ins_log *log, ins_gemm_choices *choices);
/* Add the table's rows to the file, whole or not at all; what is there already stays. Failure is a warning. */
void ins_gemm_store_save(const char *cache_dir, const ins_log *log, const ins_gemm_choices *choices);

/* {"machine": "...", "products": {"f32>f32 nt m256 ...": "onednn"}}; NULL without memory. */
json_t *ins_gemm_choices_json(const ins_gemm_choices *choices);
/* The reverse, for rows that a stage began with. INS_DATA when it has another form. *lost counts rows whose
 * implementation is not here any more; *same tells whether it is the same machine. */
ins_status ins_gemm_choices_restore(const json_t *json, ins_gemm_choices *choices, int64_t *lost, bool *same,
                                    ins_error *err);

/* "own 9, onednn 4, openblas 1 (12 measured in 1.3 s)" */
void ins_gemm_choices_describe(const ins_gemm_choices *choices, ins_str *out);

#endif
