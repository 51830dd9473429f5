/* Llama: rotary positions, RMSNorm before each sub-block, SwiGLU, no biases, grouped key/value heads. */
#include "model/model.h"

static const ins_tensor_name llama_tensors[] = {
    {"embed.weight", "model.embed_tokens.weight"},
    {"layers.{}.norm1.weight", "model.layers.{}.input_layernorm.weight"},
    {"layers.{}.attn.q.weight", "model.layers.{}.self_attn.q_proj.weight"},
    {"layers.{}.attn.k.weight", "model.layers.{}.self_attn.k_proj.weight"},
    {"layers.{}.attn.v.weight", "model.layers.{}.self_attn.v_proj.weight"},
    {"layers.{}.attn.out.weight", "model.layers.{}.self_attn.o_proj.weight"},
    {"layers.{}.attn.q.bias", "model.layers.{}.self_attn.q_proj.bias"},
    {"layers.{}.attn.k.bias", "model.layers.{}.self_attn.k_proj.bias"},
    {"layers.{}.attn.v.bias", "model.layers.{}.self_attn.v_proj.bias"},
    {"layers.{}.attn.out.bias", "model.layers.{}.self_attn.o_proj.bias"},
    {"layers.{}.attn.q_norm.weight", "model.layers.{}.self_attn.q_norm.weight"},
    {"layers.{}.attn.k_norm.weight", "model.layers.{}.self_attn.k_norm.weight"},
    {"layers.{}.norm2.weight", "model.layers.{}.post_attention_layernorm.weight"},
    {"layers.{}.mlp.gate.weight", "model.layers.{}.mlp.gate_proj.weight"},
    {"layers.{}.mlp.up.weight", "model.layers.{}.mlp.up_proj.weight"},
    {"layers.{}.mlp.down.weight", "model.layers.{}.mlp.down_proj.weight"},
    {"layers.{}.mlp.gate.bias", "model.layers.{}.mlp.gate_proj.bias"},
    {"layers.{}.mlp.up.bias", "model.layers.{}.mlp.up_proj.bias"},
    {"layers.{}.mlp.down.bias", "model.layers.{}.mlp.down_proj.bias"},
    {"norm.weight", "model.norm.weight"},
    {"head.weight", "lm_head.weight"},
    {0},
};

static const ins_config_key llama_config[] = {
    {.key = "vocab_size", .option = "vocab", .flags = INS_CONFIG_REQUIRED},
    {.key = "max_position_embeddings", .option = "max_positions", .flags = INS_CONFIG_REQUIRED},
    {.key = "hidden_size", .option = "width", .flags = INS_CONFIG_REQUIRED},
    {.key = "intermediate_size", .option = "ff", .flags = INS_CONFIG_REQUIRED},
    {.key = "num_hidden_layers", .option = "layers", .flags = INS_CONFIG_REQUIRED},
    {.key = "num_attention_heads", .option = "heads", .flags = INS_CONFIG_REQUIRED},
    {.key = "num_key_value_heads", .option = "kv_heads"},
    {.key = "head_dim", .option = "head_size"},
    {.key = "hidden_act", .option = "mlp", .fixed = "\"silu\"", .value = "swiglu"},
    {.key = "hidden_act", .option = "mlp", .fixed = "\"gelu_pytorch_tanh\"", .value = "geglu"},
    {.key = "rms_norm_eps", .option = "norm_eps"},
    {.key = "rope_theta", .option = "rope_theta"},
    {.key = "rope_parameters.rope_type", .fixed = "\"default\""},
    {.key = "rope_parameters.rope_theta", .option = "rope_theta"},
    {.key = "rope_scaling", .fixed = "null", .flags = INS_CONFIG_READ_ONLY},
    {.key = "attention_bias", .option = "qkv_bias"},
    {.key = "attention_bias", .option = "out_bias"},
    {.key = "mlp_bias", .option = "mlp_bias"},
    {.key = "initializer_range", .option = "init_std"},
    {.key = "attention_dropout", .fixed = "0.0", .flags = INS_CONFIG_WRITE_ONLY},
    {.key = "tie_word_embeddings", .option = "tied"},
    {0},
};

static const char *const llama_ignored[] = {".rotary_emb.inv_freq", NULL};

const ins_preset ins_preset_llama = {
    .head = {.family = "preset",
             .name = "llama",
             .summary = "Llama: rotary positions, RMSNorm, SwiGLU, grouped key/value heads.",
             .paper = "LLaMA: Open and Efficient Foundation Language Models (Touvron et al., 2023)",
             .version = 1},
    .values = "norm: rmsnorm\nnorm_eps: 1e-6\npositions: rope\nrope_theta: 10000\nmlp: swiglu\ntied: false\n"
              "init_std: 0.02\ninit_residual_scaled: false\nmax_positions: 2048\n",
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .tensors = llama_tensors,
    .config = llama_config,
    .prefix = "model.",
    .ignored = llama_ignored,
};
