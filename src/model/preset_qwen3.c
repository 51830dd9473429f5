/* Qwen3: Llama with an RMSNorm on every head of query and key. */
#include "model/model.h"

static const ins_config_key qwen3_config[] = {
    {.key = "mlp_bias"}, {.key = "use_sliding_window", .fixed = "false"}, {0}};

const ins_preset ins_preset_qwen3 = {
    .head = {.family = "preset",
             .name = "qwen3",
             .summary = "Qwen3: Llama with an RMSNorm on every head of query and key.",
             .paper = "Qwen3 Technical Report (Yang et al., 2025)",
             .version = 1},
    .base = "llama",
    .values = "qk_norm: true\n",
    .model_type = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .config = qwen3_config,
};
