/* The parameter table of the assembled Transformer.
 *
 * Our names (an optional row in brackets), with Q = H K query columns and KV = Hkv K key or value columns:
 *   embed.weight [V,D]                     [pos.weight [P,D]]              [head.weight [V,D]]
 *   layers.N.attn.{q,k,v}.weight [Q|KV,D]  or layers.N.attn.qkv.weight [Q + 2 KV, D]
 *   layers.N.attn.out.weight [D,Q]         [layers.N.attn.{q,k}_norm.weight [K]]
 *   layers.N.mlp.{gate,up}.weight [F,D]    layers.N.mlp.down.weight [D,F]
 *   layers.N.norm1, norm2 (before or after attention and MLP), norm1_post, norm2_post (sandwich), norm (final)
 * Matrices come first, then vectors, so that rows of equal settings lie together and an optimizer makes two passes.
 */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/derive.h"
#include "model/encoder.h"

/* Collects rows; the first failure is kept. */
struct ins_model_rows {
    ins_model *model;
    const ins_preset *preset;
    int n_dims; /* this pass adds rows of so many dimensions */
    ins_status status;
    ins_error *err;
};

static const ins_init_rule init_one = {.kind = INS_INIT_ONE}, init_zero = {.kind = INS_INIT_ZERO};

static const char *init_text(ins_arena *arena, ins_init_rule rule) {
    switch (rule.kind) {
    case INS_INIT_NORMAL:
        return ins_arena_printf(arena, "normal(%.6g)", rule.std);
    case INS_INIT_ZERO:
        return "zero";
    case INS_INIT_ONE:
        return "one";
    case INS_INIT_SINUSOIDAL:
        return "sinusoidal";
    case INS_INIT_UNIFORM:
        if (rule.end == rule.begin) return ins_arena_printf(arena, "uniform(%.6g)", rule.std);
        return ins_arena_printf(arena, "uniform(%.6g), forget gates %.6g", rule.std, rule.value);
    }
    return NULL;
}

void ins_model_add_row(ins_model_rows *t, const char *ours, int64_t n_rows, int64_t n_cols, ins_init_rule rule) {
    int n_dims = n_rows > 0 ? 2 : 1;
    if (t->status != INS_OK || n_dims != t->n_dims) return;
    ins_model *m = t->model;
    ins_model_row *rows = ins_realloc(m->rows, (size_t)(m->params->n + 1) * sizeof *rows);
    if (rows) m->rows = rows;
    char *name = ins_arena_strdup(m->params->arena, ours);
    const char *text = init_text(m->params->arena, rule);
    if (!rows || !name || !text) {
        t->status = INS_FAIL(t->err, INS_NOMEM, "out of memory for the table of parameters");
        return;
    }
    ins_type type = n_dims == 2 ? INS_TYPE(INS_DTYPE_F32, n_rows, n_cols) : INS_TYPE(INS_DTYPE_F32, n_cols);
    char theirs[256];
    ins_preset_tensor_name(t->preset, ours, theirs, sizeof theirs);
    ins_param *row = NULL;
    t->status = ins_params_add(m->params, theirs, type, &row, t->err);
    if (t->status != INS_OK) return;
    row->init = text;
    row->frozen = rule.kind == INS_INIT_SINUSOIDAL;
    m->rows[m->params->n - 1] = (ins_model_row){.ours = name, .init = rule};
}

/* "STEM.weight" of a linear layer from n_in to n_out (kept [in, out] on demand) and its bias. */
static void add_linear(ins_model_rows *t, const char *stem, int64_t n_out, int64_t n_in, bool bias, double std) {
    char name[128];
    bool in_out = t->model->options.in_out;
    snprintf(name, sizeof name, "%s.weight", stem);
    ins_model_add_row(t, name, in_out ? n_in : n_out, in_out ? n_out : n_in,
                      (ins_init_rule){.kind = INS_INIT_NORMAL, .std = std});
    snprintf(name, sizeof name, "%s.bias", stem);
    if (bias) ins_model_add_row(t, name, 0, n_out, init_zero);
}

static void add_norm(ins_model_rows *t, const char *stem, int64_t size, bool bias) {
    char name[128];
    snprintf(name, sizeof name, "%s.weight", stem);
    ins_model_add_row(t, name, 0, size, init_one);
    snprintf(name, sizeof name, "%s.bias", stem);
    if (bias) ins_model_add_row(t, name, 0, size, init_zero);
}

static void add_attention(ins_model_rows *t, int64_t layer, double std, double out_std) {
    const ins_model_options *o = &t->model->options;
    int64_t n_q = o->heads * o->head_size, n_kv = o->kv_heads * o->head_size;
    char stem[96];
#define STEM(part) (snprintf(stem, sizeof stem, "layers.%lld." part, (long long)layer), stem)
    if (o->qkv_fused) {
        add_linear(t, STEM("attn.qkv"), n_q + 2 * n_kv, o->width, o->qkv_bias, std);
    } else {
        add_linear(t, STEM("attn.q"), n_q, o->width, o->qkv_bias, std);
        add_linear(t, STEM("attn.k"), n_kv, o->width, o->qkv_bias, std);
        add_linear(t, STEM("attn.v"), n_kv, o->width, o->qkv_bias, std);
    }
    if (o->qk_norm) {
        add_norm(t, STEM("attn.q_norm"), o->head_size, false);
        add_norm(t, STEM("attn.k_norm"), o->head_size, false);
    }
    add_linear(t, STEM("attn.out"), o->width, n_q, o->out_bias, out_std);
}

static void add_layer(ins_model_rows *t, int64_t layer) {
    const ins_model_options *o = &t->model->options;
    double std = o->init_std;
    double out_std = o->init_residual_scaled ? std / sqrt(2.0 * (double)o->layers) : std;
    char stem[96];
    add_norm(t, STEM("norm1"), o->width, o->norm_bias);
    add_attention(t, layer, std, out_std);
    if (o->norm_place == INS_PLACE_SANDWICH) add_norm(t, STEM("norm1_post"), o->width, o->norm_bias);
    if (!o->parallel) add_norm(t, STEM("norm2"), o->width, o->norm_bias);
    if (ins_mlp_is_gated(o->mlp)) add_linear(t, STEM("mlp.gate"), o->ff, o->width, o->mlp_bias, std);
    add_linear(t, STEM("mlp.up"), o->ff, o->width, o->mlp_bias, std);
    add_linear(t, STEM("mlp.down"), o->width, o->ff, o->mlp_bias, out_std);
    if (o->norm_place == INS_PLACE_SANDWICH) add_norm(t, STEM("norm2_post"), o->width, o->norm_bias);
#undef STEM
}

const ins_model_options *ins_model_rows_options(const ins_model_rows *t) {
    return &t->model->options;
}

static void add_all(ins_model_rows *t) {
    const ins_model_options *o = &t->model->options;
    const ins_encoder *encoder = ins_encoder_of(o);
    const ins_init_rule normal = {.kind = INS_INIT_NORMAL, .std = o->init_std};
    ins_model_add_row(t, "embed.weight", o->vocab, o->width, normal);
    for (int64_t layer = 0; encoder && layer < o->layers; layer++) encoder->add_layer(t, layer);
    if (encoder) {
        if (!o->tied) ins_model_add_row(t, "head.weight", o->vocab, o->hidden, normal);
        return;
    }
    if (o->positions == INS_POS_LEARNED) ins_model_add_row(t, "pos.weight", o->max_positions, o->width, normal);
    if (o->positions == INS_POS_SINUSOIDAL)
        ins_model_add_row(t, "pos.weight", o->max_positions, o->width, (ins_init_rule){.kind = INS_INIT_SINUSOIDAL});
    for (int64_t layer = 0; layer < o->layers; layer++) add_layer(t, layer);
    if (o->final_norm) add_norm(t, "norm", o->width, o->norm_bias);
    if (!o->tied) ins_model_add_row(t, "head.weight", o->vocab, o->width, normal);
}

ins_status ins_model_new(const ins_model_options *options, ins_model **out, ins_error *err) {
    ins_model *m = ins_calloc(1, sizeof *m);
    if (!m) return INS_FAIL(err, INS_NOMEM, "out of memory for a model");
    m->options = *options;
    m->options.preset.desc = &ins_model_preset(options)->head;
    ins_diag diag = {0};
    ins_status status = INS_OK;
    if (!ins_model_derive(&m->options, 0, (ins_pos){0}, &diag)) {
        status =
            INS_FAIL(err, INS_RECIPE, "%s", diag.n > 0 ? diag.items[0].text : "the model's sizes do not fit together");
        if (diag.n > 0) ins_error_hint(err, "%s", diag.items[0].hint);
    }
    ins_diag_free(&diag);
    if (status == INS_OK) status = ins_params_new(&m->params, err);
    for (int n_dims = 2; status == INS_OK && n_dims >= 1; n_dims--) {
        ins_model_rows t = {.model = m, .preset = ins_model_preset(options), .n_dims = n_dims, .err = err};
        add_all(&t);
        status = t.status;
    }
    if (status != INS_OK) {
        ins_model_free(m);
        return status;
    }
    *out = m;
    return INS_OK;
}

void ins_model_free(ins_model *m) {
    if (!m) return;
    ins_params_free(m->params);
    ins_free(m->rows);
    ins_free(m);
}

const ins_model_options *ins_model_get_options(const ins_model *m) {
    return &m->options;
}

int64_t ins_model_hidden_size(const ins_model *m) {
    return ins_encoder_of(&m->options) ? m->options.hidden : m->options.width;
}

const ins_params *ins_model_params(const ins_model *m) {
    return m->params;
}

const ins_param *ins_model_row_find(const ins_model *m, const char *fmt, ...) {
    char name[128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(name, sizeof name, fmt, args);
    va_end(args);
    for (int64_t i = 0; i < m->params->n; i++)
        if (strcmp(m->rows[i].ours, name) == 0) return &m->params->rows[i];
    return NULL;
}

/* Matrix products: 2 per weight; attention: q k^T and p v over the whole context (as MFU is usually counted). */
double ins_model_flops_per_token(const ins_model *m, int64_t context) {
    const ins_model_options *o = &m->options;
    double matmul = 2.0 * (double)o->vocab * (double)ins_model_hidden_size(m);
    for (int64_t i = 0; i < m->params->n; i++)
        if (m->params->rows[i].type.n_dims == 2 && strncmp(m->rows[i].ours, "layers.", 7) == 0)
            matmul += 2.0 * (double)m->params->rows[i].count;
    return matmul + 4.0 * (double)(o->layers * o->heads * o->head_size) * (double)context;
}
