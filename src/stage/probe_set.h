/* The probes of a stage: opened once, run at checkpoints, closed. Shared by train and evaluate stages. */
#ifndef INS_STAGE_PROBE_SET_H
#define INS_STAGE_PROBE_SET_H

#include "stage/stage.h"

typedef struct ins_probe_set ins_probe_set;

/* Opens those of `probes` that fit: with training false, probes that need gradients are an error; without a model,
 * probes that need one are. Everything borrowed outlives the set. */
ins_status ins_probe_set_open(const ins_stage_context *c, const ins_opt_components *probes, const ins_model *model,
                              const ins_tokenizer *tokenizer, ins_dtype compute, bool training, ins_probe_set **out,
                              ins_error *err);
/* Run all. Errors carry the probe's name as a frame. */
ins_status ins_probe_set_run(ins_probe_set *set, const ins_probe_state *at, ins_error *err);
void ins_probe_set_close(ins_probe_set *set); /* NULL is fine */

#endif
