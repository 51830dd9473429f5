/* Bin packing: best fit decreasing. */
#ifndef INS_DATA_PACK_H
#define INS_DATA_PACK_H

#include "base/status.h"

/* Put n items of lengths 1..capacity into bins: longest first (equal lengths in order), each into the fullest bin that
 * still takes it. bin_of[i] is item i's bin; bins are numbered in the order they were opened. O(n log capacity), a pure
 * function of its input. */
ins_status ins_pack_bestfit(const int32_t *lengths, int64_t n, int64_t capacity, int64_t *bin_of, int64_t *n_bins,
                            ins_error *err);

#endif
