/* GPT-2: learned positions, LayerNorm with bias before each sub-block, GELU (tanh form), biases everywhere, one fused
 * query/key/value matrix, matrices stored [in, out], tied output layer. */
#include "model/model.h"

static const ins_tensor_name gpt2_tensors[] = {
    {"embed.weight", "transformer.wte.weight"},
    {"pos.weight", "transformer.wpe.weight"},
    {"layers.{}.norm1.weight", "transformer.h.{}.ln_1.weight"},
    {"layers.{}.norm1.bias", "transformer.h.{}.ln_1.bias"},
    {"layers.{}.attn.qkv.weight", "transformer.h.{}.attn.c_attn.weight"},
    {"layers.{}.attn.qkv.bias", "transformer.h.{}.attn.c_attn.bias"},
    {"layers.{}.attn.out.weight", "transformer.h.{}.attn.c_proj.weight"},
    {"layers.{}.attn.out.bias", "transformer.h.{}.attn.c_proj.bias"},
    {"layers.{}.norm2.weight", "transformer.h.{}.ln_2.weight"},
    {"layers.{}.norm2.bias", "transformer.h.{}.ln_2.bias"},
    {"layers.{}.mlp.up.weight", "transformer.h.{}.mlp.c_fc.weight"},
    {"layers.{}.mlp.up.bias", "transformer.h.{}.mlp.c_fc.bias"},
    {"layers.{}.mlp.down.weight", "transformer.h.{}.mlp.c_proj.weight"},
    {"layers.{}.mlp.down.bias", "transformer.h.{}.mlp.c_proj.bias"},
    {"norm.weight", "transformer.ln_f.weight"},
    {"norm.bias", "transformer.ln_f.bias"},
    {"head.weight", "lm_head.weight"},
    {0},
};

static const ins_config_key gpt2_config[] = {
    {.key = "vocab_size", .option = "vocab", .flags = INS_CONFIG_REQUIRED},
    {.key = "n_positions", .option = "max_positions", .flags = INS_CONFIG_REQUIRED},
    {.key = "n_embd", .option = "width", .flags = INS_CONFIG_REQUIRED},
    {.key = "n_layer", .option = "layers", .flags = INS_CONFIG_REQUIRED},
    {.key = "n_head", .option = "heads", .flags = INS_CONFIG_REQUIRED},
    {.key = "n_inner", .option = "ff"},
    {.key = "activation_function", .option = "mlp", .fixed = "\"gelu_new\"", .value = "gelu_tanh"},
    {.key = "activation_function",
     .option = "mlp",
     .fixed = "\"gelu_pytorch_tanh\"",
     .value = "gelu_tanh",
     .flags = INS_CONFIG_READ_ONLY},
    {.key = "activation_function", .option = "mlp", .fixed = "\"gelu\"", .value = "gelu_erf"},
    {.key = "activation_function", .option = "mlp", .fixed = "\"relu\"", .value = "relu"},
    {.key = "activation_function", .option = "mlp", .fixed = "\"silu\"", .value = "silu"},
    {.key = "layer_norm_epsilon", .option = "norm_eps"},
    {.key = "initializer_range", .option = "init_std"},
    {.key = "resid_pdrop", .option = "dropout"},
    {.key = "embd_pdrop", .option = "dropout", .flags = INS_CONFIG_WRITE_ONLY},
    {.key = "attn_pdrop", .fixed = "0.0", .flags = INS_CONFIG_WRITE_ONLY},
    {.key = "scale_attn_weights", .fixed = "true"},
    {.key = "scale_attn_by_inverse_layer_idx", .fixed = "false"},
    {.key = "add_cross_attention", .fixed = "false", .flags = INS_CONFIG_READ_ONLY},
    {.key = "tie_word_embeddings", .option = "tied"},
    {0},
};

/* Buffers of the causal mask in files written by old versions. */
static const char *const gpt2_ignored[] = {".attn.bias", ".attn.masked_bias", NULL};

const ins_preset ins_preset_gpt2 = {
    .head = {.family = "preset",
             .name = "gpt2",
             .summary = "GPT-2: learned positions, LayerNorm, GELU, biases.",
             .paper = "Language Models are Unsupervised Multitask Learners (Radford et al., 2019)",
             .version = 1},
    .values = "norm: layernorm\nnorm_bias: true\nnorm_eps: 1e-5\npositions: learned\nqkv_fused: true\nqkv_bias: true\n"
              "out_bias: true\nmlp_bias: true\nmlp: gelu_tanh\ntied: true\nin_out: true\ninit_std: 0.02\n"
              "init_residual_scaled: true\n",
    .model_type = "gpt2",
    .architecture = "GPT2LMHeadModel",
    .tensors = gpt2_tensors,
    .config = gpt2_config,
    .prefix = "transformer.",
    .ignored = gpt2_ignored,
};
