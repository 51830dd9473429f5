/* Which encoder, and which options mean something to it. */
#include "model/encoder.h"

#include <string.h>

static const ins_encoder *const encoders[] = {
    [INS_ENCODER_TRANSFORMER] = NULL, [INS_ENCODER_LSTM] = &ins_encoder_lstm, [INS_ENCODER_MLP] = &ins_encoder_mlp};

const ins_encoder *ins_encoder_of(const ins_model_options *options) {
    return encoders[options->encoder];
}

/* Options of every encoder. */
static const char *const common[] = {"preset", "encoder", "layers",      "width",    "vocab", "max_positions",
                                     "tied",   "dropout", "embed_scale", "init_std", NULL};

static bool contains(const char *const *names, const char *name) {
    for (; *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static bool applies(const ins_encoder *encoder, const char *name) {
    if (contains(common, name)) return true;
    if (encoder) return contains(encoder->options, name);
    for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
        if (encoders[i] && contains(encoders[i]->options, name)) return false;
    return true;
}

static size_t value_size(ins_opt_type type) {
    switch (type) {
    case INS_OPT_INT:
    case INS_OPT_SIZE:
        return sizeof(int64_t);
    case INS_OPT_FLOAT:
        return sizeof(double);
    case INS_OPT_BOOL:
        return sizeof(bool);
    case INS_OPT_CHOICE:
        return sizeof(int);
    default:
        return 0; /* the preset, which always applies */
    }
}

/* "layers width hidden" */
static void list_options(const ins_encoder *encoder, ins_str *out) {
    for (const char *const *name = common + 2; *name; name++) ins_str_printf(out, " %s", *name);
    for (const char *const *name = encoder->options; *name; name++) ins_str_printf(out, " %s", *name);
}

void ins_encoder_check_given(const ins_node *given, const ins_model_options *options, const ins_model_options *plain,
                             ins_diag *diag) {
    const ins_encoder *encoder = ins_encoder_of(options);
    for (int64_t i = 0; given && given->kind == INS_NODE_MAP && i < given->n_items; i++) {
        const ins_node *node = given->items[i];
        const ins_opt_row *row = ins_opt_find(&ins_model_table, node->key);
        if (!row || applies(encoder, row->name)) continue;
        const char *now = (const char *)options + row->offset, *without = (const char *)plain + row->offset;
        if (memcmp(now, without, value_size(row->type)) == 0) continue;
        ins_str hint = {0};
        if (encoder) {
            ins_str_printf(&hint, "leave it out; these mean something:");
            list_options(encoder, &hint);
        } else {
            ins_str_printf(&hint, "leave it out, or choose the encoder (or preset) lstm or mlp");
        }
        ins_diag_add(diag, INS_RECIPE, node->key_pos, hint.data ? hint.data : "leave it out",
                     "%s means nothing to a model whose encoder is %s", row->name,
                     encoder ? encoder->name : "a transformer");
        ins_str_free(&hint);
    }
}
