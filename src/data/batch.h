/* Batches and samplers. A sampler maps a position (sample number, from 0) to a row of the batch as a pure function of
 * (seed, position): the data cursor is one integer, nothing is shuffled in memory, any batch size sees the same order.
 */
#ifndef INS_DATA_BATCH_H
#define INS_DATA_BATCH_H

#include "data/shard.h"
#include "base/rng.h"

/* Row-major [n_rows, n_cols]. Owned arrays, allocated once. */
typedef struct ins_batch {
    int64_t n_rows, n_cols;
    int32_t *ids;       /* 0 in padding */
    int32_t *targets;   /* next id within the same document; -1 = no target (padding, document's end, cut) */
    float *weights;     /* 1 where the target is in the loss, else 0 */
    int32_t *positions; /* position inside the document: reset at each document */
    int32_t *segments;  /* number of the document within the row, from 1; 0 = padding */
    int32_t *lo, *hi;   /* attention span of each query: see ins_batch_spans */
    int32_t *sources;   /* [n_rows] mixture component the row came from */
    int64_t n_targets;  /* targets with weight > 0 */
    int64_t n_tokens;   /* ids that are not padding */
    int64_t text_bytes; /* bytes of text the targets stand for (bits per byte); exact for whole documents */
} ins_batch;

ins_status ins_batch_new(int64_t n_rows, int64_t n_cols, ins_batch **out, ins_error *err);
void ins_batch_free(ins_batch *batch);
/* All rows padding, totals 0. */
void ins_batch_clear(ins_batch *batch);
typedef enum ins_span_mode { INS_SPAN_CAUSAL, INS_SPAN_FULL } ins_span_mode;
/* Fill lo, hi from segments: within the document (intra_document) or over all documents of the row. Query t of a row
 * may see the columns lo <= j < hi of that row; padding gets the empty span 0, 0. */
void ins_batch_spans(ins_batch *batch, ins_span_mode mode, bool intra_document);

/* How documents become rows. Whatever the packing, every token of the shard lies in exactly one row, and every token
 * but the first of its document is the target of exactly one column: the one that holds the token before it. (Where a
 * document is cut, the last column of the first piece has the first token of the next piece as its target.) Pieces of a
 * cut document are segments of their own, with positions from 0. */
typedef enum ins_packing {
    INS_PACK_BESTFIT, /* whole documents, best fit decreasing; longer ones are cut into row-sized pieces */
    INS_PACK_STREAM,  /* concatenated and cut every n_cols: no padding, documents cut at the edges */
    INS_PACK_NONE,    /* one document (or row-sized piece) a row */
} ins_packing;

/* Rows of one shard under a packing: the packing table is computed once (deterministic) and the order permuted each
 * epoch by a keyed bijection. */
typedef struct ins_rows ins_rows;
ins_status ins_rows_new(const ins_shard *shard, ins_packing packing, int64_t n_cols, ins_rows **out, ins_error *err);
void ins_rows_free(ins_rows *rows);
int64_t ins_rows_count(const ins_rows *rows);
double ins_rows_fill(const ins_rows *rows); /* share of positions that are tokens */
/* Write row r (0..count-1) into row `at` of the batch, all columns, and add to the batch's totals (clear it first). The
 * last token of a document predicts nothing. text_bytes: a document's bytes are shared out over its targets, so sums
 * over all its pieces are exact. The batch must have the n_cols of the rows. */
void ins_rows_read(const ins_rows *rows, int64_t r, ins_batch *batch, int64_t at);

/* Mixture: several row sets with weights. Sample p comes from the source that keeps exact proportions: after n samples
 * source i was used within 1 of n*w_i (lowest-discrepancy assignment, pure function of p over a fixed cycle). w_i are
 * the weights as ratios of whole numbers: exact where the given ones are (0.8 : 0.2, 1 : 2 : 4), else rounded to
 * 1/65536. */
typedef struct ins_mixture ins_mixture;
typedef struct ins_mixture_source {
    const char *name;
    const ins_rows *rows; /* borrowed */
    double weight;        /* > 0; normalised over the sources */
} ins_mixture_source;
ins_status ins_mixture_new(const ins_mixture_source *sources, int64_t n, uint64_t seed, bool shuffle, ins_mixture **out,
                           ins_error *err);
void ins_mixture_free(ins_mixture *mix);
int64_t ins_mixture_epoch_rows(const ins_mixture *mix); /* samples until every source was seen at least once */
/* Share of the samples that source i gets: the w_i above. */
double ins_mixture_share(const ins_mixture *mix, int64_t source);
/* Source and row of sample `position`. Rows of a source repeat only when all were drawn (an epoch); each epoch has its
 * own order, keyed by (seed, source's name, epoch). */
void ins_mixture_at(const ins_mixture *mix, uint64_t position, int64_t *source, int64_t *row);
/* Samples drawn from each source among positions [0, n): exact counts[n_sources]. */
void ins_mixture_counts(const ins_mixture *mix, uint64_t n, int64_t *counts);
/* Fill a whole batch (all but lo, hi: ins_batch_spans) from samples position .. position + n_rows - 1. */
void ins_mixture_batch(const ins_mixture *mix, uint64_t position, ins_batch *batch);

#endif
