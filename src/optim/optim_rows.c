/* Ranges of rows with equal settings. */
#include "optim/optim_rows.h"

bool ins_row_range_next(const ins_params *params, int64_t *at, ins_row_range *out) {
    int64_t row = *at;
    while (row < params->n && params->rows[row].frozen) row++;
    if (row >= params->n) {
        *at = row;
        return false;
    }
    const ins_param *first = &params->rows[row], *last = first;
    for (row++; row < params->n; row++) {
        const ins_param *next = &params->rows[row];
        if (next->frozen || next->decay != first->decay || next->lr_scale != first->lr_scale) break;
        last = next;
    }
    *at = row;
    *out = (ins_row_range){.offset = first->offset,
                           .count = last->offset + last->count - first->offset,
                           .decay = first->decay,
                           .lr_scale = first->lr_scale};
    return true;
}

bool ins_update_range_next(const ins_update *u, int64_t *at, ins_row_range *out) {
    bool all = u->begin == 0 && u->end == 0;
    while (ins_row_range_next(u->params, at, out)) {
        int64_t end = out->offset + out->count;
        if (all) return true;
        if (out->offset < u->begin) out->offset = u->begin;
        if (end > u->end) end = u->end;
        out->count = end - out->offset;
        if (out->count > 0) return true;
    }
    return false;
}
