/* The weights a second time, in bf16. */
#include "optim/bf16_slab.h"

#include "kernel/elementwise.h"

size_t ins_bf16_slab_bytes(const ins_params *params) {
    return (size_t)params->slab_count * sizeof(uint16_t);
}

ins_status ins_bf16_slab_new(const ins_params *params, uint16_t **out, ins_error *err) {
    void *pages;
    INS_TRY(ins_pages_alloc(ins_bf16_slab_bytes(params), true, &pages, err));
    *out = pages;
    return INS_OK;
}

void ins_bf16_slab_free(const ins_params *params, uint16_t *slab) {
    if (slab) ins_pages_free(slab, ins_bf16_slab_bytes(params));
}

void ins_bf16_slab_fill(const ins_params *params, const float *weights, uint16_t *slab, ins_pool *pool) {
    /* f32 to bf16 is a cast that exists on every machine */
    (void)ins_cast_array(INS_DTYPE_F32, INS_DTYPE_BF16, params->slab_count, weights, slab, pool, NULL);
}
