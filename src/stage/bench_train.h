/* Training speed on fixed configurations (GPT-2 shapes), against the machine's own bound probed in the same process.
 *
 *   A  12 layers x 768, vocabulary 50304, 4 x 64      B  the same, 4 x 256
 *   C   6 layers x 384, vocabulary  8192, 8 x 256     D  4 layers x 256, vocabulary 4096, 16 x 256
 *
 * One step = forward, mean cross-entropy, backward, AdamW on every parameter (betas .9 .999, no decay, no clipping), on
 * random weights and tokens. The bound P = (matmul + attention FLOP) / FMA peak + (28 bytes a parameter, 30 with bf16,
 * + every saved activation written and read once) / bandwidth of the AdamW pattern.
 */
#ifndef INS_STAGE_BENCH_TRAIN_H
#define INS_STAGE_BENCH_TRAIN_H

#include "base/pool.h"
#include "base/str.h"
#include "tensor/tensor.h"

typedef struct ins_bench_result {
    char config;
    ins_dtype dtype;
    int64_t steps;
    double ms_min, ms_median, ms_max;
    double tokens_per_s, gflops;
    double peak_gflops, read_gbs, update_gbs; /* probed: medians of before and after */
    double bound_ms, ratio;                   /* P, and median / P */
    double first_step_ms;
    int64_t peak_rss_bytes, arena_bytes;
    uint64_t steady_allocs; /* heap allocations in the timed steps */
} ins_bench_result;

/* config 'A'..'D'; dtype F32 or BF16. profile (may be NULL) gets the time per op. */
ins_status ins_bench_train(char config, ins_dtype dtype, int64_t steps, ins_pool *pool, ins_str *profile,
                           ins_bench_result *out, ins_error *err);

#endif
