/* Named parameter set: one row per tensor, all f32 data in one slab in row order (each 64-byte aligned). The same rows
 * describe gradients and optimizer slots: slabs of equal layout.
 */
#ifndef INS_TENSOR_PARAMS_H
#define INS_TENSOR_PARAMS_H

#include "base/mem.h"
#include "tensor/tensor.h"

typedef struct ins_param {
    const char *name; /* Hugging Face name, e.g. "model.layers.0.self_attn.q_proj.weight" */
    ins_type type;    /* f32 */
    int64_t offset;   /* in elements from the slab's start */
    int64_t count;    /* elements */
    bool decay;       /* weight decay applies (matrices) */
    bool frozen;      /* no gradient, no update */
    double lr_scale;  /* times the schedule's learning rate */
    const char *init; /* how it was initialised, for docs: "normal(0.02)" */
} ins_param;

typedef struct ins_params {
    ins_arena *arena; /* names */
    ins_param *rows;
    int64_t n, cap;
    int64_t slab_count; /* elements of a slab, padding included */
    int64_t n_elements; /* elements without padding: "how many parameters" */
    int64_t *index;     /* hash table of row numbers + 1 by name, n_index slots (a power of two) */
    int64_t n_index;
} ins_params;

ins_status ins_params_new(ins_params **out, ins_error *err);
void ins_params_free(ins_params *p);
/* Append a row; computes its offset. *out (may be NULL) is valid until the next add. Every row starts with decay = (two
 * or more dimensions), frozen = false, lr_scale = 1. INS_BUG on a duplicate name or a type that is not f32. */
ins_status ins_params_add(ins_params *p, const char *name, ins_type type, ins_param **out, ins_error *err);
ins_param *ins_params_find(const ins_params *p, const char *name); /* NULL if none */

/* A slab: slab_count f32 elements, zeroed, page-aligned. */
ins_status ins_slab_new(const ins_params *p, float **out, ins_error *err);
void ins_slab_free(const ins_params *p, float *slab);

#endif
