/* Encoders besides the Transformer: what they take from the options, their parameters, and their graphs. The one that
 * the option `encoder` names is looked up once; NULL is the Transformer.
 */
#ifndef INS_MODEL_ENCODER_H
#define INS_MODEL_ENCODER_H

#include "model/blocks.h"
#include "model/model_internal.h"

typedef struct ins_encoder {
    const char *name;                                                        /* as the option says */
    const char *const *options;                                              /* those of its own; NULL-ended */
    void (*derive)(ins_model_options *options, ins_pos pos, ins_diag *diag); /* sizes that are 0, and its checks */
    void (*add_layer)(ins_model_rows *table, int64_t layer);
    ins_blocks_memory (*memory)(const ins_model_options *options);
    /* embedded [B,T,D] -> hidden [B,T,H] in compute dtype; before, after: see ins_blocks_recur */
    ins_value (*build)(const ins_blocks *b, ins_value embedded, const ins_value *before, ins_value *after);
} ins_encoder;

const ins_encoder *ins_encoder_of(const ins_model_options *options);
extern const ins_encoder ins_encoder_lstm, ins_encoder_mlp;

/* Options that were given although the encoder does nothing with them (other values than `plain`, what is there without
 * them): an error each. */
void ins_encoder_check_given(const ins_node *given, const ins_model_options *options, const ins_model_options *plain,
                             ins_diag *diag);

#endif
