/* LSTM language model: embedding, LSTM layers, output layer. Parameters as PyTorch's nn.LSTM has them:
 *   layers.N.weight_ih [4H, D or H], weight_hh [4H,H], bias_ih [4H], bias_hh [4H]; gates in the order i f g o
 * drawn from U(-1/sqrt(H), 1/sqrt(H)). With forget_bias, the forget gates' part of bias_ih is that and of bias_hh 0.
 * Dropout: on the embedding and on what each layer gives.
 */
#include <math.h>
#include <stdio.h>

#include "model/encoder.h"

static const char *const lstm_options[] = {"hidden", "forget_bias", NULL};

enum { LSTM_WIDTH_PER_LAYER = 128 };

static void lstm_derive(ins_model_options *o, ins_pos pos, ins_diag *diag) {
    if (o->width == 0) o->width = LSTM_WIDTH_PER_LAYER * o->layers;
    if (o->hidden == 0) o->hidden = o->width;
    if (o->tied && o->hidden != o->width)
        ins_diag_add(diag, INS_RECIPE, pos, "make hidden and width equal, or set tied: false",
                     "the output layer cannot be the embedding: width %lld, hidden %lld", (long long)o->width,
                     (long long)o->hidden);
}

static void lstm_add_layer(ins_model_rows *t, int64_t layer) {
    const ins_model_options *o = ins_model_rows_options(t);
    int64_t n_in = layer == 0 ? o->width : o->hidden;
    const ins_init_rule uniform = {.kind = INS_INIT_UNIFORM, .std = 1 / sqrt((double)o->hidden)};
    ins_init_rule bias_ih = uniform, bias_hh = uniform;
    if (o->forget_bias != 0) { /* the second quarter */
        bias_ih.begin = bias_hh.begin = o->hidden;
        bias_ih.end = bias_hh.end = 2 * o->hidden;
        bias_ih.value = o->forget_bias;
    }
    char name[96];
#define NAME(part) (snprintf(name, sizeof name, "layers.%lld." part, (long long)layer), name)
    ins_model_add_row(t, NAME("weight_ih"), 4 * o->hidden, n_in, uniform);
    ins_model_add_row(t, NAME("weight_hh"), 4 * o->hidden, o->hidden, uniform);
    ins_model_add_row(t, NAME("bias_ih"), 0, 4 * o->hidden, bias_ih);
    ins_model_add_row(t, NAME("bias_hh"), 0, 4 * o->hidden, bias_hh);
#undef NAME
}

static ins_blocks_memory lstm_memory(const ins_model_options *o) {
    return (ins_blocks_memory){.n_states = 2 * o->layers, .state_size = o->hidden};
}

/* States: h of layer 0, c of layer 0, h of layer 1, ... */
static ins_value lstm_build(const ins_blocks *b, ins_value x, const ins_value *before, ins_value *after) {
    const ins_model_options *o = ins_model_get_options(b->model);
    ins_graph *g = b->graph;
    ins_dtype real = ins_graph_real(g);
    for (int64_t layer = 0; layer < o->layers; layer++) {
        char name[64];
#define NAME(part) (snprintf(name, sizeof name, "layers.%lld" part, (long long)layer), name)
        ins_graph_push_scope(g, NAME(""));
        ins_value bias =
            ins_add(g, ins_blocks_param(b, NAME(".bias_ih"), false), ins_blocks_param(b, NAME(".bias_hh"), false));
        ins_value projected = ins_linear(g, x, ins_blocks_param(b, NAME(".weight_ih"), true), bias, false, real);
        ins_value h0 = before ? before[2 * layer] : INS_NO_VALUE, c0 = before ? before[2 * layer + 1] : INS_NO_VALUE;
        ins_value cells, h = ins_lstm_steps(g, projected, ins_blocks_param(b, NAME(".weight_hh"), true), b->positions,
                                            h0, c0, &cells);
        if (after) after[2 * layer] = ins_cast(g, h, real), after[2 * layer + 1] = ins_cast(g, cells, real);
        x = ins_blocks_drop(b, h, (uint32_t)(1 + layer));
        ins_graph_tap(g, x, NAME(".out"));
        ins_graph_pop_scope(g);
#undef NAME
    }
    return x;
}

const ins_encoder ins_encoder_lstm = {
    .name = "lstm",
    .options = lstm_options,
    .derive = lstm_derive,
    .add_layer = lstm_add_layer,
    .memory = lstm_memory,
    .build = lstm_build,
};
