/* Counter-based random numbers (Philox 4x32-10, Salmon et al. 2011): a value is a pure function of (key, counter), so
 * nothing has to be saved to resume and any thread may draw any position.
 */
#ifndef INS_BASE_RNG_H
#define INS_BASE_RNG_H

#include "base/status.h"

typedef struct ins_rng_key {
    uint32_t k[2];
} ins_rng_key;

/* Key from (seed, name of the stream, number). E.g. ins_rng_derive(seed, "init:model.layers.0...", 0). */
ins_rng_key ins_rng_derive(uint64_t seed, const char *stream, uint64_t index);
void ins_philox(ins_rng_key key, uint64_t counter_hi, uint64_t counter_lo, uint32_t out[4]);

/* Sequential use on top: a cursor over one key. */
typedef struct ins_rng {
    ins_rng_key key;
    uint64_t hi, pos; /* pos = number of 32-bit words drawn */
} ins_rng;
ins_rng ins_rng_start(ins_rng_key key, uint64_t hi);
uint32_t ins_rng_u32(ins_rng *r);
uint64_t ins_rng_u64(ins_rng *r);
uint64_t ins_rng_below(ins_rng *r, uint64_t n); /* uniform in [0, n), unbiased; n >= 1 */
double ins_rng_uniform(ins_rng *r);             /* [0, 1), 53 bits */
double ins_rng_normal(ins_rng *r);              /* N(0, 1) */

/* n values of a long array from position `first` on: value i is a pure function of (key, hi, i), so the array may be
 * cut anywhere and filled by any thread. Uniform in [0, 1) with 24 bits; normal N(0, 1) from 32-bit uniforms. */
void ins_rng_fill_uniform(ins_rng_key key, uint64_t hi, uint64_t first, int64_t n, float *out);
void ins_rng_fill_normal(ins_rng_key key, uint64_t hi, uint64_t first, int64_t n, float *out);

/* Bijection of [0, n) keyed by `key`: position of the i-th item in a shuffled order (Feistel network with cycle
 * walking). Pure function; O(1) memory. Precondition: 1 <= n, i < n. */
uint64_t ins_permute(ins_rng_key key, uint64_t n, uint64_t i);

#endif
