/* Mixtures: which source and which row a sample is.
 *
 * Weights become whole numbers q_i with sum M (the cycle). Sample n of a cycle goes to a source by Tijdeman's rule
 * ("The chairman assignment problem", 1980): with k sources, among those with n*q_i - M*x_i >= M/(2k-2) take the one
 * whose deadline (M*(1 - 1/(2k-2)) - (n*q_i - M*x_i)) / q_i is first, x_i being its samples so far. Then
 * |x_i(n) - n*q_i/M| <= 1 - 1/(2k-2) for all n, and a whole cycle has exactly q_i samples of source i. */
#include "data/batch.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#define MIX_SOURCES_MAX 4096
#define MIX_CYCLE_MAX   65536

typedef struct mix_source {
    const ins_rows *rows;
    int64_t n_rows;
    int64_t quota;   /* samples a cycle */
    uint64_t secret; /* from (seed, name): the order of another source's rows does not depend on this one */
} mix_source;

struct ins_mixture {
    int64_t n, cycle;
    bool shuffle;
    mix_source *sources;
    uint16_t *order;  /* [cycle] source of each sample of a cycle */
    uint32_t *before; /* [cycle] samples of that source earlier in the cycle */
};

void ins_mixture_free(ins_mixture *mix) {
    if (!mix) return;
    ins_free(mix->sources);
    ins_free(mix->order);
    ins_free(mix->before);
    ins_free(mix);
}

/* Smallest cycle in which all shares are whole numbers (to 1e-9), or 0. */
static int64_t exact_cycle(const double *shares, int64_t n) {
    for (int64_t cycle = n; cycle <= MIX_CYCLE_MAX; cycle++) {
        bool whole = true;
        for (int64_t i = 0; i < n && whole; i++) {
            double exact = shares[i] * (double)cycle;
            whole = exact > 0.5 && fabs(exact - nearbyint(exact)) < 1e-9 * (double)cycle;
        }
        if (whole) return cycle;
    }
    return 0;
}

/* Largest remainder: floors first, then one more for the largest remainders (the first of equals), at least 1 each. */
static void round_quotas(mix_source *sources, const double *shares, int64_t n, int64_t cycle) {
    int64_t used = 0;
    for (int64_t i = 0; i < n; i++) {
        sources[i].quota = (int64_t)floor(shares[i] * (double)cycle);
        if (sources[i].quota < 1) sources[i].quota = 1;
        used += sources[i].quota;
    }
    for (; used != cycle; used += used < cycle ? 1 : -1) {
        int64_t best = -1;
        double best_gap = 0;
        for (int64_t i = 0; i < n; i++) {
            double gap = shares[i] * (double)cycle - (double)sources[i].quota;
            if (used > cycle) gap = sources[i].quota > 1 ? -gap : -HUGE_VAL;
            if (best < 0 || gap > best_gap) {
                best = i;
                best_gap = gap;
            }
        }
        sources[best].quota += used < cycle ? 1 : -1;
    }
}

/* Tijdeman's rule, in whole numbers: credit_i = n*q_i - M*x_i. All products stay below 2*4096*65536*65536 < 2^63. */
static void assign_cycle(ins_mixture *mix, int64_t *counts) {
    int64_t spread = mix->n > 1 ? 2 * mix->n - 2 : 1;
    for (int64_t at = 0; at < mix->cycle; at++) {
        int64_t best = -1, best_due = 0;
        for (int64_t i = 0; i < mix->n; i++) {
            int64_t quota = mix->sources[i].quota;
            int64_t credit = (at + 1) * quota - mix->cycle * counts[i];
            if (mix->n > 1 && spread * credit < mix->cycle) continue;
            int64_t due = (spread - 1) * mix->cycle - spread * credit; /* over quota */
            if (best < 0 || (__int128)due * mix->sources[best].quota < (__int128)best_due * quota) {
                best = i;
                best_due = due;
            }
        }
        if (best < 0) best = 0; /* cannot happen: the credits of a step add up to M */
        mix->order[at] = (uint16_t)best;
        mix->before[at] = (uint32_t)counts[best]++;
    }
}

static ins_status check_sources(const ins_mixture_source *sources, int64_t n, ins_error *err) {
    if (n < 1) return INS_FAIL(err, INS_RECIPE, "a mixture needs at least one source");
    if (n > MIX_SOURCES_MAX) return INS_FAIL(err, INS_RECIPE, "a mixture takes at most %d sources", MIX_SOURCES_MAX);
    for (int64_t i = 0; i < n; i++) {
        if (!(sources[i].weight > 0) || !isfinite(sources[i].weight)) {
            INS_FAIL(err, INS_RECIPE, "source '%s' of a mixture has weight %g", sources[i].name, sources[i].weight);
            ins_error_hint(err, "weights are numbers above 0; leave out a source that should not be used");
            return INS_RECIPE;
        }
        if (ins_rows_count(sources[i].rows) < 1) {
            INS_FAIL(err, INS_DATA, "source '%s' of a mixture has no rows", sources[i].name);
            ins_error_hint(err, "its corpus is empty: look at the steps' drop counts");
            return INS_DATA;
        }
        for (int64_t j = 0; j < i; j++) {
            if (strcmp(sources[i].name, sources[j].name) == 0) {
                return INS_FAIL(err, INS_RECIPE, "two sources of a mixture are called '%s'", sources[i].name);
            }
        }
    }
    return INS_OK;
}

static ins_status mixture_fill(ins_mixture *mix, const ins_mixture_source *sources, uint64_t seed, double *shares,
                               int64_t *counts, ins_error *err) {
    double total = 0;
    for (int64_t i = 0; i < mix->n; i++) total += sources[i].weight;
    for (int64_t i = 0; i < mix->n; i++) {
        shares[i] = sources[i].weight / total;
        mix->sources[i].rows = sources[i].rows;
        mix->sources[i].n_rows = ins_rows_count(sources[i].rows);
        mix->sources[i].secret = ins_hash64(sources[i].name, strlen(sources[i].name), seed);
    }
    mix->cycle = exact_cycle(shares, mix->n);
    if (!mix->cycle) mix->cycle = MIX_CYCLE_MAX;
    round_quotas(mix->sources, shares, mix->n, mix->cycle);
    mix->order = ins_calloc((size_t)mix->cycle, sizeof *mix->order);
    mix->before = ins_calloc((size_t)mix->cycle, sizeof *mix->before);
    if (!mix->order || !mix->before) return INS_FAIL(err, INS_NOMEM, "out of memory for a mixture");
    assign_cycle(mix, counts);
    return INS_OK;
}

ins_status ins_mixture_new(const ins_mixture_source *sources, int64_t n, uint64_t seed, bool shuffle, ins_mixture **out,
                           ins_error *err) {
    INS_TRY(check_sources(sources, n, err));
    ins_mixture *mix = ins_calloc(1, sizeof *mix);
    double *shares = ins_calloc((size_t)n, sizeof *shares);
    int64_t *counts = ins_calloc((size_t)n, sizeof *counts);
    ins_status status = INS_OK;
    if (mix) {
        mix->n = n;
        mix->shuffle = shuffle;
        mix->sources = ins_calloc((size_t)n, sizeof *mix->sources);
    }
    if (!mix || !shares || !counts || !mix->sources) status = INS_FAIL(err, INS_NOMEM, "out of memory for a mixture");
    if (status == INS_OK) status = mixture_fill(mix, sources, seed, shares, counts, err);
    ins_free(shares);
    ins_free(counts);
    if (status != INS_OK) {
        ins_mixture_free(mix);
        return status;
    }
    *out = mix;
    return INS_OK;
}

double ins_mixture_share(const ins_mixture *mix, int64_t source) {
    return (double)mix->sources[source].quota / (double)mix->cycle;
}

int64_t ins_mixture_epoch_rows(const ins_mixture *mix) {
    int64_t longest = 0;
    for (int64_t i = 0; i < mix->n; i++) {
        /* Position of the last first draw: whole cycles, then a place inside one. */
        int64_t last = mix->sources[i].n_rows - 1;
        int64_t cycles = last / mix->sources[i].quota, rest = last % mix->sources[i].quota, at = 0;
        while (mix->order[at] != i || mix->before[at] != rest) at++;
        int64_t rows = cycles * mix->cycle + at + 1;
        if (rows > longest) longest = rows;
    }
    return longest;
}

void ins_mixture_at(const ins_mixture *mix, uint64_t position, int64_t *source, int64_t *row) {
    uint64_t cycle = position / (uint64_t)mix->cycle, at = position % (uint64_t)mix->cycle;
    const mix_source *s = mix->sources + mix->order[at];
    uint64_t draw = cycle * (uint64_t)s->quota + mix->before[at]; /* this is the source's draw-th sample */
    uint64_t epoch = draw / (uint64_t)s->n_rows, index = draw % (uint64_t)s->n_rows;
    *source = mix->order[at];
    *row = (int64_t)index;
    if (mix->shuffle) {
        *row = (int64_t)ins_permute(ins_rng_derive(s->secret, "mixture.epoch", epoch), (uint64_t)s->n_rows, index);
    }
}

void ins_mixture_counts(const ins_mixture *mix, uint64_t n, int64_t *counts) {
    int64_t cycles = (int64_t)(n / (uint64_t)mix->cycle), rest = (int64_t)(n % (uint64_t)mix->cycle);
    for (int64_t i = 0; i < mix->n; i++) counts[i] = cycles * mix->sources[i].quota;
    for (int64_t at = 0; at < rest; at++) counts[mix->order[at]]++;
}

void ins_mixture_batch(const ins_mixture *mix, uint64_t position, ins_batch *batch) {
    ins_batch_clear(batch);
    for (int64_t at = 0; at < batch->n_rows; at++) {
        int64_t source, row;
        ins_mixture_at(mix, position + (uint64_t)at, &source, &row);
        ins_rows_read(mix->sources[source].rows, row, batch, at);
        batch->sources[at] = (int32_t)source;
    }
}
