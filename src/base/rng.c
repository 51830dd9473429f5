/* Philox 4x32-10 and what is drawn from it. */
#include "base/rng.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

static void store_le64(unsigned char *to, uint64_t value) {
    for (int i = 0; i < 8; i++) to[i] = (unsigned char)(value >> (8 * i));
}

ins_rng_key ins_rng_derive(uint64_t seed, const char *stream, uint64_t index) {
    unsigned char block[24]; /* the same bytes on every machine */
    store_le64(block, seed);
    store_le64(block + 8, index);
    store_le64(block + 16, ins_hash64(stream, strlen(stream), 0));
    uint64_t mixed = ins_hash64(block, sizeof block, 0);
    return (ins_rng_key){{(uint32_t)mixed, (uint32_t)(mixed >> 32)}};
}

void ins_philox(ins_rng_key key, uint64_t counter_hi, uint64_t counter_lo, uint32_t out[4]) {
    uint32_t c0 = (uint32_t)counter_lo, c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi, c3 = (uint32_t)(counter_hi >> 32);
    uint32_t k0 = key.k[0], k1 = key.k[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)PHILOX_M0 * c0;
        uint64_t p1 = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

ins_rng ins_rng_start(ins_rng_key key, uint64_t hi) {
    return (ins_rng){.key = key, .hi = hi, .pos = 0};
}

uint32_t ins_rng_u32(ins_rng *r) {
    uint32_t words[4];
    ins_philox(r->key, r->hi, r->pos / 4, words);
    return words[r->pos++ % 4];
}

uint64_t ins_rng_u64(ins_rng *r) {
    if (r->pos % 4 == 3) { /* the two words lie in two blocks */
        uint64_t low = ins_rng_u32(r);
        return low | (uint64_t)ins_rng_u32(r) << 32;
    }
    uint32_t words[4];
    ins_philox(r->key, r->hi, r->pos / 4, words);
    uint64_t at = r->pos % 4;
    r->pos += 2;
    return words[at] | (uint64_t)words[at + 1] << 32;
}

/* Lemire (2019): the high half of a 64x64-bit product, with the few biased low halves rejected. */
uint64_t ins_rng_below(ins_rng *r, uint64_t n) {
    if (n <= 1) return 0;
    unsigned __int128 product = (unsigned __int128)ins_rng_u64(r) * n;
    if ((uint64_t)product < n) {
        uint64_t threshold = (0 - n) % n;
        while ((uint64_t)product < threshold) product = (unsigned __int128)ins_rng_u64(r) * n;
    }
    return (uint64_t)(product >> 64);
}

double ins_rng_uniform(ins_rng *r) {
    return (double)(ins_rng_u64(r) >> 11) * 0x1p-53;
}

/* Box-Muller; the second value is not kept, so that the cursor stays the whole state. */
double ins_rng_normal(ins_rng *r) {
    double radius = 1.0 - ins_rng_uniform(r); /* (0, 1] */
    double angle = ins_rng_uniform(r);
    return sqrt(-2.0 * log(radius)) * cos(6.283185307179586476925 * angle);
}

/* One block of four values. */
static void block_uniform(const uint32_t words[4], float out[4]) {
    for (int i = 0; i < 4; i++) out[i] = (float)(words[i] >> 8) * 0x1p-24f;
}

static void block_normal(const uint32_t words[4], float out[4]) {
    for (int i = 0; i < 4; i += 2) {                                          /* Box-Muller, both values */
        double radius = sqrt(-2.0 * log(((double)words[i] + 1.0) * 0x1p-32)); /* of (0, 1] */
        double angle = 6.283185307179586476925 * 0x1p-32 * (double)words[i + 1];
        out[i] = (float)(radius * cos(angle));
        out[i + 1] = (float)(radius * sin(angle));
    }
}

static void fill_blocks(ins_rng_key key, uint64_t hi, uint64_t first, int64_t n, float *out,
                        void (*block)(const uint32_t words[4], float out[4])) {
    uint32_t words[4];
    float values[4];
    for (int64_t done = 0; done < n;) {
        uint64_t at = first + (uint64_t)done;
        int64_t skip = (int64_t)(at % 4), take = 4 - skip;
        if (take > n - done) take = n - done;
        ins_philox(key, hi, at / 4, words);
        block(words, values);
        memcpy(out + done, values + skip, (size_t)take * sizeof *out);
        done += take;
    }
}

void ins_rng_fill_uniform(ins_rng_key key, uint64_t hi, uint64_t first, int64_t n, float *out) {
    fill_blocks(key, hi, first, n, out, block_uniform);
}

void ins_rng_fill_normal(ins_rng_key key, uint64_t hi, uint64_t first, int64_t n, float *out) {
    fill_blocks(key, hi, first, n, out, block_normal);
}

/* Finaliser of SplitMix64: every input bit changes every output bit. */
static uint64_t mix64(uint64_t x) {
    x ^= x >> 30;
    x *= UINT64_C(0xBF58476D1CE4E5B9);
    x ^= x >> 27;
    x *= UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* Feistel network over the smallest 2^bits >= n, halves of bits/2 and bits - bits/2. Each half-round is its own
 * inverse, so the whole is a bijection of [0, 2^bits); walking its cycle until the value is below n makes it one of [0,
 * n). */
uint64_t ins_permute(ins_rng_key key, uint64_t n, uint64_t i) {
    if (n <= 1) return 0;
    int bits = 64 - __builtin_clzll(n - 1);
    if (bits < 2) bits = 2;
    int low_bits = bits / 2, high_bits = bits - low_bits;
    uint64_t low_mask = (UINT64_C(1) << low_bits) - 1, high_mask = (UINT64_C(1) << high_bits) - 1;
    uint64_t secret = (uint64_t)key.k[0] | (uint64_t)key.k[1] << 32;
    uint64_t value = i;
    do {
        uint64_t low = value & low_mask, high = value >> low_bits;
        for (uint64_t round = 0; round < 8; round += 2) {
            high ^= mix64(mix64(secret + round * UINT64_C(0x9E3779B97F4A7C15)) ^ low) & high_mask;
            low ^= mix64(mix64(secret + (round + 1) * UINT64_C(0x9E3779B97F4A7C15)) ^ high) & low_mask;
        }
        value = high << low_bits | low;
    } while (value >= n);
    return value;
}
