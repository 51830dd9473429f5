/* Inside of the optim room: ranges of a slab whose rows share their settings, so that an update is a few long passes.
 */
#ifndef INS_OPTIM_OPTIM_ROWS_H
#define INS_OPTIM_OPTIM_ROWS_H

#include "optim/optim.h"

typedef struct ins_row_range {
    int64_t offset, count; /* elements of the slab; padding between the rows included */
    bool decay;
    double lr_scale;
} ins_row_range;

/* The next range from row *at on; false at the end. Padding is zero in every slab and stays zero under every update of
 * this room, so it may lie inside a range. */
bool ins_row_range_next(const ins_params *params, int64_t *at, ins_row_range *out);
/* The same, cut to the elements that the update is asked for. */
bool ins_update_range_next(const ins_update *u, int64_t *at, ins_row_range *out);

/* Where the bf16 copy of element `offset` goes; NULL when there is none. */
static inline uint16_t *ins_update_bf16(const ins_update *u, int64_t offset) {
    return u->weights_bf16 ? (uint16_t *)u->weights_bf16 + offset : NULL;
}

#endif
