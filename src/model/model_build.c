/* The Transformer as a graph. The residual stream is real (f32); what enters a matrix product is in compute dtype. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/encoder.h"

/* Leaf of the row with our name: declared once a graph. Missing rows (no bias) give INS_NO_VALUE. */
static ins_value leaf(const ins_blocks *b, const char *name, bool matrix) {
    const ins_param *row = ins_model_row_find(b->model, "%s", name);
    if (!row) return INS_NO_VALUE;
    ins_graph *g = b->graph;
    ins_type type = row->type;
    char full[300];
    bool cast = matrix && b->cast_matrices && ins_graph_compute(g) != ins_graph_real(g);
    snprintf(full, sizeof full, "%s%s", row->name, cast ? INS_BLOCKS_CAST : "");
    type.dtype = cast ? ins_graph_compute(g) : ins_graph_real(g);
    ins_value known = ins_graph_find(g, full);
    return known != INS_NO_VALUE ? known : ins_graph_param(g, full, type);
}

/* Leaf "layers.LAYER.PART". */
static ins_value layer_leaf(const ins_blocks *b, int64_t layer, const char *part, const char *end, bool matrix) {
    char name[128];
    snprintf(name, sizeof name, "layers.%lld.%s.%s", (long long)layer, part, end);
    return leaf(b, name, matrix);
}

static ins_value linear(const ins_blocks *b, int64_t layer, const char *part, ins_value x, ins_dtype out) {
    return ins_linear(b->graph, x, layer_leaf(b, layer, part, "weight", true),
                      layer_leaf(b, layer, part, "bias", false), b->model->options.in_out, out);
}

static ins_value norm(const ins_blocks *b, ins_value x, ins_value weight, ins_value bias, ins_dtype out) {
    const ins_model_options *o = &b->model->options;
    if (o->norm == INS_NORM_LAYER) return ins_layernorm(b->graph, x, weight, bias, o->norm_eps, out);
    return ins_rmsnorm(b->graph, x, weight, o->norm_eps, out);
}

static ins_value layer_norm(const ins_blocks *b, int64_t layer, const char *part, ins_value x, ins_dtype out) {
    return norm(b, x, layer_leaf(b, layer, part, "weight", false), layer_leaf(b, layer, part, "bias", false), out);
}

/* stream: one a site, so that no two sites share a mask. */
static ins_value drop(const ins_blocks *b, ins_value x, uint32_t stream) {
    double p = b->model->options.dropout;
    if (p <= 0 || b->rng_key == INS_NO_VALUE) return x;
    return ins_dropout(b->graph, x, b->rng_key, p, stream);
}

ins_value ins_blocks_param(const ins_blocks *b, const char *name, bool matrix) {
    return leaf(b, name, matrix);
}

ins_value ins_blocks_drop(const ins_blocks *b, ins_value x, uint32_t stream) {
    return drop(b, x, stream);
}

ins_value ins_blocks_embed(const ins_blocks *b, ins_value ids) {
    const ins_model_options *o = &b->model->options;
    ins_graph *g = b->graph;
    ins_value h = ins_embedding(g, leaf(b, "embed.weight", false), ids);
    if (o->embed_scale != 1) h = ins_scale(g, h, o->embed_scale);
    ins_value table = leaf(b, "pos.weight", false);
    if (table != INS_NO_VALUE) h = ins_add(g, h, ins_embedding(g, table, b->positions));
    h = drop(b, h, 0);
    ins_graph_tap(g, h, "embed");
    return h;
}

/* RMSNorm on each head of x [B,T,n K]. */
static ins_value head_norm(const ins_blocks *b, int64_t layer, const char *part, ins_value x) {
    ins_graph *g = b->graph;
    const ins_type *known = ins_graph_type(g, x);
    if (!known) return INS_NO_VALUE;
    const ins_type type = *known;
    int64_t size = b->model->options.head_size;
    ins_value heads = ins_reshape(g, x, 4, (const int64_t[]){type.dims[0], type.dims[1], type.dims[2] / size, size});
    heads = ins_rmsnorm(g, heads, layer_leaf(b, layer, part, "weight", false), b->model->options.norm_eps, type.dtype);
    return ins_reshape(g, heads, 3, type.dims);
}

/* n_heads: that rotate, the first ones; 0 = all. */
static ins_value rotate(const ins_blocks *b, ins_value x, int64_t n_heads) {
    const ins_model_options *o = &b->model->options;
    int rotary = (int)(o->rotary_share * (double)o->head_size);
    if (o->positions != INS_POS_ROPE) return x;
    return ins_rope_first(b->graph, x, b->positions, (int)n_heads, (int)o->head_size, rotary, o->rope_theta,
                          o->rope_interleaved);
}

/* What the projections of the attention read. */
static ins_value attention_input(const ins_blocks *b, int64_t layer, ins_value h) {
    if (b->model->options.norm_place == INS_PLACE_POST) return h;
    return layer_norm(b, layer, "norm1", h, ins_graph_compute(b->graph));
}

void ins_blocks_qkv(const ins_blocks *b, int64_t layer, ins_value h, ins_value qkv[3]) {
    const ins_model_options *o = &b->model->options;
    ins_graph *g = b->graph;
    ins_dtype compute = ins_graph_compute(g);
    int64_t n_q = o->heads * o->head_size, n_kv = o->kv_heads * o->head_size;
    ins_value x = attention_input(b, layer, h);
    if (o->qkv_fused) {
        ins_value all = linear(b, layer, "attn.qkv", x, compute);
        qkv[0] = ins_slice(g, all, 2, 0, n_q);
        qkv[1] = ins_slice(g, all, 2, n_q, n_kv);
        qkv[2] = ins_slice(g, all, 2, n_q + n_kv, n_kv);
    } else {
        qkv[0] = linear(b, layer, "attn.q", x, compute);
        qkv[1] = linear(b, layer, "attn.k", x, compute);
        qkv[2] = linear(b, layer, "attn.v", x, compute);
    }
    if (o->qk_norm) {
        qkv[0] = head_norm(b, layer, "attn.q_norm", qkv[0]);
        qkv[1] = head_norm(b, layer, "attn.k_norm", qkv[1]);
    }
    qkv[0] = rotate(b, qkv[0], 0);
    qkv[1] = rotate(b, qkv[1], 0);
}

ins_value ins_blocks_attend(const ins_blocks *b, const ins_value qkv[3], ins_value lo, ins_value hi) {
    const ins_model_options *o = &b->model->options;
    return ins_attention(b->graph, qkv[0], qkv[1], qkv[2], lo, hi, (int)o->heads, (int)o->kv_heads,
                         1 / sqrt((double)o->head_size));
}

/* Attention over the same rows' own keys. Of one fused matrix the product stays whole. */
static ins_value attend_own(const ins_blocks *b, int64_t layer, ins_value h, ins_value lo, ins_value hi) {
    const ins_model_options *o = &b->model->options;
    if (!o->qkv_fused || o->qk_norm) {
        ins_value qkv[3];
        ins_blocks_qkv(b, layer, h, qkv);
        return ins_blocks_attend(b, qkv, lo, hi);
    }
    ins_value x = attention_input(b, layer, h);
    ins_value all = rotate(b, linear(b, layer, "attn.qkv", x, ins_graph_compute(b->graph)), o->heads + o->kv_heads);
    return ins_attention_packed(b->graph, all, lo, hi, (int)o->heads, (int)o->kv_heads, 1 / sqrt((double)o->head_size));
}

static ins_unary mlp_act(int mlp) {
    static const ins_unary acts[] = {
        [INS_MLP_GELU_TANH] = INS_GELU_TANH, [INS_MLP_GELU_ERF] = INS_GELU_ERF, [INS_MLP_RELU] = INS_RELU,
        [INS_MLP_RELU2] = INS_RELU2,         [INS_MLP_SILU] = INS_SILU,         [INS_MLP_SWIGLU] = INS_SILU,
        [INS_MLP_GEGLU] = INS_GELU_TANH,
    };
    return acts[mlp];
}

static ins_value mlp(const ins_blocks *b, int64_t layer, ins_value x) {
    const ins_model_options *o = &b->model->options;
    ins_graph *g = b->graph;
    ins_dtype compute = ins_graph_compute(g);
    ins_value inner;
    if (ins_mlp_is_gated(o->mlp)) {
        ins_value gate = linear(b, layer, "mlp.gate", x, compute);
        inner = ins_gated(g, mlp_act(o->mlp), gate, linear(b, layer, "mlp.up", x, compute));
    } else {
        inner = ins_unary_map(g, mlp_act(o->mlp), linear(b, layer, "mlp.up", x, compute));
    }
    return linear(b, layer, "mlp.down", inner, ins_graph_real(g));
}

static void tap(const ins_blocks *b, int64_t layer, const char *what, ins_value v) {
    char name[64];
    snprintf(name, sizeof name, "layers.%lld.%s", (long long)layer, what);
    ins_graph_tap(b->graph, v, name);
}

ins_value ins_blocks_finish(const ins_blocks *b, int64_t layer, ins_value h, ins_value attended) {
    const ins_model_options *o = &b->model->options;
    ins_graph *g = b->graph;
    ins_dtype real = ins_graph_real(g), compute = ins_graph_compute(g);
    bool post = o->norm_place == INS_PLACE_POST, sandwich = o->norm_place == INS_PLACE_SANDWICH;

    ins_value attention = linear(b, layer, "attn.out", attended, real);
    if (sandwich) attention = layer_norm(b, layer, "norm1_post", attention, real);
    attention = drop(b, attention, (uint32_t)(1 + 2 * layer));
    tap(b, layer, "attn", attention);
    ins_value middle = ins_add(g, h, attention);
    if (post) middle = layer_norm(b, layer, "norm1", middle, real);

    ins_value x = middle;
    if (o->parallel) x = layer_norm(b, layer, "norm1", h, compute);
    if (!o->parallel && !post) x = layer_norm(b, layer, "norm2", middle, compute);
    ins_value inner = mlp(b, layer, x);
    if (sandwich) inner = layer_norm(b, layer, "norm2_post", inner, real);
    inner = drop(b, inner, (uint32_t)(2 + 2 * layer));
    tap(b, layer, "mlp", inner);
    ins_value out = ins_add(g, middle, inner);
    if (post) out = layer_norm(b, layer, "norm2", out, real);
    tap(b, layer, "out", out);
    return out;
}

ins_value ins_blocks_final(const ins_blocks *b, ins_value h) {
    ins_dtype compute = ins_graph_compute(b->graph);
    ins_value hidden = b->model->options.final_norm
                           ? norm(b, h, leaf(b, "norm.weight", false), leaf(b, "norm.bias", false), compute)
                           : ins_cast(b->graph, h, compute);
    ins_graph_tap(b->graph, hidden, "final");
    return hidden;
}

ins_value ins_blocks_head(const ins_blocks *b) {
    return leaf(b, b->model->options.tied ? "embed.weight" : "head.weight", true);
}

bool ins_blocks_recurrent(const ins_model *m, ins_blocks_memory *out) {
    const ins_encoder *encoder = ins_encoder_of(&m->options);
    if (encoder) *out = encoder->memory(&m->options);
    return encoder != NULL;
}

ins_value ins_blocks_recur(const ins_blocks *b, ins_value ids, const ins_value *before, ins_value *after) {
    ins_graph *g = b->graph;
    ins_graph_push_scope(g, "embed");
    ins_value h = ins_blocks_embed(b, ids);
    ins_graph_pop_scope(g);
    ins_value hidden = ins_encoder_of(&b->model->options)->build(b, h, before, after);
    ins_graph_tap(g, hidden, "final");
    return hidden;
}

ins_value ins_blocks_all(const ins_blocks *b, ins_value ids, ins_value lo, ins_value hi) {
    ins_graph *g = b->graph;
    if (ins_encoder_of(&b->model->options)) return ins_blocks_recur(b, ids, NULL, NULL);
    ins_graph_push_scope(g, "embed");
    ins_value h = ins_blocks_embed(b, ids);
    ins_graph_pop_scope(g);
    for (int64_t layer = 0; layer < b->model->options.layers; layer++) {
        char scope[32];
        snprintf(scope, sizeof scope, "layers.%lld", (long long)layer);
        ins_graph_push_scope(g, scope);
        h = ins_blocks_finish(b, layer, h, attend_own(b, layer, h, lo, hi));
        ins_graph_pop_scope(g);
    }
    ins_graph_push_scope(g, "final");
    ins_value hidden = ins_blocks_final(b, h);
    ins_graph_pop_scope(g);
    return hidden;
}

/* The row of `row`'s part in layer + shift. */
static const ins_param *shifted_row(const ins_model *m, int64_t row, int64_t shift) {
    const char *ours = m->rows[row].ours, *rest = NULL;
    if (shift == 0 || strncmp(ours, "layers.", 7) != 0) return &m->params->rows[row];
    long long layer = strtoll(ours + 7, (char **)&rest, 10);
    return ins_model_row_find(m, "layers.%lld%s", layer + (long long)shift, rest);
}

int64_t ins_blocks_leaves(const ins_blocks *b, int64_t shift, ins_blocks_leaf *out) {
    const ins_params *params = b->model->params;
    int64_t n = 0;
    for (int64_t i = 0; i < params->n; i++) {
        char cast[300];
        snprintf(cast, sizeof cast, "%s%s", params->rows[i].name, INS_BLOCKS_CAST);
        const char *names[2] = {params->rows[i].name, cast};
        for (int form = 0; form < 2; form++) {
            ins_value v = ins_graph_find(b->graph, names[form]);
            if (v == INS_NO_VALUE) continue;
            out[n++] = (ins_blocks_leaf){.value = v, .cast = form == 1, .row = shifted_row(b->model, i, shift)};
        }
    }
    return n;
}

ins_status ins_model_build(const ins_model *m, ins_graph *g, const ins_model_inputs *in, ins_model_values *out,
                           ins_error *err) {
    const ins_blocks b = {.model = m, .graph = g, .positions = in->positions, .rng_key = in->rng_key};
    out->hidden = ins_blocks_all(&b, in->ids, in->lo, in->hi);
    out->head = ins_blocks_head(&b);
    out->head_in_out = false;
    ins_status status = ins_graph_status(g, err);
    if (status != INS_OK) ins_error_frame(err, "building the model");
    return status;
}

ins_value ins_model_logits(const ins_model *m, ins_graph *g, const ins_model_values *v, ins_value hidden_rows) {
    (void)m;
    return ins_linear(g, hidden_rows, v->head, INS_NO_VALUE, v->head_in_out, ins_graph_real(g));
}

ins_status ins_model_bind(const ins_model *m, ins_exec *exec, float *slab, ins_error *err) {
    const ins_params *params = m->params;
    for (int64_t i = 0; i < params->n; i++)
        INS_TRY(ins_exec_bind(exec, params->rows[i].name, slab + params->rows[i].offset, err));
    return INS_OK;
}
