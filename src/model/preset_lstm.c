/* LSTM language model. Names: embedding.weight, lstm.weight_ih_l0 and so on (those of PyTorch's nn.LSTM called "lstm"),
 * lm_head.weight. Hugging Face has no such architecture; the folder's config.json says model_type "lstm". */
#include "model/model.h"

static const ins_tensor_name lstm_tensors[] = {
    {"embed.weight", "embedding.weight"},
    {"layers.{}.weight_ih", "lstm.weight_ih_l{}"},
    {"layers.{}.weight_hh", "lstm.weight_hh_l{}"},
    {"layers.{}.bias_ih", "lstm.bias_ih_l{}"},
    {"layers.{}.bias_hh", "lstm.bias_hh_l{}"},
    {"head.weight", "lm_head.weight"},
    {0},
};

static const ins_config_key lstm_config[] = {
    {.key = "vocab_size", .option = "vocab", .flags = INS_CONFIG_REQUIRED},
    {.key = "max_position_embeddings", .option = "max_positions"},
    {.key = "embedding_size", .option = "width", .flags = INS_CONFIG_REQUIRED},
    {.key = "hidden_size", .option = "hidden", .flags = INS_CONFIG_REQUIRED},
    {.key = "num_hidden_layers", .option = "layers", .flags = INS_CONFIG_REQUIRED},
    {.key = "dropout", .option = "dropout"},
    {.key = "forget_bias", .option = "forget_bias"},
    {.key = "initializer_range", .option = "init_std"},
    {.key = "tie_word_embeddings", .option = "tied"},
    {0},
};

const ins_preset ins_preset_lstm = {
    .head = {.family = "preset",
             .name = "lstm",
             .summary = "LSTM language model: embedding, LSTM layers, output layer.",
             .paper = "Recurrent Neural Network Regularization (Zaremba et al., 2014)",
             .version = 1},
    .values = "encoder: lstm\nlayers: 2\ntied: false\ninit_std: 0.1\nmax_positions: 1024\n",
    .model_type = "lstm",
    .architecture = "LSTMForCausalLM",
    .tensors = lstm_tensors,
    .config = lstm_config,
};
