/* Inside of the model room. */
#ifndef INS_MODEL_MODEL_INTERNAL_H
#define INS_MODEL_MODEL_INTERNAL_H

#include "model/model.h"

/* How a row is initialised. */
typedef enum ins_init_kind {
    INS_INIT_NORMAL,
    INS_INIT_ZERO,
    INS_INIT_ONE,
    INS_INIT_SINUSOIDAL,
    INS_INIT_UNIFORM
} ins_init_kind;

typedef struct ins_init_rule {
    ins_init_kind kind;
    double std;         /* of INS_INIT_NORMAL; of INS_INIT_UNIFORM: the bound on both sides */
    int64_t begin, end; /* elements [begin, end) of INS_INIT_UNIFORM are `value` instead */
    double value;
} ins_init_rule;

typedef struct ins_model_row {
    const char *ours; /* "layers.0.attn.q.weight" */
    ins_init_rule init;
} ins_model_row;

/* The table being filled, one pass for matrices and one for vectors: a row of the other sort is left out. n_rows 0: a
 * vector of n_cols. The first failure is kept. */
typedef struct ins_model_rows ins_model_rows;
const ins_model_options *ins_model_rows_options(const ins_model_rows *table);
void ins_model_add_row(ins_model_rows *table, const char *ours, int64_t n_rows, int64_t n_cols, ins_init_rule rule);

struct ins_model {
    ins_model_options options; /* resolved */
    ins_params *params;
    ins_model_row *rows; /* one per row of params */
};

/* A block's MLP. */
static inline bool ins_mlp_is_gated(int mlp) {
    return mlp == INS_MLP_SWIGLU || mlp == INS_MLP_GEGLU;
}

/* The row with our name `fmt`, or NULL. */
const ins_param *ins_model_row_find(const ins_model *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The preset of these options (never NULL) and its base (NULL at the root). */
const ins_preset *ins_model_preset(const ins_model_options *options);
const ins_preset *ins_preset_base(const ins_preset *preset);

/* Hugging Face name of a tensor: the preset's, its base's, or ours. Into buf. */
void ins_preset_tensor_name(const ins_preset *preset, const char *ours, char *buf, size_t size);

/* Rows of the preset's and its bases' config tables, nearest first; a key removed or replaced nearer is left out.
 * Start with *at = 0; NULL at the end. */
const ins_config_key *ins_preset_config_next(const ins_preset *preset, int64_t *at);

/* Preset values under `node`, without the one dial. */
bool ins_model_options_layer(const ins_node *node, ins_model_options *out, ins_arena *arena, ins_diag *diag);

/* config.json <-> options. */
ins_status ins_model_config_write(const ins_model_options *options, const char *path, const char *const *metadata,
                                  int64_t n_meta, ins_error *err);
ins_status ins_model_config_read(const char *path, ins_model_options *out, ins_error *err);

#endif
