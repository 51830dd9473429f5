/* What a training step takes, before anything is allocated for it. */
#include "optim/bf16_slab.h"
#include "stage/trainer_internal.h"

enum { BATCH_WORDS = 7, RESULT_WORDS = 2 }; /* 32 bits each, a position: of ins_batch; nll and correct */

size_t trainer_kept_bytes(const ins_model *model, const ins_trainer_options *o, bool history) {
    const ins_params *params = ins_model_params(model);
    const trainer_rows rows = trainer_share(o);
    size_t n_slots = (size_t)((const ins_optimizer *)o->optimizer.desc)->n_slots;
    size_t n_slabs = 2 + n_slots + (rows.n_micro > 1) + (o->ema > 0) + history;
    size_t positions = (size_t)(rows.micro_rows * o->context);
    size_t copy = o->compute == INS_DTYPE_BF16 ? ins_bf16_slab_bytes(params) : 0;
    size_t words = positions * (BATCH_WORDS * (size_t)rows.n_micro + RESULT_WORDS) + 1;
    return n_slabs * (size_t)params->slab_count * sizeof(float) + copy + words * sizeof(float);
}

ins_status ins_trainer_costs(const ins_model *model, const ins_trainer_options *options, bool history, ins_pool *pool,
                             ins_trainer_cost out[INS_RECOMPUTES], ins_error *err) {
    float some_memory = 0; /* never touched: plans only ask whether there is any */
    uint16_t some_copy = 0;
    const trainer_rows rows = trainer_share(options);
    const ins_train_graph_config config = {.model = model,
                                           .objective = &options->objective,
                                           .compute = options->compute,
                                           .n_rows = rows.micro_rows,
                                           .n_cols = options->context,
                                           .weights = &some_memory,
                                           .weights_bf16 = options->compute == INS_DTYPE_BF16 ? &some_copy : NULL,
                                           .grads = &some_memory,
                                           .pool = pool};
    ins_train_cost costs[INS_RECOMPUTES];
    INS_TRY(ins_train_graph_costs(&config, costs, err));
    double runs = (double)(options->n_micro * options->micro_rows) / (double)rows.micro_rows;
    size_t results = (size_t)(RESULT_WORDS * rows.micro_rows * options->context + 1) * sizeof(float);
    size_t kept = trainer_kept_bytes(model, options, history) - results; /* counted with the run */
    for (int i = 0; i < INS_RECOMPUTES; i++)
        out[i] = (ins_trainer_cost){.bytes = costs[i].bytes + kept,
                                    .flops = runs * costs[i].matmul_flops,
                                    .again_flops = runs * costs[i].again_flops,
                                    .again_bytes = runs * costs[i].again_bytes};
    return INS_OK;
}
