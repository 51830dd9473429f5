/* Option rows of the Transformer, and how a recipe's `model:` becomes a struct: preset underneath, user on top, then
 * the one dial. */
#include <string.h>

#include "format/yaml.h"
#include "model/derive.h"
#include "model/encoder.h"

#define MODEL_ROW(row_name, row_type, field)                                                                           \
    .name = row_name, .type = row_type, .offset = offsetof(ins_model_options, field)

static const ins_opt_row model_rows[] = {
    {MODEL_ROW("preset", INS_OPT_COMPONENT, preset), .def = "instar", .choices = "preset",
     .help = "Published architecture whose values lie under all others given here."},
    {MODEL_ROW("layers", INS_OPT_INT, layers), .def = "4", .min = 1, .max = 1024, .aliases = "depth",
     .help = "Number of blocks; the one dial that gives width, heads and feed-forward size."},
    {MODEL_ROW("width", INS_OPT_SIZE, width), .def = "0", .min = 0, .max = 1 << 20, .aliases = "d_model hidden_size",
     .help = "Size of the residual stream; 0 = 64 x layers."},
    {MODEL_ROW("heads", INS_OPT_INT, heads), .def = "0", .min = 0, .max = 4096,
     .help = "Attention heads; 0 = width / head_size."},
    {MODEL_ROW("kv_heads", INS_OPT_INT, kv_heads), .def = "0", .min = 0, .max = 4096,
     .help = "Key and value heads, shared by groups of query heads; 0 = heads."},
    {MODEL_ROW("head_size", INS_OPT_INT, head_size), .def = "0", .min = 0, .max = 256, .aliases = "head_dim",
     .help = "Size of a head; 0 = width / heads, or 64 where heads is 0 too."},
    {MODEL_ROW("ff", INS_OPT_SIZE, ff), .def = "0", .min = 0, .max = 1 << 22, .aliases = "intermediate_size",
     .help = "Inner size of the MLP; 0 = 4 x width, or 8/3 x width in steps of 32 for gated ones."},
    {MODEL_ROW("vocab", INS_OPT_SIZE, vocab), .def = "0", .min = 0, .max = 1 << 24, .aliases = "vocab_size",
     .help = "Rows of the token embedding; 0 = the tokenizer's."},
    {MODEL_ROW("max_positions", INS_OPT_SIZE, max_positions), .def = "1024", .min = 1, .max = 1 << 24, .unit = "tokens",
     .aliases = "context", .help = "Longest sequence that the model is made for."},
    {MODEL_ROW("norm", INS_OPT_CHOICE, norm), .def = "rmsnorm", .choices = "layernorm rmsnorm",
     .help = "Kind of norm."},
    {MODEL_ROW("norm_place", INS_OPT_CHOICE, norm_place), .def = "pre", .choices = "pre post sandwich",
     .help = "Where norms stand: before each sub-block, after its residual sum, or before and after the sub-block."},
    {MODEL_ROW("norm_eps", INS_OPT_FLOAT, norm_eps), .def = "1e-5", .min = 0, .max = 1, .flags = INS_OPT_EXCL_MIN,
     .help = "Added to the variance in norms."},
    {MODEL_ROW("norm_bias", INS_OPT_BOOL, norm_bias), .def = "false", .help = "Bias in layernorm."},
    {MODEL_ROW("final_norm", INS_OPT_BOOL, final_norm), .def = "true", .help = "Norm after the last block."},
    {MODEL_ROW("positions", INS_OPT_CHOICE, positions), .def = "rope", .choices = "none learned rope sinusoidal",
     .help = "How the model knows where a token stands."},
    {MODEL_ROW("rope_theta", INS_OPT_FLOAT, rope_theta), .def = "10000", .min = 1, .max = 1e12,
     .help = "Base of the rotation wavelengths."},
    {MODEL_ROW("rotary_share", INS_OPT_FLOAT, rotary_share), .def = "1", .min = 0, .max = 1, .flags = INS_OPT_EXCL_MIN,
     .help = "Share of each head that rotates."},
    {MODEL_ROW("rope_interleaved", INS_OPT_BOOL, rope_interleaved), .def = "false",
     .help = "Rotate neighbours (GPT-J) rather than halves (Llama)."},
    {MODEL_ROW("qk_norm", INS_OPT_BOOL, qk_norm), .def = "false", .help = "RMSNorm on every head of query and key."},
    {MODEL_ROW("qkv_fused", INS_OPT_BOOL, qkv_fused), .def = "false", .help = "Query, key and value in one matrix."},
    {MODEL_ROW("qkv_bias", INS_OPT_BOOL, qkv_bias), .def = "false", .help = "Biases of query, key and value."},
    {MODEL_ROW("out_bias", INS_OPT_BOOL, out_bias), .def = "false", .help = "Bias of the attention's output."},
    {MODEL_ROW("mlp_bias", INS_OPT_BOOL, mlp_bias), .def = "false", .help = "Biases of the MLP."},
    {MODEL_ROW("mlp", INS_OPT_CHOICE, mlp), .def = "swiglu",
     .choices = "gelu_tanh gelu_erf relu relu2 silu swiglu geglu", .help = "Kind of MLP; swiglu and geglu are gated."},
    {MODEL_ROW("tied", INS_OPT_BOOL, tied), .def = "true", .help = "The output layer is the token embedding."},
    {MODEL_ROW("in_out", INS_OPT_BOOL, in_out), .def = "false",
     .help = "Matrices of the blocks are stored [in, out], as GPT-2 stores them."},
    {MODEL_ROW("parallel", INS_OPT_BOOL, parallel), .def = "false",
     .help = "Attention and MLP read the same norm and are added together."},
    {MODEL_ROW("attention", INS_OPT_CHOICE, attention), .def = "causal", .choices = "causal full",
     .help = "What a token sees: those before it and itself, or all."},
    {MODEL_ROW("embed_scale", INS_OPT_FLOAT, embed_scale), .def = "1", .min = 0, .max = 1e6, .flags = INS_OPT_EXCL_MIN,
     .help = "Factor of the token embeddings."},
    {MODEL_ROW("dropout", INS_OPT_FLOAT, dropout), .def = "0", .min = 0, .max = 0.9,
     .help = "Share of embedding, attention-output and MLP-output values dropped in training."},
    {MODEL_ROW("init_std", INS_OPT_FLOAT, init_std), .def = "0.02", .min = 0, .max = 10, .flags = INS_OPT_EXCL_MIN,
     .help = "Standard deviation of initial matrices."},
    {MODEL_ROW("init_residual_scaled", INS_OPT_BOOL, init_residual_scaled), .def = "true",
     .help = "Divide the deviation of the two projections into the residual stream by sqrt(2 layers)."},
    {MODEL_ROW("encoder", INS_OPT_CHOICE, encoder), .def = "transformer", .choices = "transformer lstm mlp",
     .neutral = "transformer",
     .help = "What stands between embedding and output layer; the presets lstm and mlp set it."},
    {MODEL_ROW("hidden", INS_OPT_SIZE, hidden), .def = "0", .min = 0, .max = 1 << 20, .neutral = "0",
     .help = "Units of a layer of the encoders lstm and mlp; 0 = width (lstm) or 512 (mlp)."},
    {MODEL_ROW("forget_bias", INS_OPT_FLOAT, forget_bias), .def = "0", .min = -100, .max = 100, .neutral = "0",
     .help = "Initial bias of the LSTM's forget gates, often 1; 0 = drawn as the other biases."},
    {MODEL_ROW("window", INS_OPT_INT, window), .def = "8", .min = 1, .max = 4096, .unit = "tokens", .neutral = "8",
     .help = "Tokens that the encoder mlp sees, the newest included."},
    {MODEL_ROW("merge", INS_OPT_CHOICE, merge), .def = "concat", .choices = "concat sum", .neutral = "concat",
     .help = "How the encoder mlp takes the embeddings of its window: side by side, or summed."},
    {MODEL_ROW("activation", INS_OPT_CHOICE, activation), .def = "tanh", .choices = "tanh relu gelu_tanh gelu_erf silu",
     .neutral = "tanh", .help = "Function of the layers of the encoder mlp."},
    {0},
};

const ins_opt_table ins_model_table = {"model", model_rows, sizeof(ins_model_options)};

/* Values of a preset and, underneath, of those it extends. NULL with err on failure. */
static ins_status preset_values(const ins_preset *preset, ins_arena *arena, ins_node **out, ins_error *err) {
    ins_node *node = NULL;
    if (preset->base) {
        const ins_component *base = ins_component_find(&ins_family_preset, preset->base);
        if (!base)
            return INS_FAIL(err, INS_BUG, "preset %s extends '%s', which is none", preset->head.name, preset->base);
        INS_TRY(preset_values((const ins_preset *)base, arena, &node, err));
    }
    if (preset->values) {
        const char *name = ins_arena_printf(arena, "preset %s", preset->head.name);
        ins_node *own = NULL;
        if (!name) return INS_FAIL(err, INS_NOMEM, "out of memory for the values of a preset");
        INS_TRY(ins_yaml_read_text(preset->values, strlen(preset->values), name, arena, &own, err));
        node = ins_node_merge(arena, node, own);
        if (!node) return INS_FAIL(err, INS_NOMEM, "out of memory for the values of a preset");
    }
    *out = node;
    return INS_OK;
}

/* `model: gpt2` is short for `model: {preset: gpt2}`. */
static const ins_node *as_map(const ins_node *node, ins_arena *arena) {
    if (!node || node->kind != INS_NODE_SCALAR) return node;
    ins_node *map = ins_node_new(arena, INS_NODE_MAP, node->pos);
    ins_node *name = ins_node_clone(arena, node);
    return map && name && ins_node_put(arena, map, "preset", name) ? map : NULL;
}

static const ins_preset *preset_asked(const ins_node *node) {
    const ins_node *name = node && node->kind == INS_NODE_MAP ? ins_node_get(node, "preset") : NULL;
    if (name && name->kind == INS_NODE_MAP) name = ins_node_get(name, "kind");
    const char *text = name && name->kind == INS_NODE_SCALAR ? name->text : "instar";
    return (const ins_preset *)ins_component_find(&ins_family_preset, text);
}

/* Options that mean nothing to the encoder are errors. */
static bool check_encoder(const ins_preset *preset, const ins_node *given, const ins_model_options *options,
                          ins_arena *arena, ins_diag *diag) {
    ins_model_options plain;
    ins_node *values = NULL;
    ins_error err = {0};
    int64_t before = diag->n + diag->n_dropped;
    if (preset && preset_values(preset, arena, &values, &err) != INS_OK) return false;
    if (!ins_opt_parse(&ins_model_table, values, &plain, arena, NULL, diag)) return false;
    ins_encoder_check_given(given, options, &plain, diag);
    return diag->n + diag->n_dropped == before;
}

/* Preset underneath, `node` on top; without the one dial. */
bool ins_model_options_layer(const ins_node *node, ins_model_options *out, ins_arena *arena, ins_diag *diag) {
    const ins_pos pos = node ? node->pos : (ins_pos){0};
    const ins_node *given = as_map(node, arena);
    if (node && !given) {
        ins_diag_add(diag, INS_NOMEM, pos, "", "out of memory for the model's options");
        return false;
    }
    const ins_preset *preset = preset_asked(given);
    const ins_node *all = given;
    if (preset) { /* an unknown name is reported by the parser below */
        ins_node *values = NULL;
        ins_error err = {0};
        if (preset_values(preset, arena, &values, &err) != INS_OK) {
            ins_diag_add(diag, err.status, pos, err.hint, "%s", err.text);
            return false;
        }
        if (values) all = ins_node_merge(arena, values, given);
        if (values && !all) {
            ins_diag_add(diag, INS_NOMEM, pos, "", "out of memory for the model's options");
            return false;
        }
    }
    if (!ins_opt_parse(&ins_model_table, all, out, arena, NULL, diag)) return false;
    return check_encoder(preset, given, out, arena, diag);
}

bool ins_model_options_parse(const ins_node *node, int64_t vocab, ins_model_options *out, ins_arena *arena,
                             ins_diag *diag) {
    if (!ins_model_options_layer(node, out, arena, diag)) return false;
    return ins_model_derive(out, vocab, node ? node->pos : (ins_pos){0}, diag);
}
