/* The one dial: what a user need not say about a model and its training follows from what was said. */
#ifndef INS_MODEL_DERIVE_H
#define INS_MODEL_DERIVE_H

#include "model/model.h"

/* Fill the sizes that are 0 and check that all fit together:
 *   width     = 64 x layers (1 layer per 64 of width: 12 layers give GPT-2's 768), in multiples of the head size
 *   heads     = width / head_size (head_size 64 unless given), or the nearest number below that divides width
 *   kv_heads  = heads
 *   head_size = width / heads
 *   ff        = 4 width, or 8/3 width rounded up to a multiple of 32 for gated MLPs
 *   vocab     = `vocab`
 * Every problem goes to diag; false if there was one. */
bool ins_model_derive(ins_model_options *options, int64_t vocab, ins_pos pos, ins_diag *diag);

/* Peak learning rate for AdamW: 6e-4 (n_params / 125M)^-0.3, kept within [1e-4, 4e-3]. The anchor is GPT-3's 125M row
 * (Brown et al. 2020); the exponent gives its 1.3B row too. */
double ins_derive_lr(int64_t n_params);

/* Tokens for n_params parameters: 20 each (Hoffmann et al. 2022). */
int64_t ins_derive_tokens(int64_t n_params);

/* Tokens of one optimizer step: 0.292 C^0.3271 with C = 6 n_params total_tokens FLOP (DeepSeek-AI 2024), in multiples
 * of 512 and at most 1/400 of all tokens: short runs need their updates more than large batches. */
int64_t ins_derive_batch_tokens(int64_t n_params, int64_t total_tokens);

/* Layers (the dial) for a budget of tokens: the most whose default model has no more than tokens / 20 parameters;
 * 1 to 64. For a budget of seconds, multiply by a measured rate first. */
int64_t ins_derive_layers(int64_t total_tokens, int64_t vocab);

#endif
