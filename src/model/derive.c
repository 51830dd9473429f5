/* The one dial. */
#include "model/derive.h"

#include <math.h>

#include "model/encoder.h"

static const int64_t dial_width = 64, dial_head = 64;

static bool is_gated(int mlp) {
    return mlp == INS_MLP_SWIGLU || mlp == INS_MLP_GEGLU;
}

static int64_t round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

/* Heads for a width: about width / 64, dividing width, with an even head size where that can be. */
static int64_t derive_heads(int64_t width) {
    int64_t most = width / dial_head > 0 ? width / dial_head : 1;
    for (int64_t heads = most; heads > 1; heads--)
        if (width % heads == 0 && width / heads % 2 == 0 && width / heads <= 256) return heads;
    return 1;
}

static void fill_sizes(ins_model_options *o, int64_t vocab) {
    if (o->width == 0) {
        int64_t head = o->head_size > 0 ? o->head_size : dial_head;
        o->width = o->heads > 0 && o->head_size > 0 ? o->heads * o->head_size : round_up(dial_width * o->layers, head);
        if (o->heads > 0 && o->head_size == 0) o->width = round_up(o->width, 2 * o->heads);
    }
    if (o->heads == 0) {
        if (o->head_size > 0)
            o->heads = o->width / o->head_size > 0 ? o->width / o->head_size : 1;
        else
            o->heads = derive_heads(o->width);
        while (o->kv_heads > 0 && o->heads > o->kv_heads && o->heads % o->kv_heads != 0) o->heads--;
    }
    if (o->kv_heads == 0) o->kv_heads = o->heads;
    if (o->head_size == 0) o->head_size = o->width / o->heads;
    if (o->ff == 0) o->ff = is_gated(o->mlp) ? round_up((8 * o->width + 2) / 3, 32) : 4 * o->width;
    if (o->vocab == 0) o->vocab = vocab;
}

static void check_heads(const ins_model_options *o, bool head_given, ins_pos pos, ins_diag *diag) {
    if (!head_given && o->width % o->heads != 0)
        ins_diag_add(diag, INS_RECIPE, pos, "choose heads so that width / heads is a whole number, or give head_size",
                     "width %lld is not a multiple of %lld heads", (long long)o->width, (long long)o->heads);
    if (o->heads % o->kv_heads != 0)
        ins_diag_add(diag, INS_RECIPE, pos, "each key/value head serves the same number of query heads",
                     "%lld heads cannot share %lld kv_heads", (long long)o->heads, (long long)o->kv_heads);
    if (o->head_size < 1 || o->head_size > 256)
        ins_diag_add(diag, INS_RECIPE, pos, "attention takes heads of 1 to 256", "head_size is %lld",
                     (long long)o->head_size);
    int64_t rotary = (int64_t)(o->rotary_share * (double)o->head_size);
    if (o->positions == INS_POS_ROPE && (rotary < 2 || rotary % 2 != 0))
        ins_diag_add(diag, INS_RECIPE, pos,
                     "choose head_size and rotary_share so that an even number of values rotates",
                     "rope would rotate %lld of each head's %lld values", (long long)rotary, (long long)o->head_size);
    if (o->norm == INS_NORM_RMS && o->norm_bias)
        ins_diag_add(diag, INS_RECIPE, pos, "leave norm_bias out, or set norm: layernorm", "rmsnorm has no bias");
    if (o->parallel && o->norm_place != INS_PLACE_PRE)
        ins_diag_add(diag, INS_RECIPE, pos, "set norm_place: pre", "parallel blocks need their norm before them");
}

bool ins_model_derive(ins_model_options *o, int64_t vocab, ins_pos pos, ins_diag *diag) {
    int64_t before = diag->n + diag->n_dropped;
    if (o->layers < 1) {
        ins_diag_add(diag, INS_RECIPE, pos, "set layers to 1 or more", "a model needs at least one layer");
        return false;
    }
    const ins_encoder *encoder = ins_encoder_of(o);
    bool head_given = o->head_size > 0;
    if (encoder) {
        if (o->vocab == 0) o->vocab = vocab;
        encoder->derive(o, pos, diag);
    } else {
        fill_sizes(o, vocab);
        check_heads(o, head_given, pos, diag);
    }
    if (o->vocab < 2)
        ins_diag_add(diag, INS_RECIPE, pos, "give vocab, or a tokenizer", "the size of the vocabulary is not known");
    else if (vocab > o->vocab)
        ins_diag_add(diag, INS_RECIPE, pos, "leave vocab out to take the tokenizer's",
                     "vocab %lld is smaller than the tokenizer's %lld", (long long)o->vocab, (long long)vocab);
    return diag->n + diag->n_dropped == before;
}

double ins_derive_lr(int64_t n_params) {
    double lr = 6e-4 * pow((double)(n_params > 0 ? n_params : 1) / 125e6, -0.3);
    return lr > 4e-3 ? 4e-3 : lr < 1e-4 ? 1e-4 : lr;
}

int64_t ins_derive_tokens(int64_t n_params) {
    return 20 * n_params;
}

int64_t ins_derive_batch_tokens(int64_t n_params, int64_t total_tokens) {
    double flop = 6.0 * (double)n_params * (double)total_tokens;
    double tokens = 0.292 * pow(flop > 1 ? flop : 1, 0.3271);
    double most = (double)total_tokens / 400;
    int64_t steps = llround((tokens < most ? tokens : most) / 512);
    return 512 * (steps > 1 ? steps : 1);
}

int64_t ins_derive_layers(int64_t total_tokens, int64_t vocab) {
    double budget = (double)total_tokens / 20;
    int64_t layers = 1;
    for (; layers < 64; layers++) {
        double width = (double)(dial_width * (layers + 1));
        if (12.0 * (double)(layers + 1) * width * width + (double)vocab * width > budget) break;
    }
    return layers;
}
