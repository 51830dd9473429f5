/* Our small decoder: Llama's block, tied embeddings and GPT-2's scaled initialisation, which small models train better
 * with. It is written to Hugging Face folders as a Llama. */
#include "model/model.h"

const ins_preset ins_preset_instar = {
    .head = {.family = "preset",
             .name = "instar",
             .summary = "The default small decoder: Llama's block, tied embeddings, scaled initialisation.",
             .version = 1},
    .base = "llama",
    .values = "norm_eps: 1e-5\ntied: true\ninit_residual_scaled: true\nmax_positions: 1024\n",
};
