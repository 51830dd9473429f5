/* Batches: arrays of one size for the whole run, and the attention spans that follow from the segments. */
#include "data/batch.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

void ins_batch_free(ins_batch *batch) {
    if (!batch) return;
    ins_free(batch->ids);
    ins_free(batch->targets);
    ins_free(batch->weights);
    ins_free(batch->positions);
    ins_free(batch->segments);
    ins_free(batch->lo);
    ins_free(batch->hi);
    ins_free(batch->sources);
    ins_free(batch);
}

ins_status ins_batch_new(int64_t n_rows, int64_t n_cols, ins_batch **out, ins_error *err) {
    size_t n = 0;
    if (n_rows < 1 || n_cols < 1 || n_cols > INT32_MAX || !ins_mul_size((size_t)n_rows, (size_t)n_cols, &n) ||
        n > SIZE_MAX / 8) {
        return INS_FAIL(err, INS_USAGE, "a batch of %" PRId64 " rows of %" PRId64 " tokens is out of range", n_rows,
                        n_cols);
    }
    ins_batch *b = ins_calloc(1, sizeof *b);
    if (!b) return INS_FAIL(err, INS_NOMEM, "out of memory for a batch");
    b->n_rows = n_rows;
    b->n_cols = n_cols;
    b->ids = ins_calloc(n, sizeof *b->ids);
    b->targets = ins_calloc(n, sizeof *b->targets);
    b->weights = ins_calloc(n, sizeof *b->weights);
    b->positions = ins_calloc(n, sizeof *b->positions);
    b->segments = ins_calloc(n, sizeof *b->segments);
    b->lo = ins_calloc(n, sizeof *b->lo);
    b->hi = ins_calloc(n, sizeof *b->hi);
    b->sources = ins_calloc((size_t)n_rows, sizeof *b->sources);
    if (!b->ids || !b->targets || !b->weights || !b->positions || !b->segments || !b->lo || !b->hi || !b->sources) {
        ins_batch_free(b);
        return INS_FAIL(err, INS_NOMEM, "out of memory for a batch of %" PRId64 " x %" PRId64, n_rows, n_cols);
    }
    ins_batch_clear(b);
    *out = b;
    return INS_OK;
}

void ins_batch_clear(ins_batch *batch) {
    size_t n = (size_t)batch->n_rows * (size_t)batch->n_cols;
    memset(batch->ids, 0, n * sizeof *batch->ids);
    memset(batch->targets, 0xff, n * sizeof *batch->targets); /* -1 */
    memset(batch->weights, 0, n * sizeof *batch->weights);
    memset(batch->positions, 0, n * sizeof *batch->positions);
    memset(batch->segments, 0, n * sizeof *batch->segments);
    memset(batch->lo, 0, n * sizeof *batch->lo);
    memset(batch->hi, 0, n * sizeof *batch->hi);
    memset(batch->sources, 0, (size_t)batch->n_rows * sizeof *batch->sources);
    batch->n_targets = batch->n_tokens = batch->text_bytes = 0;
}

/* Columns [begin, end) are one span: one document, or all tokens of the row. */
static void span_fill(int32_t *lo, int32_t *hi, int64_t begin, int64_t end, ins_span_mode mode) {
    for (int64_t t = begin; t < end; t++) {
        lo[t] = (int32_t)begin;
        hi[t] = (int32_t)(mode == INS_SPAN_CAUSAL ? t + 1 : end);
    }
}

void ins_batch_spans(ins_batch *batch, ins_span_mode mode, bool intra_document) {
    for (int64_t row = 0; row < batch->n_rows; row++) {
        const int32_t *segments = batch->segments + row * batch->n_cols;
        int32_t *lo = batch->lo + row * batch->n_cols, *hi = batch->hi + row * batch->n_cols;
        int64_t n = batch->n_cols; /* padding is at the end of a row */
        while (n > 0 && segments[n - 1] == 0) n--;
        for (int64_t begin = 0, end = 0; begin < n; begin = end) {
            end = begin + 1;
            while (end < n && (!intra_document || segments[end] == segments[begin])) end++;
            span_fill(lo, hi, begin, end, mode);
        }
        memset(lo + n, 0, (size_t)(batch->n_cols - n) * sizeof *lo);
        memset(hi + n, 0, (size_t)(batch->n_cols - n) * sizeof *hi);
    }
}
