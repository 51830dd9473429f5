/* The peak rate of this machine as it was measured before, in CACHE/peak.json: so that a stage need not measure it
 * again before its first step. Other work on the machine only ever lowers a measurement, so the largest one counts; it
 * is forgotten when the machine was started anew, or after a day.
 */
#ifndef INS_STAGE_PEAK_STORE_H
#define INS_STAGE_PEAK_STORE_H

#include "base/log.h"
#include "tensor/tensor.h"

/* FLOP/s of products in this dtype with so many threads in all; 0 = unknown. cache_dir NULL = there is no file. */
double ins_peak_store_load(const char *cache_dir, ins_dtype dtype, int threads);
/* Keeps it when it is larger than what is there. Failure is a warning. */
void ins_peak_store_save(const char *cache_dir, const ins_log *log, ins_dtype dtype, int threads, double flops);

#endif
