/* Named parameter sets and their slabs. */
#include "tensor/params.h"

#include <string.h>

#include "base/hash.h"

#define SLAB_ALIGN 16 /* elements: 64 bytes of f32 */

static ins_status fail_memory(ins_error *err) {
    return INS_FAIL(err, INS_NOMEM, "out of memory for the parameter table");
}

ins_status ins_params_new(ins_params **out, ins_error *err) {
    ins_params *p = ins_calloc(1, sizeof *p);
    if (!p) return fail_memory(err);
    p->arena = ins_arena_new(0);
    if (!p->arena) {
        ins_free(p);
        return fail_memory(err);
    }
    *out = p;
    return INS_OK;
}

void ins_params_free(ins_params *p) {
    if (!p) return;
    ins_arena_free(p->arena);
    ins_free(p->rows);
    ins_free(p->index);
    ins_free(p);
}

/* Slot of a name: the one that holds it, or the free one where it belongs. */
static int64_t *index_slot(const ins_params *p, const char *name) {
    uint64_t mask = (uint64_t)p->n_index - 1;
    uint64_t at = ins_hash64(name, strlen(name), 0) & mask;
    while (p->index[at] != 0 && strcmp(p->rows[p->index[at] - 1].name, name) != 0) at = (at + 1) & mask;
    return &p->index[at];
}

ins_param *ins_params_find(const ins_params *p, const char *name) {
    if (p->n_index == 0) return NULL;
    int64_t row = *index_slot(p, name);
    return row ? &p->rows[row - 1] : NULL;
}

/* Room for one more row; the index stays at most half full. */
static bool params_grow(ins_params *p) {
    if (p->n == p->cap) {
        int64_t cap = p->cap ? p->cap * 2 : 64;
        ins_param *rows = ins_realloc(p->rows, (size_t)cap * sizeof *rows);
        if (!rows) return false;
        p->rows = rows;
        p->cap = cap;
    }
    if (p->n_index >= 2 * p->cap) return true;
    int64_t *index = ins_calloc((size_t)(2 * p->cap), sizeof *index);
    if (!index) return false;
    ins_free(p->index);
    p->index = index;
    p->n_index = 2 * p->cap;
    for (int64_t i = 0; i < p->n; i++) *index_slot(p, p->rows[i].name) = i + 1;
    return true;
}

ins_status ins_params_add(ins_params *p, const char *name, ins_type type, ins_param **out, ins_error *err) {
    size_t bytes;
    char shape[96];
    if (type.dtype != INS_DTYPE_F32 || !ins_type_check(&type, &bytes))
        return INS_FAIL(err, INS_BUG, "parameter '%s' has the type %s; f32 with a valid shape is needed", name,
                        ins_type_format(&type, shape));
    if (ins_params_find(p, name)) return INS_FAIL(err, INS_BUG, "two parameters are called '%s'", name);
    int64_t count = ins_type_count(&type), end;
    if (__builtin_add_overflow(p->slab_count, count, &end) || end > INT64_MAX / 8)
        return INS_FAIL(err, INS_NOMEM, "the model is too large: parameter '%s' passes the size that can be addressed",
                        name);
    char *copy = ins_arena_strdup(p->arena, name);
    if (!copy || !params_grow(p)) return fail_memory(err);
    ins_param *row = &p->rows[p->n];
    *row = (ins_param){.name = copy,
                       .type = type,
                       .offset = p->slab_count,
                       .count = count,
                       .decay = type.n_dims >= 2,
                       .lr_scale = 1.0};
    *index_slot(p, copy) = ++p->n;
    p->slab_count = (end + SLAB_ALIGN - 1) / SLAB_ALIGN * SLAB_ALIGN;
    p->n_elements += count;
    if (out) *out = row;
    return INS_OK;
}

static size_t slab_bytes(const ins_params *p) {
    return (size_t)p->slab_count * sizeof(float);
}

ins_status ins_slab_new(const ins_params *p, float **out, ins_error *err) {
    void *pages;
    INS_TRY(ins_pages_alloc(slab_bytes(p), true, &pages, err));
    *out = pages;
    return INS_OK;
}

void ins_slab_free(const ins_params *p, float *slab) {
    ins_pages_free(slab, slab_bytes(p));
}
