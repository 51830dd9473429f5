/* Rows: which tokens of a shard stand in which row, and filling a row of a batch with them.
 *
 * A piece is a run of tokens of one document, at most n_cols long. For best-fit and none, the table lists the pieces of
 * every row; a stream needs no table: row r is the tokens [r * n_cols, (r + 1) * n_cols). */
#include "data/batch.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "data/pack.h"

struct ins_rows {
    const ins_shard *shard;
    ins_packing packing;
    int64_t n_cols, n_rows;
    int64_t n_pieces;
    int64_t *row_start;   /* [n_rows + 1] first piece of each row */
    int64_t *piece_token; /* [n_pieces] first token, rows in order */
    int32_t *piece_len;
};

void ins_rows_free(ins_rows *rows) {
    if (!rows) return;
    ins_free(rows->row_start);
    ins_free(rows->piece_token);
    ins_free(rows->piece_len);
    ins_free(rows);
}

static int64_t count_pieces(const ins_shard *shard, int64_t n_cols) {
    int64_t n = 0;
    for (int64_t doc = 0; doc < shard->n_documents; doc++) {
        int64_t length = (int64_t)(shard->offsets[doc + 1] - shard->offsets[doc]);
        n += (length + n_cols - 1) / n_cols;
    }
    return n;
}

/* Every document's pieces, in document order. */
static void cut_pieces(const ins_shard *shard, int64_t n_cols, int64_t *tokens, int32_t *lengths) {
    int64_t piece = 0;
    for (int64_t doc = 0; doc < shard->n_documents; doc++) {
        int64_t at = (int64_t)shard->offsets[doc], end = (int64_t)shard->offsets[doc + 1];
        for (; at < end; at += n_cols, piece++) {
            tokens[piece] = at;
            lengths[piece] = (int32_t)(end - at < n_cols ? end - at : n_cols);
        }
    }
}

/* Reorder the pieces by their bins. Longer pieces were placed first; within a bin they stay in document order. */
static ins_status order_by_bin(ins_rows *rows, const int64_t *bin_of, ins_error *err) {
    size_t n = (size_t)rows->n_pieces;
    int64_t *tokens = ins_malloc((n + 1) * sizeof *tokens);
    int32_t *lengths = ins_malloc((n + 1) * sizeof *lengths);
    int64_t *fill = ins_calloc((size_t)rows->n_rows + 1, sizeof *fill);
    rows->row_start = ins_calloc((size_t)rows->n_rows + 1, sizeof *rows->row_start);
    if (!tokens || !lengths || !fill || !rows->row_start) {
        ins_free(tokens);
        ins_free(lengths);
        ins_free(fill);
        return INS_FAIL(err, INS_NOMEM, "out of memory for the packing table");
    }
    for (size_t i = 0; i < n; i++) rows->row_start[bin_of[i] + 1]++;
    for (int64_t r = 0; r < rows->n_rows; r++) rows->row_start[r + 1] += rows->row_start[r];
    memcpy(fill, rows->row_start, (size_t)rows->n_rows * sizeof *fill);
    for (size_t i = 0; i < n; i++) {
        int64_t at = fill[bin_of[i]]++;
        tokens[at] = rows->piece_token[i];
        lengths[at] = rows->piece_len[i];
    }
    ins_free(fill);
    ins_free(rows->piece_token);
    ins_free(rows->piece_len);
    rows->piece_token = tokens;
    rows->piece_len = lengths;
    return INS_OK;
}

static ins_status build_table(ins_rows *rows, ins_error *err) {
    rows->n_pieces = count_pieces(rows->shard, rows->n_cols);
    size_t n = (size_t)rows->n_pieces + 1;
    rows->piece_token = ins_malloc(n * sizeof *rows->piece_token);
    rows->piece_len = ins_malloc(n * sizeof *rows->piece_len);
    int64_t *bin_of = ins_malloc(n * sizeof *bin_of);
    ins_status status = INS_OK;
    if (!rows->piece_token || !rows->piece_len || !bin_of) {
        status = INS_FAIL(err, INS_NOMEM, "out of memory for packing %" PRId64 " pieces", rows->n_pieces);
    } else {
        cut_pieces(rows->shard, rows->n_cols, rows->piece_token, rows->piece_len);
    }
    if (status == INS_OK && rows->packing == INS_PACK_BESTFIT) {
        status = ins_pack_bestfit(rows->piece_len, rows->n_pieces, rows->n_cols, bin_of, &rows->n_rows, err);
    } else if (status == INS_OK) {
        rows->n_rows = rows->n_pieces;
        for (int64_t i = 0; i < rows->n_pieces; i++) bin_of[i] = i;
    }
    if (status == INS_OK) status = order_by_bin(rows, bin_of, err);
    ins_free(bin_of);
    return status;
}

ins_status ins_rows_new(const ins_shard *shard, ins_packing packing, int64_t n_cols, ins_rows **out, ins_error *err) {
    if (n_cols < 1 || n_cols > INT32_MAX / 2) {
        return INS_FAIL(err, INS_RECIPE, "rows of %" PRId64 " tokens are out of range", n_cols);
    }
    ins_rows *rows = ins_calloc(1, sizeof *rows);
    if (!rows) return INS_FAIL(err, INS_NOMEM, "out of memory for the packing table");
    rows->shard = shard;
    rows->packing = packing;
    rows->n_cols = n_cols;
    ins_status status = INS_OK;
    if (packing == INS_PACK_STREAM) {
        rows->n_rows = (shard->n_tokens + n_cols - 1) / n_cols;
    } else {
        status = build_table(rows, err);
    }
    if (status != INS_OK) {
        ins_rows_free(rows);
        return status;
    }
    *out = rows;
    return INS_OK;
}

int64_t ins_rows_count(const ins_rows *rows) {
    return rows->n_rows;
}

double ins_rows_fill(const ins_rows *rows) {
    if (rows->n_rows == 0) return 0;
    return (double)rows->shard->n_tokens / ((double)rows->n_rows * (double)rows->n_cols);
}

/* The document that holds a token. */
static int64_t document_of(const ins_shard *shard, int64_t token) {
    int64_t low = 0, high = shard->n_documents; /* offsets[low] <= token < offsets[high] */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (shard->offsets[middle] <= (uint64_t)token) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* floor(bytes * part / whole), exact for any sizes. */
static int64_t share_of(uint64_t bytes, int64_t part, int64_t whole) {
    return (int64_t)((unsigned __int128)bytes * (uint64_t)part / (uint64_t)whole);
}

/* Copy tokens [token, token + length) of document `doc` into columns from `col` of row `at`. */
static void put_piece(const ins_shard *shard, int64_t doc, int64_t token, int64_t length, ins_batch *batch, int64_t at,
                      int64_t col, int32_t segment) {
    int64_t begin = (int64_t)shard->offsets[doc], end = (int64_t)shard->offsets[doc + 1];
    int64_t base = at * batch->n_cols + col;
    for (int64_t t = 0; t < length; t++) {
        int64_t next = token + t + 1, to = base + t;
        batch->ids[to] = ins_shard_id(shard, token + t);
        batch->positions[to] = (int32_t)t;
        batch->segments[to] = segment;
        bool has_target = next < end, counts = has_target && ins_shard_in_loss(shard, next);
        batch->targets[to] = has_target ? ins_shard_id(shard, next) : -1;
        batch->weights[to] = counts ? 1.0f : 0.0f;
        batch->n_targets += counts;
    }
    batch->n_tokens += length;
    /* Targets before and after this piece among the document's end - begin - 1. */
    int64_t n_targets = end - begin - 1;
    int64_t first = token - begin, last = token + length < end ? first + length : n_targets;
    if (n_targets > 0) {
        batch->text_bytes +=
            share_of(shard->doc_bytes[doc], last, n_targets) - share_of(shard->doc_bytes[doc], first, n_targets);
    }
}

/* Row r of a stream: all that lies in its range of tokens, document by document. */
static int64_t read_stream(const ins_rows *rows, int64_t r, ins_batch *batch, int64_t at) {
    const ins_shard *shard = rows->shard;
    int64_t token = r * rows->n_cols, end = token + rows->n_cols, col = 0;
    if (end > shard->n_tokens) end = shard->n_tokens;
    int64_t doc = document_of(shard, token);
    for (int32_t segment = 1; token < end; segment++, doc++) {
        int64_t stop = (int64_t)shard->offsets[doc + 1];
        if (stop > end) stop = end;
        put_piece(shard, doc, token, stop - token, batch, at, col, segment);
        col += stop - token;
        token = stop;
    }
    return col;
}

static int64_t read_pieces(const ins_rows *rows, int64_t r, ins_batch *batch, int64_t at) {
    int64_t col = 0;
    int32_t segment = 1;
    for (int64_t piece = rows->row_start[r]; piece < rows->row_start[r + 1]; piece++, segment++) {
        int64_t token = rows->piece_token[piece];
        put_piece(rows->shard, document_of(rows->shard, token), token, rows->piece_len[piece], batch, at, col, segment);
        col += rows->piece_len[piece];
    }
    return col;
}

void ins_rows_read(const ins_rows *rows, int64_t r, ins_batch *batch, int64_t at) {
    int64_t used = rows->packing == INS_PACK_STREAM ? read_stream(rows, r, batch, at) : read_pieces(rows, r, batch, at);
    for (int64_t i = at * batch->n_cols + used; i < (at + 1) * batch->n_cols; i++) { /* padding */
        batch->ids[i] = 0;
        batch->targets[i] = -1;
        batch->weights[i] = 0;
        batch->positions[i] = 0;
        batch->segments[i] = 0;
    }
}
