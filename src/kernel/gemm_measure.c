/* Measuring candidates for a product, on its own operands. Other work on the machine only ever slows a run down, so
 * the best of a few runs counts, and the candidates take turns, so that a change of the clock meets all of them. */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "kernel/gemm_choice_impl.h"
#include "kernel/reduce.h"

#define COLD_BYTES ((size_t)32 << 20) /* more than the caches next to the cores hold */
enum { MAX_ROUNDS = 6, MIN_ROUNDS = 2 };
#define SHAPE_SECONDS 0.06 /* after so long, and MIN_ROUNDS, no further round */
#define SLOW          1.15 /* a candidate that much behind the best is dropped */
#define TIE           0.97 /* share of the default's time that a library must stay below */

int ins_gemm_candidates(const ins_gemm_args *args, const ins_gemm_impl *out[INS_GEMM_CANDIDATES]) {
    int n = 0;
    out[n++] = ins_gemm_default(args);
    if (!out[0]) return 0;
    for (const ins_impl_head *const *row = ins_gemm_libraries; *row && n < INS_GEMM_CANDIDATES; row++) {
        const ins_gemm_impl *impl = (const ins_gemm_impl *)*row;
        if (ins_gemm_fits(impl, args) && strcmp(impl->head.name, out[0]->head.name) != 0) out[n++] = impl;
    }
    return n;
}

void ins_gemm_bench_free(ins_gemm_bench *bench) {
    ins_pages_free(bench->cold, COLD_BYTES);
    ins_pages_free(bench->c, bench->c_bytes);
    *bench = (ins_gemm_bench){0};
}

/* Elements from the first of C to the last. */
static size_t c_extent(const ins_gemm_args *args, const ins_gemm_batch *batch) {
    int64_t last = (batch->batch - 1) * batch->stride_c + (args->m - 1) * args->ldc + args->n;
    return (size_t)last * (args->dtype_c == INS_DTYPE_BF16 ? 2 : 4);
}

static bool bench_reserve(ins_gemm_bench *bench, size_t c_bytes) {
    if (!bench->cold && ins_pages_alloc(COLD_BYTES, true, &bench->cold, NULL) != INS_OK) return false;
    if (c_bytes <= bench->c_bytes) return true;
    ins_pages_free(bench->c, bench->c_bytes);
    bench->c = NULL, bench->c_bytes = 0;
    if (ins_pages_alloc(c_bytes, true, &bench->c, NULL) != INS_OK) return false;
    bench->c_bytes = c_bytes;
    return true;
}

static double one_run(const ins_gemm_impl *impl, const ins_gemm_args *args, const ins_gemm_batch *batch, ins_pool *pool,
                      const ins_gemm_bench *bench) {
    volatile double sum = ins_reduce_maxabs(INS_DTYPE_F32, (int64_t)(COLD_BYTES / 4), bench->cold, pool);
    (void)sum;
    double started = ins_now();
    impl->run(args, batch, pool);
    return ins_now() - started;
}

const ins_gemm_impl *ins_gemm_measure(const ins_gemm_args *args, const ins_gemm_batch *batch,
                                      const ins_gemm_impl *const *candidates, int n, ins_pool *pool,
                                      ins_gemm_bench *bench, double *seconds) {
    double best[INS_GEMM_CANDIDATES] = {0}, least = 0, started = ins_now();
    bool dropped[INS_GEMM_CANDIDATES] = {false};
    ins_gemm_args work = *args;
    if (!bench_reserve(bench, args->accumulate ? c_extent(args, batch) : 0)) return candidates[0];
    if (args->accumulate) work.c = bench->c;
    int n_left = n;
    for (int round = 0; round <= MAX_ROUNDS && n_left > 1; round++) {
        if (round > MIN_ROUNDS && ins_now() - started > SHAPE_SECONDS) break;
        for (int i = 0; i < n; i++) {
            if (dropped[i]) continue;
            double took = one_run(candidates[i], &work, batch, pool, bench);
            if (round == 0) continue; /* makes the library's primitives, touches memory */
            if (best[i] == 0 || took < best[i]) best[i] = took;
            if (least == 0 || best[i] < least) least = best[i];
        }
        for (int i = 1; round > 0 && i < n; i++) { /* the default is the yardstick: it stays */
            bool slow = !dropped[i] && best[i] > SLOW * least;
            dropped[i] = dropped[i] || slow;
            n_left -= slow;
        }
    }
    int winner = 0;
    for (int i = 1; i < n; i++)
        if (best[i] < best[winner]) winner = i;
    if (seconds) memcpy(seconds, best, (size_t)n * sizeof *seconds);
    return winner && best[winner] < TIE * best[0] ? candidates[winner] : candidates[0];
}
