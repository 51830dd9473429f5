/* Qwen2: Llama with biases on query, key and value. */
#include "model/model.h"

static const ins_config_key qwen2_config[] = {
    {.key = "attention_bias"}, {.key = "mlp_bias"}, {.key = "use_sliding_window", .fixed = "false"}, {0}};

const ins_preset ins_preset_qwen2 = {
    .head = {.family = "preset",
             .name = "qwen2",
             .summary = "Qwen2: Llama with biases on query, key and value.",
             .paper = "Qwen2 Technical Report (Yang et al., 2024)",
             .version = 1},
    .base = "llama",
    .values = "qkv_bias: true\n",
    .model_type = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .config = qwen2_config,
};
