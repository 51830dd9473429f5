/* Checkpoints of train stages.
 *
 *   checkpoints/step-%09d/      kept: the probed steps and the end; a Hugging Face folder that any tool can load
 *   resume/step-%09d/           while the stage runs: the newest two, from which it goes on after a kill; also has
 *     optimizer.safetensors     SLOT/parameter for each optimizer slot; ema/, grad/, previous/parameter where kept
 *     state.json                ins_trainer_state, and what the stage adds under "stage"
 *     manifest.json             {"version":1,"step":N,"files":{name:{"bytes","sha256"}}}, written last
 *
 * Written as step-N.tmp, every file fsynced, manifest last, then renamed: a folder without a manifest, or whose files
 * do not match it, is not a checkpoint.
 */
#ifndef INS_STAGE_CHECKPOINT_H
#define INS_STAGE_CHECKPOINT_H

#include <jansson.h>

#include "stage/stage.h"
#include "stage/trainer.h"

#define INS_CHECKPOINTS "checkpoints"
#define INS_RESUME      "resume"

typedef struct ins_checkpoint_write {
    const char *stage_dir;
    const char *folder; /* INS_CHECKPOINTS or INS_RESUME */
    const ins_model *model;
    ins_trainer *trainer;
    const float *weights; /* slab to save: the trainer's, or their average */
    const ins_optimizer *optimizer;
    const char *tokenizer_path; /* tokenizer.json to copy in; NULL = none */
    int32_t eos;                /* its end-of-text id, for config.json; -1 = none */
    const json_t *stage_state;  /* the stage's own part of state.json; may be NULL */
    bool with_optimizer;        /* false: weights only (cannot be resumed from) */
    bool with_history;          /* with the optimizer: what the trainer has of the last step, for probes */
} ins_checkpoint_write;

/* By rank 0, which has the slots of all ranks then (ins_trainer_collect): the files don't depend on their number.
 * INS_IO when the disk is full: the temporary is removed, earlier checkpoints are untouched. An existing complete
 * checkpoint of the same step is left alone. */
ins_status ins_checkpoint_save(const ins_checkpoint_write *w, ins_error *err);

/* Weights, optimizer slots (what this rank keeps of them), averages and state into a trainer built for the same model
 * and optimizer. *stage_state is a new reference (json_decref), or NULL. `dir` is a checkpoint that ins_checkpoint_find
 * verified. */
ins_status ins_checkpoint_restore(const char *dir, const ins_model *model, ins_trainer *trainer,
                                  const ins_optimizer *optimizer, json_t **stage_state, ins_error *err);

/* As ins_checkpoint_find, in either folder. */
ins_status ins_checkpoint_find_in(const char *stage_dir, const char *folder, int64_t step, const ins_log *log,
                                  char *buf, size_t size, int64_t *found_step, ins_error *err);

/* Keep the newest `keep` complete ones of a folder, remove the others and leftovers (*.tmp); keep 0 removes the folder,
 * INT64_MAX removes leftovers only. */
ins_status ins_checkpoint_prune(const char *stage_dir, const char *folder, int64_t keep, ins_error *err);

#endif
