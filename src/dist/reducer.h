/* Sums of gradients over ranks while the backward pass still runs, and who owns which part of a slab.
 *
 * A slab is cut into buckets of a few MB at the borders of rows, and each bucket into one part a rank. The moment that
 * all rows of a bucket are final, its parts go to their owners. An owner adds what all ranks sent, in the order of the
 * ranks, so that sums don't depend on what arrives when. It then updates its parts (optimizer state exists for those
 * only), and everybody gets the new weights from their owners.
 *
 *   begin -> row, row, ... (tick in between) -> finish -> update own parts -> gather
 */
#ifndef INS_DIST_REDUCER_H
#define INS_DIST_REDUCER_H

#include "base/pool.h"
#include "dist/comm.h"
#include "tensor/params.h"

typedef struct ins_reducer ins_reducer;

/* For gradients in `grads`, a slab. All ranks have the same rows. The cut depends on the rows and on the number of
 * ranks alone. */
ins_status ins_reducer_new(ins_comm *comm, const ins_params *params, float *grads, ins_pool *pool, ins_reducer **out,
                           ins_error *err);
void ins_reducer_free(ins_reducer *r);

/* What this rank owns: parts 0 .. n-1, ascending, elements [begin, end) of a slab; may be empty. */
int64_t ins_reducer_n_parts(const ins_reducer *r);
void ins_reducer_part(const ins_reducer *r, int64_t part, int64_t *begin, int64_t *end);

/* A step's exchange. `row` says that the gradient of a row of the parameters is final and will not be written again;
 * `tick` moves what is under way. Neither waits. Failures are kept and reported by finish. */
void ins_reducer_begin(ins_reducer *r);
void ins_reducer_row(ins_reducer *r, int64_t row);
void ins_reducer_tick(ins_reducer *r);
/* Sends what was not final yet (a rank whose run failed goes through here too, or the others wait for ever), waits for
 * the others; then the own parts of `grads` hold the sums. */
ins_status ins_reducer_finish(ins_reducer *r, ins_error *err);

/* Own parts of a slab to all ranks; to rank `root` alone. Together. */
ins_status ins_reducer_gather(ins_reducer *r, float *slab, ins_error *err);
ins_status ins_reducer_collect(ins_reducer *r, float *slab, int root, ins_error *err);

size_t ins_reducer_bytes(const ins_reducer *r); /* of buffers */

#endif
