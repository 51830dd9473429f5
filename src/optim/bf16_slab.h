/* The weights a second time, in bf16: what matrix products of a bf16 graph read. The optimizer writes it along with the
 * weights (ins_update.weights_bf16); whoever changes the weights otherwise fills it anew.
 */
#ifndef INS_OPTIM_BF16_SLAB_H
#define INS_OPTIM_BF16_SLAB_H

#include "base/pool.h"
#include "tensor/params.h"

/* slab_count elements with the layout of the parameters, zeroed. */
ins_status ins_bf16_slab_new(const ins_params *params, uint16_t **out, ins_error *err);
void ins_bf16_slab_free(const ins_params *params, uint16_t *slab);
/* All rows, rounded to nearest even as the graph's cast does. */
void ins_bf16_slab_fill(const ins_params *params, const float *weights, uint16_t *slab, ins_pool *pool);
size_t ins_bf16_slab_bytes(const ins_params *params);

#endif
