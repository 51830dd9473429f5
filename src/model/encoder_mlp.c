/* The neural probabilistic language model: the embeddings of a window of tokens, side by side or summed, through fully
 * connected layers, to the next token. Parameters:
 *   layers.N.weight [H, n D or D or H], bias [H], drawn from U(-1/sqrt(inputs), 1/sqrt(inputs))
 * Tokens before the document's first are zeros. Dropout: on the embedding and on what each layer gives.
 */
#include <math.h>
#include <stdio.h>

#include "model/encoder.h"

static const char *const mlp_options[] = {"hidden", "window", "merge", "activation", NULL};

enum { MLP_WIDTH = 64, MLP_HIDDEN = 512 };

static void mlp_derive(ins_model_options *o, ins_pos pos, ins_diag *diag) {
    if (o->width == 0) o->width = MLP_WIDTH;
    if (o->hidden == 0) o->hidden = MLP_HIDDEN;
    if (o->tied && o->hidden != o->width)
        ins_diag_add(diag, INS_RECIPE, pos, "make hidden and width equal, or set tied: false",
                     "the output layer cannot be the embedding: width %lld, hidden %lld", (long long)o->width,
                     (long long)o->hidden);
}

static int64_t mlp_inputs(const ins_model_options *o, int64_t layer) {
    if (layer > 0) return o->hidden;
    return o->merge == INS_MERGE_CONCAT ? o->window * o->width : o->width;
}

static void mlp_add_layer(ins_model_rows *t, int64_t layer) {
    const ins_model_options *o = ins_model_rows_options(t);
    int64_t n_in = mlp_inputs(o, layer);
    const ins_init_rule uniform = {.kind = INS_INIT_UNIFORM, .std = 1 / sqrt((double)n_in)};
    char name[96];
    snprintf(name, sizeof name, "layers.%lld.weight", (long long)layer);
    ins_model_add_row(t, name, o->hidden, n_in, uniform);
    snprintf(name, sizeof name, "layers.%lld.bias", (long long)layer);
    ins_model_add_row(t, name, 0, o->hidden, uniform);
}

static ins_blocks_memory mlp_memory(const ins_model_options *o) {
    return (ins_blocks_memory){.n_recent = o->window - 1};
}

static ins_value mlp_build(const ins_blocks *b, ins_value x, const ins_value *before, ins_value *after) {
    static const ins_unary acts[] = {[INS_ACTIVATION_TANH] = INS_TANH,
                                     [INS_ACTIVATION_RELU] = INS_RELU,
                                     [INS_ACTIVATION_GELU_TANH] = INS_GELU_TANH,
                                     [INS_ACTIVATION_GELU_ERF] = INS_GELU_ERF,
                                     [INS_ACTIVATION_SILU] = INS_SILU};
    (void)before, (void)after;
    const ins_model_options *o = ins_model_get_options(b->model);
    ins_graph *g = b->graph;
    ins_dtype compute = ins_graph_compute(g);
    const ins_type *type = ins_graph_type(g, x);
    if (!type) return INS_NO_VALUE;
    const int64_t split[4] = {type->dims[0], type->dims[1], o->window, o->width};
    x = ins_window(g, o->merge == INS_MERGE_SUM ? x : ins_cast(g, x, compute), b->positions, o->window);
    if (o->merge == INS_MERGE_SUM) x = ins_sum_axis(g, ins_reshape(g, x, 4, split), 2);
    for (int64_t layer = 0; layer < o->layers; layer++) {
        char name[64];
        snprintf(name, sizeof name, "layers.%lld", (long long)layer);
        ins_graph_push_scope(g, name);
        snprintf(name, sizeof name, "layers.%lld.weight", (long long)layer);
        ins_value weight = ins_blocks_param(b, name, true);
        snprintf(name, sizeof name, "layers.%lld.bias", (long long)layer);
        x = ins_linear(g, x, weight, ins_blocks_param(b, name, false), false, compute);
        x = ins_blocks_drop(b, ins_unary_map(g, acts[o->activation], x), (uint32_t)(1 + layer));
        snprintf(name, sizeof name, "layers.%lld.out", (long long)layer);
        ins_graph_tap(g, x, name);
        ins_graph_pop_scope(g);
    }
    return x;
}

const ins_encoder ins_encoder_mlp = {
    .name = "mlp",
    .options = mlp_options,
    .derive = mlp_derive,
    .add_layer = mlp_add_layer,
    .memory = mlp_memory,
    .build = mlp_build,
};
