/* Declaring and binding batches; the next-token loss. */
#include "objective/objective_common.h"

ins_batch_values ins_batch_declare(ins_graph *g, int64_t n_rows, int64_t n_cols, bool dropout) {
    const ins_type whole = INS_TYPE(INS_DTYPE_I32, n_rows, n_cols);
    ins_type real = whole, scalar = {.dtype = ins_graph_real(g)};
    real.dtype = ins_graph_real(g);
    return (ins_batch_values){
        .n_rows = n_rows,
        .n_cols = n_cols,
        .ids = ins_graph_input(g, "batch.ids", whole),
        .targets = ins_graph_input(g, "batch.targets", whole),
        .weights = ins_graph_input(g, "batch.weights", real),
        .positions = ins_graph_input(g, "batch.positions", whole),
        .lo = ins_graph_input(g, "batch.lo", whole),
        .hi = ins_graph_input(g, "batch.hi", whole),
        .rng_key = dropout ? ins_graph_input(g, "batch.rng_key", INS_TYPE(INS_DTYPE_I32, 4)) : INS_NO_VALUE,
        .loss_scale = ins_graph_input(g, "batch.loss_scale", scalar),
    };
}

/* The executor only reads inputs: the casts take const away for the binding alone. */
ins_status ins_batch_bind(ins_exec *exec, const ins_batch *batch, const float *loss_scale, const int32_t *rng_key,
                          ins_error *err) {
    INS_TRY(ins_exec_bind(exec, "batch.ids", batch->ids, err));
    INS_TRY(ins_exec_bind(exec, "batch.targets", batch->targets, err));
    INS_TRY(ins_exec_bind(exec, "batch.weights", batch->weights, err));
    INS_TRY(ins_exec_bind(exec, "batch.positions", batch->positions, err));
    INS_TRY(ins_exec_bind(exec, "batch.lo", batch->lo, err));
    INS_TRY(ins_exec_bind(exec, "batch.hi", batch->hi, err));
    if (rng_key) INS_TRY(ins_exec_bind(exec, "batch.rng_key", (void *)rng_key, err));
    return ins_exec_bind(exec, "batch.loss_scale", (void *)loss_scale, err);
}

ins_status ins_objective_need_causal(const ins_model *m, const char *objective, ins_error *err) {
    if (ins_model_get_options(m)->attention == INS_ATTEND_CAUSAL) return INS_OK;
    INS_FAIL(err, INS_RECIPE, "objective %s predicts the next token, but this model's attention is full", objective);
    ins_error_hint(err, "set attention: causal in the model");
    return INS_RECIPE;
}

/* Padding sees itself: an empty interval would give it a log-sum of minus infinity, which the check for non-finite
 * numbers must be free to call an error. Nobody sees padding and it has no target, so this changes nothing else. */
void ins_objective_spans(ins_batch *batch, ins_span_mode mode, bool intra_document) {
    ins_batch_spans(batch, mode, intra_document);
    for (int64_t row = 0; row < batch->n_rows; row++) {
        for (int64_t col = 0; col < batch->n_cols; col++) {
            int64_t at = row * batch->n_cols + col;
            if (!intra_document) batch->positions[at] = (int32_t)col;
            if (batch->segments[at] != 0) continue;
            batch->lo[at] = (int32_t)col;
            batch->hi[at] = (int32_t)col + 1;
        }
    }
}

ins_status ins_objective_next_token(ins_graph *g, const ins_model *m, const ins_batch_values *in,
                                    ins_objective_values *out, ins_error *err) {
    const ins_model_inputs inputs = {
        .ids = in->ids, .positions = in->positions, .lo = in->lo, .hi = in->hi, .rng_key = in->rng_key};
    ins_model_values values;
    INS_TRY(ins_model_build(m, g, &inputs, &values, err));
    ins_graph_push_scope(g, "loss");
    const int64_t n = in->n_rows * in->n_cols, width = ins_model_hidden_size(m);
    ins_value hidden = ins_reshape(g, values.hidden, 2, (const int64_t[]){n, width});
    ins_value targets = ins_reshape(g, in->targets, 1, &n), weights = ins_reshape(g, in->weights, 1, &n);
    ins_value sum =
        ins_linear_xent(g, hidden, values.head, values.head_in_out, targets, weights, &out->nll, &out->correct);
    out->loss = ins_mul(g, sum, in->loss_scale);
    ins_graph_pop_scope(g);
    ins_status status = ins_graph_status(g, err);
    if (status != INS_OK) ins_error_frame(err, "building the loss");
    return status;
}
