/* Interpolated Kneser-Ney n-gram model over token ids (Chen & Goodman 1999, one discount per order):
 *
 *   p(w | h) = max(c(h w) - D, 0) / c(h .) + D N(h) / c(h .) p(w | h'),   h' = h without its first token
 *
 * with continuation counts (number of distinct left neighbours) below the highest order, N(h) distinct continuations of
 * h, D = n1 / (n1 + 2 n2), and 1 / V under the unigrams. Counts live in open-addressing tables keyed by the hash of the
 * n-gram: 64-bit keys, so a collision has a chance of about n^2 / 2^65.
 */
#ifndef INS_PROBE_NGRAM_H
#define INS_PROBE_NGRAM_H

#include "base/mem.h"

enum { INS_NGRAM_MAX_ORDER = 8 };
typedef struct ins_ngram ins_ngram;

/* Contexts never cross a boundary: call ins_ngram_add once a document. */
ins_status ins_ngram_new(int order, int64_t vocab, ins_ngram **out, ins_error *err);
ins_status ins_ngram_add(ins_ngram *lm, const int32_t *ids, int64_t n, ins_error *err);
/* After the last add: continuation counts and discounts. */
ins_status ins_ngram_finish(ins_ngram *lm, ins_error *err);
/* p(ids[at] | ids[..at-1]), natural logarithm; at >= 1. Never -inf. */
double ins_ngram_logprob(const ins_ngram *lm, const int32_t *ids, int64_t at);
void ins_ngram_free(ins_ngram *lm);

#endif
