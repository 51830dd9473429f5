/* Window of tokens through fully connected layers. Names: embedding.weight, layers.0.weight and so on, lm_head.weight.
 * Hugging Face has no such architecture; the folder's config.json says model_type "mlp_lm". */
#include "model/model.h"

static const ins_tensor_name mlp_tensors[] = {
    {"embed.weight", "embedding.weight"},
    {"layers.{}.weight", "layers.{}.weight"},
    {"layers.{}.bias", "layers.{}.bias"},
    {"head.weight", "lm_head.weight"},
    {0},
};

static const ins_config_key mlp_config[] = {
    {.key = "vocab_size", .option = "vocab", .flags = INS_CONFIG_REQUIRED},
    {.key = "max_position_embeddings", .option = "max_positions"},
    {.key = "window_size", .option = "window", .flags = INS_CONFIG_REQUIRED},
    {.key = "embedding_size", .option = "width", .flags = INS_CONFIG_REQUIRED},
    {.key = "hidden_size", .option = "hidden", .flags = INS_CONFIG_REQUIRED},
    {.key = "num_hidden_layers", .option = "layers", .flags = INS_CONFIG_REQUIRED},
    {.key = "merge", .option = "merge"},
    {.key = "hidden_act", .option = "activation"},
    {.key = "dropout", .option = "dropout"},
    {.key = "initializer_range", .option = "init_std"},
    {.key = "tie_word_embeddings", .option = "tied"},
    {0},
};

const ins_preset ins_preset_mlp = {
    .head = {.family = "preset",
             .name = "mlp",
             .summary = "Neural probabilistic language model: a window of embeddings through fully connected layers.",
             .paper = "A Neural Probabilistic Language Model (Bengio et al., 2003)",
             .version = 1},
    .values = "encoder: mlp\nlayers: 2\ntied: false\ninit_std: 0.1\nmax_positions: 1024\n",
    .model_type = "mlp_lm",
    .architecture = "MLPForCausalLM",
    .tensors = mlp_tensors,
    .config = mlp_config,
};
