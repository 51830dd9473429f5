/* Inside of the objective room: the next-token loss that several objectives share. */
#ifndef INS_OBJECTIVE_OBJECTIVE_COMMON_H
#define INS_OBJECTIVE_OBJECTIVE_COMMON_H

#include "objective/objective.h"

/* loss = loss_scale sum_i weights[i] nll[i] over the B T positions, through the fused output layer. */
ins_status ins_objective_next_token(ins_graph *g, const ins_model *m, const ins_batch_values *in,
                                    ins_objective_values *out, ins_error *err);

/* Spans for attention: within documents, or over whole rows, where positions count on across documents too. */
void ins_objective_spans(ins_batch *batch, ins_span_mode mode, bool intra_document);

/* INS_RECIPE when the model looks ahead. */
ins_status ins_objective_need_causal(const ins_model *m, const char *objective, ins_error *err);

#endif
