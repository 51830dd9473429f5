/* Where in the arena: offsets, so that storages that are needed at the same time do not overlap.
 *
 * Largest first; each goes into the smallest gap, among the storages placed so far that live at the same time, that
 * holds it (best fit), or behind the last of them. Scratch memory is placed like any value that lives for one step.
 */
#include "graph/planner.h"

#include <stdlib.h>

typedef struct place_state {
    ins_plan *plan;
    int32_t *placed; /* storages by rising offset */
    int64_t n_placed;
} place_state;

typedef struct sized {
    size_t bytes;
    int64_t first;
    int32_t index;
} sized;

static int largest_first(const void *left, const void *right) {
    const sized *x = left, *y = right;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool alive_together(const plan_storage *x, const plan_storage *y) {
    return x->first <= y->last && y->first <= x->last;
}

/* Insert into the list by offset, after those with the same offset. */
static void insert(place_state *s, int32_t index) {
    const plan_storage *all = s->plan->storages;
    int64_t low = 0, high = s->n_placed;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (all[s->placed[middle]].offset <= all[index].offset)
            low = middle + 1;
        else
            high = middle;
    }
    for (int64_t i = s->n_placed; i > low; i--) s->placed[i] = s->placed[i - 1];
    s->placed[low] = index;
    s->n_placed++;
}

static void place(place_state *s, int32_t index) {
    plan_storage *all = s->plan->storages, *here = &all[index];
    size_t need = ins_plan_padded(here->bytes), end = 0, best = SIZE_MAX, best_gap = SIZE_MAX;
    for (int64_t i = 0; i < s->n_placed; i++) {
        const plan_storage *other = &all[s->placed[i]];
        if (!alive_together(here, other)) continue;
        if (other->offset > end && other->offset - end >= need && other->offset - end < best_gap) {
            best = end;
            best_gap = other->offset - end;
        }
        size_t other_end = other->offset + ins_plan_padded(other->bytes);
        if (other_end > end) end = other_end;
    }
    here->offset = best != SIZE_MAX ? best : end;
    if (here->offset + need > s->plan->arena_bytes) s->plan->arena_bytes = here->offset + need;
    insert(s, index);
}

/* Everything side by side; also the check that all sizes together can be addressed. */
static ins_status lay_out(ins_plan *plan, plan_where where, size_t *total, ins_error *err) {
    *total = 0;
    for (int64_t i = 0; i < plan->n_storages; i++) {
        plan_storage *storage = &plan->storages[i];
        if (storage->where != where) continue;
        storage->offset = *total;
        if (storage->bytes > SIZE_MAX / 2 || !ins_add_size(*total, ins_plan_padded(storage->bytes), total)) {
            ins_status status = INS_FAIL(err, INS_NOMEM, "the graph needs more memory than this machine can address");
            ins_error_hint(err, "use a smaller batch, sequence or model");
            return status;
        }
    }
    return INS_OK;
}

static ins_status place_arena(ins_plan *plan, ins_error *err) {
    place_state s = {.plan = plan};
    sized *sizes = ins_plan_work(plan, plan->n_storages, sizeof *sizes, err);
    s.placed = ins_plan_work(plan, plan->n_storages, sizeof *s.placed, err);
    if (!sizes || !s.placed) return INS_NOMEM;
    int64_t n_todo = 0;
    for (int64_t i = 0; i < plan->n_storages; i++) {
        const plan_storage *storage = &plan->storages[i];
        if (storage->where == PLAN_ARENA)
            sizes[n_todo++] = (sized){.bytes = storage->bytes, .first = storage->first, .index = (int32_t)i};
    }
    qsort(sizes, (size_t)n_todo, sizeof *sizes, largest_first);
    plan->arena_bytes = 0;
    for (int64_t i = 0; i < n_todo; i++) place(&s, sizes[i].index);
    return INS_OK;
}

ins_status ins_plan_place(ins_plan *plan, ins_error *err) {
    size_t leaf_bytes;
    INS_TRY(lay_out(plan, PLAN_LEAF, &leaf_bytes, err));
    INS_TRY(lay_out(plan, PLAN_OUTPUT, &plan->output_bytes, err));
    INS_TRY(lay_out(plan, PLAN_ARENA, &plan->arena_bytes, err));
    if (!ins_add_size(leaf_bytes, plan->output_bytes, &plan->external_bytes))
        return INS_FAIL(err, INS_NOMEM, "the graph needs more memory than this machine can address");
    return plan->reuse ? place_arena(plan, err) : INS_OK;
}
